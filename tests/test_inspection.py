import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from action_indrnn import inspection
from action_indrnn.data_prep import survey, untrimmed
from action_indrnn.data_prep.archive import PreparedSet
from action_indrnn.data_prep.untrimmed import Action, Untrimmed

from .conftest import person, skeleton_text
from .test_sources import make_zip


@pytest.fixture
def copy(made_set: PreparedSet, tmp_path: Path) -> Path:
    return Path(shutil.copytree(made_set.path, tmp_path / "set"))


def test_a_whole_set_has_no_problems(made_set: PreparedSet) -> None:
    report = inspection.set_report(made_set.path)
    assert report["problems"] == []
    assert report["clips"] == 60
    assert report["by_camera"] == {"1": 20, "2": 20, "3": 20}
    assert sum(report["by_class"].values()) == 60
    assert report["protocols"]["xview"] == {"train": 40, "test": 20}
    assert report["joints"]["rows"] == len(made_set.joints)
    assert report["memory_bytes"] == made_set.joints.nbytes
    text = inspection.as_text(report)
    assert "xview (train 40, test 20)" in text
    assert max(map(len, text.splitlines())) <= 110


def test_damage_to_a_set_is_named(copy: Path, made_set: PreparedSet) -> None:
    joints = np.load(copy / "joints.npy")
    length = int(made_set.index["length"][0])
    joints[:length] = np.nan
    joints[length * int(made_set.index["bodies"][0]) + 3, 4, 1] = np.nan
    joints[-1, 0, 0] = 900
    np.save(copy / "joints.npy", joints)
    with (copy / "skipped.csv").open("a") as file:
        file.write("S1,S1,x: too short\n")
    meta = copy / "meta.toml"
    assert meta.read_text().count("clips = 60") == 1
    meta.write_text(meta.read_text().replace("clips = 60", "clips = 61"))
    torn, wild, unseen, clips, skipped = inspection.set_report(copy)["problems"]
    assert "found 1 rows with some NaN" in torn
    assert "found 1 others, up to 900" in wild
    assert unseen.endswith(f"never seen, the first {made_set.index['name'][0]}")
    assert clips == "index.csv: expected the 61 clips of meta.toml, found 60"
    assert skipped == "skipped.csv: expected the 0 skipped of meta.toml, found 1"


def test_long_recordings_belong_to_a_set_and_are_checked(copy: Path) -> None:
    def one(**changes: Any) -> Untrimmed:
        told = {"joints": np.ones((9, 1, 25, 3), np.float32), "actions": [Action(1, 4, 0)]} | changes
        return Untrimmed("r", columns={"subject": 1}, **told)

    untrimmed.write(copy, [one(), one()])
    report = inspection.set_report(copy)
    assert (report["unexpected"], report["problems"]) == ([], [])
    assert report["long_recordings"] == {"recordings": 2, "frames": 18, "actions": 2}
    file = copy / untrimmed.FILE
    content = bytearray(file.read_bytes())
    for wrong, message in (
        ([one(actions=[Action(4, 10, 0)])], "expected actions within 9 frames"),
        ([one(actions=[Action(4, 9, 99)])], "expected actions within 9 frames and 14 classes"),
        ([one(joints=np.ones((9, 1, 20, 3), np.float32))], "expected joints"),
    ):
        untrimmed.write(copy, wrong)
        (problem,) = inspection.set_report(copy)["problems"]
        assert message in problem
    content[len(content) // 2] ^= 1
    for damaged in (content, content[: len(content) // 2]):
        file.write_bytes(bytes(damaged))
        (problem,) = inspection.set_report(copy)["problems"]
        assert problem.startswith(f"{file}: damaged")


def test_protocols_that_contradict_the_index_and_names_that_repeat(copy: Path) -> None:
    index = copy / "index.csv"
    lines = index.read_text().splitlines()
    head, first, second = lines[0].split(","), lines[1].split(","), lines[2].split(",")
    second[head.index("name")] = first[head.index("name")]
    second[head.index("camera")] = "2"  # was 1
    index.write_text("\n".join([lines[0], lines[1], ",".join(second), *lines[3:]]) + "\n")
    divided, twice = inspection.set_report(copy)["problems"]
    assert "xview: expected 40 training and 20 test clips as in meta.toml, found 41 and 19" in divided
    assert "found 1 again" in twice


def test_raw_recordings(made_raw: Path) -> None:
    report = inspection.raw_report(survey.survey(made_raw), read=True, workers=1)
    assert report["recordings"] == report["usable"] == 60
    assert (report["like"], report["actions"], report["absent"]) == (None, 5, [])
    assert f"{'note':<20} names of NTU RGB+D's form, but not its performers" in inspection.as_text(report)
    assert report["by_subject"] == {"1": 15, "2": 15, "3": 15, "4": 15}
    assert report["damaged"] == []
    assert sum(report["by_bodies"].values()) == 60
    assert report["text_bytes"] == report["disk_bytes"] == sum(f.stat().st_size for f in made_raw.iterdir())


def test_a_part_of_ntu_and_a_recording_of_another_name_in_an_archive(tmp_path: Path) -> None:
    text = skeleton_text([[(1, person())]] * 2)
    raw = make_zip(tmp_path / "a.zip", {"S001C001P001R001A001.skeleton": text, "x/wave.skeleton": text})
    report = inspection.raw_report(survey.survey(raw), read=True, workers=1)
    assert (report["like"], report["note"], report["usable_of_whole_set"]) == ("ntu60", "", 56_578)
    assert len(report["absent"]) == 179
    assert report["other_names"] == [f"{raw}/x/wave.skeleton"]
    assert report["by_bodies"] == {"1": 2}  # both are read


@pytest.mark.parametrize(("size", "text"), [(999, "999 bytes"), (1500, "1.5 KB"), (2.7e9, "2.7 GB")])
def test_bytes_as_people_say_them(size: float, text: str) -> None:
    assert inspection.bytes_text(size) == text


def test_other_raw_data_is_said_not_to_be_looked_into(tmp_path: Path) -> None:
    (tmp_path / "clip.npy").write_bytes(b"0" * 9)
    report = inspection.raw_report(survey.survey(tmp_path))
    assert report["note"].startswith("no recording under a name of NTU RGB+D")
    assert "clips need a clips.csv" in inspection.as_text(report)
