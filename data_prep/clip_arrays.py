"""Reads one clip from NumPy files: `.npy`, or `.npz` with `joints` and, at will, `names`.

`joints` is (T, V, 3), or (T, M, V, 3) with M bodies; NaN where a joint was not seen. Nothing is unpickled,
and no memory is taken for more than the bytes that are there.
"""

import io
import struct
import zipfile
from pathlib import Path
from tokenize import TokenError
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from action_indrnn.data_prep.clip import ClipError
from action_indrnn.data_prep.layout import NO_DEPTH
from action_indrnn.data_prep.points import Doubles
from action_indrnn.data_prep.skeleton_file import SIZE_LIMIT
from action_indrnn.data_prep.sources import UNPACKABLE

MOST_BODIES = 10  # a sensor tracks 6
_DAMAGE = (*UNPACKABLE, struct.error, ValueError)  # the last two from a damaged directory of the archive
_LARGEST_CLIP = 4 * SIZE_LIMIT  # bytes of all arrays
_PACKED = 200  # times its packed size: beyond that it is a bomb, not joints


def npy_head(file: IO[bytes], source: str) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    """Shape, whether in Fortran order, and type of the `.npy` array that a file goes on with.

    Raises:
        ClipError: it is no such array, or of a later version.
    """
    try:
        version = np.lib.format.read_magic(file)
        readers = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
        if version not in readers:
            raise ValueError(f"version {version}")
        return readers[version](file)
    except (ValueError, EOFError, SyntaxError, TypeError, TokenError) as error:
        raise ClipError(f"{source}: expected an .npy array: {str(error)[:200]}") from error


def parse(content: bytes, source: str) -> NDArray[Any]:
    """The array of an `.npy` file's bytes.

    Raises:
        ClipError: no such file, objects in it, or another length than its head says.
    """
    file = io.BytesIO(content)
    shape, fortran, dtype = npy_head(file, source)
    if dtype.kind not in "fiuU":
        raise ClipError(f"{source}: expected numbers or texts, found {dtype}")
    rest = memoryview(content)[file.tell() :]
    size = dtype.itemsize
    for length in shape:
        size *= int(length)
    if size != len(rest) or not size:
        raise ClipError(
            f"{source}: expected {size} bytes for {dtype} of {str(shape)[:60]}, found {len(rest)}"
        )
    return np.frombuffer(rest, dtype).reshape(shape, order="F" if fortran else "C")


def heads(path: Path, source: str) -> dict[str, str]:
    """What type and shape the arrays of an `.npz` file are of, by name; nothing more is unpacked.

    Raises:
        ClipError: damaged.
    """
    found: dict[str, str] = {}
    try:
        with zipfile.ZipFile(path) as archive:
            for info in archive.infolist():
                with archive.open(info) as file:
                    shape, _, dtype = npy_head(file, f"{source}: {info.filename}")
                found[info.filename.removesuffix(".npy")] = f"{dtype} {shape}"
    except (OSError, *_DAMAGE) as error:
        raise ClipError(f"{source}: expected an .npz archive: {error}") from error
    return found


def members(path_or_file: Path | io.BytesIO, source: str, most: int) -> dict[str, NDArray[Any]]:
    """The arrays of an `.npz` file by name.

    Args:
        path_or_file: the file.
        source: what to call it in an error.
        most: bytes that all arrays together may take.

    Raises:
        ClipError: damaged, too large or packed beyond reason, or see `parse`.
    """
    contents: dict[str, bytes] = {}
    packed = ""
    try:
        with zipfile.ZipFile(path_or_file) as archive:
            size = sum(info.file_size for info in archive.infolist())
            if size > most:
                packed = f"{source}: expected at most {most} bytes unpacked, found {size}"
            for info in archive.infolist() if not packed else ():
                name = info.filename.removesuffix(".npy")
                if info.file_size > _PACKED * max(info.compress_size, 1):
                    packed = f"{source}: {name}: expected at most {_PACKED} times the packed size, found more"
                    break
                contents[name] = archive.read(info)
    except _DAMAGE as error:
        raise ClipError(f"{source}: expected an .npz archive: {error}") from error
    if packed:
        raise ClipError(packed)
    return {name: parse(content, f"{source}: {name}") for name, content in contents.items()}


def npy(content: bytes, source: str) -> Doubles:
    """The joints (M, T, V, 3) of an `.npy` file.

    Raises:
        ClipError: damaged, or not joints of a clip.
    """
    return joints(parse(content, source), source)


def npz(content: bytes, source: str) -> tuple[Doubles, tuple[str, ...]]:
    """The joints (M, T, V, 3) of an `.npz` file and their names, if it has any.

    Raises:
        ClipError: damaged, or not joints of a clip.
    """
    arrays = members(io.BytesIO(content), source, _LARGEST_CLIP)
    if "joints" not in arrays:
        raise ClipError(f"{source}: expected an array 'joints', found {', '.join(sorted(arrays)) or 'none'}")
    named = arrays.get("names")
    points = joints(arrays["joints"], f"{source}: joints")
    if named is None:
        return points, ()
    if named.dtype.kind != "U" or named.shape != points.shape[2:3]:
        raise ClipError(
            f"{source}: names: expected {points.shape[2]} texts, found {named.dtype} {named.shape}"
        )
    return points, tuple(named.tolist())


def joints(array: NDArray[Any], source: str) -> Doubles:
    """The joints (M, T, V, 3) of an array (T, V, 3) or (T, M, V, 3).

    Raises:
        ClipError: of another shape.
    """
    if array.ndim in (3, 4) and array.shape[-1] == 2:
        raise ClipError(f"{source}: expected joints in 3D, found {array.shape}: {NO_DEPTH}")
    if array.dtype.kind not in "fiu" or array.ndim not in (3, 4) or array.shape[-1] != 3:
        raise ClipError(
            f"{source}: expected numbers (T, V, 3) or (T, M, V, 3), found {array.dtype} {array.shape}"
        )
    if array.ndim == 4 and array.shape[1] > MOST_BODIES:
        raise ClipError(
            f"{source}: expected (T, M, V, 3) with at most {MOST_BODIES} bodies M, found {array.shape}"
        )
    bodies = array[:, None] if array.ndim == 3 else array
    return np.ascontiguousarray(bodies.swapaxes(0, 1), np.float64)
