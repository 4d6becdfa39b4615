"""Every frame of a recording, as a network that detects actions sees it: in pieces for training, clips whole.

Shapes: `T` frames, `S` of a piece, `B` clips or pieces in a batch, `M` bodies, `V` joints, `F` features.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from action_indrnn.data_prep import following, untrimmed
from action_indrnn.data_prep.clip import Floats
from action_indrnn.data_prep.layout import Layout
from action_indrnn.data_prep.untrimmed import NONE, Untrimmed
from action_indrnn.dataset import Clips, Integers
from action_indrnn.scene import RATE

REAL = 0.5  # share of the pieces that are cut from untrimmed recordings, where there are any
CUT = 0.25  # share of the clips that follow the one before without a pause
SHORTEST = 0.5  # mean pauses; a pause is that and an exponential rest


def features(joints: Floats, layout: Layout, follow: float) -> NDArray[np.float32]:
    """(T, F) what the network gets of joints (T, M, V, 3), NaN where not seen.

    Args:
        joints: of one recording.
        layout: of them.
        follow: seconds; see `data_prep.following`.
    """
    origins, turns = following.whole(joints[:, 0], layout, follow * RATE)
    x = (joints - origins[:, None, None]) @ turns.transpose(0, 2, 1)[:, None]
    found: NDArray[np.float32] = np.nan_to_num(x, nan=0.0).reshape(len(x), -1).astype(np.float32, copy=False)
    return found


def clip(clips: Clips, number: int) -> Floats:
    """(T, M, V, 3) the joints of a clip, NaN where not seen."""
    start, length, bodies = (int(column[number]) for column in (clips.start, clips.length, clips.bodies))
    return untrimmed.of_clip(clips.rows[start : start + length * bodies].cpu().numpy(), bodies)


def batches(
    clips: Clips, numbers: Integers, layout: Layout, follow: float, batch: int
) -> Iterator[tuple[slice, Tensor, Tensor]]:
    """Yields which of the numbers, their frames (T, B, F) with zeros behind the ends, and lengths (B,)."""
    for start in range(0, len(numbers), batch):
        some = numbers[start : start + batch]
        shown = (clip(clips, int(number))[:, : clips.actors] for number in some)
        parts = [torch.from_numpy(features(joints, layout, follow)) for joints in shown]
        lengths = torch.tensor([len(part) for part in parts])
        yield slice(start, start + len(some)), torch.nn.utils.rnn.pad_sequence(parts), lengths


def class_logits(logits: Tensor) -> Tensor:
    """(..., K) log-probabilities of the classes, one of which goes on, out of logits (..., K + 1)."""
    return torch.log_softmax(logits[..., :-1].float(), dim=-1)


def running_means(logits: Tensor) -> Tensor:
    """(T, B, K) what is said of a clip after each of its frames: the mean over the frames so far."""
    steps = torch.arange(1, len(logits) + 1, device=logits.device)[:, None, None]
    return class_logits(logits).cumsum(dim=0) / steps


@dataclass(frozen=True)
class Pieces:
    """Pieces of untrimmed recordings to learn from.

    Attributes:
        clips: of the set.
        labels: of all clips.
        numbers: the clips that train.
        recordings: the untrimmed recordings that train.
        layout: of the joints.
        frames: S.
        follow, pause: seconds; see `config.Data`.
        speed: a clip is played up to 1 + speed times faster or slower.
        none: the output for frames without an action, K.
    """

    clips: Clips
    labels: Integers
    numbers: Integers
    recordings: Sequence[Untrimmed]
    layout: Layout
    frames: int
    follow: float
    pause: float
    speed: float
    none: int

    def draw(self, number: int, random: np.random.Generator) -> tuple[NDArray[np.float32], Integers]:
        """A piece (S, F) and each frame's output (S,): of a clip and what follows it, or of a recording."""
        real = bool(self.recordings) and random.random() < REAL
        made = self._cut(random) if real else self._made(number, random)
        joints, labels = made.joints, made.labels()
        if real and self.speed:
            joints, labels = _played(joints, labels, self._speed(random))
        first = int(random.integers(max(1, len(joints) - self.frames + 1)))
        last = first + self.frames
        x = features(joints[first:last, : self.clips.actors], self.layout, self.follow)
        labels = labels[first:last]
        lacking = self.frames - len(x)  # of a recording that ends
        labels = np.pad(labels, (lacking, 0), constant_values=NONE)
        return np.pad(x, ((lacking, 0), (0, 0))), np.where(labels == NONE, self.none, labels)

    def _cut(self, random: np.random.Generator) -> Untrimmed:
        """A part of an untrimmed recording, of more frames than a piece; long recordings come more often."""
        lengths = np.array([len(one.joints) for one in self.recordings], float)
        one = self.recordings[int(random.choice(len(lengths), p=lengths / lengths.sum()))]
        wanted = int(self.frames * (1 + self.speed)) + 1
        first = int(random.integers(max(1, len(one.joints) - wanted + 1)))
        part = one.labels()[first : first + wanted]
        edges = np.flatnonzero(np.diff(part)) + 1
        bounds = [0, *edges.tolist(), len(part)]
        actions = [
            untrimmed.Action(start, end, int(part[start]))
            for start, end in pairwise(bounds)
            if part[start] != NONE
        ]
        joints = one.joints[first : first + wanted]
        absent = np.full((len(joints), 2 - joints.shape[1], *joints.shape[2:]), np.nan, np.float32)
        return Untrimmed(one.name, np.concatenate((joints, absent), axis=1), actions, {})

    def _made(self, number: int, random: np.random.Generator) -> Untrimmed:
        """A clip and others behind it, with pauses before most of them, of more frames than a piece."""
        chosen, labels, pauses, frames = [], [], [], 0
        while frames < 2 * self.frames:
            joints, label = clip(self.clips, number), int(self.labels[number])
            if self.speed:
                joints, _ = _played(joints, np.zeros(len(joints), np.int64), self._speed(random))
            pause = 0
            if random.random() >= CUT:
                pause = int(RATE * self.pause * (SHORTEST + random.exponential(1 - SHORTEST)))
            chosen.append(joints)
            labels.append(label)
            pauses.append(pause)
            frames += pause + len(joints)
            number = int(random.choice(self.numbers))
        return untrimmed.of_clips("piece", chosen, labels, [*pauses, 0], RATE, random)

    def _speed(self, random: np.random.Generator) -> float:
        return float((1 + self.speed) ** random.uniform(-1, 1))


def _played(joints: Floats, labels: Integers, speed: float) -> tuple[Floats, Integers]:
    """Joints (T, M, V, 3) and labels (T,) at another speed, joints on the line from one frame to the next."""
    places = np.linspace(0, len(joints) - 1, max(2, round(len(joints) / speed)))
    floor = places.astype(np.int64)
    later = np.minimum(floor + 1, len(joints) - 1)
    share = (places - floor).astype(np.float32)[:, None, None, None]
    near = np.round(places).astype(np.int64)
    between = joints[floor] + share * (joints[later] - joints[floor])
    return np.where(np.isnan(between), joints[near], between), labels[near]
