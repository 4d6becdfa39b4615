"""The front door of the recurrence and the project's only autograd function.

Shapes: `T` frames, `B` clips in a batch, `H` units.
"""

import os
from typing import Any, Literal, Protocol, get_args

import torch
from torch import Tensor

from action_indrnn.kernels import chunked, cpu, cuda, cuda_checked, reference

Activation = Literal["relu", "tanh", "identity"]
ACTIVATIONS: tuple[str, ...] = get_args(Activation)


class Kernel(Protocol):
    """What a module behind the front door offers; `kernels/reference.py` says what the two functions mean.

    Arguments are checked already. They may be non-contiguous, grad_h an expanded scalar, T and B may be 0.
    `lengths` (B,), int64, is the number of steps of each sequence; with None all have T.
    """

    def forward(
        self,
        x: Tensor,
        u: Tensor,
        h0: Tensor,
        activation: str,
        lengths: Tensor | None = None,
        reverse: bool = False,
    ) -> Tensor:
        """Returns h (T, B, H)."""

    def backward(
        self,
        grad_h: Tensor,
        h: Tensor,
        u: Tensor,
        h0: Tensor,
        activation: str,
        lengths: Tensor | None = None,
        reverse: bool = False,
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Returns (dx, du, dh0)."""


# On any device, and on a CPU alone:
KERNELS: dict[str, Kernel] = {"reference": reference, "chunked": chunked}
if cpu.available():
    KERNELS["cpu"] = cpu
# On an NVIDIA GPU; whether they can run is asked at the first tensor there. Sequential: "cuda-column".
CUDA_KERNELS: dict[str, Kernel] = {
    "cuda": cuda_checked.Kernel(),
    **{f"cuda-{regime}": cuda_checked.Kernel(regime) for regime in cuda.REGIMES},
}

FORCED = os.environ.get("ACTION_INDRNN_BACKEND", "auto")  # what "auto" means; read once, at import


class _Recurrence(torch.autograd.Function):
    """The recurrence on a chosen kernel; keeps h, u and h0 for the gradient, never x."""

    # One `forward` with ctx, not `setup_context`: torch binds the arguments of that by name, 25 us a call.
    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        u: Tensor,
        h0: Tensor,
        lengths: Tensor | None,
        kernel: Kernel,
        activation: str,
        reverse: bool,
    ) -> Tensor:
        h = kernel.forward(x, u, h0, activation, lengths, reverse)
        ctx.save_for_backward(h, u, h0, lengths)
        ctx.kernel, ctx.activation, ctx.reverse = kernel, activation, reverse
        return h

    @staticmethod
    def backward(ctx: Any, grad_h: Tensor) -> tuple[Tensor | None, ...]:
        # Gradients are recorded here only for a second derivative: plain torch operations can give one.
        kernel = reference if torch.is_grad_enabled() else ctx.kernel
        h, u, h0, lengths = ctx.saved_tensors
        dx, du, dh0 = kernel.backward(grad_h, h, u, h0, ctx.activation, lengths, ctx.reverse)
        return dx, du, dh0, None, None, None, None


def _apply(x: Tensor, u: Tensor, h0: Tensor, lengths: Tensor | None, kernel: str, *how: Any) -> Tensor:
    h: Tensor = _Recurrence.apply(x, u, h0, lengths, _kernel(kernel), *how)  # type: ignore[no-untyped-call]
    return h


# The same as operators of torch, for what traces a program instead of running it: torch.compile and
# torch.export. To call them takes longer than to call the Function. Their outputs are contiguous.
@torch.library.custom_op("action_indrnn::recurrence", mutates_args=())
def _operator(
    x: Tensor, u: Tensor, h0: Tensor, lengths: Tensor | None, kernel: str, activation: str, reverse: bool
) -> Tensor:
    name = _choose(x, activation, kernel)
    return _kernel(name).forward(x, u, h0, activation, lengths, reverse).contiguous()


@torch.library.custom_op("action_indrnn::recurrence_backward", mutates_args=())
def _operator_backward(
    grad_h: Tensor,
    h: Tensor,
    u: Tensor,
    h0: Tensor,
    lengths: Tensor | None,
    kernel: str,
    activation: str,
    reverse: bool,
) -> tuple[Tensor, Tensor, Tensor]:
    name = _choose(h, activation, kernel)
    dx, du, dh0 = _kernel(name).backward(grad_h, h, u, h0, activation, lengths, reverse)
    return dx.contiguous(), du, dh0


@_operator.register_fake
def _(x: Tensor, *_: Any) -> Tensor:
    return x.new_empty(x.shape)


@_operator_backward.register_fake
def _(grad_h: Tensor, h: Tensor, u: Tensor, h0: Tensor, *_: Any) -> tuple[Tensor, Tensor, Tensor]:
    return h.new_empty(h.shape), u.new_empty(u.shape), h0.new_empty(h0.shape)


def _keep(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    _, u, h0, lengths, *ctx.how = inputs
    ctx.save_for_backward(output, u, h0, lengths)


def _differentiate(ctx: Any, grad_h: Tensor) -> tuple[Tensor | None, ...]:
    return *_operator_backward(grad_h, *ctx.saved_tensors, *ctx.how), None, None, None, None


_operator.register_autograd(_differentiate, setup_context=_keep)


def indrnn(
    x: Tensor,
    u: Tensor,
    h0: Tensor | None = None,
    *,
    activation: Activation = "relu",
    lengths: Tensor | None = None,
    reverse: bool = False,
    backend: str = "auto",
) -> tuple[Tensor, Tensor]:
    """Returns all states h (T, B, H) of the recurrence h_t = act(x_t + u * h_{t-1}), and the last one (B, H).

    Source: Li et al., "Independently Recurrent Neural Network", CVPR 2018, eq. 2, with the input term
    computed for all steps beforehand. Gradients flow through both results, to any order.

    Args:
        x: input term of every step, (T, B, H).
        u: recurrent weight of every unit, (H,).
        h0: state before the first step, (B, H); zeros if not given.
        activation: "relu", "tanh" or "identity".
        lengths: steps of each sequence, (B,), int64, 0 to T; T if not given. Behind the end of a sequence h
            is 0 and x does not matter; the last state is the one at its end, or h0 where the length is 0.
        reverse: walk from the last step (of each sequence) to the first; the last state is that of step 0.
        backend: a name in `KERNELS` or `CUDA_KERNELS`, or "auto": the one in the environment variable
            ACTION_INDRNN_BACKEND, else the best one for these tensors.

    Raises:
        ValueError: a shape, dtype, device, activation, length or backend that does not fit.
    """
    if x.ndim != 3:
        raise ValueError(f"x: expected shape (T, B, H), found {tuple(x.shape)}")
    if not x.is_floating_point():
        raise ValueError(f"x: expected a floating dtype, found {x.dtype}")
    if h0 is None:
        h0 = x.new_zeros(x.shape[1:])
    for name, tensor, shape in (("u", u, x.shape[2:]), ("h0", h0, x.shape[1:])):
        if tensor.shape != shape:
            raise ValueError(
                f"{name}: expected shape {tuple(shape)} for x {tuple(x.shape)}, found {tuple(tensor.shape)}"
            )
        if tensor.dtype != x.dtype:
            raise ValueError(f"{name}: expected dtype {x.dtype} of x, found {tensor.dtype}")
        if tensor.device != x.device:
            raise ValueError(f"{name}: expected device {x.device} of x, found {tensor.device}")
    if lengths is not None:
        _check_lengths(lengths, x)
    if activation not in ACTIVATIONS:
        raise ValueError(f"activation: expected one of {', '.join(ACTIVATIONS)}, found {activation!r}")
    if torch.compiler.is_compiling():  # the operator chooses: what this machine has is nothing to trace
        h = _operator(x, u, h0, lengths, backend, activation, reverse)
    else:
        h = _apply(x, u, h0, lengths, _choose(x, activation, backend), activation, reverse)
    return h, _last(h, h0, lengths, reverse)


def backend(x: Tensor | None = None, activation: Activation = "relu") -> str:
    """Returns which kernel `indrnn` takes for tensors like x, and why: "cpu: compiled CPU kernel, avx512".

    Without x the answer is for a long float32 sequence on the CPU.

    Raises:
        ValueError: ACTION_INDRNN_BACKEND names no kernel.
    """
    if x is None:
        x = torch.empty(chunked.WORTH_FROM, 1, 1)
    name = _choose(x, activation, "auto")
    if FORCED != "auto":
        why = "the environment variable ACTION_INDRNN_BACKEND asks for it"
    elif x.is_cpu and x.dtype in cpu.DTYPES:
        why = cpu.reason()
    elif x.is_cuda and x.dtype in cuda.DTYPES:
        why = cuda.reason()
    else:
        why = f"there is no compiled kernel for {x.dtype} on {x.device}"
    return f"{name}: {why}"


def _kernel(name: str) -> Kernel:
    kernel = KERNELS.get(name)
    return CUDA_KERNELS[name] if kernel is None else kernel


def _choose(x: Tensor, activation: str, backend: str) -> str:
    """The name in `KERNELS` of the kernel to run."""
    if backend == "auto":
        backend = FORCED
    if backend != "auto":
        if backend not in KERNELS and backend not in CUDA_KERNELS:
            why = f": {cpu.reason()}" if backend == "cpu" else ""
            known = ", ".join(KERNELS | CUDA_KERNELS)
            raise ValueError(f"backend: expected one of auto, {known}, found {backend!r}{why}")
        return backend
    if x.is_cpu and x.dtype in cpu.DTYPES and "cpu" in KERNELS:
        return "cpu"
    if x.is_cuda and x.dtype in cuda.DTYPES and cuda.available():
        return "cuda"
    if activation != "tanh" and len(x) >= chunked.WORTH_FROM:
        return "chunked"
    return "reference"


def _check_lengths(lengths: Tensor, x: Tensor) -> None:
    """Raises ValueError where the lengths do not fit x; reads them on a CPU only, so no device waits."""
    if lengths.shape != x.shape[1:2] or lengths.dtype != torch.int64 or lengths.device != x.device:
        raise ValueError(
            f"lengths: expected int64 of shape ({x.shape[1]},) on {x.device}, "
            f"found {lengths.dtype} of shape {tuple(lengths.shape)} on {lengths.device}"
        )
    if torch.compiler.is_compiling():
        return
    if lengths.is_cpu and lengths.numel() and not 0 <= int(lengths.min()) <= int(lengths.max()) <= len(x):
        raise ValueError(f"lengths: expected 0 to {len(x)}, found {lengths.tolist()}")


def _last(h: Tensor, h0: Tensor, lengths: Tensor | None, reverse: bool) -> Tensor:
    """The state behind the last step of the walk, (B, H)."""
    if not len(h):
        return h0
    if lengths is None:
        return h[0] if reverse else h[-1]
    end = torch.zeros_like(lengths) if reverse else (lengths - 1).clamp(min=0)
    last = h.gather(0, end[None, :, None].expand(1, -1, h.shape[2]))[0]
    return torch.where(lengths[:, None] > 0, last, h0)
