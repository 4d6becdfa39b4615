"""The batches of a training run: which clips, how sampled and varied, and which of them are this process's.

Every random number follows from the run's seed and the number of the epoch or step, never from what ran
before, from the device, or from how many processes share the work.

Shapes: S sampled frames, B clips of a part, F features.
"""

from collections.abc import Iterator

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from action_indrnn import augment, processes
from action_indrnn.config import Config
from action_indrnn.dataset import Clips, Integers, draw_frames

WEIGHTS, _ORDER, _FRAMES, _DROPOUT, _VARIATION = 4, 1, 2, 3, 5  # what a number is for; 0 is the split's


def seed_torch(seed: int, *key: int) -> None:
    """Lets torch's random numbers begin at a place of their own for a purpose and a step."""
    number = int(np.random.SeedSequence((seed, *key)).generate_state(1, np.uint64)[0])
    # torch.manual_seed does this and looks for five other kinds of devices: a tenth of a small step.
    torch.default_generator.manual_seed(number)
    if torch.cuda.is_available():
        torch.cuda.manual_seed_all(number)


class Batches:
    """The training clips, epoch by epoch and step by step.

    Attributes:
        size: clips of a step, of all processes and parts together.
        steps: in an epoch; the clips beyond the last full batch wait for another epoch.
    """

    def __init__(
        self, settings: Config, clips: Clips, labels: Integers, numbers: Integers, device: torch.device
    ) -> None:
        """Take in which clips to train on; `labels` are those of all clips.

        Raises:
            ValueError: a batch cannot be shared by the parts and processes, or has no variance.
        """
        self.settings = settings
        self.clips = clips
        self.labels = labels
        self.numbers = numbers
        self.device = device
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

    def of(self, epoch: int) -> Integers:
        """The clip numbers of an epoch's batches, (steps, size)."""
        order = np.random.default_rng([self.settings.train.seed, _ORDER, epoch]).permutation(self.numbers)
        return order[: self.steps * self.size].reshape(self.steps, self.size)

    def parts(self, numbers: Integers, step: int) -> Iterator[tuple[Tensor, Tensor]]:
        """Yields this process's share of every part of a batch: x (S, B, F) and labels (B,).

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
            x = self._sent(self.clips.sample(numbers[mine], frames, uniform[mine]))
            if data.rotation or data.scaling:
                x = augment.vary(x, self._sent(varied[mine]), data.rotation, data.scaling)
            yield x, self._sent(self.labels[numbers[mine]])

    def _sent(self, values: Tensor | NDArray[np.float64] | Integers) -> Tensor:
        return torch.as_tensor(values).to(self.device, non_blocking=True)
