"""The settings of the networks: the `[model]` table of a configuration file, and what tables are made of."""

from typing import Annotated, Literal, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

Count = Annotated[int, Field(ge=1)]
Probability = Annotated[float, Field(ge=0, lt=1)]
Positive = Annotated[float, Field(gt=0)]
OR_NONE = BeforeValidator(lambda value: None if value == "none" else value)  # TOML has no word for none


class Section(BaseModel):
    """A table of the file: values as TOML types them, no unknown keys, not to be changed afterwards."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


class Network(Section):
    """What all networks share.

    Attributes:
        pooling: what the classifier reads: the output at the "last" step, its "mean" over all steps so far,
            "both" beside each other, or these with a weighted mean, "attention"; see
            `pooling.Attention`.
        dropout_mask: what a dropped unit is gone for: a whole "clip", as published, or one "step".
        bidirectional: whether a second network beside it walks every clip from its end; it sees whole clips
            only.
        members: networks of these settings whose probabilities are averaged; they are trained apart, one by
            one, and then put together by `checkpoint.combine`.
    """

    pooling: Literal["last", "mean", "both", "attention"] = "last"
    dropout_mask: Literal["clip", "step"] = "clip"
    bidirectional: bool = False
    members: Count = 1


class Recurrent(Network):
    """What the IndRNN networks share.

    Attributes:
        norm: batch normalisation after or before each recurrence.
        activation: of every recurrence; "none" is another word for "identity".
        length: steps that the bound on |u| is computed for.
        magnification: largest gradient magnification over `length` steps; |u| <= magnification ** (1 /
            length).
        bound: how u is held in that bound: clamped after every step of the optimiser, drawn back by a penalty
            on what exceeds it, or not at all.
        bound_penalty: factor of that penalty.
        memory: steps after which a state is at most 1 / e of what it was, |u| <= exp(-1 / memory): in an
            endless stream what grows, or stays for ever, goes wrong. None for the bound above.
    """

    norm: Literal["after", "before"] = "after"
    activation: Annotated[
        Literal["relu", "tanh", "identity"], BeforeValidator(lambda v: "identity" if v == "none" else v)
    ] = "relu"
    length: Count = 20
    magnification: Annotated[float, Field(ge=1)] = 5.0
    bound: Literal["clamp", "penalty", "none"] = "clamp"
    bound_penalty: Positive = 1.0
    memory: Annotated[Count | None, OR_NONE] = None


class Entered(Section):
    """What stands in front of networks of linear and of gated layers.

    Attributes:
        geometry: whether the distances between joints and lines of joints are put in front of the joints.
        time_difference: whether the input has its change since the frame before beside it; in a dense network
            the output of every layer too (the paper's feature augmentation, FA).
        input_norm: whether every number of the input is batch-normalised, so that changes, which are small,
            count as much as places.
        input_clip: standard deviations beyond which a normalised number of the input counts as so many and no
            more, for joints that a sensor loses or takes for each other; none for no such limit.
    """

    geometry: bool = False
    time_difference: bool = False
    input_norm: bool = False
    input_clip: Annotated[Positive | None, OR_NONE] = None

    @model_validator(mode="after")
    def _clips_what_is_normalised(self) -> Self:
        if self.input_clip is not None and not self.input_norm:
            raise ValueError(
                f"input_clip expects input_norm true, found false beside an input_clip of {self.input_clip:g}"
            )
        return self


class Layered(Entered, Recurrent):
    """What the networks of linear layers share."""


class Plain(Layered):
    """A stack of `layers` recurrent layers of `units` units."""

    kind: Literal["plain"] = "plain"
    units: Count = 512
    layers: Count = 6
    dropout: Probability = 0.4


class Residual(Layered):
    """`blocks` residual blocks of two recurrences each, all of `units` units, and one last recurrence."""

    kind: Literal["residual"] = "residual"
    units: Count = 512
    blocks: Count = 5
    dropout: Probability = 0.5


class Dense(Layered):
    """Dense blocks, `blocks` has the number of layers of each; every layer adds `growth_rate` units.

    Attributes:
        dropout: of the units that a layer adds; the others belong to the part that they name.
    """

    kind: Literal["dense"] = "dense"
    growth_rate: Count = 48
    blocks: Annotated[tuple[Count, ...], Field(min_length=1, strict=False)] = (8, 6, 4)
    dropout: Probability = 0.5
    dropout_bottleneck: Probability = 0.1
    dropout_transition: Probability = 0.3
    dropout_first: Probability = 0.5
    dropout_last: Probability = 0.3


class Convolutional(Recurrent):
    """Layers of feature maps: a convolution along a body's joints, then a recurrence in every place.

    Attributes:
        joints: of a body; all bodies go through the same convolutions.
        channels: feature maps of each layer.
        kernel: joints that a convolution sees at once; every layer but the first halves their number.
    """

    kind: Literal["convolutional"] = "convolutional"
    joints: Count = 25
    channels: Annotated[tuple[Count, ...], Field(min_length=1, strict=False)] = (32, 64, 128)
    kernel: Literal[1, 3, 5, 7, 9] = 5
    dropout: Probability = 0.3


class Graph(Recurrent):
    """`layers` graph layers of `channels` channels a joint, then `body_layers` layers of `units` units.

    Attributes:
        bones: whether a joint gets its difference from its parent beside every place and motion; the streams
            "bone" and "bone-motion", for a graph beside a network that is better off without them.
        groups: of channels, each with an adjacency of its own.
        adjacency: whether joints are mixed along the bones for good, "fixed", or only at first, "learned".
        weights: whether every "joint" has a recurrent weight for each channel, or all share each "channel"'s.
        partner: whether a layer tells each body the mean of the others' joints.
        joints: what the first body layer gets of the joints: "flat", all of them beside each other, or
            "pooled", their mean and largest value in each channel.
        dropout_mask: whether a channel is dropped for the whole "clip" or anew at each "step".
    """

    kind: Literal["graph"] = "graph"
    channels: Count = 32
    layers: Annotated[int, Field(ge=0)] = 1
    bones: bool = False
    groups: Count = 4
    adjacency: Literal["fixed", "learned"] = "learned"
    body_layers: Count = 2
    units: Count = 128
    weights: Literal["joint", "channel"] = "joint"
    partner: bool = True
    joints: Literal["flat", "pooled"] = "flat"
    dropout: Probability = 0.2
    dropout_mask: Literal["clip", "step"] = "clip"

    @model_validator(mode="after")
    def _groups_are_alike(self) -> Self:
        if self.channels % self.groups:
            raise ValueError(f"groups expects a divisor of channels {self.channels}, found {self.groups}")
        return self


class Gated(Entered, Network):
    """The baselines: a stack of `layers` LSTM or GRU layers of `units` units, each before its dropout."""

    units: Count = 512
    layers: Count = 2
    dropout: Probability = 0.4


class LSTM(Gated):
    """A stack of LSTM layers."""

    kind: Literal["lstm"] = "lstm"


class GRU(Gated):
    """A stack of GRU layers."""

    kind: Literal["gru"] = "gru"


Model = Plain | Residual | Dense | Convolutional | Graph | LSTM | GRU
MODELS: dict[str, type[Section]] = {
    "plain": Plain,
    "residual": Residual,
    "dense": Dense,
    "convolutional": Convolutional,
    "graph": Graph,
    "lstm": LSTM,
    "gru": GRU,
}
