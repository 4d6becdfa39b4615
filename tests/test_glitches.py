import json
from pathlib import Path

import numpy as np
import pytest
import torch

from action_indrnn import api
from action_indrnn.data_prep import layout
from action_indrnn.data_prep.archive import PreparedSet
from action_indrnn.dataset import Clips
from action_indrnn.glitches import glitched

from .test_cli import call, run_folder  # noqa: F401  # a fixture

LAYOUT = layout.load("ntu25")


def test_only_chosen_clips_lose_joints_and_each_its_own(made_set: PreparedSet) -> None:
    clips = Clips.of_set(made_set)
    numbers = np.array([3, 40, 41])
    found = glitched(clips, numbers, LAYOUT, 1.0)
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
    alone = glitched(clips, numbers[1:2], LAYOUT, 1.0)
    start = int(clips.start[40])
    span = slice(start, start + int(clips.length[40]))
    assert torch.equal(alone.rows[span].nan_to_num(), found.rows[span].nan_to_num())
    assert not torch.equal(
        glitched(clips, numbers, LAYOUT, 1.0, seed=1).rows.nan_to_num(), found.rows.nan_to_num()
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
    assert "expected a glitch of 0 in measures over time" in capsys.readouterr().err
    with pytest.raises(ValueError, match="glitch: expected a share from 0 to 1, found 2"):
        api.evaluate(model, made_set, "xsub", glitch=2)
