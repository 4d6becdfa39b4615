from dataclasses import replace

import numpy as np
import pytest

from action_indrnn.data_prep import layout, points, posture
from action_indrnn.data_prep.clip import Clip, ClipError
from action_indrnn.data_prep.layout import Layout
from action_indrnn.data_prep.points import Points

CHAIN = {
    "name": "chain",
    "joints": ["left hand", "hip", "right hand"],
    "centre": "hip",
    "bones": [["left hand", "hip"], ["right hand", "hip"]],
    "pairs": [["left hand", "right hand"]],
    "across": [["left hand", "right hand"]],
}
RNG = np.random.default_rng(0)
# A person who faces the sensor (forward is -z): left at smaller x. NTU's joints by name: x, y, z.
STANDING = {
    "base of spine": (0, 0, 3), "middle of spine": (0, 0.3, 3), "spine at shoulders": (0, 0.5, 3),
    "neck": (0, 0.6, 3), "head": (0, 0.7, 3),
    **{
        f"{side} {joint}": (sign * x, y, z)
        for side, sign in (("left", -1), ("right", 1))
        for joint, (x, y, z) in {
            "shoulder": (0.2, 0.5, 3), "elbow": (0.2, 0.2, 3), "wrist": (0.2, 0.2, 2.8),
            "hand": (0.2, 0.2, 2.7), "hand tip": (0.2, 0.2, 2.6), "thumb": (0.15, 0.2, 2.7),
            "hip": (0.1, 0, 3), "knee": (0.1, -0.4, 2.95), "ankle": (0.1, -0.8, 3),
            "foot": (0.1, -0.85, 2.85),
        }.items()
    },
}  # fmt: skip


def chain(**more: object) -> Layout:
    return layout.from_table({**CHAIN, **more}, "chain.toml")


def convert(joints: np.ndarray, recorded: Layout, wanted: Layout | None = None, **more) -> Clip:
    return points.to_clip(Points("a", "a.npy", joints, **more), recorded, wanted or recorded)[0]


@pytest.mark.parametrize(
    ("more", "expected"),  # of the point (1, 2, 3): 1 along x, 2 along y, 3 along z
    [
        ({}, (1, 2, 3)),
        ({"up": "-y"}, (-1, -2, 3)),
        ({"up": "z"}, (1, 3, -2)),
        ({"up": "-z"}, (1, -3, 2)),
        ({"up": "x"}, (-2, 1, 3)),
        ({"up": "-x"}, (2, -1, 3)),
        ({"up": "z", "mirrored": True}, (-1, 3, -2)),
        ({"unit": "mm"}, (0.001, 0.002, 0.003)),
        ({"unit": "cm", "up": "-y"}, (-0.01, -0.02, 0.03)),
    ],
)
def test_units_and_axes(more: dict[str, object], expected: tuple[float, ...]) -> None:
    joints = RNG.uniform(-1, 1, (1, 2, 3, 3))
    joints[0, 0, 0] = (1, 2, 3)
    clip = convert(joints, chain(**more))
    np.testing.assert_allclose(clip.joints[0, 0, 0], expected, rtol=1e-6)


@pytest.mark.parametrize("up", layout.UPS)
def test_an_up_axis_turns_and_never_mirrors(up: str) -> None:
    axes = np.eye(3)[None, None]
    turned = points.house_axes(axes, chain(up=up))[0, 0]
    assert np.linalg.det(turned) == pytest.approx(1)
    direction = np.eye(3)["xyz".index(up[-1])] * (-1 if up[0] == "-" else 1)
    np.testing.assert_array_equal(direction @ turned, (0, 1, 0))


def test_a_joint_that_was_not_seen_keeps_its_last_bone() -> None:
    joints = RNG.uniform(-1, 1, (1, 4, 3, 3))
    bone = joints[0, 1, 0] - joints[0, 1, 1]
    expected = joints.copy()
    expected[0, 0, 0], expected[0, 2, 0] = joints[0, 0, 1], joints[0, 2, 1] + bone
    joints[0, 0, 0] = joints[0, 2, 0, 2] = np.nan  # before it was first seen, and later in one coordinate
    joints[0, 3] = np.nan
    clip = convert(joints, chain())
    assert clip.present.tolist() == [[True, True, True, False]]
    np.testing.assert_allclose(clip.joints[0, :3], expected[0, :3], atol=1e-6)


def test_the_two_that_move_most_stay_in_their_order() -> None:
    joints = RNG.uniform(-1, 1, (4, 6, 3, 3)) * np.array([0.1, 1, 0, 0.5])[:, None, None, None]
    joints[2] = np.nan
    clip, dropped = points.to_clip(Points("a", "a.npy", joints), chain(), chain())
    np.testing.assert_allclose(clip.joints, joints[[1, 3]], atol=1e-6)
    assert [(body.body_id, body.frames) for body in dropped] == [(0, 6)]


def test_named_joints_are_ordered_and_spare_ones_left_out() -> None:
    joints = RNG.uniform(-1, 1, (1, 2, 4, 3))
    names = ("mixamorig:RightHand", "Tail", "left_hand", "HIP")
    clip = convert(joints, chain(), names=names, spare=True)
    np.testing.assert_allclose(clip.joints, joints[:, :, [2, 3, 0]], atol=1e-6)
    with pytest.raises(ClipError, match=r"a\.npy: .*3 joints of chain, found 4; too many: Tail"):
        convert(joints, chain(), names=names)
    with pytest.raises(ClipError, match="missing: left hand; twice: HIP, hip"):
        convert(joints, chain(), names=("HIP", "hip", "right hand", "Tail"), spare=True)


@pytest.mark.parametrize("name", ["azure32", "mediapipe33", "h36m17", "kinect20"])
def test_the_maps_lead_to_ntu(name: str) -> None:
    ntu25, own = layout.load("ntu25"), layout.load(name)
    shares = points.mapping(own, ntu25, "a")
    assert shares.shape == (25, len(own.joints))
    np.testing.assert_allclose(shares.sum(axis=1), 1)
    swap = np.arange(25)  # a mirrored person maps to the mirrored person
    for left, right in ntu25.pairs:
        swap[[left, right]] = right, left
    back = np.arange(len(own.joints))
    for left, right in own.pairs:
        back[[left, right]] = right, left
    np.testing.assert_allclose(shares[swap][:, back], shares)


# Numbers of the sources' documentation that NTU's right side must come from.
NUMBERS = {
    "azure32": {
        "base of spine": [0],
        "head": [26],
        "left wrist": [7],
        "right wrist": [14],
        "right foot": [25],
    },
    "mediapipe33": {
        "base of spine": [23, 24],
        "head": [7, 8],
        "left hand": [15, 17, 19],
        "right thumb": [22],
    },
    "h36m17": {"middle of spine": [7], "left wrist": [13], "right foot": [3], "head": [10]},
    "kinect20": {"middle of spine": [1], "neck": [2, 3], "left hand": [7], "right ankle": [18]},
}


@pytest.mark.parametrize("name", NUMBERS)
def test_the_maps_take_the_documented_numbers(name: str) -> None:
    ntu25 = layout.load("ntu25")
    shares = points.mapping(layout.load(name), ntu25, "a")
    found = {joint: np.flatnonzero(shares[ntu25.joints.index(joint)]).tolist() for joint in NUMBERS[name]}
    assert found == NUMBERS[name]


def test_an_azure_recording_becomes_the_same_person() -> None:
    ntu25, azure = layout.load("ntu25"), layout.load("azure32")
    person = np.array([STANDING[joint] for joint in ntu25.joints])
    shares = points.mapping(azure, ntu25, "a")
    recorded = np.linalg.pinv(shares) @ person * (-1000, -1000, 1000)  # millimetres, x right, y down
    clip = convert(np.tile(recorded, (1, 3, 1, 1)), azure, ntu25)
    np.testing.assert_allclose(clip.joints[0, 0], person, atol=1e-5)
    assert posture.doubts(clip, ntu25) == []


def test_a_layout_without_a_map_is_refused_with_names() -> None:
    with pytest.raises(ClipError, match=r"missing: base of spine, .*; too many: pelvis, .*sbu15|found chain"):
        convert(RNG.uniform(-1, 1, (1, 2, 3, 3)), chain(), layout.load("ntu25"))
    with pytest.raises(ValueError, match="coco17: expected joints in 3D, found COCO's 17 key points: 2D"):
        layout.load("coco17")


def test_the_same_joints_in_other_axes_and_another_order_need_no_map() -> None:
    ntu25 = layout.load("ntu25")
    told = ntu25.table() | {"unit": "mm", "up": "z", "joints": list(reversed(ntu25.joints))}
    recorded = layout.from_table(told, "a")
    person = np.array([STANDING[joint] for joint in ntu25.joints])
    stored = person[::-1][:, [0, 2, 1]] * (1000, -1000, 1000)
    clip = convert(np.tile(stored, (1, 3, 1, 1)), recorded, ntu25)
    np.testing.assert_allclose(clip.joints[0, 0], person, atol=1e-5)


def standing(**changes: object) -> Clip:
    joints = np.array([STANDING[joint] for joint in layout.load("ntu25").joints], np.float32)
    return Clip("a", np.tile(joints, (1, 3, 1, 1)), np.ones((1, 3), bool))


@pytest.mark.parametrize("angle", [0.0, 1.0, 3.0])  # wherever the sensor stands
def test_posture(angle: float) -> None:
    ntu25, clip = layout.load("ntu25"), standing()
    cos, sin = np.cos(angle), np.sin(angle)
    turn = np.array([[cos, 0, sin], [0, 1, 0], [-sin, 0, cos]], np.float32)
    joints = clip.joints @ turn.T
    assert posture.doubts(Clip("a", joints, clip.present), ntu25) == []
    swap = np.arange(25)
    for left, right in ntu25.pairs:
        swap[[left, right]] = right, left
    assert posture.doubts(Clip("a", joints[:, :, swap], clip.present), ntu25) == ["mirrored"]
    flipped = joints * np.array([1, -1, -1], np.float32)  # turned about x: on its head, not mirrored
    assert posture.doubts(Clip("a", flipped, clip.present), ntu25) == ["upside down"]
    for up in (joints[..., [0, 2, 1]], joints[..., [0, 2, 1]] * np.array([1, -1, 1], np.float32)):  # z is up
        assert posture.doubts(Clip("a", up, clip.present), ntu25) == ["lying"]
    footless = joints.copy()
    for side in ("left", "right"):
        footless[:, :, ntu25.joints.index(f"{side} foot")] = joints[:, :, ntu25.joints.index(f"{side} ankle")]
    assert posture.doubts(Clip("a", footless, clip.present), ntu25) == []
    assert posture.doubts(Clip("a", footless[:, :, swap], clip.present), ntu25) == ["mirrored"]


@pytest.mark.parametrize(
    ("move", "image"), [((0, 0, 0), False), ((0.5, 0.6, 0), True), ((0.5, 0.6, 2), False)]
)
def test_image_landmarks_are_no_world_landmarks(move: tuple[float, ...], image: bool) -> None:
    mediapipe = layout.load("mediapipe33")
    joints = np.random.default_rng(0).normal(0, 0.2, (1, 5, 33, 3))
    joints -= joints[:, :, list(mediapipe.origin)].mean(axis=2, keepdims=True)
    joints[0, 1] = np.nan
    made = Points("a", "a.json", joints + move)
    if not image:
        assert points.to_clip(made, mediapipe, mediapipe)[0].present.sum() == 4
        return
    with pytest.raises(
        ClipError, match=r"a\.json: expected the middle of left hip and right hip at the origin"
    ):
        points.to_clip(made, mediapipe, mediapipe)
    read_again = layout.from_table(mediapipe.table(), "a")
    with pytest.raises(ClipError, match="take the world landmarks"):
        points.to_clip(made, read_again, read_again)


def test_every_shipped_layout_can_be_checked() -> None:
    for name in layout.shipped():
        assert posture.unchecked(layout.load(name)) == ""
    ntu25 = layout.load("ntu25")
    plain = replace(ntu25, joints=tuple(f"joint {number}" for number in range(25)))
    assert posture.unchecked(plain).count("whether") == 2
    headless = replace(ntu25, joints=tuple(joint.replace("head", "top") for joint in ntu25.joints))
    assert posture.unchecked(headless).startswith("ntu25: it cannot be told whether up is down: no joint")
