"""Frames as JSON Lines: what may stand in a line, and what an answer looks like.

in   {"time": 0.033, "bodies": [{"id": 7, "joints": [[x, y, z], ...], "states": [2, 2, 1, ...]}]}
out  {"line": 1, "frame": 0, "time": 0.033, "people": [{"bodies": [7], "seen": 0.1, "action": null,
      "top": [{"action": "wave", "probability": 0.8}, ...]}], "events": [{"event": "start", "bodies":
      [7], "action": "wave", "start": 0.033}]}
in   {"clip": "begin"}   the stream begins anew, and its frames are kept
out  {"line": 2, "clip": "begin"}
in   {"clip": "end"}     what do the frames since then show, taken as a whole clip?
out  {"line": 9, "clip": "end", "frames": 6, "top": [{"action": "wave", "probability": 0.9}, ...]}
out  {"line": 10, "field": "bodies[0].joints", "error": "..."}   for a line that is none of these

Time is in seconds. States say how a joint was seen, 0 not tracked, 1 inferred, 2 tracked; they, and the time,
may be missing. "begin" may give "bodies", ids of which the first is the main actor; else that is who comes
first; and "name", that of the clip file whose answer is wanted: an evaluation draws its frames by the name.
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from action_indrnn.data_prep.clip import Floats
from action_indrnn.data_prep.layout import Layout, miscounted
from action_indrnn.live_frames import FrameError
from action_indrnn.people import BodyId
from action_indrnn.streaming import FrameAnswers

LINE_LIMIT = 1 << 20  # bytes; a frame of six bodies of 25 joints has about 12,000
BODIES_LIMIT = 64  # of a frame; a Kinect tracks six
ID_LIMIT = 100  # characters
MARKS = ("begin", "end")
STATES = (0, 1, 2)  # not tracked, inferred, tracked


class LineError(ValueError):
    """A line that is no frame; `field` says where."""

    def __init__(self, place: str, message: str) -> None:
        super().__init__(message)
        self.field = place

    @classmethod
    def of(cls, error: FrameError) -> "LineError":
        """The error of a line whose frame a stream cannot take."""
        if error.body < 0:
            return cls("time", str(error))
        place = f"bodies[{error.body}].joints"
        return cls(place if error.joint < 0 else f"{place}[{error.joint}]", str(error))


@dataclass(frozen=True)
class Frame:
    """What stands in a line.

    Attributes:
        bodies: joints by body id.
        time: seconds, if it says.
        states: tracking states of the bodies that have some, one for each joint.
    """

    bodies: dict[BodyId, Floats]
    time: float | None = None
    states: dict[BodyId, list[int]] = field(default_factory=dict)


@dataclass(frozen=True)
class Mark:
    """Where a clip begins or ends.

    Attributes:
        begins: which of both.
        bodies: ids, the main actor's first, as far as they are known.
        name: the clip's.
    """

    begins: bool
    bodies: tuple[BodyId, ...] = ()
    name: str = "clip"


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


def parse(line: bytes | None, layout: Layout) -> Frame | Mark:
    """What stands in a line.

    Args:
        line: none for one that was too long.
        layout: of the joints.

    Raises:
        LineError: no JSON, or neither a frame of bodies of these joints nor a mark.
    """
    if line is None or len(line) > LINE_LIMIT:
        raise LineError("", f"expected a line of at most {LINE_LIMIT} bytes, found a longer one")
    try:
        table = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise LineError("", f"expected JSON: {error}") from None
    if not isinstance(table, dict):
        raise LineError("", f"expected an object with bodies, found {_found(table)}")
    known: tuple[str, ...] = ("time", "bodies")
    if "clip" in table:
        known = ("clip",) if table["clip"] == "end" else ("clip", "bodies", "name")
    unknown = sorted(set(table) - set(known))
    if unknown:
        raise LineError(unknown[0][:ID_LIMIT], f"unknown field; known are {', '.join(known)}")
    if "clip" in table:
        return _mark(table)
    stamp, bodies = table.get("time"), table.get("bodies")
    if stamp is not None and not _is_number(stamp):
        raise LineError("time", f"expected seconds, found {_found(stamp)}")
    if not isinstance(bodies, list) or len(bodies) > BODIES_LIMIT:
        raise LineError("bodies", f"expected a list of at most {BODIES_LIMIT} bodies, found {_found(bodies)}")
    found: dict[BodyId, Floats] = {}
    states: dict[BodyId, list[int]] = {}
    for number, body in enumerate(bodies):
        where = f"bodies[{number}]"
        if not isinstance(body, dict) or set(body) - {"states"} != {"id", "joints"}:
            raise LineError(where, "expected an object with id, joints and, at will, states")
        name = _id(body["id"], f"{where}.id")
        if name in found:
            raise LineError(f"{where}.id", f"expected each body once, found {_found(name)} twice")
        found[name] = _joints(body["joints"], layout, f"{where}.joints")
        if "states" in body:
            states[name] = _states(body["states"], layout, f"{where}.states")
    return Frame(found, None if stamp is None else float(stamp), states)


def _mark(table: dict[str, Any]) -> Mark:
    if table["clip"] not in MARKS:
        raise LineError("clip", f'expected "begin" or "end", found {_found(table["clip"])}')
    bodies = table.get("bodies", [])
    if not isinstance(bodies, list) or len(bodies) > BODIES_LIMIT:
        raise LineError("bodies", f"expected a list of at most {BODIES_LIMIT} ids, found {_found(bodies)}")
    names = [_id(name, f"bodies[{number}]") for number, name in enumerate(bodies)]
    title = table.get("name", Mark.name)
    if not isinstance(title, str) or len(title) > ID_LIMIT:
        raise LineError("name", f"expected a short text, found {_found(title)}")
    return Mark(table["clip"] == "begin", tuple(names), title)


def _id(name: Any, where: str) -> BodyId:
    if isinstance(name, bool) or not isinstance(name, int | str) or len(str(name)) > ID_LIMIT:
        raise LineError(where, f"expected an integer or a short text, found {_found(name)}")
    return name


def _joints(value: Any, layout: Layout, where: str) -> Floats:
    if not isinstance(value, list):
        raise LineError(where, f"expected a list of joints, found {_found(value)}")
    if len(value) != len(layout.joints):
        raise LineError(where, miscounted(layout, len(value)))
    for number, joint in enumerate(value):
        if not isinstance(joint, list) or len(joint) != 3 or not all(map(_is_number, joint)):
            expected = f"expected x, y, z of the {layout.joints[number]}"
            raise LineError(f"{where}[{number}]", f"{expected}, found {_found(joint)}")
    return np.array(value, np.float64).clip(-1e30, 1e30).astype(np.float32)  # NaN stays: the stream says so


def _states(value: Any, layout: Layout, where: str) -> list[int]:
    if not isinstance(value, list) or len(value) != len(layout.joints):
        raise LineError(where, f"expected {len(layout.joints)} states, found {_found(value)}")
    for number, state in enumerate(value):
        if not isinstance(state, int) or isinstance(state, bool) or state not in STATES:
            expected = "expected 0 (not tracked), 1 (inferred) or 2 (tracked)"
            raise LineError(f"{where}[{number}]", f"{expected}, found {_found(state)}")
    return value


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


def leaders(probabilities: NDArray[np.float64], classes: Sequence[str], top: int) -> list[dict[str, Any]]:
    """The most probable actions, as JSON's types."""
    return [
        {"action": classes[label], "probability": round(float(probabilities[label]), 6)}
        for label in np.argsort(-probabilities, kind="stable")[:top].tolist()
    ]


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
            "top": leaders(answer.probabilities, classes, top),
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
