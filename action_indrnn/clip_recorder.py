"""Frames of a stream, kept until they are a clip: that which a clip file of the same frames holds.

Shapes: M bodies, T frames, V joints.
"""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from action_indrnn.data_prep import points
from action_indrnn.data_prep.clip import Clip
from action_indrnn.data_prep.layout import Layout
from action_indrnn.data_prep.points import Points
from action_indrnn.people import Bodies, BodyId

JOINTS_LIMIT = 2_000_000  # of a clip, as in a clip file: 22 minutes of two bodies of 25 at 30 Hz


class ClipRecorder:
    """The frames since a clip began.

    Args:
        recorded: the joints, unit and axes of the frames; the model's joints in metres, y up, if not given.
        wanted: the model's layout.
        name: the clip's.
        bodies: ids in the order of the clip's bodies; others follow as they come.
    """

    def __init__(
        self, recorded: Layout | None, wanted: Layout, name: str, bodies: Sequence[BodyId] = ()
    ) -> None:
        self._name = name
        self._wanted = replace(wanted, unit="m", up="y", mirrored=False) if recorded is None else wanted
        self._recorded = recorded or self._wanted
        self._places: dict[BodyId, int] = {name: place for place, name in enumerate(dict.fromkeys(bodies))}
        self._frames: list[Bodies] = []
        self._full = False

    def add(self, bodies: Bodies) -> None:
        """Take one more frame; the bodies are as they came."""
        for name in bodies:
            self._places.setdefault(name, len(self._places))
        size = len(self._places) * (len(self._frames) + 1) * len(self._recorded.joints)
        self._full = self._full or size > JOINTS_LIMIT
        if self._full:
            self._frames.clear()
            self._places.clear()
        else:
            self._frames.append(bodies)

    def clip(self) -> Clip:
        """The clip, not yet normalised.

        Raises:
            ValueError: it was too long, nobody was seen, or its joints have no depth.
        """
        if self._full:
            raise ValueError(
                f"{self._name}: expected at most {JOINTS_LIMIT:,} joints in all frames, found more"
            )
        joints = np.full((len(self._places), len(self._frames), len(self._recorded.joints), 3), np.nan)
        for number, bodies in enumerate(self._frames):
            for body, pose in bodies.items():
                joints[self._places[body], number] = pose
        return points.to_clip(Points(self._name, self._name, joints), self._recorded, self._wanted)[0]
