import math

import numpy as np
import pytest
import torch

from action_indrnn import augment


def clips(seed: int = 0) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(seed).normal(size=(4, 3, 12)).astype(np.float32))


@pytest.mark.parametrize(
    ("axis", "point", "turned"),
    [(0, (0, 1, 0), (0, 0, 1)), (1, (0, 0, 1), (1, 0, 0)), (2, (1, 0, 0), (0, 1, 0))],
)
def test_a_quarter_turn_about_an_axis(axis: int, point: tuple, turned: tuple) -> None:
    uniform = torch.full((1, 4), 0.5, dtype=torch.float64)  # the middle: no turn, no other size
    uniform[0, axis] = 0.75
    found = augment.vary(torch.tensor([[point]], dtype=torch.float32), uniform, rotation=180, scaling=0.5)
    torch.testing.assert_close(found, torch.tensor([[turned]], dtype=torch.float32), atol=1e-6, rtol=0)


def test_a_turn_keeps_all_distances_and_zeros() -> None:
    x = clips()
    x[1, 2] = 0
    found = augment.vary(x, torch.rand(3, 4, dtype=torch.float64), rotation=30, scaling=0.0)
    points, turned = x.view(4, 3, 4, 3), found.view(4, 3, 4, 3)
    torch.testing.assert_close(torch.cdist(turned, turned), torch.cdist(points, points), atol=1e-5, rtol=1e-5)
    assert (turned - points).abs().max() > 0.01
    assert not found[1, 2].any()


def test_size_and_angle_stay_in_their_range_and_reach_its_ends() -> None:
    x = torch.tensor([1.0, 0, 0]).expand(1, 2000, 3).contiguous()
    uniform = torch.from_numpy(np.random.default_rng(0).random((2000, 4)))
    size = augment.vary(x, uniform, rotation=0, scaling=0.25)[0].norm(dim=1)
    assert 0.75 <= size.min() < 0.76
    assert 1.24 < size.max() <= 1.25
    uniform[:, :2] = 0.5
    turned = augment.vary(x, uniform, rotation=20, scaling=0)[0]
    angle = torch.atan2(turned[:, 1], turned[:, 0])
    assert angle.abs().max() == pytest.approx(math.radians(20), rel=0.01)


def test_a_clip_s_turn_does_not_depend_on_its_company() -> None:
    x, uniform = clips(), torch.from_numpy(np.random.default_rng(1).random((3, 4)))
    whole = augment.vary(x, uniform, 20, 0.1)
    torch.testing.assert_close(augment.vary(x[:, 1:2].contiguous(), uniform[1:2], 20, 0.1), whole[:, 1:2])


def middle(*shape: int) -> torch.Tensor:
    return torch.full(shape, 0.5, dtype=torch.float64)


def test_shear_shifts_one_axis_with_another() -> None:
    points = torch.tensor([[[1.0, 2, 3]]])
    assert torch.equal(augment.shear(points, middle(1, 6), 0.5), points)
    uniform = middle(1, 6)
    uniform[0, 0] = 1.0  # x goes with y
    assert augment.shear(points, uniform, 0.5).tolist() == [[[2, 2, 3]]]
    uniform = middle(1, 6)
    uniform[0, 4] = 0.0  # z goes with x, backwards
    assert augment.shear(points, uniform, 0.5).tolist() == [[[1, 2, 2.5]]]


def test_a_mirror_image_swaps_left_and_right_and_twice_is_none() -> None:
    swapped = augment.mirrored_joints(3, [(0, 2)])
    x = torch.arange(1.0, 37).view(1, 2, 18)
    found = augment.mirror(x, torch.tensor([0.4, 0.6]), 0.5, swapped)
    assert found[0, 0].tolist() == [-7, 8, 9, -4, 5, 6, -1, 2, 3, -16, 17, 18, -13, 14, 15, -10, 11, 12]
    assert torch.equal(found[:, 1], x[:, 1])
    assert torch.equal(augment.mirror(found, torch.tensor([0.4, 0.6]), 0.5, swapped), x)


def test_noise_leaves_what_is_not_there() -> None:
    x = torch.ones(400, 5, 6)
    x[:, :, 3:] = 0
    noise = augment.jitter(x, torch.randn(x.shape), 0.02) - x
    assert noise[..., :3].std() == pytest.approx(0.02, rel=0.1)
    assert not noise[..., 3:].any()


def test_dropped_joints_are_gone_in_every_frame() -> None:
    x = torch.ones(4, 2, 6)
    found = augment.drop_joints(x, torch.tensor([[0.1, 0.9], [0.9, 0.3]]), 0.3)
    assert found[:, 0].tolist() == [[0, 0, 0, 1, 1, 1]] * 4
    assert torch.equal(found[:, 1], x[:, 1])


def test_a_limb_is_what_hangs_on_a_joint() -> None:
    bones = [(0, 1), (2, 1), (3, 2), (4, 3), (5, 1)]  # child, parent: an arm of three among six joints
    assert augment.limbs_of(6, bones).int().tolist() == [
        [1, 0, 0, 0, 0, 0],
        [0, 1, 0, 0, 0, 0],  # all the body hangs on it
        [0, 0, 1, 1, 1, 0],
        [0, 0, 0, 1, 1, 0],
        [0, 0, 0, 0, 1, 0],
        [0, 0, 0, 0, 0, 1],
    ]


def test_a_limb_of_another_clip_hangs_on_the_body() -> None:
    bones = [(0, 1), (2, 1), (3, 2), (4, 3), (5, 1), (6, 5), (7, 5), (8, 7)]  # two limbs: 2, 3, 4 and 5 to 8
    limbs = augment.limbs_of(9, bones)
    forks = augment.forks_of(limbs, bones)
    assert forks.tolist() == [[2, 1], [5, 1]]
    x, other = torch.randn(10, 4, 54), torch.randn(10, 4, 54)
    x[:, 1, 27:] = 0  # one body, and one that the other clip does not show throughout
    other[3, 2, :27] = 0
    uniform = torch.tensor([0.1, 0.9]).repeat(4, 2, 1)
    uniform[0, 1, 1], uniform[3, 0, 0] = 0.4, 0.3  # the other limb; none
    found = augment.graft(x, other, uniform, 0.3, limbs, forks).view(10, 4, 2, 9, 3)
    own, new = x.view(found.shape), other.view(found.shape)
    expected = own.clone()
    for clip, body, limb in (
        (0, 0, slice(5, 9)),
        (0, 1, slice(2, 5)),
        (1, 0, slice(5, 9)),
        (3, 1, slice(5, 9)),
        (2, 1, slice(5, 9)),
    ):
        way = own[:, clip, body, 1] - new[:, clip, body, 1]
        expected[:, clip, body, limb] = new[:, clip, body, limb] + way[:, None]
    torch.testing.assert_close(found, expected)


def test_a_lost_limb_stands_elsewhere_for_a_while_and_trembles() -> None:
    limbs = augment.limbs_of(3, [(1, 0), (2, 1)])  # of three in a chain only the last is a limb
    x = torch.randn(10, 4, 18)
    x[:, 1, 9:] = 0  # the second body is not there
    x[3, 3] = 0  # nor anybody for a moment
    # Whether, which joint, from when on, for how long: joint 2 of the clips but the third, from step 2 to 5.
    uniform = torch.tensor([0.1, 0.9, 0.2, 0.8]).repeat(4, 2, 1)
    uniform[2, :, 0] = 0.4
    normal = torch.randn(11, 4, 2, 3)
    found = augment.glitch(x, uniform, normal, 0.3, limbs)
    moved = (found != x).view(10, 4, 2, 3, 3).any(dim=4)
    expected = torch.zeros(10, 4, 2, 3, dtype=torch.bool)
    expected[2:6, :, :, 2] = True
    expected[:, 1, 1], expected[:, 2], expected[3, 3] = False, False, False
    assert torch.equal(moved, expected)
    way = (found - x).view(10, 4, 2, 3, 3)[2:6, 0, 0, 2]
    torch.testing.assert_close(way, 0.15 * normal[0, 0, 0] + 0.05 * normal[3:7, 0, 0])


def test_displaced_joints_take_along_what_hangs_on_them_throughout() -> None:
    limbs = augment.limbs_of(6, [(0, 1), (2, 1), (3, 2), (4, 3), (5, 1)])  # an arm: 2, 3, 4
    x = torch.randn(10, 2, 36)
    x[3:5, 0, 18:] = 0  # the second body is away for a moment
    uniform = torch.full((2, 2, 7), 0.9)
    uniform[:, :, 6] = 0.4  # all bodies but one
    uniform[1, 0, 6] = 0.6
    uniform[:, :, 2], uniform[:, :, 4] = 0.2, 0.3  # of 2 / 6
    normal = torch.randn(2, 2, 6, 3)
    found = (augment.displace(x, uniform, normal, 0.5, limbs) - x).view(10, 2, 2, 6, 3)
    expected = torch.zeros(10, 2, 2, 6, 3)
    expected[:, :, :, 2:5] = 0.1 * normal[:, :, 2:3]
    expected[:, :, :, 4] += 0.1 * normal[:, :, 4]
    expected[3:5, 0, 1], expected[:, 1, 0] = 0, 0
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-6)


def test_a_body_is_dropped_only_beside_another() -> None:
    x = torch.ones(3, 4, 12)
    x[:, 3, :6] = 0  # the second alone
    uniform = torch.tensor([[0.1, 0.2], [0.1, 0.7], [0.9, 0.2], [0.1, 0.2]])
    found = augment.drop_bodies(x, uniform, 0.5, 2)
    assert [[int(b.any()) for b in clip.view(2, 6)] for clip in found[0]] == [[0, 1], [1, 0], [1, 1], [0, 1]]


def test_people_are_not_seen_for_a_while() -> None:
    x = torch.ones(10, 5, 12)
    x[:, 3, 6:] = 0  # one body
    uniform = torch.tensor(
        [
            [0.2, 0.1, 0.2, 0.8],  # everybody
            [0.2, 0.7, 0.2, 0.8],  # the first
            [0.2, 0.8, 0.8, 0.9],  # the second, to the end
            [0.2, 0.9, 0.2, 0.8],  # the only one
            [0.3, 0.1, 0.2, 0.8],  # nobody
        ]
    )
    found = augment.absence(x, uniform, 0.3, 2)
    expected = x.clone()
    expected[2:6, 0], expected[2:6, 1, :6], expected[8:, 2, 6:], expected[2:6, 3] = 0, 0, 0, 0
    assert torch.equal(found, expected)


def test_timing_crops_and_changes_speed() -> None:
    lengths = torch.tensor([100, 100, 1])
    uniform = torch.tensor([[0.0, 0.99, 1.0], [1.0, 0.5, 0.0], [0.0, 0.5, 0.5]], dtype=torch.float64)
    found = augment.timing(lengths, uniform, 0.5, 1.0)
    assert found.start.tolist() == [50, 0, 0]
    assert found.length.tolist() == [50, 100, 1]
    assert found.played.tolist() == [25, 200, 1]
    frames = found.frames(torch.tensor([[-1, 0, 24], [0, 1, 199], [-1, 0, 0]]))
    assert frames.tolist() == [[-1, 50, 98], [0, 0, 99], [-1, 0, 0]]


def test_a_spliced_clip_begins_with_the_end_of_another() -> None:
    x, before = (
        torch.arange(20.0).view(20, 1, 1).expand(20, 3, 2),
        -torch.arange(20.0).view(20, 1, 1).expand(20, 3, 2),
    )
    uniform = torch.tensor([[0.1, 0.5], [0.9, 0.5], [0.0, 0.999]])  # a cut of 7, none, the largest
    found = augment.splice(x, before, uniform, 0.5)
    assert found[:7, 0, 0].tolist() == [-13, -14, -15, -16, -17, -18, -19]
    assert found[7:, 0, 1].tolist() == list(range(13))
    assert torch.equal(found[:, 1], x[:, 1])
    assert found[:, 2, 0].tolist() == [*range(-6, -20, -1), *range(6)]
