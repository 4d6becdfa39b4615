"""One step of learning: from a batch to changed weights.

Shapes: `T` frames, `B` clips in a batch, `F` features.
"""

import contextlib
import copy
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.parallel import DistributedDataParallel
from torch.profiler import record_function

from action_indrnn import processes, products
from action_indrnn.config import Train
from action_indrnn.ensemble import mean_logits
from action_indrnn.layers import clamp_recurrent_, parameter_groups
from action_indrnn.models import Classifier


class Learner:
    """A network and what changes its weights: Adam, gradient clipping, the bound of the recurrent weights.

    Several processes hold the same weights, and each computes its share of every part of a batch.

    Attributes:
        model: what is trained.
        judged: what is validated, measured and saved: the model, or the moving average of its weights.
    """

    def __init__(self, model: Classifier, train: Train) -> None:
        self.model = model
        self.train = train
        self.steps = 0
        self.optimizer = torch.optim.Adam(parameter_groups(model, train.weight_decay), lr=train.learning_rate)
        self.judged = copy.deepcopy(model).requires_grad_(False) if train.weight_average else model
        self._parallel: DistributedDataParallel | None = None
        self._run: nn.Module = model
        if processes.count() > 1:
            self._run = self._parallel = DistributedDataParallel(model)
        if train.compile:
            self._run = torch.compile(self._run)  # type: ignore[assignment] # a module becomes a module

    @products.full_width()
    def step(self, parts: Iterable[tuple[Tensor, Tensor]], rate: float) -> Tensor:
        """One step on a batch; the loss summed over its clips and the number of those recognised, float64.

        With several processes these are of this process's clips.

        Args:
            parts: `accumulate` equal parts of the batch: x (T, B, F) and labels on the model's device, (B,)
                or, of every frame, (T, B).
            rate: the learning rate.
        """
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        self.optimizer.zero_grad(set_to_none=True)
        sums = []
        for number, (x, labels) in enumerate(parts, 1):
            last = number == self.train.accumulate
            with self._parallel.no_sync() if self._parallel and not last else contextlib.nullcontext():
                sums.append(self._part(x, labels))
        with record_function("optimiser"):
            torch.nn.utils.clip_grad_value_(self.model.parameters(), self.train.gradient_clip)
            self.optimizer.step()
            clamp_recurrent_(self.model)
            self.steps += 1
            if self.judged is not self.model:
                self._average()
        return torch.stack(sums).sum(dim=0)

    def _part(self, x: Tensor, labels: Tensor) -> Tensor:
        """Adds a part's gradients to those of the parts before."""
        half = self.train.precision == "bfloat16"
        with torch.autocast(x.device.type, torch.bfloat16, enabled=half):
            logits, _ = self._run(x) if labels.ndim == 1 else self._run(x, every=True)
        logits = logits.float() if half else logits
        smoothing = self.train.label_smoothing
        # One loss, or one for each network of several, which share no weights.
        own = logits.unsqueeze(0) if logits.ndim == labels.ndim + 1 else logits
        losses = [
            F.cross_entropy(one.flatten(0, -2), labels.flatten(), label_smoothing=smoothing) for one in own
        ]
        loss = torch.stack(losses).sum() + self.model.penalty()
        (loss / self.train.accumulate).backward()  # type: ignore[no-untyped-call]
        clips = labels.shape[-1]
        correct = (mean_logits(own.detach()).argmax(dim=-1) == labels).double().mean() * clips
        return torch.stack([loss.detach().double() / len(own) * clips, correct])

    @torch.no_grad()
    def _average(self) -> None:
        """Moves the average towards the model, statistics of batch normalisation included.

        A young average moves faster, or the initial weights would stay in it for long.
        """
        decay = min(self.train.weight_average, (1 + self.steps) / (10 + self.steps))
        pairs = zip(self.judged.state_dict().values(), self.model.state_dict().values(), strict=True)
        for average, value in pairs:
            if average.is_floating_point():
                average.lerp_(value, 1 - decay)
            else:
                average.copy_(value)

    def state(self) -> dict[str, Any]:
        """Everything that further steps follow from; the tensors go on changing."""
        return {
            "model": self.model.state_dict(),
            "judged": self.judged.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "steps": self.steps,
        }

    def snapshot(self) -> dict[str, Any]:
        """A copy of `state` that stays as it is."""
        return copy.deepcopy(self.state())

    def load(self, state: dict[str, Any]) -> None:
        """Go on from a state; its tensors stay as they are."""
        self.model.load_state_dict(state["model"])
        self.judged.load_state_dict(state["judged"])
        self.optimizer.load_state_dict(copy.deepcopy(state["optimizer"]))
        self.steps = state["steps"]
