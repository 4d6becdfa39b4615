"""Several networks as one: each goes its own way, and their probabilities are averaged.

Shapes: `T` frames, `B` clips in a batch, `F` features, `H` units, `K` classes; sequences are time-major.
"""

import math
from collections.abc import Iterator, Sequence
from typing import cast

import torch
from torch import Tensor, nn

from action_indrnn.classifier import Classifier, Memory, Recur, State


class Ensemble(Classifier):
    """Networks that know nothing of each other, each with a state of its own.

    Args:
        members: networks of the same input and classes.
    """

    def __init__(self, members: Sequence[Classifier]) -> None:
        first = members[0]
        super().__init__(first.features, first.classes, width=1)
        self.classifier = nn.Identity()  # each member has its own
        self.causal = all(member.causal for member in members)
        self.members = nn.ModuleList(members)
        self.sizes = [len(list(member.memories())) for member in members]

    def memories(self) -> Iterator[Memory]:
        """Yields the modules that have a state, member by member."""
        for member in self.members:
            assert isinstance(member, Classifier)
            yield from member.memories()

    def body(self, x: Tensor, recur: Recur) -> Tensor:
        """Not walked: the members have bodies of their own."""
        raise TypeError("an ensemble has no body")

    def penalty(self) -> Tensor | float:
        """Returns the sum of the members' penalties, a scalar."""
        return sum(cast(Classifier, member).penalty() for member in self.members)

    def forward(self, x: Tensor, state: State | None = None, every: bool = False) -> tuple[Tensor, State]:
        """Returns the logarithms of the mean probabilities (B, K) after the last step, and all states.

        In training each member learns by itself: then it returns their own logits, (members, B, K).

        Args:
            x: features, (T, B, F).
            state: one (B, H) for every module in `memories()`; zeros if not given.
            every: give them after every step, (T, B, K) or (members, T, B, K).

        Raises:
            ValueError: features or a state that do not fit the members.
        """
        if state is not None:
            self._check(state, x.shape[1])
        found, after = [], []
        at = 0
        for member, size in zip(self.members, self.sizes, strict=True):
            logits, own = member(x, None if state is None else state[at : at + size], every)
            at += size
            found.append(logits)
            after.extend(own)
        return torch.stack(found) if self.training else mean_logits(found), tuple(after)


def mean_logits(logits: Sequence[Tensor]) -> Tensor:
    """The logarithms (..., K) of the mean of several networks' probabilities, from their logits (..., K)."""
    shares = torch.stack([one.log_softmax(dim=-1) for one in logits])
    return shares.logsumexp(dim=0) - math.log(len(logits))
