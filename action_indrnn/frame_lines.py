"""Frames as JSON Lines: one frame a line in, one answer a line out; and recordings as frames.

in   {"time": 0.033, "bodies": [{"id": 7, "joints": [[x, y, z], ...]}]}
out  {"line": 1, "frame": 0, "time": 0.033, "people": [{"bodies": [7], "seen": 0.1, "action": null,
      "top": [{"action": "wave", "probability": 0.8}, ...]}], "events": [{"event": "start", "bodies":
      [7], "action": "wave", "start": 0.033}]}
out  {"line": 2, "field": "bodies[0].joints", "error": "..."}   for a line that is no frame
"""

import json
import socketserver
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Protocol

import numpy as np
import torch

from action_indrnn.data_prep.clip import Floats
from action_indrnn.data_prep.skeleton_file import Recording
from action_indrnn.people import BodyId
from action_indrnn.streaming import FrameAnswers, Stream

LINE_LIMIT = 1 << 20  # bytes; a frame of six bodies of 25 joints has about 12,000
BODIES_LIMIT = 64  # of a frame; a Kinect tracks six
ID_LIMIT = 100  # characters
CONNECTIONS = 32
IDLE = 600.0  # seconds in which a connection sends nothing, or takes no answer, before it is closed
_NO_LOCK = nullcontext()


class LineError(ValueError):
    """A line that is no frame; `field` says where."""

    def __init__(self, field: str, message: str) -> None:
        super().__init__(message)
        self.field = field


class Readable(Protocol):
    """What has lines of bytes."""

    def readline(self, size: int, /) -> bytes:
        """The rest of the line, at most so many bytes of it; empty at the end."""


def lines(source: Readable) -> Iterator[tuple[int, bytes | None]]:
    """Yields the number of each line, from 1, and the line, none for one too long; no blank ones."""
    number = 0
    while line := source.readline(LINE_LIMIT + 1):
        number += 1
        if len(line) > LINE_LIMIT:
            while line and not line.endswith(b"\n"):
                line = source.readline(LINE_LIMIT)
            yield number, None
        elif line.strip():
            yield number, line


def parse(line: bytes, joints: int) -> tuple[dict[BodyId, Floats], float | None]:
    """The bodies and the time stamp of a line.

    Raises:
        LineError: no JSON, or not that of a frame of bodies of so many joints.
    """
    try:
        table = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise LineError("", f"expected JSON: {error}") from None
    if not isinstance(table, dict):
        raise LineError("", f"expected an object with bodies, found {_found(table)}")
    unknown = sorted(set(table) - {"time", "bodies"})
    if unknown:
        raise LineError(unknown[0][:ID_LIMIT], "unknown field; known are time and bodies")
    stamp, bodies = table.get("time"), table.get("bodies")
    if stamp is not None and not _is_number(stamp):
        raise LineError("time", f"expected seconds, found {_found(stamp)}")
    if not isinstance(bodies, list) or len(bodies) > BODIES_LIMIT:
        raise LineError("bodies", f"expected a list of at most {BODIES_LIMIT} bodies, found {_found(bodies)}")
    found: dict[BodyId, Floats] = {}
    for number, body in enumerate(bodies):
        where = f"bodies[{number}]"
        if not isinstance(body, dict) or set(body) != {"id", "joints"}:
            raise LineError(where, "expected an object with id and joints")
        name = body["id"]
        if isinstance(name, bool) or not isinstance(name, int | str) or len(str(name)) > ID_LIMIT:
            raise LineError(f"{where}.id", f"expected an integer or a short text, found {_found(name)}")
        if name in found:
            raise LineError(f"{where}.id", f"expected each body once, found {_found(name)} twice")
        found[name] = _joints(body["joints"], joints, f"{where}.joints")
    return found, None if stamp is None else float(stamp)


def _joints(value: Any, count: int, where: str) -> Floats:
    if not isinstance(value, list) or len(value) != count:
        raise LineError(where, f"expected {count} joints, found {_found(value)}")
    for number, joint in enumerate(value):
        if not isinstance(joint, list) or len(joint) != 3 or not all(map(_is_number, joint)):
            raise LineError(f"{where}[{number}]", f"expected x, y, z in metres, found {_found(joint)}")
    return np.array(value, np.float64).clip(-1e30, 1e30).astype(np.float32)  # NaN stays: the stream says so


def _is_number(value: Any) -> bool:
    # an integer of any length is JSON, but not every one is a float
    return isinstance(value, float) or (
        isinstance(value, int) and not isinstance(value, bool) and abs(value) < 10**30
    )


def _found(value: Any) -> str:
    if isinstance(value, list):
        return f"a list of {len(value)}"
    text = json.dumps(value) if isinstance(value, str | int | float | None) else "an object"
    return text if len(text) <= 60 else f"{text[:57]}..."


def as_table(found: FrameAnswers, classes: tuple[str, ...], top: int) -> dict[str, Any]:
    """The answer as JSON's types."""
    table: dict[str, Any] = {"frame": found.frame, "time": round(found.time, 6)}
    if found.late:
        table["late"] = True
    table["people"] = [
        {
            "bodies": list(answer.bodies),
            "seen": round(answer.seen, 4),
            "action": None if answer.action < 0 else classes[answer.action],
            "top": [
                {
                    "action": classes[label],
                    "probability": round(float(answer.probabilities[label]), 6),
                }
                for label in np.argsort(-answer.probabilities, kind="stable")[:top].tolist()
            ],
        }
        for answer in found.answers
    ]
    table["events"] = [
        {
            "event": "start" if event.segment.end is None else "end",
            "bodies": list(event.bodies),
            "action": classes[event.segment.label],
            "start": round(event.segment.start, 6),
            **({} if event.segment.end is None else {"end": round(event.segment.end, 6)}),
        }
        for event in found.events
    ]
    return table


def answer(
    source: Readable,
    write: Callable[[str], object],
    stream: Stream,
    top: int,
    lock: AbstractContextManager[object] = _NO_LOCK,
) -> int:
    """Answers every line of the source with one line, flushed by `write`; the number of bad lines.

    Args:
        source: frames.
        write: takes a line with its end.
        stream: a fresh one.
        top: actions to name.
        lock: held while the stream computes, where several share a network.
    """
    bad, joints = 0, len(stream.layout.joints)
    for number, line in lines(source):
        try:
            if line is None:
                raise LineError("", f"expected a line of at most {LINE_LIMIT} bytes, found a longer one")
            bodies, stamp = parse(line, joints)
            try:
                with lock:
                    found = stream.feed(bodies, stamp)
            except ValueError as error:
                raise LineError("time" if str(error).startswith("time") else "bodies", str(error)) from None
            table = as_table(found, stream.card.classes, top)
        except LineError as error:
            bad += 1
            table = {"field": error.field, "error": str(error)}
        write(json.dumps({"line": number, **table}) + "\n")
    return bad


def replay(
    recording: Recording, write: Callable[[str], object], stream: Stream, top: int, speed: float
) -> None:
    """Answers every frame of a recording with one line, at its frame rate times `speed`; 0 for at once."""
    frames: list[dict[BodyId, Floats]] = [{} for _ in range(recording.frame_count)]
    for track in recording.values():
        for frame, joints in zip(track.frames.tolist(), track.joints, strict=True):
            frames[frame][track.body_id] = joints
    started = time.monotonic()
    for number, bodies in enumerate(frames):
        stamp = number / stream.settings.rate
        if speed:
            time.sleep(max(0.0, started + stamp / speed - time.monotonic()))
        table = as_table(stream.feed(bodies, stamp), stream.card.classes, top)
        write(json.dumps({"line": number + 1, **table}) + "\n")


class Server(socketserver.ThreadingTCPServer):
    """Answers JSON Lines on a socket; every connection has a stream of its own.

    Args:
        address: host and port; port 0 takes a free one.
        fresh: makes a stream.
        top: actions to name.
    """

    allow_reuse_address = True
    daemon_threads = True
    request_queue_size = 128  # connections that wait to be taken

    def __init__(self, address: tuple[str, int], fresh: Callable[[], Stream], top: int) -> None:
        self.fresh, self.top = fresh, top
        self.lock = threading.Lock()
        self.places = threading.BoundedSemaphore(CONNECTIONS)
        self.threads = torch.get_num_threads()
        super().__init__(address, _Connection)


class _Connection(socketserver.StreamRequestHandler):
    server: Server

    def setup(self) -> None:
        """Let no silent other side keep its place for ever, and the thread work on as many cores as ours."""
        super().setup()
        self.connection.settimeout(IDLE)
        torch.set_num_threads(self.server.threads)  # OpenMP counts them anew in every thread

    def handle(self) -> None:
        """Answer until the other side ends."""
        if not self.server.places.acquire(blocking=False):
            error = f"expected at most {CONNECTIONS} connections at once, found more; try again later"
            self._write(json.dumps({"field": "", "error": error}) + "\n")
            return
        try:
            answer(self.rfile, self._write, self.server.fresh(), self.server.top, self.server.lock)
        except (ConnectionError, TimeoutError):  # the other side is gone, or as good as gone
            return
        finally:
            self.server.places.release()

    def _write(self, text: str) -> None:
        self.wfile.write(text.encode())


def address(text: str) -> tuple[str, int]:
    """Host and port of HOST:PORT.

    Raises:
        ValueError: something else.
    """
    host, colon, port = text.rpartition(":")
    if not colon or not host or not port.isascii() or not port.isdigit() or int(port) > 65535:
        raise ValueError(f"--listen: expected HOST:PORT, as 127.0.0.1:7000, found '{text}'")
    return host, int(port)
