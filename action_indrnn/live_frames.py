"""Frames of many streams as arrays: what was seen, checked, and what the network gets of it.

Shapes: `N` bodies in all frames, `V` joints, `R` rows, `M` actors that the network takes, `F` features.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from action_indrnn.data_prep.clip import COORDINATE_LIMIT, Floats
from action_indrnn.data_prep.layout import Layout
from action_indrnn.people import Bodies, Placed

TIME_LIMIT = 1e12  # seconds; clocks count from 1970 at most, and larger ones are none


def check(
    bodies: Sequence[Bodies], times: Sequence[float | None], layout: Layout
) -> tuple[Floats, list[Placed]]:
    """The joints (N, V, 3) of all bodies of all frames, and each frame's bodies but those of zeros.

    Raises:
        ValueError: joints of another number, not finite or not metres, or no time.
    """
    for time in times:
        if time is not None and not abs(time) <= TIME_LIMIT:  # nor is NaN
            raise ValueError(f"time: expected seconds, found {time}")
    shape = (len(layout.joints), 3)
    names = [name for own in bodies for name in own]
    poses = [np.asarray(pose, np.float32) for own in bodies for pose in own.values()]
    for name, pose in zip(names, poses, strict=True):
        if pose.shape != shape:
            raise ValueError(
                f"body {name}: joints: expected {shape[0]} joints of 3 coordinates, found shape {pose.shape}"
            )
    if not poses:
        return np.zeros((0, *shape), np.float32), [{} for _ in bodies]
    joints = np.concatenate(poses).reshape(-1, *shape)
    largest = np.abs(joints).max(axis=(1, 2)).tolist()
    for name, value in zip(names, largest, strict=True):
        if not value <= COORDINATE_LIMIT:  # nor is NaN
            raise ValueError(f"body {name}: joints: expected metres within +-{COORDINATE_LIMIT:g}")
    centres = joints[:, layout.centre].tolist()
    found: list[Placed] = []
    number = 0
    for own in bodies:
        placed = enumerate(own, number)
        found.append({name: (at, centres[at]) for at, name in placed if largest[at]})
        number += len(own)
    return joints, found


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
