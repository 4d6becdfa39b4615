"""Frames of many streams as arrays: what was seen, checked, and what the network gets of it.

Shapes: `N` bodies in all frames, `V` joints, `R` rows, `M` actors that the network takes, `F` features.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from action_indrnn.data_prep.clip import COORDINATE_LIMIT, Floats
from action_indrnn.data_prep.frame_map import FrameMap
from action_indrnn.data_prep.layout import Layout, miscounted
from action_indrnn.people import Bodies, BodyId, Placed

TIME_LIMIT = 1e12  # seconds; clocks count from 1970 at most, and larger ones are none


UNITS = {1e3: "milliseconds", 1e6: "microseconds", 1e9: "nanoseconds"}  # in a second
LEAPS = 3  # steps in a row that are a frame's in such a unit, after which time stamps are no seconds
_ABOUT = 4  # times as fast or slow as the camera is expected to be


class Clock:
    """Notices time stamps that are no seconds, and would look like a gap before every frame.

    Args:
        rate: frames a second that are expected.
        gap: seconds after which a stream begins anew.
    """

    def __init__(self, rate: float, gap: float) -> None:
        self.rate, self.gap = rate, gap
        self.reset()

    def reset(self) -> None:
        """Forget all time stamps."""
        self._heard: float | None = None
        self._step = 0.0
        self._leaps: list[float] = []  # the units in which the last steps are those of a frame

    def check(self, time: float | None) -> None:
        """Take in a time stamp; one that was taken in last is only checked again.

        Raises:
            FrameError: the last ones are in another unit.
        """
        if time != self._heard:
            before, self._heard = self._heard, time
            self._step = 0.0 if time is None or before is None else time - before
            units = [unit for unit in UNITS if 1 / _ABOUT <= self._step * self.rate / unit <= _ABOUT]
            same = self._step > self.gap and units and (not self._leaps or self._leaps[-1] == units[0])
            self._leaps = [*self._leaps, units[0]][-LEAPS:] if same else []
        if len(self._leaps) == LEAPS:
            unit = self._leaps[-1]
            raise FrameError(
                f"time: expected seconds, found {LEAPS} steps of about {self._step:g}: these look like "
                f"{UNITS[unit]}; divide by {unit:g}"
            )


class FrameError(ValueError):
    """A frame that a stream cannot take.

    Attributes:
        body: place of the wrong one in the frame; -1 where the time is wrong.
        joint: number of its wrong joint; -1 where all are.
    """

    def __init__(self, message: str, body: int = -1, joint: int = -1) -> None:
        super().__init__(message)
        self.body, self.joint = body, joint


def check(
    bodies: Sequence[Bodies],
    times: Sequence[float | None],
    layout: Layout,
    maps: Sequence[FrameMap | None],
) -> tuple[Floats, list[Placed]]:
    """The joints (N, V, 3) of all bodies of all frames, and each frame's bodies but those of zeros.

    Args:
        bodies: of each frame.
        times: of each frame, seconds.
        layout: of the joints that are wanted.
        maps: how the joints of each frame become these; none where they are these.

    Raises:
        FrameError: joints of another number, not finite or not metres, or no time.
    """
    for time in times:
        if time is not None and not abs(time) <= TIME_LIMIT:  # nor is NaN
            raise FrameError(f"time: expected seconds, found {time}")
    poses: list[Floats] = []
    for own, way in zip(bodies, maps, strict=True):
        given = layout if way is None else way.recorded
        shape = (len(given.joints), 3)
        for place, (name, pose) in enumerate(own.items()):
            there = np.asarray(pose, np.float32)
            if there.shape != shape:
                raise FrameError(f"body {name}: {_miscounted(given, there)}", place)
            poses.append(there if way is None else _mapped(there, way, name, place))
    if not poses:
        return np.zeros((0, len(layout.joints), 3), np.float32), [{} for _ in bodies]
    joints = np.ascontiguousarray(np.concatenate(poses).reshape(len(poses), -1, 3))
    largest = np.maximum.reduce(np.abs(joints), axis=(1, 2)).tolist()
    if not all(value <= COORDINATE_LIMIT for value in largest):  # nor is NaN
        raise _far(bodies, joints, layout)
    centres = joints[:, layout.centre].tolist()
    found: list[Placed] = []
    number = 0
    for own in bodies:
        placed = enumerate(own, number)
        found.append({name: (at, centres[at]) for at, name in placed if largest[at]})
        number += len(own)
    return joints, found


def _miscounted(layout: Layout, joints: Floats) -> str:
    if joints.ndim == 2 and joints.shape[1] == 3:
        return miscounted(layout, len(joints))
    return f"expected {len(layout.joints)} joints of 3 coordinates, found shape {joints.shape}"


def _mapped(pose: Floats, way: FrameMap, name: BodyId, place: int) -> Floats:
    """The joints of a body in another layout.

    Raises:
        FrameError: not finite, or coordinates of a picture.
    """
    if not np.isfinite(pose).all():
        raise _wrong(pose, way.recorded, name, place, np.isfinite(pose), "finite numbers")
    try:
        return way.joints(pose, f"body {name}")
    except ValueError as error:
        raise FrameError(str(error), place) from None


def _far(bodies: Sequence[Bodies], joints: Floats, layout: Layout) -> FrameError:
    """The error of the first joint that is not finite or not metres."""
    good = np.abs(joints) <= COORDINATE_LIMIT
    number = int(np.flatnonzero(~good.all(axis=(1, 2)))[0])
    places = [(name, place) for own in bodies for place, name in enumerate(own)]
    expected = f"metres within +-{COORDINATE_LIMIT:g}"
    return _wrong(joints[number], layout, *places[number], good[number], expected)


def _wrong(
    pose: Floats, layout: Layout, name: BodyId, place: int, good: NDArray[np.bool_], expected: str
) -> FrameError:
    joint, axis = np.argwhere(~good)[0].tolist()
    problem = f"expected {expected}, found {'xyz'[axis]} = {pose[joint, axis]:g}"
    return FrameError(f"body {name}: {layout.joints[joint]}: {problem}", place, joint)


def features(
    joints: Floats, numbers: NDArray[np.int64], origins: Floats, turns: Floats | None
) -> NDArray[np.float32]:
    """What the network gets, (R, F).

    Args:
        joints: (N, V, 3).
        numbers: (R, M), which of them stand there; -1 for nobody.
        origins: (R, 3).
        turns: (R, 3, 3), if there are any.
    """
    rows, actors = numbers.shape
    if not len(joints):
        return np.zeros((rows, actors * joints.shape[1] * 3), np.float32)
    x = joints[numbers]  # (R, M, V, 3)
    x -= origins[:, None, None]
    if turns is not None:
        x = x @ turns.transpose(0, 2, 1)[:, None]
    x[numbers < 0] = 0
    return x.reshape(rows, -1)
