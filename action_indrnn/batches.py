"""The batches of a training run: which clips, how sampled and varied, and which of them are this process's.

Every random number follows from the run's seed and the number of the epoch or step, never from what ran
before, from the device, or from how many processes share the work.

Shapes: S sampled frames, B clips of a part, F features.
"""

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from action_indrnn import augment, mirror_images, processes
from action_indrnn.config import Config
from action_indrnn.data_prep.bodies import MOST_ACTORS
from action_indrnn.data_prep.layout import Layout
from action_indrnn.dataset import Clips, Integers, draw_frames, even_shares, sample_frames
from action_indrnn.every_frame import Pieces
from action_indrnn.seeds import seed_torch

WEIGHTS, _ORDER, _FRAMES, _DROPOUT, _VARIATION = 4, 1, 2, 3, 5  # what a number is for; 0 is the split's
_TIMING, _SHEAR, _MIRROR, _NOISE, _JOINTS, _BODIES, _SPLICE, _PIECES = 6, 7, 8, 9, 10, 11, 12, 13
_GLITCH, _DISPLACEMENT, _ABSENCE, _GRAFT, _EXCHANGE = 14, 15, 16, 17, 18


class Batches:
    """The training clips, epoch by epoch and step by step.

    Attributes:
        size: clips of a step, of all processes and parts together.
        steps: in an epoch; the clips beyond the last full batch wait for another epoch.
        image: (K,) the class that each class's mirror image is of, see `mirror_images`; none where nothing is
            mirrored.
    """

    def __init__(
        self,
        settings: Config,
        clips: Clips,
        labels: Integers,
        numbers: Integers,
        device: torch.device,
        layout: Layout,
        pieces: Pieces | None = None,
        classes: Sequence[str] = (),
    ) -> None:
        """Take in which clips to train on.

        Args:
            settings: of the run.
            clips: of the set.
            labels: of all of them.
            numbers: those to train on.
            device: where batches are wanted.
            layout: of the clips' joints.
            pieces: what to see instead of single clips; see `every_frame`.
            classes: names of the labels, by which mirror images may be of another class; see
                `mirror_images`.

        Raises:
            ValueError: a batch cannot be shared by the parts and processes, or has no variance; or every
                frame is asked for without pieces.
        """
        if settings.detects and pieces is None:
            raise ValueError(
                "data.sampling 'every': expected untrimmed recordings to learn from, found clips"
            )
        self.settings = settings
        self.clips = clips
        self.labels = labels
        self.numbers = numbers
        self.device = device
        self.pieces = pieces
        joints = clips.rows.shape[1]
        self.mirror = settings.data.mirror if layout.pairs else 0.0
        self.swapped = augment.mirrored_joints(joints, layout.pairs).to(device)
        lacking = max(0, labels[numbers].max() + 1 - len(classes))
        names = (*classes, *[""] * (lacking + 1))  # with every frame, the last output is of no class
        self.image = (
            np.array(mirror_images.classes_of(clips, labels, numbers, layout, names)) if self.mirror else None
        )
        limbs = augment.limbs_of(joints, layout.bones)
        self.limbs, self.forks = limbs.to(device), augment.forks_of(limbs, layout.bones).to(device)
        if settings.data.graft and not len(self.forks):
            raise ValueError("data.graft: expected a joint layout with limbs, found none")
        self.like = _by_class(labels, numbers) if settings.data.graft else {}
        self.size = min(settings.train.batch, len(numbers))
        self.steps = len(numbers) // self.size
        accumulate = settings.train.accumulate
        if self.size % (accumulate * processes.count()):
            raise ValueError(
                f"train.batch: expected a multiple of {accumulate} parts x {processes.count()} processes, "
                f"found {self.size}"
            )
        if self.size // accumulate * settings.data.frames < 2:
            raise ValueError("train.batch x data.frames: batch normalisation expects at least 2, found 1")

    def unmirrored(self) -> list[int]:
        """The classes that have no mirror images while others have."""
        return [] if self.image is None else np.flatnonzero(self.image == mirror_images.NONE).tolist()

    def of(self, epoch: int) -> Integers:
        """The clip numbers of an epoch's batches, (steps, size)."""
        order = np.random.default_rng([self.settings.train.seed, _ORDER, epoch]).permutation(self.numbers)
        return order[: self.steps * self.size].reshape(self.steps, self.size)

    def parts(self, numbers: Integers, step: int) -> Iterator[tuple[Tensor, Tensor]]:
        """Yields this process's share of every part of a batch: x (S, B, F) and labels (B,) or (S, B).

        torch's random numbers, which dropout takes, begin at the step's place.

        Args:
            numbers: clips of the whole batch.
            step: over all epochs, from 0.
        """
        seed, data = self.settings.train.seed, self.settings.data
        seed_torch(seed, _DROPOUT, step)
        # All processes draw the numbers of the whole batch, so its clips look the same however it is shared.
        random = np.random.default_rng([seed, _FRAMES, step])
        frames = draw_frames(data.frames, data.frames_deviation, random)
        uniform = random.random((len(numbers), frames + 1))
        varied = np.random.default_rng([seed, _VARIATION, step]).random((len(numbers), augment.NUMBERS))
        size = len(numbers) // self.settings.train.accumulate
        for start in range(0, len(numbers), size):
            mine = processes.share(size, start)
            labels: NDArray[np.int64] = self.labels[numbers[mine]]
            if self.pieces is None:
                x = self._sent(self._sampled(numbers, mine, frames, uniform, step))
            else:
                x, labels = self._drawn(self.pieces, numbers, mine, step)
            if data.graft:
                x = self._grafted(x, numbers, mine, frames, uniform, step)
            if data.exchange:
                chosen = self._random(_EXCHANGE, step).random(len(numbers)) < data.exchange
                x = self.clips.exchanged(x, numbers[mine], chosen[mine])
            if data.splice:
                x = self._spliced(x, numbers, mine, frames, step)
            if self.image is not None:
                drawn = self._random(_MIRROR, step).random(len(numbers))[mine]
                alone = (self.image[labels] == mirror_images.NONE).reshape(-1, len(drawn)).any(axis=0)
                drawn[alone] = 1
                x = augment.mirror(x, self._sent(drawn), self.mirror, self.swapped)
                labels = np.where(drawn < self.mirror, self.image[labels], labels)
            x = self._varied(x, len(numbers), mine, step)
            if data.rotation or data.scaling:
                x = augment.vary(x, self._sent(varied[mine]), data.rotation, data.scaling)
            x = self._damaged(x, len(numbers), mine, step)
            yield x, self._sent(labels)

    def _drawn(self, pieces: Pieces, numbers: Integers, mine: slice, step: int) -> tuple[Tensor, Integers]:
        """Pieces (S, B, F) that begin with this process's clips, and each frame's output (S, B)."""
        seed = self.settings.train.seed
        parts = [
            pieces.draw(int(numbers[at]), np.random.default_rng([seed, _PIECES, step, at]))
            for at in range(len(numbers))[mine]
        ]
        labels = np.stack([labels for _, labels in parts], axis=1)
        return self._sent(torch.from_numpy(np.stack([x for x, _ in parts], axis=1))), labels

    def _random(self, purpose: int, step: int) -> np.random.Generator:
        return np.random.default_rng([self.settings.train.seed, purpose, step])

    def _sampled(
        self, numbers: Integers, mine: slice, frames: int, uniform: NDArray[np.float64], step: int
    ) -> Tensor:
        """Sampled frames (S, B, F) of this process's clips, of a part of each where asked for."""
        data, clips = self.settings.data, self.clips
        if data.crop == 1 and not data.speed:
            return clips.sample(numbers[mine], frames, uniform[mine], data.sampling)
        device = clips.rows.device
        some = torch.from_numpy(numbers[mine]).to(device)
        drawn = torch.from_numpy(self._random(_TIMING, step).random((len(numbers), 3))[mine]).to(device)
        timing = augment.timing(clips.length[some], drawn, data.crop, data.speed)
        random = torch.from_numpy(uniform[mine]).to(device)
        if data.sampling == "whole":
            places = even_shares(frames, random) * (timing.length[:, None] - 1)
            return clips.between(some, timing.start[:, None] + places)
        return clips.batch(some, timing.frames(sample_frames(timing.played, frames, random)))

    def _grafted(
        self,
        x: Tensor,
        numbers: Integers,
        mine: slice,
        frames: int,
        uniform: NDArray[np.float64],
        step: int,
    ) -> Tensor:
        """The clips (S, B, F), some with a limb of another of the class, at the same shares of both clips."""
        random = self._random(_GRAFT, step)
        drawn, chosen = random.random((len(numbers), MOST_ACTORS, 2)), random.random(len(numbers))
        drawn = drawn[mine, : self.clips.actors]
        classes = [self.like[label] for label in self.labels[numbers].tolist()]
        others = np.array([own[int(at * len(own))] for own, at in zip(classes, chosen, strict=True)])
        other = self._sent(self._sampled(others, mine, frames, uniform, step))
        return augment.graft(x, other, self._sent(drawn), self.settings.data.graft, self.limbs, self.forks)

    def _spliced(self, x: Tensor, numbers: Integers, mine: slice, frames: int, step: int) -> Tensor:
        """The clips (S, B, F), some of them behind the end of another of the batch."""
        random = self._random(_SPLICE, step)
        drawn, others = random.random((len(numbers), 2)), random.permutation(numbers)
        uniform = random.random((len(numbers), frames + 1))
        before = self._sent(self._sampled(others, mine, frames, uniform, step))
        return augment.splice(x, before, self._sent(drawn[mine]), self.settings.data.splice)

    def _varied(self, x: Tensor, size: int, mine: slice, step: int) -> Tensor:
        """The clips (S, B, F) in other shapes: sheared, with a body less, with joints displaced."""
        data, actors = self.settings.data, self.clips.actors
        if data.displacement:
            random, joints = self._random(_DISPLACEMENT, step), len(self.limbs)
            drawn = self._sent(random.random((size, MOST_ACTORS, joints + 1))[mine, :actors])
            ways = random.standard_normal((size, MOST_ACTORS, joints, 3), np.float32)[mine, :actors]
            x = augment.displace(x, drawn, self._sent(torch.from_numpy(ways)), data.displacement, self.limbs)
        if data.body_dropout:
            drawn = self._sent(self._random(_BODIES, step).random((size, 2))[mine])
            x = augment.drop_bodies(x, drawn, data.body_dropout, actors)
        if data.shear:
            x = augment.shear(x, self._sent(self._random(_SHEAR, step).random((size, 6))[mine]), data.shear)
        return x

    def _damaged(self, x: Tensor, size: int, mine: slice, step: int) -> Tensor:
        """The clips (S, B, F) as a worse sensor sees them: joints astray, noise, joints or people lost."""
        data, actors, width = self.settings.data, self.clips.actors, x.shape[2]
        if data.glitch:
            random = self._random(_GLITCH, step)
            drawn = self._sent(random.random((size, MOST_ACTORS, 4))[mine, :actors])
            way = random.standard_normal((size, len(x) + 1, MOST_ACTORS, 3), np.float32)[mine, :, :actors]
            ways = self._sent(torch.from_numpy(way)).transpose(0, 1)
            x = augment.glitch(x, drawn, ways, data.glitch, self.limbs)
        if data.noise:
            shape = (size, len(x), width)  # a clip's numbers together, so that a share of clips is a slice
            normal = self._random(_NOISE, step).standard_normal(shape, np.float32)[mine]
            x = augment.jitter(x, torch.from_numpy(normal).to(self.device).transpose(0, 1), data.noise)
        if data.joint_dropout:
            drawn = self._sent(self._random(_JOINTS, step).random((size, width // 3))[mine])
            x = augment.drop_joints(x, drawn, data.joint_dropout)
        if data.absence:
            drawn = self._sent(self._random(_ABSENCE, step).random((size, 4))[mine])
            x = augment.absence(x, drawn, data.absence, actors)
        return x

    def _sent(self, values: Tensor | NDArray[np.float64] | Integers) -> Tensor:
        return torch.as_tensor(values).to(self.device, non_blocking=True)


def _by_class(labels: Integers, numbers: Integers) -> dict[int, Integers]:
    """The clips of each class."""
    return {int(label): numbers[labels[numbers] == label] for label in np.unique(labels[numbers])}
