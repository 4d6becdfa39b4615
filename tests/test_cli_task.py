import csv
import json
import struct
import sys
from pathlib import Path

import numpy as np
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


@pytest.fixture
def mnist(tmp_path: Path) -> Path:
    """A folder of made digits, too few to learn from."""
    for part, count in (("train", 40), ("t10k", 10)):
        labels = np.arange(count, dtype=np.uint8) % 10
        images = np.repeat(labels * 25, 784).astype(np.uint8)
        head = struct.pack(">HBB3I", 0, 8, 3, count, 28, 28)
        (tmp_path / f"{part}-images-idx3-ubyte").write_bytes(head + images.tobytes())
        head = struct.pack(">HBBI", 0, 8, 1, count)
        (tmp_path / f"{part}-labels-idx1-ubyte").write_bytes(head + labels.tobytes())
    return tmp_path


def test_mnist_from_files_to_a_test(mnist: Path, monkeypatch, capsys) -> None:
    small = ("model.units=4", "model.layers=1", "train.steps=2", "train.every=1", "data.validation=8")
    tiny = [word for setting in small for word in ("--set", setting)]
    out = mnist / "curve.json"
    assert call(monkeypatch, "mnist", mnist, "--permuted", *tiny, "--out", out) == 0
    text = capsys.readouterr().out
    assert "permuted MNIST, 784 steps" in text
    assert "plain: 70 parameters" in text
    assert "plain: test accuracy in %" in text
    assert "published end point: 95.64 %" in text
    found = json.loads(out.read_text())
    assert found["settings"]["data"]["permuted"] is True
    assert found["measure"] == "accuracy in %"
    assert [point["step"] for point in found["curves"]["plain"]] == [1, 2]


def test_ptb_from_a_folder_to_a_test(tmp_path: Path, monkeypatch, capsys) -> None:
    for part in ("train", "valid", "test"):
        (tmp_path / f"ptb.char.{part}.txt").write_text(" a b _ c \n" * 41)
        (tmp_path / f"ptb.{part}.txt").write_text(" ab c \n" * 41)
    small = ("model.units=4", "model.layers=1", "model.embedding=3", "train.steps=2", "train.every=1",
             "train.batch=2", "data.test_batch=1")  # fmt: skip
    tiny = [word for setting in small for word in ("--set", setting)]
    assert call(monkeypatch, "ptb", tmp_path, *tiny) == 0
    text = capsys.readouterr().out
    assert "Penn Treebank, characters" in text
    assert "plain: test bits a character 2.3" in text  # log2(5), nothing learned
    assert "published end point: 1.26" in text
    assert call(monkeypatch, "ptb", tmp_path, *tiny, "--set", "data.unit=words", "--minutes", 0) == 0


def test_bad_input_is_one_line_and_status_1(tmp_path: Path, monkeypatch, capsys) -> None:
    for message, arguments in {
        "expected a file name that ends in .csv or .json": ("adding", "--out", "curve.txt"),
        "expected a file in a folder that exists": ("adding", "--out", tmp_path / "no" / "curve.csv"),
        "data.length: expected an integer >= 2": ("adding", "--set", "data.length=1"),
        "expected a device of this machine": ("adding", "--device", "gpu"),
        "plain: unknown configuration; known are task_adding": ("adding", "--config", "plain"),
        "expected train-images-idx3-ubyte or": ("mnist", tmp_path),
        "found no ptb.char.train.txt": ("ptb", tmp_path),
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
