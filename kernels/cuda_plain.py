"""The recurrence by `plain.cu`, as the papers describe their own kernel: a baseline for the benchmark."""

from functools import cache
from typing import Any

import torch
from torch import Tensor

from action_indrnn.kernels import cuda
from action_indrnn.kernels.cuda_source import PLAIN

THREADS = 512  # a block; the authors' choice


def forward(
    x: Tensor, u: Tensor, h0: Tensor, activation: str, lengths: Tensor | None = None, reverse: bool = False
) -> Tensor:
    """Returns h (T, B, H).

    Raises:
        ValueError: anything but contiguous float32, ReLU, forward in time, without lengths.
    """
    _check((x, u, h0), activation, lengths, reverse)
    h = torch.empty_like(x)
    launch("plain_forward", (x, u, h0, h), x)
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
    """Returns (dx, du, dh0); raises as `forward` does."""
    _check((grad_h, h, u, h0), activation, lengths, reverse)
    dx, du, dh0 = torch.empty_like(h), torch.empty_like(h0), torch.empty_like(h0)
    launch("plain_backward", (grad_h, h, u, h0, dx, du, dh0), h)
    return dx, du.sum(0), dh0


def launch(kernel: str, tensors: tuple[Tensor, ...], like: Tensor) -> None:
    """Puts the kernel onto torch's current stream."""
    steps, batch, units = like.shape
    columns = batch * units
    arguments = (*(tensor.data_ptr() for tensor in tensors), steps, columns, units)
    with torch.cuda.device(like.device), cuda.current_stream(like.device):
        _functions()[kernel]((-(-columns // THREADS),), (THREADS,), arguments)


def _check(tensors: tuple[Tensor, ...], activation: str, lengths: Tensor | None, reverse: bool) -> None:
    fits = all(tensor.dtype == torch.float32 and tensor.is_contiguous() for tensor in tensors)
    if not fits or activation != "relu" or lengths is not None or reverse:
        raise ValueError(
            "the plain kernel knows contiguous float32, relu, forward in time, all of one length"
        )


@cache
def _functions() -> dict[str, Any]:
    module = cuda.cupy().RawModule(code=PLAIN.read_text(encoding="utf-8"), options=("--std=c++17",))
    return {name: module.get_function(name) for name in ("plain_forward", "plain_backward")}
