import io
import json
import socket
import subprocess
import sys
import threading
import time
import tracemalloc
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import pytest

from action_indrnn import checkpoint, frame_lines
from action_indrnn.data_prep import skeleton_file
from action_indrnn.recognizer import Recognizer

from .conftest import person, skeleton_text
from .test_cli import call
from .test_streaming import recognizer, walk


@pytest.fixture(scope="module")
def network() -> Recognizer:
    return recognizer()


def line(bodies: dict[int | str, np.ndarray], **more: object) -> bytes:
    rows = [{"id": name, "joints": joints.tolist()} for name, joints in bodies.items()]
    return json.dumps({**more, "bodies": rows}).encode() + b"\n"


def answers(network: Recognizer, text: bytes) -> tuple[int, list[dict]]:
    found: list[dict] = []
    bad = frame_lines.answer(
        io.BytesIO(text), lambda line: found.append(json.loads(line)), network.stream(), 2
    )
    return bad, found


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
        (b'{"bodies": [{"id": 1}]}', "bodies[0]", "expected an object with id and joints"),
        (json.dumps({"bodies": [{"id": True, "joints": GOOD}]}).encode(), "bodies[0].id", "an integer or"),
        (json.dumps({"bodies": [{"id": 1, "joints": GOOD}] * 2}).encode(), "bodies[1].id", "1 twice"),
        (
            json.dumps({"bodies": [{"id": 1, "joints": GOOD * 400}]}).encode(),
            "bodies[0].joints",
            "expected 25 joints, found a list of 10000",
        ),
        (
            json.dumps({"bodies": [{"id": 1, "joints": [*GOOD[:24], [1, 2, "x"]]}]}).encode(),
            "bodies[0].joints[24]",
            "expected x, y, z in metres",
        ),
        (
            json.dumps({"bodies": [{"id": 1, "joints": [*GOOD[:24], [1, 2, float("nan")]]}]}).encode(),
            "bodies",
            "body 1: joints: expected metres within",
        ),
        (
            json.dumps({"bodies": [{"id": 1, "joints": [*GOOD[:24], [1, 2, 10**400]]}]}).encode(),
            "bodies[0].joints[24]",
            "expected x, y, z in metres",
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


def test_a_replayed_recording_is_answered_frame_by_frame(network: Recognizer) -> None:
    joints = walk(6)
    text = skeleton_text([[(2**60, one)] if t != 3 else [] for t, one in enumerate(joints)])
    found: list[dict] = []
    frame_lines.replay(
        skeleton_file.parse(text, "clip.skeleton"),
        lambda line: found.append(json.loads(line)),
        network.stream(),
        1,
        speed=0,
    )
    assert [one["frame"] for one in found] == list(range(6))
    assert found[5]["people"][0]["bodies"] == [2**60]
    stream = network.stream()
    for t, one in enumerate(joints):
        expected = stream.feed({2**60: one.astype(np.float32)} if t != 3 else {}, t / 30)
    probability = found[5]["people"][0]["top"][0]["probability"]
    assert probability == pytest.approx(expected.answers[0].probabilities.max(), abs=1e-6)


@contextmanager
def serving(network: Recognizer) -> Iterator[frame_lines.Server]:
    with frame_lines.Server(("127.0.0.1", 0), network.stream, 1) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


class Peer:
    """The other side of a connection."""

    def __init__(self, server: frame_lines.Server) -> None:
        self.socket = socket.create_connection(server.server_address, timeout=10)
        self.file = self.socket.makefile("rwb")

    def ask(self, text: bytes) -> dict:
        self.file.write(text)
        self.file.flush()
        return json.loads(self.file.readline())

    def close(self) -> None:
        self.file.close()
        self.socket.close()


def test_connections_have_streams_of_their_own(network: Recognizer) -> None:
    with serving(network) as server:
        one, other = Peer(server), Peer(server)
        for turn in range(3):
            assert one.ask(line({5: person()}))["frame"] == turn
        assert other.ask(line({5: person()}))["frame"] == 0
        one.file.write(b'{"bodies": [')  # half a frame, then gone
        one.file.flush()
        one.close()
        assert other.ask(line({5: person()}))["frame"] == 1
        other.close()


KILLED = """
import socket, sys, time
peer = socket.create_connection(("127.0.0.1", int(sys.argv[1])))
for _ in range(200):
    peer.sendall(sys.argv[2].encode() + b"\\n")  # and never reads an answer
print("sent", flush=True)
time.sleep(60)
"""


def test_the_others_go_on_when_one_is_killed(network: Recognizer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(frame_lines, "CONNECTIONS", 2)
    with serving(network) as server:
        other = Peer(server)
        assert other.ask(line({5: person()}))["frame"] == 0
        port = str(server.server_address[1])
        command = [sys.executable, "-c", KILLED, port, line({1: person()}).decode().strip()]
        with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
            assert process.stdout is not None
            assert process.stdout.readline() == b"sent\n"
            process.kill()
        assert other.ask(line({5: person()}))["frame"] == 1
        for _ in range(500):  # its place is free again, once the server has noticed
            late = Peer(server)
            if late.ask(line({5: person()})).get("frame") == 0:
                break
            late.close()
            time.sleep(0.01)
        else:
            pytest.fail("the place of the killed one was never free")
        late.close()
        other.close()


def test_a_silent_connection_is_closed_and_too_many_are_told(
    network: Recognizer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(frame_lines, "CONNECTIONS", 1)
    monkeypatch.setattr(frame_lines, "IDLE", 0.5)
    with serving(network) as server:
        silent = Peer(server)
        assert silent.ask(line({5: person()}))["frame"] == 0
        surplus = Peer(server)
        assert "expected at most 1 connections at once" in json.loads(surplus.file.readline())["error"]
        surplus.close()
        assert silent.file.readline() == b""
        silent.close()


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
    bad = frame_lines.answer(Endless(), lambda line: found.append(json.loads(line)), network.stream(), 1)
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
    assert [one["frame"] for one in found] == [0, 1, 2, 3, 4]
    assert call(monkeypatch, "stream", model, "--listen", "nowhere") == 1
    assert "--listen: expected HOST:PORT" in capsys.readouterr().err
    assert call(monkeypatch, "stream", model, "--release", 0.9) == 1
    assert "release: expected at most the threshold" in capsys.readouterr().err
    wide = recognizer(bidirectional=True)
    checkpoint.save_model(model, wide.model, wide.card)
    assert call(monkeypatch, "stream", model, "--replay", clip) == 1
    assert "walks forwards only" in capsys.readouterr().err
