"""The folder of a training run: who may write into it, and what stands in it.

`config.toml`, `run.toml` (what was trained on what, where and when), `metrics.csv` (one line an epoch),
`checkpoint.pt` (to go on from), and at the end `model.safetensors` and `report.json`. Every file is written
whole or not at all.
"""

import csv
import tomllib
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import Any

import tomli_w

from action_indrnn import checkpoint, config
from action_indrnn.checkpoint import Card, replacing
from action_indrnn.config import Config
from action_indrnn.evaluation import Report
from action_indrnn.models import Classifier


class RunFolder:
    """The files of one run; `path` need not exist before `claim`."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.checkpoint = path / "checkpoint.pt"
        self.model = path / "model.safetensors"

    def claim(self) -> None:
        """Make the folder of a new run.

        Raises:
            ValueError: it holds a run already, or something else.
        """
        if self.checkpoint.exists():
            raise ValueError(f"{self.path}: holds a run; go on with it (--resume), or name another folder")
        if self.path.exists() and not self.path.is_dir():
            raise ValueError(f"{self.path}: expected a new folder, found a file")
        self.remove_leftovers()
        taken = {entry.name for entry in self.path.iterdir()} if self.path.is_dir() else set()
        taken -= {
            "config.toml",
            "run.toml",
            "metrics.csv",
        }  # a run killed in its first epoch has left no more
        if taken:
            found = ", ".join(sorted(taken)[:3])
            raise ValueError(f"{self.path}: expected a new folder, found {found} in it")
        self.path.mkdir(parents=True, exist_ok=True)

    def remove_leftovers(self) -> None:
        """Remove the half-written files of a killed run."""
        for leftover in self.path.glob("*.partial-*"):
            leftover.unlink()

    def write_config(self, settings: Config) -> None:
        """Write `config.toml`."""
        with replacing(self.path / "config.toml") as partial:
            partial.write_text(config.dump(settings), encoding="utf-8")

    def note(self, **facts: Any) -> None:
        """Put facts into `run.toml`, beside those that stand there."""
        path = self.path / "run.toml"
        before = tomllib.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
        with replacing(path) as partial:
            partial.write_text(tomli_w.dumps(before | facts), encoding="utf-8")

    def write_metrics(self, columns: Collection[str], rows: Iterable[Mapping[str, float]]) -> None:
        """Write `metrics.csv`."""
        with (
            replacing(self.path / "metrics.csv") as partial,
            partial.open("w", encoding="utf-8", newline="") as file,
        ):
            writer = csv.DictWriter(file, columns, lineterminator="\n")
            writer.writeheader()
            writer.writerows(rows)

    def write_checkpoint(self, state: dict[str, Any]) -> None:
        """Write `checkpoint.pt`."""
        checkpoint.save_checkpoint(self.checkpoint, state)

    def write_result(self, report: Report, model: Classifier, card: Card) -> None:
        """Write `report.json`, then `model.safetensors`."""
        with replacing(self.path / "report.json") as partial:
            partial.write_text(report.json(dataset=card.dataset, protocol=card.protocol), encoding="utf-8")
        checkpoint.save_model(self.model, model, card)
