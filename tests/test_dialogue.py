import io
import json
from pathlib import Path

import numpy as np
import pytest

from action_indrnn import clip_recorder, dialogue
from action_indrnn.data_prep import clip_file, layout, made
from action_indrnn.data_prep.clip import Clip
from action_indrnn.data_prep.sources import Source
from action_indrnn.dialogue import Dialogue
from action_indrnn.recognizer import Recognizer

from .conftest import skeleton_text
from .serving import application as served
from .serving import ask, join, line, running, tell
from .test_frame_map import recorded
from .test_streaming import FRAMES, STRIDE, recognizer, walk

STREAMS = 'data.streams=["joint", "motion"]'
LIVE = {"data": ("data.sampling=whole", "data.align=true", STREAMS), "pooling": "both", "input_norm": True}


@pytest.fixture(scope="module")
def network() -> Recognizer:
    return recognizer()


def talk(network: Recognizer, lines: list[str], **stream: object) -> list[dict]:
    found: list[dict] = []
    one = Dialogue(network, network.stream(**stream), len(network.card.classes))
    dialogue.answer(io.BytesIO("\n".join(lines).encode()), lambda text: found.append(json.loads(text)), one)
    return found


def replayed(network: Recognizer, file: Path, recorded: layout.Layout | None = None) -> list[dict]:
    found: list[dict] = []
    count = len(network.card.classes)
    stream = network.stream()
    dialogue.replay(
        network, Source(file), recorded, lambda text: found.append(json.loads(text)), stream, count, 0
    )
    return found


def shares(answer: dict) -> dict[str, float]:
    return {one["action"]: one["probability"] for one in answer["top"]}


def verdict(network: Recognizer, clip: Clip | Path) -> dict[str, float]:
    found = network.classify(clip)
    return dict(zip(found.classes, found.probabilities, strict=True))


def frames(clip: Clip) -> list[str]:
    """A clip's frames as lines, the main actor first."""
    bodies = zip(clip.joints.swapaxes(0, 1), clip.present.T, strict=True)
    return [
        line({actor: pose for actor, (pose, seen) in enumerate(zip(*one, strict=True)) if seen}, time=t / 30)
        for t, one in enumerate(bodies)
    ]


@pytest.mark.parametrize("recipe", ["published", "live"])
@pytest.mark.parametrize("action", [1, made.STEP_TOGETHER])
def test_a_clip_gets_the_same_probabilities_through_every_door(
    recipe: str, action: int, tmp_path: Path
) -> None:
    network = recognizer(**(LIVE if recipe == "live" else {}))
    clip = made.clip(3, 2, 3, 1, action)
    file = tmp_path / f"{clip.name}.skeleton"
    file.write_bytes(made.to_text(clip))
    expected = verdict(network, file)
    assert max(expected.values()) < 1 - 1e-3  # the answer says something

    actors = network.read(file)
    begin = json.dumps({"clip": "begin", "name": clip.name, "bodies": [0, 1]})
    lines = [begin, *frames(actors), '{"clip": "end"}']
    *answers, piped = talk(network, lines)
    last = replayed(network, file)[-1]
    with running(served(network)) as port:
        with join(port, f"/live?top={len(expected)}") as socket:
            live = [tell(socket, one) for one in lines][-1]
        page = json.loads(ask(port, f"/api/clip?name={file.name}", file.read_bytes())[1])
    for found in (piped, last, live):
        assert (found["clip"], found["frames"]) == ("end", actors.present.shape[1])
        assert shares(found) == pytest.approx(expected, abs=2e-6)
    assert page["verdict"] == pytest.approx(list(expected.values()), abs=1e-12)
    assert [one["frame"] for one in answers[1:]] == list(range(len(answers) - 1))


def test_while_poses_are_held_the_live_answer_is_the_clips_too(network: Recognizer, tmp_path: Path) -> None:
    # every pose is held as long as a segment, so all ways of choosing frames choose the same poses
    poses = np.repeat(walk(FRAMES), STRIDE, axis=0)
    file = tmp_path / "clip.skeleton"
    file.write_bytes(skeleton_text([[(5, pose)] for pose in poses]))
    expected = verdict(network, file)
    *lines, whole = replayed(network, file)
    assert shares(whole) == pytest.approx(expected, abs=2e-6)
    assert shares(lines[-1]["people"][0]) == pytest.approx(expected, abs=2e-6)
    with running(served(network)) as port:
        page = json.loads(ask(port, "/api/clip?name=clip.skeleton", file.read_bytes())[1])
        with join(port, f"/live?top={len(expected)}") as socket:
            live = [tell(socket, line({5: pose}, time=t / 30)) for t, pose in enumerate(poses)]
    assert page["curve"][-1] == pytest.approx(list(expected.values()), abs=2e-6)
    for one, two in zip(lines, live, strict=True):  # and after every frame
        assert shares(one["people"][0]) == pytest.approx(shares(two["people"][0]), abs=2e-6)


def test_a_replay_shows_all_bodies_and_ends_with_the_clip(network: Recognizer, tmp_path: Path) -> None:
    file = tmp_path / "clip.skeleton"
    joints = walk(6)
    file.write_bytes(skeleton_text([[(2**60, one)] if t != 3 else [] for t, one in enumerate(joints)]))
    *found, whole = replayed(network, file)
    assert [one["frame"] for one in found] == list(range(6))
    assert found[5]["people"][0]["bodies"] == [2**60]
    stream = network.stream()
    for t, one in enumerate(joints):
        expected = stream.feed({2**60: one.astype(np.float32)} if t != 3 else {}, t / 30)
    probability = found[5]["people"][0]["top"][0]["probability"]
    assert probability == pytest.approx(expected.answers[0].probabilities.max(), abs=1e-6)
    assert (whole["line"], whole["frames"]) == (7, 6)


def file_of(suffix: str, joints: np.ndarray, names: tuple[str, ...]) -> bytes:
    """A recording of one body (T, V, 3) as a file."""
    if suffix in (".npy", ".npz"):
        buffer = io.BytesIO()
        np.save(buffer, joints) if suffix == ".npy" else np.savez(buffer, joints=joints)
        return buffer.getvalue()
    if suffix == ".csv":
        rows = [
            f"{t},0,{name},{x},{y},{z}"
            for t, pose in enumerate(joints)
            for name, (x, y, z) in zip(names, pose, strict=True)
        ]
        return "\n".join(["frame,body,joint,x,y,z", *rows]).encode()
    if suffix == ".bvh":
        root, *others = [name.replace(" ", "_") for name in names]
        moves = "OFFSET 0 0 0\nCHANNELS 3 Xposition Yposition Zposition"
        parts = [f"JOINT {name}\n{{\n{moves}\n}}" for name in others]
        relative = np.concatenate([joints[:, :1], joints[:, 1:] - joints[:, :1]], axis=1)
        lines = [" ".join(map(str, pose.ravel())) for pose in relative]
        head = ["HIERARCHY", f"ROOT {root}", "{", moves, *parts, "}"]
        motion = ["MOTION", f"Frames: {len(joints)}", "Frame Time: 0.033333"]
        return "\n".join([*head, *motion, *lines]).encode()
    frames = [{"bodies": [{"id": 0, "joints": pose.tolist()}]} for pose in joints]
    if suffix == ".json":
        return json.dumps(frames).encode()
    return "\n".join(map(json.dumps, frames)).encode()


@pytest.mark.parametrize("suffix", [one for one in clip_file.SUFFIXES if one != ".skeleton"])
def test_a_file_of_every_kind_is_replayed_as_its_frames_are_answered(
    network: Recognizer, suffix: str, tmp_path: Path
) -> None:
    file, joints = tmp_path / f"clip{suffix}", walk(4)
    file.write_bytes(file_of(suffix, joints, network.card.layout().joints))
    stream = network.stream()
    assert stream.step.scenes is not None  # it is the compiled one
    *found, _ = replayed(network, file)
    assert len(found) == len(joints)
    for one, pose in zip(found, joints, strict=True):
        expected = stream.feed({0: pose}).answers[0].probabilities
        found_shares = shares(one["people"][0])
        assert [found_shares[name] for name in network.card.classes] == pytest.approx(expected, abs=2e-6)


def test_frames_in_another_layout_and_the_clip_that_they_are(network: Recognizer, tmp_path: Path) -> None:
    given, poses = recorded("azure32")
    lines = [json.dumps({"bodies": [{"id": "a", "joints": pose.tolist()}]}) for pose in poses]
    file = tmp_path / "clip.jsonl"
    file.write_text("\n".join(lines))
    expected = verdict(network, network.read(file, given))
    *_, piped = talk(network, ['{"clip": "begin"}', *lines, '{"clip": "end"}'], layout="azure32")
    assert shares(piped) == pytest.approx(expected, abs=2e-6)
    assert shares(replayed(network, file, given)[-1]) == pytest.approx(expected, abs=2e-6)
    with running(served(network)) as port, join(port, "/live?layout=azure32&top=14") as socket:
        assert tell(socket, '{"clip": "begin"}') == {"line": 1, "clip": "begin"}
        for one in lines:
            tell(socket, one)
        assert shares(tell(socket, '{"clip": "end"}')) == pytest.approx(expected, abs=2e-6)


def test_a_clip_begins_anew_leaves_out_late_frames_and_ends_once(network: Recognizer) -> None:
    joints = walk(2 * STRIDE)
    lines = [line({1: one}, time=5 + t / 30) for t, one in enumerate(joints)]
    late = line({1: joints[0] + 1}, time=5.0)
    found = talk(network, [lines[0], '{"clip": "begin"}', *lines[1:], late, *['{"clip": "end"}'] * 2])
    assert found[2]["frame"] == 0  # the stream has forgotten the frame before
    clip = Clip("clip", joints[None, 1:], np.ones((1, len(joints) - 1), np.bool_))
    assert found[-2]["frames"] == len(joints) - 1
    assert shares(found[-2]) == pytest.approx(verdict(network, clip), abs=2e-6)
    assert "error" in found[-1]


def test_a_clip_without_end_takes_no_more_memory(
    network: Recognizer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(clip_recorder, "JOINTS_LIMIT", 10 * 25)
    joints = walk(8)
    few = [line({1: joints[0]})] * 4 + [line({2: joints[0]})]
    for lines in (few, [line({1: one}) for one in joints]):
        ended = talk(network, ['{"clip": "begin"}', *lines, *lines[:4], '{"clip": "end"}', *lines])
        (told,) = [one for one in ended if "error" in one]
        assert (told["line"], told["field"]) == (len(lines) + 6, "clip")
        assert "clip: expected at most 250 joints in all frames" in told["error"]
        assert "frame" in ended[-1]
    empty = talk(network, ['{"clip": "begin"}', line({}), '{"clip": "end"}'])[-1]
    assert "clip: expected a body, found none in 1 frames" in empty["error"]
