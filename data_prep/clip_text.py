"""Reads one clip from text: CSV, JSON or JSON Lines.

    CSV         columns frame, joint, x, y, z and, at will, body; joints by name, or by number from 0 on
    JSON        {"joints": ["head", ...], "frames": [FRAME, ...]}, or the list of frames alone
    JSON Lines  one FRAME a line, at will after a first line {"joints": ["head", ...]}
    FRAME       {"frame": 7, "bodies": [{"id": "72057594037944738", "joints": [[x, y, z], null, ...]}]}

A frame's number is optional (frames then follow each other), a body's id too (its place in the list is its
id), and a frame of one body may hold `joints` itself. Other keys are passed over. Numbers that a recording
leaves out are frames in which nobody was seen; `null`, `nan` or an empty field is a joint that was not seen.
"""

import csv
import json
import math
import re
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np

from action_indrnn.data_prep.clip import ClipError
from action_indrnn.data_prep.layout import NO_DEPTH
from action_indrnn.data_prep.points import Doubles

_MOST_CELLS = 2_000_000  # joints of all bodies and frames: 22 minutes of two bodies of 25 at 30 Hz
_LINE = re.compile(r"[^\r\n]*(?:\r\n|\r|\n)|[^\r\n]+")
_COLUMNS = ("frame", "joint", "x", "y", "z")
Point = tuple[float, float, float]
_UNSEEN: Point = (math.nan, math.nan, math.nan)
_Cells = dict[tuple[int, str, int], Point]  # by frame, body and joint


def read_csv(text: str, source: str) -> tuple[Doubles, tuple[str, ...]]:
    """The joints (M, T, V, 3) of a CSV file, and their names if it has names.

    Raises:
        ClipError: damaged; names line and column.
    """
    rows = csv.reader((line[0] for line in _LINE.finditer(text)), strict=True)
    head: list[str] = []
    cells: _Cells = {}
    joints: dict[str, int] = {}
    try:
        head = [field.strip().lower() for field in next(rows, [])]
        if {"x", "y"} <= set(head) and "z" not in head:
            raise ClipError(f"{source}:1: expected columns x, y, z, found no z: {NO_DEPTH}")
        lacking = [column for column in _COLUMNS if column not in head]
        if lacking:
            raise ClipError(f"{source}:1: expected columns {', '.join(_COLUMNS)}; found no {lacking[0]}")
        for row in rows:
            where = f"{source}:{rows.line_num}"
            if not row:
                continue
            if len(row) != len(head):
                raise ClipError(f"{where}: expected {len(head)} fields, found {len(row)}")
            fields = {column: field.strip() for column, field in zip(head, row, strict=True)}
            frame = _integer(fields["frame"], f"{where}: frame")
            place = joints.setdefault(fields["joint"], len(joints))
            cell = (frame, fields.get("body", "0"), place)
            if cell in cells:
                again = fields["joint"]
                raise ClipError(f"{where}: joint: expected each once in a frame, found '{again}' again")
            if len(cells) == _MOST_CELLS:
                raise ClipError(f"{where}: expected at most {_MOST_CELLS} joints in a clip, found more")
            x, y, z = (_number(fields[axis], f"{where}: {axis}") for axis in "xyz")
            cells[cell] = (x, y, z)
    except csv.Error as error:
        raise ClipError(f"{source}:{rows.line_num}: expected CSV: {error}") from error
    if not all(name.isascii() and name.isdigit() for name in joints):
        return _filled(cells, len(joints), source), tuple(joints)
    numbers = {place: int(name) for name, place in joints.items()}
    if sorted(numbers.values()) != list(range(len(numbers))):
        found = f"{min(numbers.values())} to {max(numbers.values())}"
        raise ClipError(f"{source}: expected joints numbered 0 to {len(numbers) - 1}, found {found}")
    cells = {(frame, body, numbers[place]): point for (frame, body, place), point in cells.items()}
    return _filled(cells, len(joints), source), ()


def read_json(text: str, source: str) -> tuple[Doubles, tuple[str, ...]]:
    """The joints (M, T, V, 3) of a JSON file, and their names if it has names.

    Raises:
        ClipError: damaged; names the line, or frame and field.
    """
    content = parsed(text, source)
    names: tuple[str, ...] = ()
    if isinstance(content, dict):
        names = _names(content.get("joints", []), f"{source}: joints")
        content = content.get("frames")
    if not isinstance(content, list):
        raise ClipError(f"{source}: expected a list of frames, or one as 'frames'")
    return _frames(
        ((f"{source}: frame {number}", frame) for number, frame in enumerate(content)), names, source
    )


def read_json_lines(text: str, source: str) -> tuple[Doubles, tuple[str, ...]]:
    """The joints (M, T, V, 3) of a JSON Lines file, and their names if it has names.

    Raises:
        ClipError: damaged; names line and field.
    """
    lines = (
        (f"{source}:{number}", parsed(line, source, number))
        for number, line in enumerate((found[0] for found in _LINE.finditer(text)), 1)
        if line.strip()
    )
    first = next(lines, None)
    if first is None:
        raise ClipError(f"{source}:1: expected a frame, found nothing")
    where, head = first
    if isinstance(head, dict) and "bodies" not in head and _are_names(head.get("joints")):
        return _frames(lines, _names(head["joints"], f"{where}: joints"), source)
    return _frames(_after(first, lines), (), source)


def _after(first: tuple[str, Any], rest: Iterator[tuple[str, Any]]) -> Iterator[tuple[str, Any]]:
    yield first
    yield from rest


def parsed(text: str, source: str, line: int = 0) -> Any:
    """The value of a JSON text; in JSON Lines, of its line `line`.

    Raises:
        ClipError: none; names line and column.
    """
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        raise ClipError(f"{source}:{line or error.lineno}: column {error.colno}: {error.msg}") from error
    except (ValueError, RecursionError) as error:  # of an endless number, of endless nesting
        raise ClipError(f"{source}:{line or 1}: expected JSON: {str(error)[:100]}") from error


def _are_names(given: object) -> bool:
    return isinstance(given, list) and bool(given) and all(isinstance(name, str) for name in given)


def _names(given: object, where: str) -> tuple[str, ...]:
    if given != [] and not _are_names(given):
        raise ClipError(f"{where}: expected a list of names, found {str(given)[:60]}")
    return tuple(given)  # type: ignore[arg-type] # a list of texts, seen above


def _frames(
    frames: Iterable[tuple[str, Any]], names: tuple[str, ...], source: str
) -> tuple[Doubles, tuple[str, ...]]:
    """The joints of frame objects, each with its place for errors."""
    cells: _Cells = {}
    number, joints, seen = -1, len(names), set()
    for where, frame in frames:
        if not isinstance(frame, dict) or not ("bodies" in frame or "joints" in frame):
            raise ClipError(f"{where}: expected an object with 'bodies', found {str(frame)[:60]}")
        number = _integer(frame.get("frame", number + 1), f"{where}: frame")
        if number in seen:
            raise ClipError(f"{where}: frame: expected each number once, found {number} again")
        seen.add(number)
        bodies = frame.get("bodies", [frame])
        if not isinstance(bodies, list):
            raise ClipError(f"{where}: bodies: expected a list, found {str(bodies)[:60]}")
        there: set[str] = set()
        for place, body in enumerate(bodies):
            inside = f"{where}: bodies[{place}]"
            points = _points(body, joints, inside)
            joints = len(points)
            identity = body.get("id", place)
            if isinstance(identity, bool) or not isinstance(identity, int | str) or str(identity) in there:
                raise ClipError(f"{inside}: id: expected another text or whole number, found {identity!r}")
            there.add(str(identity))
            cells |= {(number, str(identity), joint): point for joint, point in enumerate(points)}
            if len(cells) > _MOST_CELLS:
                raise ClipError(f"{inside}: expected at most {_MOST_CELLS} joints in a clip, found more")
    return _filled(cells, joints, source, seen), names


def _points(body: object, joints: int, where: str) -> list[Point]:
    """The points of a body; where `joints` is not 0, so many."""
    listed = body.get("joints") if isinstance(body, dict) else None
    if not isinstance(listed, list) or not listed or (joints and len(listed) != joints):
        found = f"{len(listed)}" if isinstance(listed, list) else str(listed)[:60]
        raise ClipError(f"{where}: joints: expected a list of {joints or 'joints'}, found {found}")
    return [_point(given, f"{where}: joints[{place}]") for place, given in enumerate(listed)]


def _point(given: object, where: str) -> Point:
    if given is None:
        return _UNSEEN
    if isinstance(given, list) and len(given) == 2:
        raise ClipError(f"{where}: expected [x, y, z], found two numbers: {NO_DEPTH}")
    if not isinstance(given, list) or len(given) != 3:
        raise ClipError(f"{where}: expected [x, y, z] or null, found {str(given)[:60]}")
    x, y, z = (_number(value, where) for value in given)
    return x, y, z


def _number(given: object, where: str) -> float:
    """A coordinate; NaN for what stands for a joint that was not seen."""
    if given is None or given == "":
        return math.nan
    try:
        if isinstance(given, int | float | str) and not isinstance(given, bool):
            number = float(given)
            if not math.isinf(number):
                return number
    except (ValueError, OverflowError):
        pass
    raise ClipError(f"{where}: expected a number, found {str(given)[:60]!r}")


def _integer(given: object, where: str) -> int:
    text = str(given)
    if isinstance(given, bool) or len(text) > 18 or not text.isascii() or not text.isdigit():
        raise ClipError(f"{where}: expected a whole number from 0 on, found {text[:60]!r}")
    return int(text)


def _filled(cells: _Cells, joints: int, source: str, frames: Iterable[int] = ()) -> Doubles:
    """The cells (M, T, V, 3), bodies in order of appearance, from the first frame to the last."""
    numbers = {frame for frame, _, _ in cells} | set(frames)
    bodies: dict[str, int] = {}
    for _, body, _ in cells:
        bodies.setdefault(body, len(bodies))
    if not bodies:
        raise ClipError(f"{source}: expected a body, found none in {len(numbers)} frames")
    first = min(numbers)
    count = max(numbers) - first + 1
    if count * len(bodies) * joints > _MOST_CELLS:
        raise ClipError(
            f"{source}: expected at most {_MOST_CELLS} joints in a clip, found {count} frames of "
            f"{len(bodies)} bodies of {joints} joints"
        )
    array = np.full((len(bodies), count, joints, 3), np.nan)
    for (frame, body, joint), point in cells.items():
        array[bodies[body], frame - first, joint] = point
    return array
