import io
import json
import sys
import tracemalloc

import numpy as np
import pytest

from action_indrnn import checkpoint, dialogue, frame_lines
from action_indrnn.dialogue import Dialogue
from action_indrnn.recognizer import Recognizer

from .conftest import person, skeleton_text
from .test_cli import call
from .test_frame_map import recorded
from .test_streaming import recognizer, walk


@pytest.fixture(scope="module")
def network() -> Recognizer:
    return recognizer()


def line(bodies: dict[int | str, np.ndarray], **more: object) -> bytes:
    rows = [{"id": name, "joints": joints.tolist()} for name, joints in bodies.items()]
    return json.dumps({**more, "bodies": rows}).encode() + b"\n"


def answers(network: Recognizer, text: bytes) -> tuple[int, list[dict]]:
    found: list[dict] = []
    one = Dialogue(network, network.stream(), 2)
    return dialogue.answer(io.BytesIO(text), lambda line: found.append(json.loads(line)), one), found


def test_every_frame_is_answered_as_the_stream_answers(network: Recognizer) -> None:
    joints = walk(8)
    text = b"".join(line({"p": one}, time=t / 30) for t, one in enumerate(joints))
    bad, found = answers(network, text + b"\n" + line({}))
    assert bad == 0
    assert [one["line"] for one in found] == [1, 2, 3, 4, 5, 6, 7, 8, 10]
    stream = network.stream()
    for t, one in enumerate(joints):
        expected = stream.feed({"p": one.astype(np.float32)}, t / 30).answers[0]
        (answer,) = found[t]["people"]
        label = int(expected.probabilities.argmax())
        assert answer["bodies"] == ["p"]
        assert answer["top"][0]["action"] == network.card.classes[label]
        assert answer["top"][0]["probability"] == pytest.approx(expected.probabilities[label], abs=1e-6)


GOOD = person().tolist()


@pytest.mark.parametrize(
    ("wrong", "field", "message"),
    [
        (b"{", "", "expected JSON"),
        (b"\xff\xfe", "", "expected JSON"),
        (b"[" * 100_000, "", "expected JSON"),
        (b"3", "", "expected an object with bodies, found 3"),
        (b'{"bodies": [], "tme": 1}', "tme", "unknown field"),
        (b'{"time": 1}', "bodies", "expected a list of at most 64 bodies, found null"),
        (b'{"time": "now", "bodies": []}', "time", 'expected seconds, found "now"'),
        (b'{"time": NaN, "bodies": []}', "time", "expected seconds, found nan"),
        (b'{"bodies": [{"id": 1}]}', "bodies[0]", "expected an object with id, joints"),
        (json.dumps({"bodies": [{"id": True, "joints": GOOD}]}).encode(), "bodies[0].id", "an integer or"),
        (json.dumps({"bodies": [{"id": 1, "joints": GOOD}] * 2}).encode(), "bodies[1].id", "1 twice"),
        (
            json.dumps({"bodies": [{"id": 1, "joints": GOOD * 400}]}).encode(),
            "bodies[0].joints",
            "found 10000 without names",
        ),
        (
            json.dumps({"bodies": [{"id": 1, "joints": [*GOOD[:24], [1, 2, "x"]]}]}).encode(),
            "bodies[0].joints[24]",
            "expected x, y, z of the right thumb, found a list of 3",
        ),
        (
            json.dumps({"bodies": [{"id": 1, "joints": [*GOOD[:24], [1, 2, float("nan")]]}]}).encode(),
            "bodies[0].joints[24]",
            "body 1: right thumb: expected metres within +-100, found z = nan",
        ),
        (
            json.dumps({"bodies": [{"id": 1, "joints": GOOD[:20]}]}).encode(),
            "bodies[0].joints",
            "expected the 25 joints of ntu25 (base of spine, middle of spine, ",
        ),
        (json.dumps({"bodies": [{"id": 1, "joints": 3}]}).encode(), "bodies[0].joints", "a list of joints"),
        (
            json.dumps({"bodies": [{"id": 1, "joints": GOOD, "states": [2] * 24}]}).encode(),
            "bodies[0].states",
            "expected 25 states, found a list of 24",
        ),
        (
            json.dumps({"bodies": [{"id": 1, "joints": GOOD, "states": [2] * 24 + [3]}]}).encode(),
            "bodies[0].states[24]",
            "expected 0 (not tracked), 1 (inferred) or 2 (tracked), found 3",
        ),
        (b'{"clip": "start"}', "clip", 'expected "begin" or "end", found "start"'),
        (b'{"clip": "end"}', "clip", 'expected {"clip": "begin"} before the end, found none'),
        (b'{"clip": "end", "name": "z"}', "name", "unknown field; known are clip"),
        (b'{"clip": "end", "bodies": [1]}', "bodies", "unknown field; known are clip"),
        (b'{"clip": "begin", "time": 3}', "time", "unknown field; known are clip, bodies, name"),
        (b'{"clip": "begin", "bodies": [[]]}', "bodies[0]", "expected an integer or a short text"),
        (
            json.dumps({"bodies": [{"id": 1, "joints": [*GOOD[:24], [1, 2, 10**400]]}]}).encode(),
            "bodies[0].joints[24]",
            "expected x, y, z of the right thumb",
        ),
        (b" " * (3 * frame_lines.LINE_LIMIT), "", "expected a line of at most 1048576 bytes"),
    ],
)
def test_a_bad_line_is_answered_and_the_stream_goes_on(
    network: Recognizer, wrong: bytes, field: str, message: str
) -> None:
    good = line({1: person()})
    bad, (first, error, then) = answers(network, good + wrong + b"\n" + good)
    assert bad == 1
    assert (error["line"], error["field"]) == (2, field)
    assert message in error["error"]
    assert (first["frame"], then["frame"], then["line"]) == (0, 1, 3)


class Endless:
    """A line of a gigabyte, then a frame; it is made as it is read."""

    def __init__(self) -> None:
        self.left = 10**9
        self.rest = io.BytesIO(b"\n" + line({1: person()}))

    def readline(self, size: int, /) -> bytes:
        if not self.left:
            return self.rest.readline(size)
        size = min(size, self.left)
        self.left -= size
        return b" " * size


def test_a_line_of_a_gigabyte_takes_little_memory(network: Recognizer) -> None:
    found: list[dict] = []
    tracemalloc.start()
    bad = dialogue.answer(
        Endless(), lambda line: found.append(json.loads(line)), Dialogue(network, network.stream(), 1)
    )
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert (bad, [one["line"] for one in found]) == (1, [1, 2])
    assert found[1]["frame"] == 0
    assert peak < 8 * frame_lines.LINE_LIMIT


def test_the_command(network: Recognizer, tmp_path, monkeypatch, capsys) -> None:
    model, clip = tmp_path / "model.safetensors", tmp_path / "clip.skeleton"
    checkpoint.save_model(model, network.model, network.card)
    clip.write_bytes(skeleton_text([[(7, one)] for one in walk(5)]))
    assert call(monkeypatch, "stream", model, "--replay", clip, "--speed", 0) == 0
    found = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [one.get("frame") for one in found] == [0, 1, 2, 3, 4, None]
    assert found[5]["clip"] == "end"
    given, poses = recorded("azure32")
    foreign = tmp_path / "foreign.jsonl"
    foreign.write_bytes(b"".join(line({1: pose}) for pose in poses))
    assert call(monkeypatch, "stream", model, "--replay", foreign, "--layout", "azure32", "--speed", 0) == 0
    *_, whole = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    ((action, share),) = network.classify(network.read(foreign, given)).top(1)
    assert whole["top"][0] == {"action": action, "probability": round(share, 6)}
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(foreign.read_bytes() + b"{\n")))
    assert call(monkeypatch, "stream", model, "--layout", "azure32") == 1
    *good, bad = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [one["frame"] for one in good] == list(range(len(poses)))
    assert "error" in bad
    wrong = tmp_path / "wrong.npy"
    np.save(wrong, np.zeros((1, 5, 20, 3)) + walk(5)[:, :20])
    assert call(monkeypatch, "stream", model, "--replay", wrong) == 1
    assert "wrong.npy: expected the 25 joints of ntu25" in capsys.readouterr().err
    assert call(monkeypatch, "stream", model, "--listen", "nowhere") == 1
    assert "--listen: expected HOST:PORT" in capsys.readouterr().err
    assert call(monkeypatch, "stream", model, "--release", 0.9) == 1
    assert "release: expected at most the threshold" in capsys.readouterr().err
    wide = recognizer(bidirectional=True)
    checkpoint.save_model(model, wide.model, wide.card)
    assert call(monkeypatch, "stream", model, "--replay", clip) == 1
    assert "walks forwards only" in capsys.readouterr().err
