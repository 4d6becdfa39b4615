import pytest
import torch

from action_indrnn import config
from action_indrnn.data_prep import layout
from action_indrnn.data_prep.layout import Legs
from action_indrnn.legs import Uncross
from action_indrnn.models import Bidirectional, build

NTU = layout.load("ntu25")
SMALL = ("model.units=8", "model.layers=1", "data.uncross=true")


def standing() -> torch.Tensor:
    """Two persons (1, 1, 150) who stand straight, the second turned by a right angle; left is x or z."""
    bodies = torch.rand(2, 25, 3) * 0.1 + torch.tensor([0.5, 1.0, 3.0])
    for joint, name in enumerate(NTU.joints):
        for side, sign in (("left", 1), ("right", -1)):
            if name.startswith(side):
                bodies[0, joint, 0] += 0.3 * sign
                bodies[1, joint, 2] += 0.3 * sign
    return bodies.view(1, 1, 150)


def with_legs_swapped(x: torch.Tensor, body: int) -> torch.Tensor:
    bodies = x.clone().view(2, 25, 3)
    for side in ("knee", "ankle", "foot"):
        left, right = NTU.joints.index(f"left {side}"), NTU.joints.index(f"right {side}")
        bodies[body, [left, right]] = bodies[body, [right, left]]
    return bodies.view(x.shape)


@pytest.mark.parametrize("name", ["ntu25", "kinect20", "msr20", "sbu15", "florence15", "azure32", "h36m17"])
def test_every_layout_has_legs(name: str) -> None:
    joints = layout.load(name)
    legs = joints.legs
    assert legs is not None
    named = {joints.joints[joint] for pair in legs.swapped for joint in pair}
    assert {"left knee", "right knee"} < named
    assert all(name.split()[1] in ("knee", "ankle", "foot", "toe", "heel") for name in named)
    assert (joints.joints[legs.hips[0]], joints.joints[legs.hips[1]]) == ("left hip", "right hip")


@pytest.mark.parametrize("body", [0, 1])
def test_swapped_legs_are_put_back(body: int) -> None:
    assert NTU.legs is not None
    uncross = Uncross(150, 25, NTU.legs)
    x = standing()
    assert torch.equal(uncross(x), x)
    wrong = with_legs_swapped(x, body)
    assert not torch.equal(wrong, x)
    assert torch.equal(uncross(wrong), x)
    turn = torch.linalg.qr(torch.randn(3, 3)).Q
    turned = (wrong.view(50, 3) @ turn).view(wrong.shape)
    torch.testing.assert_close(uncross(turned), (x.view(50, 3) @ turn).view(x.shape), rtol=0, atol=0)


def test_who_is_not_whole_stays() -> None:
    uncross = Uncross(12, 4, Legs((0, 1), (2, 3), ((2, 3),)))
    x = torch.tensor([1.0, 0, 0, -1, 0, 0, -1, -1, 0, 1, -1, 0])[None, None]  # crossed
    assert uncross(x)[0, 0, 6:].tolist() == [1, -1, 0, -1, -1, 0]
    for joint in range(4):
        lost = x.clone()
        lost[..., 3 * joint : 3 * joint + 3] = 0
        assert torch.equal(uncross(lost), lost)
    gone = torch.full_like(x, torch.nan)
    assert uncross(gone).isnan().all()


def test_a_network_sees_legs_put_back() -> None:
    torch.manual_seed(0)
    x = torch.cat([standing() for _ in range(4)])
    wrong = x.clone()
    wrong[2:] = torch.stack([with_legs_swapped(frame[None], 0)[0] for frame in x[2:]])
    for more in ((), ("data.streams=['joint', 'motion']",), ("model.bidirectional=true",)):
        model = build(config.load("plain", (*SMALL, *more)), 150, 3, NTU).eval()
        assert torch.equal(model(x)[0], model(wrong)[0])
        if isinstance(model, Bidirectional):
            assert model.repair is None  # once is enough
        plain = build(config.load("plain", (*SMALL, *more, "data.uncross=false")), 150, 3, NTU).eval()
        plain.load_state_dict(model.state_dict())
        assert torch.equal(plain(x)[0], model(x)[0])
        assert not torch.equal(plain(wrong)[0], model(wrong)[0])


def test_a_layout_that_names_no_knees_is_left_as_it_is() -> None:
    table = NTU.table() | {"joints": [name.replace("knee", "joint") for name in NTU.joints]}
    for key in ("bones", "pairs"):
        table[key] = [[name.replace("knee", "joint") for name in row] for row in table[key]]
    other = layout.from_table(table, "test")
    assert other.legs is None
    assert build(config.load("plain", SMALL), 150, 3, other).repair is None
    with pytest.raises(ValueError, match=r"data\.uncross: expected a joint layout, found none"):
        build(config.load("plain", SMALL), 150, 3)
