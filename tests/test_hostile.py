"""Files made to hurt: refused in a moment, with little memory."""

import resource
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from action_indrnn.data_prep import (
    catalogue,
    clip_arrays,
    clip_file,
    clip_text,
    custom,
    layout,
    preprocess,
    skeleton_file,
    sources,
)
from action_indrnn.data_prep.clip import ClipError
from action_indrnn.data_prep.sources import Source

from .conftest import person, skeleton_text

GOOD = skeleton_text([[(2**56, person())]] * 3)


@pytest.fixture(autouse=True)
def bounded() -> Iterator[None]:
    """A test may take ten seconds of the processor, however slow, and 300 MB."""
    before, start = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.process_time()
    yield
    assert time.process_time() - start < 10
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 300_000


@pytest.mark.parametrize("count", [10**12, 10**18, 100_001])
def test_a_frame_count_beyond_belief(count: int) -> None:
    with pytest.raises(ClipError, match=r"a\.skeleton:1: expected a frame count up to 100000, found '10"):
        skeleton_file.parse(GOOD.replace(b"3\n", f"{count}\n".encode(), 1), "a.skeleton")


@pytest.mark.parametrize("line", [1, 2, 4])
def test_a_body_or_joint_count_beyond_belief(line: int) -> None:
    lines = GOOD.split(b"\n")
    lines[line] = b"9" * 18
    with pytest.raises(ClipError, match=r"^a\.skeleton:\d+: expected "):
        skeleton_file.parse(b"\n".join(lines), "a.skeleton")


@pytest.mark.parametrize(
    ("data_set", "name"),
    [
        ("made", "S001C001P001R001A001.skeleton"),
        ("sbu", "s01s02/01/001/skeleton_pos.txt"),
        ("msr-action3d", "a01_s01_e01_skeleton3D.txt"),
        ("florence3d", "skeletal_data.mat"),
        ("nw-ucla", "a01_s01_e00_v01.json"),
        ("utd-mhad", "a1_s1_t1_skeleton.mat"),
    ],
)
def test_a_file_of_ten_gigabytes_without_a_line_end(tmp_path: Path, data_set: str, name: str) -> None:
    path = tmp_path / "raw" / name
    path.parent.mkdir(parents=True)
    with path.open("wb") as file:
        file.truncate(10 * 10**9)  # a hole: it takes no room on the disk
    with pytest.raises(ValueError, match="expected at most 67108864 bytes, found 10000000000"):
        preprocess.preprocess(catalogue.find(data_set), [tmp_path / "raw"], tmp_path / "set")


def test_a_member_that_unpacks_to_more_than_a_clip_can_be(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        with archive.open("A.skeleton", "w", force_zip64=True) as member:
            for _ in range(65):
                member.write(bytes(2**20))
        archive.writestr("B.skeleton", bytes(60 * 2**20))
        archive.writestr("C.skeleton", bytes(190_000))
    first, second, third = sources.find([tmp_path / "a.zip"])
    with pytest.raises(ClipError, match="expected at most 67108864 bytes, found 68157440"):
        first.read()
    with pytest.raises(
        ClipError, match=r"B\.skeleton: expected at most 200 times the packed size, found 62914560"
    ):
        second.read()
    with pytest.raises(ClipError, match="C:1: expected a line of at most 10000 bytes"):
        skeleton_file.parse(third.read(), "C")


def test_a_member_that_lies_about_its_size(tmp_path: Path) -> None:
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("A.skeleton", bytes(50 * 2**20))
    size = (50 * 2**20).to_bytes(4, "little")
    path.write_bytes(path.read_bytes().replace(size, (1000).to_bytes(4, "little")))
    with pytest.raises(ClipError, match="damaged inside the archive"):
        sources.find([path])[0].read()


def test_members_that_point_elsewhere_write_nothing(tmp_path: Path) -> None:
    (tmp_path / "deep" / "er").mkdir(parents=True)
    path = tmp_path / "deep" / "er" / "a.zip"
    names = ("../S001C001P001R001A001", "/tmp/S001C001P001R001A002", "..\\..\\S001C001P001R001A003")
    with zipfile.ZipFile(path, "w") as archive:
        for name in names:
            archive.writestr(f"{name}.skeleton", GOOD)
    before = sorted(tmp_path.rglob("*"))
    summary = preprocess.preprocess(catalogue.find("made"), [path], tmp_path / "set")
    assert (summary.clips, summary.skipped) == (2, 1)
    made = [entry for entry in sorted(tmp_path.rglob("*")) if entry not in before]
    assert all(entry.is_relative_to(tmp_path / "set") for entry in made)


def test_a_name_that_a_screen_would_obey_is_shown_as_letters(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("S001C001P001R001A001.skeleton", GOOD)
        archive.writestr("wave\n\x1b[2J\u202e.skeleton", GOOD)
    assert preprocess.preprocess(catalogue.find("made"), [tmp_path / "a.zip"], tmp_path / "set").skipped == 1
    (line,) = (tmp_path / "set" / "skipped.csv").read_text(encoding="utf-8").splitlines()[1:]
    assert line.count(r"wave\n\x1b[2J\u202e") == 4


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"1" * (60 * 2**20), "1: expected a line of at most 10000 bytes, found '1111"),
        (b"1\n1\n" + b"11 " * (20 * 2**20), "3: expected a line of at most 10000 bytes, found '11 1"),
        (b"11\n" * (20 * 2**20), " expected lines of joints, found 20971520 lines in 62914560 bytes"),
    ],
)
def test_a_text_of_one_line_or_of_nothing_else(text: bytes, message: str) -> None:
    with pytest.raises(ClipError, match=f"^a.skeleton:{message}"):
        skeleton_file.parse(text, "a.skeleton")


NTU25 = layout.load("ntu25")


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        (
            "a.json",
            b"[" + b"[]," * 3_000_001 + b"[]]",
            "expected at most 3000000 lists in a clip, found 3000003",
        ),
        ("a.jsonl", b"{}\n" * 3_000_001, "expected at most 3000000 lines in a clip, found 3000001"),
        ("a.csv", b"\n" * 3_000_001, "expected at most 3000000 lines in a clip, found 3000001"),
        ("a.bvh", b"{ " * 2_000_000 + b"\nMOTION\n", "expected at most 1000000 letters before MOTION"),
        ("a.bvh", b"HIERARCHY\nMOTION\nFrames: 1000000000000\n", "expected ROOT, found the end"),
    ],
)
def test_clip_texts_of_nothing_but_structure(tmp_path: Path, name: str, content: bytes, message: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ClipError, match=message):
        clip_file.read(Source(tmp_path / name), NTU25)


def test_more_joints_than_a_clip_can_have(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clip_text, "_MOST_CELLS", 3)
    text = "frame,joint,x,y,z\n" + "".join(f"{frame},head,1,2,3\n" for frame in range(4))
    with pytest.raises(ClipError, match="a:5: expected at most 3 joints in a clip, found more"):
        clip_text.read_csv(text, "a")


def test_an_npz_of_many_members_is_measured_before_it_is_unpacked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(clip_arrays, "_LARGEST_CLIP", 100_000)
    with zipfile.ZipFile(tmp_path / "a.npz", "w", zipfile.ZIP_DEFLATED) as archive:
        for number in range(5):
            archive.writestr(f"{number}.npy", bytes(30_000))
    with pytest.raises(ClipError, match="expected at most 100000 bytes unpacked, found 150000"):
        clip_file.read(Source(tmp_path / "a.npz"), NTU25)


def test_lists_and_tables_of_short_lines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(custom, "_MOST_CELLS", 30_000)
    (tmp_path / "layout.toml").write_text('layout = "ntu25"\n')
    (tmp_path / "clips.csv").write_text("file,label\n" + "a,1\n" * 15_001)
    with pytest.raises(ValueError, match=r"clips\.csv: expected at most 30000 fields, found more"):
        catalogue.find("custom", [tmp_path])
    (tmp_path / "a01_s01_e01_skeleton3D.txt").write_text("1 2 3 4\n" * 8_000_000)
    with pytest.raises(ValueError, match="expected at most 750000 lines of 4 numbers, found 8000000"):
        preprocess.preprocess(catalogue.find("msr-action3d"), [tmp_path], tmp_path / "set")
    arrays = {"joints": np.zeros((1, 1, 25, 3)), "label": np.zeros(30_001, np.uint8)}
    np.savez(tmp_path / "a.npz", **arrays)
    with pytest.raises(ValueError, match="expected at most 30000 numbers and texts beside the joints"):
        catalogue.find("custom", [tmp_path / "a.npz"])


def test_a_list_and_a_layout_of_gigabytes(tmp_path: Path) -> None:
    (tmp_path / "clips.csv").write_text("file,label\n")
    for name, most in (("layout.toml", 1_000_000), ("clips.csv", 67_108_864)):
        if name == "clips.csv":
            (tmp_path / "layout.toml").write_text('layout = "ntu25"\n')
        with (tmp_path / name).open("wb") as file:
            file.truncate(10**10)
        with pytest.raises(ValueError, match=f"{name}: expected at most {most} bytes, found 10000000000"):
            catalogue.find("custom", [tmp_path])
