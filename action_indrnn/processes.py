"""The processes that train or evaluate one network together: one, or as many as torchrun has started.

All of them run the same program; what differs is the clips that each takes. Without a group every function
here does what one process alone needs.
"""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, distributed


@contextmanager
def group(device: str) -> Iterator[str]:
    """Joins the processes of torchrun, if it has started this one; yields the device that is this one's.

    "cuda" becomes the GPU of the process's number on its machine. Tensors on the CPU travel by gloo, those on
    a GPU by NCCL.
    """
    if not distributed.is_torchelastic_launched():
        yield device
        return
    cuda = torch.device(device).type == "cuda"
    if device == "cuda":
        device = f"cuda:{os.environ['LOCAL_RANK']}"
    if cuda:
        torch.cuda.set_device(device)
    distributed.init_process_group("cpu:gloo,cuda:nccl" if cuda else "gloo")
    try:
        yield device
    finally:
        distributed.destroy_process_group()


def count() -> int:
    """How many processes work together."""
    return distributed.get_world_size() if distributed.is_initialized() else 1


def rank() -> int:
    """The number of this process among them, from 0."""
    return distributed.get_rank() if distributed.is_initialized() else 0


def is_first() -> bool:
    """Whether this is the process that writes files and speaks."""
    return rank() == 0


def share(whole: int, start: int = 0) -> slice:
    """The part that is this process's, of a whole that begins at `start` and whose size `count` divides."""
    size = whole // count()
    return slice(start + rank() * size, start + (rank() + 1) * size)


def any_says(yes: bool) -> bool:
    """Whether any process says yes; all get the same answer."""
    return bool(total(torch.tensor(int(yes)))) if count() > 1 else yes


def total(x: Tensor) -> Tensor:
    """The sum of every process's x, the same bits in all; x may be overwritten."""
    if count() > 1:
        distributed.all_reduce(x)
    return x


# An operator of torch, so that torch.compile can take it in; torch's own differentiable sums are on the move.
@torch.library.custom_op("action_indrnn::sum_of_processes", mutates_args=())
def _sum(x: Tensor) -> Tensor:
    return total(x.clone())


@_sum.register_fake
def _(x: Tensor) -> Tensor:
    return torch.empty_like(x)


def _sum_gradient(ctx: Any, grad: Tensor) -> Tensor:
    whole: Tensor = _sum(grad)
    return whole


_sum.register_autograd(_sum_gradient)


def every(x: Tensor) -> Tensor:
    """Every process's x, stacked in front, in all processes; gradients flow back to each."""
    places = torch.arange(count(), device=x.device) == rank()
    whole: Tensor = _sum(places.view(-1, *[1] * x.ndim).to(x.dtype) * x)
    return whole


def from_first(data: bytes) -> bytes:
    """The first process's data, in all processes."""
    if count() == 1:
        return data
    size = torch.tensor(len(data))
    distributed.broadcast(size, 0)
    buffer = torch.zeros(int(size), dtype=torch.uint8)
    if is_first():
        buffer = torch.frombuffer(bytearray(data), dtype=torch.uint8) if data else buffer
    distributed.broadcast(buffer, 0)
    return buffer.numpy().tobytes()


def first_does(work: Callable[[], None]) -> None:
    """Does work in the first process while the others wait.

    Raises:
        ValueError: in all processes, where the work raises it in the first.
    """
    problem: ValueError | None = None
    if is_first():
        try:
            work()
        except ValueError as error:
            problem = error
    message = from_first(str(problem or "").encode())
    if problem is not None:
        raise problem
    if message:
        raise ValueError(message.decode())
