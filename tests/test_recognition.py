"""What lies at a path, told from names and heads."""

import pickle
from pathlib import Path

import numpy as np
import pytest

from action_indrnn.data_prep import recognition, survey
from action_indrnn.data_prep.recognition import Known

from .test_sources import make_zip


def test_files_by_suffix_and_by_what_an_archive_holds(tmp_path: Path) -> None:
    (tmp_path / "a.pkl").write_bytes(pickle.dumps({}))
    np.savez(tmp_path / "theirs.npz", x_train=0, y_train=0, x_test=0, y_test=0)
    np.savez(tmp_path / "own.npz", joints=0, label=0)
    np.savez(tmp_path / "clip.npz", joints=0)
    (tmp_path / "damaged.npz").write_bytes(b"PK")
    found = {path.name: recognition.of_path(path) for path in tmp_path.iterdir()}
    names = {"a.pkl": "pyskl", "theirs.npz": "ctr-gcn-npz", "own.npz": "custom"}
    assert found == {**names, "clip.npz": "", "damaged.npz": ""}


@pytest.mark.parametrize(
    ("file", "name"), [("clips.csv", "custom"), ("train_label.pkl", "stgcn-npy"), ("a", "")]
)
def test_folders_by_what_stands_at_their_top(tmp_path: Path, file: str, name: str) -> None:
    (tmp_path / file).write_bytes(b"")
    assert recognition.of_path(tmp_path) == name


def test_what_lies_below_a_folder(tmp_path: Path) -> None:
    for file in (
        *("own/clips.csv", "theirs/train_label.pkl", "theirs/val_label.pkl", "set/meta.toml", "a.pkl"),
        *(
            "raw/a01_s01_e01_skeleton3D.txt",
            "raw/a01_s02_e01_skeleton3D.txt",
            ".hidden/clips.csv",
            "notes.txt",
        ),
    ):
        (tmp_path / file).parent.mkdir(exist_ok=True)
        (tmp_path / file).write_bytes(b"")
    make_zip(tmp_path / "b.zip", {"any/s01s02/01/001/skeleton_pos.txt": b"", "any/clips.csv": b""})
    assert sorted(recognition.below(survey.survey(tmp_path))) == [
        Known("custom", tmp_path / "own", 1),
        Known("msr-action3d", tmp_path, 2),
        Known("prepared set", tmp_path / "set", 1),
        Known("pyskl", tmp_path / "a.pkl", 1),
        Known("sbu", tmp_path, 1),
        Known("stgcn-npy", tmp_path / "theirs", 1),
    ]
