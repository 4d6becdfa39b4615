"""What a classifier reads of all steps so far, from a state of constant size.

The last one, their mean, or both; or `Attention` besides, as in a mean over thirty steps a movement of three
is lost.

Shapes: `T` frames, `B` clips in a batch, `W` numbers of a step, `A` heads; sequences are time-major.
"""

from typing import Literal, NamedTuple

import torch
from torch import Tensor, nn

from action_indrnn.layers import DropoutOverTime, Mask

Pooling = Literal["last", "mean", "both", "attention"]
HEADS = 4  # shares of the numbers of a step, each with weights of its own for the steps
PARTS = 3  # that are read with attention of every number of a step
LIMIT = 10.0  # of a score either way: e^10 over any number of steps stays finite


class RunningMean(nn.Module):
    """The mean over all steps so far.

    Its state is that mean and, in the last place, the number of steps that it is of.

    Args:
        width: of a step.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.units = width + 1

    def forward(self, x: Tensor, before: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Returns the mean (B, width) over x (T, B, width) and what was before it, and the new state.

        The precision is that of x, single at least: a count of steps in half precision would end at 2048.
        """
        mean = x.mean(dim=0, dtype=torch.promote_types(x.dtype, torch.float32))
        steps = torch.full_like(mean[:, :1], len(x))  # exports for any B
        if before is not None:
            steps = steps + before[:, -1:]
            mean = before[:, :-1].lerp(mean, len(x) / steps)
        return mean, torch.cat((mean, steps), dim=1)


class SeenPooling(nn.Module):
    """The last step at which somebody is there, the mean of those steps, or both beside each other.

    The state is that last step, that mean and, in the last place, the number of steps that it is of.

    Args:
        width: of a step.
        pooling: what is read.

    Attributes:
        units: numbers in the state of a clip.
        reverse: whether time is walked from the last step to the first.
    """

    def __init__(self, width: int, pooling: Pooling) -> None:
        super().__init__()
        self.width = width
        self.pooling = pooling
        self.units = 2 * width + 1
        self.reverse = False

    def forward(self, x: Tensor, before: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Returns what is read (B, width or twice that) of x (T, B, width + 1), and the new state.

        The last number of a step says whether it counts, 1 or 0.
        """
        if before is None:
            before = x.new_zeros(x.shape[1], self.units)
        held, mean, steps = torch.split(before, [self.width, self.width, 1], dim=1)
        steps_of = x.flip(0) if self.reverse else x
        values, counts = steps_of[..., :-1], steps_of[..., -1:]
        found = counts.sum(dim=0)  # (B, 1)
        steps = steps + found
        mean = mean + ((values * counts).sum(dim=0) - found * mean) / steps.clamp_min(1)
        after = counts.flip(0).cumsum(0).flip(0) - counts  # steps that count behind each
        held = torch.where(found > 0, (values * counts * (after == 0)).sum(dim=0), held)
        parts = {"last": (held,), "mean": (mean,), "both": (held, mean)}[self.pooling]
        return torch.cat(parts, dim=1), torch.cat((held, mean, steps), dim=1)


class Gathered(NamedTuple):
    """The state: what the steps so far, `steps` of which counted, come to.

    Attributes:
        last: (B, W) the last of them that counted; (B, 0) where each does.
        mean: (B, W).
        weighted: (B, W) their mean by weights.
        weights: (B, A) the weights' sums.
        steps: (B, 1).
    """

    last: Tensor
    mean: Tensor
    weighted: Tensor
    weights: Tensor
    steps: Tensor


class Attention(nn.Module):
    """Of all steps so far: the last, the mean and a weighted mean, (B, 3 W).

    A step's weights are e to the power of scores, linear maps of the step, one for each head; a head weighs
    its share of the numbers. In training steps are dropped out where they are read, not where they are
    scored. Source: attentive pooling, Okabe et al., arXiv 1803.10963, without its deviation.

    Args:
        width: W.
        dropout: probability that a number is dropped.
        mask: of that; see `DropoutOverTime`.
        gaps: whether a step has a number more, which says whether it counts, 1 or 0.

    Attributes:
        units: numbers in the state.
        reverse: whether time is walked from the last step to the first.
    """

    spread: Tensor

    def __init__(self, width: int, dropout: float, mask: Mask, *, gaps: bool = False) -> None:
        super().__init__()
        self.width = width
        self.gaps = gaps
        self.reverse = False
        self.parts = [width if gaps else 0, width, width, HEADS, 1]
        self.units = sum(self.parts)
        self.dropout = DropoutOverTime(dropout, mask)
        self.score = nn.Linear(width, HEADS, bias=False)
        nn.init.zeros_(self.score.weight)  # all steps alike
        head = torch.arange(width) * HEADS // width
        spread = nn.functional.one_hot(head, HEADS).t().float()  # (A, W), which numbers a head weighs
        self.register_buffer("spread", spread, persistent=False)

    def forward(self, x: Tensor, before: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Returns what is read of x (T, B, W), or (T, B, W + 1) with gaps, and the state to go on from.

        The precision is that of x, single at least.
        """
        x = x.to(torch.promote_types(x.dtype, torch.float32))
        x, counts = (x[..., :-1], x[..., -1:]) if self.gaps else (x, None)
        shown = self.dropout(x)
        after = self._gathered(x, shown, counts)
        if before is not None:
            after = self._joined(Gathered(*torch.split(before, self.parts, dim=1)), after)
        last = after.last if self.gaps else shown[0 if self.reverse else -1]
        return torch.cat((last, after.mean, after.weighted), dim=1), torch.cat(after, dim=1)

    def _gathered(self, x: Tensor, shown: Tensor, counts: Tensor | None) -> Gathered:
        """Of x alone, of which `shown` is what is read."""
        weight = self.score(x).to(x.dtype).clamp(-LIMIT, LIMIT).exp()  # (T, B, A)
        if counts is None:
            steps = torch.full_like(x[0, :, :1], len(x))
            last, mean = x[0, :, :0], shown.mean(dim=0)
        else:
            weight = weight * counts
            steps = counts.sum(dim=0)
            mean = (shown * counts).sum(dim=0) / steps.clamp_min(1)
            order = counts if self.reverse else counts.flip(0)
            behind = order.cumsum(dim=0) - order  # steps that count behind each
            is_last = counts * ((behind if self.reverse else behind.flip(0)) == 0)
            last = (shown * is_last).sum(dim=0)
        weights = weight.sum(dim=0)
        share = weight / _some(weights)
        return Gathered(last, mean, (self._spread(share) * shown).sum(dim=0), weights, steps)

    def _joined(self, old: Gathered, new: Gathered) -> Gathered:
        """Of the steps of both, of which the new ones come later."""
        steps, weights = old.steps + new.steps, old.weights + new.weights
        return Gathered(
            torch.where(new.steps > 0, new.last, old.last),
            torch.lerp(old.mean, new.mean, new.steps / steps.clamp_min(1)),
            torch.lerp(old.weighted, new.weighted, self._spread(new.weights / _some(weights))),
            weights,
            steps,
        )

    def _spread(self, shares: Tensor) -> Tensor:
        """(..., W) of shares of heads (..., A); as a product, whose gradient is a quick one."""
        with torch.autocast(shares.device.type, enabled=False):  # each is one number times 1
            return shares @ self.spread.to(shares.dtype)


def _some(weights: Tensor) -> Tensor:
    """The weights, or where no step counted yet a number that can be divided by."""
    return weights.clamp_min(torch.finfo(weights.dtype).tiny)
