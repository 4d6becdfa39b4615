"""Gated recurrences, the baselines of an IndRNN, as layers with a state that goes in and comes out.

Shapes: `T` frames, `B` clips in a batch, `H` units; sequences are time-major.
"""

from typing import Literal

import torch
from torch import Tensor, nn

from action_indrnn.layers import DropoutOverTime, Mask


class GatedLayer(nn.Module):
    """An LSTM or GRU layer, then dropout.

    Args:
        kind: "lstm" or "gru".
        inputs: width of the input.
        hidden: units H of the layer.
        dropout: probability that a unit is dropped.
        mask: of the dropout; see `DropoutOverTime`.

    Attributes:
        units: width of the state: H, and for an LSTM, which has its cells beside it, 2 H.
        reverse: whether time is walked from the last step to the first.
    """

    def __init__(
        self,
        kind: Literal["lstm", "gru"],
        inputs: int,
        hidden: int,
        dropout: float,
        mask: Mask = "clip",
    ) -> None:
        super().__init__()
        self.cells = kind == "lstm"
        self.recurrence = nn.LSTM(inputs, hidden) if self.cells else nn.GRU(inputs, hidden)
        self.dropout = DropoutOverTime(dropout, mask)
        self.units = 2 * hidden if self.cells else hidden
        self.reverse = False

    def forward(self, x: Tensor, before: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Returns the output (T, B, H) and the state to go on from (B, units)."""
        x = x.flip(0) if self.reverse else x
        if before is None:
            y, after = self.recurrence(x)
        else:
            parts = tuple(part.contiguous() for part in before[None].chunk(2, dim=2))
            y, after = self.recurrence(x, parts if self.cells else before[None])
        state = torch.cat(after, dim=2)[0] if self.cells else after[0]
        return self.dropout(y.flip(0) if self.reverse else y), state
