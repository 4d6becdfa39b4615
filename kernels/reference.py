"""The definition of the recurrence in plain torch: the kernel that every other one is held against.

Shapes: `T` frames, `B` clips in a batch, `H` units; x, h and their gradients (T, B, H), u (H,), h0 (B, H).
"""

import torch
from torch import Tensor


def forward(x: Tensor, u: Tensor, h0: Tensor, activation: str) -> Tensor:
    """Returns h (T, B, H) with h_t = act(x_t + u * h_{t-1}), the recurrence of Li et al. 2018, eq. 2.

    NaN passes through every activation, as it does through torch.relu.
    """
    h, steps = h0, []
    for x_t in x.unbind(0):
        h = x_t + u * h
        if activation == "relu":
            h = torch.relu(h)
        elif activation == "tanh":
            h = torch.tanh(h)
        steps.append(h)
    return torch.stack(steps)


def backward(
    grad_h: Tensor, h: Tensor, u: Tensor, h0: Tensor, activation: str
) -> tuple[Tensor, Tensor, Tensor]:
    """Returns the gradients (dx, du, dh0), given grad_h from above and the forward's own output h.

    The slope follows from the output: relu' = [h > 0] (0 at the kink), tanh' = 1 - h^2. No operation works in
    place, so autograd can differentiate the result once more.
    """
    carry, steps = torch.zeros_like(h0), []
    for grad_t, h_t in zip(reversed(grad_h.unbind(0)), reversed(h.unbind(0)), strict=True):
        d = grad_t + carry
        if activation == "relu":
            d = torch.where(h_t > 0, d, 0.0)
        elif activation == "tanh":
            d = d * (1 - h_t * h_t)
        steps.append(d)
        carry = d * u
    dx = torch.stack(steps[::-1])
    before = torch.cat((h0.unsqueeze(0), h[:-1]))
    return dx, (dx * before).sum((0, 1)), carry
