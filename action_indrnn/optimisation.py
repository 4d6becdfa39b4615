"""One step of learning: from a batch to changed weights.

Shapes: `T` frames, `B` clips in a batch, `F` features.
"""

import copy
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from action_indrnn.config import Train
from action_indrnn.layers import clamp_recurrent_, parameter_groups
from action_indrnn.models import Classifier


class Learner:
    """A network and what changes its weights: Adam, gradient clipping, the bound of the recurrent weights."""

    def __init__(self, model: Classifier, train: Train) -> None:
        self.model = model
        self.train = train
        self.optimizer = torch.optim.Adam(parameter_groups(model, train.weight_decay), lr=train.learning_rate)

    def step(self, x: Tensor, labels: Tensor, rate: float) -> Tensor:
        """One step on a batch; the loss summed over its clips and the number of those recognised, float64.

        Args:
            x: (T, B, F), on the model's device.
            labels: (B,), there too.
            rate: the learning rate.
        """
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        self.optimizer.zero_grad(set_to_none=True)
        logits, _ = self.model(x)
        loss = F.cross_entropy(logits, labels)
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_value_(self.model.parameters(), self.train.gradient_clip)
        self.optimizer.step()
        clamp_recurrent_(self.model)
        correct = (logits.detach().argmax(dim=1) == labels).sum()
        return torch.stack([loss.detach().double() * len(labels), correct.double()])

    def state(self) -> dict[str, Any]:
        """Everything that further steps follow from; the tensors go on changing."""
        return {"model": self.model.state_dict(), "optimizer": self.optimizer.state_dict()}

    def snapshot(self) -> dict[str, Any]:
        """A copy of `state` that stays as it is."""
        return copy.deepcopy(self.state())

    def load(self, state: dict[str, Any]) -> None:
        """Go on from a state; its tensors stay as they are."""
        self.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(copy.deepcopy(state["optimizer"]))
