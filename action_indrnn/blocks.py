"""What the networks have in common: their recurrent block, and what stands around their bodies."""

from typing import Any, TypedDict

from action_indrnn.layers import Mask, RecurrentBlock
from action_indrnn.networks import Gated, Layered, Network, Recurrent
from action_indrnn.pooling import Pooling


def recurrent_block(
    config: Recurrent, units: int, dropout: float, *, last: bool = False, channels: int | None = None
) -> RecurrentBlock:
    """Returns the recurrent block that a configuration describes; see `RecurrentBlock`."""
    return RecurrentBlock(
        units,
        channels=channels,
        dropout=dropout,
        mask=config.dropout_mask,
        **recurrence(config, last=last),
    )


def recurrence(config: Recurrent, *, last: bool) -> dict[str, Any]:
    """What any block is told of its recurrence; `last` is whether the answer is read from it."""
    return {
        "norm": config.norm,
        "length": config.length,
        "magnification": config.magnification,
        "activation": config.activation,
        "bounded": config.bound == "clamp",
        "last": last,
        "memory": config.memory,
    }


class Read(TypedDict):
    """Settings of `Classifier` for what it reads."""

    pooling: Pooling
    dropout: float
    dropout_mask: Mask


def read(config: Network, dropout: float) -> Read:
    """How a network is read whose last layer has a dropout; see `left`."""
    return {"pooling": config.pooling, "dropout": dropout, "dropout_mask": config.dropout_mask}


def left(config: Network, dropout: float) -> float:
    """The dropout that a last layer keeps: none where attention takes it over."""
    return 0.0 if config.pooling == "attention" else dropout


class Surroundings(Read):
    """Settings of `Classifier` for the networks of linear and gated layers."""

    geometry: bool
    time_difference: bool
    input_norm: bool
    input_clip: float | None


def surroundings(config: Layered | Gated, dropout: float) -> Surroundings:
    """What `Classifier` does around the body of a network whose last layer has a dropout."""
    return {
        **read(config, dropout),
        "geometry": config.geometry,
        "time_difference": config.time_difference,
        "input_norm": config.input_norm,
        "input_clip": config.input_clip,
    }
