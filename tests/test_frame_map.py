import json
import re
from pathlib import Path

import numpy as np
import pytest

from action_indrnn.data_prep import layout, points
from action_indrnn.data_prep.clip import Clip
from action_indrnn.data_prep.frame_map import FrameMap
from action_indrnn.data_prep.layout import UNITS, UPS, Layout
from action_indrnn.data_prep.points import Points
from action_indrnn.recognizer import Recognizer

from .test_streaming import FRAMES, STRIDE, recognizer

NTU = layout.load("ntu25")
FOREIGN = ("azure32", "mediapipe33", "h36m17", "kinect20")


def recorded(name: str, seed: int = 0) -> tuple[Layout, np.ndarray]:
    """A layout and a walk (T, V, 3) of its joints, in its unit and axes."""
    given = layout.load(name)
    random = np.random.default_rng(seed)
    pose = random.normal(0, 0.4, (len(given.joints), 3))
    walk = pose + np.cumsum(random.normal(0, 0.02, (FRAMES * STRIDE, *pose.shape)), axis=0)
    if given.origin:
        walk -= walk[:, list(given.origin)].mean(axis=1, keepdims=True)
    axes = [~axis if axis < 0 else axis for axis in UPS[given.up]]
    assert axes == [0, 1, 2]
    return given, (walk / UNITS[given.unit]).astype(np.float32)


@pytest.fixture(scope="module")
def network() -> Recognizer:
    return recognizer()


@pytest.mark.parametrize("name", FOREIGN)
def test_a_frame_becomes_what_a_clip_of_it_becomes(name: str) -> None:
    given, walk = recorded(name)
    clip, _ = points.to_clip(Points("clip", "clip", walk[None].astype(np.float64)), given, NTU)
    way = FrameMap(given, NTU)
    for pose, expected in zip(walk, clip.joints[0], strict=True):
        np.testing.assert_allclose(way.joints(pose, "body 1"), expected, rtol=0, atol=1e-6)
    assert not way.joints(np.zeros_like(pose), "body 1").any()


@pytest.mark.parametrize("name", FOREIGN)
def test_a_stream_in_another_layout_says_what_one_of_the_mapped_clip_says(
    network: Recognizer, name: str, tmp_path: Path
) -> None:
    given, walk = recorded(name)
    file = tmp_path / "clip.jsonl"
    file.write_text("\n".join(json.dumps({"bodies": [{"id": 0, "joints": pose.tolist()}]}) for pose in walk))
    mapped = network.read(file, given)
    stream, plain = network.stream(layout=name), network.stream()
    streams = network.streams(layout=given)
    for pose, joints in zip(walk, mapped.joints[0], strict=True):
        found, expected = stream.feed({0: pose}).answers[0], plain.feed({0: joints}).answers[0]
        np.testing.assert_allclose(found.probabilities, expected.probabilities, rtol=1e-3, atol=1e-6)
        (many,) = streams.feed({"a": ({0: pose}, None)})["a"].answers
        np.testing.assert_allclose(many.probabilities, found.probabilities, rtol=1e-4, atol=1e-7)
    assert isinstance(mapped, Clip)


def test_a_layout_file_in_other_units_and_axes(network: Recognizer, tmp_path: Path) -> None:
    file = tmp_path / "camera.toml"
    file.write_text('layout = "ntu25"\nunit = "mm"\nup = "z"\n')
    pose = np.random.default_rng(0).normal(0, 0.4, (25, 3)).astype(np.float32)
    turned = 1000 * np.stack([pose[:, 0], -pose[:, 2], pose[:, 1]], axis=1)
    (found,) = network.stream(layout=str(file)).feed({1: turned}).answers
    (expected,) = network.stream().feed({1: pose}).answers
    np.testing.assert_allclose(found.probabilities, expected.probabilities, rtol=1e-4, atol=1e-7)
    given, _ = layout.read(file)
    joints = FrameMap(given, given).joints(turned, "body 1")
    np.testing.assert_allclose(joints, pose, rtol=0, atol=1e-6)


@pytest.mark.parametrize(
    ("pose", "message"),
    [
        (np.ones((25, 3)), "body 7: expected the 32 joints of azure32 (pelvis, spine navel, "),
        (np.full((32, 3), np.nan), "body 7: pelvis: expected finite numbers, found x = nan"),
        (np.full((32, 3), 2e5), "body 7: base of spine: expected metres within +-100, found x = -200"),
    ],
)
def test_frames_that_do_not_fit_are_refused_by_names(
    network: Recognizer, pose: np.ndarray, message: str
) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        network.stream(layout="azure32").feed({7: pose})


def test_image_landmarks_and_layouts_without_a_map_are_refused(network: Recognizer) -> None:
    _, walk = recorded("mediapipe33")
    with pytest.raises(ValueError, match="body 1: expected the middle of left hip and right hip at the ori"):
        network.stream(layout="mediapipe33").feed({1: walk[0] + np.array([0.5, 0.5, 0], np.float32)})
    with pytest.raises(ValueError, match="live frames: expected the 25 joints of ntu25, found 15; missing: "):
        network.stream(layout="sbu15")


def test_a_joint_is_as_sure_as_the_worst_that_it_is_made_of() -> None:
    given = layout.load("mediapipe33")
    way = FrameMap(given, NTU)
    states = [2] * 33
    states[given.joints.index("left pinky")] = 0
    found = dict(zip(NTU.joints, way.states(states), strict=True))
    assert found == {joint: 0 if joint == "left hand" else 2 for joint in NTU.joints}
