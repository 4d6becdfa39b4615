"""The densely connected IndRNN.

Shapes: `T` frames, `B` clips in a batch, `F` features, `H` units, `K` classes; sequences are time-major.
Source: Li et al., arXiv 1910.06251, as in Sunnydreamrain/IndRNN_pytorch.
"""

import torch
from torch import Tensor, nn

from action_indrnn.blocks import left, recurrent_block, surroundings
from action_indrnn.classifier import Classifier, Recur
from action_indrnn.features import TimeDifference
from action_indrnn.layers import Linear
from action_indrnn.networks import Dense
from action_indrnn.streams import Streams


class DenseStep(nn.Module):
    """A recurrent layer and, with `time_difference`, the change of its output beside it."""

    def __init__(self, config: Dense, inputs: int, units: int, dropout: float, *, last: bool = False) -> None:
        super().__init__()
        self.linear = Linear(inputs, units)
        self.block = recurrent_block(config, units, dropout, last=last)
        self.difference = TimeDifference(units) if config.time_difference else None
        self.width = 2 * units if config.time_difference else units

    def forward(self, x: Tensor, recur: Recur) -> Tensor:
        """Returns the output, (T, B, width)."""
        y = recur(self.block, self.linear(x))
        return y if self.difference is None else recur(self.difference, y)


class DenseLayer(nn.Module):
    """A bottleneck of four times the growth rate, then `growth_rate` new units beside the input."""

    def __init__(self, config: Dense, inputs: int) -> None:
        super().__init__()
        self.bottleneck = DenseStep(config, inputs, 4 * config.growth_rate, config.dropout_bottleneck)
        self.growth = DenseStep(config, self.bottleneck.width, config.growth_rate, config.dropout)
        self.width = inputs + self.growth.width

    def forward(self, x: Tensor, recur: Recur) -> Tensor:
        """Returns x with the new units behind it, (T, B, width)."""
        return torch.cat((x, self.growth(self.bottleneck(x, recur), recur)), dim=2)


class DenseBlock(nn.Module):
    """Dense layers, then a transition to half of their units.

    Args:
        config: of the network.
        inputs: width of the input.
        layers: how many.
        dropout: of the transition.
        last: whether the answer is read from the transition.

    Attributes:
        width: of the output.
    """

    def __init__(self, config: Dense, inputs: int, layers: int, dropout: float, *, last: bool) -> None:
        super().__init__()
        self.layers = nn.ModuleList()
        for _ in range(layers):
            layer = DenseLayer(config, inputs)
            self.layers.append(layer)
            inputs = layer.width
        units = inputs // (4 if config.time_difference else 2)  # changes beside the units count not
        self.transition = DenseStep(config, inputs, units, dropout, last=last)
        self.width = self.transition.width

    def forward(self, x: Tensor, recur: Recur) -> Tensor:
        """Returns the output of the transition, (T, B, width)."""
        for layer in self.layers:
            x = layer(x, recur)
        return self.transition(x, recur)  # type: ignore[no-any-return]


class DenseIndRNN(Classifier):
    """A first layer of six times the growth rate, then dense blocks."""

    def __init__(
        self, config: Dense, features: int = 150, classes: int = 60, streams: Streams | None = None
    ) -> None:
        width = 6 * config.growth_rate
        for layers in config.blocks:
            width = (width + layers * config.growth_rate) // 2
        sides = 2 if config.time_difference else 1
        around = surroundings(config, config.dropout_last)
        super().__init__(features, classes, sides * width, **around, streams=streams)
        self.first = DenseStep(config, self.inputs, 6 * config.growth_rate, config.dropout_first)
        self.blocks = nn.ModuleList()
        inputs = self.first.width
        for index, layers in enumerate(config.blocks):
            last = index == len(config.blocks) - 1
            dropout = left(config, config.dropout_last) if last else config.dropout_transition
            block = DenseBlock(config, inputs, layers, dropout, last=last)
            self.blocks.append(block)
            inputs = block.width

    def body(self, x: Tensor, recur: Recur) -> Tensor:
        """Returns the output of the last transition, (T, B, width)."""
        x = self.first(x, recur)
        for block in self.blocks:
            x = block(x, recur)
        return x
