"""Reads MATLAB's v5 files: numbers, cells and structs.

scipy's reader crashes the process on damaged files; this one checks every length against what is there.
Format: "MAT-File Format", The MathWorks, chapter "Level 5 MAT-File Format".
"""

import math
import zlib
from typing import Any, NamedTuple

import numpy as np

from action_indrnn.data_prep.clip import ClipError

_HEADER = 128  # bytes; the last four are the version and the byte order
_LARGEST = 256 * 2**20  # bytes that a compressed element may become
_DEEPEST = 8  # cells and structs inside each other
_MATRIX, _COMPRESSED = 14, 15
_NUMBERS = {1: "i1", 2: "u1", 3: "i2", 4: "u2", 5: "i4", 6: "u4", 7: "f4", 9: "f8", 12: "i8", 13: "u8"}
_CELL, _STRUCT = 1, 2
_NUMERIC = range(6, 16)  # double to uint64
_COMPLEX = 0x0800


class _Element(NamedTuple):
    kind: int
    content: memoryview


class _Elements:
    """Walks the elements in some bytes."""

    def __init__(self, content: memoryview, order: str, source: str) -> None:
        self.content = content
        self.order = order
        self.source = source

    def fail(self, expected: str, found: object) -> ClipError:
        return ClipError(f"{self.source}: expected {expected} in MATLAB's format, found {found}")

    def _number(self, at: int) -> int:
        if at + 4 > len(self.content):
            raise self.fail("an element", "the end of the data")
        return int(np.frombuffer(self.content[at : at + 4], self.order + "u4")[0])

    def take(self) -> _Element:
        """The next element."""
        first = self._number(0)
        if first >> 16:  # a small element: size and type share four bytes, the content follows in four
            kind, size, start, end = first & 0xFFFF, first >> 16, 4, 8
        else:
            kind, size, start = first, self._number(4), 8
            end = start + size if kind == _COMPRESSED else start + -(-size // 8) * 8
        if start + size > min(len(self.content), end):
            raise self.fail(f"an element of {size} bytes", f"{len(self.content) - start}")
        element = _Element(kind, self.content[start : start + size])
        self.content = self.content[end:]
        return element

    def numbers(self) -> np.ndarray[Any, Any]:
        """The numbers of the next element, one after the other."""
        element = self.take()
        code = _NUMBERS.get(element.kind)
        if code is None or len(element.content) % int(code[1]):
            raise self.fail("numbers", f"{len(element.content)} bytes of type {element.kind}")
        return np.frombuffer(element.content, self.order + code)

    def text(self) -> bytes:
        """The bytes of the next element."""
        return self.take().content.tobytes()

    def inside(self, element: _Element) -> "_Elements":
        """The elements in an element."""
        return _Elements(element.content, self.order, self.source)

    def matrix(self, depth: int = 0) -> tuple[str, Any]:
        """Name and value of the next element: an array, a list of a cell's or of a struct array's values."""
        element = self.take()
        if element.kind != _MATRIX or depth > _DEEPEST:
            raise self.fail(f"an array, up to {_DEEPEST} deep", f"type {element.kind}, {depth} deep")
        parts = self.inside(element)
        if not element.content:
            return "", np.empty(0)
        flags, shape = parts.numbers(), parts.numbers().tolist()
        name = parts.text().decode("latin-1")
        count = math.prod(shape)
        if not len(flags) or not 2 <= len(shape) <= 8 or min(shape) < 0 or count > len(element.content):
            raise self.fail("an array's size", shape)
        kind = int(flags[0]) & 0xFF
        if kind in _NUMERIC and not int(flags[0]) & _COMPLEX:
            values = parts.numbers()
            if len(values) != count:
                raise self.fail(f"{count} numbers of {name or 'an array'}", len(values))
            return name, values.reshape(shape, order="F")
        if kind == _CELL:
            return name, [parts.matrix(depth + 1)[1] for _ in range(count)]
        if kind == _STRUCT:
            return name, parts.structs(count, depth)
        return name, None  # text, functions, sparse and complex arrays are not read

    def structs(self, count: int, depth: int) -> list[dict[str, Any]]:
        """The structs of a struct array, field by name."""
        widths = self.numbers().tolist()
        names = self.text()
        if len(widths) != 1 or not 1 <= widths[0] <= 64 or len(names) % widths[0]:
            raise self.fail("the names of a struct's fields", f"{len(names)} bytes for {widths}")
        fields = [
            names[at : at + widths[0]].rstrip(b"\0").decode("latin-1")
            for at in range(0, len(names), widths[0])
        ]
        if count * len(fields) > len(self.content):
            raise self.fail(f"{count} structs of {len(fields)} fields", f"{len(self.content)} bytes")
        return [{field: self.matrix(depth + 1)[1] for field in fields} for _ in range(count)]


def read(data: bytes, source: str) -> dict[str, Any]:
    """The variables of a file by name.

    Numeric arrays are arrays of at least two dimensions, cells lists of values, struct arrays lists of
    dictionaries, all in MATLAB's order (the first index runs fastest); other kinds are None.

    Args:
        data: the whole file.
        source: its name, for errors.

    Raises:
        ClipError: not such a file, or a damaged one; names `source`.
    """
    order = {b"\x00\x01IM": "<", b"\x01\x00MI": ">"}.get(data[_HEADER - 4 : _HEADER])
    if order is None:
        raise ClipError(f"{source}: expected MATLAB's format, version 5, found another")
    variables = {}
    walk = _Elements(memoryview(data)[_HEADER:], order, source)
    while walk.content:
        rest = walk.content
        element = walk.take()
        if element.kind == _COMPRESSED:
            unpacked = _unpack(element.content, source)
            name, value = _Elements(memoryview(unpacked), order, source).matrix()
        else:
            name, value = _Elements(rest, order, source).matrix()
        variables[name] = value
    return variables


def _unpack(content: memoryview, source: str) -> bytes:
    unpacker = zlib.decompressobj()
    try:
        unpacked = unpacker.decompress(content, _LARGEST)
    except zlib.error as error:
        raise ClipError(f"{source}: damaged: {error}") from error
    if unpacker.unconsumed_tail:
        raise ClipError(f"{source}: expected at most {_LARGEST} bytes in an element, found more")
    return unpacked
