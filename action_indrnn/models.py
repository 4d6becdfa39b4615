"""The plain, residual, densely connected and convolutional IndRNN classifiers, and the gated baselines.

Shapes: `T` frames, `B` clips in a batch, `F` features, `H` units, `K` classes; sequences are time-major.
Source: Li et al., arXiv 1910.06251, as in Sunnydreamrain/IndRNN_pytorch.
"""

from typing import TypedDict

import torch
from torch import Tensor, nn

from action_indrnn.classifier import Bidirectional, Classifier, Pooling, Recur, State
from action_indrnn.config import (
    GRU,
    LSTM,
    Config,
    Convolutional,
    Dense,
    Gated,
    Graph,
    Layered,
    Model,
    Plain,
    Recurrent,
    Residual,
)
from action_indrnn.data_prep.layout import Layout
from action_indrnn.features import TimeDifference
from action_indrnn.gated import GatedLayer
from action_indrnn.graph import GraphIndRNN
from action_indrnn.layers import Convolution, Linear, RecurrentBlock
from action_indrnn.streams import Streams

__all__ = ["Bidirectional", "Classifier", "State", "build"]

_JOINTS_ALONE = ("joint",)


def _block(
    config: Recurrent, units: int, dropout: float, *, last: bool = False, channels: int | None = None
) -> RecurrentBlock:
    return RecurrentBlock(
        units,
        channels=channels,
        dropout=dropout,
        mask=config.dropout_mask,
        norm=config.norm,
        length=config.length,
        magnification=config.magnification,
        activation=config.activation,
        bounded=config.bound == "clamp",
        last=last,
    )


class _Shared(TypedDict):
    geometry: bool
    time_difference: bool
    input_norm: bool
    pooling: Pooling


def _shared(config: Layered | Gated) -> _Shared:
    """What `Classifier` does for the networks of linear and gated layers, around their bodies."""
    return {
        "geometry": config.geometry,
        "time_difference": config.time_difference,
        "input_norm": config.input_norm,
        "pooling": config.pooling,
    }


class RecurrentLayer(nn.Module):
    """A linear map followed by a recurrent block."""

    def __init__(
        self, config: Recurrent, inputs: int, units: int, dropout: float, *, last: bool = False
    ) -> None:
        super().__init__()
        self.linear = Linear(inputs, units)
        self.block = _block(config, units, dropout, last=last)

    def forward(self, x: Tensor, h0: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Returns the output (T, B, H) and the last state (B, H)."""
        return self.block(self.linear(x), h0)  # type: ignore[no-any-return]


class PlainIndRNN(Classifier):
    """A stack of recurrent layers of one width."""

    def __init__(
        self, config: Plain, features: int = 150, classes: int = 60, streams: Streams | None = None
    ) -> None:
        super().__init__(features, classes, config.units, **_shared(config), streams=streams)
        self.layers = nn.ModuleList(
            RecurrentLayer(
                config,
                config.units if index else self.inputs,
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

    def __init__(
        self, config: Residual, features: int = 150, classes: int = 60, streams: Streams | None = None
    ) -> None:
        super().__init__(features, classes, config.units, **_shared(config), streams=streams)
        self.first = Linear(self.inputs, config.units)
        self.blocks = nn.ModuleList(ResidualBlock(config) for _ in range(config.blocks))
        self.last = _block(config, config.units, config.dropout, last=True)

    def body(self, x: Tensor, recur: Recur) -> Tensor:
        """Returns the output of the last block, (T, B, H)."""
        x = self.first(x)
        for block in self.blocks:
            x = block(x, recur)
        return recur(self.last, x)


class DenseStep(nn.Module):
    """A recurrent layer and, with `time_difference`, the change of its output beside it."""

    def __init__(self, config: Dense, inputs: int, units: int, dropout: float, *, last: bool = False) -> None:
        super().__init__()
        self.linear = Linear(inputs, units)
        self.block = _block(config, units, dropout, last=last)
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
        super().__init__(features, classes, sides * width, **_shared(config), streams=streams)
        self.first = DenseStep(config, self.inputs, 6 * config.growth_rate, config.dropout_first)
        self.blocks = nn.ModuleList()
        inputs = self.first.width
        for index, layers in enumerate(config.blocks):
            last = index == len(config.blocks) - 1
            dropout = config.dropout_last if last else config.dropout_transition
            block = DenseBlock(config, inputs, layers, dropout, last=last)
            self.blocks.append(block)
            inputs = block.width

    def body(self, x: Tensor, recur: Recur) -> Tensor:
        """Returns the output of the last transition, (T, B, width)."""
        x = self.first(x, recur)
        for block in self.blocks:
            x = block(x, recur)
        return x


class ConvolutionalLayer(nn.Module):
    """A convolution of every frame along the joints of each body, then a recurrence in every place.

    Every unit of a feature map has a recurrent weight of its own, as the papers' equation has it (one weight
    a hidden unit, W x replaced by a convolution): so each joint keeps its own memory, and only the
    convolution is shared between places. The normalisation is that of feature maps: one for each channel.

    Shapes: `M` bodies, `P` places, `C` channels; units are (M, P, C), channels last.
    """

    def __init__(
        self,
        config: Convolutional,
        bodies: int,
        places: int,
        inputs: int,
        channels: int,
        stride: int,
        last: bool,
    ) -> None:
        super().__init__()
        self.shape = (places, inputs)
        self.places = (places - 1) // stride + 1
        self.convolution = Convolution(inputs, channels, config.kernel, stride)
        self.units = bodies * self.places * channels
        self.block = _block(config, self.units, config.dropout, last=last, channels=channels)

    def forward(self, x: Tensor, h0: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Returns the output (T, B, H) and the last state (B, H)."""
        maps = x.reshape(-1, *self.shape).transpose(1, 2)  # (T * B * M, C, P)
        y = self.convolution(maps).transpose(1, 2)
        return self.block(y.reshape(*x.shape[:2], self.units), h0)  # type: ignore[no-any-return]


class ConvolutionalIndRNN(Classifier):
    """A stack of convolutional layers; each but the first halves the places."""

    def __init__(self, config: Convolutional, features: int = 150, classes: int = 60) -> None:
        bodies, rest = divmod(features, 3 * config.joints)
        if rest or not bodies:
            raise ValueError(
                f"model.joints: expected bodies of {config.joints} joints in 3 coordinates, "
                f"{3 * config.joints} features each, found {features} features"
            )
        layers = []
        places, inputs = config.joints, 3
        for index, channels in enumerate(config.channels):
            last = index == len(config.channels) - 1
            layer = ConvolutionalLayer(config, bodies, places, inputs, channels, 2 if index else 1, last)
            layers.append(layer)
            places, inputs = layer.places, channels
        super().__init__(features, classes, layers[-1].units, pooling=config.pooling)
        self.layers = nn.ModuleList(layers)

    def body(self, x: Tensor, recur: Recur) -> Tensor:
        """Returns the feature maps of the last layer, (T, B, H)."""
        for layer in self.layers:
            x = recur(layer, x)
        return x


class GatedNetwork(Classifier):
    """A stack of LSTM or GRU layers of one width, with neither batch normalisation nor a bound."""

    def __init__(
        self,
        config: LSTM | GRU,
        features: int = 150,
        classes: int = 60,
        streams: Streams | None = None,
    ) -> None:
        super().__init__(features, classes, config.units, **_shared(config), streams=streams)
        self.layers = nn.ModuleList(
            GatedLayer(
                config.kind,
                config.units if index else self.inputs,
                config.units,
                config.dropout,
                config.dropout_mask,
            )
            for index in range(config.layers)
        )

    def body(self, x: Tensor, recur: Recur) -> Tensor:
        """Returns the output of the last layer, (T, B, H)."""
        for layer in self.layers:
            x = recur(layer, x)
        return x


def build(
    config: Model | Config, features: int = 150, classes: int = 60, layout: Layout | None = None
) -> Classifier:
    """Returns the network that a configuration, or its `[model]` table, describes, with fresh weights.

    Args:
        config: without the other tables the network sees joints alone.
        features: F, numbers in a frame.
        classes: K.
        layout: of the joints, for a configuration with other streams than joints.

    Raises:
        ValueError: the features do not fit a network that needs to know joints, or there is no layout.
    """
    model = config.model if isinstance(config, Config) else config
    names = config.data.streams if isinstance(config, Config) else _JOINTS_ALONE
    network = _build(model, features, classes, _streams(names, features, layout), layout)
    if model.bidirectional:
        back = _build(model, features, classes, _streams(names, features, layout), layout)
        network = Bidirectional(network, back)
    if isinstance(model, Recurrent) and model.bound == "penalty":
        network.bound_penalty = model.bound_penalty
    return network


def _streams(names: tuple[str, ...], features: int, layout: Layout | None) -> Streams | None:
    if names == _JOINTS_ALONE:
        return None
    if layout is None:
        raise ValueError(f"data.streams: expected a joint layout for {', '.join(names)}, found none")
    return Streams(features, names, len(layout.joints), layout.bones)


def _build(
    config: Model, features: int, classes: int, streams: Streams | None, layout: Layout | None
) -> Classifier:
    match config:
        case Plain():
            return PlainIndRNN(config, features, classes, streams)
        case Residual():
            return ResidualIndRNN(config, features, classes, streams)
        case Dense():
            return DenseIndRNN(config, features, classes, streams)
        case Convolutional():
            if streams is not None:
                found = ", ".join(streams.names)
                raise ValueError(f"data.streams: a convolutional network expects joint alone, found {found}")
            return ConvolutionalIndRNN(config, features, classes)
        case Graph():
            if layout is None:
                raise ValueError("model.kind: expected a joint layout for a graph, found none")
            return GraphIndRNN(config, features, classes, layout, streams)
        case LSTM() | GRU():
            return GatedNetwork(config, features, classes, streams)
