"""How accurate settings are on data sets: every fold and seed of a protocol trained, as a table.

Runs go seed by seed, and within a seed setting by setting, so that a table cut short by the time limit
compares the same folds. What is finished stays in the folder and is not trained again. Runs are independent,
so they may be trained in several processes; each gives what it gives alone.
"""

import hashlib
import json
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch

from action_indrnn import config, folds
from action_indrnn.config import Config
from action_indrnn.data_prep import archive, pool
from action_indrnn.data_prep.archive import PreparedSet
from action_indrnn.training import Run

BASELINES = (
    *("plain", "residual", "dense", "lstm", "gru"),
    *("plain model.pooling=both", "lstm model.pooling=both", "plain model.pooling=both data.frames=1"),
)
_LONGEST = 120  # bytes of a folder's name
Settings = Mapping[str, Config]


@dataclass(frozen=True)
class Job:
    """A set and the protocol to measure on it; `words` is how it was named."""

    words: str
    prepared: PreparedSet
    protocol: str

    @classmethod
    def of(cls, words: str) -> "Job":
        """The job that "SET:PROTOCOL" names.

        Raises:
            ValueError: no colon in it, or no prepared set.
        """
        folder, colon, protocol = words.rpartition(":")
        if not colon:
            raise ValueError(f"expected SET:PROTOCOL, such as sbu:fold=*, found '{words}'")
        return cls(f"{Path(folder).name} {protocol}", archive.read(Path(folder)), protocol)


@dataclass(frozen=True)
class Cell:
    """One setting on one set.

    Attributes:
        top1: of each run that is finished, by fold and seed.
        folds, seeds: how many of each there are.
        together: of all seeds of a fold as one recogniser, their probabilities averaged, the mean over
            folds; none before all runs are finished.
    """

    top1: Mapping[tuple[str, int], float]
    folds: int
    seeds: int
    together: float | None = None

    def __str__(self) -> str:
        """The mean of all runs in percent, the deviation of the seeds (of their means), what is missing.

        Of several seeds also, as "T ...", what they reach together.
        """
        if not self.top1:
            return "not run"
        text = f"{100 * np.mean(list(self.top1.values())):.1f}"
        by_seed: dict[int, list[float]] = {}
        for (_, seed), value in self.top1.items():
            by_seed.setdefault(seed, []).append(value)
        whole = [np.mean(values) for values in by_seed.values() if len(values) == self.folds]
        if len(whole) > 1:
            text += f" +- {100 * np.std(whole, ddof=1):.1f}"
        if self.together is not None:
            text += f", T {100 * self.together:.1f}"
        every = self.folds * self.seeds
        return text if len(self.top1) == every else f"{text} ({len(self.top1)} of {every} runs)"


@dataclass(frozen=True)
class Trial:
    """One run: of what, where, and what it is called."""

    words: str
    settings: Config
    prepared_set: Path
    protocol: str
    folder: Path


def load(named: Iterable[str], overrides: Sequence[str] = ()) -> dict[str, Config]:
    """The settings by name: that of a configuration and its own settings, as "lstm model.units=64".

    Args:
        named: what they are called.
        overrides: of all of them; their own come after these.
    """
    words = {name: name.split() for name in named}
    return {name: config.load(first, [*overrides, *own]) for name, (first, *own) in words.items()}


def measure(
    settings: Settings,
    jobs: Sequence[Job],
    out: Path,
    seeds: int = 1,
    minutes: float = float("inf"),
    device: str = "cpu",
    say: Callable[[str], None] = lambda line: None,
    workers: int = 1,
) -> dict[str, list[Cell]]:
    """The table's rows: for every setting a cell of each job.

    Args:
        settings: by name.
        jobs: sets and protocols.
        out: the folder of all runs.
        seeds: how many, from each setting's own on.
        minutes: after so many no further run begins.
        device: where the networks are trained.
        say: takes a line for each run.
        workers: how many runs are trained at once, each in a process of its own.

    Raises:
        ValueError: the folder holds a run of other settings; or see `Run`.
    """
    end = time.monotonic() + 60 * minutes
    every = [
        [
            list(folds.runs(one, job.prepared, job.protocol, seeds, folder, more=True))
            for job in jobs
            for folder in [out / _folder(name) / _folder(job.words)]
        ]
        for name, one in settings.items()
    ]
    found: dict[Path, float] = {}

    def tell(trial: Trial, top1: float) -> None:
        found[trial.folder] = top1
        say(f"{trial.words}: {top1:.2%}")

    def left() -> Iterator[Trial]:
        """Those to train; what is finished is told on the way."""
        for seed in range(seeds):
            for name, row in zip(settings, every, strict=True):
                for job, runs in zip(jobs, row, strict=True):
                    count = len(runs) // seeds
                    for fold, seeded, folder in runs[seed * count : (seed + 1) * count]:
                        words = f"{name}, {job.words}, {fold}, seed {seeded.train.seed}"
                        trial = Trial(words, seeded, job.prepared.path, fold, folder)
                        if (folder / "report.json").exists():
                            tell(trial, _measured(trial))
                        elif time.monotonic() <= end:
                            yield trial

    train = partial(_trained, device=device, threads=torch.get_num_threads(), show=workers == 1)
    for trial, top1 in pool.finished_first(train, left(), workers):
        tell(trial, top1)
    return {
        name: [
            Cell(
                {(fold, one.train.seed): found[folder] for fold, one, folder in runs if folder in found},
                len(runs) // seeds,
                seeds,
                _together([folder for *_, folder in runs], seeds)
                if all(folder in found for *_, folder in runs)
                else None,
            )
            for runs in row
        ]
        for name, row in zip(settings, every, strict=True)
    }


def _folder(words: str) -> str:
    """Returns a folder's name for words of any length, of which file systems take 255 bytes."""
    name = words.replace("/", "-")
    if len(name.encode()) <= _LONGEST:
        return name
    return f"{name[: _LONGEST // 4]}... {hashlib.sha256(name.encode()).hexdigest()[:12]}"


def _measured(trial: Trial) -> float:
    """The test accuracy of a finished run."""
    if config.load(trial.folder / "config.toml") != trial.settings:
        raise ValueError(f"{trial.folder}: expected a run of the same settings; name another folder")
    return float(json.loads((trial.folder / "report.json").read_text(encoding="utf-8"))["top1"])


def _trained(trial: Trial, *, device: str, threads: int, show: bool) -> float:
    """The test accuracy of a run that is trained now, or from where it was left."""
    torch.set_num_threads(threads)
    prepared = archive.read(trial.prepared_set)
    run = Run(trial.settings, prepared, trial.protocol, trial.folder, torch.device(device))
    run.resume()
    return run.train(show=show).report.top(1)


def _together(folders: Sequence[Path], seeds: int) -> float | None:
    """The accuracy of the mean of the seeds' probabilities, the mean over folds; none of one seed.

    Args:
        folders: of all runs, seed by seed.
        seeds: how many.
    """
    if seeds == 1:
        return None
    count = len(folders) // seeds
    accuracies = []
    for fold in range(count):
        reports = [json.loads((folder / "report.json").read_text("utf-8")) for folder in folders[fold::count]]
        clips = [report["per_clip"] for report in reports]
        labels = np.array([clip["label"] for clip in clips[0]])
        mean = np.mean([[clip["probabilities"] for clip in one] for one in clips], axis=0)
        accuracies.append((mean.argmax(axis=1) == labels).mean())
    return float(np.mean(accuracies))


def as_markdown(rows: Mapping[str, Sequence[Cell]], jobs: Sequence[Job]) -> str:
    """The rows as a Markdown table, top-1 in percent."""
    lines = [f"| | {' | '.join(job.words for job in jobs)} |", "| --- |" + " --- |" * len(jobs)]
    lines += [f"| {name} | {' | '.join(map(str, cells))} |" for name, cells in rows.items()]
    return "\n".join(lines)
