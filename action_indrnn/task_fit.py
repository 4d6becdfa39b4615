"""The training loop that the tasks share, and the curve that it draws."""

import copy
import csv
import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from tqdm import tqdm

from action_indrnn.checkpoint import replacing
from action_indrnn.interrupt import asked_to_stop
from action_indrnn.layers import clamp_recurrent_, parameter_groups
from action_indrnn.schedule import Schedule
from action_indrnn.task_config import Fit


@dataclass(frozen=True)
class Score:
    """A measurement on held-out data.

    Attributes:
        loss: mean loss.
        figure: the same in the task's measure.
        accuracy: what the schedule goes by before the loss, in a task that has one.
    """

    loss: float
    figure: float
    accuracy: float = 0.0


@dataclass(frozen=True)
class Point:
    """A point of the curve: a validation.

    Attributes:
        step: optimiser steps done.
        seconds: wall clock since the start, validations included.
        cpu_seconds: processor time since the start, which does not count what else the machine does.
        learning_rate: at the first step since the last validation.
        train_loss: mean over the steps since the last validation.
        loss: of the validation.
        figure: of the validation, in the task's measure.
    """

    step: int
    seconds: float
    cpu_seconds: float
    learning_rate: float
    train_loss: float
    loss: float
    figure: float


class Trainer:
    """Adam with the original's schedule on one network; the curve grows in `points`.

    Args:
        model: the network.
        settings: how it is trained.
        loss: gives the loss of the next training batch.
        validate: measures the network, which is in evaluation mode, without gradients.
        measure: name and unit of the scores' figures.
        test: measures as `validate` does, on the task's test data, where there are such.
    """

    def __init__(
        self,
        model: nn.Module,
        settings: Fit,
        loss: Callable[[], Tensor],
        validate: Callable[[], Score],
        *,
        measure: str,
        test: Callable[[], Score] | None = None,
    ) -> None:
        self.model, self.settings, self.loss, self.validate = model, settings, loss, validate
        self.measure, self._test = measure, test
        groups = parameter_groups(model, settings.weight_decay)
        self.optimizer = torch.optim.Adam(groups, lr=settings.learning_rate)
        self.schedule = Schedule(settings.learning_rate)
        self.step = 0
        self.points: list[Point] = []
        self.best = self._weights()

    def run(
        self,
        *,
        seconds: float = float("inf"),
        say: Callable[[Point], None] = lambda point: None,
        keep: Callable[[], None] = lambda: None,
    ) -> None:
        """Train to the end, then take the weights of the best validation.

        Args:
            seconds: training ends at the first validation beyond it.
            say: takes each point where no progress bar is shown.
            keep: called after each validation, to put the curve in safety.

        Raises:
            KeyboardInterrupt: asked to stop.
            ValueError: the loss is not finite.
        """
        limit = self.settings.steps
        form = "{desc} |{bar}| step {n_fmt}/{total_fmt} [{elapsed}, {rate_fmt}]" if limit else None
        started, started_cpu, total = time.perf_counter(), time.process_time(), 0.0
        with asked_to_stop() as stop, tqdm(total=limit, disable=None, bar_format=form, leave=False) as bar:
            while not self._finished() and (not self.points or self.points[-1].seconds < seconds):
                rate = self.schedule.learning_rate
                for _ in range(self.settings.every):
                    if stop.is_set():
                        raise KeyboardInterrupt
                    total += self._step()
                    bar.update()
                score = self._judge()
                point = Point(
                    step=self.step,
                    seconds=time.perf_counter() - started,
                    cpu_seconds=time.process_time() - started_cpu,
                    learning_rate=rate,
                    train_loss=total / self.settings.every,
                    loss=score.loss,
                    figure=score.figure,
                )
                self.points.append(point)
                total = 0.0
                keep()
                bar.set_description_str(f"loss {point.train_loss:.4f}, validation {point.figure:.4f}")
                if bar.disable:
                    say(point)
        self.model.load_state_dict(self.best["model"])

    def test(self) -> Score | None:
        """Returns the score of the current weights on the task's test data, if it has any."""
        self.model.eval()
        with torch.no_grad():
            return self._test() if self._test else None

    @property
    def best_point(self) -> Point:
        """The point whose weights `run` takes in the end."""
        return next(point for point in self.points if point.step == self.schedule.best_epoch)

    def _finished(self) -> bool:
        settings = self.settings
        return (
            self.schedule.learning_rate < settings.learning_rate_min
            or (settings.steps is not None and self.step >= settings.steps)
            or (bool(self.points) and self.points[-1].loss < settings.enough)
        )

    def _step(self) -> float:
        self.model.train()
        loss = self.loss()
        value = loss.item()
        if not torch.isfinite(loss):
            raise ValueError(
                f"expected a finite loss, found {value} in step {self.step + 1}; "
                "a lower train.learning_rate may help"
            )
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        if self.settings.gradient_clip is not None:
            nn.utils.clip_grad_value_(self.model.parameters(), self.settings.gradient_clip)
        self.optimizer.step()
        clamp_recurrent_(self.model)
        self.step += 1
        if self.settings.drop_every and self.step % self.settings.drop_every == 0:
            self.set_rate(self.schedule.learning_rate * self.settings.learning_rate_drop)
        return value

    def _judge(self) -> Score:
        self.model.eval()
        with torch.no_grad():
            score = self.validate()
        patience = 2**62 if self.settings.patience is None else self.settings.patience
        verdict = self.schedule.judge(
            self.step, score.accuracy, score.loss, patience, self.settings.learning_rate_drop
        )
        if verdict == "better":
            self.best = self._weights()
        elif verdict == "drop":
            self.model.load_state_dict(self.best["model"])
            self.optimizer.load_state_dict(copy.deepcopy(self.best["optimizer"]))
            self.set_rate(self.schedule.learning_rate)
        return score

    def set_rate(self, rate: float) -> None:
        """Take another learning rate from the next step on."""
        self.schedule.learning_rate = rate
        for group in self.optimizer.param_groups:
            group["lr"] = rate

    def _weights(self) -> dict[str, Any]:
        return copy.deepcopy({"model": self.model.state_dict(), "optimizer": self.optimizer.state_dict()})


def write_curves(path: Path, curves: Mapping[str, Sequence[Point]], about: Mapping[str, Any]) -> None:
    """Write the curve of each network as CSV, or, where the name ends in .json, with what it is about."""
    with replacing(path) as partial:
        if path.suffix == ".json":
            table = {name: [asdict(point) for point in points] for name, points in curves.items()}
            partial.write_text(json.dumps({**about, "curves": table}, indent=1) + "\n", encoding="utf-8")
            return
        with partial.open("w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(["network", *(field.name for field in fields(Point))])
            for name, points in curves.items():
                writer.writerows([name, *asdict(point).values()] for point in points)
