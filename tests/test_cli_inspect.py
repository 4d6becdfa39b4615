import json
from pathlib import Path

import numpy as np
import pytest

from action_indrnn.config import Data
from action_indrnn.data_prep.archive import PreparedSet

from .conftest import person
from .test_cli import call, run_folder  # noqa: F401 # a fixture


def test_every_kind(made_raw: Path, made_set: PreparedSet, run_folder: Path, monkeypatch, capsys) -> None:  # noqa: F811
    for path, kind in (
        (made_raw, "raw recordings"),
        (made_set.path, "prepared set"),
        (min(made_raw.iterdir()), "recording"),
        (run_folder / "model.safetensors", "model file"),
    ):
        assert call(monkeypatch, "inspect", path, "--json") == 0
        assert json.loads(capsys.readouterr().out)["kind"] == kind
        assert call(monkeypatch, "inspect", path) == 0
        assert capsys.readouterr().out.startswith(f"{kind}  {path}\n")


def test_pictures(made_raw: Path, made_set: PreparedSet, tmp_path: Path, monkeypatch, capsys) -> None:
    pytest.importorskip("matplotlib")
    clip = min(made_raw.iterdir())
    assert call(monkeypatch, "inspect", clip, "--picture", tmp_path / "a.png", "--frames", 3) == 0
    one = tmp_path / "b.png"
    assert call(monkeypatch, "inspect", made_set.path, "--clip", clip.stem, "--picture", one) == 0
    assert (tmp_path / "a.png").exists()
    assert one.exists()
    for message, arguments in {
        "expected .png, .svg, .gif in a folder that exists": (clip, "--picture", tmp_path / "a.bmp"),
        "expected --clip with one of its 60 names, found 'x'": (
            made_set.path,
            "--clip",
            "x",
            "--picture",
            one,
        ),
        "to draw": (made_raw, "--picture", one),
        "found nothing there": (tmp_path / "none",),
    }.items():
        assert call(monkeypatch, "inspect", *arguments) == 1
        assert message in capsys.readouterr().err


@pytest.mark.parametrize("suffix", [".npy", ".jsonl"])
def test_clips_of_other_formats(tmp_path: Path, suffix: str, monkeypatch, capsys) -> None:
    pytest.importorskip("matplotlib")
    joints = np.stack([person(0.1 * frame) for frame in range(4)])
    path, drawn = tmp_path / f"a{suffix}", tmp_path / "a.png"
    if suffix == ".npy":
        np.save(path, joints)
    else:
        path.write_text("\n".join(json.dumps({"joints": pose}) for pose in joints.tolist()))
    assert call(monkeypatch, "inspect", path, "--layout", "ntu25", "--picture", drawn, "--json") == 0
    report = json.loads(capsys.readouterr().out)
    assert (report["kind"], report["frames"], report["layout"]["joints"]) == ("clip", 4, 25)
    (actor,) = report["actors"]
    assert actor["largest_step"] == pytest.approx(0.1, abs=1e-6)
    assert drawn.stat().st_size > 5000
    assert call(monkeypatch, "inspect", path) == 1
    assert f"{path}: expected --layout with one of azure32, " in capsys.readouterr().err
    assert call(monkeypatch, "inspect", path, "--layout", "kinect20") == 1
    assert "expected the 20 joints of kinect20" in capsys.readouterr().err


def test_a_set_that_is_not_whole_is_status_1(
    made_set: PreparedSet, tmp_path: Path, monkeypatch, capsys
) -> None:
    copy = tmp_path / "set"
    copy.mkdir()
    for file in made_set.path.iterdir():
        (copy / file.name).write_bytes(file.read_bytes())
    (copy / "skipped.csv").write_text("name,source,reason\na,b,c\n")
    assert call(monkeypatch, "inspect", copy) == 1
    assert "skipped.csv: expected the 0 skipped of meta.toml, found 1" in capsys.readouterr().out


def test_a_picture_for_each_augmentation(made_raw: Path, tmp_path: Path, monkeypatch, capsys) -> None:
    pytest.importorskip("matplotlib")
    out = tmp_path / "augmentations"
    assert call(monkeypatch, "inspect", min(made_raw.iterdir()), "--augmentations", out) == 0
    # A splice and a graft take two clips; the others are no augmentations.
    others = {
        "frames",
        "frames_deviation",
        "sampling",
        "align",
        "facing",
        "hold",
        "streams",
        "follow",
        "pause",
    }
    settings = set(Data.model_fields) - others - {"splice", "graft"}
    assert {file.stem for file in out.iterdir()} == settings
