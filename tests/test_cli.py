import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors import safe_open

from action_indrnn import cli
from action_indrnn.data_prep import archive, benchmark
from action_indrnn.data_prep.archive import PreparedSet

from .test_original import plain_weights

TINY = ["model.units=16", "model.blocks=1", "train.batch=8", "train.max_epochs=2", "evaluate.passes=2"]
SET = [word for setting in TINY for word in ("--set", setting)]


def call(monkeypatch: pytest.MonkeyPatch, *arguments: object) -> int:
    """The exit status of a command line."""
    monkeypatch.setattr(sys, "argv", ["action-indrnn", *map(str, arguments)])
    with pytest.raises(SystemExit) as leaving:
        cli.main()
    return leaving.value.code


@pytest.fixture(scope="module")
def run_folder(made_set: PreparedSet, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("cli") / "run"
    with pytest.MonkeyPatch.context() as monkeypatch:
        assert (
            call(monkeypatch, "train", "residual", made_set.path, "--protocol", "xsub", "--out", out, *SET)
            == 0
        )
    return out


def test_the_walk(made_raw: Path, run_folder: Path, tmp_path: Path, monkeypatch, capsys) -> None:
    out = tmp_path / "set"
    assert call(monkeypatch, "preprocess", "made", made_raw, out) == 0
    assert "60 clips of made data" in capsys.readouterr().out
    model = run_folder / "model.safetensors"
    report = tmp_path / "report.json"
    assert call(monkeypatch, "evaluate", model, out, "--protocol", "xsub", "--json", report) == 0
    text = capsys.readouterr().out
    found = json.loads(report.read_text())
    assert f"top-1 {found['top1']:.2%}, top-5 {found['top5']:.2%}" in text
    assert "confusion" in text
    trained = json.loads((run_folder / "report.json").read_text())
    assert {key: found[key] for key in trained} == trained  # what training measured is what evaluate measures
    clips = sorted(made_raw.iterdir())[:2]
    assert call(monkeypatch, "classify", model, *clips, "--top", 2) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [lines[0], lines[3]] == list(map(str, clips))
    assert len(lines) == 6
    assert call(monkeypatch, "classify", model, clips[0], "--json") == 0
    answer = json.loads(capsys.readouterr().out)
    assert answer["name"] == clips[0].stem
    assert sum(action["probability"] for action in answer["actions"]) == pytest.approx(1)


def test_a_bad_clip_among_good_ones(
    made_raw: Path, run_folder: Path, tmp_path: Path, monkeypatch, capsys
) -> None:
    good, bad = min(made_raw.iterdir()), tmp_path / "bad.skeleton"
    bad.write_bytes(good.read_bytes()[:5000])
    model = run_folder / "model.safetensors"
    assert call(monkeypatch, "classify", model, bad, good) == 1
    found = capsys.readouterr()
    assert str(good) in found.out
    assert found.err.startswith(f"action-indrnn: {bad}:")
    assert call(monkeypatch, "classify", model, bad, good, "--json") == 1
    answers = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert ["actions" in answer for answer in answers] == [True, False]
    assert answers[1]["error"].startswith(f"{bad}:")


def test_bad_input_is_one_line_and_status_1(
    made_raw: Path, made_set: PreparedSet, run_folder: Path, tmp_path, monkeypatch, capsys
) -> None:
    model, prepared = run_folder / "model.safetensors", made_set.path
    xsub = (prepared, "--protocol", "xsub", "--out")
    for message, arguments in {
        "expected a data set out of": ("preprocess", "ntu61", tmp_path, tmp_path / "set"),
        "expected .skeleton recordings, found none": ("preprocess", "ntu60", tmp_path, tmp_path / "set"),
        "found nothing there": ("classify", model, tmp_path / "a.skeleton"),
        "expected a model file": ("classify", prepared / "index.csv", made_raw),
        "expected a prepared set": ("evaluate", model, tmp_path, "--protocol", "xsub"),
        "expected a protocol out of": (
            "train",
            "plain",
            prepared,
            "--protocol",
            "cross",
            "--out",
            tmp_path / "r",
        ),
        "expected a protocol out of ['xsub', 'xview', 'xset'], found 'foo'": (
            "evaluate",
            model,
            prepared,
            "--protocol",
            "foo",
        ),
        "expected a file in a folder that exists": (
            "evaluate",
            model,
            prepared,
            "--protocol",
            "xsub",
            "--json",
            tmp_path / "no" / "a.json",
        ),
        "training clips are among the test clips": ("evaluate", model, prepared, "--protocol", "xview"),
        "did you mean 'train.learning_rate'": (
            "train",
            "plain",
            *xsub,
            tmp_path / "r",
            "--set",
            "train.lrr=1",
        ),
        "did you mean 'residual'": ("train", "residul", *xsub, tmp_path / "r"),
        "holds a run": ("train", "residual", *xsub, run_folder),
        "expected a device of this machine": ("train", "plain", *xsub, tmp_path / "r", "--device", "gpu"),
    }.items():
        assert call(monkeypatch, *arguments) == 1, message
        found = capsys.readouterr()
        assert message in found.err
        assert found.err.startswith("action-indrnn: ")
        assert found.err.count("\n") == 1
    assert not (tmp_path / "r").exists()


def test_bad_usage_is_status_2(monkeypatch, capsys) -> None:
    assert call(monkeypatch, "train", "plain") == 2
    assert call(monkeypatch, "dance") == 2
    assert call(monkeypatch, "classify", "model", "clip", "--top", "none") == 2
    assert "Usage" in capsys.readouterr().err


def test_another_set_s_classes_are_named_by_the_difference(
    made_set: PreparedSet, run_folder: Path, tmp_path, monkeypatch, capsys
) -> None:
    other = tmp_path / "set"
    other.mkdir()
    for name in archive.FILES:
        (other / name).write_bytes((made_set.path / name).read_bytes())
    meta = (other / "meta.toml").read_text(encoding="utf-8")
    (other / "meta.toml").write_text(meta.replace('"lower an arm"', '"drop an arm"'), encoding="utf-8")
    assert call(monkeypatch, "evaluate", run_folder / "model.safetensors", other, "--protocol", "xsub") == 1
    error = capsys.readouterr().err
    assert "lower an arm" in error
    assert "drop an arm" in error
    assert "raise an arm" not in error


def test_several_seeds_give_mean_and_deviation(made_set: PreparedSet, tmp_path, monkeypatch, capsys) -> None:
    out = tmp_path / "runs"
    assert call(
        monkeypatch, "train", "residual", made_set.path, "--protocol", "xsub", "--out", out, "--seeds", 2,
        *SET
    ) == 0  # fmt: skip
    top1 = [json.loads((out / f"seed-{seed}" / "report.json").read_text())["top1"] for seed in (0, 1)]
    text = capsys.readouterr().out
    assert (
        f"{np.mean(top1):.2%} +- {np.std(top1, ddof=1):.2%} (mean and standard deviation of 2 seeds)" in text
    )
    with safe_open(out / "seed-1" / "model.safetensors", "pt") as file:
        assert json.loads(file.metadata()["action_indrnn"])["seed"] == 1


def test_help_loads_nothing_heavy() -> None:
    program = (
        "import sys, action_indrnn.cli as c\n"
        "sys.argv = ['action-indrnn', '--help']\n"
        "try: c.main()\n"
        "except SystemExit as leaving: assert leaving.code == 0\n"
        "heavy = {'torch', 'numpy', 'pandas', 'scipy', 'pydantic', 'tqdm'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True, capture_output=True)


def test_make_data_refuses_a_folder_with_recordings(made_raw: Path, monkeypatch, capsys) -> None:
    assert call(monkeypatch, "make-data", made_raw) == 1
    assert str(made_raw) in capsys.readouterr().err


def test_configurations_are_listed(monkeypatch, capsys) -> None:
    assert call(monkeypatch, "configs") == 0
    text = capsys.readouterr().out
    assert "dense_fa_geo" in text
    assert "log 8655" not in text
    assert call(monkeypatch, "configs", "--notes") == 0
    assert "log 8655" in capsys.readouterr().out


def test_the_original_s_weights_are_imported(tmp_path: Path, made_raw: Path, monkeypatch, capsys) -> None:
    weights, model = tmp_path / "indrnn_action_model", tmp_path / "model.safetensors"
    torch.save(plain_weights(2, 4, 150, 60), weights)
    size = ["--set", "model.layers=2", "--set", "model.units=4"]
    command = ["import-checkpoint", weights, "plain", model, "--protocol", "xsub", *size]
    assert call(monkeypatch, *command) == 0
    assert "plain IndRNN, 948 parameters" in capsys.readouterr().out
    assert call(monkeypatch, "classify", model, min(made_raw.iterdir())) == 0
    assert len(capsys.readouterr().out.splitlines()) == 6
    assert call(monkeypatch, *command) == 1
    assert "expected a new file in a folder that exists" in capsys.readouterr().err


def test_a_set_travels_to_another_format_and_back(
    made_set: PreparedSet, tmp_path: Path, monkeypatch, capsys
) -> None:
    file, back = tmp_path / "a.npz", tmp_path / "back"
    words = ("export-data", made_set.path, file, "--format", "ctr-gcn-npz")
    assert call(monkeypatch, *words) == 1
    assert "ctr-gcn-npz: expected a --protocol, one of ['xsub', 'xview', 'xset']" in capsys.readouterr().err
    assert call(monkeypatch, *words, "--protocol", "camera=1") == 0
    assert f"{file}: 60 clips as ctr-gcn-npz" in capsys.readouterr().out
    assert call(monkeypatch, "preprocess", "ctr-gcn-npz", file, back) == 0
    assert "split         40 training, 20 test" in capsys.readouterr().out


def test_the_recipe_of_the_scripts_is_refused_where_there_is_none(
    tmp_path: Path, monkeypatch, capsys
) -> None:
    assert call(monkeypatch, "preprocess", "sbu", tmp_path, tmp_path / "set", "--recipe", "ctr-gcn") == 1
    assert "the recipe ctr-gcn: expected .skeleton recordings" in capsys.readouterr().err


def test_bench_data_prints_its_lines(monkeypatch, capsys) -> None:
    monkeypatch.setattr(benchmark, "run", lambda *numbers: [f"ran {numbers}"])
    assert call(monkeypatch, "bench", "data", "--clips", 60, "--rounds", 1, "--seed", 3, "--workers", 1) == 0
    assert capsys.readouterr().out == "ran (60, 1, 3, [1], None, None)\n"
