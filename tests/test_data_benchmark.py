import re
import zipfile
from itertools import islice
from pathlib import Path

import numpy as np
import pytest

from action_indrnn.data_prep import benchmark, ntu, skeleton_file


def test_the_plain_reader_reads_what_the_parsers_read() -> None:
    name = "S001C001P003R001A007"
    text = benchmark.clip_text(name, seed=0)
    recording = skeleton_file.parse(text, name)
    frames = benchmark.read_plainly(text)
    assert len(frames) == recording.frame_count
    for track in recording.values():
        for frame, joints in zip(track.frames.tolist(), track.joints, strict=True):
            plain = [body["joints"] for body in frames[frame] if body["id"] == float(track.body_id)]
            assert any(np.array_equal(joints, body.astype(np.float32)) for body in plain)


def test_made_recordings_have_the_lengths_and_bodies_of_the_data_set() -> None:
    recordings = [
        skeleton_file.parse(benchmark.clip_text(str(name), 0), "a") for name in islice(ntu.names("ntu60"), 90)
    ]
    lengths = [recording.frame_count for recording in recordings]
    assert min(lengths) >= benchmark.SHORTEST
    assert max(lengths) <= benchmark.LONGEST
    assert abs(np.median(lengths) - benchmark.MEDIAN) < 10
    assert 0.08 < np.mean([len(recording) > 1 for recording in recordings]) < 0.35
    assert sum(benchmark.BODY_SHARES.values()) == pytest.approx(1)


def test_the_report_has_a_line_for_every_contender() -> None:
    lines = list(benchmark.run(clips=3, rounds=1, seed=0, workers=[1]))
    assert lines[0].startswith("3 made recordings: ")
    assert re.search(r"every field through float +\d+   1\.0$", lines[2])
    assert re.search(r"Python parser +\d+   \d+\.\d$", lines[3])
    assert re.search(r"^  1 process +\d+\.\d +\d+\.\d +\d+ +\d+   \d+$", lines[-2])
    assert re.search(r"the prepared set takes \d+ MB$", lines[-1])


def test_an_archive_is_made_once(tmp_path: Path) -> None:
    archive = tmp_path / "raw.zip"
    first = next(benchmark.run(clips=3, rounds=1, seed=0, workers=[1], kept=archive))
    before = archive.stat().st_mtime_ns
    assert next(benchmark.run(clips=5, rounds=1, seed=0, workers=[1], kept=archive)) == first
    assert archive.stat().st_mtime_ns == before
    assert [file.name for file in tmp_path.iterdir()] == ["raw.zip"]


def test_a_failing_run_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "raw.zip").write_bytes(b"")
    with pytest.raises(OSError, match="preprocess failed: ValueError: "):
        benchmark.walk([tmp_path / "raw.zip"], tmp_path / "set", 1, 1, 1)


def test_two_archives_are_ntu_rgbd_120(tmp_path: Path) -> None:
    first, second = tmp_path / "a.zip", tmp_path / "b.zip"
    lines = list(benchmark.run(clips=3, rounds=1, seed=0, workers=[1], kept=first, second=second))
    assert lines[0].startswith("6 made recordings: ")
    with zipfile.ZipFile(second) as archive:
        assert archive.namelist()[0] == "nturgb+d_skeletons/S018C001P008R001A061.skeleton"
    assert len(list(benchmark.names(later=True))) == 57_600
