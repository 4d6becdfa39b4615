import os
import pickle
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from action_indrnn.data_prep import archive, layout
from action_indrnn.data_prep.bodies import Dropped
from action_indrnn.data_prep.clip import Clip
from action_indrnn.data_prep.set_writer import Writer

COLUMNS = {"label": 3, "setup": 1, "camera": 2, "subject": 4, "replication": 1}
META = {
    **{"dataset": "made", "title": "", "classes": ["a", "b", "c", "d"], "counts": {}, "protocols": {}},
    **{"preprocessing": {}, "layout": layout.load("ntu25").table()},
}


def clips() -> list[Clip]:
    random = np.random.default_rng(0)
    made = []
    for number, (bodies, length) in enumerate([(1, 7), (2, 4), (1, 1)]):
        present = random.random((bodies, length)) < 0.8
        present[0, 0] = True
        joints = random.normal(size=(bodies, length, 25, 3)).astype(np.float32)
        joints[~present] = 0
        made.append(Clip(f"clip{number}", joints, present))
    return made


def write(out: Path, *, overwrite: bool = False) -> None:
    with Writer(out, (25, 3), [*COLUMNS][1:], overwrite=overwrite) as writer:
        for clip in clips():
            writer.add(clip, COLUMNS, [Dropped(2**56 + 1, 5, "noise, with a comma")])
        writer.skip("bad", "raw/bad.skeleton", "bad.skeleton:3: expected, found 'x'")
        writer.finish(META)


def names(folder: Path) -> list[str]:
    return sorted(entry.name for entry in folder.iterdir())


def test_round_trip(tmp_path: Path) -> None:
    write(tmp_path / "set")
    prepared = archive.read(tmp_path / "set")
    assert names(tmp_path) == ["set"]
    assert names(tmp_path / "set") == sorted(archive.FILES)
    for number, clip in enumerate(clips()):
        found = prepared.clip(number)
        assert found.name == clip.name
        np.testing.assert_array_equal(found.joints, clip.joints)
        np.testing.assert_array_equal(found.present, clip.present)
    assert prepared.classes == META["classes"]
    assert prepared.column("start").tolist() == [0, 7, 15]
    assert len(prepared.joints) == 7 + 8 + 1  # no padding
    skipped = (tmp_path / "set" / "skipped.csv").read_text().splitlines()
    assert skipped[1] == "bad,raw/bad.skeleton,\"bad.skeleton:3: expected, found 'x'\""
    assert f"clip0,{2**56 + 1},5," in (tmp_path / "set" / "dropped.csv").read_text()


def test_a_set_pickles_without_its_joints(tmp_path: Path) -> None:
    write(tmp_path / "set")
    prepared = archive.read(tmp_path / "set")
    size = len(prepared.joints.tobytes())
    pickled = pickle.dumps(prepared)
    assert bytes(prepared.joints[0].tobytes()) not in pickled
    assert size
    np.testing.assert_array_equal(pickle.loads(pickled).clip(1).joints, clips()[1].joints)


def test_an_error_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt), Writer(tmp_path / "set", (25, 3), [*COLUMNS][1:]) as writer:
        writer.add(clips()[0], COLUMNS, [])
        raise KeyboardInterrupt
    assert names(tmp_path) == []


def test_a_wrong_joint_count_is_refused(tmp_path: Path) -> None:
    with (
        Writer(tmp_path / "set", (20, 3), [*COLUMNS][1:]) as writer,
        pytest.raises(ValueError, match=r"clip0: expected joints \(20, 3\)"),
    ):
        writer.add(clips()[0], COLUMNS, [])


def test_what_stands_there_is_kept(tmp_path: Path) -> None:
    write(tmp_path / "set")
    before = (tmp_path / "set" / "index.csv").read_bytes()
    with pytest.raises(ValueError, match="expected a new folder"):
        write(tmp_path / "set")
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "cat.png").touch()
    with pytest.raises(ValueError, match=r"to overwrite; the difference is cat\.png, "):
        write(tmp_path / "photos", overwrite=True)
    with (
        pytest.raises(KeyboardInterrupt),
        Writer(tmp_path / "set", (25, 3), [*COLUMNS][1:], overwrite=True) as writer,
    ):
        writer.add(clips()[0], COLUMNS, [])
        raise KeyboardInterrupt
    assert (tmp_path / "set" / "index.csv").read_bytes() == before
    assert names(tmp_path) == ["photos", "set"]


def test_overwrite_replaces_a_set(tmp_path: Path) -> None:
    write(tmp_path / "set")
    (tmp_path / "set" / "raw").mkdir()
    with pytest.raises(ValueError, match="nothing else to overwrite; the difference is raw"):
        write(tmp_path / "set", overwrite=True)
    (tmp_path / "set" / "raw").rmdir()
    (tmp_path / "set" / "skipped.csv").write_text("old")
    (tmp_path / "set" / "untrimmed.npz").write_text("of other clips")
    write(tmp_path / "set", overwrite=True)
    assert (tmp_path / "set" / "skipped.csv").read_text() != "old"
    assert names(tmp_path) == ["set"]
    assert names(tmp_path / "set") == sorted(archive.FILES)


def test_two_runs_do_not_replace_each_other(tmp_path: Path) -> None:
    with (
        pytest.raises(ValueError, match="found one that another run has made"),
        Writer(tmp_path / "set", (25, 3), [*COLUMNS][1:]) as writer,
    ):
        (tmp_path / "set").mkdir()
        (tmp_path / "set" / "theirs").touch()
        writer.finish(META)
    assert names(tmp_path / "set") == ["theirs"]


def test_leftovers_of_killed_runs_go_and_a_set_killed_in_replacing_returns(tmp_path: Path) -> None:
    dead = 2**22 + 1  # beyond Linux' largest process number
    write(tmp_path / "set")
    (tmp_path / f"set.partial-{dead}").mkdir()
    (tmp_path / "set").rename(tmp_path / f"set.old-{dead}")
    (tmp_path / "set.partial-notes").mkdir()  # not ours
    with pytest.raises(ValueError, match="expected a new folder"):
        write(tmp_path / "set")
    assert names(tmp_path) == ["set", "set.partial-notes"]
    assert len(archive.read(tmp_path / "set").index) == 3


def test_a_set_that_is_not_whole_is_refused(tmp_path: Path) -> None:
    write(tmp_path / "set")
    joints = tmp_path / "set" / "joints.npy"
    content = joints.read_bytes()
    joints.write_bytes(content[:-300])
    with pytest.raises(ValueError, match="damaged"):
        archive.read(tmp_path / "set")
    joints.write_bytes(b"")
    with pytest.raises(ValueError, match="damaged"):
        archive.read(tmp_path / "set")
    np.save(joints, np.zeros((3, 25, 3), np.float32))
    with pytest.raises(
        ValueError,
        match=r"joints\.npy: expected float32 of shape \(16, 25, 3\), found float32 of \(3, 25, 3\)",
    ):
        archive.read(tmp_path / "set")
    joints.unlink()
    with pytest.raises(ValueError, match=r"found no joints\.npy"):
        archive.read(tmp_path / "set")
    joints.write_bytes(content)
    meta = tmp_path / "set" / "meta.toml"
    meta.write_text(meta.read_text().replace("format = 1", "format = 2"))
    with pytest.raises(ValueError, match="of format 1, found 2"):
        archive.read(tmp_path / "set")
    meta.write_text("format = 1\n")
    with pytest.raises(ValueError, match=r"meta\.toml: expected format, dataset.*found no dataset, "):
        archive.read(tmp_path / "set")
    with pytest.raises(ValueError, match="expected a prepared set with"):
        archive.read(tmp_path)


@pytest.mark.parametrize(("column", "value"), [("label", 4), ("start", 8), ("bodies", 3), ("length", 0)])
def test_an_index_that_cannot_be_is_refused_with_its_line(tmp_path: Path, column: str, value: int) -> None:
    write(tmp_path / "set")
    index = pd.read_csv(tmp_path / "set" / "index.csv")
    index.loc[1, column] = value
    index.to_csv(tmp_path / "set" / "index.csv", index=False)
    with pytest.raises(ValueError, match=rf"index\.csv:3: expected .*{column} {value}"):
        archive.read(tmp_path / "set")


def test_in_a_container_every_run_has_the_same_number(tmp_path: Path) -> None:
    (tmp_path / f"set.partial-{os.getpid()}").mkdir()
    write(tmp_path / "set")
    assert names(tmp_path) == ["set"]


def test_a_name_with_brackets_has_its_leftovers_removed_too(tmp_path: Path) -> None:
    (tmp_path / f"set[1].partial-{2**22 + 1}").mkdir()
    write(tmp_path / "set[1]")
    assert names(tmp_path) == ["set[1]"]
