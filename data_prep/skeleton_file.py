"""Reads the `.skeleton` text format of NTU RGB+D.

Format (shahroudy/NTURGB-D, Matlab/read_skeleton_file.m): the frame count; for each frame the body count; for
each body a line of 10 fields that starts with the body id, the joint count, and a line of 12 fields for each
joint: x y z (metres, camera space, y up, z away from the sensor), depth x y, colour x y (pixels), orientation
w x y z, tracking state (0 not tracked, 1 inferred, 2 tracked).

Body ids are about 2**56 and do not fit a float64: they are integers here, everywhere.

The Python code here defines what is read. Where `skeleton_parser` has its compiled library, that reads texts
in the usual shape, to the same bits.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import chain, repeat
from pathlib import Path
from typing import NoReturn

import numpy as np
from numpy.typing import NDArray

from action_indrnn.data_prep import skeleton_parser
from action_indrnn.data_prep.clip import COORDINATE_LIMIT, ClipError, Floats

SUFFIX = ".skeleton"
JOINTS = 25
BODY_FIELDS = 10
JOINT_FIELDS = 12
FRAME_LIMIT = 100_000  # an hour; NTU's longest clip has 300
LONGEST_INTEGER = 20  # digits of the largest uint64, which a body id is
_SHORTEST_LINE = 16  # bytes on average, beside lines of frames without a body; 12 fields of one digit take 24
_LONGEST_LINE = 10_000  # bytes; recorded ones have about 150
SIZE_LIMIT = 64 * 2**20  # bytes; the longest NTU clip with four bodies has about 3 MB


@dataclass(frozen=True)
class Track:
    """One body id through a recording.

    Attributes:
        body_id: the sensor's id, an integer.
        frames: (n,) int64, rising 0-based frame numbers in which the body stands in the file.
        joints: (n, V, 3) float32, metres, camera space.
        states: (n, V) uint8, 0 not tracked, 1 inferred, 2 tracked.
    """

    body_id: int
    frames: NDArray[np.int64]
    joints: Floats
    states: NDArray[np.uint8]


class Recording(Mapping[int, Track]):
    """The tracks of one file by body id, in order of appearance.

    Attributes:
        name: the file's name without folder and suffix.
        source: where it came from, as errors name it.
        frame_count: frames in the file, also those without a body.
    """

    def __init__(self, source: str, frame_count: int, tracks: Mapping[int, Track]) -> None:
        self.source = source
        name = source.replace("\\", "/").rsplit("/", 1)[-1]
        self.name = name[: -len(SUFFIX)] if name.lower().endswith(SUFFIX) else name
        self.frame_count = frame_count
        self._tracks = dict(tracks)

    def __getitem__(self, body_id: int) -> Track:
        return self._tracks[body_id]

    def __iter__(self) -> Iterator[int]:
        return iter(self._tracks)

    def __len__(self) -> int:
        return len(self._tracks)


def read(path: str | Path) -> Recording:
    """The recording in a `.skeleton` file.

    Raises:
        ClipError: the content is not such a file; names file and line.
        OSError: the file cannot be read.
    """
    path = Path(path)
    if path.stat().st_size > SIZE_LIMIT:
        raise ClipError(f"{path}: expected at most {SIZE_LIMIT} bytes, found {path.stat().st_size}")
    return parse(path.read_bytes(), str(path))


def parse(data: bytes, source: str) -> Recording:
    """The recording that a `.skeleton` file's bytes describe; line ends may be LF or CRLF.

    Args:
        data: the whole file.
        source: the file's name for errors and for the recording's name.

    Raises:
        ClipError: truncated, damaged, not finite, not metres, or another format; names `source` and line.
    """
    usual = skeleton_parser.parse(data)
    return parse_any(data, source) if usual is None else _recording(usual, source)


def _recording(blocks: skeleton_parser.Blocks, source: str) -> Recording:
    """The recording of a text's blocks."""
    tracks = {}
    for body_id in dict.fromkeys(blocks.ids.tolist()):
        own = blocks.ids == body_id
        tracks[body_id] = Track(body_id, blocks.frames[own], blocks.joints[own], blocks.states[own])
    return Recording(source, blocks.frame_count, tracks)


def parse_any(data: bytes, source: str) -> Recording:
    """The same as `parse`, always by the Python parser."""
    if not data.strip():
        raise ClipError(f"{source}:1: expected a frame count, found an empty file")
    count = data.count(b"\n")
    if count > FRAME_LIMIT + len(data) // _SHORTEST_LINE:  # before each takes its forty bytes of memory
        raise ClipError(f"{source}: expected lines of joints, found {count} lines in {len(data)} bytes")
    lines = data.replace(b"\r\n", b"\n").rstrip().split(b"\n")
    walk = _Walk(lines, source)
    joint_lines = walk.joint_lines
    if set(map(bytes.count, joint_lines, repeat(b" "))) - {JOINT_FIELDS - 1} or b"_" in data:
        joint_lines = [b" ".join(line.split()) for line in joint_lines]
        walk.check_fields(joint_lines)
    joints = _coordinates(joint_lines, walk)
    states = _states(joint_lines, walk)
    tracks = {}
    for body_id, blocks in walk.blocks.items():
        frames = np.array([walk.frame_of_block[block] for block in blocks], dtype=np.int64)
        tracks[body_id] = Track(body_id, frames, joints[blocks], states[blocks])
    return Recording(source, walk.frame_count, tracks)


class _Walk:
    """The structure of a file: which lines hold the joints of which body in which frame."""

    def __init__(self, lines: list[bytes], source: str) -> None:
        self.lines = lines
        self.source = source
        longest = max(range(len(lines)), key=lambda at: len(lines[at]))
        if len(lines[longest]) > _LONGEST_LINE:
            self.fail(longest, f"a line of at most {_LONGEST_LINE} bytes", lines[longest])
        self.joint_lines: list[bytes] = []
        self.first_line: list[int] = []  # of each block of joint lines, 0-based
        self.frame_of_block: list[int] = []
        self.blocks: dict[int, list[int]] = {}
        self.frame_count = self.integer(0, "a frame count", least=1)
        if self.frame_count > FRAME_LIMIT:
            self.fail(0, f"a frame count up to {FRAME_LIMIT}", lines[0])
        at = 1
        for frame in range(self.frame_count):
            body_count = self.integer(at, f"the body count of frame {frame + 1} of {self.frame_count}")
            at += 1
            for _ in range(body_count):
                at = self.body(at, frame)
        if at < len(lines):
            self.fail(at, f"the end of the file after {self.frame_count} frames", lines[at])

    def body(self, at: int, frame: int) -> int:
        """Take in the body that starts at line `at`; the line behind it."""
        where = f"of frame {frame + 1} of {self.frame_count}"
        if at >= len(self.lines):
            self.fail(at, f"a body {where}", None)
        fields = self.lines[at].split()
        if len(fields) != BODY_FIELDS:
            self.fail(at, f"the {BODY_FIELDS} fields of a body {where}", self.lines[at])
        body_id = self.integer(at, "a body id", fields[0])
        count = self.integer(at + 1, f"the joint count of a body {where}")
        if count != JOINTS:
            raise ClipError(f"{self.source}:{at + 2}: expected {JOINTS} joints, found {count}")
        at += 2
        block = self.lines[at : at + JOINTS]
        if len(block) < JOINTS:
            self.fail(len(self.lines), f"{JOINTS} joints of a body {where}", None)
        if len(block[-1].split()) != JOINT_FIELDS:  # a joint too few or too many shifts all that follows
            short = next(at + joint for joint, line in enumerate(block) if len(line.split()) != JOINT_FIELDS)
            self.fail(short, f"{JOINT_FIELDS} fields of a joint", self.lines[short])
        blocks = self.blocks.setdefault(body_id, [])
        if blocks and self.frame_of_block[blocks[-1]] == frame:
            self.fail(at - 2, f"each body id once in frame {frame + 1}", fields[0])
        blocks.append(len(self.first_line))
        self.first_line.append(at)
        self.frame_of_block.append(frame)
        self.joint_lines += block
        return at + JOINTS

    def integer(self, at: int, what: str, field: bytes | None = None, least: int = 0) -> int:
        """The integer in line `at`, or in one field of it."""
        if at >= len(self.lines):
            self.fail(at, what, None)
        text = (self.lines[at] if field is None else field).strip()
        if len(text) > LONGEST_INTEGER or not text.isdigit() or int(text) < least:
            self.fail(at, what, text)
        return int(text)

    def line_of(self, joint: int) -> int:
        """The 0-based line that the joint line number `joint` stands in."""
        return self.first_line[joint // JOINTS] + joint % JOINTS

    def check_fields(self, joint_lines: list[bytes]) -> None:
        """Fail at the first joint line that has another number of fields, or an underscore in a number."""
        for joint, line in enumerate(joint_lines):
            if len(line.split(b" ")) != JOINT_FIELDS:
                self.fail(self.line_of(joint), f"{JOINT_FIELDS} fields of a joint", line)
            if b"_" in line:
                self.fail(self.line_of(joint), "numbers", line)

    def fail(self, at: int, expected: str, found: bytes | None) -> NoReturn:
        """Raise the error for line `at`; `found` None means that the file ends there."""
        if found is None:
            raise ClipError(
                f"{self.source}:{len(self.lines)}: expected {expected}, found the end of the file"
            )
        text = repr(found[:60])[2:-1] + ("..." if len(found) > 60 else "")
        raise ClipError(f"{self.source}:{at + 1}: expected {expected}, found '{text}'")


def _coordinates(joint_lines: list[bytes], walk: _Walk) -> Floats:
    """(blocks, V, 3) metres, from the first three fields of every joint line."""
    tokens = chain.from_iterable(line.split(b" ", 3)[:3] for line in joint_lines)
    try:
        values = np.fromiter(map(float, tokens), np.float64, 3 * len(joint_lines))
    except ValueError:
        for joint, line in enumerate(joint_lines):
            for token in line.split(b" ", 3)[:3]:
                try:
                    float(token)
                except ValueError:
                    walk.fail(walk.line_of(joint), "a coordinate in metres", token)
        raise
    wrong = np.flatnonzero(~(np.abs(values) <= COORDINATE_LIMIT))
    if wrong.size:
        joint, axis = divmod(int(wrong[0]), 3)
        expected = f"a coordinate in metres within +-{COORDINATE_LIMIT:g}"
        walk.fail(walk.line_of(joint), expected, joint_lines[joint].split(b" ")[axis])
    return values.astype(np.float32).reshape(-1, JOINTS, 3)


def _states(joint_lines: list[bytes], walk: _Walk) -> NDArray[np.uint8]:
    """(blocks, V) tracking states, from the last field of every joint line."""
    tails = [line[-2:] for line in joint_lines]
    unknown = set(tails) - {b" 0", b" 1", b" 2"}
    if unknown:
        joint = next(number for number, tail in enumerate(tails) if tail in unknown)
        found = joint_lines[joint].rsplit(b" ", 1)[-1]
        walk.fail(walk.line_of(joint), "a tracking state 0, 1 or 2", found)
    states = np.frombuffer(b"".join(tails), np.uint8)[1::2] - np.uint8(ord("0"))
    return states.reshape(-1, JOINTS)
