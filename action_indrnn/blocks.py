"""What the networks have in common: their recurrent block, and what stands around their bodies."""

from typing import Any, TypedDict

from action_indrnn.classifier import Pooling
from action_indrnn.layers import RecurrentBlock
from action_indrnn.networks import Gated, Layered, Recurrent


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


class Surroundings(TypedDict):
    """Settings of `Classifier`."""

    geometry: bool
    time_difference: bool
    input_norm: bool
    input_clip: float | None
    pooling: Pooling


def surroundings(config: Layered | Gated) -> Surroundings:
    """What `Classifier` does for the networks of linear and gated layers, around their bodies."""
    return {
        "geometry": config.geometry,
        "time_difference": config.time_difference,
        "input_norm": config.input_norm,
        "input_clip": config.input_clip,
        "pooling": config.pooling,
    }
