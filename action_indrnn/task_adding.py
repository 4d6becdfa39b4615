"""The adding problem: the sum of the two marked numbers of a long sequence.

Shapes: `T` steps, `B` sequences in a batch. Source: Hochreiter and Schmidhuber 1997, in the form of Le et
al., arXiv 1504.00941, and Li et al., CVPR 2018.
"""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from action_indrnn.layers import IndRNN
from action_indrnn.task_config import Adding, AddingNet
from action_indrnn.task_fit import Score, Trainer

TESTED = 1000  # sequences of the test at the end
BASELINE = 1 / 6  # mean squared error of the answer 1: twice the variance of U(0, 1)


def sequences(length: int, batch: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Returns sequences (T, B, 2) of numbers U(0, 1) and marks, one in each half, and their sums (B,)."""
    x = torch.rand(length, batch, 2, generator=generator)
    x[..., 1] = 0
    every = torch.arange(batch)
    target = torch.zeros(batch)
    for low, high in ((0, length // 2), (length // 2, length)):
        marked = torch.randint(low, high, (batch,), generator=generator)
        x[marked, every, 1] = 1
        target += x[marked, every, 0]
    return x, target


class AddingIndRNN(nn.Module):
    """Two IndRNN layers without normalisation; the answer is read from the last step."""

    def __init__(self, settings: AddingNet, length: int) -> None:
        super().__init__()
        units, magnification = settings.units, settings.magnification
        self.linear1 = nn.Linear(2, units)
        self.indrnn1 = IndRNN(units, length=length, magnification=magnification)
        self.linear2 = nn.Linear(units, units)
        self.indrnn2 = IndRNN(units, length=length, magnification=magnification, last=True)
        self.answer = nn.Linear(units, 1)
        for linear in (self.linear1, self.linear2, self.answer):
            nn.init.normal_(linear.weight, 0, settings.deviation)
            nn.init.zeros_(linear.bias)

    def forward(self, x: Tensor) -> Tensor:
        """Returns the answers (B,) to sequences (T, B, 2)."""
        h, _ = self.indrnn1(self.linear1(x))
        _, last = self.indrnn2(self.linear2(h))
        return self.answer(last)[:, 0]  # type: ignore[no-any-return]


class AddingLSTM(nn.Module):
    """One LSTM layer as torch makes it, to compare."""

    def __init__(self, settings: AddingNet) -> None:
        super().__init__()
        self.lstm = nn.LSTM(2, settings.units)
        self.answer = nn.Linear(settings.units, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Returns the answers (B,) to sequences (T, B, 2)."""
        h, _ = self.lstm(x)
        return self.answer(h[-1])[:, 0]  # type: ignore[no-any-return]


class AddingTask:
    """A network learns fresh sequences; validations see the same ones, the test others.

    Attributes:
        model, measure, data: see `Task`.
        length: steps of the training sequences now.
    """

    measure = "mean squared error"
    data = "made"

    def __init__(self, settings: Adding, device: str | torch.device = "cpu") -> None:
        data, self.seed = settings.data, settings.train.seed
        torch.manual_seed(self.seed)
        lstm = settings.model.kind == "lstm"
        self.model = AddingLSTM(settings.model) if lstm else AddingIndRNN(settings.model, data.length)
        self.model.to(device)
        self.settings, self.device = settings, device
        self.length = data.length if data.grow_from is None else min(data.grow_from, data.length)
        self.held_out = sequences(data.length, data.test, torch.Generator().manual_seed(self.seed + 1))
        self._fresh = torch.Generator().manual_seed(self.seed)
        self._errors: list[float] = []  # since the last validation

    def loss(self, step: int) -> Tensor:
        """Returns the mean squared error on fresh sequences."""
        x, target = sequences(self.length, self.settings.train.batch, self._fresh)
        error = F.mse_loss(self.model(x.to(self.device)), target.to(self.device))
        self._errors.append(error.item())
        return error

    def validate(self) -> Score:
        """Measures at full length; the training sequences grow where they have been learned."""
        data, rate = self.settings.data, 1.0
        if self.length < data.length and sum(self._errors) < data.grown * len(self._errors):
            self.length = min(2 * self.length, data.length)
            rate = data.grown_rate
        self._errors.clear()
        error = self._error(*self.held_out)
        return Score(error, error, rate=rate)

    def test(self) -> Score:
        """Measures at full length on sequences that neither training nor validation has."""
        fresh = torch.Generator().manual_seed(self.seed + 2)
        error = self._error(*sequences(self.settings.data.length, TESTED, fresh))
        return Score(error, error)

    def position(self) -> dict[str, Any]:
        """Returns the length, the errors that decide when it grows, and where the random numbers stand."""
        return {"length": self.length, "errors": list(self._errors), "random": self._fresh.get_state()}

    def restore(self, position: dict[str, Any]) -> None:
        """Goes to a position."""
        self.length, self._errors = position["length"], list(position["errors"])
        self._fresh.set_state(position["random"])

    def _error(self, x: Tensor, target: Tensor) -> float:
        batch = self.settings.train.batch
        parts = [self.model(part.to(self.device)).cpu() for part in torch.split(x, batch, dim=1)]
        return F.mse_loss(torch.cat(parts), target).item()


def trainer(settings: Adding, device: str | torch.device = "cpu") -> Trainer:
    """Returns what trains a fresh network on the adding problem."""
    return Trainer(AddingTask(settings, device), settings.train)
