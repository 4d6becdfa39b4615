"""The CUDA kernels behind the front door: proven on the device at hand before their first result counts.

Shapes: `T` frames, `B` clips in a batch, `H` units.
"""

from functools import cache

import torch
from torch import Tensor

from action_indrnn.kernels import cuda, reference

# What a regime may differ from the definition by, as a share of the largest value, before it is refused.
TOLERANCE = {torch.float32: 1e-4, torch.bfloat16: 3e-2, torch.float16: 4e-3}


class Kernel:
    """What stands behind the front door: the two functions in one regime, on CUDA tensors."""

    def __init__(self, regime: str = "auto") -> None:
        self.regime = regime

    def forward(
        self,
        x: Tensor,
        u: Tensor,
        h0: Tensor,
        activation: str,
        lengths: Tensor | None = None,
        reverse: bool = False,
    ) -> Tensor:
        """Returns h (T, B, H).

        Raises:
            ValueError: a tensor or an activation that the kernels do not know, or no way to run them.
            RuntimeError: they do not agree with the definition on this device.
        """
        _proven(x, activation)
        return cuda.forward(x, u, h0, activation, lengths, reverse, regime=self.regime)

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
        """Returns (dx, du, dh0); raises as `forward` does."""
        _proven(h, activation)
        return cuda.backward(grad_h, h, u, h0, activation, lengths, reverse, regime=self.regime)


def _proven(x: Tensor, activation: str) -> None:
    """Refuses tensors that are on no CUDA device, and kernels that are wrong on theirs."""
    if not x.is_cuda:
        raise ValueError(f"backend cuda: expected a tensor on a CUDA device, found one on {x.device}")
    if not cuda.available():
        raise ValueError(f"backend cuda: {cuda.reason()}")
    if x.dtype in cuda.DTYPES:
        prove(x.dtype, activation, x.device)


@cache
@torch.no_grad()
def prove(dtype: torch.dtype, activation: str, device: torch.device) -> None:
    """Runs every regime once on a device, on a small problem, and holds it against the definition.

    Raises:
        RuntimeError: a result is not what it should be.
    """
    generator = torch.Generator().manual_seed(0)
    steps, batch, units = 150, 2, 34

    def made(*shape: int) -> Tensor:
        return torch.randn(shape, generator=generator).to(device, dtype)

    x, grad, h0 = made(steps, batch, units), made(steps, batch, units), made(batch, units)
    u = made(units).clamp(-1, 1)
    for name in cuda.regimes(activation, device):
        h = cuda.forward(x, u, h0, activation, regime=name)
        found = h, *cuda.backward(grad, h, u, h0, activation, regime=name)
        x2, u2, h02, grad2, h2 = (value.double() for value in (x, u, h0, grad, h))
        wanted = (
            reference.forward(x2, u2, h02, activation),
            *reference.backward(grad2, h2, u2, h02, activation),
        )
        for what, one, other in zip(("h", "dx", "du", "dh0"), found, wanted, strict=True):
            error = float((one.double() - other).abs().max() / other.abs().max())
            if not error <= TOLERANCE[dtype]:
                raise RuntimeError(
                    f"the CUDA kernel {name} ({dtype}, {activation}) is wrong on {device}: {what} differs "
                    f"from the definition by {error:.2g} of its largest value; set the environment variable "
                    "ACTION_INDRNN_BACKEND to chunked to do without it"
                )
