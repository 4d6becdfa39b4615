"""Untrimmed recordings: long ones, with actions in them and whatever people do between.

They are real, where a data set has them, or made of its clips, with pauses between them. A pause is made of
the poses around it: the last one of the clip before is held, slightly moving, then the person moves into the
first one of the clip behind and holds that. Where the two poses are far apart the picture is cut instead, as
if another had stepped in; a movement made up there could be an action itself, such as standing up.

Shapes: `T` frames, `M` bodies, `V` joints; joints (T, M, V, 3) in metres, NaN where a body was not seen.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from action_indrnn.data_prep.bodies import MOST_ACTORS
from action_indrnn.data_prep.clip import Floats
from action_indrnn.data_prep.sources import UNPACKABLE

FILE = "untrimmed.npz"
NONE = -1  # the label of a frame in which no action goes on
REACH = 0.15  # metres between two poses, the mean over the joints, up to which one is moved into the other
_SWAY = 0.01, 0.004  # metres, amplitude of a standing body and, beside that, of each joint
_SLOWEST, _FASTEST = 3.0, 15.0  # radians a second


@dataclass(frozen=True)
class Action:
    """An action in an untrimmed recording, in frames: from `start` to before `end`."""

    start: int
    end: int
    label: int


@dataclass(frozen=True, eq=False)
class Untrimmed:
    """An untrimmed recording.

    Attributes:
        name: its own.
        joints: (T, M, V, 3).
        actions: in the order of their starts.
        columns: what the index would say of it, such as its subject.
    """

    name: str
    joints: Floats
    actions: Sequence[Action]
    columns: Mapping[str, int]

    def labels(self) -> NDArray[np.int64]:
        """(T,) the class of every frame; of two actions that overlap the later one's."""
        found = np.full(len(self.joints), NONE, np.int64)
        for action in self.actions:
            found[action.start : action.end] = action.label
        return found


def of_clip(rows: Floats, bodies: int) -> Floats:
    """(T, MOST_ACTORS, V, 3) a clip out of a prepared set's rows (bodies T, V, 3)."""
    joints = rows.reshape(bodies, -1, *rows.shape[1:]).swapaxes(0, 1)
    if bodies == MOST_ACTORS:
        return joints
    nobody = np.full((len(joints), MOST_ACTORS - bodies, *joints.shape[2:]), np.nan, np.float32)
    return np.concatenate((joints, nobody), axis=1)


def of_clips(
    name: str,
    clips: Sequence[Floats],
    labels: Sequence[int],
    pauses: Sequence[int],
    rate: float,
    random: np.random.Generator,
) -> Untrimmed:
    """Clips one after another.

    Args:
        name: of the recording.
        clips: (T, M, V, 3) each.
        labels: theirs.
        pauses: frames before each clip, and behind the last; 0 for a cut.
        rate: frames a second.
        random: draws the pauses' movement.
    """
    parts: list[Floats] = []
    actions = []
    at, before = 0, clips[0][0]
    for clip, label, frames in zip(clips, labels, pauses, strict=False):
        moved = clip
        if frames:
            moved = clip + _way(clip[0], before)
            parts.append(_pause(before, moved[0], frames, rate, random))
            at += frames
        parts.append(moved)
        actions.append(Action(at, at + len(clip), int(label)))
        at, before = at + len(clip), moved[-1]
    if pauses[-1]:
        parts.append(_pause(before, before, pauses[-1], rate, random))
    return Untrimmed(name, np.concatenate(parts), actions, {})


def _way(first: Floats, last: Floats) -> Floats:
    """(3,) where a pose (M, V, 3) is to be moved, over the floor, to stand where another one stands."""
    here, there = first[0].mean(axis=0), last[0].mean(axis=0)
    way = np.array([there[0] - here[0], 0, there[2] - here[2]], np.float32)
    return way if np.isfinite(way).all() else np.zeros(3, np.float32)


def _pause(before: Floats, after: Floats, frames: int, rate: float, random: np.random.Generator) -> Floats:
    """(frames, M, V, 3) from one pose (M, V, 3) to another."""
    begin, end = np.sort(random.random(2))
    place = (np.arange(frames) + 1) / (frames + 1)
    share = np.clip((place - begin) / max(end - begin, 1e-3), 0, 1)
    far = np.linalg.norm(after[0] - before[0], axis=1).mean() > REACH
    share = np.where(far, share >= 0.5, share * share * (3 - 2 * share)).astype(np.float32)
    share = share[:, None, None, None]
    held = before + share * (after - before)  # NaN where a body is in one of them alone
    held = np.where(np.isnan(held), np.where(share < 0.5, before, after), held)
    return held + _sway(frames, held.shape[1:], rate, random)


def _sway(frames: int, shape: Sequence[int], rate: float, random: np.random.Generator) -> Floats:
    """(frames, M, V, 3) how a body moves that stands still; nothing at either end."""
    time = (np.arange(frames, dtype=np.float32) / np.float32(rate))[:, None, None, None]
    total = np.zeros((frames, *shape), np.float32)
    for amplitude, joints in zip(_SWAY, (1, shape[1]), strict=True):
        size = (1, shape[0], joints, shape[2])
        speed = random.uniform(_SLOWEST, _FASTEST, size).astype(np.float32)
        phase = random.uniform(0, 2 * np.pi, size).astype(np.float32)
        most = (amplitude * random.standard_normal(size)).astype(np.float32)
        total += most * np.sin(speed * time + phase)
    fade = np.minimum(1, np.minimum(np.arange(frames), np.arange(frames)[::-1]) / (0.2 * rate))
    return total * fade[:, None, None, None].astype(np.float32)


def write(folder: Path, recordings: Sequence[Untrimmed]) -> None:
    """Put untrimmed recordings of one body each beside a prepared set's clips."""
    columns = sorted({name for one in recordings for name in one.columns})
    np.savez(
        folder / FILE,
        names=np.array([one.name for one in recordings]),
        lengths=np.array([len(one.joints) for one in recordings]),
        joints=np.concatenate([one.joints for one in recordings]),
        actions=np.array(
            [
                (number, *vars(action).values())
                for number, one in enumerate(recordings)
                for action in one.actions
            ]
        ),
        columns=np.array(columns),
        values=np.array([[one.columns[name] for name in columns] for one in recordings]),
    )


def read(folder: Path) -> list[Untrimmed]:
    """The untrimmed recordings of a prepared set; none where it has none.

    Raises:
        ValueError: the file is damaged.
    """
    path = folder / FILE
    if not path.is_file():
        return []
    try:
        with path.open("rb") as opened, np.load(opened) as file:
            found = {name: file[name] for name in file.files}
        ends = np.cumsum(found["lengths"])
        if ends[-1:] != [len(found["joints"])]:
            raise ValueError(f"expected as many frames as its lengths say, found {len(found['joints'])}")
        columns = found["columns"].tolist()
        return [
            Untrimmed(
                str(name),
                found["joints"][end - length : end],
                [Action(*row) for of, *row in found["actions"].tolist() if of == number],
                dict(zip(columns, values, strict=True)),
            )
            for number, (name, length, end, values) in enumerate(
                zip(found["names"], found["lengths"], ends, found["values"].tolist(), strict=True)
            )
        ]
    except (ValueError, KeyError, IndexError, TypeError, *UNPACKABLE) as error:
        raise ValueError(f"{path}: damaged: {error}") from error
