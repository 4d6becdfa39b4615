import math

import pytest
import torch

from action_indrnn import features
from action_indrnn.features import JointLineDistances, TimeDifference


def triangle_height(p0: list[float], p1: list[float], p2: list[float]) -> float:
    """The distance of p0 to the line p1 p2: twice Heron's area over the base, in double precision."""
    a, b, c = math.dist(p1, p2), math.dist(p0, p1), math.dist(p0, p2)
    s = (a + b + c) / 2
    return 2 * math.sqrt(max(s * (s - a) * (s - b) * (s - c), 0)) / (a + 1e-5)


def expected(x: torch.Tensor, line: int, place: int, body: int) -> float:
    """One distance of a frame (F,), from the definition."""
    points = x.view(-1, 25, 3)[body].tolist()
    first, second = features.LINES[line]
    others = [joint for joint in range(1, 26) if joint not in (first, second)]
    return triangle_height(points[others[place] - 1], points[first - 1], points[second - 1])


def test_lines_are_the_published_39() -> None:
    assert len(features.LINES) == 39
    assert len({frozenset(line) for line in features.LINES}) == 39
    assert features.DISTANCES == 897
    limbs, far, ends = features.LINES[:24], features.LINES[24:29], features.LINES[29:]
    assert len({joint for line in limbs for joint in line}) == 25  # a tree over all joints
    assert far == ((19, 17), (12, 9), (15, 13), (5, 8), (4, 2))
    assert {joint for line in ends for joint in line} == {19, 15, 4, 12, 5}


def test_distances_agree_with_a_scalar_formula() -> None:
    torch.manual_seed(0)
    x = torch.randn(13, 12, 150)  # more bodies than are taken at once
    y = JointLineDistances(150)(x)
    assert y.shape == (13, 12, 1944)
    assert y.dtype == torch.float32
    torch.testing.assert_close(y[..., 1794:], x, rtol=0, atol=0)
    found = y[..., :1794].unflatten(2, (39, 23, 2))
    for t, b in ((0, 0), (7, 3), (12, 11)):
        for line in range(39):
            for place in range(23):
                for body in range(2):
                    assert found[t, b, line, place, body].item() == pytest.approx(
                        expected(x[t, b], line, place, body), rel=1e-4, abs=2e-6
                    )


def test_nearly_straight_limbs_keep_their_digits() -> None:
    joints = torch.randn(25, 3, generator=torch.Generator().manual_seed(0))
    joints[10], joints[11] = torch.tensor([0.0, 0.0, 3.0]), torch.tensor([0.0, 0.25, 3.0])  # wrist, hand
    bends = [0.0, 1e-6, 1e-5, 1e-4, 1e-3]  # metres, of an elbow off the line wrist - hand
    x = joints.repeat(len(bends), 1, 1)
    x[:, 9] = torch.tensor([[bend, -0.25, 3.0] for bend in bends])
    y = JointLineDistances(75)(x.flatten(1)[:, None])[:, 0, :897].view(-1, 39, 23)
    elbow = y[:, features.LINES.index((11, 12)), 9]
    torch.testing.assert_close(elbow, torch.tensor(bends) * 0.25 / (0.25 + 1e-5), rtol=1e-6, atol=0)


def test_no_length_and_nobody_give_zero_and_a_finite_gradient() -> None:
    x = torch.randn(2, 1, 150, generator=torch.Generator().manual_seed(0))
    x[0, 0, 75:] = 0  # no second body
    x[1, 0, 9:12] = x[1, 0, 6:9]  # head and neck in one place
    x.requires_grad_()
    y = JointLineDistances(150)(x)
    found = y[..., :1794].unflatten(2, (39, 23, 2))
    assert not found[0, 0, :, :, 1].any()
    assert not found[1, 0, 0, :, 0].any()
    assert (found[1, 0, 0, :, 1] > 0).all()
    y.sum().backward()
    assert x.grad.isfinite().all()


def test_single_precision_is_enough() -> None:
    x = torch.randn(40, 5, 150, generator=torch.Generator().manual_seed(0)) + 3
    single, double = JointLineDistances(150)(x), JointLineDistances(150)(x.double())
    torch.testing.assert_close(single.double(), double, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("width", [1, 60, 149, 0])
def test_other_bodies_are_refused(width: int) -> None:
    with pytest.raises(ValueError, match=f"expected bodies of 25 joints .*, found {width} features"):
        JointLineDistances(width)


def test_a_difference_is_that_to_the_frame_before() -> None:
    x = torch.tensor([1.0, 4.0, 2.0]).view(3, 1, 1)
    y, last = TimeDifference(1)(x)
    assert y.squeeze(1).tolist() == [[1, 1], [4, 3], [2, -2]]  # the first as published: its own value
    assert last.tolist() == [[2]]
    again, _ = TimeDifference(1)(torch.tensor([[[5.0]]]), last)
    assert again.flatten().tolist() == [5, 3]


def test_in_reverse_a_difference_is_that_to_the_frame_after() -> None:
    difference = TimeDifference(1)
    difference.reverse = True
    y, last = difference(torch.tensor([1.0, 4.0, 2.0]).view(3, 1, 1))
    assert y.squeeze(1).tolist() == [[1, -3], [4, 2], [2, 2]]
    assert last.tolist() == [[1]]
