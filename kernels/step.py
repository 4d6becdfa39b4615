"""One frame through linear maps and recurrences, compiled: calls the library that `setup.py` builds.

float32 on a CPU, one thread, for few rows: then reading the weights is all the time, and nothing is allocated
but the logits. Shapes: `B` rows, `F` features, `H` units, `N` numbers of a state, `K` classes.
"""

import ctypes
import struct
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

VERSION = 1  # of the layout of `Layer` and `Call` in step.h
MOST_ROWS = 16  # from which on torch's matrix products are the faster ones
ACTIVATIONS = ("relu", "identity")
_LAYER = struct.Struct("=9q")
_CALL = struct.Struct("=15q")


class Layer(NamedTuple):
    """A map and a recurrence: h = act(scale * z + shift + u * h), z = weight h_before + bias.

    Attributes:
        weight, bias: (H, inputs) and (H,).
        joins: whether z is the sum of this map's output and that of all earlier joining ones.
        scale, shift: (H,), or none.
        u: (H,).
    """

    weight: Tensor
    bias: Tensor
    joins: bool
    scale: Tensor | None
    shift: Tensor | None
    u: Tensor


def _load(path: Path) -> ctypes.CDLL | None:
    try:
        library = ctypes.CDLL(str(path))
        library.indrnn_step_version.restype = ctypes.c_int64
        if library.indrnn_step_version() != VERSION:
            return None
    except (OSError, AttributeError):
        return None
    library.indrnn_step_advance.argtypes = [ctypes.c_char_p]
    library.indrnn_step_advance.restype = None
    return library


_library = _load(Path(__file__).with_name("_step.dll" if sys.platform == "win32" else "_step.so"))


def available() -> bool:
    """Whether the library is there and loads."""
    return _library is not None


class Program:
    """A network's maps and recurrences, ready to be walked.

    Args:
        layers: from the input on.
        weight, bias: of the classifier, (K, H) and (K,).
        activation: one of `ACTIVATIONS`, of every layer.
    """

    def __init__(self, layers: Sequence[Layer], weight: Tensor, bias: Tensor, activation: str) -> None:
        tensors = [tensor for layer in layers for tensor in layer if isinstance(tensor, Tensor)]
        self.kept = [*tensors, weight, bias]  # the addresses below are theirs
        if any(not one.is_contiguous() or one.dtype != torch.float32 or not one.is_cpu for one in self.kept):
            raise ValueError("expected contiguous float32 weights on a CPU, found others")
        self.layers = b"".join(
            _LAYER.pack(
                *(layer.weight.data_ptr(), layer.bias.data_ptr()),
                *(0 if one is None else one.data_ptr() for one in (layer.scale, layer.shift)),
                layer.u.data_ptr(),
                *layer.weight.shape,
                *(layer.joins, ACTIVATIONS.index(activation) == 0),
            )
            for layer in layers
        )
        self.memory = ctypes.create_string_buffer(self.layers, len(self.layers))
        self.classes = len(bias)
        widest = max(len(layer.bias) for layer in layers)
        self.inputs, self.width = layers[0].weight.shape[1], sum(len(layer.bias) for layer in layers)
        self.trunk, self.z = torch.empty(2, MOST_ROWS, widest)
        self.head = (ctypes.addressof(self.memory), len(layers), weight.data_ptr(), bias.data_ptr())
        self.sizes = (*weight.shape,)
        self.scratch = (self.trunk.data_ptr(), self.z.data_ptr(), widest)

    def advance(self, x: Tensor, state: Tensor) -> Tensor:
        """Returns the logits (B, K) after the frame x (B, F); the state (B, N) is replaced in place.

        Raises:
            ValueError: tensors of another kind, or too many rows.
        """
        rows = len(x)
        for what, tensor, width in (("x", x, self.inputs), ("state", state, self.width)):
            if (
                tensor.shape != (rows, width)
                or tensor.dtype != torch.float32
                or not (tensor.is_cpu and tensor.is_contiguous())
            ):
                raise ValueError(
                    f"{what}: expected contiguous float32 of shape ({rows}, {width}) on a CPU, "
                    f"found {tensor.dtype} of shape {tuple(tensor.shape)}"
                )
        if _library is None or rows > MOST_ROWS:
            raise ValueError(f"expected the compiled step and at most {MOST_ROWS} rows, found {rows}")
        logits = torch.empty(rows, self.classes)
        _library.indrnn_step_advance(
            _CALL.pack(
                *(*self.head, *self.sizes, x.data_ptr(), self.inputs, rows),
                *(state.data_ptr(), self.width, *self.scratch, logits.data_ptr()),
            )
        )
        return logits
