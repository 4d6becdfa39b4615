from dataclasses import replace

import numpy as np
import pytest

from action_indrnn.data_prep import layout
from action_indrnn.data_prep.clip import Clip
from action_indrnn.data_prep.normalize import (
    MEAN_BONE,
    VIEWS,
    View,
    alignment,
    normalize,
    placement,
)

from .conftest import person

NTU25 = layout.load("ntu25")


def two_people() -> Clip:
    joints = np.float32([[person(0.1 * frame, 0.2) for frame in range(4)], [person(1.0, z=2.0)] * 4])
    present = np.array([[False, True, True, True], [True, True, False, True]])
    joints[~present] = 0
    return Clip("a", joints, present)


@pytest.mark.parametrize("view", [view for view in VIEWS if view != "raw"])
def test_the_main_actor_starts_at_the_origin(view) -> None:
    clip = normalize(two_people(), NTU25, view)
    np.testing.assert_allclose(clip.joints[0, 1, NTU25.centre], 0, atol=1e-6)
    assert not clip.joints[~clip.present].any()
    assert clip.joints.dtype == np.float32


def test_raw_joints_stay_as_recorded() -> None:
    np.testing.assert_array_equal(normalize(two_people(), NTU25, "raw").joints, two_people().joints)


def test_motion_and_distances_stay() -> None:
    clip = normalize(two_people(), NTU25)
    np.testing.assert_allclose(clip.joints[0, 3] - clip.joints[0, 1], [[0.2, 0, 0]] * 25, atol=1e-6)
    np.testing.assert_allclose(clip.joints[1, 1] - clip.joints[0, 1], [[0.9, -0.2, -1.0]] * 25, atol=1e-6)


def test_the_whole_clip_decides_where_it_faces() -> None:
    joints = np.float32([[person(), person(), person()]])
    joints[0, 2, [4, 8]] += [[0, 0, -0.3], [0, 0, 0.3]]  # turns in the last frame
    clip = Clip("a", joints, np.ones((1, 3), bool))
    left, right = np.array(NTU25.across).T
    turned = normalize(clip, NTU25, "whole-clip").joints[0]
    depths = (turned[:, right] - turned[:, left]).mean(axis=1)[:, 2]
    assert depths.mean() == pytest.approx(0, abs=1e-6)
    assert depths[0] < -0.02 < 0.02 < depths[2]


@pytest.mark.parametrize("view", ["first-frame", "whole-clip"])
@pytest.mark.parametrize("degrees", [-90, -45, 10, 45, 120])
def test_a_view_undoes_a_turn_of_the_camera(degrees: float, view: View) -> None:
    angle = np.deg2rad(degrees)
    turn = np.float32([[np.cos(angle), 0, np.sin(angle)], [0, 1, 0], [-np.sin(angle), 0, np.cos(angle)]])
    clip = two_people()
    turned = Clip("a", clip.joints @ turn.T, clip.present)
    straight = normalize(clip, NTU25, view)
    np.testing.assert_allclose(normalize(turned, NTU25, view).joints, straight.joints, atol=1e-5)
    assert np.abs(normalize(turned, NTU25).joints - normalize(clip, NTU25).joints).max() > 0.05
    left, right = straight.joints[0, 1, 4], straight.joints[0, 1, 8]
    assert left[0] < right[0]  # facing the camera
    np.testing.assert_allclose(straight.joints[..., 1], normalize(clip, NTU25).joints[..., 1], atol=1e-6)


@pytest.mark.parametrize("view", VIEWS)
def test_normalising_twice_changes_nothing(view) -> None:
    once = normalize(two_people(), NTU25, view)
    np.testing.assert_allclose(normalize(once, NTU25, view).joints, once.joints, atol=1e-6)


def test_alignment_undoes_turn_and_size() -> None:
    pose = np.float32(person())
    angle = np.deg2rad(40)
    turn = np.float32([[np.cos(angle), 0, np.sin(angle)], [0, 1, 0], [-np.sin(angle), 0, np.cos(angle)]])
    small = 0.5 * pose @ turn.T
    one, two = (joints @ alignment(joints, NTU25).T for joints in (pose, small))
    np.testing.assert_allclose(one, two, atol=1e-5)
    child, parent = np.array(NTU25.bones).T
    assert np.linalg.norm(one[child] - one[parent], axis=1).mean() == pytest.approx(MEAN_BONE, rel=1e-5)
    origin, found = placement(small, NTU25, "camera", align=True)
    np.testing.assert_array_equal(origin, small[NTU25.centre])
    np.testing.assert_array_equal(found, alignment(small, NTU25))


def test_alignment_needs_no_bones_and_no_width() -> None:
    bare = replace(NTU25, bones=(), across=())
    np.testing.assert_array_equal(alignment(np.float32(person()), bare), np.eye(3))
    np.testing.assert_array_equal(alignment(np.zeros((25, 3), np.float32), NTU25), np.eye(3))


def test_a_body_without_width_keeps_the_camera_view() -> None:
    clip = Clip("a", np.zeros((1, 1, 25, 3), np.float32) + 1, np.ones((1, 1), bool))
    assert not normalize(clip, NTU25, "first-frame").joints.any()
