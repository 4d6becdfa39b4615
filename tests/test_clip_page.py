import io
import json

import numpy as np
import pytest

from action_indrnn import clip_page
from action_indrnn.data_prep import made
from action_indrnn.data_prep.clip import Clip, ClipError
from action_indrnn.recognizer import Recognizer

from .conftest import person, skeleton_text
from .test_streaming import FRAMES, recognizer, walk


@pytest.fixture(scope="module")
def network() -> Recognizer:
    return recognizer()


@pytest.mark.parametrize("frames", [3, FRAMES, 2 * FRAMES - 1, 5 * FRAMES + 2])
@pytest.mark.parametrize("model", [{}, {"pooling": "both"}])
def test_the_curve_ends_in_the_verdict(frames: int, model: dict[str, object]) -> None:
    network = recognizer(**model)
    joints = walk(frames)[None]
    clip = Clip("clip", joints, joints.any(axis=(2, 3)))
    curve = clip_page.curve(network, clip)
    assert curve.shape == (frames, len(made.CLASSES))
    np.testing.assert_allclose(curve[-1], network.classify(clip).probabilities, rtol=1e-4, atol=1e-6)
    seen = ~np.isnan(curve[:, 0])
    assert seen[-1]
    np.testing.assert_allclose(curve[seen].sum(axis=1), 1)


def test_the_curve_sees_nothing_of_what_comes(network: Recognizer) -> None:
    joints = walk(30)[None]
    other = joints.copy()
    other[:, 20:] = walk(10, seed=5)[None] + 0.5
    one, two = (clip_page.curve(network, Clip("c", each, each.any(axis=(2, 3)))) for each in (joints, other))
    np.testing.assert_array_equal(one[:20], two[:20])
    assert not np.array_equal(one[20:], two[20:])


def test_zeros_around_a_short_clip_come_with_its_first_and_its_last_frame() -> None:
    times = clip_page._times(np.array([[-1, -1, 0, 1, 2, -1], [-1, 1, 2, -1, -1, -1]]), 3)
    np.testing.assert_array_equal(times, [[0, 0, 0, 1, 2, 2], [0, 1, 2, 2, 2, 2]])


@pytest.mark.parametrize(
    "other", [{"frames": 8, "frames_deviation": 2.0}, {"sampling": "whole"}, {"align": True}]
)
def test_a_network_of_other_data_has_its_curve(other: dict[str, object]) -> None:
    network = recognizer()
    data = network.card.config.data.model_copy(update=other)
    settings = network.card.config.model_copy(update={"data": data})
    network = Recognizer(network.model, network.card.model_copy(update={"config": settings}))
    joints = walk(40)[None]
    clip = Clip("clip", joints, joints.any(axis=(2, 3)))
    curve = clip_page.curve(network, clip)
    np.testing.assert_allclose(curve[-1], network.classify(clip).probabilities, rtol=1e-4, atol=1e-6)


def test_the_curve_of_two_people_ends_in_the_verdict() -> None:
    network = recognizer()
    evaluate = network.card.config.evaluate.model_copy(update={"exchange": True, "passes": 5})
    settings = network.card.config.model_copy(update={"evaluate": evaluate})
    both = Recognizer(network.model, network.card.model_copy(update={"config": settings}))
    joints = np.stack((walk(40), walk(40, seed=3) + np.float32([0.6, 0, 0])))
    clip = Clip("clip", joints, joints.any(axis=(2, 3)))
    verdict = both.classify(clip).probabilities
    np.testing.assert_allclose(clip_page.curve(both, clip)[-1], verdict, rtol=1e-4, atol=1e-6)
    assert not np.allclose(verdict, network.classify(clip).probabilities, atol=1e-4)


def test_a_skeleton_file_comes_with_its_states_and_absences(network: Recognizer) -> None:
    frames = [[(7, one)] if t != 4 else [] for t, one in enumerate(walk(12))]
    text = skeleton_text(frames, state=1)
    table = json.loads(json.dumps(clip_page.table(network, clip_page.upload("C:\\x\\a.skeleton", text))))
    (body,) = table["bodies"]
    assert (table["name"], table["file"], table["frames"]) == ("a", "a.skeleton", 12)
    assert body["joints"][4] is None
    assert body["states"][3:5] == ["1" * 25, "2" * 25]
    np.testing.assert_allclose(body["joints"][0], walk(12)[0].ravel(), atol=1e-4)
    assert max(len(str(value)) for value in body["joints"][0]) <= len("-0.1234567")
    (path,) = [clip_page.upload("a.skeleton", text)]
    np.testing.assert_array_equal(table["verdict"], network.classify(network.read(path)).probabilities)
    assert table["curve"][-1] == pytest.approx(table["verdict"], abs=1e-5)


def test_other_formats_come_without_states(network: Recognizer) -> None:
    rows = [json.dumps({"joints": one.tolist()}) for one in walk(9)]
    plain, packed = io.BytesIO(), io.BytesIO()
    np.save(plain, walk(9))
    np.savez(packed, joints=walk(9))
    for name, content in (
        ("a.jsonl", "\n".join(rows).encode()),
        ("a.npy", plain.getvalue()),
        ("A.NPZ", packed.getvalue()),
    ):
        table = clip_page.table(network, clip_page.upload(name, content))
        assert table["bodies"][0]["states"] is None
        assert table["frames"] == 9
        np.testing.assert_allclose(table["bodies"][0]["joints"][8], walk(9)[8].ravel(), atol=1e-4)


def test_a_network_that_needs_the_whole_clip_has_a_verdict_and_no_curve() -> None:
    network = recognizer(bidirectional=True)
    table = clip_page.table(network, clip_page.upload("a.skeleton", skeleton_text([[(1, person())]] * 9)))
    assert table["curve"] is None
    assert sum(table["verdict"]) == pytest.approx(1)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("clip.zip", b"PK", "clip.zip: expected a clip file .skeleton"),
        ("", b"", "the file: expected a clip file"),
        ("../a/clips.csv", b"", "clips.csv: expected a clip file"),
        ("a.skeleton", b"2\n0\nx\n", "a.skeleton:3: expected"),
        ("a.jsonl", b"{}\n", "a.jsonl:1"),
        ("a.npy", b"\x93NUMPY", "a.npy: expected an .npy array"),
    ],
)
def test_what_is_no_clip_is_told_by_name_and_line(
    network: Recognizer, name: str, content: bytes, message: str
) -> None:
    with pytest.raises(ClipError) as error:
        clip_page.table(network, clip_page.upload(name, content))
    assert str(error.value).startswith(message)


def test_a_clip_too_long_is_refused(network: Recognizer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clip_page, "FRAMES_LIMIT", 8)
    with pytest.raises(ClipError, match=r"a\.skeleton: expected at most 8 frames, found 9"):
        clip_page.table(network, clip_page.upload("a.skeleton", skeleton_text([[(1, person())]] * 9)))
