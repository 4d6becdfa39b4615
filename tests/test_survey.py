import zipfile
from pathlib import Path

import pytest

from action_indrnn import inspection
from action_indrnn.data_prep import sources, survey
from action_indrnn.data_prep.sources import Source

from .conftest import person, skeleton_text

TEXT = skeleton_text([[(1, person())]] * 3)
NAME = "S001C001P001R001A001"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    raw = tmp_path / "raw"
    (raw / "more").mkdir(parents=True)
    (raw / f"{NAME}.skeleton").write_bytes(TEXT)
    (raw / "more" / f"{NAME}.skeleton").write_bytes(TEXT)  # a copy
    (raw / "S001C002P001R001A001.skeleton").write_bytes(b"")
    (raw / "wave.skeleton").write_bytes(TEXT)
    (raw / "S001C001P001R001A061.skeleton").write_bytes(TEXT)  # no such action in setup 1
    (raw / "readme.TXT").write_text("x")
    (raw / ".DS_Store").write_text("x")
    (raw / "bad.zip").write_bytes(b"no archive")
    with zipfile.ZipFile(raw / "good.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a/S001C003P001R001A002.skeleton", TEXT)
        archive.writestr("__MACOSX/a/._S001C003P001R001A002.skeleton", b"x")
    return raw


def test_everything_is_counted_and_named(folder: Path) -> None:
    found = survey.survey(folder)
    assert list(found.recordings) == [
        NAME,
        "S001C001P001R001A061",
        "S001C002P001R001A001",
        "S001C003P001R001A002",
    ]
    assert found.files[f"{folder}/good.zip/a/S001C003P001R001A002.skeleton"] == len(TEXT)  # unpacked
    assert found.copies == {NAME: [Source(folder / "more" / f"{NAME}.skeleton")]}
    assert found.others == [Source(folder / "wave.skeleton")]
    assert found.unexpected == [f"{folder}/readme.TXT"]
    assert len(found.hidden) == 2
    assert len(found.archives) == 2
    empty, damaged = sorted(found.problems)
    assert "S001C002P001R001A001.skeleton: too small for a recording: 0 bytes" in empty
    assert "bad.zip: expected a zip archive" in damaged
    (reason,) = found.impossible()
    assert "expected action 1 to 60, found 61" in reason


def test_what_cannot_be_whole_is_no_need_and_not_usable(folder: Path) -> None:
    before = survey.survey(folder)
    assert before.usable() == {NAME, "S001C003P001R001A002"}
    with (folder / "S001C001P001R001A005.skeleton").open("wb") as file:
        file.truncate(10 * 10**9)  # a hole: it takes no room on the disk
    with zipfile.ZipFile(folder / "bomb.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("S001C001P001R001A006.skeleton", bytes(50_000_000))
        archive.writestr("S001C001P001R001A007.skeleton", TEXT)
        with pytest.warns(UserWarning, match="Duplicate name"):
            archive.writestr("S001C001P001R001A007.skeleton", TEXT)
    found = survey.survey(folder)
    assert found.usable() == before.usable()
    assert found.text == before.text
    assert found.disk - before.disk < 10**6
    problems = " ".join(set(found.problems) - set(before.problems))
    for part in (
        "A005.skeleton: expected at most 67108864 bytes",
        "A006.skeleton: expected at most 200 times",
    ):
        assert part in problems
    assert "A007.skeleton: expected the member once, found it 2 times" in problems


def test_a_copy_that_may_be_whole_stands_for_one_that_is_not(folder: Path) -> None:
    flawed = "S001C002P001R001A001"  # nothing in it
    (folder / "more" / f"{flawed}.skeleton").write_bytes(TEXT)
    (folder / f"{NAME}.skeleton").write_bytes(TEXT[: len(TEXT) // 2])  # only reading tells
    found = survey.survey(folder)
    assert found.recordings[flawed] == Source(folder / "more" / f"{flawed}.skeleton")
    assert found.copies[flawed] == [Source(folder / f"{flawed}.skeleton")]
    assert {flawed, NAME} <= found.usable()
    contents = survey.read(found.places(), workers=1)
    assert contents.good == [True] * 5  # the copy of the half one is whole
    assert len(contents.damaged) == 1
    report = inspection.raw_report(found, read=True, workers=1)
    assert report["usable"] == 3
    (folder / "more" / f"{NAME}.skeleton").unlink()
    assert inspection.raw_report(survey.survey(folder), read=True, workers=1)["usable"] == 2


def test_preparing_takes_nothing_hidden(folder: Path) -> None:
    (folder / ".trash").mkdir()
    (folder / ".trash" / "S001C001P001R001A009.skeleton").write_bytes(TEXT)
    found = survey.survey(folder)
    assert len(found.hidden) == 3
    taken = {source.name for source in sources.find([folder]) if not source.problem}
    assert taken >= set(found.recordings)
    assert "S001C001P001R001A009" not in taken


def test_what_is_absent_follows_from_those_beside_it(folder: Path) -> None:
    found = survey.survey(folder)
    absent = found.absent()
    assert len(absent) == 60 * 3 - 3  # setup 1, performer 1, replication 1; none of them on the missing list
    assert "S001C001P001R001A002" in absent
    assert not set(absent) & set(found.recordings)


def test_contents(folder: Path) -> None:
    gap = skeleton_text([[(1, person())], [], [(1, person()), (2, person(1.0))]])
    (folder / "S001C001P002R001A001.skeleton").write_bytes(gap)
    (folder / "S001C001P003R001A001.skeleton").write_bytes(skeleton_text([[], []]))
    sources = [
        Source(folder / f"{name}.skeleton")
        for name in (NAME, "S001C001P002R001A001", "S001C001P003R001A001", "S001C002P001R001A001", "gone")
    ]
    found = survey.read([(source,) for source in sources], workers=1)
    assert found.lengths == [3, 3, 2]
    assert found.bodies == {1: 1, 2: 1, 0: 1}
    assert (found.empty, found.gaps) == (1, 1)
    assert [text.partition(".skeleton")[2] for text in found.damaged] == [
        ":1: expected a frame count, found an empty file",
        ": cannot be read: No such file or directory",
    ]


def test_an_archive_that_is_none_is_an_error(folder: Path) -> None:
    with pytest.raises(ValueError, match=r"bad\.zip: expected a zip archive: File is not a zip file"):
        survey.survey(folder / "bad.zip")


def test_nothing_there_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="found nothing there"):
        survey.survey(tmp_path / "none")


def test_performers_that_ntu_does_not_have_in_a_setup(folder: Path) -> None:
    assert survey.survey(folder).strangers() == []
    (folder / "S001C001P009R001A001.skeleton").write_bytes(TEXT)
    (stranger,) = survey.survey(folder).strangers()
    assert stranger.endswith("A001: no clip of NTU RGB+D: performer 9 is not in its setup 1")


def test_a_folder_of_a_recording_s_name_is_a_problem(folder: Path) -> None:
    (folder / "S001C001P001R001A009.skeleton").mkdir()
    assert (
        sum(
            "A009.skeleton: expected a file, found a folder" in text
            for text in survey.survey(folder).problems
        )
        == 1
    )
