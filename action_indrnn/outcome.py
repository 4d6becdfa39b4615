"""What a training run comes to: what its bytes follow from, the result, and the model file's card."""

import hashlib
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch

from action_indrnn import __version__
from action_indrnn.checkpoint import Card, Measured
from action_indrnn.config import Config
from action_indrnn.data_prep.archive import PreparedSet
from action_indrnn.evaluation import Report
from action_indrnn.splits import Split


@dataclass(frozen=True)
class Result:
    """A finished run.

    Attributes:
        protocol: what it was trained and measured under.
        model: its model file.
        report: on the test split.
        epochs: epochs trained.
        best_epoch: the one whose weights were chosen by validation.
        validation_accuracy: of those weights; NaN if nothing was held out.
    """

    protocol: str
    model: Path
    report: Report
    epochs: int
    best_epoch: int
    validation_accuracy: float

    def as_text(self) -> str:
        """The result for a screen."""
        report, validation = self.report, self.validation_accuracy
        chosen = "the last" if math.isnan(validation) else f"validation {validation:.2%}"
        return (
            f"{self.epochs} epochs, weights of epoch {self.best_epoch} ({chosen})\n"
            f"{self.protocol} test: top-1 {report.top(1):.2%}, top-5 {report.top(5):.2%}, "
            f"mean class {report.mean_class:.2%} ({len(report.labels):,} clips, {report.passes} passes)\n"
            f"model file  {self.model}"
        )


def made_with(prepared: PreparedSet, protocol: str, settings: Config) -> dict[str, str]:
    """All that the bytes of a result follow from, besides this program and machine."""
    fixed: dict[str, object] = {
        "protocol": protocol,
        "prepared set": _fingerprint(prepared),
        "number of threads": torch.get_num_threads(),
    }
    tables = {"data", "train", "evaluate", *settings.networks}
    for section, values in settings.model_dump(include=tables).items():
        fixed |= {f"{section}.{key}": value for key, value in values.items()}
    if settings.train.schedule == "steps":  # a cosine ends there
        del fixed["train.max_epochs"]
    return {key: str(value) for key, value in fixed.items()}


def check_same(expected: Mapping[str, str], found: Mapping[str, str], path: Path) -> None:
    """Check that a run may go on from a checkpoint.

    Args:
        expected: what the run is made with.
        found: what the checkpoint was made with.
        path: of the checkpoint, for messages.

    Raises:
        ValueError: they differ; says in what.
    """
    for what in sorted(expected.keys() | found.keys()):
        if expected.get(what) != found.get(what):
            raise ValueError(
                f"{path}: expected {what} {expected.get(what)}, found {found.get(what)}; "
                "only train.max_epochs may change within a run, and that not under a cosine schedule"
            )


def _fingerprint(prepared: PreparedSet) -> str:
    """A digest of the set's index and description."""
    content = b"".join((prepared.path / name).read_bytes() for name in ("index.csv", "meta.toml"))
    return hashlib.sha256(content).hexdigest()[:12]


def card(
    prepared: PreparedSet,
    protocol: str,
    settings: Config,
    split: Split,
    features: int,
    epochs: int,
    report: Report,
) -> Card:
    """The card of a run's model file.

    Args:
        prepared: the set.
        protocol: of the run.
        settings: of the run.
        split: of the set.
        features: F, numbers in a frame.
        epochs: the one whose weights were chosen.
        report: on the test split.
    """
    return Card(
        program=f"action-indrnn {__version__}",
        config=settings,
        dataset=prepared.meta["dataset"],
        protocol=protocol,
        whole=prepared.meta["counts"]["whole"],
        classes=tuple(prepared.classes),
        features=features,
        view=prepared.meta["preprocessing"]["view"],
        recipe=prepared.meta["preprocessing"].get("recipe", "tracks"),
        joint_layout=prepared.meta["layout"],
        seed=settings.train.seed,
        epochs=epochs,
        clips=(len(split.train), len(split.validation), len(split.test)),
        held_out=split.held_out,
        clip_frames=float(prepared.index["length"].iloc[split.train].median()),
        measured=Measured(
            split="test",
            clips=len(report.labels),
            passes=report.passes,
            top1=report.top(1),
            top5=report.top(5),
            mean_class=report.mean_class,
        ),
    )
