"""Arrays of clips padded with zeros: CTR-GCN's npz, and the npy and label pickle of ST-GCN and 2s-AGCN.

    NAME.npz                x_train, x_test (N, T, 150) float32: actor 1's 25 joints, then actor 2's;
                            y_train, y_test (N, K) one-hot. No names: clips are called train1, test1, ...
    train_data_joint.npy    (N, C, T, V, M) float32, with train_label.pkl: (names, labels); the same for val

Clips are read one by one. A clip ends with its last frame that is not all zeros.
"""

import re
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO, Any, NamedTuple

import numpy as np

from action_indrnn.data_prep import ntu, safe_pickle
from action_indrnn.data_prep.clip import ClipError, Floats, from_joints
from action_indrnn.data_prep.clip_arrays import npy_head
from action_indrnn.data_prep.data_set import NTU_COLUMNS, DataSet, Left, Sample
from action_indrnn.data_prep.protocols import TEST, TRAIN, Protocol
from action_indrnn.data_prep.pyskl import MOST_CLASSES, class_names
from action_indrnn.data_prep.sources import UNPACKABLE

LABELS = {"train": "train_label.pkl", "val": "val_label.pkl"}
_BODIES, _JOINTS = 2, 25
_PACKED = 200  # times its packed size: real clips, mostly padding, reach about 20
_PACKED_LABELS = 1_100  # one-hot labels reach 340; deflate can no more than 1,032
MOST_CLIPS = 3_000_000
_LONGEST_CLIP = 64 * 2**20  # bytes
_PROTOCOL = {"split": Protocol("split", (TRAIN,), (TEST,))}
_PARTS = {"train": TRAIN, "test": TEST, "val": TEST}


class _Array(NamedTuple):
    """An .npy file, open behind its header."""

    file: IO[bytes]
    shape: tuple[int, ...]
    dtype: np.dtype[Any]

    def items(self) -> Iterator[np.ndarray[Any, Any]]:
        """The array's items along the first axis, read one by one."""
        size = int(np.prod(self.shape[1:])) * self.dtype.itemsize
        for _ in range(self.shape[0]):
            yield np.frombuffer(self.file.read(size), self.dtype).reshape(self.shape[1:])


def _array(file: IO[bytes], source: str, dimensions: int) -> _Array:
    shape, fortran, dtype = npy_head(file, source)
    good = dtype.kind == "f" and not fortran and len(shape) == dimensions
    if not good or int(np.prod(shape[1:], dtype=object)) * dtype.itemsize > _LONGEST_CLIP:
        found = f"{dtype} of {str(shape)[:60]}{', Fortran order' if fortran else ''}"
        hot = " (one-hot labels, a row a clip)" if dimensions == 2 else ""
        raise ClipError(
            f"{source}: expected floats of {dimensions} dimensions{hot} in C order, found {found}"
        )
    return _Array(file, shape, dtype)


def _sample(name: str, joints: Floats, source: str, columns: dict[str, int]) -> Sample:
    """The sample of padded joints (M, T, V, C)."""
    seen = np.flatnonzero((joints != 0).any(axis=(0, 2, 3)))
    return Sample(from_joints(name, joints[:, : seen[-1] + 1 if seen.size else 0], source), columns)


def ctr_gcn(raw: Sequence[Path]) -> DataSet:
    """The data set in a CTR-GCN npz.

    Raises:
        ValueError: not one file of this form; says what is wrong with it.
    """
    if len(raw) != 1:
        raise ValueError(f"expected one .npz file, found {len(raw)} paths")
    path = raw[0]
    labels = {part: _one_hot(path, part) for part in ("train", "test")}
    classes = labels["train"][1]
    if labels["test"][1] != classes:
        raise ClipError(f"{path}: expected as many classes in y_test as in y_train")

    def samples(_raw: Sequence[Path]) -> Iterator[Sample | Left]:
        for part, (numbers, _) in labels.items():
            yield from _npz_clips(path, part, numbers)

    def listed() -> Iterator[dict[str, int | str]]:
        for part, (numbers, _) in labels.items():
            for label in numbers:
                yield {"label": label, "split": _PARTS[part]}

    # There are no names to tell NTU's clips by, but a whole NTU RGB+D has as many as published.
    sizes = len(labels["train"][0]), len(labels["test"][0])
    of_ntu = any(sizes == counts for (name, _), counts in ntu.COUNTS.items() if name == f"ntu{classes}")
    return DataSet(
        name="ctr-gcn-npz",
        title=path.name,
        layout="ntu25",
        classes=class_names(classes, of_ntu),
        protocols=_PROTOCOL,
        columns=("split",),
        samples=samples,
        recipe="imported ctr-gcn-npz",
        listed=listed,
    )


@contextmanager
def _member(path: Path, name: str, dimensions: int) -> Iterator[_Array]:
    """One array of an npz."""
    source = f"{path}: {name}"
    with ExitStack() as stack:
        try:
            archive = stack.enter_context(zipfile.ZipFile(path))
            info = archive.getinfo(f"{name}.npy")
            most = _PACKED_LABELS if name.startswith("y_") else _PACKED
            if info.file_size > most * max(info.compress_size, 1):
                raise ClipError(f"{source}: expected at most {most} times the packed size, found more")
            array = _array(stack.enter_context(archive.open(info)), source, dimensions)
        except (KeyError, *UNPACKABLE) as error:  # KeyError: there is no such array
            raise ClipError(f"{source}: cannot be read: {error}") from error
        yield array


def _one_hot(path: Path, part: str) -> tuple[list[int], int]:
    """The labels of a part and the number of classes."""
    source = f"{path}: y_{part}"
    labels = []
    with _member(path, f"y_{part}", 2) as array:
        if array.shape[0] > MOST_CLIPS:
            raise ClipError(f"{source}: expected at most {MOST_CLIPS} clips, found {array.shape[0]}")
        if array.shape[1] > MOST_CLASSES:
            raise ClipError(f"{source}: expected at most {MOST_CLASSES} classes, found {array.shape[1]}")
        for number, row in enumerate(_whole(array, source), 1):
            ones = np.flatnonzero(row)
            if len(ones) != 1 or row[ones[0]] != 1:
                raise ClipError(f"{source}: clip {number}: expected one 1 among zeros")
            labels.append(int(ones[0]))
        return labels, array.shape[1]


def _whole(array: _Array, source: str) -> Iterator[np.ndarray[Any, Any]]:
    """The items; an error where the file ends early or cannot be unpacked."""
    try:
        yield from array.items()
    except UNPACKABLE as error:
        raise ClipError(f"{source}: cannot be read: {error}") from error
    except ValueError as error:
        raise ClipError(f"{source}: expected {array.shape[0]} items, found the end of the data") from error


def _npz_clips(path: Path, part: str, labels: list[int]) -> Iterator[Sample | Left]:
    source = f"{path}: x_{part}"
    width = _BODIES * _JOINTS * 3
    with _member(path, f"x_{part}", 3) as array:
        if array.shape[2] != width or array.shape[0] != len(labels):
            raise ClipError(f"{source}: expected ({len(labels)}, T, {width}), found {array.shape}")
        for number, (item, label) in enumerate(zip(_whole(array, source), labels, strict=True), 1):
            joints = item.reshape(-1, _BODIES, _JOINTS, 3).swapaxes(0, 1)
            columns = {"label": label, "split": _PARTS[part]}
            try:
                yield _sample(f"{part}{number}", joints, f"{source}: clip {number}", columns)
            except ClipError as error:
                yield Left(f"{part}{number}", str(path), str(error))


def st_gcn(raw: Sequence[Path]) -> DataSet:
    """The data set in a folder of ST-GCN's or 2s-AGCN's arrays.

    Raises:
        ValueError: not a folder of this form; says what is wrong with it.
    """
    if len(raw) != 1 or not raw[0].is_dir():
        raise ValueError(
            f"expected one folder of train_data_joint.npy and so on, found {', '.join(map(str, raw))}"
        )
    folder = raw[0]
    parts = {part: _labels(folder / name) for part, name in LABELS.items()}
    names = [name for part in parts.values() for name in part[0]]
    labels = [label for part in parts.values() for label in part[1]]
    columns = NTU_COLUMNS if names and all(map(ntu.is_name, names)) else ()

    def samples(_raw: Sequence[Path]) -> Iterator[Sample | Left]:
        for part, (clip_names, labels) in parts.items():
            yield from _npy_clips(folder, part, clip_names, labels, columns)

    def listed() -> Iterator[dict[str, int | str]]:
        for part, pairs in parts.items():
            for name, label in zip(*pairs, strict=True):
                numbers = ntu.parse_name(name)._asdict() if columns else {}
                own = {column: numbers[column] for column in columns}
                yield {"label": label, **own, "split": _PARTS[part]}

    return DataSet(
        name="stgcn-npy",
        title=folder.name,
        layout="ntu25",
        classes=class_names(max(labels, default=-1) + 1, all(map(ntu.is_own, names, labels))),
        protocols=_PROTOCOL,
        columns=(*columns, "split"),
        samples=samples,
        recipe="imported stgcn-npy",
        takes={str(folder / name) for part in parts for name in (LABELS[part], *_data(part))}.__contains__,
        listed=listed,
    )


def _labels(path: Path) -> tuple[list[str], list[int]]:
    """Names and labels of a part."""
    if not path.is_file():
        raise ClipError(f"{path}: expected a file of names and labels, found none")
    content = safe_pickle.read(path)
    good = isinstance(content, tuple | list) and len(content) == 2 and len(content[0]) == len(content[1])
    if not good or not all(isinstance(label, int) and 0 <= label < MOST_CLASSES for label in content[1]):
        raise ClipError(f"{path}: expected (names, labels), as many of each, labels from 0 on")
    names = [re.sub(r"\.skeleton$", "", str(name)) for name in content[0]]
    return names, [int(label) for label in content[1]]


def _data(part: str) -> tuple[str, str]:
    """What the joints of a part may be called."""
    return f"{part}_data_joint.npy", f"{part}_data.npy"


def _npy_clips(
    folder: Path, part: str, names: list[str], labels: list[int], columns: tuple[str, ...]
) -> Iterator[Sample | Left]:
    choices = [folder / name for name in _data(part)]
    path = next((choice for choice in choices if choice.is_file()), None)
    if path is None:
        raise ClipError(f"{folder}: expected the joints in {' or '.join(_data(part))}, found neither")
    with path.open("rb") as file:
        array = _array(file, str(path), 5)
        shape = array.shape
        if shape[0] != len(names) or shape[1] != 3 or shape[3] != _JOINTS or not 1 <= shape[4] <= _BODIES:
            expected = f"({len(names)}, 3, T, {_JOINTS}, 1 or {_BODIES})"
            raise ClipError(f"{path}: expected {expected}, as many clips as names, found {shape}")
        for item, name, label in zip(_whole(array, str(path)), names, labels, strict=True):
            numbers = ntu.parse_name(name)._asdict() if columns else {}
            own = {column: numbers[column] for column in columns}
            try:
                joints = item.transpose(3, 1, 2, 0)
                yield _sample(name, joints, f"{path}: {name}", {"label": label, **own, "split": _PARTS[part]})
            except ClipError as error:
                yield Left(name, str(path), str(error))
