"""IndRNN language models: an answer at every step, a state that is carried on.

Shapes: `T` steps, `B` streams in a batch, `E` width of the embedding, `H` units, `V` symbols; sequences are
time-major. Source: Li et al., CVPR 2018 and arXiv 1910.06251, as in Sunnydreamrain/IndRNN_pytorch.
"""

from collections.abc import Callable
from itertools import islice
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from action_indrnn.frame_norm import FrameBatchNorm
from action_indrnn.layers import DropoutOverTime, IndRNN, Linear
from action_indrnn.task_config import DenseLanguage, Language, LanguageNet, PlainLanguage, ResidualLanguage


class State(NamedTuple):
    """Where a stream stands.

    Attributes:
        position: steps since the states were zero.
        states: one (B, H) for every recurrence, in order.
    """

    position: int
    states: tuple[Tensor, ...]


Recur = Callable[[nn.Module, Tensor], Tensor]  # runs a module with its state and keeps the state for later


class Recurrence(nn.Module):
    """Frame-wise batch normalisation, an IndRNN, dropout."""

    def __init__(self, config: Language, units: int, dropout: float) -> None:
        super().__init__()
        self.norm = FrameBatchNorm(units, frames=config.frames)
        # The published bound is a number, not a magnification over a length: it is that of one step.
        self.indrnn = IndRNN(units, length=1, magnification=config.bound)
        self.dropout = DropoutOverTime(dropout)

    def forward(self, x: Tensor, h0: Tensor | None, position: int) -> tuple[Tensor, Tensor]:
        """Returns the output (T, B, H) and the last state (B, H)."""
        y, h = self.indrnn(self.norm(x, position), h0)
        return self.dropout(y), h


class LinearRecurrence(nn.Module):
    """A linear map, then a recurrence."""

    def __init__(self, config: Language, inputs: int, units: int, dropout: float) -> None:
        super().__init__()
        self.linear = Linear(inputs, units)
        self.recurrence = Recurrence(config, units, dropout)

    def forward(self, x: Tensor, h0: Tensor | None, position: int) -> tuple[Tensor, Tensor]:
        """Returns the output (T, B, H) and the last state (B, H)."""
        return self.recurrence(self.linear(x), h0, position)  # type: ignore[no-any-return]


class PlainBody(nn.Module):
    """A stack of recurrences of one width."""

    def __init__(self, config: PlainLanguage) -> None:
        super().__init__()
        widths = [config.embedding] + [config.units] * config.layers
        drops = [config.dropout] * (config.layers - 1) + [config.dropout_last]
        self.layers = nn.ModuleList(
            LinearRecurrence(config, inputs, config.units, drop)
            for inputs, drop in zip(widths[:-1], drops, strict=True)
        )
        self.width = config.units

    def forward(self, x: Tensor, recur: Recur) -> Tensor:
        """Returns the output of the last layer, (T, B, width)."""
        for layer in self.layers:
            x = recur(layer, x)
        return x


class ResidualBody(nn.Module):
    """A linear map to the width, residual blocks of two recurrences before linear maps, a last recurrence."""

    def __init__(self, config: ResidualLanguage) -> None:
        super().__init__()
        self.first = Linear(config.embedding, config.units)
        self.recurrences = nn.ModuleList(
            Recurrence(config, config.units, config.dropout) for _ in range(2 * config.blocks)
        )
        self.linears = nn.ModuleList(Linear(config.units, config.units) for _ in range(2 * config.blocks))
        self.last = Recurrence(config, config.units, config.dropout_last)
        self.width = config.units

    def forward(self, x: Tensor, recur: Recur) -> Tensor:
        """Returns the output of the last recurrence, (T, B, width)."""
        x = self.first(x)
        steps = list(zip(self.recurrences, self.linears, strict=True))
        for one, two in zip(steps[::2], steps[1::2], strict=True):
            y = x
            for recurrence, linear in (one, two):
                y = linear(recur(recurrence, y))
            x = x + y
        return recur(self.last, x)


class DenseLayer(nn.Module):
    """A bottleneck of four times the growth rate, then `growth_rate` new units beside the input."""

    def __init__(self, config: DenseLanguage, inputs: int) -> None:
        super().__init__()
        wide, growth = 4 * config.growth_rate, config.growth_rate
        self.bottleneck = LinearRecurrence(config, inputs, wide, config.dropout_bottleneck)
        self.growth = LinearRecurrence(config, wide, growth, config.dropout)

    def forward(self, x: Tensor, recur: Recur) -> Tensor:
        """Returns x with the new units behind it, (T, B, inputs + growth_rate)."""
        return torch.cat((x, recur(self.growth, recur(self.bottleneck, x))), dim=2)


class DenseBody(nn.Module):
    """Dense blocks on the embedding; a transition halves the width between two of them."""

    def __init__(self, config: DenseLanguage) -> None:
        super().__init__()
        width = config.embedding
        self.counts = config.blocks
        self.layers = nn.ModuleList()
        self.transitions = nn.ModuleList()
        for number, layers in enumerate(self.counts):
            if number:
                drop = config.dropout_transition
                self.transitions.append(LinearRecurrence(config, width, width // 2, drop))
                width //= 2
            for _ in range(layers):
                self.layers.append(DenseLayer(config, width))
                width += config.growth_rate
        self.width = width

    def forward(self, x: Tensor, recur: Recur) -> Tensor:
        """Returns the last block's input and all that its layers have added, (T, B, width)."""
        layers = iter(self.layers)
        for number, count in enumerate(self.counts):
            if number:
                x = recur(self.transitions[number - 1], x)
            for layer in islice(layers, count):
                x = layer(x, recur)
        return x


class LanguageModel(nn.Module):
    """Embedding, body, a recurrence of the embedding's width, and a decoder with the embedding's weights.

    Args:
        config: the settings.
        symbols: number of symbols V.
    """

    def __init__(self, config: LanguageNet, symbols: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(symbols, config.embedding)
        self.body = _body(config)
        self.output = LinearRecurrence(config, self.body.width, config.embedding, 0.0)
        self.norm = FrameBatchNorm(config.embedding, frames=config.frames)
        self.dropout_input = DropoutOverTime(config.dropout_input)
        self.dropout_output = DropoutOverTime(config.dropout_output)
        self.dropout_symbols = config.dropout_symbols
        self.bias = nn.Parameter(torch.zeros(symbols))
        nn.init.uniform_(self.embedding.weight, -0.01, 0.01)
        if config.small:
            self._make_small()

    def forward(self, x: Tensor, state: State | None = None) -> tuple[Tensor, State]:
        """Returns the logits (T, B, V) of the symbol after each one of x, and the state to go on from.

        In evaluation mode a text in pieces, each with the state of the one before, gives the logits of the
        whole text.

        Args:
            x: numbers of symbols, (T, B).
            state: of the step before x; none at the beginning of a text.
        """
        position, before = (0, None) if state is None else state
        after: list[Tensor] = []

        def recur(module: nn.Module, x: Tensor) -> Tensor:
            y, h = module(x, None if before is None else before[len(after)], position)
            after.append(h)
            return y  # type: ignore[no-any-return]

        y = self.dropout_input(F.embedding(x, self._embedding()))
        y = recur(self.output, self.body(y, recur))
        y = self.dropout_output(self.norm(y, position))
        return F.linear(y, self.embedding.weight, self.bias), State(position + len(x), tuple(after))

    def _embedding(self) -> Tensor:
        """The embedding (V, E); in training without some symbols' rows (Gal, Ghahramani 2016)."""
        weight = self.embedding.weight
        if not self.training or self.dropout_symbols == 0:
            return weight
        return weight * F.dropout(weight.new_ones(len(weight), 1), self.dropout_symbols)

    def _make_small(self) -> None:
        for module in self.modules():
            if isinstance(module, Linear):
                nn.init.kaiming_uniform_(module.weight, a=0)
            elif isinstance(module, FrameBatchNorm):
                nn.init.constant_(module.weight, 0.1)


def _body(config: LanguageNet) -> PlainBody | ResidualBody | DenseBody:
    match config:
        case PlainLanguage():
            return PlainBody(config)
        case ResidualLanguage():
            return ResidualBody(config)
        case DenseLanguage():
            return DenseBody(config)


def detached(state: State) -> State:
    """Returns the state as a beginning: no gradient flows back through it."""
    return State(state.position, tuple(h.detach() for h in state.states))
