import csv
import json
import signal
import struct
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

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
    ours, theirs = (
        [float(row["cpu_seconds"]) for row in rows if row["network"] == name] for name in ("indrnn", "lstm")
    )
    # at the first validation after as much processor time, or when all steps are done
    assert theirs[-1] >= ours[-1] or len(theirs) == 2
    assert all(spent < ours[-1] for spent in theirs[:-1])
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
    ptb_texts(tmp_path)
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


def ptb_texts(folder: Path) -> Path:
    """A folder of made texts of both units."""
    for part in ("train", "valid", "test"):
        (folder / f"ptb.char.{part}.txt").write_text(" a b _ c \n" * 41)
        (folder / f"ptb.{part}.txt").write_text(" ab c \n" * 41)
    return folder


SHORT = "train.steps=12 train.every=3 train.learning_rate=0.01"
RUNS = {
    "adding": "data.length=12 data.grow_from=3 data.grown=9 data.test=20 model.units=5 train.batch=4",
    "mnist": "model.units=4 model.layers=2 model.dropout=0.3 data.validation=8 train.batch=8",
    "ptb": "model.units=4 model.layers=2 model.embedding=3 model.dropout=0.3 model.dropout_symbols=0.2 "
    "data.segment=7 data.varied=true data.offset=9 data.reset=0.3 data.test_batch=2 train.batch=4",
}


@pytest.mark.parametrize("task", RUNS)
@pytest.mark.parametrize("stops", [(1,), (4, 6, 11)])
def test_an_interrupted_run_goes_on_bit_for_bit(task: str, stops, mnist: Path, monkeypatch, capsys) -> None:
    data = {"adding": [], "mnist": [mnist], "ptb": [ptb_texts(mnist)]}[task]
    settings = [word for one in f"{RUNS[task]} {SHORT}".split() for word in ("--set", one)]
    arguments = [task, *data, *settings]
    assert call(monkeypatch, *arguments, "--out", mnist / "straight.json") == 0
    step, left = Trainer._step, [*stops]

    def interrupted(self: Trainer) -> float:
        if self.progress.step + 1 in left:
            left.remove(self.progress.step + 1)
            signal.raise_signal(signal.SIGTERM)  # this step is still done
        return step(self)

    monkeypatch.setattr(Trainer, "_step", interrupted)
    for at in stops:
        assert call(monkeypatch, *arguments, "--out", mnist / "again.json", "--resume") == 130
        assert f"stopped at step {at}; --resume goes on" in capsys.readouterr().err
    assert call(monkeypatch, *arguments, "--out", mnist / "again.json", "--resume") == 0
    assert f"goes on after step {stops[-1]}\n" in capsys.readouterr().out
    network = "indrnn" if task == "adding" else "plain"
    first, second = (torch.load(mnist / f"{name}.{network}.pt") for name in ("straight", "again"))
    assert first["progress"]["step"] == 12
    for state in (first, second):
        for timed in (state["progress"], *state["progress"]["points"]):
            del timed["seconds"], timed["cpu_seconds"]
    assert_same(first, second)


def assert_same(one: object, two: object) -> None:
    """Both are the same to the last bit, tensors and the insides of containers included."""
    assert type(one) is type(two)
    if isinstance(one, torch.Tensor):
        assert one.numpy().tobytes() == two.numpy().tobytes()
    elif isinstance(one, dict):
        assert one.keys() == two.keys()
        for key in one:
            assert_same(one[key], two[key])
    elif isinstance(one, list | tuple):
        assert len(one) == len(two)
        for pair in zip(one, two, strict=True):
            assert_same(*pair)
    else:
        assert one == two


def test_a_run_is_neither_overwritten_nor_mixed_with_another(tmp_path: Path, monkeypatch, capsys) -> None:
    out = ("--out", tmp_path / "curve.csv")
    assert call(monkeypatch, "adding", *TINY, *out) == 0
    before = (tmp_path / "curve.csv").read_bytes()
    for message, arguments in {
        "curve.indrnn.pt: holds a run; go on with it (--resume), or name another --out": (),
        "expected train.seed 1, found 0": ("--set", "train.seed=1", "--resume"),
        "expected number of threads 2, found 1": ("--threads", "2", "--resume"),
    }.items():
        capsys.readouterr()
        assert call(monkeypatch, "adding", *TINY, *out, *arguments) == 1
        assert message in capsys.readouterr().err
    assert (tmp_path / "curve.csv").read_bytes() == before
    assert call(monkeypatch, "adding", *TINY, "--resume") == 2
    assert "expected --out, which the checkpoint stands beside" in capsys.readouterr().err
    more = ("--set", "train.steps=6", "--resume")
    assert call(monkeypatch, "adding", *TINY, *out, *more) == 0
    assert [row.split(",")[1] for row in (tmp_path / "curve.csv").read_text().splitlines()[1:]] == list("246")


def test_an_interruption_leaves_the_curve(tmp_path: Path, monkeypatch, capsys) -> None:
    step = Trainer._step

    def interrupted(self: Trainer) -> float:
        if self.progress.step == 3:
            raise KeyboardInterrupt
        return step(self)

    monkeypatch.setattr(Trainer, "_step", interrupted)
    out = tmp_path / "curve.csv"
    assert call(monkeypatch, "adding", *TINY, "--out", out) == 130
    assert "stopped at step 3" in capsys.readouterr().err
    assert len(out.read_text().splitlines()) == 1 + 1
