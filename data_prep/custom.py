"""Your own data: a folder of clip files with `clips.csv` and `layout.toml`, or one `.npz` and a layout.

    clips.csv     file, label and any further columns (subject, camera, fold, split, ...), a line a clip
    layout.toml   the joints, their unit and axes; see `layout.from_table` and `layout.read`
    NAME.npz      joints, label, any further columns (N,), at will name; the layout is NAME.toml or
                  layout.toml beside it. joints is (N, T, M, V, 3), padded with NaN, or with
                  `length` (N,) the frames of all clips after one another, (sum of lengths, M, V, 3)

Labels are class names, or numbers; classes stand in the order of the alphabet, or of numbers.
"""

import csv
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from numpy.typing import NDArray

from action_indrnn.data_prep import clip_arrays, clip_file, layout, points, spelling
from action_indrnn.data_prep.bodies import Dropped
from action_indrnn.data_prep.clip import Clip, ClipError, printable
from action_indrnn.data_prep.data_set import NTU_COLUMNS, DataSet, Left, Sample
from action_indrnn.data_prep.layout import Layout
from action_indrnn.data_prep.points import Points
from action_indrnn.data_prep.skeleton_file import SIZE_LIMIT
from action_indrnn.data_prep.sources import Source

_COLUMN = re.compile(r"[A-Za-z_]\w*", re.ASCII)
_TAKEN = ("name", "start", "length", "bodies", "clip")  # what the index and protocols call something else
_MEANT = (*("file", "label", "name", "length"), *NTU_COLUMNS, "fold", "split")
_AVAILABLE = re.compile(r"MemAvailable: *(\d+) kB")
_MOST_CELLS = 3_000_000  # of a list of clips; each takes a hundred bytes of memory
_WHOLE = re.compile(r"-?\d{1,9}", re.ASCII)


@dataclass(frozen=True)
class _Row:
    """A clip of the list: its name, where it stands, its columns with the label, and how it is read."""

    name: str
    source: str
    columns: Mapping[str, int | str]
    read: Callable[[], tuple[Clip, list[Dropped]]]


def data_set(raw: Sequence[Path]) -> DataSet:
    """The data set in a folder of clip files or in an `.npz`.

    Raises:
        ValueError: not one path of this form; says what is wrong with it.
        OSError: cannot be read.
    """
    if len(raw) != 1 or not (raw[0].is_dir() or (raw[0].suffix.lower() == ".npz" and raw[0].is_file())):
        found = ", ".join(map(str, raw))
        raise ValueError(f"expected one folder with {clip_file.LIST}, or one .npz file, found {found}")
    path = raw[0]
    recorded, target = layout.read(_layout_file(path))
    wanted = layout.load(target) if target else recorded
    if wanted.name in layout.shipped() and wanted.joints != layout.load(wanted.name).joints:
        raise ValueError(
            f"{_layout_file(path)}: expected a name of its own for other joints, found {wanted.name}"
        )
    classes, rows = _folder(path, recorded, wanted) if path.is_dir() else _npz(path, recorded, wanted)

    beside = path / clip_file.LIST, _layout_file(path)

    def samples(_raw: Sequence[Path]) -> Iterator[Sample | Left]:
        for row in rows:
            try:
                clip, dropped = row.read()
            except ClipError as error:
                yield Left(row.name, row.source, str(error))
            except OSError as error:
                yield Left(row.name, row.source, f"{row.source}: cannot be read: {error.strerror or error}")
            else:
                yield Sample(clip, row.columns, tuple(dropped))

    return DataSet(
        name="custom",
        title=path.resolve().stem,
        layout=wanted.name,
        own_layout=wanted,
        classes=classes,
        columns=tuple(column for column in rows[0].columns if column != "label"),
        samples=samples,
        takes={row.source for row in rows}.union(map(str, beside)).__contains__ if path.is_dir() else None,
        listed=lambda: (row.columns for row in rows),
        notes=tuple(_misspelt(rows[0].columns, str(beside[0] if path.is_dir() else path))),
    )


def _layout_file(path: Path) -> Path:
    choices = (
        [path / "layout.toml"]
        if path.is_dir()
        else [path.with_suffix(".toml"), path.with_name("layout.toml")]
    )
    for choice in choices:
        if choice.is_file():
            return choice
    raise ValueError(f"{path}: expected the joint layout in {' or '.join(map(str, choices))}, found none")


def _columns(
    table: Mapping[str, Sequence[str]], source: str
) -> tuple[tuple[str, ...], list[dict[str, int | str]]]:
    """The classes, and the columns of each clip: whole numbers where a column has nothing else.

    Raises:
        ValueError: a column's name cannot be one; names it.
    """
    for column in table:
        if not _COLUMN.fullmatch(column) or column in _TAKEN:
            expected = f"columns named by letters, digits and _, and none of {', '.join(_TAKEN)}"
            raise ValueError(f"{source}: expected {expected}; found '{column}'")
    typed: dict[str, list[int | str]] = {
        column: list(map(int, values)) if all(map(_WHOLE.fullmatch, values)) else list(map(printable, values))
        for column, values in table.items()
    }
    order = sorted(
        set(typed["label"]), key=lambda label: (label if isinstance(label, int) else 0, str(label))
    )
    typed["label"] = [order.index(label) for label in typed["label"]]
    rows = [dict(zip(typed, row, strict=True)) for row in zip(*typed.values(), strict=True)]
    return tuple(map(str, order)), rows


def _misspelt(columns: Iterable[str], source: str) -> Iterator[str]:
    """What to tell of columns that are called nearly as others that have a meaning."""
    meant = [column for column in _MEANT if column not in columns]
    for column in columns:
        like = spelling.nearest(column, meant) if column not in _MEANT else ""
        if like:
            yield f"warning: {source}: column '{column}' is one of its own; did you mean '{like}'?"


def _folder(path: Path, recorded: Layout, wanted: Layout) -> tuple[tuple[str, ...], list[_Row]]:
    """The classes and the clips of a folder."""
    listed = path / clip_file.LIST
    lines: list[list[str]] = []
    if listed.stat().st_size > SIZE_LIMIT:
        raise ValueError(f"{listed}: expected at most {SIZE_LIMIT} bytes, found {listed.stat().st_size}")
    try:
        with listed.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.reader(file, strict=True)
            head = [field.strip() for field in next(reader, [])]
            if not {"file", "label"} <= set(head) or len(set(head)) != len(head):
                lacking = [column for column in ("file", "label") if column not in head]
                like = spelling.nearest(lacking[0], head) if lacking else ""
                hint = f"; is '{like}' meant to be '{lacking[0]}'?" if like else ""
                raise ValueError(
                    f"{listed}:1: expected columns file and label, each once, found {head}{hint}"
                )
            for line in filter(None, reader):
                if (len(lines) + 1) * len(head) > _MOST_CELLS:
                    raise ValueError(f"{listed}: expected at most {_MOST_CELLS} fields, found more")
                fields = [field.strip() for field in line]
                if len(fields) != len(head) or "" in fields:
                    found = f"{len(fields)}, {fields.count('')} of them empty"
                    raise ValueError(
                        f"{listed}:{reader.line_num}: expected {len(head)} fields, found {found}"
                    )
                lines.append(fields)
    except (csv.Error, UnicodeDecodeError) as error:
        raise ValueError(f"{listed}: expected CSV in UTF-8: {error}") from error
    if not lines:
        raise ValueError(f"{listed}: expected a line for every clip, found none")
    table = dict(zip(head, zip(*lines, strict=True), strict=True))
    files = table.pop("file")
    for file_name in files:
        place = PurePosixPath(file_name)
        if place.is_absolute() or ".." in place.parts:
            raise ValueError(f"{listed}: expected files below the folder, found '{file_name}'")
    classes, columns = _columns(table, f"{listed}:1")

    def row(file_name: str, own: Mapping[str, int | str]) -> _Row:
        source = Source(path / file_name)
        name = printable(PurePosixPath(file_name).with_suffix("").as_posix())
        return _Row(name, str(source), own, lambda: clip_file.read(source, wanted, recorded, name=name))

    return classes, [row(*pair) for pair in zip(files, columns, strict=True)]


def _npz(path: Path, recorded: Layout, wanted: Layout) -> tuple[tuple[str, ...], list[_Row]]:
    """The classes and the clips of an `.npz`."""
    arrays = clip_arrays.members(path, str(path), _free_memory() // 2)  # as text and as joints
    lacking = [key for key in ("joints", "label") if key not in arrays]
    if lacking:
        like = spelling.nearest(lacking[0], arrays)
        hint = f"; is '{like}' meant to be it?" if like else ""
        raise ValueError(f"{path}: expected arrays joints and label, found no {lacking[0]}{hint}")
    every, length = arrays.pop("joints"), arrays.pop("length", None)
    count = len(arrays["label"]) if arrays["label"].ndim else 0
    odd = [key for key, array in arrays.items() if array.shape != (count,) or array.dtype.kind not in "iuU"]
    if odd or not count:
        found = arrays[odd[0] if odd else "label"]
        raise ValueError(
            f"{path}: {odd[0] if odd else 'label'}: expected {count or 'some'} whole numbers or texts, one a "
            f"clip, found {found.dtype} {found.shape}"
        )
    if count * len(arrays) > _MOST_CELLS:
        raise ValueError(
            f"{path}: expected at most {_MOST_CELLS} numbers and texts beside the joints, found more"
        )
    clips = _clips(every, length, count, f"{path}: joints")
    table = {
        key: [printable(str(value).strip()) for value in array.tolist()] for key, array in arrays.items()
    }
    names = table.pop("name", [f"clip{number:05}" for number in range(1, count + 1)])
    empty = [key for key, values in {**table, "name": names}.items() if "" in values]
    if empty:
        raise ValueError(f"{path}: {empty[0]}: expected a text for every clip, found an empty one")
    classes, columns = _columns(table, str(path))

    def row(name: str, joints: NDArray[Any], own: Mapping[str, int | str]) -> _Row:
        def read() -> tuple[Clip, list[Dropped]]:
            where = f"{path}: joints of {name}"
            return points.to_clip(Points(name, where, clip_arrays.joints(joints, where)), recorded, wanted)

        return _Row(name, str(path), own, read)

    return classes, [row(*triple) for triple in zip(names, clips, columns, strict=True)]


def _free_memory() -> int:
    """Bytes that this machine can still give; as much as one could wish for where it does not tell."""
    told = Path("/proc/meminfo")
    found = _AVAILABLE.search(told.read_text(encoding="ascii")) if told.is_file() else None
    return int(found[1]) * 1024 if found else sys.maxsize


def _clips(
    every: NDArray[Any], length: NDArray[Any] | None, count: int, source: str
) -> Sequence[NDArray[Any]]:
    """The joints (T, M, V, 3) of each clip, without the padding at its end."""
    if length is None:
        if every.ndim != 5 or len(every) != count:
            raise ValueError(f"{source}: expected ({count}, T, M, V, 3), found {every.shape}")
        used = ~(np.isnan(every) | (every == 0)).all(axis=(2, 3, 4))  # (N, T)
        ends = np.where(used.any(axis=1), used.shape[1] - used[:, ::-1].argmax(axis=1), used.shape[1])
        return [clip[:end] for clip, end in zip(every, ends, strict=True)]
    if length.shape != (count,) or length.dtype.kind not in "iu" or (length < 1).any():
        raise ValueError(
            f"{source}: expected {count} lengths of 1 or more, found {length.dtype} {length.shape}"
        )
    if every.ndim != 4 or len(every) != sum(map(int, length)):
        raise ValueError(f"{source}: expected ({sum(map(int, length))}, M, V, 3), found {every.shape}")
    return np.split(every, np.cumsum(length)[:-1])
