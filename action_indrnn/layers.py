"""The layers of an IndRNN network: the bounded recurrence, and what stands between two of them.

Shapes: `T` frames, `B` clips in a batch, `H` units; sequences are time-major (T, B, H), states (B, H).
Source: Li et al., CVPR 2018 (eq. 4 for the bounds) and arXiv 1910.06251, as in Sunnydreamrain/IndRNN_pytorch.
"""

import math
from collections.abc import Sequence
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from action_indrnn import processes
from action_indrnn.kernels import Activation, indrnn

Norm = Literal["after", "before"]
Mask = Literal["clip", "step"]
MOMENTUM = 0.1  # share of a batch in the running statistics


def u_bound(length: int, magnification: float) -> float:
    """Returns the largest |u|: a gradient grows at most `magnification` times in `length` steps."""
    return float(magnification ** (1 / length))


def u_low(length: int, magnification: float) -> float:
    """Returns the smallest |u| that keeps 1 / `magnification` of a state over `length` steps."""
    return float(magnification ** (-1 / length))


class IndRNN(nn.Module):
    """The recurrence h_t = act(x_t + u * h_{t-1}) with one trained weight `u` for each unit.

    Initially u ~ U(0, bound), so units forget at many speeds; in the last layer of a network that answers
    from the last step u ~ U(low, bound), so the whole clip is remembered.

    Args:
        units: number of units H.
        length: steps that the bound on |u| is computed for.
        magnification: largest gradient magnification over `length` steps; its inverse gives the low end.
        activation: "relu", "tanh" or "identity".
        bounded: whether `clamp_` holds u in [-bound, bound].
        last: whether this is the layer that the answer is read from.
        memory: steps after which a state is 1 / e of what it was, at the bound; none for the bound of
            `length` and `magnification`.

    Attributes:
        reverse: whether time is walked from the last step to the first.
    """

    def __init__(
        self,
        units: int,
        *,
        length: int,
        magnification: float = 5.0,
        activation: Activation = "relu",
        bounded: bool = True,
        last: bool = False,
        memory: int | None = None,
    ) -> None:
        super().__init__()
        self.units = units
        self.bound = u_bound(length, magnification) if memory is None else math.exp(-1 / memory)
        self.low = u_low(length, magnification) if last and memory is None else 0.0
        self.activation = activation
        self.bounded = bounded
        self.reverse = False
        self.u = nn.Parameter(torch.empty(units))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draws u anew."""
        nn.init.uniform_(self.u, self.low, self.bound)

    @torch.no_grad()
    def clamp_(self) -> None:
        """Brings u back into [-bound, bound], if the layer is bounded."""
        if self.bounded:
            self.u.clamp_(-self.bound, self.bound)

    def forward(self, x: Tensor, h0: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Returns all states (T, B, H) and the last one (B, H), in the precision of u.

        Under autocast x comes in half precision, which is too coarse for a u near 1; hence the cast.
        """
        return indrnn(x.to(self.u.dtype), self.u, h0, activation=self.activation, reverse=self.reverse)

    def extra_repr(self) -> str:
        """Returns what `print(model)` shows of this layer."""
        limit = f"|u|<={self.bound:.6g}" if self.bounded else "unbounded"
        return f"{self.units}, {self.activation}, {limit}, u~U({self.low:.6g}, {self.bound:.6g})"


def clamp_recurrent_(model: nn.Module) -> None:
    """Brings the recurrent weights of every bounded IndRNN in the model back into their bound.

    Called after each optimiser step, so no evaluation ever sees a weight outside the bound.
    """
    for module in model.modules():
        if isinstance(module, IndRNN):
            module.clamp_()


def excess(model: nn.Module) -> Tensor:
    """Returns the norm of what the model's recurrent weights exceed their bounds by: a penalty, as a scalar.

    The alternative to clamping that the README of Sunnydreamrain/IndRNN_pytorch names.
    """
    layers = [module for module in model.modules() if isinstance(module, IndRNN)]
    beyond = torch.cat([F.relu(layer.u.abs() - layer.bound).flatten() for layer in layers])
    return torch.linalg.vector_norm(beyond)  # type: ignore[no-any-return]


class Linear(nn.Linear):
    """A linear map of every step as one matrix product; as published, weights U(+-sqrt(6 / (65 inputs)))."""

    def reset_parameters(self) -> None:
        """Draws the weights anew."""
        nn.init.kaiming_uniform_(self.weight, a=8)
        nn.init.zeros_(self.bias)


class Convolution(nn.Conv1d):
    """A convolution padded to keep the places of stride 1; weights are drawn as those of `Linear`."""

    def __init__(self, inputs: int, channels: int, kernel: int, stride: int = 1) -> None:
        super().__init__(inputs, channels, kernel, stride, padding=kernel // 2)

    def reset_parameters(self) -> None:
        """Draws the weights anew."""
        nn.init.kaiming_uniform_(self.weight, a=8)
        if self.bias is not None:
            nn.init.zeros_(self.bias)


class BatchNormOverTime(nn.Module):
    """Batch normalisation whose statistics run over the batch, of all processes together, and all steps."""

    def __init__(self, units: int) -> None:
        super().__init__()
        # A member, not a base class: SyncBatchNorm.convert_sync_batchnorm would replace the forward below.
        self.norm = nn.BatchNorm1d(units, eps=1e-5, momentum=MOMENTUM)

    def forward(self, x: Tensor) -> Tensor:
        """Returns x (T, B, H), normalised."""
        flat = x.flatten(0, 1)
        together = self.training and processes.count() > 1
        y: Tensor = self._together(flat) if together else self.norm(flat)
        return y.view(x.shape)

    def _together(self, x: Tensor) -> Tensor:
        """Normalises the rows x (N, H) by the statistics of all processes' rows.

        torch's SyncBatchNorm does the same, but on GPUs only.
        """
        x = x.float() if x.dtype in (torch.bfloat16, torch.float16) else x
        variance, mean = torch.var_mean(x, dim=0, correction=0)
        means, variances = processes.every(torch.stack((mean, variance))).unbind(1)
        counts = processes.every(mean.new_tensor([len(x)]))  # (P, 1)
        rows = counts.sum()
        mean = (counts * means).sum(dim=0) / rows
        variance = (counts * (variances + (means - mean).square())).sum(dim=0) / rows
        norm = self.norm
        with torch.no_grad():
            norm.get_buffer("num_batches_tracked").add_(1)
            norm.get_buffer("running_mean").lerp_(mean, MOMENTUM)
            norm.get_buffer("running_var").lerp_(variance * (rows / (rows - 1)), MOMENTUM)
        return torch.addcmul(norm.bias, x - mean, torch.rsqrt(variance + norm.eps) * norm.weight)


def draw_masks(p: float, shape: Sequence[int], dtype: torch.dtype, device: torch.device) -> Tensor:
    """Masks of a shape: 0 for what is dropped, for the rest what makes up for it.

    Args:
        p: share that is dropped, rounded to a 256th: a byte each is many times as fast as a float.
        shape: of the masks.
        dtype: of the masks.
        device: where they are drawn.
    """
    size = math.prod(shape)
    words = torch.empty(-(-size // 8), dtype=torch.int64, device=device).random_(-(2**63), None)
    draws = words.view(torch.uint8)[:size].view(*shape)
    limit = min(round(256 * p), 255)
    # Compared as floats, in place: bytes compared to booleans take six times as long.
    return draws.to(dtype).ge_(limit).mul_(256 / (256 - limit))


class DropoutOverTime(nn.Module):
    """Dropout of sequences.

    Args:
        p: probability that a unit is dropped.
        mask: "clip" has one mask for all steps, so a unit is gone for a whole clip (Gal, Ghahramani 2016);
            "step" draws a new one at every step; see `draw_masks`.
    """

    def __init__(self, p: float, mask: Mask = "clip") -> None:
        super().__init__()
        self.p = p
        self.mask = mask

    def forward(self, x: Tensor) -> Tensor:
        """Returns x (T, B, H) with dropped units 0 and the others over 1 - p; in evaluation x itself."""
        if not self.training or self.p == 0:
            return x
        # Every process draws the masks of all: then a batch gets the same ones, however it is shared.
        steps, batch, units = x.shape
        every = batch * processes.count()
        if self.mask == "clip":
            masks = F.dropout(x.new_ones(every, units), self.p)
            return x * masks[processes.share(every)]
        masks = draw_masks(self.p, (steps, every, units), x.dtype, x.device)
        return x * masks[:, processes.share(every)]

    def extra_repr(self) -> str:
        """Returns what `print(model)` shows of this layer."""
        return f"p={self.p}, mask={self.mask}"


class RecurrentBlock(nn.Module):
    """An IndRNN with batch normalisation after or before it (the paper's IRB), then dropout.

    Args:
        units: number of units H.
        channels: of a feature map, whose places are then normalised together; each unit is one if not given.
        dropout: probability that a unit is dropped.
        mask: of the dropout; see `DropoutOverTime`.
        norm: whether the normalisation stands after or before the recurrence.
        recurrence: the remaining arguments of `IndRNN`.
    """

    def __init__(
        self,
        units: int,
        *,
        channels: int | None = None,
        dropout: float = 0.0,
        mask: Mask = "clip",
        norm: Norm = "after",
        **recurrence: Any,
    ) -> None:
        super().__init__()
        self.channels = channels or units
        self.norm_first = norm == "before"
        self.indrnn = IndRNN(units, **recurrence)
        self.norm = BatchNormOverTime(self.channels)
        self.dropout = DropoutOverTime(dropout, mask)

    def forward(self, x: Tensor, h0: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Returns the output (T, B, H) and the last state (B, H)."""
        if self.norm_first:
            y, h = self.indrnn(self._normalize(x), h0)
        else:
            y, h = self.indrnn(x, h0)
            y = self._normalize(y)
        return self.dropout(y), h

    def _normalize(self, x: Tensor) -> Tensor:
        maps = x if x.shape[2] == self.channels else x.reshape(len(x), -1, self.channels)
        return self.norm(maps).view(x.shape)  # type: ignore[no-any-return]


def parameter_groups(model: nn.Module, weight_decay: float) -> list[dict[str, Any]]:
    """Returns optimiser groups: weights of linear maps, convolutions and gated layers decay, no others."""
    maps = (nn.Linear, nn.Conv1d)
    decayed = {id(module.weight) for module in model.modules() if isinstance(module, maps)}
    gated = [module for module in model.modules() if isinstance(module, nn.RNNBase)]
    decayed |= {id(p) for module in gated for name, p in module.named_parameters() if "weight" in name}
    parameters = list(model.parameters())
    return [
        {"params": [p for p in parameters if id(p) in decayed], "weight_decay": weight_decay},
        {"params": [p for p in parameters if id(p) not in decayed], "weight_decay": 0.0},
    ]
