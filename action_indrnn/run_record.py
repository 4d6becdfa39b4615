"""Finished runs, read back from their folders."""

import csv
import json
import math
import tomllib
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from action_indrnn import checkpoint
from action_indrnn.checkpoint import Card
from action_indrnn.models import Classifier
from action_indrnn.run_folder import RunFolder
from action_indrnn.scene import RATE

_NEEDED = ("model.safetensors", "report.json", "metrics.csv", "config.toml")


@dataclass(frozen=True)
class Record:
    """A finished run.

    Attributes:
        folder: its own.
        name: the folder below the one that was asked for; empty for that one itself.
        report: `report.json`, see `evaluation.Report.table`.
        metrics: the columns of `metrics.csv`.
        settings: `config.toml`, as it stands there.
        facts: `run.toml`; empty for a run from before that was written.
        card: of the model file.
    """

    folder: Path
    name: str
    report: dict[str, Any]
    metrics: dict[str, list[float]]
    settings: str
    facts: dict[str, Any]
    card: Card

    @classmethod
    def of(cls, folder: Path, name: str) -> "Record":
        """The record of a folder.

        Raises:
            ValueError: a file of it is damaged.
        """
        run = RunFolder(folder)
        try:
            report = json.loads((folder / "report.json").read_text(encoding="utf-8"))
            with (folder / "metrics.csv").open(encoding="utf-8", newline="") as file:
                rows = [{key: float(value) for key, value in row.items()} for row in csv.DictReader(file)]
            notes = folder / "run.toml"
            facts = tomllib.loads(notes.read_text(encoding="utf-8")) if notes.exists() else {}
        except (ValueError, TypeError) as error:  # of json, csv's cells and tomllib alike
            raise ValueError(f"{folder}: damaged: {error}") from error
        metrics = {key: [row[key] for row in rows] for key in (rows[0] if rows else ())}
        settings = (folder / "config.toml").read_text(encoding="utf-8")
        return cls(folder, name, report, metrics, settings, facts, checkpoint.load_card(run.model))

    @cached_property
    def model(self) -> Classifier:
        """The network with its weights."""
        return checkpoint.load_model(RunFolder(self.folder).model)[0]

    @cached_property
    def confusion(self) -> NDArray[np.int64]:
        """(K, K) test clips by true and predicted class."""
        return np.array(self.report["confusion"], np.int64)

    @property
    def top1(self) -> float:
        """Accuracy on the test split."""
        return float(self.report["top1"])

    @property
    def seconds(self) -> float | None:
        """How long a step of the network is, at RATE frames a second; none where clip lengths are not known.

        Where it sees every frame, that is a frame's. Otherwise a clip of any length has as many steps, so it
        is that of a clip of median length: from first to last frame in even steps, or a segment, where a clip
        of less than twice as many frames is not thinned, see `dataset.sample_frames`.
        """
        frames, data = self.card.clip_frames, self.card.config.data
        if data.sampling == "every":
            return 1 / RATE
        if frames is None:
            return None
        if data.sampling == "whole":
            return (frames - 1) / data.frames / RATE
        return (frames / data.frames if frames >= 2 * data.frames else 1) / RATE

    @property
    def fold(self) -> str:
        """The protocol's family where the run lies in a folder of folds: fold=2 is of fold=*."""
        protocol = self.card.protocol
        rule, equals, _ = protocol.partition("=")
        among = protocol.replace("/", "-") in self.name.split("/")  # see `folds.runs`
        return f"{rule}=*" if equals and among else protocol


def find(path: Path) -> tuple[list[Record], list[str]]:
    """The finished runs of a folder, and the names of those that are not finished.

    Args:
        path: a run's folder, or one that holds runs: seed-N, PROTOCOL, PROTOCOL/seed-N.

    Raises:
        ValueError: no finished run there, or one that is damaged.
    """
    heads = sorted(
        (
            head.parent
            for pattern in ("config.toml", "*/config.toml", "*/*/config.toml")
            for head in path.glob(pattern)
        ),
        key=lambda folder: [_natural(part) for part in folder.relative_to(path).parts],
    )
    done = [folder for folder in heads if all((folder / name).is_file() for name in _NEEDED)]
    if not done:
        found = f"{len(heads)} unfinished" if heads else "none"
        raise ValueError(f"{path}: expected a finished run, with {', '.join(_NEEDED)}, found {found}")
    names = {folder: "/".join(folder.relative_to(path).parts) for folder in heads}
    records = [Record.of(folder, names[folder]) for folder in done]
    for record in records[1:]:
        if record.card.classes != records[0].card.classes:
            raise ValueError(f"{record.folder}: expected the classes of {records[0].folder}, found others")
    return records, [names[folder] for folder in heads if folder not in done]


def _natural(name: str) -> tuple[str, float]:
    """Sorts seed-10 behind seed-9."""
    head = name.rstrip("0123456789")
    tail = name[len(head) :]
    return head, float(tail) if tail else -math.inf
