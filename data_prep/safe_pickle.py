"""Reads pickles that hold plain values and numpy arrays, and runs no code from them.

A pickle names functions to call. Here each of the few names that numpy's arrays need stands for a function of
our own that checks what it is given; any other name is refused. The standard library's Python unpickler is
used, not its C twin: every length in the file is checked against the bytes that are left before memory is
taken for it.
"""

import math
import os
import pickle
import struct
from pathlib import Path
from typing import IO, Any, ClassVar

import numpy as np

from action_indrnn.data_prep.clip import ClipError

_NUMBERS = frozenset(("b1", "f2", "f4", "f8", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8"))
_LONGEST_LINE = 100_000  # bytes
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


class _Array:
    """An array whose content follows."""

    value: np.ndarray[Any, Any] | None = None

    def __setstate__(self, state: Any) -> None:
        if not isinstance(state, tuple) or len(state) != 5:
            raise pickle.UnpicklingError("expected an array's version, shape, type, order and bytes")
        _, shape, kind, fortran, content = state
        self.value = _filled(content, kind, shape, "F" if fortran else "C")


def _filled(content: Any, kind: Any, shape: Any, order: str) -> np.ndarray[Any, Any]:
    """The array of some bytes."""
    if isinstance(kind, str):
        kind = _Type(kind)
    if (
        not isinstance(kind, _Type)
        or not isinstance(content, bytes | bytearray)
        or not isinstance(shape, tuple)
    ):
        raise pickle.UnpicklingError("expected an array of numbers")
    whole = all(isinstance(size, int) and size >= 0 for size in shape) and len(shape) <= 8
    if not whole or math.prod(shape) * kind.dtype.itemsize != len(content):
        raise pickle.UnpicklingError(
            f"expected the bytes of an array {str(shape)[:60]}, found {len(content)}"
        )
    return np.frombuffer(content, kind.dtype).reshape(shape, order="F" if order == "F" else "C")


class _ArrayType:
    """What stands for `numpy.ndarray`: an array from shape, type and bytes."""

    def __call__(self, shape: Any, kind: Any, content: Any) -> np.ndarray[Any, Any]:
        return _filled(content, kind, shape, "C")


def _reconstruct(_type: Any, _shape: Any, _code: Any) -> _Array:
    return _Array()


def _from_buffer(content: Any, kind: Any, shape: Any, order: Any) -> np.ndarray[Any, Any]:
    return _filled(content, kind, shape, order)


def _scalar(kind: Any, content: Any) -> int | float:
    found: int | float = _filled(content, kind, (), "C").item()
    return found


def _encode(text: Any, encoding: Any) -> bytes:
    if not isinstance(text, str) or encoding not in ("latin1", "latin-1"):
        raise pickle.UnpicklingError("expected bytes written as latin-1")
    return text.encode("latin-1")


def _bytearray(content: Any) -> bytearray:
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

    def __init__(self, file: IO[bytes]) -> None:
        self.file = file
        self.size = os.fstat(file.fileno()).st_size

    def _check(self, count: int) -> None:
        left = self.size - self.file.tell()
        if not 0 <= count <= left:
            raise pickle.UnpicklingError(f"expected {count} bytes, found the last {left}")

    def read(self, count: int) -> bytes:
        self._check(count)
        return self.file.read(count)

    def readinto(self, buffer: Any) -> int:
        self._check(len(buffer))
        return self.file.readinto(buffer)  # type: ignore[attr-defined, no-any-return]

    def readline(self) -> bytes:
        return self.file.readline(_LONGEST_LINE)


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

    def load_bytearray8(self) -> None:
        (size,) = struct.unpack("<Q", self.read(8))  # type: ignore[attr-defined]
        self.append(bytearray(self.read(size)))  # type: ignore[attr-defined]

    def load_build(self) -> None:
        state = self.stack.pop()  # type: ignore[attr-defined]
        instance = self.stack[-1]  # type: ignore[attr-defined]
        if not isinstance(instance, _Type | _Array):
            raise pickle.UnpicklingError("expected the state of an array")
        instance.__setstate__(state)

    dispatch[pickle.BYTEARRAY8[0]] = load_bytearray8
    dispatch[pickle.BUILD[0]] = load_build


def read(path: Path) -> Any:
    """The content of a pickle: numbers, text, bytes, lists, tuples, dictionaries, arrays (see `array`).

    Raises:
        ClipError: damaged, or of any other content; names the file.
        OSError: cannot be read.
    """
    with path.open("rb") as file:
        try:
            return _Unpickler(_File(file)).load()
        except _ERRORS as error:
            raise ClipError(f"{path}: not a pickle of plain values and arrays: {error}") from error


def array(value: object) -> np.ndarray[Any, Any] | None:
    """The array that a value from `read` is; None if it is none."""
    return value.value if isinstance(value, _Array) else value if isinstance(value, np.ndarray) else None
