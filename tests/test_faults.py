import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from action_indrnn import api, augment, mirror_images
from action_indrnn.data_prep import layout
from action_indrnn.data_prep.archive import PreparedSet
from action_indrnn.dataset import Clips
from action_indrnn.exam import Exam
from action_indrnn.faults import Faults

from .test_cli import call, run_folder  # noqa: F401  # a fixture

LAYOUT = layout.load("ntu25")


def test_only_chosen_clips_lose_joints_and_each_its_own(made_set: PreparedSet) -> None:
    clips = Clips.of_set(made_set)
    numbers = np.array([3, 40, 41])
    found = Faults(glitch=1).of(clips, numbers, LAYOUT)
    moved = (found.rows != clips.rows) & ~clips.rows.isnan()
    assert torch.equal(found.rows.isnan(), clips.rows.isnan())
    for number in range(len(clips.names)):
        start, length, bodies = (int(c[number]) for c in (clips.start, clips.length, clips.bodies))
        own = moved[start : start + bodies * length].any(dim=2).view(bodies, length, -1)
        if number not in numbers:
            assert not own.any()
            continue
        for body in own:
            times, joints = body.any(dim=1).nonzero().flatten(), body.any(dim=0)
            assert 0 <= int(times[-1]) - int(times[0]) <= length // 2
            seen = ~clips.rows[start : start + length, 0, 0].isnan()
            assert bodies > 1 or len(times) == seen[times[0] : times[-1] + 1].sum()
            assert 1 <= joints.sum() <= len(LAYOUT.joints) // 2
    alone = Faults(glitch=1).of(clips, numbers[1:2], LAYOUT)
    start = int(clips.start[40])
    span = slice(start, start + int(clips.length[40]))
    assert torch.equal(alone.rows[span].nan_to_num(), found.rows[span].nan_to_num())
    other = Faults(glitch=1).of(clips, numbers, LAYOUT, seed=1)
    assert not torch.equal(other.rows.nan_to_num(), found.rows.nan_to_num())


def test_only_chosen_clips_lose_people_and_for_half_of_the_clip_at_most(made_set: PreparedSet) -> None:
    clips = Clips.of_set(made_set)
    numbers = np.arange(20, 60)  # with clips of two bodies
    faults = Faults(absence=0.7)
    found = faults.of(clips, numbers, LAYOUT)
    gone = found.rows.isnan() & ~clips.rows.isnan()
    kept = ~gone
    torch.testing.assert_close(found.rows[kept], clips.rows[kept], equal_nan=True, rtol=0, atol=0)
    kinds = set()
    for number in range(len(clips.names)):
        start, length, bodies = (int(c[number]) for c in (clips.start, clips.length, clips.bodies))
        own = gone[start : start + bodies * length].flatten(1).any(dim=1).view(bodies, length)
        assert number in numbers or not own.any()
        assert own.sum(dim=1).max() <= length // 2 + 1
        kinds.add((bodies, int(own.any(dim=1).sum())))
    assert kinds == {(1, 0), (1, 1), (2, 0), (2, 1), (2, 2)}


def test_left_and_right_are_swapped_where_a_body_is_first_seen(made_set: PreparedSet) -> None:
    clips = Clips.of_set(made_set)
    numbers = np.arange(40, 60)  # with clips of two bodies
    found = Faults(swap=0.5).of(clips, numbers, LAYOUT)
    other = list(range(25))
    for left, right in LAYOUT.pairs:
        other[left], other[right] = right, left
    counts = [0, 0]
    for number in range(len(clips.names)):
        start, length, bodies = (int(c[number]) for c in (clips.start, clips.length, clips.bodies))
        span = slice(start, start + bodies * length)
        before, after = (one.rows[span].view(bodies, length, 25, 3) for one in (clips, found))
        changed = (before != after) & ~before.isnan()
        if not changed.any():
            counts[0] += number in numbers
            continue
        assert number in numbers
        counts[1] += 1
        for body in range(bodies):
            first = int((~before[body, :, 0, 0].isnan()).nonzero()[0])
            assert torch.equal(after[body, first], before[body, first, other])
            assert changed[body].flatten(1).any(dim=1).nonzero().flatten().tolist() == [first]
    assert min(counts) > 3


def test_mirror_images_are_chosen_clips_with_x_turned_round_and_sides_exchanged(
    made_set: PreparedSet,
) -> None:
    clips = Clips.of_set(made_set)
    numbers = np.arange(40, 60)  # with clips of two bodies
    faults = Faults(mirror=0.5)
    found = faults.of(clips, numbers, LAYOUT)
    swapped = augment.mirrored_joints(25, LAYOUT.pairs)
    images = [number for number in numbers if faults.mirrored(clips.names[number])]
    assert 3 < len(images) < 17
    expected = clips.rows.clone()
    for number in images:
        start, length, bodies = (int(c[number]) for c in (clips.start, clips.length, clips.bodies))
        span = slice(start, start + bodies * length)
        expected[span] = clips.rows[span][:, swapped] * torch.tensor([-1.0, 1, 1])
    torch.testing.assert_close(found.rows, expected, equal_nan=True, rtol=0, atol=0)
    with pytest.raises(
        ValueError, match="mirror: expected left and right joints, found none in the layout ntu25"
    ):
        faults.of(clips, numbers, replace(LAYOUT, pairs=()))


def test_mirror_images_are_judged_by_the_classes_that_they_are_of(
    run_folder: Path,  # noqa: F811
    made_set: PreparedSet,
    monkeypatch,
) -> None:
    model = run_folder / "model.safetensors"
    opposite = [1, 0, *range(2, 14)]
    monkeypatch.setattr(mirror_images, "classes_by_name", lambda names, taught: opposite)
    plain, mirrored = (Exam.of(model, made_set, "xsub", faults=Faults(mirror=share)) for share in (0.0, 1.0))
    test = plain.split.test
    for own, other in ((0, 1), (1, 0), (2, 2)):
        assert set(mirrored.labels[test][plain.labels[test] == own]) == {other}
    rest = np.setdiff1d(np.arange(len(plain.labels)), test)
    np.testing.assert_array_equal(mirrored.labels[rest], plain.labels[rest])
    assert (
        mirrored.report().confusion.sum(axis=1).tolist()
        == np.bincount(mirrored.labels[test], minlength=14).tolist()
    )


def test_the_command(run_folder: Path, made_set: PreparedSet, tmp_path: Path, monkeypatch, capsys) -> None:  # noqa: F811
    model, out = run_folder / "model.safetensors", tmp_path / "report.json"
    arguments = ("evaluate", model, made_set.path, "--protocol", "xsub")
    assert call(monkeypatch, *arguments, "--glitch", "1", "--json", out) == 0
    assert "joints lost in 100% of the bodies: this accuracy does not compare" in capsys.readouterr().out
    found = json.loads(out.read_text())
    assert found["glitch"] == 1
    plain = json.loads(api.evaluate(model, made_set, "xsub").report.json())
    assert [clip["probabilities"] for clip in found["per_clip"]] != [
        clip["probabilities"] for clip in plain["per_clip"]
    ]
    assert call(monkeypatch, *arguments, "--glitch", "1", "--over-time") == 1
    assert (
        "expected recordings as they are in measures over time, found joints lost" in capsys.readouterr().err
    )
    assert call(monkeypatch, *arguments, "--glitch", "0.5", "--absence", "1", "--json", out) == 0
    both = "joints lost in 50% of the bodies and people lost in 100% of the clips: this accuracy does not"
    assert both in capsys.readouterr().out
    found = json.loads(out.read_text())
    assert (found["glitch"], found["absence"]) == (0.5, 1)
    assert call(monkeypatch, *arguments, "--mirror", "1") == 0
    assert "mirror images in 100% of the clips: this accuracy" in capsys.readouterr().out
    assert call(monkeypatch, *arguments, "--swap", "1") == 0
    assert "left and right swapped at first in 100% of the clips: this accuracy" in capsys.readouterr().out
    with pytest.raises(ValueError, match="absence: expected a share from 0 to 1, found 2"):
        api.evaluate(model, made_set, "xsub", absence=2)
