"""Made people in motion: body proportions, a small kinematic skeleton and the actions it performs.

Everything here is in the person's own frame: metres, right-handed, x to the left, y up from the floor, z
forwards, the origin on the floor where the person starts. Shapes: `T` frames, 25 joints in NTU order, index 0
is the base of the spine; side 0 is left, side 1 right.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

FRAME_RATE = 30.0  # frames per second, as the sensor's
CLASSES: tuple[str, ...] = (
    "raise an arm",
    "lower an arm",
    "wave a hand",
    "hold a hand up",
    "clap hands",
    "join hands once",
    "push",
    "pull",
    "sit down",
    "stand up",
    "circle an arm forwards",
    "circle an arm backwards",
    "step towards each other",
    "step apart",
)
STEP_TOGETHER, STEP_APART = 13, 14
TWO_PERSON = frozenset({STEP_TOGETHER, STEP_APART})
_RAISE, _LOWER, _WAVE, _HOLD, _CLAP, _JOIN = range(1, 7)
_PUSH, _PULL, _SIT, _STAND, _FORWARDS, _BACKWARDS = range(7, 13)

# parent of each joint, 0-based; the root is its own parent
PARENTS = (0, 0, 20, 2, 20, 4, 5, 6, 20, 8, 9, 10, 0, 12, 13, 14, 0, 16, 17, 18, 1, 22, 7, 24, 11)

# where a hand is, seen from its shoulder: degrees outwards from straight ahead, degrees above the horizon,
# and the distance of the wrist in arm lengths
_HANDS: dict[str, tuple[float, float, float]] = {
    "rest": (14.0, -84.0, 0.985),
    "up": (25.0, 62.0, 0.93),
    "beside": (32.0, 38.0, 0.72),
    "beside in": (2.0, 42.0, 0.72),
    "beside out": (62.0, 32.0, 0.74),
    "apart": (12.0, -22.0, 0.68),
    "joined": (-27.0, -22.0, 0.64),
    "chest": (5.0, -48.0, 0.36),
    "ahead": (-6.0, -6.0, 0.95),
    "thigh": (0.0, -52.0, 0.78),
    "hip": (55.0, -66.0, 0.66),
    "bent": (-12.0, -45.0, 0.68),
}
_SPREAD = (9.0, 8.0, 0.03)  # standard deviation between performances, in the units above

SECONDS = (1.1, 1.1, 1.5, 1.5, 1.5, 1.4, 1.2, 1.2, 1.1, 1.1, 1.3, 1.3, 1.4, 1.4)  # of each action at tempo 1
_BOTH_HANDS = frozenset({_CLAP, _JOIN, _PUSH, _PULL, _SIT, _STAND})

# what the acting hand does: (fraction of the action, where the hand is); rhythms are made in `_hand_keys`
_Keys = tuple[tuple[float, str], ...]
_KEYS: dict[int, _Keys] = {
    _RAISE: ((0.0, "rest"), (0.55, "up"), (1.0, "up")),
    _LOWER: ((0.0, "up"), (0.45, "up"), (1.0, "rest")),
    _HOLD: ((0.0, "rest"), (0.25, "beside"), (0.77, "beside"), (1.0, "rest")),
    _JOIN: ((0.0, "rest"), (0.25, "apart"), (0.45, "joined"), (0.72, "joined"), (1.0, "rest")),
    _PUSH: ((0.0, "rest"), (0.33, "chest"), (0.55, "ahead"), (0.65, "ahead"), (1.0, "rest")),
    _PULL: ((0.0, "rest"), (0.35, "ahead"), (0.45, "ahead"), (0.67, "chest"), (1.0, "rest")),
    _SIT: ((0.0, "rest"), (1.0, "thigh")),
    _STAND: ((0.0, "thigh"), (1.0, "rest")),
}
_STILL: _Keys = ((0.0, "rest"), (1.0, "rest"))


@dataclass(frozen=True)
class Performer:
    """One subject: lengths in metres, angles in radians; the same in all of the subject's performances."""

    height: float
    leg: float  # thigh and shin, each
    arm: tuple[float, float]  # upper arm, forearm
    shoulder: float  # half of the width
    hip: float  # half of the width
    spine: tuple[float, float]  # base to middle, middle to shoulders
    side: int  # the hand used: 0 left, 1 right
    tempo: float
    amplitude: float
    lean: float
    sway: float  # amplitude of idle sway, metres


@lru_cache(maxsize=256)
def performer(subject: int, seed: int) -> Performer:
    """The subject's body and habits: a function of the subject and the seed alone."""
    rng = np.random.default_rng([seed, 1, subject])
    height = float(rng.uniform(1.5, 1.95))

    def part(share: float) -> float:
        return float(height * share * rng.uniform(0.94, 1.06))

    return Performer(
        height=height,
        leg=part(0.235),
        arm=(part(0.16), part(0.14)),
        shoulder=part(0.105),
        hip=part(0.048),
        spine=(part(0.17), part(0.125)),
        side=int(rng.random() > 0.2),
        tempo=float(rng.uniform(0.8, 1.25)),
        amplitude=float(rng.uniform(0.75, 1.12)),
        lean=float(rng.normal(0.03, 0.06)),
        sway=float(rng.uniform(0.008, 0.025)),
    )


@dataclass
class _Pose:
    """The channels of one person over `T` frames."""

    root: Array  # (T, 3) base of the spine, metres
    turn: Array  # (T, 4) radians: yaw of the pelvis, lean forwards, lean to the right, twist of the chest
    head: Array  # (T, 2) radians: nod, turn
    hands: Array  # (T, 2, 3) as in `_HANDS`
    feet: Array  # (T, 2, 3) ankles, metres


def minimum_jerk(frames: Array, times: Array, values: Array) -> Array:
    """Values (K, ...) at rising times (K,) joined at rest in each key, at the frames (T,): (T, ...)."""
    after = np.clip(np.searchsorted(times, frames, side="right"), 1, len(times) - 1)
    part = np.clip((frames - times[after - 1]) / (times[after] - times[after - 1]), 0.0, 1.0)
    weight = part**3 * (10.0 - 15.0 * part + 6.0 * part**2)
    weight = weight.reshape(-1, *[1] * (values.ndim - 1))
    return np.asarray(values[after - 1] + weight * (values[after] - values[after - 1]))


def rotation(axis: int, angle: Array) -> Array:
    """Right-handed rotations (T, 3, 3) about a coordinate axis by angles (T,) in radians."""
    matrix = np.zeros((len(angle), 3, 3))
    following, last = (axis + 1) % 3, (axis + 2) % 3
    matrix[:, axis, axis] = 1.0
    matrix[:, following, following] = matrix[:, last, last] = np.cos(angle)
    matrix[:, last, following] = np.sin(angle)
    matrix[:, following, last] = -matrix[:, last, following]
    return matrix


def _turned(matrix: Array, x: float, y: float, z: float) -> Array:
    return np.asarray(matrix @ np.array([x, y, z]))


def _unit(vector: Array) -> Array:
    return np.asarray(vector / np.maximum(np.linalg.norm(vector, axis=-1, keepdims=True), 1e-9))


def _two_bones(start: Array, target: Array, pole: Array, upper: float, lower: float) -> tuple[Array, Array]:
    """Middle and end (T, 3) of two bones from start towards target, bent towards pole; lengths are kept."""
    reach = np.linalg.norm(target - start, axis=-1, keepdims=True)
    along = _unit(target - start)
    reach = np.clip(reach, abs(upper - lower) + 0.02, (upper + lower) * 0.998)
    bend = _unit(pole - along * (pole * along).sum(-1, keepdims=True))
    near = (upper**2 - lower**2 + reach**2) / (2.0 * reach)
    off = np.sqrt(np.maximum(upper**2 - near**2, 0.0))
    return start + along * near + bend * off, start + along * reach


def _skeleton(who: Performer, pose: _Pose) -> Array:
    """The 25 joints (T, 25, 3) of a pose, every bone at its constant length."""
    size, (yaw, lean, roll, twist) = who.height, pose.turn.T
    facing = rotation(1, yaw)
    pelvis = facing @ rotation(0, 0.4 * lean)
    waist = facing @ rotation(1, 0.5 * twist) @ rotation(0, 0.7 * lean) @ rotation(2, 0.5 * roll)
    chest = facing @ rotation(1, twist) @ rotation(0, lean) @ rotation(2, roll)
    head = chest @ rotation(1, pose.head[:, 1]) @ rotation(0, pose.head[:, 0])
    joints = np.empty((len(yaw), 25, 3))
    joints[:, 0] = pose.root
    joints[:, 1] = joints[:, 0] + _turned(waist, 0.0, who.spine[0], 0.0)
    joints[:, 20] = joints[:, 1] + _turned(chest, 0.0, who.spine[1], 0.0)
    joints[:, 2] = joints[:, 20] + _turned(chest, 0.0, 0.042 * size, 0.004 * size)
    joints[:, 3] = joints[:, 2] + _turned(head, 0.0, 0.075 * size, 0.015 * size)
    for side, sign in ((0, 1.0), (1, -1.0)):
        arm, leg = 4 + 4 * side, 12 + 4 * side
        joints[:, arm] = joints[:, 20] + _turned(chest, sign * who.shoulder, -0.025 * size, 0.0)
        out, above = np.deg2rad(pose.hands[:, side, :2]).T
        ahead, up = np.cos(above), np.sin(above)
        aim = np.stack([sign * ahead * np.sin(out), up, ahead * np.cos(out)], axis=-1)
        aim = np.einsum("tij,tj->ti", chest, aim * sum(who.arm) * pose.hands[:, side, 2:])
        pole = np.stack(
            [np.full(len(yaw), 0.5 * sign), -0.9 * ahead, -0.1 - 0.6 * np.maximum(-up, 0.0)], axis=-1
        )
        pole = np.einsum("tij,tj->ti", chest, pole)
        joints[:, arm + 1], joints[:, arm + 2] = _two_bones(
            joints[:, arm], joints[:, arm] + aim, pole, *who.arm
        )
        along = _unit(joints[:, arm + 2] - joints[:, arm + 1])
        inwards = _turned(chest, -0.8 * sign, 0.3, 0.5)
        inwards = _unit(inwards - along * (inwards * along).sum(-1, keepdims=True))
        joints[:, arm + 3] = joints[:, arm + 2] + 0.042 * size * along
        joints[:, 21 + 2 * side] = joints[:, arm + 3] + 0.048 * size * along
        joints[:, 22 + 2 * side] = joints[:, arm + 3] + size * (0.012 * along + 0.026 * inwards)
        joints[:, leg] = joints[:, 0] + _turned(pelvis, sign * who.hip, -0.012 * size, 0.0)
        pole = _turned(facing, 0.15 * sign, 0.1, 1.0)
        joints[:, leg + 1], joints[:, leg + 2] = _two_bones(
            joints[:, leg], pose.feet[:, side], pole, who.leg, who.leg
        )
        joints[:, leg + 3] = joints[:, leg + 2] + _turned(
            facing, 0.02 * sign * size, -0.025 * size, 0.065 * size
        )
    return joints


def _hand_keys(action: int, rng: np.random.Generator) -> _Keys:
    """The action's hand keys; a rhythm gets its number of beats here."""
    if action not in (_WAVE, _CLAP):
        return _KEYS.get(action, _STILL)
    beats = int(rng.integers(3, 6))
    inner, outer = ("beside in", "beside out") if action == _WAVE else ("joined", "apart")
    times = np.linspace(0.22, 0.8, 2 * beats)
    swings = [(float(time), (outer, inner)[k % 2]) for k, time in enumerate(times)]
    return ((0.0, "rest"), *swings, (1.0, "rest"))


def _act(
    who: Performer, action: int, frames: int, start: float, end: float, rng: np.random.Generator
) -> _Pose:
    """One person's pose over the frames, the action from frame `start` to frame `end`, idle around it."""
    clock = np.arange(frames, dtype=np.float64)

    def drift(size: float) -> Array:
        speed, phase = rng.uniform(0.15, 0.6, 2), rng.uniform(0.0, 2 * np.pi, 2)
        angle = 2 * np.pi * clock[:, None] / FRAME_RATE * speed + phase
        return np.asarray(size * np.sin(angle).sum(-1) / np.sqrt(2.0))

    def spot(name: str, offset: Array) -> Array:
        base = np.array(_HANDS[name])
        if name != "rest":
            base[1] = -84.0 + (base[1] + 84.0) * (1.0 + 0.5 * (who.amplitude - 1.0))
            base[2] *= 1.0 - 0.25 * max(0.0, 1.0 - who.amplitude)
        return np.asarray(base + offset)

    keys = _hand_keys(action, rng)
    times = np.array([time for time, _ in keys])
    gaps = np.diff(times) * rng.uniform(0.75, 1.3, len(times) - 1)
    times = start + (end - start) * np.concatenate([[0.0], np.cumsum(gaps) / gaps.sum()])
    common = rng.normal(0.0, _SPREAD, 3)  # shared by all keys: where the hand is says little
    if action == _HOLD:
        common[0] += rng.uniform(-26.0, 26.0)  # anywhere a wave may pass
    offsets = {name: 0.8 * common + rng.normal(0.0, _SPREAD, 3) * 0.6 for _, name in keys}
    offsets["rest"] = rng.normal(0.0, (10.0, 3.0, 0.01))
    path = minimum_jerk(clock, times, np.stack([spot(name, offsets[name]) for _, name in keys]))
    if action in (_FORWARDS, _BACKWARDS):
        turns = float(rng.integers(1, 3)) * (1.0 if action == _FORWARDS else -1.0)
        path[:, 1] += minimum_jerk(clock, np.array([start, end]), np.array([0.0, 360.0 * turns]))
        path[:, 0] += rng.uniform(0.0, 25.0)
    used, other = who.side, 1 - who.side
    if rng.random() < 0.1:
        used, other = other, used
    hands = np.empty((frames, 2, 3))
    hands[:, used] = path
    idle = spot(str(rng.choice(["rest", "rest", "rest", "hip", "bent"])), rng.normal(0.0, _SPREAD, 3) * 0.6)
    lifted = rng.uniform(0.0, 50.0) * (rng.random() < 0.4)
    middle, half = rng.uniform(0.1, 0.9) * frames, rng.uniform(6.0, 14.0)
    fidget = minimum_jerk(clock, middle + half * np.array([-1.0, 0.0, 1.0]), np.array([0.0, lifted, 0.0]))
    hands[:, other] = idle
    hands[:, other, 1] += fidget
    if action in _BOTH_HANDS and not (action in (_PUSH, _PULL) and rng.random() < 0.4):
        hands[:, other] = path + rng.normal(0.0, _SPREAD, 3) * 0.5
    for side in (0, 1):
        hands[:, side, 0] += drift(5.0)
        hands[:, side, 1] += drift(4.0)

    seat = np.zeros(frames)
    if action in (_SIT, _STAND):
        ends = np.array([0.0, 1.0] if action == _SIT else [1.0, 0.0])
        seat = minimum_jerk(clock, np.array([start, end]), ends)
    low = who.leg + 0.06 * who.height * rng.uniform(0.6, 1.4)
    high = 1.985 * who.leg + 0.067 * who.height
    back = rng.uniform(0.75, 0.95) * who.leg
    root = np.stack([drift(who.sway), high + seat * (low - high), drift(who.sway) - seat * back], axis=-1)
    root[:, 1] -= 0.3 * np.abs(drift(who.sway))
    turn = np.stack([drift(0.08), who.lean + drift(0.03), drift(0.02), drift(0.06)], axis=-1)
    turn[:, 1] += rng.uniform(0.35, 0.8) * np.sin(np.pi * seat)
    reaching = np.cos(np.deg2rad(path[:, 1])) * path[:, 2]
    turn[:, 1] += rng.uniform(0.0, 0.12) * (reaching - reaching[0])
    turn[:, 3] += rng.normal(0.0, 0.12) * (reaching - reaching[0])
    head = np.stack([0.1 + drift(0.08), drift(0.2)], axis=-1)
    stance = (1.0 + rng.uniform(0.0, 0.8)) * who.hip
    feet = np.empty((frames, 2, 3))
    for side, sign in ((0, 1.0), (1, -1.0)):
        feet[:, side] = (sign * stance, 0.055 * who.height, rng.normal(0.0, 0.03))
    return _Pose(root, turn, head, hands, feet)


def _walk(pose: _Pose, way: Array, steps: int, rng: np.random.Generator) -> None:
    """Moves a standing pose forwards by `way` (T,) metres in a number of steps, feet and arms in turn."""
    total = way[-1] - way[0]
    share = (way - way[0]) / total
    pose.root[:, 2] += way
    first = int(rng.integers(2))
    for side in (0, 1):
        late = float(side == first)
        phase = share * steps + late
        landed = np.floor(phase / 2.0)
        swing = np.clip(phase - 2.0 * landed, 0.0, 1.0)
        swing = swing * swing * (3.0 - 2.0 * swing)
        step = np.clip(2.0 * (landed + swing) - 0.5 - late, 0.0, steps)
        pose.feet[:, side, 2] += way[0] + total * step / steps
        pose.feet[:, side, 1] += 0.09 * np.sin(np.pi * swing)
        stride = np.sin(np.pi * phase) * np.clip(8.0 * share * (1.0 - share), 0.0, 1.0)
        pose.hands[:, 1 - side, 1] += 14.0 * stride
    pose.root[:, 1] -= 0.015 * (1.0 - np.cos(2.0 * np.pi * share * steps))


def actor(
    who: Performer, action: int, start: float, end: float, way: Array, rng: np.random.Generator
) -> Array:
    """The joints (T, 25, 3) of one person who acts from frame `start` to frame `end` and idles around it.

    Args:
        who: the performer, who stands at the origin and looks along +z.
        action: 1 to `len(CLASSES)`.
        start: a frame, not necessarily whole, as is `end`.
        end: later than `start`.
        way: (T,) metres walked along +z; a constant for who stays.
        rng: draws the performance.
    """
    pose = _act(who, action, len(way), start, end, rng)
    if way[0] != way[-1]:
        _walk(pose, way, int(rng.integers(2, 5)), rng)
    return _skeleton(who, pose)
