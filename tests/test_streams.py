import pytest
import torch

from action_indrnn import config
from action_indrnn.config import Config
from action_indrnn.data_prep import layout
from action_indrnn.models import build
from action_indrnn.streams import Streams

BONES = ((0, 1), (2, 1))
ALL = ("joint", "bone", "motion", "bone-motion", "distance", "distance-motion")
NTU = layout.load("ntu25")


def settings(kind: str, *more: str) -> Config:
    size = {"dense": ("model.growth_rate=3", "model.blocks=[1]")}.get(kind, ("model.units=64",))
    return config.load(kind, (*size, f"data.streams={list(ALL)}", *more))


def test_each_stream_by_hand() -> None:
    first = torch.tensor([1.0, 2, 3, 4, 5, 6, 7, 8, 10])
    second = first + torch.tensor([0.0, 0, 1, 0, 0, 0, 0, 2, 0])
    x = torch.stack((first, second))[:, None]
    found, last = Streams(9, ALL, 3, BONES)(x)
    joint, bone, motion, bone_motion, distance, change = found.split((9, 6, 9, 6, 3, 3), dim=2)
    assert torch.equal(joint, x)
    assert bone[0, 0].tolist() == [-3, -3, -3, 3, 3, 4]
    assert not motion[0].any()
    assert motion[1, 0].tolist() == [0, 0, 1, 0, 0, 0, 0, 2, 0]
    assert bone_motion[1, 0].tolist() == [0, 0, 1, 0, 2, 0]
    assert distance[0, 0].tolist() == pytest.approx([27**0.5, 11, 34**0.5])
    assert change[1, 0].tolist() == pytest.approx([22**0.5 - 27**0.5, 136**0.5 - 11, 50**0.5 - 34**0.5])
    assert torch.equal(last, x[1])
    assert not len(Streams(9, ("bone", "joint"), 3, BONES).pairs)
    chosen = Streams(9, ("bone", "joint"), 3, BONES)(x)[0]
    assert torch.equal(chosen, torch.cat((bone, joint), dim=2))


DISTANCES = ("distance", "distance-motion")


def test_distances_by_hand() -> None:
    names = ("joint", *DISTANCES)
    found = Streams(24, names, 4, ((0, 1), (2, 1), (3, 2)))  # joint 1 is the root, 0 and 3 end limbs
    assert found.pairs.tolist() == [
        *([0, 1], [0, 3], [0, 4], [0, 5], [0, 7], [1, 3], [1, 4], [1, 5], [1, 7]),
        *([3, 4], [3, 5], [3, 7], [4, 5], [4, 7], [5, 7]),
    ]
    x = torch.zeros(3, 1, 8, 3)
    x[:, 0, 0] = torch.tensor([1.0, 2, 3])
    x[:, 0, 1] = torch.tensor([1.0, 2, 2])
    x[1:, 0, 3] = torch.tensor([4.0, 6, 3])
    x[2, 0, 4:] = 1
    y, _ = found(x.flatten(2))
    joint, distance, motion = y.split((24, 15, 15), dim=2)
    assert torch.equal(joint, x.flatten(2))
    assert distance[0, 0, :2].tolist() == pytest.approx([1, 14**0.5])  # a lost joint lies at the origin
    assert distance[1, 0, :2].tolist() == pytest.approx([1, 5])
    assert motion[:, 0, 1].tolist() == pytest.approx([0, 5 - 14**0.5, 0])
    assert not distance[:2, 0, 2:5].any()  # nobody there to be far from
    assert distance[2, 0, 2].item() == pytest.approx(5**0.5)
    assert not motion[:, 0, 2:5].any()
    assert not distance[:, 0, 12:].any()


def test_distances_forget_where_the_body_is_and_which_way_it_faces() -> None:
    x = torch.randn(5, 2, 150, dtype=torch.float64)
    turn = torch.linalg.qr(torch.randn(3, 3, dtype=torch.float64)).Q
    moved = (x.view(5, 2, 50, 3) @ turn + torch.randn(3, dtype=torch.float64)).flatten(2)
    streams = Streams(150, DISTANCES, 25, NTU.bones)
    torch.testing.assert_close(streams(moved)[0], streams(x)[0])
    assert streams.width == 2 * 66
    names = {NTU.joints[int(end) % 25] for end in streams.pairs.flatten()}
    assert names == {
        "head",
        "left foot",
        "right foot",
        "left hand tip",
        "right hand tip",
        "spine at shoulders",
    }


def test_joints_in_one_place_have_a_gradient() -> None:
    x = torch.zeros(2, 1, 150, requires_grad=True)
    y = torch.ones(2, 1, 150) + x
    Streams(150, DISTANCES, 25, NTU.bones)(y)[0].sum().backward()
    assert x.grad is not None
    assert torch.isfinite(x.grad).all()


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
    with pytest.raises(ValueError, match="a joint layout with bones, found none"):
        Streams(9, ("distance",), 3, ())
    with pytest.raises(ValueError, match=r"data\.streams: expected a non-empty list, each element one of"):
        config.load("plain", ("data.streams=['velocity']",))
