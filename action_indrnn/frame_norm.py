"""Batch normalisation for networks that answer at every step.

Shapes: `T` steps, `B` sequences in a batch, `H` units; sequences are time-major (T, B, H).
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class FrameBatchNorm(nn.Module):
    """Batch normalisation with statistics of its own for each time step, over the batch alone.

    For networks that answer at every step: statistics over all steps would tell an answer of what comes
    later. The scale and the shift are those of all steps. The steps from `frames` - 1 on, counted from where
    the state was last zero, share their running statistics, so a sequence may be of any length.

    A step's running statistics are the plain mean over its first batches, until a new one's share has fallen
    to `momentum`. Without that a step that training seldom comes to, as the first ones of a very long text,
    would be evaluated with statistics that still are mostly where they began, 0 and 1. Steps beyond all
    that training came to take the statistics of the last one it did come to.

    Source: Cooijmans et al., arXiv 1603.09025, and for this network Li et al., CVPR 2018; the original code
    shares the statistics of segments that begin beyond twice a segment's length, and has no mean over the
    first batches.

    Attributes:
        seen: batches that each step's running statistics have taken in, (frames,).
    """

    running_mean: Tensor
    running_var: Tensor
    seen: Tensor

    def __init__(self, units: int, *, frames: int, eps: float = 1e-5, momentum: float = 0.1) -> None:
        super().__init__()
        self.units, self.frames, self.eps, self.momentum = units, frames, eps, momentum
        self.weight = nn.Parameter(torch.ones(units))
        self.bias = nn.Parameter(torch.zeros(units))
        self.register_buffer("running_mean", torch.zeros(frames, units))
        self.register_buffer("running_var", torch.ones(frames, units))
        self.register_buffer("seen", torch.zeros(frames, dtype=torch.int64))

    def forward(self, x: Tensor, start: int = 0) -> Tensor:
        """Returns x (T, B, H), normalised; `start` is the number of steps before x since the state was zero.

        Raises:
            ValueError: one sequence alone in training, which has no variance.
        """
        steps, batch, _ = x.shape
        at = torch.arange(start, start + steps, device=x.device).clamp_(max=self.frames - 1)
        if not self.training:
            at = at.minimum(self._reached())
        mean, var = self.running_mean[at], self.running_var[at]
        y = F.batch_norm(
            x.transpose(0, 1).reshape(batch, -1),  # a step of a unit is a channel
            mean.view(-1),
            var.view(-1),
            self.weight.repeat(steps),
            self.bias.repeat(steps),
            self.training,
            1.0,  # mean and var become the batch's
            self.eps,
        )
        if self.training:
            self._keep(start, mean, var)
        return y.view(batch, steps, -1).transpose(0, 1)

    def _reached(self) -> Tensor:
        """The last step that training came to, as a scalar."""
        return (torch.arange(self.frames, device=self.seen.device) * (self.seen > 0)).max()

    @torch.no_grad()
    def _keep(self, start: int, mean: Tensor, var: Tensor) -> None:
        """Takes a batch's statistics (T, H) into the running ones; steps that share theirs, their mean."""
        first = min(start, self.frames - 1)
        own = min(len(mean), self.frames - 1 - first)  # steps with statistics of their own
        last = first + own + (own < len(mean))
        seen = self.seen[first:last].add_(1)
        share = (1 / seen).clamp_(min=self.momentum).unsqueeze(1)
        for kept, found in ((self.running_mean, mean), (self.running_var, var)):
            if own < len(found):
                found = torch.cat((found[:own], found[own:].mean(dim=0, keepdim=True)))
            kept[first:last].lerp_(found, share.to(kept.dtype))

    def extra_repr(self) -> str:
        """Returns what `print(model)` shows of this layer."""
        return f"{self.units}, frames={self.frames}"
