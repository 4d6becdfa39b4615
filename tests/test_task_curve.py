import csv
import json
from pathlib import Path

from action_indrnn import task_curve
from action_indrnn.task_curve import Point


def test_curves_are_written_as_csv_and_json(tmp_path: Path) -> None:
    curves = {"a": [Point(1, 0.5, 0.25, 0.1, 3, 2, 4)], "b": [Point(2, 1.5, 1, 0.1, 3, 2, 5)] * 2}
    task_curve.write_curves(tmp_path / "curve.csv", curves, {})
    with (tmp_path / "curve.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(row["network"], row["step"], row["figure"]) for row in rows] == [
        ("a", "1", "4"), ("b", "2", "5"), ("b", "2", "5"),
    ]  # fmt: skip
    task_curve.write_curves(tmp_path / "curve.json", curves, {"task": "adding"})
    found = json.loads((tmp_path / "curve.json").read_text())
    assert found["task"] == "adding"
    assert found["curves"]["a"] == [
        {
            "step": 1,
            "seconds": 0.5,
            "cpu_seconds": 0.25,
            "learning_rate": 0.1,
            "train_loss": 3,
            "loss": 2,
            "figure": 4,
        }
    ]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["curve.csv", "curve.json"]
