import io
import json
import re
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path

import numpy as np
import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus

from action_indrnn import server, sockets
from action_indrnn.data_prep import layout
from action_indrnn.frame_lines import LINE_LIMIT
from action_indrnn.recognizer import Recognizer
from action_indrnn.server import Limits

from .conftest import person, skeleton_text
from .serving import SECONDS, application, ask, hear, join, line, running, tell
from .test_streaming import recognizer


@pytest.fixture(scope="module")
def network() -> Recognizer:
    return recognizer()


@pytest.fixture(scope="module")
def port(network: Recognizer) -> Iterator[int]:
    with running(application(network, streams=4, watchers=2, idle=30.0, upload=200_000)) as number:
        yield number


@pytest.fixture
def other(port: int) -> Iterator[None]:
    """A stream beside the test, which must go on from before it to after it."""
    with join(port, "/live?name=other") as socket:
        assert tell(socket, line())["frame"] == 0
        yield
        assert tell(socket, line())["frame"] == 1


def test_the_page_and_its_files_are_all_there(port: int) -> None:
    for name in ("", *server.FILES):
        answer, content = ask(port, f"/{name}")
        assert answer.status == 200
        assert answer.headers["content-type"].startswith(server.FILES[name or "page.html"])
        assert "default-src 'none'" in answer.headers["content-security-policy"]
        for foreign in (b"http://", b"https://", b"//cdn", b"@import", b"url("):
            assert foreign not in content.replace(b'xmlns="http://www.w3.org/2000/svg"', b""), (
                f"{name}: {foreign!r}"
            )
    assert ask(port, "/page.py")[0].status == 404
    assert ask(port, "/..%2fserver.py")[0].status == 404
    assert ask(port, "/docs")[0].status == 404


def test_the_page_is_told_what_the_model_is(network: Recognizer, port: int) -> None:
    found = json.loads(ask(port, "/api/model")[1])
    assert found["classes"] == list(network.card.classes)
    assert found["layout"]["bones"] == [list(bone) for bone in network.card.layout().bones]
    assert found["layout"]["sides"][4] == "left"
    assert (found["causal"], found["detects"]) == (True, False)


@pytest.mark.parametrize(
    ("name", "content", "status", "message"),
    [
        ("a.skeleton", b"2\n0\n", 422, "a.skeleton:2: expected"),
        ("a.txt", b"", 422, "a.txt: expected a clip file"),
        ("a.npy", b"0" * 300_000, 413, "a.npy: expected at most 200,000 bytes"),
        ("a.json", b"[" * 150_000, 422, "a.json"),
    ],
)
def test_a_bad_file_is_told_by_name_and_line(
    port: int, other: None, name: str, content: bytes, status: int, message: str
) -> None:
    answer, text = ask(port, f"/api/clip?name={name}", content)
    assert answer.status == status
    assert json.loads(text)["error"].startswith(message)


def test_an_upload_without_a_length_is_cut_off_too(port: int, other: None) -> None:
    with socket.create_connection(("127.0.0.1", port), timeout=SECONDS) as raw:
        raw.sendall(
            b"POST /api/clip?name=a.npy HTTP/1.1\r\nHost: 127.0.0.1\r\nTransfer-Encoding: chunked\r\n\r\n"
        )
        with suppress(ConnectionError):
            for _ in range(1000):
                raw.sendall(b"2000\r\n" + b"0" * 0x2000 + b"\r\n")
            raise AssertionError("took 8 MB of 0.2")


def test_a_client_that_stops_in_an_upload_leaves_no_trace(port: int, other: None, monkeypatch) -> None:
    for _ in range(server.UPLOADS + 1):
        with socket.create_connection(("127.0.0.1", port), timeout=SECONDS) as raw:
            raw.sendall(
                b"POST /api/clip?name=a.npy HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 99\r\n\r\n1"
            )
    until = time.monotonic() + SECONDS
    while ask(port, "/api/clip?name=a.txt", b"")[0].status == 503:
        assert time.monotonic() < until
        time.sleep(0.02)


def test_more_uploads_than_places_are_told_to_come_later(port: int, other: None) -> None:
    with ExitStack() as all_of_them:
        for _ in range(server.UPLOADS):
            raw = all_of_them.enter_context(socket.create_connection(("127.0.0.1", port), timeout=SECONDS))
            raw.sendall(
                b"POST /api/clip?name=a.npy HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 99\r\n\r\n1"
            )
        until = time.monotonic() + SECONDS
        while ask(port, "/api/clip?name=a.txt", b"")[0].status != 503:
            assert time.monotonic() < until
            time.sleep(0.02)


def test_foreign_pages_are_refused(port: int, other: None) -> None:
    assert ask(port, "/", Host="evil.example")[0].status == 403
    assert ask(port, "/api/clip?name=a.npy", b"", Origin="http://evil.example")[0].status == 403
    for path in ("/live", "/watch"):
        with pytest.raises(InvalidStatus) as error, join(port, path, origin="http://evil.example"):
            pass
        assert error.value.response.status_code == 403
        with join(port, path, origin=f"http://127.0.0.1:{port}"):
            pass


TEN_THOUSAND = line({1: np.repeat(person(), 400, axis=0)})


@pytest.mark.parametrize(
    ("wrong", "field", "message"),
    [
        (line({1: person() * np.nan}), "bodies[0].joints[0]", "body 1: base of spine: expected metres"),
        (TEN_THOUSAND[:LINE_LIMIT], "bodies[0].joints", "expected the 25 joints of ntu25 ("),
        ('{"bodies": [', "", "expected JSON"),
        ("", "", "expected JSON"),
        ("\ud800".encode("utf-8", "surrogatepass"), "", "expected JSON"),
        (b"\xff", "", "expected JSON"),
    ],
)
def test_a_bad_frame_is_answered_and_the_stream_goes_on(
    port: int, other: None, wrong: str | bytes, field: str, message: str
) -> None:
    with join(port) as socket:
        tell(socket, line())
        socket.send(wrong)
        found = hear(socket)
        assert (found["line"], found["field"]) == (2, field)
        assert found["error"].startswith(message)
        assert tell(socket, line())["frame"] == 1


def head(size: int, opcode: int = 1, last: bool = True) -> bytes:
    """The head of a websocket frame from a client, whose mask is 0."""
    return struct.pack(">BBQ", opcode | 0x80 * last, 0xFF, size) + bytes(4)


def test_a_line_of_a_gigabyte_is_closed_at_its_head(port: int, other: None) -> None:
    with join(port) as socket:
        socket.socket.sendall(head(2**30) + b" " * 1000)
        with pytest.raises(ConnectionClosed) as error:
            socket.recv(SECONDS)
        assert error.value.rcvd is not None
        assert error.value.rcvd.code == 1009


def test_a_line_of_a_gigabyte_in_small_parts_is_closed_at_its_limit(port: int, other: None) -> None:
    sent = 0
    part = 65_536
    with join(port) as one, suppress(OSError):
        for number in range(2**30 // part):
            one.socket.sendall(head(part, opcode=0 if number else 1, last=False) + b" " * part)
            sent += part
    assert sent < 16 * LINE_LIMIT  # what lay in the sockets' buffers, and no gigabyte


def test_a_line_in_endless_empty_parts_is_closed(port: int, other: None) -> None:
    with join(port) as one, suppress(OSError):
        for number in range(100_000):
            one.socket.sendall(head(0, opcode=0 if number else 1, last=False))
        raise AssertionError("took 100,000 parts")


def test_half_a_frame_ends_with_the_idle_time(network: Recognizer) -> None:
    with running(application(network, idle=0.8)) as port, join(port) as half, join(port) as other:
        half.socket.sendall(head(1000) + b'{"bodies"')
        for frame in range(6):
            time.sleep(0.15)
            assert tell(other, line())["frame"] == frame
        assert hear(half)["error"] == "no frame for 0.8 seconds, or answers not read"
        with pytest.raises(ConnectionClosed) as error:
            half.recv(SECONDS)
        assert error.value.rcvd is not None
        assert error.value.rcvd.code == server.TOO_LONG_QUIET


def test_a_killed_client_gives_its_place_back(port: int, other: None) -> None:
    for _ in range(12):  # of 4 places
        until = time.monotonic() + SECONDS
        taken = False
        while not taken:
            assert time.monotonic() < until
            with join(port) as killed:
                taken = "frame" in tell(killed, line())
                killed.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                killed.socket.sendall(head(1000) + b"{")
                killed.socket.close()


def test_one_stream_and_one_watcher_too_many_hear_why(port: int, other: None) -> None:
    with ExitStack() as all_of_them:
        for path, count in (("/live", 3), ("/watch", 2)):
            for _ in range(count):
                all_of_them.enter_context(join(port, path))
            with join(port, path) as late:
                assert "at once, found more" in hear(late)["error"]
                with pytest.raises(ConnectionClosed) as error:
                    late.recv(SECONDS)
                assert error.value.rcvd is not None
                assert error.value.rcvd.code == server.TRY_LATER


def crowd(port: int, size: int, stack: ExitStack) -> list[socket.socket]:
    """Sockets that say nothing."""
    opened = (socket.create_connection(("127.0.0.1", port), timeout=SECONDS) for _ in range(size))
    return [stack.enter_context(one) for one in opened]


def test_of_many_sockets_those_beyond_the_limit_are_closed(
    network: Recognizer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sockets, "CONNECTIONS", 40)
    with running(application(network)) as port, join(port) as one:
        tell(one, line())
        with ExitStack() as stack:
            raw = crowd(port, 300, stack)
            assert tell(one, line())["frame"] == 1
            for each in raw[-250:]:
                with suppress(ConnectionError):
                    assert each.recv(1) == b""
            raw[0].settimeout(0.05)
            with pytest.raises(TimeoutError):  # the first ones are there
                raw[0].recv(1)
        until = time.monotonic() + SECONDS
        while True:
            with suppress(ConnectionError):
                assert ask(port, "/")[0].status == 200
                break
            assert time.monotonic() < until
        assert tell(one, line())["frame"] == 2


def test_sockets_that_send_no_request_are_closed(
    network: Recognizer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sockets, "HEAD_SECONDS", 0.3)
    with running(application(network)) as port, join(port) as one, ExitStack() as stack:
        raw = crowd(port, 20, stack)
        raw[0].sendall(b"GET / HT")
        for each in raw:
            with suppress(ConnectionError):
                assert each.recv(1) == b""
        assert tell(one, line())["frame"] == 0


def test_a_request_that_takes_too_long_is_closed(
    network: Recognizer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sockets, "LIFE_SECONDS", 0.3)
    with running(application(network)) as port, join(port) as one:
        with socket.create_connection(("127.0.0.1", port), timeout=SECONDS) as raw:
            raw.sendall(
                b"POST /api/clip?name=a.npy HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 99\r\n\r\n1"
            )
            with suppress(ConnectionError):
                assert raw.recv(1) == b""
        assert tell(one, line())["frame"] == 0  # a websocket may live longer


def test_a_clip_in_another_layout_is_mapped(network: Recognizer) -> None:
    file = io.BytesIO()
    np.save(file, np.random.default_rng(0).normal(0, 300, (9, 32, 3)))
    azure = layout.load("azure32")
    for recorded, status in ((None, 422), (azure, 200)):
        app = server.application(network, network.stream, Limits(), recorded=recorded)
        with running(app) as port:
            assert ask(port, "/api/clip?name=a.npy", file.getvalue())[0].status == status


def test_a_watcher_sees_what_a_producer_sends(port: int, other: None) -> None:
    with join(port, "/watch") as watcher, join(port, "/live?name=camera") as producer:
        assert [one["name"] for one in hear(watcher)["streams"]] == ["other"]
        opened = hear(watcher)["opened"]
        assert opened["name"] == "camera"
        own = tell(producer, line({3: person()}, time=1.5))
        seen = hear(watcher)
        assert seen["stream"] == opened["stream"]
        assert seen["bodies"][0]["id"] == 3
        assert seen["answer"]["people"][0]["top"][:3] == own["people"][0]["top"]
        producer.close()
        assert hear(watcher)["closed"]["reason"] == "the producer has gone"


def test_a_long_clip_does_not_hold_up_a_stream(port: int, network: Recognizer, monkeypatch) -> None:
    started = []

    def slow(*_: object) -> bytes:
        started.append(time.monotonic())
        time.sleep(0.7)
        return b"{}"

    monkeypatch.setattr(server, "_as_json", slow)
    with socket.create_connection(("127.0.0.1", port), timeout=SECONDS) as raw, join(port) as stream:
        raw.sendall(b"POST /api/clip?name=a.npy HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 1\r\n\r\n1")
        while not started:
            time.sleep(0.005)
        for frame in range(3):
            assert tell(stream, line())["frame"] == frame
        assert time.monotonic() - started[0] < 0.7


def test_a_network_that_needs_the_whole_clip_streams_nothing() -> None:
    with running(application(recognizer(bidirectional=True))) as port, join(port) as late:
        assert "walks forwards only" in hear(late)["error"]
        clip = skeleton_text([[(1, person())]] * 9)
        assert json.loads(ask(port, "/api/clip?name=a.skeleton", clip)[1])["curve"] is None


def test_limits_and_addresses_are_checked() -> None:
    with pytest.raises(ValueError, match="idle: expected a number above 0, found 0"):
        Limits(idle=0)
    with (
        sockets.listen("127.0.0.1", 0) as place,
        pytest.raises(ValueError, match="cannot listen there: Address"),
    ):
        sockets.listen("127.0.0.1", place.getsockname()[1])
    with pytest.raises(ValueError, match=r"256\.1\.1\.1:0: cannot listen there"):
        sockets.listen("256.1.1.1", 0)


def test_the_documented_camera_is_answered_and_watched(port: int) -> None:
    page = Path(__file__).resolve().parent.parent / "docs" / "serve.md"
    (program,) = re.findall(r"```python\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL)
    with join(port, "/watch") as watcher:
        command = [sys.executable, "-c", program.replace("127.0.0.1:8000", f"127.0.0.1:{port}")]
        found = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
        assert len(found.stdout.splitlines()) == 90
        assert hear(watcher)["streams"] == []
        assert hear(watcher)["opened"]["name"] == "camera"


def test_live_frames_are_in_the_servers_layout_or_the_one_asked_for(network: Recognizer) -> None:
    azure, ours = layout.load("azure32"), network.card.layout()
    assert server.live_layout(network.card, None, "") is None
    assert server.live_layout(network.card, azure, "") == azure
    assert server.live_layout(network.card, azure, "azure32") == azure
    assert server.live_layout(network.card, azure, "model") is None
    assert server.live_layout(network.card, azure, "h36m17") == layout.load("h36m17")
    assert server.live_layout(network.card, azure, "ntu25") == ours
    with pytest.raises(ValueError, match="expected a joint layout out of"):
        server.live_layout(network.card, None, "/etc/camera.toml")  # never a file


def test_a_model_of_an_own_layout_takes_frames_as_its_clips_were_recorded(network: Recognizer) -> None:
    table = {**network.card.joint_layout, "name": "mine", "unit": "mm", "up": "z"}
    card = network.card.model_copy(update={"joint_layout": table})
    assert server.live_layout(card, None, "") == card.layout()
    assert server.live_layout(card, None, "model") is None
    pose = person().astype(np.float32)
    recorded = 1000 * np.stack([pose[:, 0], -pose[:, 2], pose[:, 1]], axis=1)
    own = Recognizer(network.model, card)
    with running(server.application(own, own.stream, Limits())) as port, join(port, "/live?top=14") as socket:
        found = tell(socket, line({1: recorded}))
    expected = own.stream().feed({1: pose}).answers[0].probabilities
    shares = {one["action"]: one["probability"] for one in found["people"][0]["top"]}
    assert [shares[name] for name in card.classes] == pytest.approx(expected.tolist(), abs=2e-6)


def test_a_layout_that_does_not_fit_is_told_and_the_websocket_closed(port: int, other: None) -> None:
    for name, message in (
        ("sbu15", "live frames: expected the 25 joints"),
        ("x.toml", "a joint layout out of"),
    ):
        with join(port, f"/live?layout={name}") as socket:
            told = hear(socket)["error"]
            assert message in told
            with pytest.raises(ConnectionClosed) as error:
                socket.recv(SECONDS)
        assert error.value.rcvd.code == server.REFUSED
        reason = error.value.rcvd.reason.removesuffix(" ...")
        assert told.startswith(reason)
        assert not told[len(reason) :][:1].isalnum()


def test_why_a_websocket_is_closed_is_cut_at_a_word() -> None:
    assert server._reason("short") == "short"
    assert server._reason("word, " * 30) == "word, " * 15 + "word ..."
    assert server._reason("é" * 200) == "é" * 50 + " ..."
