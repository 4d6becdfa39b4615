"""The plain and residual IndRNN classifiers, the gated baselines, and one way to build every network.

Shapes: `T` frames, `B` clips in a batch, `F` features, `H` units, `K` classes; sequences are time-major.
Source: Li et al., arXiv 1910.06251, as in Sunnydreamrain/IndRNN_pytorch.
"""

from collections.abc import Iterator

from torch import Tensor, nn

from action_indrnn.blocks import left, recurrent_block, surroundings
from action_indrnn.classifier import Bidirectional, Classifier, Recur, State
from action_indrnn.config import Config
from action_indrnn.convolutional import ConvolutionalIndRNN
from action_indrnn.data_prep.layout import Layout
from action_indrnn.dense import DenseIndRNN
from action_indrnn.ensemble import Ensemble
from action_indrnn.facing import Facing
from action_indrnn.gated import GatedLayer
from action_indrnn.graph import GraphIndRNN
from action_indrnn.layers import Linear
from action_indrnn.networks import GRU, LSTM, Convolutional, Dense, Graph, Model, Plain, Recurrent, Residual
from action_indrnn.streams import Streams

__all__ = ["Bidirectional", "Classifier", "State", "build"]

_JOINTS_ALONE = ("joint",)


def _numbered(layers: int) -> Iterator[tuple[int, bool]]:
    """The numbers of layers, each with whether it is the last."""
    return ((index, index == layers - 1) for index in range(layers))


class RecurrentLayer(nn.Module):
    """A linear map followed by a recurrent block."""

    def __init__(
        self, config: Recurrent, inputs: int, units: int, dropout: float, *, last: bool = False
    ) -> None:
        super().__init__()
        self.linear = Linear(inputs, units)
        self.block = recurrent_block(config, units, dropout, last=last)

    def forward(self, x: Tensor, h0: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Returns the output (T, B, H) and the last state (B, H)."""
        return self.block(self.linear(x), h0)  # type: ignore[no-any-return]


class PlainIndRNN(Classifier):
    """A stack of recurrent layers of one width."""

    def __init__(
        self, config: Plain, features: int = 150, classes: int = 60, streams: Streams | None = None
    ) -> None:
        super().__init__(
            features, classes, config.units, **surroundings(config, config.dropout), streams=streams
        )
        self.layers = nn.ModuleList(
            RecurrentLayer(
                config,
                config.units if index else self.inputs,
                config.units,
                left(config, config.dropout) if last else config.dropout,
                last=last,
            )
            for index, last in _numbered(config.layers)
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
        self.block1 = recurrent_block(config, config.units, config.dropout)
        self.linear1 = Linear(config.units, config.units)
        self.block2 = recurrent_block(config, config.units, config.dropout)
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
        super().__init__(
            features, classes, config.units, **surroundings(config, config.dropout), streams=streams
        )
        self.first = Linear(self.inputs, config.units)
        self.blocks = nn.ModuleList(ResidualBlock(config) for _ in range(config.blocks))
        self.last = recurrent_block(config, config.units, left(config, config.dropout), last=True)

    def body(self, x: Tensor, recur: Recur) -> Tensor:
        """Returns the output of the last block, (T, B, H)."""
        x = self.first(x)
        for block in self.blocks:
            x = block(x, recur)
        return recur(self.last, x)


class GatedNetwork(Classifier):
    """A stack of LSTM or GRU layers of one width, with neither batch normalisation nor a bound."""

    def __init__(
        self,
        config: LSTM | GRU,
        features: int = 150,
        classes: int = 60,
        streams: Streams | None = None,
    ) -> None:
        super().__init__(
            features, classes, config.units, **surroundings(config, config.dropout), streams=streams
        )
        self.layers = nn.ModuleList(
            GatedLayer(
                config.kind,
                config.units if index else self.inputs,
                config.units,
                left(config, config.dropout) if last else config.dropout,
                config.dropout_mask,
            )
            for index, last in _numbered(config.layers)
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
        classes: K; a network that detects actions has one output more, see `Config.outputs`.
        layout: of the joints, for a configuration with other streams than joints.

    Raises:
        ValueError: the features do not fit a network that needs to know joints, or there is no layout.
    """
    model = config.model if isinstance(config, Config) else config
    if model.members > 1:
        one = model.model_copy(update={"members": 1})
        member = config.model_copy(update={"model": one}) if isinstance(config, Config) else one
        return Ensemble([build(member, features, classes, layout) for _ in range(model.members)])
    if isinstance(config, Config) and config.beside is not None:
        alone = [config.model_copy(update={"model": one, "beside": None}) for one in config.networks.values()]
        return Ensemble([build(one, features, classes, layout) for one in alone])
    names = config.data.streams if isinstance(config, Config) else _JOINTS_ALONE
    classes = config.outputs(classes) if isinstance(config, Config) else classes

    def fresh() -> Classifier:
        network = _build(model, features, classes, _streams(names, features, layout), layout)
        if isinstance(config, Config) and config.data.facing:
            network.facing = _facing(layout, config.data.rotation)
        return network

    network = Bidirectional(fresh(), fresh()) if model.bidirectional else fresh()
    if isinstance(model, Recurrent) and model.bound == "penalty":
        network.bound_penalty = model.bound_penalty
    return network


def _streams(names: tuple[str, ...], features: int, layout: Layout | None) -> Streams | None:
    if names == _JOINTS_ALONE:
        return None
    if layout is None:
        raise ValueError(f"data.streams: expected a joint layout for {', '.join(names)}, found none")
    return Streams(features, names, len(layout.joints), layout.bones)


def _facing(layout: Layout | None, rotation: float) -> Facing | None:
    """What turns the layout's bodies; none where they have no left and right."""
    if layout is None:
        raise ValueError("data.facing: expected a joint layout, found none")
    return Facing(len(layout.joints), layout.across, rotation) if layout.across else None


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
