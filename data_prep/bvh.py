"""Reads motion capture from BVH: a hierarchy of joints with Euler channels, to positions.

A joint's rotations apply in the order in which its channels stand; position channels replace its offset.
Where a bone ends without a joint, the `End Site` is a joint called `PARENT end`.
"""

import math
from dataclasses import dataclass

import numpy as np

from action_indrnn.data_prep.clip import ClipError
from action_indrnn.data_prep.points import Doubles

_MOST_JOINTS = 1000
_LONGEST_HIERARCHY = 1_000_000
_MOST_NUMBERS = 20_000_000
_AXES = {"X": 0, "Y": 1, "Z": 2}


@dataclass(frozen=True)
class _Joint:
    name: str
    parent: int
    offset: list[float]
    channels: list[str]


class _Words:
    """The words of the hierarchy with their lines."""

    def __init__(self, lines: list[str], source: str) -> None:
        if sum(map(len, lines)) > _LONGEST_HIERARCHY:
            raise ClipError(f"{source}:1: expected at most {_LONGEST_HIERARCHY} letters before MOTION")
        self.words = [(word, number) for number, line in enumerate(lines, 1) for word in line.split()]
        self.source = source
        self.at = 0

    def next(self, what: str) -> str:
        if self.at >= len(self.words):
            raise ClipError(f"{self.source}:{self.line}: expected {what}, found the end")
        self.at += 1
        return self.words[self.at - 1][0]

    @property
    def line(self) -> int:
        return self.words[min(max(self.at - 1, 0), len(self.words) - 1)][1] if self.words else 1

    def expect(self, word: str) -> None:
        found = self.next(word)
        if found != word:
            raise ClipError(f"{self.source}:{self.line}: expected {word}, found '{found[:40]}'")

    def number(self, what: str) -> float:
        return _number(self.next(what), f"{self.source}:{self.line}: {what}")


def _number(word: str, where: str) -> float:
    try:
        number = float(word)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise ClipError(f"{where}: expected a number, found '{word[:40]}'")
    return number


def read(text: str, source: str) -> tuple[Doubles, tuple[str, ...]]:
    """The joints (1, T, V, 3) of a BVH file in its own unit, and their names.

    Raises:
        ClipError: damaged; names the line.
    """
    lines = text.splitlines()
    start = next((place for place, line in enumerate(lines) if line.strip() == "MOTION"), None)
    if start is None:
        raise ClipError(f"{source}:{max(len(lines), 1)}: expected a line MOTION, found the end")
    joints = _hierarchy(_Words(lines[:start], source))
    motion = _motion(lines, start + 1, sum(len(joint.channels) for joint in joints), source)
    names = tuple(joint.name for joint in joints)
    return _positions(joints, motion)[None], names


def _hierarchy(words: _Words) -> list[_Joint]:
    """The joints, parents before their children."""
    words.expect("HIERARCHY")
    words.expect("ROOT")
    joints: list[_Joint] = []
    open_joints: list[int] = []
    _open(words, words.next("a name"), joints, open_joints)
    while open_joints:
        word = words.next("JOINT, End Site or }")
        if word == "}":
            open_joints.pop()
        elif word == "JOINT":
            _open(words, words.next("a name"), joints, open_joints)
        elif word == "End":
            words.expect("Site")
            _open(words, f"{joints[open_joints[-1]].name} end", joints, open_joints, channels=False)
        else:
            raise ClipError(
                f"{words.source}:{words.line}: expected JOINT, End Site or }}, found '{word[:40]}'"
            )
    if words.at < len(words.words):
        extra = words.next("MOTION")
        raise ClipError(
            f"{words.source}:{words.line}: expected MOTION after one hierarchy, found '{extra[:40]}'"
        )
    return joints


def _open(
    words: _Words, name: str, joints: list[_Joint], open_joints: list[int], *, channels: bool = True
) -> None:
    """Take a joint up to its channels and leave it open."""
    words.expect("{")
    words.expect("OFFSET")
    offset = [words.number("OFFSET") for _ in range(3)]
    listed: list[str] = []
    if channels:
        words.expect("CHANNELS")
        count = words.next("a number of channels")
        if count not in "0123456":
            raise ClipError(f"{words.source}:{words.line}: expected 0 to 6 channels, found '{count[:40]}'")
        for _ in range(int(count)):
            channel = words.next("a channel")
            if channel[:1] not in _AXES or channel[1:] not in ("position", "rotation") or channel in listed:
                raise ClipError(
                    f"{words.source}:{words.line}: expected a channel as Xrotation, found '{channel[:40]}'"
                )
            listed.append(channel)
    if len(joints) >= _MOST_JOINTS:
        raise ClipError(f"{words.source}:{words.line}: expected at most {_MOST_JOINTS} joints, found more")
    joints.append(_Joint(name, open_joints[-1] if open_joints else -1, offset, listed))
    open_joints.append(len(joints) - 1)


def _motion(lines: list[str], at: int, channels: int, source: str) -> Doubles:
    """(T, channels) the numbers below MOTION."""
    rows = ((number, line) for number, line in enumerate(lines[at:], at + 1) if line.strip())
    (counted, first), (_, second) = next(rows, (at + 1, "")), next(rows, (at + 1, ""))
    told = first.split()
    if told[:1] != ["Frames:"] or second.split()[:2] != ["Frame", "Time:"]:
        raise ClipError(f"{source}:{at + 1}: expected the lines 'Frames:' and 'Frame Time:'")
    frames: list[Doubles] = []
    for number, line in rows:
        words = line.split(None, channels)
        if len(words) != channels:
            found = len(line.split())
            raise ClipError(f"{source}:{number}: expected {channels} numbers, found {found}")
        places = enumerate(words, 1)
        frames.append(np.array([_number(word, f"{source}:{number}: number {at}") for at, word in places]))
        if len(frames) * channels > _MOST_NUMBERS:
            raise ClipError(f"{source}:{number}: expected at most {_MOST_NUMBERS} numbers, found more")
    if told[1:] != [str(len(frames))] or not frames:
        raise ClipError(f"{source}:{counted}: expected Frames: {len(frames)}, as many as lines follow")
    return np.stack(frames)


def _positions(joints: list[_Joint], motion: Doubles) -> Doubles:
    """(T, V, 3) forward kinematics."""
    places: list[Doubles] = []
    turns: list[Doubles] = []
    used = 0
    for joint in joints:
        offset = np.tile(joint.offset, (len(motion), 1))
        turn = np.tile(np.eye(3), (len(motion), 1, 1))
        for channel in joint.channels:
            axis, values = _AXES[channel[0]], motion[:, used]
            used += 1
            if channel.endswith("position"):
                offset[:, axis] = values
            else:
                turn = turn @ _about(axis, np.deg2rad(values))
        if joint.parent >= 0:
            offset = places[joint.parent] + (turns[joint.parent] @ offset[..., None])[..., 0]
            turn = turns[joint.parent] @ turn
        places.append(offset)
        turns.append(turn)
    return np.stack(places, axis=1)


def _about(axis: int, angle: Doubles) -> Doubles:
    """(T, 3, 3) rotations about an axis."""
    first, second = (axis + 1) % 3, (axis + 2) % 3
    turn = np.zeros((len(angle), 3, 3))
    turn[:, axis, axis] = 1
    turn[:, first, first] = turn[:, second, second] = np.cos(angle)
    turn[:, first, second], turn[:, second, first] = -np.sin(angle), np.sin(angle)
    return turn
