"""One frame through linear maps and recurrences, compiled: calls the library that `setup.py` builds.

float32 on a CPU. A row's numbers do not depend on how many rows or threads there are, and several threads
may call it. Shapes: `B` rows, `F` features, `H` units, `N` numbers of a state, `K` classes.
"""

import ctypes
import struct
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from action_indrnn.kernels import cpu

VERSION = 2  # of the layout of `Layer` and `Call` in step.h
PANEL = 32  # outputs whose weights stand together, as in step.h
ACTIVATIONS = ("relu", "identity")
_LAYER = struct.Struct("=9q")
_CALL = struct.Struct("=13q")


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


def _load(path: Path) -> tuple[ctypes.CDLL | None, str]:
    """The library, or None, and how it runs or why there is none."""
    if not path.is_file():
        return None, "the compiled step was not built: there was no C++ compiler, or no install"
    try:
        library = ctypes.CDLL(str(path))
        library.indrnn_step_version.restype = ctypes.c_int64
        found = library.indrnn_step_version()
    except (OSError, AttributeError) as error:
        return None, f"the compiled step does not load: {error}"
    if found != VERSION:
        return None, f"the compiled step is of version {found}, not {VERSION}: install again"
    library.indrnn_step_advance.argtypes = [ctypes.c_char_p]
    library.indrnn_step_advance.restype = None
    library.indrnn_step_use_pool.argtypes = [ctypes.c_void_p]
    library.indrnn_step_use_pool.restype = None
    library.indrnn_step_use_pool(cpu.torch_pool())
    library.indrnn_step_level.restype = ctypes.c_char_p
    return library, f"compiled step, {library.indrnn_step_level().decode()}"


_library, _reason = _load(Path(__file__).with_name("_step.dll" if sys.platform == "win32" else "_step.so"))


def available() -> bool:
    """Whether the library is there and loads."""
    return _library is not None


def reason() -> str:
    """How the library runs, or why there is none."""
    return _reason


def _panels(weight: Tensor) -> Tensor:
    """The weight (H, inputs) as (panels, inputs, PANEL), with outputs of zeros at the end."""
    outputs, inputs = weight.shape
    padded = weight.new_zeros(-(-outputs // PANEL) * PANEL, inputs)
    padded[:outputs] = weight
    return padded.view(-1, PANEL, inputs).transpose(1, 2).contiguous()


class Program:
    """A network's maps and recurrences, ready to be walked.

    Args:
        layers: from the input on.
        weight, bias: of the classifier, (K, H) and (K,).
        activation: one of `ACTIVATIONS`, of every layer.

    Attributes:
        inputs, width, classes: F, N and K.
    """

    def __init__(self, layers: Sequence[Layer], weight: Tensor, bias: Tensor, activation: str) -> None:
        tensors = [tensor for layer in layers for tensor in layer if isinstance(tensor, Tensor)]
        if any(one.dtype != torch.float32 or not one.is_cpu for one in (*tensors, weight, bias)):
            raise ValueError("expected float32 weights on a CPU, found others")
        self.kept: list[Tensor] = []  # the addresses below are theirs
        relu = ACTIVATIONS.index(activation) == 0
        packed = b"".join(
            _LAYER.pack(
                *(self._keep(_panels(layer.weight)), self._keep(layer.bias)),
                *(0 if one is None else self._keep(one) for one in (layer.scale, layer.shift)),
                self._keep(layer.u),
                *layer.weight.shape,
                *(layer.joins, relu),
            )
            for layer in layers
        )
        self.memory = ctypes.create_string_buffer(packed, len(packed))
        self.inputs, self.width = layers[0].weight.shape[1], sum(len(layer.bias) for layer in layers)
        self.widest, self.classes = max(len(layer.bias) for layer in layers), len(bias)
        addresses = (self._keep(_panels(weight)), self._keep(bias))
        self.head = (ctypes.addressof(self.memory), len(layers), *addresses, *weight.shape)

    def _keep(self, tensor: Tensor) -> int:
        self.kept.append(tensor.contiguous())
        return self.kept[-1].data_ptr()

    def advance(self, x: Tensor, states: Sequence[Tensor]) -> Tensor:
        """Returns the logits (B, K) after the frame x (B, F); the states, (N,) each, are replaced in place.

        The threads are torch's.

        Raises:
            ValueError: tensors of another kind, or there is no library.
        """
        rows = len(x)
        if x.shape != (rows, self.inputs) or not _is_plain(x):
            raise ValueError(
                f"x: expected contiguous float32 of shape ({rows}, {self.inputs}) on a CPU, "
                f"found {x.dtype} of shape {tuple(x.shape)}"
            )
        if len(states) != rows or any(one.numel() != self.width or not _is_plain(one) for one in states):
            raise ValueError(
                f"states: expected {rows} of {self.width} contiguous float32 on a CPU, found others"
            )
        if _library is None:
            raise ValueError(f"expected the compiled step, found none: {_reason}")
        logits = torch.empty(rows, self.classes)
        addresses = np.array([one.data_ptr() for one in states], np.int64)
        _library.indrnn_step_advance(
            _CALL.pack(
                *(*self.head, x.data_ptr(), self.inputs, rows, addresses.ctypes.data),
                *(self.widest, logits.data_ptr(), torch.get_num_threads()),
            )
        )
        return logits


def _is_plain(tensor: Tensor) -> bool:
    return tensor.dtype == torch.float32 and tensor.is_cpu and tensor.is_contiguous()
