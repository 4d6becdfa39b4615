"""The curve of a task's training, and the files that it is written to."""

import csv
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from action_indrnn.checkpoint import replacing


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
