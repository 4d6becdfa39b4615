"""A placement that follows the main actor: for recordings without a first frame to count from.

A clip is placed by its first pose (`normalize.placement`); in an untrimmed recording that pose is long past.
Here origin, direction and size are those of the poses so far, an earlier one counting less: what stays of a
movement is what was done within the last moments, wherever the person has walked and turned.

Shapes: `T` frames, `V` joints; a place is (6,): the origin, and sine, cosine and size of the turn.
"""

import math

import numpy as np

from action_indrnn.data_prep.clip import Floats
from action_indrnn.data_prep.layout import Layout
from action_indrnn.data_prep.normalize import MEAN_BONE

Place = Floats


def whole(poses: Floats, layout: Layout, memory: float) -> tuple[Floats, Floats]:
    """Origins (T, 3) and turns (T, 3, 3) after every frame of a recording.

    Args:
        poses: (T, V, 3) of the main actor, NaN where not seen.
        layout: of the joints.
        memory: frames after which an earlier pose counts 1 / e.
    """
    seen = ~np.isnan(poses[:, layout.centre, 0])
    if not seen.any():
        return np.zeros((len(poses), 3), np.float32), np.tile(np.eye(3, dtype=np.float32), (len(poses), 1, 1))
    # Who is not seen stays in place, so the seen poses alone make a sequence. Its running mean is a sum over
    # the poses so far, which doubles in reach with every turn of the loop.
    places = _places(poses[seen], layout)
    share = _share(1, memory)
    places[1:] *= share
    reach = 1
    while reach < len(places):
        places[reach:] += (1 - share) ** reach * places[:-reach]
        reach *= 2
    places = places[np.maximum(np.cumsum(seen) - 1, 0)]
    return places[:, :3], turns(places)


def step(before: Place | None, pose: Floats, layout: Layout, frames: float, memory: float) -> Place:
    """The place after one more pose (V, 3), so many frames after the one before it."""
    now: Place = _places(pose[None], layout)[0]
    return now if before is None else before + _share(frames, memory) * (now - before)


def _share(frames: float, memory: float) -> np.float32:
    return np.float32(-math.expm1(-frames / memory))


def _places(poses: Floats, layout: Layout) -> Floats:
    """(T, 6) of poses (T, V, 3) alone."""
    across = np.zeros((len(poses), 3), np.float32)
    across[:, 0] = 1
    if layout.across:
        left, right = np.array(layout.across).T
        across = (poses[:, right] - poses[:, left]).mean(axis=1)
    length = np.maximum(np.hypot(across[:, 0], across[:, 2]), 1e-6)
    scale = np.ones(len(poses), np.float32)
    if layout.bones:
        child, parent = np.array(layout.bones).T
        bones = np.linalg.norm(poses[:, child] - poses[:, parent], axis=2).mean(axis=1)
        scale = MEAN_BONE / np.maximum(bones, 1e-3)
    return np.column_stack((poses[:, layout.centre], across[:, 2] / length, across[:, 0] / length, scale))


def turns(places: Floats) -> Floats:
    """(T, 3, 3) the turns, with the scale, of places (T, 6)."""
    sine, cosine, scale = places[:, 3:].T
    length = np.maximum(np.hypot(sine, cosine), 1e-6)
    sine, cosine = scale * sine / length, scale * cosine / length
    found = np.zeros((len(places), 3, 3), np.float32)
    found[:, 0, 0] = found[:, 2, 2] = cosine
    found[:, 0, 2], found[:, 2, 0] = sine, -sine
    found[:, 1, 1] = scale
    return found
