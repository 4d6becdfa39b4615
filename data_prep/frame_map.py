"""Bodies of single frames in the joints of another layout; `points` does the same with whole clips.

Shapes: `V` joints.
"""

from collections.abc import Sequence

import numpy as np

from action_indrnn.data_prep.clip import Floats
from action_indrnn.data_prep.layout import Layout
from action_indrnn.data_prep.points import check_origin, house_axes, mapping


class FrameMap:
    """The way from a body as its sensor gives it to one in metres, y up, of a model's joints.

    Args:
        recorded: the sensor's joints, unit and axes.
        wanted: the model's layout, `recorded` itself or one that it has a map to.

    Raises:
        ValueError: it has no such map.
    """

    def __init__(self, recorded: Layout, wanted: Layout) -> None:
        self.recorded = recorded
        self.shares = (
            np.eye(len(wanted.joints)) if recorded == wanted else mapping(recorded, wanted, "live frames")
        )
        self._made_of = [np.flatnonzero(row).tolist() for row in self.shares]

    def joints(self, pose: Floats, source: str) -> Floats:
        """The joints (V, 3) that the recorded ones, as many as the layout has, become; of zeros, zeros.

        Args:
            pose: in the recorded layout, its unit and axes.
            source: whose they are, as errors name it.

        Raises:
            ValueError: they are coordinates of a picture.
        """
        there = np.asarray(pose, np.float64)
        if not there.any():
            return np.zeros((len(self.shares), 3), np.float32)
        check_origin(there[None, None], self.recorded, source)
        return (self.shares @ house_axes(there, self.recorded)).astype(np.float32)

    def states(self, states: Sequence[int]) -> list[int]:
        """The tracking state of each joint: the worst of those that it is made of."""
        return [min(states[joint] for joint in joints) for joints in self._made_of]
