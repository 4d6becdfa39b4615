"""Training: one run from a configuration and a prepared set to a model file.

Every random number of a run follows from its seed and the number of the step, never from what ran before, so
a run that was interrupted anywhere goes on bit for bit as if it had not been.

A run folder holds `config.toml`, `metrics.csv` (one line an epoch), `checkpoint.pt` (to go on from), and at
the end `model.safetensors` and `report.json` (the test split, measured once).
"""

import copy
import csv
import hashlib
import math
import threading
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.nn import functional as F
from tqdm import tqdm

from action_indrnn import __version__, checkpoint, config, dataset, evaluation
from action_indrnn.checkpoint import Card, Measured, replacing
from action_indrnn.config import Config
from action_indrnn.data_prep.archive import PreparedSet
from action_indrnn.dataset import Clips, Split
from action_indrnn.evaluation import Report
from action_indrnn.interrupt import asked_to_stop
from action_indrnn.layers import clamp_recurrent_, parameter_groups
from action_indrnn.models import Classifier, build
from action_indrnn.schedule import Schedule

METRICS = (
    "epoch",
    "learning_rate",
    "train_loss",
    "train_accuracy",
    "validation_loss",
    "validation_accuracy",
    "best",
)
_ORDER, _FRAMES, _DROPOUT, _WEIGHTS = 1, 2, 3, 4  # what a random number is for; 0 is the split's


@dataclass
class Progress:
    """How far a run has come; everything a checkpoint holds besides weights."""

    schedule: Schedule
    epoch: int = 0  # epochs finished
    step: int = 0  # steps finished in the current epoch
    loss: float = 0.0  # summed over the clips of the current epoch
    correct: int = 0
    clips: int = 0
    history: list[dict[str, float]] = field(default_factory=list)


@dataclass(frozen=True)
class Result:
    """A finished run.

    Attributes:
        model: its model file.
        report: on the test split.
        epochs: epochs trained.
        best_epoch: the one whose weights were chosen by validation.
        validation_accuracy: of those weights.
    """

    model: Path
    report: Report
    epochs: int
    best_epoch: int
    validation_accuracy: float


class Run:
    """One training run in its folder."""

    def __init__(
        self,
        settings: Config,
        prepared: PreparedSet,
        protocol: str,
        out: Path,
        device: str | torch.device = "cpu",
    ) -> None:
        """Take in what the run is made of; nothing is written before `start` or `resume`.

        Raises:
            ValueError: the protocol does not fit the set, or the folder is taken.
        """
        train = settings.train
        if train.batch * settings.data.frames < 2:
            raise ValueError("train.batch x data.frames: batch normalisation expects at least 2, found 1")
        self.settings = settings
        self.prepared = prepared
        self.protocol = protocol
        self.out = out
        self.split: Split = dataset.split(
            prepared, protocol, validation=train.validation, share=train.validation_share, seed=train.seed
        )
        self.clips = Clips.of_set(prepared)
        self.labels = prepared.column("label")
        _seed_torch(train.seed, _WEIGHTS)
        self.model: Classifier = build(settings.model, self.clips.features, len(prepared.classes)).to(device)
        self.device = torch.device(device)
        self.optimizer = torch.optim.Adam(
            parameter_groups(self.model, train.weight_decay), lr=train.learning_rate
        )
        self.progress = Progress(Schedule(train.learning_rate))
        self.best = self._weights()

    @property
    def steps(self) -> int:
        """Optimiser steps in an epoch; the clips beyond the last full batch wait for another epoch."""
        return max(1, len(self.split.train) // self.settings.train.batch)

    @property
    def finished(self) -> bool:
        """Whether the learning rate or the number of epochs has reached its end."""
        train = self.settings.train
        limit = math.inf if train.max_epochs is None else train.max_epochs
        return self.progress.epoch >= limit or self.progress.schedule.learning_rate < train.learning_rate_min

    def start(self) -> None:
        """Make the run's folder.

        Raises:
            ValueError: it holds a run already, or something else.
        """
        if (self.out / "checkpoint.pt").exists():
            raise ValueError(f"{self.out}: holds a run; go on with it (--resume), or name another folder")
        if self.out.exists() and not self.out.is_dir():
            raise ValueError(f"{self.out}: expected a new folder, found a file")
        self._remove_leftovers()
        taken = {entry.name for entry in self.out.iterdir()} if self.out.is_dir() else set()
        taken -= {"config.toml", "metrics.csv"}  # a run killed in its first epoch has left no more
        if taken:
            raise ValueError(f"{self.out}: expected a new folder, found {', '.join(sorted(taken)[:3])} in it")
        self.out.mkdir(parents=True, exist_ok=True)
        self._write_config()
        self._write_metrics()

    def resume(self) -> None:
        """Go on from the folder's checkpoint; without one, start.

        Raises:
            ValueError: the checkpoint is of other settings, another set or another protocol.
        """
        path = self.out / "checkpoint.pt"
        if not path.exists():
            self.start()
            return
        keys = ("made_with", "model", "optimizer", "best", "progress")
        state = checkpoint.load_checkpoint(path, keys)
        expected, found = self._made_with(), state["made_with"]
        for what in sorted(expected.keys() | found.keys()):
            if expected.get(what) != found.get(what):
                raise ValueError(
                    f"{path}: expected {what} {expected.get(what)}, found {found.get(what)}; "
                    "only train.max_epochs may change within a run"
                )
        limit, done = self.settings.train.max_epochs, state["progress"]["epoch"]
        if limit is not None and done > limit:
            raise ValueError(
                f"{path}: expected at most {limit} epochs (train.max_epochs), found {done} trained"
            )
        self.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.best = state["best"]
        schedule = Schedule(**state["progress"].pop("schedule"))
        self.progress = Progress(schedule=schedule, **state["progress"])
        self._remove_leftovers()
        self._write_config()
        self._write_metrics()

    def train(self, say: Callable[[str], None] = lambda line: None) -> Result:
        """Train to the end, measure on the test split, write the model file.

        Args:
            say: takes a line for each epoch that changes something, where no progress bar is shown.

        Raises:
            KeyboardInterrupt: asked to stop; the checkpoint holds all of the work.
            ValueError: the loss is not finite.
        """
        with asked_to_stop() as stop, self._bar() as bar:
            while not self.finished:
                self._epoch(stop, bar)
                verdict = self._validate()
                self._save()
                row = self.progress.history[-1]
                line = (
                    f"epoch {row['epoch']}: loss {row['train_loss']:.4f}, train {row['train_accuracy']:.1%}, "
                    f"validation {row['validation_accuracy']:.1%}, learning rate {row['learning_rate']:g}"
                )
                bar.set_description_str(line)
                if bar.disable and verdict != "worse":
                    say(line + (": best weights back, learning rate drops" if verdict == "drop" else ""))
        return self._finish()

    def _bar(self) -> "tqdm[Any]":
        bar = "{desc} |{bar}| step {n_fmt}/{total_fmt} [{elapsed}, {rate_fmt}]"
        return tqdm(total=self.steps, unit=" steps", disable=None, bar_format=bar, leave=False)

    def _epoch(self, stop: threading.Event, bar: "tqdm[Any]") -> None:
        """Train from the current step to the epoch's end."""
        progress, train = self.progress, self.settings.train
        clips = self.split.train
        order = np.random.default_rng([train.seed, _ORDER, progress.epoch]).permutation(clips)
        size = min(train.batch, len(clips))
        self.model.train()
        bar.reset(self.steps)
        bar.update(progress.step)
        for step in range(progress.step, self.steps):
            if stop.is_set():
                self._save()
                raise KeyboardInterrupt
            self._step(order[step * size : (step + 1) * size], progress.epoch * self.steps + step)
            progress.step = step + 1
            bar.update()

    def _step(self, numbers: dataset.Integers, step: int) -> None:
        progress, train, frames = self.progress, self.settings.train, self.settings.data.frames
        uniform = np.random.default_rng([train.seed, _FRAMES, step]).random((len(numbers), frames + 1))
        x = self.clips.batch(numbers, dataset.sample_frames(self.clips.length[numbers], frames, uniform))
        labels = torch.from_numpy(self.labels[numbers]).to(self.device)
        _seed_torch(train.seed, _DROPOUT, step)
        logits, _ = self.model(x.to(self.device))
        loss = F.cross_entropy(logits, labels)
        if not torch.isfinite(loss):
            raise ValueError(
                f"expected a finite loss, found {loss.item()} in epoch {progress.epoch + 1}, "
                f"step {progress.step + 1}; a lower train.learning_rate may help"
            )
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_value_(self.model.parameters(), train.gradient_clip)
        self.optimizer.step()
        clamp_recurrent_(self.model)
        progress.loss += loss.item() * len(numbers)
        progress.correct += int((logits.argmax(dim=1) == labels).sum())
        progress.clips += len(numbers)

    def _validate(self) -> str:
        """End the epoch: validate, let the schedule judge, note the metrics."""
        progress, train = self.progress, self.settings.train
        numbers = self.split.validation
        logits = evaluation.scores(
            self.model,
            self.clips,
            numbers,
            frames=self.settings.data.frames,
            passes=train.validation_passes,
            batch=self.settings.evaluate.batch,
        )
        labels = self.labels[numbers]
        accuracy = float((logits.argmax(axis=-1) == labels).mean())  # of single samplings, as published
        flat = torch.from_numpy(logits).flatten(0, 1)
        loss = float(F.cross_entropy(flat, torch.from_numpy(labels).repeat(len(logits))))
        rate = progress.schedule.learning_rate
        verdict = progress.schedule.judge(
            progress.epoch + 1, accuracy, loss, train.patience, train.learning_rate_drop
        )
        if verdict == "better":
            self.best = self._weights()
        elif verdict == "drop":
            self.model.load_state_dict(self.best["model"])
            self.optimizer.load_state_dict(copy.deepcopy(self.best["optimizer"]))
            for group in self.optimizer.param_groups:
                group["lr"] = progress.schedule.learning_rate
        progress.epoch += 1
        row = (
            progress.epoch,
            rate,
            progress.loss / progress.clips,
            progress.correct / progress.clips,
            loss,
            accuracy,
            int(verdict == "better"),
        )
        progress.history.append(dict(zip(METRICS, row, strict=True)))
        progress.step, progress.loss, progress.correct, progress.clips = 0, 0.0, 0, 0
        return verdict

    def _weights(self) -> dict[str, Any]:
        return copy.deepcopy({"model": self.model.state_dict(), "optimizer": self.optimizer.state_dict()})

    def _save(self) -> None:
        """Write the checkpoint, then the metrics."""
        state = {
            "made_with": self._made_with(),
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "best": self.best,
            "progress": asdict(self.progress),
        }
        checkpoint.save_checkpoint(self.out / "checkpoint.pt", state)
        self._write_metrics()

    def _made_with(self) -> dict[str, str]:
        """All that the bytes of a result follow from, besides this program and machine."""
        fixed: dict[str, object] = {
            "protocol": self.protocol,
            "prepared set": _fingerprint(self.prepared),
            "number of threads": torch.get_num_threads(),
        }
        for section, settings in self.settings.model_dump(exclude={"title", "published"}).items():
            fixed |= {f"{section}.{key}": value for key, value in settings.items()}
        del fixed["train.max_epochs"]
        return {key: str(value) for key, value in fixed.items()}

    def _remove_leftovers(self) -> None:
        """Remove the half-written files of a killed run."""
        for leftover in self.out.glob("*.partial-*"):
            leftover.unlink()

    def _write_config(self) -> None:
        with replacing(self.out / "config.toml") as partial:
            partial.write_text(config.dump(self.settings), encoding="utf-8")

    def _write_metrics(self) -> None:
        with (
            replacing(self.out / "metrics.csv") as partial,
            partial.open("w", encoding="utf-8", newline="") as file,
        ):
            writer = csv.DictWriter(file, METRICS, lineterminator="\n")
            writer.writeheader()
            writer.writerows(self.progress.history)

    def _finish(self) -> Result:
        """Measure the best weights on the test split and write model and report."""
        settings, prepared, split = self.settings, self.prepared, self.split
        schedule = self.progress.schedule
        self.model.load_state_dict(self.best["model"])
        report = evaluation.measure(
            self.model, self.clips, split.test, self.labels, prepared.classes, settings
        )
        card = Card(
            program=f"action-indrnn {__version__}",
            config=settings,
            dataset=prepared.meta["dataset"],
            protocol=self.protocol,
            whole=prepared.meta["counts"]["whole"],
            classes=tuple(prepared.classes),
            features=self.clips.features,
            view=prepared.meta["preprocessing"]["view"],
            recipe=prepared.meta["preprocessing"].get("recipe", "tracks"),
            joint_layout=prepared.meta["layout"],
            seed=settings.train.seed,
            epochs=schedule.best_epoch,
            clips=(len(split.train), len(split.validation), len(split.test)),
            held_out=split.held_out,
            measured=Measured(
                split="test",
                clips=len(report.labels),
                passes=report.passes,
                top1=report.top(1),
                top5=report.top(5),
                mean_class=report.mean_class,
            ),
        )
        with replacing(self.out / "report.json") as partial:
            partial.write_text(report.json(dataset=card.dataset, protocol=card.protocol), encoding="utf-8")
        model = self.out / "model.safetensors"
        checkpoint.save_model(model, self.model, card)
        return Result(model, report, self.progress.epoch, schedule.best_epoch, schedule.best_accuracy)


def _seed_torch(*key: int) -> None:
    torch.manual_seed(int(np.random.SeedSequence(key).generate_state(1, np.uint64)[0]))


def _fingerprint(prepared: PreparedSet) -> str:
    """A digest of the set's index and description."""
    content = b"".join((prepared.path / name).read_bytes() for name in ("index.csv", "meta.toml"))
    return hashlib.sha256(content).hexdigest()[:12]
