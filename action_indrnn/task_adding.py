"""The adding problem: the sum of the two marked numbers of a long sequence.

Shapes: `T` steps, `B` sequences in a batch. Source: Hochreiter and Schmidhuber 1997, in the form of Le et
al., arXiv 1504.00941, and Li et al., CVPR 2018.
"""

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


def trainer(settings: Adding, device: str | torch.device = "cpu") -> Trainer:
    """Returns what trains a network on fresh sequences; validations see the same, the test others."""
    data, train = settings.data, settings.train
    torch.manual_seed(train.seed)
    lstm = settings.model.kind == "lstm"
    model = AddingLSTM(settings.model) if lstm else AddingIndRNN(settings.model, data.length)
    model.to(device)
    fresh = torch.Generator().manual_seed(train.seed)
    held_out = sequences(data.length, data.test, torch.Generator().manual_seed(train.seed + 1))

    length = data.length if data.grow_from is None else min(data.grow_from, data.length)
    errors: list[float] = []  # since the last validation

    def loss() -> Tensor:
        x, target = sequences(length, train.batch, fresh)
        error = F.mse_loss(model(x.to(device)), target.to(device))
        errors.append(error.item())
        return error

    def validate() -> Score:
        nonlocal length
        if length < data.length and sum(errors) < data.grown * len(errors):
            length = min(2 * length, data.length)
            made.set_rate(made.schedule.learning_rate * data.grown_rate)
        errors.clear()
        return measured(*held_out)

    def measured(x: Tensor, target: Tensor) -> Score:
        parts = [model(part.to(device)).cpu() for part in torch.split(x, train.batch, dim=1)]
        error = F.mse_loss(torch.cat(parts), target).item()
        return Score(error, error)

    def test() -> Score:
        return measured(*sequences(data.length, TESTED, torch.Generator().manual_seed(train.seed + 2)))

    made = Trainer(model, train, loss, validate, measure="mean squared error", test=test)
    return made
