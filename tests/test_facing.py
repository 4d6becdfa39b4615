"""Clips turned to the camera by all poses so far."""

import math

import pytest
import torch

from action_indrnn import config, models
from action_indrnn.config import Config
from action_indrnn.data_prep import layout
from action_indrnn.facing import Facing

NTU = layout.load("ntu25")
SMALL = {
    "plain": ("model.units=8", "model.layers=2"),
    "residual": ("model.units=8", "model.blocks=1"),
    "dense": ("model.growth_rate=3", "model.blocks=[1]"),
    "convolutional": ("model.channels=[4]",),
    "lstm": ("model.units=8",),
    "graph": ("model.channels=4", "model.units=8"),
    "live": ("model.units=8",),
    "best": ("model.units=8", "beside.channels=4", "beside.units=8"),
}


def settings(kind: str, *more: str) -> Config:
    return config.load(kind, (*SMALL[kind], "data.facing=true", *more))


def turned(x: torch.Tensor, degrees: float) -> torch.Tensor:
    """Clips (T, B, F) turned about y."""
    cos, sin = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    turn = torch.tensor([[cos, 0, -sin], [0, 1, 0], [sin, 0, cos]], dtype=x.dtype)
    return (x.unflatten(2, (-1, 3)) @ turn).flatten(2)


def test_by_hand() -> None:
    facing = Facing(3, ((0, 1),))
    x = torch.zeros(4, 1, 6, 3)
    x[0, 0, 1] = torch.tensor([0.0, 5.0, 2.0])  # the line runs along z
    x[1, 0, 1] = torch.tensor([2.0, 5.0, 0.0])  # along x: the mean is between
    x[3, 0, 1] = torch.tensor([0.0, 5.0, -2.0])  # in step 2 nobody is there; the mean is along x
    x[[0, 1, 3], 0, 5] = torch.tensor([1.0, 1.0, 0.0])  # of the other body
    found, state = facing(x.flatten(2))
    points = found.view(4, 6, 3)
    root = 2**0.5
    torch.testing.assert_close(
        points[:, 1], torch.tensor([[2.0, 5, 0], [root, 5, -root], [0, 0, 0], [0, 5, -2]])
    )
    torch.testing.assert_close(
        points[:, 5], torch.tensor([[0.0, 1, -1], [0.5 * root, 1, -0.5 * root], [0, 0, 0], [1, 1, 0]])
    )
    assert state.tolist() == [[2, 0]]


def test_before_anybody_is_there_nothing_is_turned() -> None:
    x = torch.zeros(2, 1, 6)
    x[:, 0, 3:] = torch.tensor([1.0, 2.0, 3.0])
    facing = Facing(2, ((0, 0),))  # a line of no length
    assert torch.equal(facing(x)[0], x)


def test_backwards_it_is_the_mean_of_later_steps() -> None:
    x = torch.randn(6, 2, 150)
    ahead, back = Facing(25, NTU.across), Facing(25, NTU.across)
    back.reverse = True
    expected, last = ahead(x.flip(0))
    found, first = back(x)
    torch.testing.assert_close(found.flip(0), expected)
    torch.testing.assert_close(first, last)


@pytest.mark.parametrize("kind", SMALL)
def test_streamed_is_whole_and_which_way_all_turn_is_nothing(kind: str) -> None:
    torch.manual_seed(0)
    model = models.build(settings(kind), 150, 4, NTU).eval()
    x = torch.randn(9, 3, 150)
    x[2:4, 1, 75:] = 0
    whole, after = model(x)
    for cuts in ((1, 8), (4, 2, 3), (1,) * 9):
        state = None
        for piece in x.split(cuts):
            logits, state = model(piece, state)
        torch.testing.assert_close(logits, whole, rtol=1e-4, atol=1e-5)
        for ours, theirs in zip(state, after, strict=True):
            torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-5)
    assert whole.std(dim=0).max() > 0
    torch.testing.assert_close(model(turned(x, 70))[0], whole, rtol=1e-3, atol=1e-4)
    plain = settings(kind, "data.facing=false")
    torch.manual_seed(0)
    other = models.build(plain, 150, 4, NTU).eval()
    assert all(torch.equal(one, model.state_dict()[name]) for name, one in other.state_dict().items())
    assert (other(turned(x, 70))[0] - other(x)[0]).abs().max() > 1e-3


def test_in_training_a_clip_is_turned_further_as_a_whole() -> None:
    torch.manual_seed(0)
    facing = Facing(25, NTU.across, rotation=30)
    x = torch.randn(6, 40, 150)
    further, state = facing(x)
    facing.eval()
    plain, same = facing(x)
    assert torch.equal(state, same)
    one, other = (y.unflatten(2, (-1, 3)) for y in (further, plain))
    torch.testing.assert_close(one[..., 1], other[..., 1])
    angle = torch.atan2(one[..., 2], one[..., 0]) - torch.atan2(other[..., 2], other[..., 0])
    angle = torch.rad2deg((angle + 3 * math.pi) % (2 * math.pi) - math.pi)  # (T, B, P)
    each = angle.mean(dim=(0, 2))
    torch.testing.assert_close(angle, each[None, :, None].expand_as(angle), atol=0.1, rtol=0)
    assert 20 < each.abs().max() < 30.1
    assert each.min() < -15
    assert each.max() > 15


def test_both_directions_face_by_their_own_steps() -> None:
    model = models.build(settings("plain", "model.bidirectional=true"), 150, 4, NTU).eval()
    assert [one.reverse for one in model.modules() if isinstance(one, Facing)] == [False, True]
    x = torch.randn(5, 2, 150)
    torch.testing.assert_close(model(turned(x, -130))[0], model(x)[0], rtol=1e-3, atol=1e-4)


def test_joints_without_left_and_right_are_not_turned() -> None:
    row = layout.from_table({**NTU.table(), "across": [], "pairs": []}, "here")
    assert models.build(settings("plain"), 150, 4, row).facing is None
    with pytest.raises(ValueError, match=r"data\.facing: expected a joint layout, found none"):
        models.build(settings("plain"), 150, 4)
