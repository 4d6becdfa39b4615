"""The recurrence in about 3 sqrt(T) torch calls instead of T: what runs where there is no compiled kernel.

Time is cut into chunks that all walk at once. A chunk of ReLU steps is a clamped affine map of the state
that goes into it (`Summary` in recurrence.h says why), so all states come in three steps: sum up every
chunk, chain the summaries, walk every chunk once more from the state that goes into it. Backwards a chunk is
a linear map. The slope u^L of a map is taken in float64: float32 powers would lose 12 times as much as the
loop does.

The loop of `reference` does what the maps cannot say: tanh, lengths, few steps, values that are not finite.

Shapes: `T` frames, `B` clips in a batch, `H` units; n chunks of L steps.
"""

from collections.abc import Iterable, Sequence

import torch
from torch import Tensor

from action_indrnn.kernels import reference

WORTH_FROM = 256  # steps; with fewer the loop is as fast


def forward(
    x: Tensor, u: Tensor, h0: Tensor, activation: str, lengths: Tensor | None = None, reverse: bool = False
) -> Tensor:
    """Returns h (T, B, H); `reference.forward` says what it is."""
    if activation == "tanh" or lengths is not None or len(x) < WORTH_FROM:
        return reference.forward(x, u, h0, activation, lengths, reverse)
    relu = activation == "relu"
    h = torch.empty(x.shape, dtype=x.dtype, device=x.device)
    length = _length(len(x))
    steps, tail = _cut(x, length, reverse)
    h_steps, h_tail = _cut(h, length, reverse)
    order = _order(len(x) // length, reverse)

    # Runs of every chunk: linear from 0; ReLU from 0; if a u is negative, ReLU from +inf: 0 a step on.
    runs = steps[0].new_zeros(3 if relu and bool((u < 0).any()) else 2 if relu else 1, *steps[0].shape)
    runs[0] = steps[0]
    runs[0, order[0]] += u * h0
    runs[1:2] = torch.relu(runs[0])
    for x_t in steps[1:]:
        torch.addcmul(x_t, u, runs, out=runs)
        runs[1:].relu_()

    a, *ends = runs.double()
    low = high = None
    if relu:
        low, high = ends[0], torch.full_like(a, torch.inf)
    if len(ends) == 2:
        low = torch.where(u < 0, torch.minimum(*ends), ends[0])
        high = torch.where(u < 0, torch.maximum(*ends), torch.inf)
    power = u.double().pow(length)
    into = torch.empty_like(a)
    into[order[0]] = h0
    state = ends[0][order[0]] if relu else a[order[0]]
    for k in order[1:]:
        into[k] = state
        state = torch.addcmul(a[k], power, state)
        if low is not None and high is not None:
            state = torch.clamp(state, low[k], high[k])
    if not _finite(a, into):
        return reference.forward(x, u, h0, activation, lengths, reverse)

    for rows, h_rows, start in ((steps, h_steps, into.to(x.dtype)), (tail, h_tail, None)):
        h_t = start if start is not None else h_steps[-1][order[-1]]
        for x_t, out in zip(rows, h_rows, strict=True):
            torch.addcmul(x_t, u, h_t, out=out)
            h_t = out.relu_() if relu else out
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
    """Returns (dx, du, dh0); `reference.backward` says what they are."""
    if activation == "tanh" or lengths is not None or len(h) < WORTH_FROM:
        return reference.backward(grad_h, h, u, h0, activation, lengths, reverse)
    relu = activation == "relu"
    dx = torch.empty(h.shape, dtype=h.dtype, device=h.device)
    length = _length(len(h))
    steps, tail = zip(*(_cut(of, length, reverse) for of in (grad_h, h, dx)), strict=True)
    order = _order(len(h) // length, reverse)[::-1]

    d = torch.zeros_like(h0)
    for g_t, h_t, out in _backwards(tail):
        d = _through(relu, torch.addcmul(g_t, u, d, out=out), h_t)

    a = torch.zeros_like(steps[1][0], memory_format=torch.contiguous_format)
    for g_t, h_t, _ in _backwards(steps):
        _through(relu, torch.addcmul(g_t, u, a, out=a), h_t)
    slope = u.double().pow(length).expand(a.shape)
    if relu:
        least = steps[1][0].clone()
        for h_t in steps[1][1:]:
            torch.minimum(least, h_t, out=least)
        slope = torch.where(least > 0, slope, 0.0)
    a, into, state = a.double(), torch.empty_like(slope), d.double()
    for k in order:
        into[k] = state
        state = torch.addcmul(a[k], slope[k], state)
    if not _finite(a, into, h[0 if reverse else -1]):
        return reference.backward(grad_h, h, u, h0, activation, lengths, reverse)

    d = into.to(h.dtype)
    for g_t, h_t, out in _backwards(steps):
        d = _through(relu, torch.addcmul(g_t, u, d, out=out), h_t)
    first, after, before = (dx[-1], dx[:-1], h[1:]) if reverse else (dx[0], dx[1:], h[:-1])
    return dx, (after * before).sum((0, 1)) + (first * h0).sum(0), u * first


def _length(steps: int) -> int:
    """Steps of a chunk for the fewest calls: 4 a step of the walks, 2 a chunk, 2 a step of the tail."""
    guess = round((steps / 2) ** 0.5)

    def calls(length: int) -> int:
        return 4 * length + 2 * (steps // length) + 2 * (steps % length)

    return min(range(guess * 3 // 4, guess * 4 // 3), key=calls)


def _cut(x: Tensor, length: int, reverse: bool) -> tuple[Sequence[Tensor], Sequence[Tensor]]:
    """Views in the order of the walk: step by step of all chunks, (n, B, H); then steps left over, (B, H)."""
    rest = len(x) % length
    chunks, tail = (x[rest:], x[:rest]) if reverse else (x[: len(x) - rest], x[len(x) - rest :])
    way = -1 if reverse else 1
    return chunks.reshape(len(x) // length, length, *x.shape[1:]).unbind(1)[::way], tail.unbind(0)[::way]


def _order(chunks: int, reverse: bool) -> range:
    """Chunks in the order of the walk."""
    return range(chunks)[:: -1 if reverse else 1]


def _backwards(columns: Iterable[Sequence[Tensor]]) -> Iterable[tuple[Tensor, ...]]:
    """Rows of several sequences side by side, the last first."""
    return zip(*(column[::-1] for column in columns), strict=True)


def _through(relu: bool, d: Tensor, h_t: Tensor) -> Tensor:
    """The gradient `d` through the activation with output h_t, in place."""
    if relu:
        torch.ops.aten.threshold_backward.grad_input(d, h_t, 0, grad_input=d)
    return d


def _finite(*values: Tensor) -> bool:
    return all(bool(value.isfinite().all()) for value in values)
