"""Writes prepared sets in the formats of other projects; `pyskl` and `padded` read them again.

Clips are written one by one, but for pyskl's pickle, which is one object. Who was not seen is zeros.
"""

import os
import pickle
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from action_indrnn.data_prep import layout, protocols
from action_indrnn.data_prep.archive import INDEX, PreparedSet
from action_indrnn.data_prep.clip import Floats
from action_indrnn.data_prep.folders import NewFolder
from action_indrnn.data_prep.protocols import TEST, TRAIN

Format = Literal["ctr-gcn-npz", "pyskl-pkl", "stgcn-npy"]
FRAMES = 300  # that the others pad to: NTU's longest clip
_BODIES, _JOINTS = 2, 25
_PICKLE = 4  # the protocol that every Python since 3.4 reads
_ST_GCN = ("train_data_joint.npy", "train_label.pkl", "val_data_joint.npy", "val_label.pkl")


def write(prepared: PreparedSet, out: Path, form: Format, protocol: str = "") -> int:
    """Write a prepared set in another format; the number of clips.

    Args:
        prepared: the set.
        out: a new file, for "stgcn-npy" a new folder; it appears when it is whole.
        form: the format.
        protocol: which clips train and test, a name or a rule; empty for all of the set's own, which only
            "pyskl-pkl" can hold.

    Raises:
        ValueError: `out` is taken, no such protocol, or the format cannot hold the set.
    """
    if form != "pyskl-pkl":
        if not protocol:
            raise ValueError(f"{form}: expected a --protocol, one of {list(prepared.meta['protocols'])}")
        joints = len(prepared.meta["layout"]["joints"])
        if joints != _JOINTS:
            raise ValueError(
                f"{form}: expected a set of {_JOINTS} joints, found {joints}; pyskl-pkl takes any"
            )
    if form == "stgcn-npy":
        return _write_st_gcn(prepared, out, protocol)
    if out.exists():
        raise ValueError(f"{out}: expected a new file, found one that is there")
    with _appearing(out) as partial:
        if form == "ctr-gcn-npz":
            return _write_ctr_gcn(prepared, partial, protocol)
        return _write_pyskl(prepared, partial, protocol)


@contextmanager
def _appearing(out: Path) -> Iterator[Path]:
    """A temporary path that takes its name when it is whole."""
    partial = out.with_name(f"{out.name}.partial-{os.getpid()}")
    try:
        yield partial
        partial.replace(out)
    finally:
        partial.unlink(missing_ok=True)


def _parts(prepared: PreparedSet, protocol: str) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The training and the test clips in CTR-GCN's order: by the column's value, then as in the index."""
    named = prepared.meta["protocols"]
    roles = protocols.roles(prepared.index, named, protocol)
    order = np.arange(len(roles))
    if protocol in named:
        order = np.argsort(prepared.index[named[protocol]["column"]].to_numpy(), kind="stable")
    return order[roles[order] == TRAIN], order[roles[order] == TEST]


def _header(file: IO[bytes], shape: tuple[int, ...], kind: str) -> None:
    np.lib.format.write_array_header_1_0(file, {"descr": kind, "fortran_order": False, "shape": shape})


def _longest(prepared: PreparedSet) -> int:
    return max(FRAMES, int(prepared.index["length"].max()))


def _write_ctr_gcn(prepared: PreparedSet, out: Path, protocol: str) -> int:
    """Writes x (N, T, 150) and one-hot y (N, K), for training and test; the number of clips."""
    parts = _parts(prepared, protocol)
    frames, classes = _longest(prepared), len(prepared.classes)
    options = prepared.meta["preprocessing"]
    # The scripts for NTU RGB+D 120, not those for 60, give a lone actor a copy of itself for company.
    twin = prepared.meta["dataset"] == "ntu120" and options.get("recipe") == "ctr-gcn"
    labels = prepared.column("label")
    with zipfile.ZipFile(out, "w", zipfile.ZIP_STORED) as archive:
        for name, numbers in zip(("train", "test"), parts, strict=True):
            with archive.open(f"x_{name}.npy", "w", force_zip64=True) as file:
                _header(file, (len(numbers), frames, _BODIES * _JOINTS * 3), "<f4")
                for number in numbers.tolist():
                    joints = _padded(prepared.clip(number).joints, frames)  # (M, T, V, C)
                    if twin and prepared.index["bodies"].iat[number] == 1:
                        joints[1] = joints[0]
                    file.write(joints.swapaxes(0, 1).tobytes())
            with archive.open(f"y_{name}.npy", "w", force_zip64=True) as file:
                _header(file, (len(numbers), classes), "<f8")
                for label in labels[numbers].tolist():
                    file.write(np.eye(1, classes, label, dtype="<f8").tobytes())
    return sum(map(len, parts))


def _padded(joints: Floats, frames: int) -> Floats:
    """(2, frames, V, C) the joints (M, T, V, C) and zeros."""
    padded = np.zeros((_BODIES, frames, *joints.shape[2:]), "<f4")
    padded[: len(joints), : joints.shape[1]] = joints
    return padded


def _write_st_gcn(prepared: PreparedSet, out: Path, protocol: str) -> int:
    """Writes (N, C, T, V, M) and (names, labels), the test as "val"; the number of clips."""
    parts = _parts(prepared, protocol)
    frames, labels, names = _longest(prepared), prepared.column("label"), prepared.index["name"]
    with NewFolder(out) as folder:
        for place, numbers in enumerate(parts):
            data, label = (folder.path / name for name in _ST_GCN[2 * place : 2 * place + 2])
            with data.open("wb") as file:
                _header(file, (len(numbers), 3, frames, _JOINTS, _BODIES), "<f4")
                for number in numbers.tolist():
                    joints = _padded(prepared.clip(number).joints, frames)
                    file.write(joints.transpose(3, 1, 2, 0).tobytes())
            label.write_bytes(pickle.dumps((names.iloc[numbers].tolist(), labels[numbers].tolist()), _PICKLE))
        folder.finish()
    return sum(map(len, parts))


def _write_pyskl(prepared: PreparedSet, out: Path, protocol: str) -> int:
    """Writes splits and annotations, beside them what our own sets know more; the number of clips."""
    named: Mapping[str, Any] = prepared.meta["protocols"]
    split: dict[str, list[str]] = {}
    names = prepared.index["name"]
    exported = [protocol] if protocol else list(named)
    for name in exported:
        roles = protocols.roles(prepared.index, named, name)
        word = protocols.word(name)
        split[f"{word}_train"] = names[roles == TRAIN].tolist()
        split[f"{word}_val"] = names[roles == TEST].tolist()
    columns = [column for column in prepared.index.columns if column not in INDEX]
    rows = prepared.index[columns].to_dict("records")
    labels, lengths = prepared.column("label").tolist(), prepared.column("length").tolist()
    annotations = []
    for number, (row, label) in enumerate(zip(rows, labels, strict=True)):
        annotation = {"frame_dir": names[number], "label": label, "total_frames": lengths[number]}
        columns_of: dict[str, Any] = {str(column): value for column, value in row.items()}
        arrays = {
            "keypoint": _Array(prepared, number, "joints"),
            "present": _Array(prepared, number, "present"),
        }
        annotations.append({**columns_of, **annotation, **arrays})
    content = {"split": split, "annotations": annotations, "columns": columns}
    content["layout"] = _layout(prepared.meta["layout"])
    content["set"] = {
        "dataset": prepared.meta["dataset"],
        "title": prepared.meta["title"],
        "clips_of_whole_set": prepared.meta["counts"].get("clips_of_whole_set", 0),
        "protocols": {name: protocols.from_table(named[name]).table() for name in exported if name in named},
    }
    made = prepared.meta["preprocessing"]
    content["preprocessing"] = {"view": made["view"], "recipe": made.get("recipe", "tracks")}
    with out.open("wb") as file:
        pickler = pickle.Pickler(file, _PICKLE)
        table: dict[type, Any] = {_Array: _Array.plain}
        pickler.dispatch_table = table
        pickler.fast = True  # without a memo, which would hold every array until the end
        pickler.dump({**content, "classes": prepared.classes})
    return len(annotations)


def _layout(table: Mapping[str, Any]) -> Any:
    """A joint layout's name where it is a shipped one, else its table."""
    shipped = table["name"] in layout.shipped() and layout.load(table["name"])
    return table["name"] if shipped == layout.from_table(table, "meta.toml") else table


class _Array(NamedTuple):
    """The joints of a clip, or where they are present, read when they are written."""

    prepared: PreparedSet
    number: int
    name: Literal["joints", "present"]

    def plain(self) -> tuple[type, tuple[Sequence[int], str, bytearray]]:
        """How to make the array, in words that every NumPy knows: NumPy 2's own are unknown to 1.25."""
        array = getattr(self.prepared.clip(self.number), self.name)
        return np.ndarray, (array.shape, array.dtype.str, bytearray(array.tobytes()))
