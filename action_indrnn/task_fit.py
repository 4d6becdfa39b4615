"""The training loop that the tasks share, and the checkpoint that it goes on from.

A run that was interrupted anywhere goes on bit for bit as if it had not been: dropout's random numbers follow
from the seed and the number of the step, and where those of the data stand is kept.
"""

import copy
import hashlib
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from tqdm import tqdm

from action_indrnn.checkpoint import load_checkpoint, save_checkpoint
from action_indrnn.interrupt import asked_to_stop
from action_indrnn.layers import clamp_recurrent_, parameter_groups
from action_indrnn.schedule import Schedule
from action_indrnn.seeds import seed_torch
from action_indrnn.task_config import Fit
from action_indrnn.task_curve import Point

_DROPOUT = 1  # what a random number is for
SAVE_SECONDS = 5.0  # at least between two checkpoints


def fingerprint(*tensors: Tensor) -> str:
    """Returns what tells data from others: a checksum of some tensors' shapes and contents."""
    whole = hashlib.sha256()
    for tensor in tensors:
        whole.update(f"{tensor.dtype} {tuple(tensor.shape)}".encode())
        whole.update(tensor.contiguous().numpy().tobytes())
    return whole.hexdigest()[:16]


@dataclass(frozen=True)
class Score:
    """A measurement on held-out data.

    Attributes:
        loss: mean loss.
        figure: the same in the task's measure.
        accuracy: what the schedule goes by before the loss, in a task that has one.
        rate: factor that the learning rate is to take from now on.
    """

    loss: float
    figure: float
    accuracy: float = 0.0
    rate: float = 1.0


class Task(Protocol):
    """A network and what it is to learn.

    Attributes:
        measure: name and unit of the scores' figures.
        data: what tells other data from these: a checkpoint is of these alone.
    """

    measure: str
    data: str

    @property
    def model(self) -> nn.Module:
        """The network."""

    def loss(self, step: int) -> Tensor:
        """Returns the loss of a step's training batch; steps are counted from 0 and come in order."""

    def validate(self) -> Score:
        """Measures the network, which is in evaluation mode, on the validation data."""

    def test(self) -> Score | None:
        """Measures it on the test data, where there are such."""

    def position(self) -> dict[str, Any]:
        """Returns what the coming losses follow from besides weights, seed and step, for a checkpoint."""

    def restore(self, position: dict[str, Any]) -> None:
        """Goes to a position."""


@dataclass
class Progress:
    """How far a training has come.

    Attributes:
        schedule: of the learning rate.
        step: optimiser steps done.
        total: training losses since the last validation, added up.
        seconds: wall clock of what trained before this process did.
        cpu_seconds: its processor time.
        points: the curve.
    """

    schedule: Schedule
    step: int = 0
    total: float = 0.0
    seconds: float = 0.0
    cpu_seconds: float = 0.0
    points: list[Point] = field(default_factory=list)


class Trainer:
    """Adam with the original's schedule on a task's network; the curve grows in `points`."""

    def __init__(self, task: Task, settings: Fit) -> None:
        self.task, self.model, self.settings = task, task.model, settings
        groups = parameter_groups(self.model, settings.weight_decay)
        self.optimizer = torch.optim.Adam(groups, lr=settings.learning_rate)
        self.progress = Progress(Schedule(settings.learning_rate))
        self.best = self._weights()

    @property
    def points(self) -> list[Point]:
        """The curve."""
        return self.progress.points

    def run(
        self,
        *,
        seconds: float = float("inf"),
        cpu_seconds: float = float("inf"),
        say: Callable[[Point], None] = lambda point: None,
        keep: Callable[[], None] = lambda: None,
        checkpoint: Path | None = None,
        made_with: Mapping[str, str] | None = None,
    ) -> None:
        """Train to the end, then take the weights of the best validation.

        Args:
            seconds: training ends at the first validation beyond it.
            cpu_seconds: the same in processor time.
            say: takes each point where no progress bar is shown.
            keep: called after each validation, to put the curve in safety.
            checkpoint: a file to go on from, written now and then, when interrupted, and in the end.
            made_with: what `resume` is to hold against its own.

        Raises:
            KeyboardInterrupt: asked to stop.
            ValueError: the loss is not finite.
            OSError: the checkpoint cannot be written.
        """
        progress, limit = self.progress, self.settings.steps
        form = "{desc} |{bar}| step {n_fmt}/{total_fmt} [{elapsed}, {rate_fmt}]" if limit else None
        started = time.perf_counter() - progress.seconds
        started_cpu = time.process_time() - progress.cpu_seconds

        def save() -> None:
            progress.seconds = time.perf_counter() - started
            progress.cpu_seconds = time.process_time() - started_cpu
            if checkpoint:
                save_checkpoint(checkpoint, self._state(made_with or {}))

        saved = time.perf_counter()
        bar = tqdm(total=limit, initial=progress.step, disable=None, bar_format=form, leave=False)
        with asked_to_stop() as stop, bar:
            while not self._finished(seconds, cpu_seconds):
                rate = progress.schedule.learning_rate
                begun = self.points[-1].step if self.points else 0
                end = progress.step - progress.step % self.settings.every + self.settings.every
                for _ in range(progress.step, end if limit is None else min(end, limit)):
                    if stop.is_set():
                        save()
                        raise KeyboardInterrupt
                    progress.total += self._step()
                    bar.update()
                score = self._judge()
                point = Point(
                    step=progress.step,
                    seconds=time.perf_counter() - started,
                    cpu_seconds=time.process_time() - started_cpu,
                    learning_rate=rate,
                    train_loss=progress.total / (progress.step - begun),
                    loss=score.loss,
                    figure=score.figure,
                )
                self.points.append(point)
                progress.total = 0.0
                keep()
                if time.perf_counter() - saved >= SAVE_SECONDS:
                    save()
                    saved = time.perf_counter()
                bar.set_description_str(f"loss {point.train_loss:.4f}, validation {point.figure:.4f}")
                if bar.disable:
                    say(point)
            save()
        self.model.load_state_dict(self.best["model"])

    def resume(self, path: Path, made_with: Mapping[str, str]) -> None:
        """Go on from a checkpoint.

        Args:
            path: of the checkpoint.
            made_with: what it must be made with: names and values.

        Raises:
            ValueError: damaged, or of another run; says what differs.
            OSError: it cannot be read.
        """
        keys = ("made_with", "model", "optimizer", "best", "progress", "position")
        state = load_checkpoint(path.read_bytes(), path, keys)
        found = state["made_with"]
        for what in sorted(made_with.keys() | found.keys()):
            if made_with.get(what) != found.get(what):
                raise ValueError(
                    f"{path}: expected {what} {made_with.get(what)}, found {found.get(what)}; "
                    "only train.steps and the time may change within a run"
                )
        if self.settings.steps is not None and state["progress"]["step"] > self.settings.steps:
            raise ValueError(
                f"{path}: expected at most {self.settings.steps:,} steps (train.steps), "
                f"found {state['progress']['step']:,} trained"
            )
        self.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.best = state["best"]
        told = state["progress"]
        told["schedule"] = Schedule(**told["schedule"])
        told["points"] = [Point(**point) for point in told["points"]]
        self.progress = Progress(**told)
        self.task.restore(state["position"])

    def _state(self, made_with: Mapping[str, str]) -> dict[str, Any]:
        return {
            "made_with": dict(made_with),
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "best": self.best,
            "progress": asdict(self.progress),
            "position": self.task.position(),
        }

    def test(self) -> Score | None:
        """Returns the score of the current weights on the task's test data, if it has any."""
        self.model.eval()
        with torch.no_grad():
            return self.task.test()

    @property
    def best_point(self) -> Point:
        """The point whose weights `run` takes in the end."""
        return next(point for point in self.points if point.step == self.progress.schedule.best_epoch)

    def _finished(self, seconds: float, cpu_seconds: float) -> bool:
        settings, progress = self.settings, self.progress
        last = self.points[-1] if self.points else None
        return (
            progress.schedule.learning_rate < settings.learning_rate_min
            or (settings.steps is not None and progress.step >= settings.steps)
            or (last is not None and last.loss < settings.enough)
            or (last is not None and (last.seconds >= seconds or last.cpu_seconds >= cpu_seconds))
        )

    def _step(self) -> float:
        progress, settings = self.progress, self.settings
        self.model.train()
        seed_torch(settings.seed, _DROPOUT, progress.step)
        loss = self.task.loss(progress.step)
        value = loss.item()
        if not torch.isfinite(loss):
            raise ValueError(
                f"expected a finite loss, found {value} in step {progress.step + 1}; "
                "a lower train.learning_rate may help"
            )
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        if settings.gradient_clip is not None:
            nn.utils.clip_grad_value_(self.model.parameters(), settings.gradient_clip)
        self.optimizer.step()
        clamp_recurrent_(self.model)
        progress.step += 1
        if settings.drop_every and progress.step % settings.drop_every == 0:
            self._set_rate(progress.schedule.learning_rate * settings.learning_rate_drop)
        return value

    def _judge(self) -> Score:
        schedule, settings = self.progress.schedule, self.settings
        self.model.eval()
        with torch.no_grad():
            score = self.task.validate()
        patience = 2**62 if settings.patience is None else settings.patience
        verdict = schedule.judge(
            self.progress.step, score.accuracy, score.loss, patience, settings.learning_rate_drop
        )
        if verdict == "better":
            self.best = self._weights()
        elif verdict == "drop":
            self.model.load_state_dict(self.best["model"])
            self.optimizer.load_state_dict(copy.deepcopy(self.best["optimizer"]))
        self._set_rate(schedule.learning_rate * score.rate)
        return score

    def _set_rate(self, rate: float) -> None:
        """Take another learning rate from the next step on."""
        self.progress.schedule.learning_rate = rate
        for group in self.optimizer.param_groups:
            group["lr"] = rate

    def _weights(self) -> dict[str, Any]:
        return copy.deepcopy({"model": self.model.state_dict(), "optimizer": self.optimizer.state_dict()})
