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
