import numpy as np
import pytest

from action_indrnn.data_prep import bodies, layout, made, skeleton_file
from action_indrnn.data_prep.clip import ClipError

from .conftest import person, skeleton_text

NTU25 = layout.load("ntu25")
ID = 72057594037944700


def choose(frames):
    """The clip of bodies given as {frame: [(id, joints), ...]}, over as many frames as the last one says."""
    count = max(frames) + 1
    text = skeleton_text([frames.get(frame, []) for frame in range(count)])
    return bodies.choose(skeleton_file.parse(text, "S001C001P001R001A001.skeleton"), NTU25)


def moving(frame: int, speed: float = 0.01, x: float = 0.0) -> np.ndarray:
    return person(x + speed * frame)


def chair(frame: int) -> np.ndarray:
    joints = person(1.5)
    joints[:, 0] = np.linspace(0, 2, 25)
    joints[:, 1] = 0.3 * np.linspace(0, 1, 25) + 0.001 * frame
    return joints


def test_a_body_that_leaves_and_returns_stays_at_its_true_frames() -> None:
    away = range(20, 31)
    frames = {frame: [(ID, moving(frame))] for frame in range(60) if frame not in away}
    clip, dropped = choose(frames)
    assert dropped == []
    assert clip.joints.shape == (1, 60, 25, 3)
    assert np.flatnonzero(~clip.present[0]).tolist() == list(away)
    for frame in (0, 19, 31, 59):
        np.testing.assert_array_equal(clip.joints[0, frame], np.float32(moving(frame)))
    assert not clip.joints[0, 20:31].any()


def test_a_second_body_in_the_gap_does_not_slide_into_the_first() -> None:
    frames = {frame: [(ID, moving(frame)), (ID + 1, moving(frame, 0.002, x=1.0))] for frame in range(60)}
    for frame in range(20, 31):
        del frames[frame][0]
    clip, _ = choose(frames)
    assert clip.present.sum(axis=1).tolist() == [49, 60]
    np.testing.assert_array_equal(clip.joints[1, 25], np.float32(moving(25, 0.002, x=1.0)))


def test_a_short_noise_body_is_dropped() -> None:
    frames = {frame: [(ID, moving(frame))] for frame in range(40)}
    for frame in range(10, 21):
        frames[frame].append((ID + 1, person(2.0 + frame)))
    clip, dropped = choose(frames)
    assert clip.joints.shape[0] == 1
    assert [(body.body_id, body.frames) for body in dropped] == [(ID + 1, 11)]
    frames[21].append((ID + 1, person(23.0)))
    assert choose(frames)[0].joints.shape[0] == 2


def test_a_wide_noise_body_is_dropped_however_long() -> None:
    frames = {frame: [(ID + 1, chair(frame)), (ID, moving(frame))] for frame in range(40)}
    clip, dropped = choose(frames)
    assert [body.body_id for body in dropped] == [ID + 1]
    np.testing.assert_array_equal(clip.joints[0, 7], np.float32(moving(7)))


def test_the_last_body_is_never_dropped() -> None:
    clip, dropped = choose({frame: [(ID, person())] for frame in range(5)})
    assert (clip.joints.shape[:2], dropped) == ((1, 5), [])
    clip, dropped = choose({frame: [(ID, chair(frame))] for frame in range(40)})
    assert (clip.joints.shape[:2], dropped) == ((1, 40), [])
    clip, dropped = choose(
        {
            frame: [(ID, person()), (ID + 1, person(1.0))] if frame < 6 else [(ID, person())]
            for frame in range(9)
        }
    )
    assert [(body.body_id, body.frames) for body in dropped] == [(ID + 1, 6)]
    assert clip.present.sum() == 9


@pytest.mark.parametrize("gap", [0, 4])
def test_a_handed_over_id_is_joined(gap: int) -> None:
    frames = {frame: [(ID, moving(frame))] for frame in range(30)}
    frames |= {frame: [(ID + 1, moving(frame))] for frame in range(30 + gap, 60)}
    clip, dropped = choose(frames)
    assert dropped == []
    assert clip.joints.shape[0] == 1
    assert np.flatnonzero(~clip.present[0]).tolist() == list(range(30, 30 + gap))
    np.testing.assert_array_equal(clip.joints[0, 59], np.float32(moving(59)))


def test_who_lies_under_a_second_id_stood_under_the_first() -> None:
    frames = {frame: [(ID, moving(frame))] for frame in range(35)}
    for frame in range(35, 70):
        lying = chair(frame)
        frames[frame] = [(ID + 1, lying - lying[1] + moving(34)[1])]
    clip, dropped = choose(frames)
    assert (clip.present.sum(axis=1).tolist(), dropped) == ([70], [])


def test_a_short_piece_of_a_handed_over_body_is_not_noise() -> None:
    frames = {frame: [(ID + (frame >= 20) + (frame >= 26), moving(frame))] for frame in range(50)}
    clip, dropped = choose(frames)
    assert (clip.joints.shape[0], clip.present.sum(), dropped) == (1, 50, [])


@pytest.mark.parametrize(("gap", "metres"), [(0, 0.5), (10, 0.9), (50, 1.1), (50, 3.0)])
def test_somebody_at_another_place_is_not_joined(gap: int, metres: float) -> None:
    frames = {frame: [(ID, person())] for frame in range(30)}
    frames |= {frame: [(ID + 1, person(metres))] for frame in range(30 + gap, 60 + gap)}
    clip, _ = choose(frames)
    assert clip.present.sum(axis=1).tolist() == [30, 30]


def test_in_a_handover_each_person_goes_on_as_themselves() -> None:
    frames = {frame: [(ID, moving(frame)), (ID + 1, moving(frame, 0.0, x=1.2))] for frame in range(30)}
    frames |= {
        frame: [(ID + 2, moving(frame, 0.0, x=1.2)), (ID + 3, moving(frame))] for frame in range(33, 60)
    }
    clip, _ = choose(frames)
    np.testing.assert_array_equal(clip.joints[0, 50], np.float32(moving(50)))
    np.testing.assert_array_equal(clip.joints[1, 50], np.float32(moving(50, 0.0, x=1.2)))


def test_the_two_most_moving_are_kept_in_order_of_motion() -> None:
    speeds = {ID: 0.0, ID + 1: 0.02, ID + 2: 0.01}
    frames = {
        frame: [(body, moving(frame, speed, x=1.5 * (body - ID))) for body, speed in speeds.items()]
        for frame in range(30)
    }
    clip, dropped = choose(frames)
    np.testing.assert_array_equal(clip.joints[0, 3], np.float32(moving(3, 0.02, x=1.5)))
    np.testing.assert_array_equal(clip.joints[1, 3], np.float32(moving(3, 0.01, x=3.0)))
    assert [body.body_id for body in dropped] == [ID]
    assert "more than 2 actors" in dropped[0].reason


def test_zero_joints_are_absence() -> None:
    frames = {frame: [(ID, moving(frame) if frame != 5 else np.zeros((25, 3)))] for frame in range(20)}
    clip, _ = choose(frames)
    assert np.flatnonzero(~clip.present[0]).tolist() == [5]


def test_nobody_at_all_is_an_error() -> None:
    with pytest.raises(
        ClipError, match=r"S001C001P001R001A001\.skeleton: expected a body, found none in 8 frames"
    ):
        choose({frame: [] for frame in range(8)})


@pytest.mark.parametrize("action", [1, max(made.TWO_PERSON)])
def test_the_made_people_are_found_among_drops_handovers_and_noise(action: int) -> None:
    events = 0
    for numbers in made.names(subjects=6):
        if numbers[-1] != action:
            continue
        truth = made.clip(*numbers)
        recording = skeleton_file.parse(made.to_text(truth), f"{truth.name}.skeleton")
        clip, _ = bodies.choose(recording, NTU25)
        assert len(clip.joints) == len(truth.actors), truth.name
        expected = []
        for actor in range(len(truth.actors)):
            joints = np.zeros((truth.frame_count, 25, 3))
            for body in truth.bodies:
                if body.actor == actor:
                    joints[body.frames] = body.joints
            expected.append(joints)
        order = (
            [0] if len(expected) == 1 else np.argsort([abs(clip.joints[0] - one).max() for one in expected])
        )
        for found, actor in zip(clip.joints, order, strict=True):
            np.testing.assert_allclose(found, expected[actor], atol=1e-5, err_msg=truth.name)
        events += len(truth.bodies) != len(truth.actors)
    assert events >= 2  # hand-overs and noise bodies do occur
