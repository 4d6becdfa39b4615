import pytest
import torch

from action_indrnn import config
from action_indrnn.config import Config
from action_indrnn.data_prep import layout
from action_indrnn.models import build
from action_indrnn.streams import Streams

BONES = ((0, 1), (2, 1))
ALL = ("joint", "bone", "motion", "bone-motion")
NTU = layout.load("ntu25")


def settings(kind: str, *more: str) -> Config:
    size = {"dense": ("model.growth_rate=3", "model.blocks=[1]")}.get(kind, ("model.units=64",))
    return config.load(kind, (*size, f"data.streams={list(ALL)}", *more))


def test_each_stream_by_hand() -> None:
    first = torch.tensor([1.0, 2, 3, 4, 5, 6, 7, 8, 10])
    second = first + torch.tensor([0.0, 0, 1, 0, 0, 0, 0, 2, 0])
    x = torch.stack((first, second))[:, None]
    found, last = Streams(9, ALL, 3, BONES)(x)
    joint, bone, motion, bone_motion = found.split((9, 6, 9, 6), dim=2)
    assert torch.equal(joint, x)
    assert bone[0, 0].tolist() == [-3, -3, -3, 3, 3, 4]
    assert not motion[0].any()
    assert motion[1, 0].tolist() == [0, 0, 1, 0, 0, 0, 0, 2, 0]
    assert bone_motion[1, 0].tolist() == [0, 0, 1, 0, 2, 0]
    assert torch.equal(last, x[1])
    chosen = Streams(9, ("bone", "joint"), 3, BONES)(x)[0]
    assert torch.equal(chosen, torch.cat((bone, joint), dim=2))


def test_coming_and_going_are_no_motion() -> None:
    x = torch.zeros(4, 1, 18)
    x[:, 0, :9] = torch.arange(4.0)[:, None] + 1  # the first body moves by 1 in every frame
    x[1:3, 0, 9:] = 5  # the second is there in two frames and rests
    motion = Streams(18, ("motion",), 3, ())(x)[0]
    assert motion[:, 0, 0].tolist() == [0, 1, 1, 1]
    assert not motion[:, 0, 9:].any()


def test_time_walked_backwards() -> None:
    x = torch.randn(5, 2, 9)
    ahead, back = Streams(9, ALL, 3, BONES), Streams(9, ALL, 3, BONES)
    back.reverse = True
    expected, last = ahead(x.flip(0))
    found, first = back(x)
    assert torch.equal(found.flip(0), expected)
    assert torch.equal(first, last)


@pytest.mark.parametrize("kind", ["plain", "residual", "dense", "dense_fa_geo"])
def test_a_stream_gives_what_the_whole_clip_gives(kind: str) -> None:
    if kind == "dense_fa_geo":
        chosen = config.load(
            kind, ("model.growth_rate=3", "model.blocks=[1]", "data.streams=['bone', 'motion']")
        )
    else:
        chosen = settings(kind)
    torch.manual_seed(0)
    model = build(chosen, 150, 4, NTU).eval()
    x = torch.randn(7, 3, 150)
    x[2:4, :, 75:] = 0
    whole, after = model(x)
    state = None
    for frame in x:
        logits, state = model(frame[None], state)
    torch.testing.assert_close(logits, whole)
    assert whole.std(dim=0).max() > 0
    for ours, theirs in zip(state, after, strict=True):
        torch.testing.assert_close(ours, theirs)


def test_motion_reaches_the_network() -> None:
    torch.manual_seed(0)
    model = build(
        config.load("plain", ("model.units=64", "model.layers=2", "data.streams=['motion']")), 150, 4, NTU
    ).eval()
    x = torch.randn(1, 1, 150).expand(5, 1, 150)
    torch.testing.assert_close(model(x)[0], model(3 * x)[0])  # who stands still looks like nobody
    assert (model(torch.randn(5, 1, 150))[0] - model(x)[0]).abs().max() > 1e-4


def test_joints_alone_change_nothing() -> None:
    plain = config.load("plain", ("model.units=6",))
    torch.manual_seed(3)
    expected = build(plain.model, 150, 4).state_dict()
    torch.manual_seed(3)
    model = build(plain, 150, 4, NTU)
    assert model.streams is None
    assert all(torch.equal(value, expected[name]) for name, value in model.state_dict().items())


def test_both_directions_have_their_streams() -> None:
    model = build(settings("plain", "model.bidirectional=true"), 150, 4, NTU).eval()
    assert model(torch.randn(5, 2, 150))[0].shape == (2, 4)
    assert [module.reverse for module in model.modules() if isinstance(module, Streams)] == [False, True]


def test_what_cannot_be() -> None:
    with pytest.raises(ValueError, match="expected a joint layout for joint, bone"):
        build(settings("plain"), 150, 4)
    with pytest.raises(ValueError, match="convolutional network expects joint alone, found bone"):
        build(config.load("convolutional", ("data.streams=['bone']",)), 150, 4, NTU)
    with pytest.raises(ValueError, match="bodies of 25 joints in 3 coordinates, found 100 features"):
        Streams(100, ALL, 25, BONES)
    with pytest.raises(ValueError, match="a joint layout with bones, found none"):
        Streams(9, ("bone",), 3, ())
    with pytest.raises(ValueError, match=r"data\.streams: expected a non-empty list, each element one of"):
        config.load("plain", ("data.streams=['velocity']",))
