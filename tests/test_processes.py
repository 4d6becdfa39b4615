"""Two processes of torchrun against one: the same batch, the same numbers; files from the first alone."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from action_indrnn import config, evaluation, models, processes
from action_indrnn.config import Config
from action_indrnn.data_prep import archive
from action_indrnn.data_prep.archive import PreparedSet
from action_indrnn.dataset import Clips
from action_indrnn.training import Run

SETTINGS = (
    "model.units=16", "model.blocks=1", "train.batch=8", "train.accumulate=2", "train.max_epochs=2",
    "data.rotation=20",
    "train.learning_rate=1e-5", "train.weight_average=0.9", "train.validation_passes=2", "evaluate.passes=3",
)  # fmt: skip
PLAIN = ("model.units=8", "model.layers=1", "model.dropout=0", *SETTINGS[2:5])
BESIDE = (*PLAIN, "beside.kind=residual", "beside.units=8", "beside.blocks=1", "beside.dropout=0")
STEPS = 3
COMPILER = shutil.which("g++")


def settings(*overrides: str) -> Config:
    return config.load("residual", (*SETTINGS, *overrides))


def some_steps(run: Run) -> dict[str, list[float]]:
    """What a few steps of all processes find and leave behind."""
    run.model.train()
    found: dict[str, list[float]] = {"sums": []}
    for step in range(STEPS):
        found["sums"] += processes.total(run._step(run.split.train[8 * step : 8 * step + 8], step)).tolist()
    for name, parameter in run.model.named_parameters():
        found[f"gradient of {name}"] = parameter.grad.flatten().tolist()
    for name, buffer in run.model.named_buffers():
        found[name] = buffer.flatten().tolist()
    return found


def fixed_scores(prepared: PreparedSet) -> np.ndarray:
    torch.manual_seed(0)
    model = models.build(settings().model, 150, 14)
    options = {"frames": 20, "passes": 3, "batch": 9}  # 3 clips at once: 15 test clips are 5 batches
    return evaluation.scores(model, Clips.of_set(prepared), np.arange(44, 60), **options)


def two_processes(folder: Path) -> None:
    """What each of two processes runs; leaves its findings in a file of its own."""
    prepared = archive.read(folder / "set")
    with processes.group("cpu"):
        me = processes.rank()
        found: dict[str, object] = {"count": processes.count()}
        found |= some_steps(Run(settings(), prepared, "xsub", folder / "none"))
        found["beside"] = some_steps(Run(config.load("plain", BESIDE), prepared, "xsub", folder / "none"))
        np.save(folder / f"scores-{me}.npy", fixed_scores(prepared))
        if COMPILER:
            for name in ("plain", "compiled"):
                plain = config.load("plain", (*PLAIN, f"train.compile={str(name == 'compiled').lower()}"))
                found[name] = some_steps(Run(plain, prepared, "xsub", folder / "none"))

        run = Run(settings(), prepared, "xsub", folder / f"run-of-{me}")
        run.start()
        found["top1"] = run.train().report.top(1)
        try:
            Run(settings(), prepared, "xsub", folder / f"run-of-{me}").start()
        except ValueError as error:
            found["refused"] = str(error)
        resumed = Run(settings("train.max_epochs=3"), prepared, "xsub", folder / f"run-of-{me}")
        resumed.resume()
        found["resumed at"] = resumed.progress.epoch
        try:
            Run(settings("train.batch=6"), prepared, "xsub", folder / "none")
        except ValueError as error:
            found["batch"] = str(error)

        stopped = Run(settings("train.max_epochs=1000"), prepared, "xsub", folder / f"stopped-of-{me}")
        stopped.start()
        try:  # one alone is asked to stop
            stopped.train(say=lambda line: os.kill(os.getpid(), 15) if me == 1 else None)
        except KeyboardInterrupt:
            found["stopped at"] = [stopped.progress.epoch, stopped.progress.step]
        (folder / f"found-{me}.json").write_text(json.dumps(found))


@pytest.fixture(scope="module")
def folder(made_set: PreparedSet, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("processes")
    (out / "set").symlink_to(made_set.path)
    command = [sys.executable, "-W", "error", "-m", "torch.distributed.run", "--standalone"]
    program = subprocess.run(
        [*command, "--nproc-per-node", "2", __file__, str(out)],
        env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONWARNINGS": "error,ignore::DeprecationWarning"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert program.returncode == 0, program.stderr
    return out


@pytest.fixture(scope="module")
def found(folder: Path) -> list[dict]:
    return [json.loads((folder / f"found-{rank}.json").read_text()) for rank in range(2)]


def test_two_processes_learn_what_one_does(made_set: PreparedSet, found: list[dict], tmp_path: Path) -> None:
    assert found[0]["count"] == 2
    check_same(found, some_steps(Run(settings(), made_set, "xsub", tmp_path)))
    beside = some_steps(Run(config.load("plain", BESIDE), made_set, "xsub", tmp_path))
    check_same([one["beside"] for one in found], beside)


def check_same(found: list[dict], alone: dict[str, list[float]]) -> None:
    for name, values in alone.items():
        scale = max(map(abs, values))
        np.testing.assert_allclose(found[0][name], values, rtol=1e-4, atol=1e-5 * scale, err_msg=name)
        np.testing.assert_array_equal(found[0][name], found[1][name], err_msg=name)


@pytest.mark.skipif(COMPILER is None, reason="no g++ on PATH for torch.compile")
def test_two_processes_learn_compiled_too(found: list[dict]) -> None:
    for name, values in found[0]["plain"].items():
        scale = max(map(abs, values))
        np.testing.assert_allclose(
            found[0]["compiled"][name], values, rtol=1e-4, atol=1e-5 * scale, err_msg=name
        )
    assert found[0]["compiled"] == found[1]["compiled"]


def test_two_processes_evaluate_to_the_last_digit(made_set: PreparedSet, folder: Path) -> None:
    alone = fixed_scores(made_set)
    assert np.abs(alone).min(axis=(0, 2)).all()  # every clip has its logits
    for rank in range(2):
        np.testing.assert_array_equal(np.load(folder / f"scores-{rank}.npy"), alone)


def test_the_first_process_alone_writes(folder: Path, found: list[dict]) -> None:
    assert {path.name for path in folder.glob("run-of-*")} == {"run-of-0"}
    report = json.loads((folder / "run-of-0" / "report.json").read_text())
    assert report["top1"] == found[0]["top1"] == found[1]["top1"]
    assert len(report["per_clip"]) == 15
    assert all("holds a run" in one["refused"] for one in found)
    assert all("expected a multiple of 2 parts x 2 processes, found 6" in one["batch"] for one in found)


def test_a_run_goes_on_with_another_number_of_processes(
    made_set: PreparedSet, folder: Path, found: list[dict]
) -> None:
    assert [one["resumed at"] for one in found] == [2, 2]
    alone = Run(settings("train.max_epochs=3"), made_set, "xsub", folder / "run-of-0")
    alone.resume()
    assert alone.progress.epoch == 2
    assert alone.train().epochs == 3


def test_one_process_asked_to_stop_stops_all(made_set: PreparedSet, folder: Path, found: list[dict]) -> None:
    assert found[0]["stopped at"] == found[1]["stopped at"]
    assert not (folder / "stopped-of-1").exists()
    resumed = Run(settings("train.max_epochs=1000"), made_set, "xsub", folder / "stopped-of-0")
    resumed.resume()
    assert [resumed.progress.epoch, resumed.progress.step] == found[0]["stopped at"]


if __name__ == "__main__":
    torch.set_num_threads(1)
    two_processes(Path(sys.argv[1]))
