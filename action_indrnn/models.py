"""The plain, residual and densely connected IndRNN classifiers.

Shapes: `T` frames, `B` clips in a batch, `F` features, `H` units, `K` classes; sequences are time-major.
Source: Li et al., arXiv 1910.06251, as in Sunnydreamrain/IndRNN_pytorch.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from typing import ClassVar

import torch
from torch import Tensor, nn

from action_indrnn.config import Config, Dense, Model, Plain, Residual
from action_indrnn.layers import IndRNN, Linear, RecurrentBlock

State = tuple[Tensor, ...]
Recur = Callable[[nn.Module, Tensor], Tensor]  # runs a module with its state and keeps the state for later


class Classifier(nn.Module, ABC):
    """What the three networks share: the state's walk through the layers, the logits of the last step.

    A subclass registers its recurrent layers in the order in which `body` runs them.
    """

    causal: ClassVar[bool] = True

    def __init__(self, features: int, classes: int, width: int) -> None:
        super().__init__()
        self.features = features
        self.classes = classes
        self.classifier = Linear(width, classes)
        nn.init.kaiming_normal_(self.classifier.weight)

    @abstractmethod
    def body(self, x: Tensor, recur: Recur) -> Tensor:
        """Returns what the classifier reads, (T, B, width); `recur(module, x)` runs a recurrent module."""

    def recurrences(self) -> Iterator[IndRNN]:
        """Yields the IndRNN layers in the order of the state."""
        return (module for module in self.modules() if isinstance(module, IndRNN))

    def forward(self, x: Tensor, state: State | None = None) -> tuple[Tensor, State]:
        """Returns the logits (B, K) after the last step of x, and the state to go on from.

        Feeding a clip in pieces, each with the state of the one before, gives the logits of the whole clip in
        evaluation mode; with T = 1 that is streaming.

        Args:
            x: features, (T, B, F).
            state: one (B, H) for every IndRNN layer, in order; zeros if not given.

        Raises:
            ValueError: features or a state that do not fit the model.
        """
        if x.ndim != 3 or x.shape[2] != self.features:
            raise ValueError(f"expected input (T, B, {self.features} features), found {tuple(x.shape)}")
        if state is not None:
            self._check(state, x.shape[1])
        after: list[Tensor] = []

        def recur(module: nn.Module, x: Tensor) -> Tensor:
            y, h = module(x, None if state is None else state[len(after)])
            after.append(h)
            return y  # type: ignore[no-any-return]

        y = self.body(x, recur)
        return self.classifier(y[-1]), tuple(after)

    def _check(self, state: State, batch: int) -> None:
        expected = [(batch, layer.units) for layer in self.recurrences()]
        if len(state) != len(expected):
            raise ValueError(f"expected a state of {len(expected)} tensors, found {len(state)}")
        for index, (h, shape) in enumerate(zip(state, expected, strict=True)):
            if h.shape != shape:
                raise ValueError(f"state[{index}]: expected shape {shape}, found {tuple(h.shape)}")


def _block(config: Model, units: int, dropout: float, *, last: bool = False) -> RecurrentBlock:
    return RecurrentBlock(
        units,
        dropout=dropout,
        norm=config.norm,
        length=config.length,
        magnification=config.magnification,
        activation=config.activation,
        bounded=config.bounded,
        last=last,
    )


class RecurrentLayer(nn.Module):
    """A linear map followed by a recurrent block."""

    def __init__(self, config: Model, inputs: int, units: int, dropout: float, *, last: bool = False) -> None:
        super().__init__()
        self.linear = Linear(inputs, units)
        self.block = _block(config, units, dropout, last=last)

    def forward(self, x: Tensor, h0: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Returns the output (T, B, H) and the last state (B, H)."""
        return self.block(self.linear(x), h0)  # type: ignore[no-any-return]


class PlainIndRNN(Classifier):
    """A stack of recurrent layers of one width."""

    def __init__(self, config: Plain, features: int = 150, classes: int = 60) -> None:
        super().__init__(features, classes, config.units)
        self.layers = nn.ModuleList(
            RecurrentLayer(
                config,
                config.units if index else features,
                config.units,
                config.dropout,
                last=index == config.layers - 1,
            )
            for index in range(config.layers)
        )

    def body(self, x: Tensor, recur: Recur) -> Tensor:
        """Returns the output of the last layer, (T, B, H)."""
        for layer in self.layers:
            x = recur(layer, x)
        return x


class ResidualBlock(nn.Module):
    """Two recurrences before two linear maps, added to an identity skip (pre-activation)."""

    def __init__(self, config: Residual) -> None:
        super().__init__()
        self.block1 = _block(config, config.units, config.dropout)
        self.linear1 = Linear(config.units, config.units)
        self.block2 = _block(config, config.units, config.dropout)
        self.linear2 = Linear(config.units, config.units)

    def forward(self, x: Tensor, recur: Recur) -> Tensor:
        """Returns x plus what the block adds to it, (T, B, H)."""
        y = self.linear1(recur(self.block1, x))
        return x + self.linear2(recur(self.block2, y))  # type: ignore[no-any-return]


class ResidualIndRNN(Classifier):
    """A linear map to the width, residual blocks, and a last recurrent block."""

    def __init__(self, config: Residual, features: int = 150, classes: int = 60) -> None:
        super().__init__(features, classes, config.units)
        self.first = Linear(features, config.units)
        self.blocks = nn.ModuleList(ResidualBlock(config) for _ in range(config.blocks))
        self.last = _block(config, config.units, config.dropout, last=True)

    def body(self, x: Tensor, recur: Recur) -> Tensor:
        """Returns the output of the last block, (T, B, H)."""
        x = self.first(x)
        for block in self.blocks:
            x = block(x, recur)
        return recur(self.last, x)


class DenseLayer(nn.Module):
    """A bottleneck of four times the growth rate, then `growth_rate` new units beside the input."""

    def __init__(self, config: Dense, inputs: int) -> None:
        super().__init__()
        bottleneck = 4 * config.growth_rate
        self.bottleneck = RecurrentLayer(config, inputs, bottleneck, config.dropout_bottleneck)
        self.growth = RecurrentLayer(config, bottleneck, config.growth_rate, config.dropout)

    def forward(self, x: Tensor, recur: Recur) -> Tensor:
        """Returns x with the new units behind it, (T, B, inputs + growth_rate)."""
        return torch.cat((x, recur(self.growth, recur(self.bottleneck, x))), dim=2)


class DenseBlock(nn.Module):
    """Dense layers, then a transition that halves the width."""

    def __init__(self, config: Dense, inputs: int, layers: int, dropout: float, *, last: bool) -> None:
        super().__init__()
        widths = [inputs + index * config.growth_rate for index in range(layers + 1)]
        self.layers = nn.ModuleList(DenseLayer(config, width) for width in widths[:-1])
        self.width = widths[-1] // 2
        self.transition = RecurrentLayer(config, widths[-1], self.width, dropout, last=last)

    def forward(self, x: Tensor, recur: Recur) -> Tensor:
        """Returns the output of the transition, (T, B, width)."""
        for layer in self.layers:
            x = layer(x, recur)
        return recur(self.transition, x)


class DenseIndRNN(Classifier):
    """A first layer of six times the growth rate, then dense blocks."""

    def __init__(self, config: Dense, features: int = 150, classes: int = 60) -> None:
        width = 6 * config.growth_rate
        first = RecurrentLayer(config, features, width, config.dropout_first)
        blocks = nn.ModuleList()
        for index, layers in enumerate(config.blocks):
            last = index == len(config.blocks) - 1
            dropout = config.dropout_last if last else config.dropout_transition
            block = DenseBlock(config, width, layers, dropout, last=last)
            blocks.append(block)
            width = block.width
        super().__init__(features, classes, width)
        self.first = first
        self.blocks = blocks

    def body(self, x: Tensor, recur: Recur) -> Tensor:
        """Returns the output of the last transition, (T, B, width)."""
        x = recur(self.first, x)
        for block in self.blocks:
            x = block(x, recur)
        return x


def build(config: Model | Config, features: int = 150, classes: int = 60) -> Classifier:
    """Returns the network that a configuration, or its `[model]` table, describes, with fresh weights."""
    match config.model if isinstance(config, Config) else config:
        case Plain() as plain:
            return PlainIndRNN(plain, features, classes)
        case Residual() as residual:
            return ResidualIndRNN(residual, features, classes)
        case Dense() as dense:
            return DenseIndRNN(dense, features, classes)
