"""A model's memory, read off its recurrent weights.

What a unit with weight u takes in fades as |u|^t. Its memory length is the sum of that over all frames,
1 / (1 - |u|) frames; its half-life is the time after which half is left, ln 0.5 / ln |u| frames. Both are in
steps of the network, which are sampled frames. Where |u| reaches 1 nothing fades, and both are infinite.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from action_indrnn import step
from action_indrnn.checkpoint import load_model
from action_indrnn.layers import IndRNN

AT_BOUND = 1e-3  # of the bound: a weight this near to it is held there
_SHARES = (0.1, 0.5, 0.9)  # of the units whose memory is shorter


def lengths(u: NDArray[np.float64]) -> NDArray[np.float64]:
    """Memory lengths in frames, infinite where |u| is 1 or more."""
    size = np.abs(u)
    with np.errstate(divide="ignore"):
        return np.where(size < 1, 1 / (1 - np.minimum(size, 1)), np.inf)


def half_lives(u: NDArray[np.float64]) -> NDArray[np.float64]:
    """Half-lives in frames, infinite where |u| is 1 or more, 0 where u is 0."""
    size = np.abs(u)
    with np.errstate(divide="ignore"):
        return np.where(size < 1, np.log(0.5) / np.log(np.minimum(size, 1)), np.inf)


def layer_memory(layer: IndRNN) -> dict[str, Any]:
    """What a layer's recurrent weights say, as a row of a table; shares between 0 and 1."""
    u = layer.u.detach().cpu().numpy().astype(np.float64)
    # "lower" takes a value that occurs: between a finite and an infinite one nothing can be laid.
    short, middle, long = np.quantile(lengths(u), _SHARES, method="lower").tolist()
    return {
        "units": layer.units,
        "bound": layer.bound if layer.bounded else None,
        "memory_10": short,
        "memory_50": middle,
        "memory_90": long,
        "half_life_50": float(np.quantile(half_lives(u), 0.5, method="lower")),
        "at_bound": float(np.mean(np.abs(u) >= layer.bound * (1 - AT_BOUND))),
        "beyond_1": float(np.mean(np.abs(u) > 1)),
        "negative": float(np.mean(u < 0)),
    }


def model_report(path: str) -> dict[str, Any]:
    """What a model file holds: network, data, accuracy, and each layer's memory.

    Raises:
        ValueError: not a model file of this program.
    """
    model, card = load_model(path)
    layout = card.layout()
    train, validation, test = card.clips
    return {
        "kind": "model file",
        "path": path,
        "program": card.program,
        "network": card.config.model.model_dump(),
        "beside": None if card.config.beside is None else card.config.beside.model_dump(),
        "parameters": sum(parameter.numel() for parameter in model.parameters()),
        "causal": model.causal,
        "live": step.of(model).way if model.causal else "none: it needs whole clips",
        "features": card.features,
        "frames": card.config.data.frames,
        "streams": list(card.config.data.streams),
        "classes": list(card.classes),
        "layout": {"name": layout.name, "joints": len(layout.joints), "bones": len(layout.bones)},
        "preprocessing": {"view": card.view, "recipe": card.recipe},
        "trained": {
            "dataset": card.dataset,
            "protocol": card.protocol,
            "whole": card.whole,
            "seed": card.seed,
            "epochs": card.epochs,
            "clips": {"train": train, "validation": validation, "test": test},
        },
        "measured": card.measured.model_dump() if card.measured else None,
        "layers": [layer_memory(layer) for layer in model.recurrences()],
    }
