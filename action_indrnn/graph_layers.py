"""What the graph-convolutional IndRNN is made of: layers over the joints of all bodies that are there.

Shapes: `T` frames, `B` clips in a batch, `M` bodies, `V` joints, `C` channels, `R` bodies that are computed
(all B * M of them, or in training those that are in their clips). Layers work on (T, V, R, C): then one
matrix product a frame mixes the joints of all bodies, and the channels of a body lie side by side.
"""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from action_indrnn import processes
from action_indrnn.data_prep.layout import Layout
from action_indrnn.kernels import indrnn
from action_indrnn.layers import MOMENTUM, BatchNormOverTime, IndRNN, Linear, Norm, draw_masks


def partitions(layout: Layout) -> Tensor:
    """The skeleton's graph, (3, V, V): joints themselves, their parents, the mean of their children.

    Source: the spatial partitions of Yan et al., arXiv 1801.07455, in the normalised form.
    """
    joints = len(layout.joints)
    inward = torch.zeros(joints, joints)
    for child, parent in layout.bones:
        inward[child, parent] = 1
    outward = inward.t() / inward.sum(dim=0).clamp_min(1)[:, None]
    return torch.stack((torch.eye(joints), inward, outward))


@dataclass(frozen=True)
class Bodies:
    """Which bodies are there, and which of them are computed.

    Attributes:
        there: (T, B, M) bool.
        mask: (T, 1, R, 1), 1 where a body that is computed is there, else 0; none if in training all are.
        columns: (R,) the numbers of those that are computed among all B * M; none if all are.
        alone: whether that is one of each clip.
    """

    there: Tensor
    mask: Tensor | None
    columns: Tensor | None
    alone: bool

    @classmethod
    def of(cls, there: Tensor, dtype: torch.dtype, *, pack: bool) -> "Bodies":
        """Of bodies (T, B, M); `pack` leaves out those that are in no frame of their clip."""
        flat = there.flatten(1)
        columns, alone = None, there.shape[2] == 1
        if pack and bool(there.any()) and len(found := flat.any(dim=0).nonzero()[:, 0]) < flat.shape[1]:
            columns = found
            flat = flat[:, columns]
            clips = torch.arange(there.shape[1], device=there.device)
            alone = torch.equal(columns // there.shape[2], clips)
        mask = None if pack and bool(flat.all()) else flat[:, None, :, None].to(dtype)
        return cls(there, mask, columns, alone)

    def masked(self, x: Tensor) -> Tensor:
        """Returns x (T, V, R, C), 0 where a body is not there."""
        return x if self.mask is None else x * self.mask

    def take(self, x: Tensor, at: int) -> Tensor:
        """Returns what is computed of all bodies: R in place of B and M, which stand at `at`."""
        flat = x.flatten(at, at + 1)
        return flat if self.columns is None else flat.index_select(at, self.columns)

    def give(self, x: Tensor) -> Tensor:
        """Returns all bodies, (T, B, M, C) of (T, R, C), with zeros for those that are not computed."""
        _, clips, count = self.there.shape
        if self.columns is not None:
            x = x.new_zeros(len(x), clips * count, x.shape[2]).index_copy(1, self.columns, x)
        return x.view(len(x), clips, count, x.shape[2])

    def others(self, x: Tensor) -> Tensor:
        """Returns for each body the mean of the clip's others that are there, (T, R, C) of (T, R, C)."""
        there = self.there[..., None]
        every = self.give(x) * there
        rest = there.sum(dim=2, keepdim=True) - there.to(x.dtype)
        mean = (every.sum(dim=2, keepdim=True) - every) / rest.clamp_min(1)
        return self.take(mean, 1)


class InputNorm(nn.Module):
    """Batch normalisation of every channel of the input over joints, frames and bodies that are there.

    Joints share it: a joint that hardly moves keeps its small motion. It has no weights and its statistics no
    gradient, as what follows is a linear map of an input that has none.

    Args:
        channels: C.
    """

    running_mean: Tensor
    running_var: Tensor

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.eps = 1e-5
        self.register_buffer("running_mean", torch.zeros(channels))
        self.register_buffer("running_var", torch.ones(channels))

    @torch.no_grad()
    def forward(self, x: Tensor, mask: Tensor | None) -> Tensor:
        """Returns x (C, T, V, R), normalised; mask (T, 1, R, 1) is 1 where a body is there; none: all."""
        mean, var = self.running_mean, self.running_var
        if self.training:
            seen = x if mask is None else x * mask[..., 0]
            sums = torch.stack((seen.sum(dim=(1, 2, 3)), seen.square().sum(dim=(1, 2, 3)))).double()
            frames = x.new_tensor(x.shape[1] * x.shape[3]) if mask is None else mask.sum()
            count = processes.total(frames.double() * x.shape[2]).clamp_min(1)
            mean, square = (processes.total(sums) / count).to(x.dtype)
            var = (square - mean.square()).clamp_min(0)
            self.running_mean.lerp_(mean, MOMENTUM)
            self.running_var.lerp_(var, MOMENTUM)
        mean, var = mean.view(-1, 1, 1, 1), var.view(-1, 1, 1, 1)
        return (x - mean).mul_(torch.rsqrt(var + self.eps))


class BodyRecurrence(IndRNN):
    """The recurrence of every body's joints with one weight for each joint and channel, or each channel.

    Args:
        joints: V that have weights of their own; 1 for weights that all joints share.
        channels: C.
        settings: of `IndRNN`.
    """

    def __init__(self, joints: int, channels: int, **settings: Any) -> None:
        super().__init__(joints * channels, **settings)
        self.u = nn.Parameter(self.u.detach().view(joints, 1, channels))  # as it stands beside (V, R, C)

    def forward(self, x: Tensor, h0: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Returns all states (T, V, R, C) and the last one (V, R, C)."""
        steps, joints, bodies, channels = x.shape
        if len(self.u) == 1:
            u, rows = self.u.view(-1), joints * bodies
        else:
            u, rows = self.u.expand(joints, bodies, channels).reshape(-1), 1
        flat = x.to(u.dtype).reshape(steps, rows, -1)
        before = None if h0 is None else h0.reshape(rows, -1)
        y, h = indrnn(flat, u, before, activation=self.activation, reverse=self.reverse)
        return y.view(x.shape), h.view(x.shape[1:])


class GraphConvolution(nn.Module):
    """A linear map of every joint's channels, then a mixing of joints by an adjacency for each group of them.

    The adjacencies are the skeleton's partitions, one after the other, or start as those and are learned.
    Source: Cheng et al., ECCV 2020 (an adjacency a group); Shi et al., arXiv 1805.07694 (learned ones).

    Args:
        graph: (P, V, V), the partitions.
        channels: C.
        groups: of channels, a divisor of C.
        learned: whether the adjacencies are weights.
    """

    adjacency: Tensor

    def __init__(self, graph: Tensor, channels: int, groups: int, *, learned: bool) -> None:
        super().__init__()
        self.linear = Linear(channels, channels)
        start = torch.stack([graph[number % len(graph)] for number in range(groups)])  # (G, V, V)
        if learned:
            self.adjacency = nn.Parameter(start)
        else:
            self.register_buffer("adjacency", start, persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """Returns (T, V, R, C) of (T, V, R, C)."""
        steps, joints, _, channels = x.shape
        width = channels // len(self.adjacency)
        mixed = [
            torch.bmm(adjacency.expand(steps, -1, -1), part.reshape(steps, joints, -1)).view(
                *x.shape[:3], width
            )
            for adjacency, part in zip(self.adjacency, self.linear(x).split(width, dim=3), strict=True)
        ]
        return mixed[0] if len(mixed) == 1 else torch.cat(mixed, dim=3)


class BodyDropout(nn.Module):
    """Dropout of a body's channels in all joints at once, with a new mask for every step or one for the clip.

    Args:
        p: share that is dropped.
        each_step: whether the masks are new in every frame.
    """

    def __init__(self, p: float, *, each_step: bool) -> None:
        super().__init__()
        self.p = p
        self.each_step = each_step

    def forward(self, x: Tensor, bodies: Bodies) -> Tensor:
        """Returns x (T, V, R, C), dropped channels 0 and the others over 1 - p; in evaluation x itself."""
        if not self.training or self.p == 0:
            return x
        # Every process draws the masks of all: then a batch gets the same ones, however it is shared.
        steps, clips, count = bodies.there.shape
        every = clips * processes.count()
        if self.each_step:
            masks = draw_masks(self.p, (steps, 1, every, count, x.shape[3]), x.dtype, x.device)
        else:
            masks = F.dropout(x.new_ones(1, 1, every, count, x.shape[3]), self.p)
        return x * bodies.take(masks[:, :, processes.share(every)], 2)

    def extra_repr(self) -> str:
        """Returns what `print(model)` shows of this layer."""
        return f"p={self.p}"


class BodyBlock(nn.Module):
    """The recurrence of all bodies with batch normalisation after or before it.

    A body takes nothing in at a frame in which it is not there. Each channel is normalised over the joints
    and all frames of the bodies that are computed.

    Args:
        joints: V that have recurrent weights of their own.
        channels: C.
        norm: whether the normalisation stands after or before the recurrence.
        recurrence: settings of `IndRNN`.
    """

    def __init__(self, joints: int, channels: int, *, norm: Norm, **recurrence: Any) -> None:
        super().__init__()
        self.norm_first = norm == "before"
        self.indrnn = BodyRecurrence(joints, channels, **recurrence)
        self.norm = BatchNormOverTime(channels)

    def forward(self, x: Tensor, h0: Tensor | None, bodies: Bodies) -> tuple[Tensor, Tensor]:
        """Returns the output (T, V, R, C) and the last state (B, M * V * C)."""
        joints, channels = x.shape[1], x.shape[3]
        before = None if h0 is None else h0.reshape(-1, joints, channels).transpose(0, 1)
        if self.norm_first:
            y, last = self.indrnn(bodies.masked(self._normalize(x)), before)
        else:
            y, last = self.indrnn(bodies.masked(x), before)
            y = self._normalize(y)
        after = bodies.give(last).permute(1, 2, 0, 3)  # (B, M, V, C)
        return y, after.flatten(1)

    def _normalize(self, x: Tensor) -> Tensor:
        return self.norm(x.flatten(1, 2)).view(x.shape)  # type: ignore[no-any-return]
