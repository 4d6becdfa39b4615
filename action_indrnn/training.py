"""Training: one run from a configuration and a prepared set to a model file.

Every random number of a run follows from its seed and the number of the step, never from what ran before, so
a run that was interrupted anywhere goes on bit for bit as if it had not been.

A run folder holds `config.toml`, `run.toml` (on what, where and when), `metrics.csv` (one line an epoch),
`checkpoint.pt` (to go on from), and at the end `model.safetensors` and `report.json` (the test split,
measured once).
"""

import math
import threading
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F
from tqdm import tqdm

from action_indrnn import allocator, checkpoint, environment, evaluation, outcome, processes, schedule, splits
from action_indrnn.batches import WEIGHTS, Batches
from action_indrnn.config import Config
from action_indrnn.data_prep import layout
from action_indrnn.data_prep.archive import PreparedSet
from action_indrnn.dataset import Clips, Integers, Where
from action_indrnn.every_frame import Pieces
from action_indrnn.interrupt import asked_to_stop
from action_indrnn.models import Classifier, build
from action_indrnn.optimisation import Learner
from action_indrnn.outcome import Result
from action_indrnn.run_folder import RunFolder
from action_indrnn.schedule import Schedule
from action_indrnn.seeds import seed_torch
from action_indrnn.splits import Split

METRICS = (
    "epoch",
    "learning_rate",
    "train_loss",
    "train_accuracy",
    "validation_loss",
    "validation_accuracy",
    "best",
)

SAVE_SECONDS = 5.0  # at least between two epochs' checkpoints, which cost more than a small network's epoch


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


class Run:
    """One training run in its folder."""

    def __init__(
        self,
        settings: Config,
        prepared: PreparedSet,
        protocol: str,
        out: Path,
        device: str | torch.device = "cpu",
        where: Where = "auto",
    ) -> None:
        """Take in what the run is made of; nothing is written before `start` or `resume`.

        Args:
            settings: of the run.
            prepared: the set.
            protocol: one of the set's.
            out: the run's folder.
            device: where the network is trained.
            where: where the joints lie; see `Clips.near`.

        Raises:
            ValueError: the protocol does not fit the set, or the batch the clips or the processes.
        """
        train = settings.train
        if settings.model.members > 1:
            raise ValueError(
                f"model.members: expected 1 in training, found {settings.model.members}; train with as many "
                "seeds and put the model files together with `action-indrnn combine`"
            )
        self.settings = settings
        self.prepared = prepared
        self.protocol = protocol
        self.folder = RunFolder(out)
        self.split: Split = splits.split(
            prepared, protocol, validation=train.validation, share=train.validation_share, seed=train.seed
        )
        self.layout = joints = layout.from_table(prepared.meta["layout"], str(prepared.path / "meta.toml"))
        second = prepared.meta["preprocessing"]["view"] if settings.exchanges else None
        clips = Clips.of_set(prepared)
        self.recordings = splits.recordings_of(prepared, self.split.train) if settings.detects else []
        counts = [clips.bodies[self.split.train].max(), *(one.joints.shape[1] for one in self.recordings)]
        # A network of people who act alone takes one: of two it would not know what to do with the other.
        clips = clips.shown_as(settings.data, joints, second, actors=int(max(counts)))
        self.clips = clips.near(torch.device(device), where)
        self.labels = prepared.column("label")
        self.device = torch.device(device)
        self.batches = Batches(
            settings,
            self.clips,
            self.labels,
            self.split.train,
            self.device,
            joints,
            self._pieces(),
            prepared.classes,
        )
        seed_torch(train.seed, WEIGHTS)
        self.model: Classifier = build(settings, self.clips.features, len(prepared.classes), joints).to(
            device
        )
        self.learner = Learner(self.model, train)
        self.progress = Progress(Schedule(train.learning_rate))
        self.best = self.learner.snapshot()
        self._saved = -math.inf  # when, seconds

    def _pieces(self) -> Pieces | None:
        """What a network that detects actions learns from."""
        data, prepared = self.settings.data, self.prepared
        if not self.settings.detects:
            return None
        return Pieces(
            self.clips,
            self.labels,
            self.split.train,
            self.recordings,
            self.layout,
            data.frames,
            data.follow,
            data.pause,
            data.speed,
            len(prepared.classes),
        )

    @property
    def epochs(self) -> int | None:
        """How many epochs to train for at most; none without a limit."""
        return schedule.epochs(self.settings.train, self.batches.steps)

    @property
    def finished(self) -> bool:
        """Whether the learning rate or the number of epochs has reached its end."""
        train = self.settings.train
        limit = math.inf if self.epochs is None else self.epochs
        return self.progress.epoch >= limit or self.progress.schedule.learning_rate < train.learning_rate_min

    def as_text(self) -> str:
        """What is trained on what, for a screen."""
        split, settings = self.split, self.settings
        weights = sum(parameter.numel() for parameter in self.model.parameters())
        head = (
            f"{settings.kind}, {weights:,} parameters, {self.protocol}, seed {settings.train.seed}; "
            f"clips: {len(split.train):,} training, {len(split.validation):,} validation ({split.held_out}), "
            f"{len(split.test):,} test"
        )
        if not settings.data.mirror:
            return head
        if self.batches.image is None:
            return f"{head}\nnothing is mirrored: {self.layout.name} has no left and right joints"
        alone = [self.prepared.classes[label] for label in self.batches.unmirrored()]
        look = "not mirrored, for their mirror images look like clips of another class"
        return f"{head}\n{look}: {', '.join(alone)}" if alone else head

    def start(self) -> None:
        """Make the run's folder.

        Raises:
            ValueError: it holds a run already, or something else.
        """
        processes.first_does(self._claim)

    def _claim(self) -> None:
        self.folder.claim()
        self._write_head()
        self.folder.note(started=datetime.now(UTC).replace(microsecond=0))

    def _write_head(self) -> None:
        self.folder.write_config(self.settings)
        self.folder.note(
            protocol=self.protocol,
            prepared_set=str(self.prepared.path.absolute()),
            environment=environment.facts(self.device),
        )
        self.folder.write_metrics(METRICS, self.progress.history)

    def resume(self) -> None:
        """Go on from the folder's checkpoint; without one, start.

        With another number of processes the run goes on too, equal to rounding instead of bit for bit.

        Raises:
            ValueError: the checkpoint is of other settings, another set or another protocol.
        """
        path = self.folder.checkpoint
        if processes.from_first(bytes([path.exists()])) == b"\0":
            self.start()
            return
        content = processes.from_first(path.read_bytes() if processes.is_first() else b"")
        state = checkpoint.load_checkpoint(content, path, ("made_with", "learner", "best", "progress"))
        outcome.check_same(self._made_with(), state["made_with"], path)
        limit, done = self.epochs, state["progress"]["epoch"]
        if limit is not None and done > limit:
            raise ValueError(
                f"{path}: expected at most {limit} epochs (train.max_epochs), found {done} trained"
            )
        self.learner.load(state["learner"])
        self.best = state["best"]
        rule = Schedule(**state["progress"].pop("schedule"))
        self.progress = Progress(schedule=rule, **state["progress"])
        if processes.is_first():
            self.folder.remove_leftovers()
            self._write_head()

    def train(self, say: Callable[[str], None] = lambda line: None, *, show: bool = True) -> Result:
        """Train to the end, measure on the test split, write the model file.

        Args:
            say: takes a line for each epoch that changes something, where no progress bar is shown.
            show: whether to show one, on a terminal.

        Raises:
            KeyboardInterrupt: asked to stop; the checkpoint holds all of the work.
            ValueError: the loss is not finite.
        """
        allocator.keep_freed_memory()
        with asked_to_stop() as stop, self._bar(show) as bar:
            while not self.finished:
                self._epoch(stop, bar)
                verdict = self._end_epoch()
                if self.finished or time.monotonic() - self._saved >= SAVE_SECONDS:
                    self._save()
                row = self.progress.history[-1]
                validation = f"validation {row['validation_accuracy']:.1%}, " if self.validates else ""
                line = (
                    f"epoch {row['epoch']}: loss {row['train_loss']:.4f}, train {row['train_accuracy']:.1%}, "
                    f"{validation}learning rate {row['learning_rate']:g}"
                )
                bar.set_description_str(line)
                if bar.disable and verdict != "worse":
                    say(line + (": best weights back, learning rate drops" if verdict == "drop" else ""))
        return self._finish()

    def _bar(self, show: bool = True) -> "tqdm[Any]":
        bar = "{desc} |{bar}| step {n_fmt}/{total_fmt} [{elapsed}, {rate_fmt}]"
        hidden = None if show else True  # none: where there is no terminal
        return tqdm(total=self.batches.steps, unit=" steps", disable=hidden, bar_format=bar, leave=False)

    def _epoch(self, stop: threading.Event, bar: "tqdm[Any]") -> None:
        """Train from the current step to the epoch's end."""
        progress, steps = self.progress, self.batches.steps
        batches = self.batches.of(progress.epoch)
        # This process's own sums, on the device until someone asks; the first one's hold what was before.
        before = [progress.loss, progress.correct] if processes.is_first() else [0, 0]
        sums = torch.tensor(before, dtype=torch.float64, device=self.device)
        last: Tensor | None = None
        self.model.train()
        bar.reset(steps)
        bar.update(progress.step)
        for step in range(progress.step, steps):
            if processes.any_says(stop.is_set()):
                self._settle(sums, last)
                self._save()
                raise KeyboardInterrupt
            found = self._step(batches[step], progress.epoch * steps + step)
            sums += found
            # One step late, so that a GPU has the next step to do while this process waits for a number.
            self._check_finite(last)
            last = found
            progress.step = step + 1
            progress.clips += len(batches[step])
            bar.update()
        self._settle(sums, last)

    def _step(self, numbers: Integers, step: int) -> Tensor:
        """Learn from some clips; see `Learner.step`."""
        learning_rate = self.progress.schedule.learning_rate
        rate = schedule.rate(self.settings.train, learning_rate, step, self.batches.steps)
        return self.learner.step(self.batches.parts(numbers, step), rate)

    def _check_finite(self, found: Tensor | None) -> None:
        if found is not None and not math.isfinite(loss := found[0].item()):
            raise ValueError(
                f"expected a finite loss, found {loss} in epoch {self.progress.epoch + 1}, "
                f"step {self.progress.step}; a lower train.learning_rate may help"
            )

    def _settle(self, sums: Tensor, last: Tensor | None) -> None:
        """Note what all processes have found in the epoch so far."""
        self._check_finite(last)
        self.progress.loss, correct = processes.total(sums.cpu()).tolist()
        self.progress.correct = int(correct)

    @property
    def validates(self) -> bool:
        """Whether clips are held out to choose the epoch by."""
        return bool(len(self.split.validation))

    def _end_epoch(self) -> str:
        """Validate, let the schedule judge, note the metrics; the schedule's verdict."""
        progress, train = self.progress, self.settings.train
        accuracy, loss = self._validate() if self.validates else (math.nan, math.nan)
        steps = self.batches.steps
        last = (progress.epoch + 1) * steps - 1
        rate = schedule.rate(train, progress.schedule.learning_rate, last, steps)
        if self.validates:
            patience = train.patience if train.schedule == "steps" else math.inf
            verdict = progress.schedule.judge(
                progress.epoch + 1, accuracy, loss, patience, train.learning_rate_drop
            )
        elif progress.epoch + 1 == self.epochs:
            verdict = "better"
            progress.schedule.best_epoch, progress.schedule.best_accuracy = progress.epoch + 1, accuracy
        else:
            verdict = "worse"
        if verdict == "better":
            self.best = self.learner.snapshot()
        elif verdict == "drop":
            self.learner.load(self.best)
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

    def _validate(self) -> tuple[float, float]:
        """Accuracy and loss on the clips held out."""
        train, numbers = self.settings.train, self.split.validation
        logits = evaluation.judged(
            self.learner.judged,
            self.clips,
            numbers,
            self.settings,
            self.layout,
            passes=train.validation_passes,
        )
        labels = self.labels[numbers]
        accuracy = float((logits.argmax(axis=-1) == labels).mean())  # of single samplings, as published
        flat = torch.from_numpy(logits).flatten(0, 1)
        loss = float(F.cross_entropy(flat, torch.from_numpy(labels).repeat(len(logits))))
        return accuracy, loss

    def _save(self) -> None:
        """Write the checkpoint, then the metrics."""
        if not processes.is_first():
            return
        state = {
            "made_with": self._made_with(),
            "learner": self.learner.state(),
            "best": self.best,
            "progress": asdict(self.progress),
        }
        self.folder.write_checkpoint(state)
        self._saved = time.monotonic()
        self.folder.write_metrics(METRICS, self.progress.history)

    def _made_with(self) -> dict[str, str]:
        return outcome.made_with(self.prepared, self.protocol, self.settings)

    def _finish(self) -> Result:
        """Measure the best weights on the test split and write model and report."""
        settings, prepared, split = self.settings, self.prepared, self.split
        chosen, model = self.progress.schedule, self.learner.judged
        model.load_state_dict(self.best["judged"])
        report = evaluation.measure(
            model, self.clips, split.test, self.labels, prepared.classes, settings, self.layout
        )
        card = outcome.card(
            prepared, self.protocol, settings, split, self.clips.features, chosen.best_epoch, report
        )
        if processes.is_first():
            self.folder.write_result(report, model, card)
            self.folder.note(finished=datetime.now(UTC).replace(microsecond=0))
        return Result(
            self.protocol,
            self.folder.model,
            report,
            self.progress.epoch,
            chosen.best_epoch,
            chosen.best_accuracy,
        )
