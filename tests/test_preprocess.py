import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from action_indrnn.data_prep import (
    archive,
    bodies,
    catalogue,
    layout,
    ntu,
    preprocess,
    skeleton_file,
    skeleton_parser,
)
from action_indrnn.data_prep.archive import PreparedSet
from action_indrnn.data_prep.normalize import View, normalize
from action_indrnn.data_prep.set_writer import Writer

from .conftest import person, skeleton_text
from .test_sources import make_zip

MADE = catalogue.find("made")


def test_the_set_holds_what_the_files_hold(made_raw: Path, made_set: PreparedSet) -> None:
    files = sorted(made_raw.iterdir())
    assert made_set.index["name"].tolist() == [file.stem for file in files]
    for number in (0, 17, len(files) - 1):
        recording = skeleton_file.read(files[number])
        clip = normalize(bodies.choose(recording, layout.load("ntu25"))[0], layout.load("ntu25"))
        np.testing.assert_array_equal(made_set.clip(number).joints, clip.joints)
        row = made_set.index.iloc[number]
        assert row[["setup", "camera", "subject", "replication"]].tolist() == list(
            ntu.parse_name(clip.name)[:4]
        )
        assert row["label"] == ntu.parse_name(clip.name).action - 1
        assert row["length"] == recording.frame_count
    counts = {name: rule["clips"] for name, rule in made_set.meta["protocols"].items()}
    assert counts["xsub"] == [45, 15]  # subjects 1, 2, 4 of 1 to 4
    assert counts["xview"] == [40, 20]


def test_processes_and_archives_give_the_same_bytes(
    made_raw: Path, made_set: PreparedSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    packed = make_zip(
        tmp_path / "a.zip", {f"any/{file.name}": file.read_bytes() for file in made_raw.iterdir()}
    )
    monkeypatch.setattr(preprocess, "POOL_FROM", 10)
    preprocess.preprocess(MADE, [packed], tmp_path / "set", workers=2)
    for name in archive.FILES:
        assert (tmp_path / "set" / name).read_bytes() == (made_set.path / name).read_bytes()


def test_bad_recordings_are_recorded_and_never_stop_the_run(tmp_path: Path) -> None:
    raw = tmp_path / "raw"
    raw.mkdir()
    good = skeleton_text([[(2**56, person())]] * 4)
    gone = min(ntu.missing())
    content = {
        "S001C001P001R001A001": good,
        "S001C001P001R001A002": good[:2000],
        "S001C001P001R001A003": b"",
        "S001C001P001R001A004": b"1,0.3,0.4\r\n2,0.3,0.4\r\n",
        "S001C001P001R001A005": os.urandom(500),
        "S001C001P001R001A006": skeleton_text([[]] * 4),
        "S001C001P001R001A061": good,
        "my wave": good,
        gone: good,
    }
    for name, text in content.items():
        (raw / f"{name}.skeleton").write_bytes(text)
    (raw / "again").mkdir()
    (raw / "again" / "S001C001P001R001A001.skeleton").write_bytes(good)
    summary = preprocess.preprocess(catalogue.find("ntu60"), [raw], tmp_path / "set")
    assert (summary.clips, summary.skipped, summary.whole) == (1, 9, False)
    skipped = pd.read_csv(tmp_path / "set" / "skipped.csv").set_index("name")["reason"]
    assert set(skipped.index) == set(content)  # also the good one's second copy
    assert f"{raw}/S001C001P001R001A002.skeleton:36: expected" in skipped["S001C001P001R001A002"]
    assert "A003.skeleton:1: expected a frame count, found an empty file" in skipped["S001C001P001R001A003"]
    assert "A004.skeleton:1: " in skipped["S001C001P001R001A004"]
    assert "A005.skeleton:1: " in skipped["S001C001P001R001A005"]
    assert "expected a body, found none in 4 frames" in skipped["S001C001P001R001A006"]
    assert "not a clip of ntu60: expected action 1 to 60, found 61" in skipped["S001C001P001R001A061"]
    assert "expected a clip name like" in skipped["my wave"]
    assert "missing or incomplete skeletons" in skipped[gone]
    assert "expected each clip once" in skipped["S001C001P001R001A001"]


def test_a_damaged_copy_hides_no_good_one(tmp_path: Path) -> None:
    good, name = skeleton_text([[(2**56, person())]] * 4), "S001C001P001R001A001"
    for folder, text in {"a": good[:2000], "b": good, "c": good, "d": b""}.items():
        (tmp_path / "raw" / folder).mkdir(parents=True)
        (tmp_path / "raw" / folder / f"{name}.skeleton").write_bytes(text)
    other = tmp_path / "raw" / "a" / "S001C001P001R001A002.SKELETON"
    other.write_bytes(good)
    summary = preprocess.preprocess(MADE, [tmp_path / "raw"], tmp_path / "set")
    assert (summary.clips, summary.skipped) == (2, 3)
    assert archive.read(tmp_path / "set").index["name"].tolist() == [name, other.stem]
    skipped = pd.read_csv(tmp_path / "set" / "skipped.csv").set_index("source")["reason"]
    places = {folder: f"{tmp_path}/raw/{folder}/{name}.skeleton" for folder in "abcd"}
    assert list(skipped.index) == [places["a"], places["c"], places["d"]]
    assert skipped[places["a"]].startswith(f"{places['a']}:36: expected")
    for copy in "cd":
        again = f"{places[copy]}: expected each clip once, found it in {places['b']} too"
        assert skipped[places[copy]] == again


def test_a_name_that_is_no_text_is_recorded(tmp_path: Path) -> None:
    raw = tmp_path / "raw"
    raw.mkdir()
    (raw / "S001C001P001R001A001.skeleton").write_bytes(skeleton_text([[(2**56, person())]]))
    (raw / os.fsdecode(b"S001C001P001R001A0\xff1.skeleton")).write_bytes(b"")
    assert preprocess.preprocess(MADE, [raw], tmp_path / "set").skipped == 1
    assert r"A0\udcff1" in (tmp_path / "set" / "skipped.csv").read_text(encoding="utf-8")


def test_no_usable_recording_is_an_error_that_tells_the_first_reason(tmp_path: Path) -> None:
    (tmp_path / "S001C001P001R001A001.skeleton").write_bytes(b"x")
    with pytest.raises(
        ValueError, match=r"none usable in 1; the first: .*A001\.skeleton:1: expected a frame count"
    ):
        preprocess.preprocess(MADE, [tmp_path], tmp_path / "set")
    assert not (tmp_path / "set").exists()


def test_the_counts_of_a_whole_set_are_checked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("S001C001P001R001A001", "S001C001P003R001A001"):
        (tmp_path / f"{name}.skeleton").write_bytes(skeleton_text([[(2**56, person())]]))
    monkeypatch.setitem(ntu.CLIPS, "ntu60", 2)
    monkeypatch.setitem(ntu.COUNTS, ("ntu60", "xview"), (0, 2))
    for expected, whole in (((1, 1), True), ((2, 0), False)):
        monkeypatch.setitem(ntu.COUNTS, ("ntu60", "xsub"), expected)
        data_set = catalogue._ntu("ntu60", "NTU RGB+D 60", 60)
        if whole:
            assert preprocess.preprocess(data_set, [tmp_path], tmp_path / "set").whole
        else:
            with pytest.raises(ValueError, match="expected the published counts"):
                preprocess.preprocess(data_set, [tmp_path], tmp_path / "other")


@pytest.mark.parametrize("delay", [0.0, 0.2])
def test_killed_at_any_moment_nothing_half_made_stands_there(
    made_raw: Path, tmp_path: Path, delay: float
) -> None:
    out = tmp_path / "set"
    program = (
        "import sys; from pathlib import Path; from action_indrnn.data_prep import catalogue, preprocess\n"
        "if __name__ == '__main__':\n"
        "    preprocess.POOL_FROM = preprocess.CHUNK = 5\n"
        "    raw, out = map(Path, sys.argv[1:])\n"
        "    preprocess.preprocess(catalogue.find('made'), [raw], out, workers=2)\n"
    )
    script = tmp_path / "run.py"
    script.write_text(program)
    command = [sys.executable, str(script), str(made_raw), str(out)]
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL, start_new_session=True)
    while not list(tmp_path.glob("set.partial-*")) and not out.exists():
        assert process.poll() is None
        time.sleep(0.005)
    time.sleep(delay)
    process.send_signal(signal.SIGKILL)
    process.wait()
    if out.exists():  # it was faster
        assert len(archive.read(out).index) == 60
        return
    for _ in range(100):  # the pool's processes notice and end
        if not _group_runs(process.pid):
            break
        time.sleep(0.1)
    assert not _group_runs(process.pid)
    subprocess.run(command, check=True, stderr=subprocess.DEVNULL)
    assert len(archive.read(out).index) == 60
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["run.py", "set"]


def _interrupt(
    monkeypatch: pytest.MonkeyPatch, raw: Path, out: Path, clips: int, error: type[BaseException]
) -> None:
    """A run that ends with an error at its next clip after so many."""
    real = Writer.add

    def add(writer: Writer, *args: Any) -> None:
        if writer.clips == clips:
            raise error
        real(writer, *args)

    with monkeypatch.context() as patch, pytest.raises(error):
        patch.setattr(preprocess, "CHECKPOINT_SECONDS", 0)
        patch.setattr(Writer, "add", add)
        preprocess.preprocess(MADE, [raw], out, workers=1)


@pytest.mark.parametrize(("error", "kept"), [(KeyboardInterrupt, 1), (OSError, 1), (ValueError, 0)])
def test_interrupted_or_refused_by_the_system_it_keeps_its_work(
    made_raw: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: type[BaseException], kept: int
) -> None:
    _interrupt(monkeypatch, made_raw, tmp_path / "set", 9, error)
    assert len(list(tmp_path.glob("set.partial-*"))) == kept


@pytest.mark.parametrize("change", ["view", "file", "damage"])
def test_other_work_starts_anew_and_says_so(
    made_raw: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: str
) -> None:
    raw = tmp_path / "raw"
    shutil.copytree(made_raw, raw)
    _interrupt(monkeypatch, raw, tmp_path / "set", 9, KeyboardInterrupt)
    if change == "file":
        min(raw.iterdir()).touch()
    if change == "damage":
        (index,) = tmp_path.glob("set.partial-*/index.csv")
        os.truncate(index, 20)
    said: list[str] = []
    view: View = "raw" if change == "view" else "camera"
    preprocess.preprocess(MADE, [raw], tmp_path / "set", workers=1, view=view, say=said.append)
    assert said == [
        "starts anew: the run cut off here had other recordings or options, or was of another program"
    ]
    preprocess.preprocess(MADE, [raw], tmp_path / "again", workers=1, view=view)
    for name in archive.FILES:
        assert (tmp_path / "set" / name).read_bytes() == (tmp_path / "again" / name).read_bytes()
    assert not list(tmp_path.glob("*partial*"))


def test_a_run_says_that_it_reads_slowly(
    made_raw: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(skeleton_parser, "reason", lambda: "Python parser: no compiler")
    said: list[str] = []
    preprocess.preprocess(MADE, [min(made_raw.iterdir())], tmp_path / "set", say=said.append)
    assert said == ["slow: Python parser: no compiler"]


_KILLED = """
import os, signal, sys
from pathlib import Path
from action_indrnn.data_prep import catalogue, preprocess, set_writer

raw, out, owner, name, count = sys.argv[1:]
preprocess.CHECKPOINT_SECONDS = 0
place = {"Writer": set_writer.Writer, "os": os, "csv": set_writer.csv}[owner]
real, calls = getattr(place, name), 0

def call(*args, **keywords):
    global calls
    calls += 1
    if calls == int(count):
        for file in FILES:
            file.flush()
        os.kill(os.getpid(), signal.SIGKILL)
    return real(*args, **keywords)

FILES = []
start = set_writer.Writer.__init__

def begin(self, *args, **keywords):
    start(self, *args, **keywords)
    FILES.extend(self._files())

set_writer.Writer.__init__ = begin
setattr(place, name, call)
preprocess.preprocess(catalogue.find("made"), [Path(raw)], Path(out), workers=1, say=print)
"""


def test_killed_again_and_again_it_goes_on_to_the_same_bytes(
    made_raw: Path, made_set: PreparedSet, tmp_path: Path
) -> None:
    script, out = tmp_path / "run.py", tmp_path / "set"
    script.write_text(_KILLED)
    done = []
    for owner, name, count in (
        ("Writer", "checkpoint", 1),  # nothing is safe yet: it starts again
        ("Writer", "add", 8),  # the eighth clip is not in
        ("os", "fsync", 4 * 5 + 2),  # in the fifth checkpoint
        ("Writer", "finish", 1),
        ("Writer", "finish", 2),  # it is called once
    ):
        command = [sys.executable, str(script), str(made_raw), str(out), owner, name, str(count)]
        found = subprocess.run(command, capture_output=True, text=True, check=False)
        done.append((found.returncode, found.stdout.strip()))
    assert done == [
        (-signal.SIGKILL, ""),
        (-signal.SIGKILL, ""),
        (-signal.SIGKILL, "goes on: 7 of 60 recordings were done by a run that was cut off"),
        (-signal.SIGKILL, "goes on: 11 of 60 recordings were done by a run that was cut off"),
        (0, "goes on: 60 of 60 recordings were done by a run that was cut off"),
    ]
    for name in archive.FILES:
        assert (out / name).read_bytes() == (made_set.path / name).read_bytes()
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["run.py", "set"]


def _group_runs(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True
