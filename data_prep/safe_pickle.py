"""Reads pickles that hold plain values and numpy arrays, and runs no code from them.

A pickle names functions to call. Here each of the few names that numpy's arrays need stands for a function of
our own that checks what it is given; any other name is refused. The standard library's Python unpickler is
used, not its C twin: every length in the file is checked against the bytes that are left before memory is
taken for it, and how many values there may be follows from the file's size. The content of an array stays in
the file until it is asked for, so a data set of many gigabytes needs the memory of its names.
"""

import math
import os
import pickle
import struct
from pathlib import Path
from typing import IO, Any, ClassVar, NamedTuple

import numpy as np

from action_indrnn.data_prep.clip import ClipError

_NUMBERS = frozenset(("b1", "f2", "f4", "f8", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8"))
_LONGEST_LINE = 100_000  # bytes
_LEFT_IN_FILE = 1_024  # bytes; from this size on
_STEPS, _BYTES_A_STEP = 2_000_000, 100  # steps of a pickle: so many, and one more for so many bytes
_DEEPEST = 100_000  # values that wait for what they belong to; writers let about a thousand wait
_ZIP = b"PK\3\4"
_ERRORS = (
    *(pickle.UnpicklingError, EOFError, IndexError, KeyError, TypeError, AttributeError, ValueError),
    *(OverflowError, RecursionError, struct.error, AssertionError),
)


class _Type:
    """A numpy dtype of numbers, as a pickle builds it."""

    def __init__(self, code: Any, *_flags: Any) -> None:
        self.order = "="
        if isinstance(code, str) and code[:1] in "<>|=":
            self.order, code = code[0], code[1:]
        named = {"float16": "f2", "float32": "f4", "float64": "f8", "int32": "i4", "int64": "i8"}
        code = named.get(code, code) if isinstance(code, str) else code
        if code not in _NUMBERS:
            raise pickle.UnpicklingError(f"expected a type of numbers, found {str(code)[:40]!r}")
        self.code = str(code)

    def __setstate__(self, state: Any) -> None:
        if not isinstance(state, tuple) or len(state) < 2 or state[1] not in ("<", ">", "|", "="):
            raise pickle.UnpicklingError("expected a byte order in a type")
        self.order = state[1]

    @property
    def dtype(self) -> np.dtype[Any]:
        return np.dtype(f"{self.order}{self.code}")


class _Content(NamedTuple):
    """Bytes left in the file."""

    path: Path
    start: int
    length: int

    def read(self) -> bytes:
        """The bytes.

        Raises:
            ClipError: the file has become shorter.
            OSError: cannot be read.
        """
        with self.path.open("rb") as file:
            file.seek(self.start)
            found = file.read(self.length)
        if len(found) != self.length:
            raise ClipError(f"{self.path}: expected {self.length} bytes at {self.start}, found {len(found)}")
        return found


class _Filled(NamedTuple):
    """An array whose content may still be in the file."""

    content: bytes | bytearray | _Content
    dtype: np.dtype[Any]
    shape: tuple[int, ...]
    fortran: bool

    def array(self) -> np.ndarray[Any, Any]:
        content = self.content.read() if isinstance(self.content, _Content) else self.content
        return np.frombuffer(content, self.dtype).reshape(self.shape, order="F" if self.fortran else "C")


class _Array:
    """An array whose content follows."""

    value: _Filled | None = None

    def __setstate__(self, state: Any) -> None:
        if not isinstance(state, tuple) or len(state) != 5:
            raise pickle.UnpicklingError("expected an array's version, shape, type, order and bytes")
        _, shape, kind, fortran, content = state
        self.value = _filled(content, kind, shape, "F" if fortran else "C")


def _filled(content: Any, kind: Any, shape: Any, order: str) -> _Filled:
    """The array of some bytes."""
    if isinstance(kind, str):
        kind = _Type(kind)
    if (
        not isinstance(kind, _Type)
        or not isinstance(content, bytes | bytearray | _Content)
        or not isinstance(shape, tuple)
    ):
        raise pickle.UnpicklingError("expected an array of numbers")
    size = content.length if isinstance(content, _Content) else len(content)
    whole = all(isinstance(length, int) and length >= 0 for length in shape) and len(shape) <= 8
    if not whole or math.prod(shape) * kind.dtype.itemsize != size:
        raise pickle.UnpicklingError(f"expected the bytes of an array {str(shape)[:60]}, found {size}")
    return _Filled(content, kind.dtype, shape, order == "F")


class _ArrayType:
    """What stands for `numpy.ndarray`: an array from shape, type and bytes."""

    def __call__(self, shape: Any, kind: Any, content: Any) -> _Filled:
        return _filled(content, kind, shape, "C")


def _reconstruct(_type: Any, _shape: Any, _code: Any) -> _Array:
    return _Array()


def _from_buffer(content: Any, kind: Any, shape: Any, order: Any) -> _Filled:
    return _filled(content, kind, shape, order)


def _scalar(kind: Any, content: Any) -> int | float:
    found: int | float = _filled(content, kind, (), "C").array().item()
    return found


def _encode(text: Any, encoding: Any) -> bytes:
    if not isinstance(text, str) or encoding not in ("latin1", "latin-1"):
        raise pickle.UnpicklingError("expected bytes written as latin-1")
    return text.encode("latin-1")


def _bytearray(content: Any) -> bytearray | _Content:
    if isinstance(content, _Content):
        return content
    if not isinstance(content, bytes | bytearray):
        raise pickle.UnpicklingError("expected bytes")
    return bytearray(content)


def _empty() -> bytes:
    return b""  # which protocols before 3 write as a call of bytes without arguments


_KNOWN: dict[tuple[str, str], Any] = {
    ("numpy", "ndarray"): _ArrayType(),
    ("numpy", "dtype"): _Type,
    ("_codecs", "encode"): _encode,
    ("__builtin__", "bytes"): _empty,
    ("builtins", "bytearray"): _bytearray,
    ("__builtin__", "bytearray"): _bytearray,
}
for _home in ("numpy.core", "numpy._core"):
    _KNOWN[f"{_home}.multiarray", "_reconstruct"] = _reconstruct
    _KNOWN[f"{_home}.multiarray", "scalar"] = _scalar
    _KNOWN[f"{_home}.numeric", "_frombuffer"] = _from_buffer


class _File:
    """A file that refuses to be asked for more bytes than it has left."""

    def __init__(self, file: IO[bytes], path: Path) -> None:
        self.file = file
        self.path = path
        self.size = os.fstat(file.fileno()).st_size

    def check(self, count: int) -> None:
        left = self.size - self.file.tell()
        if not 0 <= count <= left:
            raise pickle.UnpicklingError(f"expected {count} bytes, found the last {left}")

    def read(self, count: int) -> bytes:
        if count > 1:  # the unpickler itself notices where a step is missing
            self.check(count)
        return self.file.read(count)

    def content(self, count: int) -> bytes | _Content:
        """So many bytes, or where they stand."""
        if count < _LEFT_IN_FILE:
            return self.read(count)
        self.check(count)
        start = self.file.tell()
        self.file.seek(count, os.SEEK_CUR)
        return _Content(self.path, start, count)

    def readinto(self, buffer: Any) -> int:
        self.check(len(buffer))
        return self.file.readinto(buffer)  # type: ignore[attr-defined, no-any-return]

    def readline(self) -> bytes:
        return self.file.readline(_LONGEST_LINE)


class _Steps(dict[int, Any]):
    """What each step does; refuses to be asked for more steps than a file of this size may have."""

    def __init__(self, unpickler: "_Unpickler", most: int) -> None:
        super().__init__(unpickler.dispatch)
        self.unpickler = unpickler
        self.left = self.most = most

    def __getitem__(self, code: int) -> Any:
        self.left -= 1
        waiting = len(self.unpickler.stack) + len(self.unpickler.metastack)  # type: ignore[attr-defined]
        if self.left < 0 or waiting > _DEEPEST:
            expected = f"at most {self.most} steps and {_DEEPEST} values that wait"
            raise pickle.UnpicklingError(f"expected {expected}, found more")
        if code not in self:
            raise pickle.UnpicklingError(f"found byte {code:#x}, with which no value begins")
        return super().__getitem__(code)


class _Unpickler(pickle._Unpickler):
    """The standard unpickler, with our functions in place of those that a pickle names."""

    dispatch: ClassVar[dict[int, Any]] = dict(pickle._Unpickler.dispatch)
    for _code in (pickle.NEWOBJ, pickle.NEWOBJ_EX, pickle.OBJ, pickle.INST, pickle.PERSID, pickle.BINPERSID):
        del dispatch[_code[0]]
    for _code in (pickle.EXT1, pickle.EXT2, pickle.EXT4):
        del dispatch[_code[0]]

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in _KNOWN:
            raise pickle.UnpicklingError(
                f"expected plain values and arrays of numbers, found {module}.{name}"
            )
        return _KNOWN[module, name]

    def __init__(self, file: _File) -> None:
        super().__init__(file)
        self.source = file
        self.dispatch = _Steps(self, _STEPS + file.size // _BYTES_A_STEP)  # type: ignore[misc]

    def load_frame(self) -> None:
        """A frame's values are read like others: it would hold arrays in memory."""
        (size,) = struct.unpack("<Q", self.read(8))  # type: ignore[attr-defined]
        self.source.check(size)

    def load_bytes(self, size_code: str) -> None:
        size_bytes = self.read(struct.calcsize(size_code))  # type: ignore[attr-defined]
        self.append(self.source.content(*struct.unpack(size_code, size_bytes)))  # type: ignore[attr-defined]

    def load_binbytes(self) -> None:
        self.load_bytes("<I")

    def load_binbytes8(self) -> None:
        self.load_bytes("<Q")

    def load_build(self) -> None:
        state = self.stack.pop()  # type: ignore[attr-defined]
        instance = self.stack[-1]  # type: ignore[attr-defined]
        if not isinstance(instance, _Type | _Array):
            raise pickle.UnpicklingError("expected the state of an array")
        instance.__setstate__(state)

    dispatch[pickle.FRAME[0]] = load_frame
    dispatch[pickle.BINBYTES[0]] = load_binbytes
    dispatch[pickle.BINBYTES8[0]] = dispatch[pickle.BYTEARRAY8[0]] = load_binbytes8
    dispatch[pickle.BUILD[0]] = load_build


def read(path: Path) -> Any:
    """The content of a pickle: numbers, text, bytes, lists, tuples, dictionaries, arrays (see `array`).

    Raises:
        ClipError: damaged, or of any other content; names the file.
        OSError: cannot be read.
    """
    with path.open("rb") as file:
        if file.read(len(_ZIP)) == _ZIP:
            raise ClipError(f"{path}: expected a pickle, found a zip archive: unpack it first")
        file.seek(0)
        try:
            return _Unpickler(_File(file, path)).load()
        except _ERRORS as error:
            raise ClipError(f"{path}: not a pickle of plain values and arrays: {error}") from error


def array(value: object) -> np.ndarray[Any, Any] | None:
    """The array that a value from `read` is; None if it is none.

    Raises:
        ClipError: the file has become shorter since.
        OSError: cannot be read.
    """
    filled = _filled_in(value)
    return filled.array() if filled else None


def shape(value: object) -> tuple[int, ...] | None:
    """The shape of the array that a value from `read` is, which stays in its file; None if it is none."""
    filled = _filled_in(value)
    return filled.shape if filled else None


def _filled_in(value: object) -> _Filled | None:
    filled = value.value if isinstance(value, _Array) else value
    return filled if isinstance(filled, _Filled) else None
