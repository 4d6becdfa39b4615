from pathlib import Path

import numpy as np
import pytest

from action_indrnn import clip_report
from action_indrnn.data_prep import layout

from .conftest import person, skeleton_text


def test_a_recording(tmp_path: Path) -> None:
    path = tmp_path / "S001C002P003R001A010.skeleton"
    big = 72057594037944738  # no float64
    frames = [[(big, person())], [], [(big, person(0.1)), (7, person(2.0))]]
    path.write_bytes(skeleton_text(frames, state=1))
    report = clip_report.of_recording(path)
    assert (report["camera"], report["subject"], report["action"]) == (2, 3, 10)
    assert report["frames_without_body"] == 1
    first, second = report["bodies"]
    assert first["id"] == str(big)
    assert (first["first_frame"], first["last_frame"], first["gaps"]) == (1, 3, 1)
    assert first["largest_step"] == pytest.approx(0.1, abs=1e-6)
    assert second["tracked"] == {"not_tracked": 0, "inferred": 1, "tracked": 0}
    path.write_bytes(skeleton_text([[], []]))
    assert "expected a body, found none in 2 frames" in clip_report.of_recording(path)["problems"][0]


def test_a_clip_that_looks_wrong_says_so(tmp_path: Path) -> None:
    ntu25 = layout.load("ntu25")
    joints = np.stack([person(z=3.0)] * 3)  # whose hips are higher than its head
    np.save(tmp_path / "a.npy", joints)
    report = clip_report.of_points(tmp_path / "a.npy", ntu25)
    assert report["frames"] == 3
    assert report["actors"][0]["height"] == pytest.approx(np.ptp(person()[:, 1]), abs=1e-5)
    assert report["problems"][0].startswith("heads look lower than hips")
