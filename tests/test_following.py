import numpy as np

from action_indrnn.data_prep import following, layout, normalize

from .test_streaming import walk

LAYOUT = layout.load("ntu25")
MEMORY = 10.0


def placed(poses: np.ndarray) -> np.ndarray:
    origins, turns = following.whole(poses, LAYOUT, MEMORY)
    return (poses - origins[:, None]) @ turns.transpose(0, 2, 1)


def test_step_by_step_as_whole_with_frames_missing() -> None:
    poses = walk(40)
    poses[:3] = poses[17:22] = np.nan
    origins, turns = following.whole(poses, LAYOUT, MEMORY)
    place = None
    for frame, pose in enumerate(poses):
        if not np.isnan(pose).any():
            place = following.step(place, pose, LAYOUT, 1, MEMORY)
        if place is not None:
            np.testing.assert_allclose(origins[frame], place[:3], rtol=1e-6, atol=1e-6)
            np.testing.assert_allclose(turns[frame], following.turns(place[None])[0], rtol=1e-5, atol=1e-6)


def test_the_first_pose_is_placed_as_a_clip_s() -> None:
    pose = walk(1)[0]
    origins, turns = following.whole(pose[None], LAYOUT, MEMORY)
    np.testing.assert_array_equal(origins[0], pose[LAYOUT.centre])
    np.testing.assert_allclose(turns[0], normalize.alignment(pose, LAYOUT), rtol=1e-5, atol=1e-6)


def test_where_one_stands_and_looks_and_how_tall_one_is_do_not_matter() -> None:
    poses = walk(30)
    angle = 1.3
    turn = np.array(
        [[np.cos(angle), 0, np.sin(angle)], [0, 1, 0], [-np.sin(angle), 0, np.cos(angle)]], np.float32
    )
    np.testing.assert_allclose(placed(1.4 * poses @ turn.T + 5), placed(poses), rtol=1e-3, atol=1e-3)


def test_it_follows_within_its_memory() -> None:
    pose = walk(1)[0]
    poses = np.concatenate((np.tile(pose, (5, 1, 1)), np.tile(pose + np.float32(1), (60, 1, 1))))
    moved = placed(poses)[:, LAYOUT.centre, 1]
    assert abs(moved[4]) < 1e-6
    assert abs(moved[5]) > 0.5 * abs(moved).max() > 0.1
    np.testing.assert_allclose(moved[15] / moved[5], np.exp(-1), rtol=1e-3)
    assert abs(moved[-1]) < 0.01


def test_nobody_is_nowhere() -> None:
    origins, turns = following.whole(np.full((3, 25, 3), np.nan, np.float32), LAYOUT, MEMORY)
    assert not origins.any()
    np.testing.assert_array_equal(turns, np.tile(np.eye(3), (3, 1, 1)))
