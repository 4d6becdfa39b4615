"""One frame through linear maps and recurrences, compiled: calls the library that `setup.py` builds.

float32 on a CPU. A row's numbers do not depend on how many rows or threads there are, and several threads
may call it. Shapes: `B` rows, `F` features, `H` units, `N` numbers of a state, `K` classes.
"""

import ctypes
import struct
import sys
from array import array
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from action_indrnn.kernels import cpu

VERSION = 7  # of the layout of `Layer` and `Call` in step.h
PANEL = 32  # outputs whose weights stand together, as in step.h
ACTIVATIONS = ("relu", "identity")
_LAYER = struct.Struct("=9q")
_CALL = struct.Struct("=30q")
_SCENE = struct.Struct("=5q")
_WORD = 8  # bytes
_MOST_BODIES = 64  # of a frame, a bit each


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


class Front(NamedTuple):
    """What stands before the layers: the frame is kept in front of them in the state.

    Attributes:
        across: (L, 2) points of the frame, int64, from one of which to the other a line runs. The frame is
            turned about y until the mean of all lines so far lies along x; their sum comes first in the
            state.
        faced: the last numbers of a row, which are that frame; 0 without lines.
        kept: the last numbers of a row, which are the frame.
        bodies: in it; one whose numbers are all 0 is absent.
        motion: whether the first layer gets the frame's change since the one before, behind the row; where a
            body is or was absent, it is 0.
        pairs: (P, 2) points of the frame, int64, whose distances the first layer gets behind all that; where
            a body is absent, 0.
        changing: whether it gets their change, likewise, behind them.
    """

    across: Tensor
    faced: int
    kept: int
    bodies: int
    motion: bool
    pairs: Tensor
    changing: bool

    @property
    def behind(self) -> int:
        """The numbers that the first layer gets behind a row."""
        return self.motion * self.kept + (1 + self.changing) * len(self.pairs)


class Bounds(NamedTuple):
    """Least and greatest that each number may be that the first layer gets, (inputs,) each."""

    low: Tensor
    high: Tensor


class Mean(NamedTuple):
    """What stands behind the layers: the mean over all steps of scale * h + shift, and their number.

    Attributes:
        scale, shift: (H,), or none.
        alone: whether the classifier reads the mean alone, or the last layer's h and behind it the mean.
        score, offset: (A, H) and (A,), of h: then it reads h, the mean and a weighted mean; see
            `pooling.Attention`.
    """

    scale: Tensor | None
    shift: Tensor | None
    alone: bool
    score: Tensor | None = None
    offset: Tensor | None = None


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
    library.indrnn_step_see.argtypes = [ctypes.c_char_p, ctypes.c_char_p]
    library.indrnn_step_see.restype = None
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
        front: what stands before the layers, if something does.
        bounds: of what comes out of it, if there are any.
        mean: behind the layers, if there is one.

    Attributes:
        inputs, width, classes: F, N and K.
    """

    def __init__(
        self,
        layers: Sequence[Layer],
        weight: Tensor,
        bias: Tensor,
        activation: str,
        front: Front | None = None,
        bounds: Bounds | None = None,
        mean: Mean | None = None,
    ) -> None:
        parts = [*layers, *(one for one in (bounds, mean) if one is not None)]
        tensors = [tensor for part in parts for tensor in part if isinstance(tensor, Tensor)]
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
        none = torch.empty(0, 2, dtype=torch.int64)
        front = front or Front(none, 0, 0, 1, False, none, False)
        if front.bodies > _MOST_BODIES:
            raise ValueError(f"expected at most {_MOST_BODIES} bodies, found {front.bodies}")
        self.inputs = layers[0].weight.shape[1] - front.behind
        self.width = 2 * (len(front.across) > 0) + front.kept + sum(len(layer.bias) for layer in layers)
        behind = mean or Mean(None, None, False)
        reads = 0 if mean is None else 1 if mean.alone else 2 if mean.score is None else 3
        heads = 0 if behind.score is None else len(behind.score)
        self.width += 0 if mean is None else (2 if heads else 1) * len(layers[-1].bias) + heads + 1
        gathered = (behind.scale, behind.shift, behind.score, behind.offset)
        self.widest, self.classes = max(len(layer.bias) for layer in layers), len(bias)
        addresses = (self._keep(_panels(weight)), self._keep(bias))
        self.head = (
            *(ctypes.addressof(self.memory), len(layers), *addresses, *weight.shape),
            *(self._keep(3 * front.across), len(front.across), front.faced),
            *(front.kept, front.bodies, front.motion),
            *(self._keep(3 * front.pairs), len(front.pairs), front.changing),
            *((0, 0) if bounds is None else map(self._keep, bounds)),
            *(reads, *(0 if one is None else self._keep(one) for one in gathered), heads),
        )

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

    def see(self, joints: NDArray[np.float32], table: "array[int]", actors: int, turned: bool) -> None:
        """Makes rows of joints and steps them: states and logits are written where the table says.

        The threads are torch's.

        Args:
            joints: (N, V, 3), of all bodies.
            table: (B, 3 + actors) of eight bytes, row after row: the addresses of a row's state (N,), of its
                logits (K,), of its origin and turn (12,), all float32; and for each actor the number of a
                body in `joints`, -1 for nobody. Whoever made it answers for the addresses.
            actors: M, of whom each gives 3 V of the F features.
            turned: whether turns count.

        Raises:
            ValueError: joints or a table of another kind, or there is no library.
        """
        width = 3 * joints.shape[1]
        if joints.dtype != np.float32 or not joints.flags.c_contiguous or width * actors != self.inputs:
            raise ValueError(
                f"joints: expected contiguous float32 that make {self.inputs} features, "
                f"found {joints.dtype} of shape {joints.shape} for {actors} actors"
            )
        rows, rest = divmod(len(table), 3 + actors)
        if rest or table.itemsize != _WORD:
            raise ValueError(f"table: expected rows of {3 + actors} words, found {len(table)}")
        if _library is None:
            raise ValueError(f"expected the compiled step, found none: {_reason}")
        start, _ = table.buffer_info()
        _library.indrnn_step_see(
            _CALL.pack(*(*self.head, 0, self.inputs, rows, 0, self.widest, 0, torch.get_num_threads())),
            _SCENE.pack(joints.ctypes.data, joints.shape[1], actors, turned, start),
        )


def _is_plain(tensor: Tensor) -> bool:
    return tensor.dtype == torch.float32 and tensor.is_cpu and tensor.is_contiguous()
