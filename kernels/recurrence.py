"""The front door of the recurrence and the project's only autograd function.

Shapes: `T` frames, `B` clips in a batch, `H` units.
"""

from typing import Any, Literal, Protocol, get_args

import torch
from torch import Tensor

from action_indrnn.kernels import reference

Activation = Literal["relu", "tanh", "identity"]
ACTIVATIONS: tuple[str, ...] = get_args(Activation)


class Kernel(Protocol):
    """What a module behind the front door offers; `kernels/reference.py` says what the two functions mean.

    Arguments are checked already; they may be non-contiguous, and grad_h may be an expanded scalar.
    """

    def forward(self, x: Tensor, u: Tensor, h0: Tensor, activation: str) -> Tensor:
        """Returns h (T, B, H)."""

    def backward(
        self, grad_h: Tensor, h: Tensor, u: Tensor, h0: Tensor, activation: str
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Returns (dx, du, dh0)."""


KERNELS: dict[str, Kernel] = {"reference": reference}


class _Recurrence(torch.autograd.Function):
    """The recurrence on a chosen kernel; keeps h, u and h0 for the gradient, never x."""

    @staticmethod
    def forward(x: Tensor, u: Tensor, h0: Tensor, activation: str, kernel: Kernel) -> Tensor:
        return kernel.forward(x, u, h0, activation)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        _, u, h0, ctx.activation, ctx.kernel = inputs
        ctx.save_for_backward(output, u, h0)

    @staticmethod
    def backward(ctx: Any, grad_h: Tensor) -> tuple[Tensor | None, ...]:
        # Gradients are recorded here only for a second derivative: plain torch operations can give one.
        kernel = reference if torch.is_grad_enabled() else ctx.kernel
        h, u, h0 = ctx.saved_tensors
        return *kernel.backward(grad_h, h, u, h0, ctx.activation), None, None


def indrnn(
    x: Tensor,
    u: Tensor,
    h0: Tensor | None = None,
    *,
    activation: Activation = "relu",
    backend: str = "auto",
) -> tuple[Tensor, Tensor]:
    """Returns all states h (T, B, H) of the recurrence h_t = act(x_t + u * h_{t-1}), and the last one (B, H).

    Source: Li et al., "Independently Recurrent Neural Network", CVPR 2018, eq. 2, with the input term
    computed for all steps beforehand. Gradients flow through both results, to any order.

    Args:
        x: input term of every step, (T, B, H), T at least 1.
        u: recurrent weight of every unit, (H,).
        h0: state before the first step, (B, H); zeros if not given.
        activation: "relu", "tanh" or "identity".
        backend: a name in `KERNELS`, or "auto" for the best one for these tensors.

    Raises:
        ValueError: a shape, dtype, device, activation or backend that does not fit.
    """
    if x.ndim != 3 or x.shape[0] < 1:
        raise ValueError(f"x: expected shape (T, B, H) with T >= 1, found {tuple(x.shape)}")
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
    if activation not in ACTIVATIONS:
        raise ValueError(f"activation: expected one of {', '.join(ACTIVATIONS)}, found {activation!r}")
    if backend != "auto" and backend not in KERNELS:
        raise ValueError(f"backend: expected one of auto, {', '.join(KERNELS)}, found {backend!r}")
    kernel = reference if backend == "auto" else KERNELS[backend]
    h: Tensor = _Recurrence.apply(x, u, h0, activation, kernel)  # type: ignore[no-untyped-call]
    return h, h[-1]
