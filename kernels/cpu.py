"""The recurrence on a CPU, compiled: finds the library that `setup.py` builds from `cpu.cpp` and calls it.

float32 and float64. Strides over time and batch are free and the output takes those of x, so a batch-first
view costs no copy; units must lie side by side, or x is copied. Results do not depend on the number of
threads, which is torch's; on another processor the last bit may differ (from AVX2 on, x + u * h rounds once).

Shapes: `T` frames, `B` clips in a batch, `H` units.
"""

import ctypes
import struct
import sys
from pathlib import Path

import torch
from torch import Tensor

VERSION = 1  # of the two calls' layout: `ForwardCall` and `BackwardCall` in cpu.cpp
LEVELS = ("baseline", "avx2", "avx512")
DTYPES = (torch.float32, torch.float64)
_ACTIVATIONS = {"relu": 0, "tanh": 1, "identity": 2}  # `Activation` in recurrence.h
_FORWARD = struct.Struct("=16q")
_BACKWARD = struct.Struct("=22q")


def _load(path: Path) -> tuple[ctypes.CDLL | None, str]:
    """The library, or None, and how it runs or why there is none."""
    if not path.is_file():
        return (
            None,
            "the compiled CPU kernel was not built: there was no C++ compiler, or no install",
        )
    try:
        library = ctypes.CDLL(str(path))
        library.indrnn_version.restype = ctypes.c_int64
        found = library.indrnn_version()
    except (OSError, AttributeError) as error:
        return None, f"the compiled CPU kernel does not load: {error}"
    if found != VERSION:
        return (
            None,
            f"the compiled CPU kernel is of version {found}, not {VERSION}: install again",
        )
    library.indrnn_use_level.restype = ctypes.c_char_p
    library.indrnn_use_level.argtypes = [ctypes.c_int64]
    library.indrnn_use_pool.argtypes = [ctypes.c_void_p]
    library.indrnn_use_pool.restype = None
    for function in (library.indrnn_forward, library.indrnn_backward):
        function.argtypes = [ctypes.c_char_p]
        function.restype = None
    library.indrnn_use_pool(torch_pool())
    level = library.indrnn_use_level(len(LEVELS) - 1).decode()
    return library, f"compiled CPU kernel, {level}"


def torch_pool() -> int | None:
    """The address of GOMP_parallel in the OpenMP library that torch runs on; None where it has none."""
    folder = Path(torch.__file__).parent / "lib"
    try:
        torch_cpu = ctypes.CDLL(str(folder / f"libtorch_cpu.{'dylib' if sys.platform == 'darwin' else 'so'}"))
        return ctypes.cast(torch_cpu.GOMP_parallel, ctypes.c_void_p).value
    except (OSError, AttributeError):
        return None


_library, _reason = _load(Path(__file__).with_name("_cpu.dll" if sys.platform == "win32" else "_cpu.so"))


def available() -> bool:
    """Whether the library is there and loads."""
    return _library is not None


def reason() -> str:
    """How the library runs, or why there is none."""
    return _reason


def use_level(name: str) -> str:
    """Takes the best instruction set, up to the named one of `LEVELS`, that the processor has; its name."""
    taken: bytes = _loaded().indrnn_use_level(LEVELS.index(name))
    return taken.decode()


def forward(
    x: Tensor,
    u: Tensor,
    h0: Tensor,
    activation: str,
    lengths: Tensor | None = None,
    reverse: bool = False,
    *,
    out: Tensor | None = None,
) -> Tensor:
    """Returns h (T, B, H), laid out in memory as x is, if the units of x lie side by side; or `out`, filled.

    Raises:
        ValueError: there is no library, or it knows no such tensors.
    """
    library = _loaded()
    x, u, h0 = _rows(_known(x)), u.contiguous(), h0.contiguous()
    h = _like(x) if out is None else _target(out, x)
    x_t, x_b, _ = x.stride()
    h_t, h_b, _ = h.stride()
    lengths = None if lengths is None else lengths.contiguous()
    library.indrnn_forward(
        _FORWARD.pack(
            *(x.data_ptr(), x_t, x_b, h.data_ptr(), h_t, h_b),
            *(u.data_ptr(), h0.data_ptr(), 0 if lengths is None else lengths.data_ptr()),
            *x.shape,
            *(_ACTIVATIONS[activation], reverse, torch.get_num_threads(), x.dtype == torch.float64),
        )
    )
    return h


def backward(
    grad_h: Tensor,
    h: Tensor,
    u: Tensor,
    h0: Tensor,
    activation: str,
    lengths: Tensor | None = None,
    reverse: bool = False,
) -> tuple[Tensor, Tensor, Tensor]:
    """Returns (dx, du, dh0); du is summed over time, then over the batch, always in the same order.

    Raises:
        ValueError: there is no library, or it knows no such tensors.
    """
    library = _loaded()
    g, h, u, h0 = _rows(grad_h), _rows(_known(h)), u.contiguous(), h0.contiguous()
    dx, du, dh0 = _like(h), torch.empty_like(u), torch.empty_like(h0)
    partial = du if len(h0) == 1 else torch.empty_like(h0)
    g_t, g_b, _ = g.stride()
    h_t, h_b, _ = h.stride()
    dx_t, dx_b, _ = dx.stride()
    lengths = None if lengths is None else lengths.contiguous()
    library.indrnn_backward(
        _BACKWARD.pack(
            *(g.data_ptr(), g_t, g_b, h.data_ptr(), h_t, h_b, dx.data_ptr(), dx_t, dx_b),
            *(u.data_ptr(), h0.data_ptr(), 0 if lengths is None else lengths.data_ptr()),
            *(du.data_ptr(), dh0.data_ptr(), partial.data_ptr()),
            *h.shape,
            *(_ACTIVATIONS[activation], reverse, torch.get_num_threads(), h.dtype == torch.float64),
        )
    )
    return dx, du, dh0


def _loaded() -> ctypes.CDLL:
    if _library is None:
        raise ValueError(f"backend cpu: {_reason}")
    return _library


def _known(x: Tensor) -> Tensor:
    """The tensor itself, if the library knows its kind."""
    if not x.is_cpu or x.dtype not in DTYPES:
        raise ValueError(f"backend cpu: expected float32 or float64 on a CPU, found {x.dtype} on {x.device}")
    return x


def _rows(x: Tensor) -> Tensor:
    """The same numbers with the units of every step side by side in memory; a copy only if they are not."""
    if x.stride(2) == 1 or x.shape[2] == 1:
        return x
    if x.stride() == (0, 0, 0):  # the gradient of a sum: one row stands for all
        return x[:1, :1].contiguous().expand(x.shape)
    return x.contiguous()


def _target(out: Tensor, x: Tensor) -> Tensor:
    """The tensor itself, if h can be written there."""
    side_by_side = out.stride(2) == 1 or out.shape[2] == 1
    if out.shape != x.shape or out.dtype != x.dtype or not out.is_cpu or not side_by_side:
        raise ValueError(
            f"out: expected {x.dtype} of shape {tuple(x.shape)} on a CPU, units side by side; "
            f"found {out.dtype} of shape {tuple(out.shape)} on {out.device}, strides {out.stride()}"
        )
    return out


def _like(x: Tensor) -> Tensor:
    """Fresh memory of x's shape, dtype and layout, units side by side."""
    fresh = torch.empty_like(x)
    return fresh if fresh.stride(2) == 1 or x.shape[2] == 1 else torch.empty(x.shape, dtype=x.dtype)
