import csv
import sys
from pathlib import Path

import pytest

from action_indrnn import cli
from action_indrnn.task_fit import Trainer

TINY = ["--length", "6", "--set", "model.units=4", "--set", "train.steps=4", "--set", "train.every=2"]


def call(monkeypatch: pytest.MonkeyPatch, *arguments: object) -> int:
    """The exit status of a command line that begins with `task`."""
    monkeypatch.setattr(sys, "argv", ["action-indrnn", "task", *map(str, arguments)])
    with pytest.raises(SystemExit) as leaving:
        cli.main()
    return leaving.value.code


def test_adding_beside_an_lstm(tmp_path: Path, monkeypatch, capsys) -> None:
    out = tmp_path / "curve.csv"
    assert call(monkeypatch, "adding", *TINY, "--compare", "lstm", "--out", out) == 0
    text = capsys.readouterr().out
    assert "adding problem, 6 steps; mean squared error of always answering 1: 0.1667" in text
    assert "indrnn: 45 parameters, seed 0" in text
    with out.open(newline="") as file:
        rows = list(csv.DictReader(file))
    steps = [row["step"] for row in rows if row["network"] == "indrnn"]
    assert steps == ["2", "4"]
    assert rows[-1]["network"] == "lstm"
    assert rows[0]["figure"] in text or f"{float(rows[0]['figure']):.4f}" in text


def test_bad_input_is_one_line_and_status_1(tmp_path: Path, monkeypatch, capsys) -> None:
    for message, arguments in {
        "expected a file name that ends in .csv or .json": ("adding", "--out", "curve.txt"),
        "expected a file in a folder that exists": ("adding", "--out", tmp_path / "no" / "curve.csv"),
        "data.length: expected an integer >= 2": ("adding", "--set", "data.length=1"),
        "expected a device of this machine": ("adding", "--device", "gpu"),
        "plain: unknown configuration; known are task_adding": ("adding", "--config", "plain"),
    }.items():
        assert call(monkeypatch, *arguments) == 1, message
        found = capsys.readouterr()
        assert message in found.err
        assert found.err.startswith("action-indrnn: ")
        assert found.err.count("\n") == 1


def test_bad_usage_is_status_2(monkeypatch, capsys) -> None:
    assert call(monkeypatch, "adding", "--length", 1) == 2
    assert call(monkeypatch, "adding", "--compare", "gru") == 2
    assert "Usage" in capsys.readouterr().err


def test_an_interruption_leaves_the_curve(tmp_path: Path, monkeypatch, capsys) -> None:
    step = Trainer._step

    def interrupted(self: Trainer) -> float:
        if self.step == 3:
            raise KeyboardInterrupt
        return step(self)

    monkeypatch.setattr(Trainer, "_step", interrupted)
    out = tmp_path / "curve.csv"
    assert call(monkeypatch, "adding", *TINY, "--out", out) == 130
    assert "stopped at step 3" in capsys.readouterr().err
    assert len(out.read_text().splitlines()) == 1 + 1
