"""Every frame of a recording, as a network that detects actions sees it: in pieces for training, clips whole.

Shapes: `T` frames, `S` of a piece, `B` clips or pieces in a batch, `M` bodies, `V` joints, `F` features.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

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
        joints, labels = self._cut(random) if real else self._made(number, random)
        x = features(joints, self.layout, self.follow)
        lacking = self.frames - len(x)  # of a recording that ends
        labels = np.pad(labels, (lacking, 0), constant_values=NONE)
        return np.pad(x, ((lacking, 0), (0, 0))), np.where(labels == NONE, self.none, labels)

    def _cut(self, random: np.random.Generator) -> tuple[Floats, Integers]:
        """A part of an untrimmed recording; long recordings come more often."""
        lengths = np.array([len(one.joints) for one in self.recordings], float)
        one = self.recordings[int(random.choice(len(lengths), p=lengths / lengths.sum()))]
        wanted = int(self.frames * (1 + self.speed)) + 1
        part = self._part(one, int(random.integers(max(1, len(one.joints) - wanted + 1))), wanted)
        joints, labels = _played(*part, self._speed(random)) if self.speed else part
        first = int(random.integers(max(1, len(joints) - self.frames + 1)))
        return joints[first : first + self.frames], labels[first : first + self.frames]

    def _made(self, number: int, random: np.random.Generator) -> tuple[Floats, Integers]:
        """From anywhere in a clip or the pause before it on, and others behind it, most after a pause."""
        chosen: list[Floats] = []
        labels, pauses, first, frames = [], [], 0, 0
        while frames < first + self.frames:
            joints, label = clip(self.clips, number)[:, : self.clips.actors], int(self.labels[number])
            if self.speed:
                joints, _ = _played(joints, np.zeros(len(joints), np.int64), self._speed(random))
            pause = 0
            if random.random() >= CUT:
                pause = int(RATE * self.pause * (SHORTEST + random.exponential(1 - SHORTEST)))
            frames += pause + len(joints)
            if not chosen:
                first = int(random.integers(frames))
            chosen.append(joints)
            labels.append(label)
            pauses.append(pause)
            number = int(random.choice(self.numbers))
        return self._part(
            untrimmed.of_clips("piece", chosen, labels, [*pauses, 0], RATE, random), first, self.frames
        )

    def _part(self, one: Untrimmed, first: int, frames: int) -> tuple[Floats, Integers]:
        """(T, M, V, 3) the joints and (T,) the labels of a recording's frames from one on."""
        joints = one.joints[first : first + frames, : self.clips.actors]
        lacking = self.clips.actors - joints.shape[1]
        joints = np.pad(joints, ((0, 0), (0, lacking), (0, 0), (0, 0)), constant_values=np.nan)
        return joints, one.labels()[first : first + frames]

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
