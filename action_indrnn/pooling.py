"""What a classifier reads of all steps so far, from a state of constant size.

The last one, their mean, and `Statistics` besides: in a mean a movement of three steps is lost among thirty;
how far a unit goes from it, and a mean that weighs the steps, keep it.

Shapes: `T` frames, `B` clips in a batch, `W` numbers of a step, `A` heads; sequences are time-major.
Sources: the standard deviation beside the mean, Snyder et al., ICASSP 2018 (statistics pooling of speakers);
weights that a network gives its steps, Okabe et al., arXiv 1803.10963.
"""

from typing import Literal, NamedTuple

import torch
from torch import Tensor, nn

from action_indrnn.layers import BatchNormOverTime, DropoutOverTime, Mask

Pooling = Literal["last", "mean", "both", "statistics"]
HEADS = 4  # shares of the numbers of a step, each with weights of its own for the steps
PARTS = 4  # that are read by statistics of every number of a step
LEAST = 1e-3  # added to a variance, so that its root has a slope where nothing moves
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
        spread: (B, W) the root of their variance and LEAST; 0 before the first.
        weights: (B, A) the weights' sums.
        steps: (B, 1).
    """

    last: Tensor
    mean: Tensor
    weighted: Tensor
    spread: Tensor
    weights: Tensor
    steps: Tensor


class Statistics(nn.Module):
    """Of all steps so far: the last, the mean, a weighted mean and the standard deviation, (B, 4 W).

    A step's weights are e to the power of scores, linear maps of the step, one for each head; a head weighs
    its share of the numbers. The deviation is batch-normalised. In training steps are dropped out where they
    are read, not where deviation and scores are made of them: dropout would be what spreads.

    Args:
        width: W.
        dropout: probability that a number is dropped.
        mask: of that; see `DropoutOverTime`.
        gaps: whether a step has a number more, which says whether it counts, 1 or 0.

    Attributes:
        units: numbers in the state.
        reverse: whether time is walked from the last step to the first.
    """

    head: Tensor

    def __init__(self, width: int, dropout: float, mask: Mask, *, gaps: bool = False) -> None:
        super().__init__()
        self.width = width
        self.gaps = gaps
        self.reverse = False
        self.parts = [width if gaps else 0, width, width, width, HEADS, 1]
        self.units = sum(self.parts)
        self.dropout = DropoutOverTime(dropout, mask)
        self.score = nn.Linear(width, HEADS, bias=False)
        nn.init.zeros_(self.score.weight)  # all steps alike
        self.norm = BatchNormOverTime(width)
        self.register_buffer("head", torch.arange(width) * HEADS // width, persistent=False)  # (W,)

    def forward(self, x: Tensor, before: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Returns what is read of x (T, B, W), or (T, B, W + 1) with gaps, and the state to go on from.

        The precision is that of x, single at least.
        """
        x = x.to(torch.promote_types(x.dtype, torch.float32))
        x, counts = (x[..., :-1], x[..., -1:]) if self.gaps else (x, None)
        shown = self.dropout(x)
        after = self._gathered(x, shown, counts)
        if before is not None:
            after = _joined(Gathered(*torch.split(before, self.parts, dim=1)), after, self.head)
        last = after.last if self.gaps else shown[0 if self.reverse else -1]
        spread = self.dropout(self.norm(after.spread[None]))[0] * (after.steps > 0)
        return torch.cat((last, after.mean, after.weighted, spread), dim=1), torch.cat(after, dim=1)

    def _gathered(self, x: Tensor, shown: Tensor, counts: Tensor | None) -> Gathered:
        """Of x alone, of which `shown` is what is read."""
        weight = self.score(x).clamp(-LIMIT, LIMIT).exp()  # (T, B, A)
        if counts is None:
            steps = torch.full_like(x[0, :, :1], len(x))
            last, mean, variance = x[0, :, :0], shown.mean(dim=0), x.var(dim=0, correction=0)
        else:
            weight = weight * counts
            steps = counts.sum(dim=0)
            many = steps.clamp_min(1)
            mean = (shown * counts).sum(dim=0) / many
            centre = (x * counts).sum(dim=0) / many
            variance = ((x - centre).square() * counts).sum(dim=0) / many
            order = counts if self.reverse else counts.flip(0)
            behind = order.cumsum(dim=0) - order  # steps that count behind each
            is_last = counts * ((behind if self.reverse else behind.flip(0)) == 0)
            last = (shown * is_last).sum(dim=0)
        weights = weight.sum(dim=0)
        share = weight / weights.clamp_min(torch.finfo(x.dtype).tiny)
        weighted = (share[..., self.head] * shown).sum(dim=0)
        spread = (variance + LEAST).sqrt() * (steps > 0)
        return Gathered(last, mean, weighted, spread, weights, steps)


def _joined(old: Gathered, new: Gathered, heads: Tensor) -> Gathered:
    """Of the steps of both, of which the new ones come later; Chan et al., 1979, for the variance.

    `heads` says which weights a number goes by, (W,).
    """
    steps = old.steps + new.steps
    share = new.steps / steps.clamp_min(1)
    gap = new.mean - old.mean
    # LEAST is in both, so it stays as it is; before the first step there is none.
    square = torch.lerp(old.spread.square(), new.spread.square(), share) + gap.square() * share * (1 - share)
    weights = old.weights + new.weights
    heavy = (new.weights / weights.clamp_min(torch.finfo(weights.dtype).tiny))[:, heads]
    return Gathered(
        torch.where(new.steps > 0, new.last, old.last),
        old.mean + gap * share,
        torch.lerp(old.weighted, new.weighted, heavy),
        square.sqrt(),
        weights,
        steps,
    )
