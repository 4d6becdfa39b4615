from pathlib import Path

import numpy as np
import pytest

from action_indrnn.data_prep import untrimmed
from action_indrnn.data_prep.untrimmed import NONE, Action, Untrimmed

RATE = 30.0


def still(frames: int, x: float = 0.0, high: float = 0.0, bodies: int = 1) -> np.ndarray:
    """(frames, 2, 4, 3) joints that rise a centimetre a frame, of one or two bodies."""
    joints = np.full((frames, 2, 4, 3), np.nan, np.float32)
    pose = np.arange(12, dtype=np.float32).reshape(4, 3) / 10
    for body in range(bodies):
        joints[:, body] = pose + np.array([x + body, high, 0])
        joints[:, body, :, 1] += 0.01 * np.arange(frames)[:, None]
    return joints


def test_clips_and_pauses_stand_where_they_are_said_to() -> None:
    clips = [still(10), still(20, x=3)]
    random = np.random.default_rng(0)
    made = untrimmed.of_clips("a", clips, [4, 2], [30, 15, 5], RATE, random)
    assert made.actions == [Action(30, 40, 4), Action(55, 75, 2)]
    assert len(made.joints) == 80
    labels = made.labels()
    assert (labels[30:40] == 4).all()
    assert (labels[55:75] == 2).all()
    assert (np.delete(labels, [*range(30, 40), *range(55, 75)]) == NONE).all()
    np.testing.assert_allclose(made.joints[30:40], clips[0])
    shift = made.joints[55:75, 0] - clips[1][:, 0]
    np.testing.assert_allclose(shift, np.broadcast_to(shift[0, 0], shift.shape), atol=1e-6)
    assert shift[0, 0, 1] == 0  # over the floor alone
    np.testing.assert_allclose(shift[0, 0, 0], -3, atol=1e-5)


def test_one_moves_into_a_near_pose_and_is_cut_to_a_far_one() -> None:
    random = np.random.default_rng(0)
    near = untrimmed.of_clips("a", [still(10), still(10)], [0, 1], [0, 60, 0], RATE, random)
    steps = np.linalg.norm(np.diff(near.joints[:, 0], axis=0), axis=2).max(axis=1)
    assert steps.max() < 0.06
    assert np.abs(np.diff(near.joints[10:70, 0], axis=0)).max() > 1e-3  # nobody stands like a statue
    far = untrimmed.of_clips("a", [still(10), still(10, high=1)], [0, 1], [0, 60, 0], RATE, random)
    steps = np.linalg.norm(np.diff(far.joints[:, 0], axis=0), axis=2).min(axis=1)
    assert (steps > 0.5).sum() == 1
    assert 10 < steps.argmax() < 70


def test_without_pauses_nothing_is_moved() -> None:
    clips = [still(5), still(7, x=2)]
    made = untrimmed.of_clips("a", clips, [0, 1], [0, 0, 0], RATE, np.random.default_rng(0))
    np.testing.assert_array_equal(made.joints, np.concatenate(clips))


def test_a_second_body_comes_and_goes_within_a_pause() -> None:
    clips = [still(5), still(5, bodies=2), still(5)]
    made = untrimmed.of_clips("a", clips, [0, 1, 0], [0, 20, 20, 0], RATE, np.random.default_rng(0))
    there = ~np.isnan(made.joints[:, 1]).any(axis=(1, 2))
    changes = np.flatnonzero(np.diff(there.astype(int)))
    assert len(changes) == 2
    assert 5 <= changes[0] < 25
    assert 30 <= changes[1] < 50
    assert not np.isnan(made.joints[:, 0]).any()


def test_written_recordings_are_read_again(tmp_path: Path) -> None:
    assert untrimmed.read(tmp_path) == []
    recordings = [
        Untrimmed("s01", still(9)[:, :1], [Action(2, 4, 1), Action(3, 8, 0)], {"subject": 1, "take": 2}),
        Untrimmed("s02", still(4)[:, :1], [Action(0, 4, 3)], {"subject": 2, "take": 1}),
    ]
    untrimmed.write(tmp_path, recordings)
    found = untrimmed.read(tmp_path)
    for one, other in zip(recordings, found, strict=True):
        np.testing.assert_array_equal(one.joints, other.joints)
        assert (one.name, one.actions, one.columns) == (other.name, other.actions, other.columns)
    assert found[0].labels().tolist() == [-1, -1, 1, 0, 0, 0, 0, 0, -1]
    (tmp_path / untrimmed.FILE).write_bytes(b"PK\x03\x04 nothing")
    with pytest.raises(ValueError, match=r"untrimmed\.npz: damaged"):
        untrimmed.read(tmp_path)
