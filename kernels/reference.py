"""The definition of the recurrence in plain torch: the kernel that every other one is held against.

Shapes: `T` frames, `B` clips in a batch, `H` units; x, h and their gradients (T, B, H), u (H,), h0 (B, H),
lengths (B,).
"""

import torch
from torch import Tensor


def forward(
    x: Tensor, u: Tensor, h0: Tensor, activation: str, lengths: Tensor | None = None, reverse: bool = False
) -> Tensor:
    """Returns h (T, B, H) with h_t = act(x_t + u * h_{t-1}), the recurrence of Li et al. 2018, eq. 2.

    In reverse, time is walked from the last step to the first: h_t = act(x_t + u * h_{t+1}). Behind the end
    of a sequence h is 0, and the state is not touched. NaN passes through every activation, as it does
    through torch.relu.
    """
    if not len(x):
        return torch.empty_like(x)
    h, steps, inside = h0, [], _inside(lengths, len(x))
    x_at = x.unbind(0)  # one operation, where x[t] would be T in the graph
    for t in range(len(x))[:: -1 if reverse else 1]:
        new = x_at[t] + u * h
        if activation == "relu":
            new = torch.relu(new)
        elif activation == "tanh":
            new = torch.tanh(new)
        if inside is not None:
            h, new = torch.where(inside[t], new, h), torch.where(inside[t], new, 0.0)
        else:
            h = new
        steps.append(new)
    return torch.stack(steps[::-1] if reverse else steps)


def backward(
    grad_h: Tensor,
    h: Tensor,
    u: Tensor,
    h0: Tensor,
    activation: str,
    lengths: Tensor | None = None,
    reverse: bool = False,
) -> tuple[Tensor, Tensor, Tensor]:
    """Returns the gradients (dx, du, dh0), given grad_h from above and the forward's own output h.

    The slope follows from the output: relu' = [h > 0] (0 at the kink), tanh' = 1 - h^2. No operation works
    in place, so autograd can differentiate the result once more. Behind the end of a sequence grad_h is 0.
    """
    carry, steps = torch.zeros_like(h0), []
    if not len(h):
        return torch.empty_like(h), torch.zeros_like(u), carry
    inside = _inside(lengths, len(h))
    grad_at, h_at = grad_h.unbind(0), h.unbind(0)
    for t in range(len(h))[:: 1 if reverse else -1]:
        d = grad_at[t] + carry
        if activation == "relu":
            d = torch.where(h_at[t] > 0, d, 0.0)
        elif activation == "tanh":
            d = d * (1 - h_at[t] * h_at[t])
        carry = d * u if inside is None else torch.where(inside[t], d * u, carry)
        steps.append(d if inside is None else torch.where(inside[t], d, 0.0))
    dx = torch.stack(steps if reverse else steps[::-1])
    return dx, (dx * _before(h, h0, inside, reverse)).sum((0, 1)), carry


def _inside(lengths: Tensor | None, steps: int) -> Tensor | None:
    """Whether a step lies within its sequence, (T, B, 1)."""
    if lengths is None:
        return None
    return (torch.arange(steps, device=lengths.device)[:, None] < lengths)[..., None]


def _before(h: Tensor, h0: Tensor, inside: Tensor | None, reverse: bool) -> Tensor:
    """The state that every step starts from, (T, B, H); 0 behind the end of a sequence."""
    if not reverse:
        before = torch.cat((h0[None], h[:-1]))
    elif inside is None:
        before = torch.cat((h[1:], h0[None]))
    else:
        before = torch.cat((torch.where(inside[1:], h[1:], h0), h0[None]))
    return before if inside is None else torch.where(inside, before, 0.0)
