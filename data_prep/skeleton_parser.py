"""The compiled parser of `.skeleton` text: finds the library that `setup.py` builds and calls it.

It reads the texts that are in the usual shape; `skeleton_file` defines what is read and reads all others.
Shapes: `n` blocks, one for each frame of each body, 25 joints.
"""

import ctypes
import sys
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from action_indrnn.data_prep.clip import Floats

VERSION = 1  # of the call's layout: `skeleton_parse` in skeleton_parser.cpp
JOINTS = 25
SHORTEST_BLOCK = 25 * 24  # bytes: 25 lines of 12 fields of one digit


class Blocks(NamedTuple):
    """What a text holds, in the order of the file.

    Attributes:
        frame_count: frames, also those without a body.
        ids: (n,) uint64 body ids.
        frames: (n,) int64, 0-based.
        joints: (n, 25, 3) float32, metres.
        states: (n, 25) uint8.
    """

    frame_count: int
    ids: NDArray[np.uint64]
    frames: NDArray[np.int64]
    joints: Floats
    states: NDArray[np.uint8]


def _load(path: Path) -> tuple[ctypes.CDLL | None, str]:
    """The library, or None, and what reads or why there is none."""
    if not path.is_file():
        return None, "Python parser: the compiled one was not built: there was no C++ compiler, or no install"
    try:
        library = ctypes.CDLL(str(path))
        library.skeleton_version.restype = ctypes.c_int64
        found = library.skeleton_version()
    except (OSError, AttributeError) as error:
        return None, f"Python parser: the compiled one does not load: {error}"
    if found != VERSION:
        return None, f"Python parser: the compiled one is of version {found}, not {VERSION}: install again"
    library.skeleton_parse.restype = ctypes.c_int64
    library.skeleton_parse.argtypes = [ctypes.c_char_p, *[ctypes.c_int64] * 2, *[ctypes.c_void_p] * 5]
    return library, "compiled parser"


_library, _reason = _load(
    Path(__file__).with_name("_skeleton.dll" if sys.platform == "win32" else "_skeleton.so")
)


def reason() -> str:
    """Which parser reads, and why."""
    return _reason


def parse(data: bytes) -> Blocks | None:
    """The blocks of a whole file; None where there is no library or the text is not in the usual shape."""
    if _library is None:
        return None
    capacity = len(data) // SHORTEST_BLOCK
    joints = np.empty((capacity, JOINTS, 3), np.float32)
    states = np.empty((capacity, JOINTS), np.uint8)
    ids, frames = np.empty(capacity, np.uint64), np.empty(capacity, np.int64)
    frame_count = ctypes.c_int64()
    arrays = (array.ctypes.data for array in (joints, states, ids, frames))
    count = _library.skeleton_parse(data, len(data), capacity, *arrays, ctypes.byref(frame_count))
    if count < 0:
        return None
    return Blocks(frame_count.value, ids[:count], frames[:count], joints[:count], states[:count])
