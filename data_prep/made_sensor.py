"""The made sensor: three cameras, joint noise, occlusion, lost and handed-over bodies, clutter.

Camera coordinates are the depth sensor's: metres, y up, z away from the sensor, x growing towards its left.
Shapes: `T` frames of the clip, `n` frames in which a body is reported, 25 joints.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from action_indrnn.data_prep.made_motion import Array, rotation

_BEARING = {1: 0.0, 2: 45.0, 3: -45.0}  # degrees of each camera around the scene
_FIRST_ID = 2**56  # body ids start here: too large for a float64 to tell neighbours apart
_TRACKED, _INFERRED = 2, 1
_HAND_JOINTS = (6, 7, 10, 11, 21, 22, 23, 24)

# shares of clips; each actor is drawn for the first two on its own
_DROPPED, _HANDED_OVER, _SHORT_CLUTTER, _WIDE_CLUTTER, _NOBODY = 0.15, 0.06, 0.03, 0.03, 0.03


@dataclass(frozen=True)
class MadeBody:
    """One body id as the sensor reports it.

    Attributes:
        body_id: as written in the file, about 2**56.
        frames: (n,) true 0-based frame numbers, rising, not always without a gap.
        joints: (n, 25, 3) noisy joints, metres in camera coordinates.
        states: (n, 25) 2 tracked, 1 inferred.
        actor: which actor this is, None for clutter.
    """

    body_id: int
    frames: NDArray[np.int64]
    joints: Array
    states: NDArray[np.uint8]
    actor: int | None


def to_camera(scene: Array, setup: int, camera: int, replication: int, seed: int) -> Array:
    """Scene points (..., 3) as the camera sees them; replication 1 faces camera 2, replication 2 camera 3."""
    rng = np.random.default_rng([seed, 3, setup])
    height, distance = rng.uniform(1.0, 2.0), rng.uniform(2.5, 4.0)
    tilt = np.arctan2(0.6 * (height - 0.9), distance)
    angle = np.deg2rad(_BEARING[camera] - _BEARING[3 if replication == 2 else 2])
    away = np.array([-np.sin(angle), 0.0, -np.cos(angle)])
    left = np.array([away[2], 0.0, -away[0]])
    axes = rotation(0, np.array([-tilt]))[0] @ np.stack([left, [0.0, 1.0, 0.0], away])
    return np.asarray((scene - (np.array([0.0, height, 0.0]) - distance * away)) @ axes.T)


def _slow(rng: np.random.Generator, frames: int, memory: float, *shape: int) -> Array:
    """A slowly varying series (T, *shape) of unit variance; memory correlates neighbouring frames."""
    series = rng.standard_normal((frames, *shape))
    fresh = np.sqrt(1.0 - memory**2)
    for t in range(1, frames):
        series[t] = memory * series[t - 1] + fresh * series[t]
    return series


def _occluded(joints: Array, others: tuple[Array, ...]) -> NDArray[np.bool_]:
    """Which joints (T, 25) lie behind the torso of their own body or behind another body."""
    hidden = np.zeros(joints.shape[:2], dtype=np.bool_)
    for body in (joints, *others):
        own = body is joints
        low, high = body[:, 0], body[:, 20 if own else 3]
        if not own:
            low = body[:, [15, 19]].mean(axis=1)
        scale = low[:, None, 2] / joints[..., 2]
        part = (joints[..., 1] * scale - low[:, None, 1]) / (high - low)[:, None, 1]
        part = np.clip(part, 0.0, 1.0) if own else part
        across = joints[..., 0] * scale - (low[:, None, 0] + part * (high - low)[:, None, 0])
        behind = joints[..., 2] - (low[:, None, 2] + part * (high - low)[:, None, 2])
        width, depth = (0.13, 0.1) if own else (0.18, 0.3)
        hidden |= (np.abs(across) < width) & (behind > depth) & (part >= 0.0) & (part <= 1.0)
    return hidden


def sense(
    rng: np.random.Generator, joints: Array, others: tuple[Array, ...]
) -> tuple[Array, NDArray[np.uint8]]:
    """Noisy joints (T, 25, 3) and their states (T, 25) of one actor; others may hide it."""
    threshold = np.full(25, 2.0)
    threshold[[14, 15, 18, 19]] = 1.6
    threshold[list(_HAND_JOINTS)] = 1.4
    level = threshold - 2.0 * _occluded(joints, others)
    inferred = _slow(rng, len(joints), 0.93, 25) > level
    size = np.ones(25)
    size[list(_HAND_JOINTS)] = 1.5
    size[[21, 22, 23, 24]] = 2.0
    frames = len(joints)
    tracked = 0.010 * _slow(rng, frames, 0.9, 25, 3) + 0.005 * rng.standard_normal((frames, 25, 3))
    tracked += 0.010 * rng.standard_normal((25, 3))
    guessed = 0.055 * _slow(rng, frames, 0.9, 25, 3) + 0.015 * rng.standard_normal((frames, 25, 3))
    noise = tracked * size[:, None] + guessed * inferred[..., None]
    states = np.where(inferred, _INFERRED, _TRACKED).astype(np.uint8)
    return joints + noise, states


def _clutter(rng: np.random.Generator, frames: int, near: Array, wide: bool) -> MadeBody:
    """A thing taken for a body: seen shortly and upright as a chair, or wide; the id is set later."""
    count = int(rng.integers(12, frames + 1)) if wide else int(rng.integers(2, 12))
    first = int(rng.integers(0, frames - count + 1))
    spans = (
        rng.uniform((0.9, 0.4, 0.2), (1.6, 0.8, 0.6))
        if wide
        else rng.uniform((0.2, 0.7, 0.2), (0.4, 1.1, 0.5))
    )
    still = rng.uniform(-0.5, 0.5, (25, 3))
    still = (still - still.min(axis=0)) / np.ptp(still, axis=0) - 0.5
    centre = near + np.array([rng.choice([-1.0, 1.0]) * rng.uniform(0.6, 1.2), -0.3, rng.uniform(-0.2, 0.8)])
    joints = centre + spans * still + 0.015 * rng.standard_normal((count, 25, 3))
    states = np.where(rng.random((count, 25)) < 0.5, _INFERRED, _TRACKED).astype(np.uint8)
    return MadeBody(0, np.arange(first, first + count), joints, states, None)


def _pieces(rng: np.random.Generator, seen: NDArray[np.bool_]) -> list[NDArray[np.int64]]:
    """The frames (n,) of each id that one actor gets; losses are marked in `seen` (T,)."""
    frames = len(seen)
    if rng.random() < _DROPPED:
        length = int(rng.integers(3, 16))
        first = int(rng.integers(5, max(6, frames - length - 4)))
        seen[first : first + length] = False
    numbers = np.flatnonzero(seen).astype(np.int64)
    if rng.random() >= _HANDED_OVER:
        return [numbers]
    cut = int(rng.integers(frames // 4, 3 * frames // 4))
    gap = int(rng.integers(1, 6)) * int(rng.random() < 0.5)
    return [piece for piece in (numbers[numbers < cut], numbers[numbers >= cut + gap]) if len(piece)]


def bodies(rng: np.random.Generator, actors: tuple[Array, ...]) -> tuple[MadeBody, ...]:
    """What the sensor reports of the actors (T, 25, 3): every body id, in order of first sight."""
    frames = len(actors[0])
    somebody = np.ones(frames, dtype=np.bool_)
    if rng.random() < _NOBODY:
        first = 0 if rng.random() < 0.5 else int(rng.integers(8, frames - 8))
        somebody[first : first + int(rng.integers(1, 6))] = False
    found = []
    for k, joints in enumerate(actors):
        noisy, states = sense(rng, joints, actors[:k] + actors[k + 1 :])
        found += [MadeBody(0, at, noisy[at], states[at], k) for at in _pieces(rng, somebody.copy())]
    for share, wide in ((_SHORT_CLUTTER, False), (_WIDE_CLUTTER, True)):
        if rng.random() < share:
            thing = _clutter(rng, frames, actors[0][:, 0].mean(axis=0), wide)
            kept = somebody[thing.frames]
            found.append(MadeBody(0, thing.frames[kept], thing.joints[kept], thing.states[kept], None))
    found = sorted((body for body in found if len(body.frames)), key=lambda body: int(body.frames[0]))
    base = _FIRST_ID + 16 * int(rng.integers(0, 4096))
    ids = base + np.sort(rng.permutation(8)[: len(found)])
    return tuple(
        MadeBody(int(body_id), body.frames, body.joints, body.states, body.actor)
        for body_id, body in zip(ids, found, strict=True)
    )
