"""Tells which known data set, or other project's format, lies at a path: by names and heads of archives."""

import zipfile
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from action_indrnn.data_prep import archive, catalogue, clip_file, padded, sources
from action_indrnn.data_prep.survey import Survey

_PICKLES = (".pkl", ".pickle")
_MOST_OPENED = 1_000  # archives whose heads are read below one folder


class Known(NamedTuple):
    """A data set that is told from its files' names.

    Attributes:
        name: as `preprocess` calls it, or "prepared set".
        path: what would be given to it.
        files: how many files make it look so.
    """

    name: str
    path: Path
    files: int


def of_path(path: Path) -> str:
    """What `preprocess` calls a single file, or a folder by what stands at its top; empty if unknown."""
    if path.is_dir():
        if (path / clip_file.LIST).is_file():
            return "custom"
        return "stgcn-npy" if (path / padded.LABELS["train"]).is_file() else ""
    suffix = path.suffix.lower()
    if suffix in _PICKLES:
        return "pyskl"
    return _of_arrays(path) if suffix == ".npz" and path.is_file() else ""


def _of_arrays(path: Path) -> str:
    try:
        with zipfile.ZipFile(path) as members:
            names = {name.removesuffix(".npy") for name in members.namelist()}
    except (OSError, *sources.NO_ARCHIVE):
        return ""  # whoever reads it as a clip says what is wrong
    if {"x_train", "y_train"} <= names:
        return "ctr-gcn-npz"
    return "custom" if {"joints", "label"} <= names else ""


def below(found: Survey) -> list[Known]:
    """The data sets among the files of a survey that are no `.skeleton` recordings."""
    known: list[Known] = []
    for data_set in catalogue.DATA_SETS.values():
        takes = data_set.takes
        count = sum(bool(takes(name)) for name in found.unexpected) if takes else 0
        if count:
            known.append(Known(data_set.name, found.path, count))
    tops = {clip_file.LIST: "custom", padded.LABELS["train"]: "stgcn-npy", archive.META_FILE: "prepared set"}
    folders = {str(Path(name).parent) for name in found.unexpected if PurePosixPath(name).name in tops}
    opened = 0
    for name in found.unexpected:
        path, suffix = Path(name), PurePosixPath(name).suffix.lower()
        if path.name in tops and path.parent.is_dir():
            known.append(Known(tops[path.name], path.parent, 1))
        elif suffix in (*_PICKLES, ".npz") and str(path.parent) not in folders and opened < _MOST_OPENED:
            opened += 1
            kind = of_path(path) if path.is_file() else ""
            known += [Known(kind, path, 1)] if kind else []
    return known
