"""Data sets that are not of `.skeleton` recordings, inspected."""

import json
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tomli_w

from action_indrnn import source_report
from action_indrnn.data_prep import exports
from action_indrnn.data_prep.archive import PreparedSet

from .test_cli import call
from .test_custom import TWELVE, recording
from .test_small_sets import RNG, rows, write
from .test_sources import make_zip


def report(monkeypatch: Any, capsys: Any, path: Path, *words: str) -> dict[str, Any]:
    assert call(monkeypatch, "inspect", path, *words) == 0
    assert capsys.readouterr().out.startswith(f"data set  {path}\n")
    assert call(monkeypatch, "inspect", path, *words, "--json") == 0
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    return found


@pytest.mark.parametrize("packed", [False, True])
def test_a_small_set_in_a_folder_or_an_archive(packed: bool, tmp_path: Path, monkeypatch, capsys) -> None:
    table = np.column_stack([RNG.uniform(-1, 1, (40, 3)), np.ones(40)])
    files = {
        "a01_s01_e01_skeleton3D.txt": rows(table),
        "a01_s02_e01_skeleton3D.txt": rows(np.tile(table, (2, 1))),
        "a02_s02_e01_skeleton3D.txt": "1 2 3",
        "a02_s03_e02_skeleton3D.txt": rows(table),  # on the list
        "again/a01_s01_e01_skeleton3D.txt": rows(table),
        "readme.txt": "",
        ".DS_Store": "",
    }
    path = tmp_path / ("a.zip" if packed else "a")
    if packed:
        make_zip(path, {name: text.encode() for name, text in files.items()})
    else:
        write(path, files)
    found = report(monkeypatch, capsys, path)
    assert (found["format"], found["clips"], found["clips_of_whole_set"]) == ("msr-action3d", 2, 557)
    assert found["missing"] == 555
    assert {name: count for name, count in found["by_class"].items() if count} == {"high arm wave": 2}
    assert (found["by_subject"], found["by_bodies"]) == ({"1": 1, "2": 1}, {"1": 2})
    assert found["lengths"] == {"min": 2, "median": 3, "max": 4, "frames": 6}
    assert found["protocols"]["xsub"] == {"train": 1, "test": 1}
    assert found["prepared_bytes_about"] == 6 * 20 * 3 * 4
    assert (found["unexpected"], len(found["hidden"])) == ([f"{path}/readme.txt"], 1)
    left = " ".join(found["not_usable"])
    assert len(found["not_usable"]) == 3
    for part in ("expected 4 numbers, found 3", "on the list", "expected each clip once"):
        assert part in left


def test_what_others_wrote(made_set: PreparedSet, tmp_path: Path, monkeypatch, capsys) -> None:
    exports.write(made_set, tmp_path / "a.pkl", "pyskl-pkl", "")
    exports.write(made_set, tmp_path / "a.npz", "ctr-gcn-npz", "xsub")
    exports.write(made_set, tmp_path / "a", "stgcn-npy", "xsub")
    (tmp_path / "a" / "notes.txt").write_text("x")
    names = {"a.pkl": "pyskl", "a.npz": "ctr-gcn-npz", "a": "stgcn-npy"}
    index = made_set.index
    for name, form in names.items():
        found = report(monkeypatch, capsys, tmp_path / name)
        assert (found["format"], found["clips"], found["note"]) == (form, 60, "")
        assert sum(found["by_class"].values()) == 60
        assert found["protocols"]["xsub" if form == "pyskl" else "split"] == {"train": 45, "test": 15}
        assert found["by_bodies"] == {str(n): int((index["bodies"] == n).sum()) for n in (1, 2)}
        assert found["lengths"]["frames"] == index["length"].sum()
        assert found["unexpected"] == ([f"{tmp_path}/a/notes.txt"] if name == "a" else [])
    monkeypatch.setattr(source_report, "LOOKED_INTO", 1000)
    for name, form in names.items():
        found = report(monkeypatch, capsys, tmp_path / name)
        assert (found["clips"], sum(found["by_class"].values())) == (60, 60)
        assert found["note"].startswith("by its lists alone")
        assert found["lengths"].get("frames") == (index["length"].sum() if form == "pyskl" else None)
        assert report(monkeypatch, capsys, tmp_path / name, "--read")["note"] == ""


def test_own_clips(tmp_path: Path, monkeypatch, capsys) -> None:
    own = tmp_path / "own"
    own.mkdir()
    (own / "layout.toml").write_text(tomli_w.dumps(TWELVE))
    for name in ("a", "b", "spare"):
        np.save(own / f"{name}.npy", recording("wave", 7))
    (own / "bad.npy").write_bytes(b"no array")
    (own / "clips.csv").write_text("file,label,subject\na.npy,x,1\nb.npy,y,1\nbad.npy,y,2\ngone.npy,y,2\n")
    found = report(monkeypatch, capsys, own)
    assert (found["format"], found["clips"], found["layout"]["joints"]) == ("custom", 2, 12)
    assert (found["by_subject"], found["unexpected"]) == ({"1": 2}, [f"{own}/spare.npy"])
    assert [reason.split(": ")[0] for reason in found["not_usable"]] == [f"{own}/bad.npy", f"{own}/gone.npy"]
    pack = tmp_path / "pack.npz"
    (tmp_path / "pack.toml").write_text(tomli_w.dumps(TWELVE))
    np.savez(pack, joints=np.stack([recording("wave", 7)] * 3)[:, :, None], label=np.array([1, 2, 2]))
    assert report(monkeypatch, capsys, pack)["by_class"] == {"1": 1, "2": 2}
    monkeypatch.setattr(source_report, "LOOKED_INTO", 1000)
    found = report(monkeypatch, capsys, pack)
    assert found["arrays"] == {"joints": "float64 (3, 7, 1, 12, 3)", "label": "int64 (3,)"}
    assert report(monkeypatch, capsys, pack, "--read")["clips"] == 3


def test_what_ends_early_is_counted_so_far_and_named(
    made_set: PreparedSet, tmp_path: Path, monkeypatch, capsys
) -> None:
    exports.write(made_set, tmp_path / "a", "stgcn-npy", "xsub")
    data = tmp_path / "a" / "val_data_joint.npy"
    with data.open("rb+") as file:
        file.truncate(data.stat().st_size // 2)
    found = report(monkeypatch, capsys, tmp_path / "a")
    assert 45 < found["clips"] < 60
    assert "expected 15 items, found the end of the data" in found["problems"][0]
    data.unlink()
    found = report(monkeypatch, capsys, tmp_path / "a")
    assert (found["clips"], found["problems"]) == (
        45,
        [f"{data.parent}: expected the joints in val_data_joint.npy or val_data.npy, found neither"],
    )


def test_a_file_of_ten_gigabytes_is_named_and_not_read(tmp_path: Path, monkeypatch, capsys) -> None:
    table = np.column_stack([RNG.uniform(-1, 1, (40, 3)), np.ones(40)])
    write(tmp_path / "a", {"a01_s01_e01_skeleton3D.txt": rows(table)})
    with (tmp_path / "a" / "a01_s02_e01_skeleton3D.txt").open("wb") as file:
        file.truncate(10**10)
    found = report(monkeypatch, capsys, tmp_path / "a")
    assert (found["clips"], found["disk_bytes"] < 10**6) == (1, True)
    assert found["prepared_bytes_about"] == 2 * 20 * 3 * 4
    assert "expected at most 67108864 bytes, found 10000000000" in found["not_usable"][0]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.zip", b"PK no archive", "a.zip: expected a zip archive"),
        (
            "a.pkl",
            pickle.dumps(print),
            "a.pkl: not a pickle of plain values and arrays: expected plain values",
        ),
        ("a.pkl", b"", "a.pkl: not a pickle"),
        ("a.npz", b"PK", "a.npz: expected an .npz archive"),
    ],
)
def test_what_cannot_be_opened_is_status_1(
    name: str, content: bytes, message: str, tmp_path: Path, monkeypatch, capsys
) -> None:
    (tmp_path / name).write_bytes(content)
    assert call(monkeypatch, "inspect", tmp_path / name) == 1
    assert message in capsys.readouterr().err


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (("joints", "labels"), "found joints, labels; is 'labels' meant to be 'label'?"),
        (("x_tran", "y_train"), "found x_tran, y_train; is 'x_tran' meant to be 'x_train'?"),
        (("joints", "names"), "expected --layout"),
    ],
)
def test_arrays_of_misspelt_names(
    names: tuple[str, ...], message: str, tmp_path: Path, monkeypatch, capsys
) -> None:
    np.savez(tmp_path / "a.npz", **dict.fromkeys(names, np.zeros(3)))
    assert call(monkeypatch, "inspect", tmp_path / "a.npz") == 1
    assert message in capsys.readouterr().err


@pytest.mark.parametrize(
    ("stray", "name"),
    [("clips.csv", "custom"), ("train_label.pkl", "stgcn-npy"), ("meta.toml", "a prepared set")],
)
def test_a_stray_file_beside_recordings_is_a_problem_alone(
    stray: str, name: str, tmp_path: Path, monkeypatch, capsys
) -> None:
    write(tmp_path, {"S001C001P001R001A001.skeleton": "1\n0\n", stray: "x"})
    assert call(monkeypatch, "inspect", tmp_path, "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["kind"], found["recordings"]) == ("raw recordings", 1)
    assert found["problems"][-1].startswith(f"not read as {name}: {tmp_path}")
    (tmp_path / "S001C001P001R001A001.skeleton").unlink()
    assert call(monkeypatch, "inspect", tmp_path) == 1


def test_columns_of_words_and_numbers_and_notes(tmp_path: Path, monkeypatch, capsys) -> None:
    points = np.ones((1, 5, 25, 3), np.float32) * np.arange(1, 6)[:, None, None]
    rows = [
        {"frame_dir": f"c{n}", "label": 0, "total_frames": 5, "keypoint": points, "day": day}
        for n, day in enumerate((1, "1", "b", 2))
    ]
    content = {"annotations": rows, "columns": ["day"], "split": {"x_train": ["other"], "x_val": ["c0"]}}
    (tmp_path / "a.pkl").write_bytes(pickle.dumps(content))
    found = report(monkeypatch, capsys, tmp_path / "a.pkl")
    assert found["by_day"] == {"1": 2, "2": 1, "b": 1}
    assert found["notes"] == [f"warning: {tmp_path}/a.pkl: split: of x no clip here trains"]


def test_several_data_sets_in_one_folder_are_named(tmp_path: Path, monkeypatch, capsys) -> None:
    write(tmp_path, {"a01_s01_e01_skeleton3D.txt": "", "s01s02/01/001/skeleton_pos.txt": ""})
    assert call(monkeypatch, "inspect", tmp_path, "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert found["data_sets"] == [f"{tmp_path}: sbu", f"{tmp_path}: msr-action3d"]
    assert found["note"].endswith("inspect each data set alone")
