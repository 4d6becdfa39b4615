"""What is in a data set that is not of `.skeleton` recordings: a report as JSON holds it.

Without being asked to, it looks only into what is read in seconds: of more bytes only what their lists say.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from action_indrnn.data_prep import catalogue, clip_arrays, protocols
from action_indrnn.data_prep.clip import ClipError
from action_indrnn.data_prep.data_set import DataSet, Left
from action_indrnn.data_prep.skeleton_file import SIZE_LIMIT
from action_indrnn.data_prep.survey import Survey

LOOKED_INTO = 200_000_000  # bytes, unpacked
MOST_VALUES = 200  # a column of the index with more is no grouping
_LISTED = "by its lists alone: --read looks into every clip"
_UNREAD = "larger than what is read without being asked to: --read looks into every clip"


def lengths(values: Iterable[int]) -> dict[str, float]:
    """The smallest, median and largest of some lengths, and their sum."""
    array = np.fromiter(values, np.int64)
    if not array.size:
        return {}
    low, high, total = int(array.min()), int(array.max()), int(array.sum())
    return {"min": low, "median": float(np.median(array)), "max": high, "frames": total}


def counts(values: Iterable[Any]) -> dict[str, int]:
    """How often each value occurs, in the values' order, numbers before words."""
    found = Counter(values)
    told: Counter[str] = Counter()  # a word and a number may read the same
    for value in sorted(found, key=lambda value: (isinstance(value, str), value)):
        told[str(value)] += found[value]
    return dict(told)


def reason(text: str) -> str:
    """A reason to leave a recording out, without the recording's own name and numbers."""
    return text.rsplit(": ", 1)[-1].split(", found")[0]


def report(found: Survey, name: str, *, read: bool = False) -> dict[str, Any]:
    """What lies in the files of a data set or of another project's format.

    Args:
        found: its survey.
        name: what `preprocess` calls it.
        read: look into every clip, however much it is.

    Raises:
        ValueError: it is not what its names say.
        OSError: cannot be read.
    """
    path = found.path
    head = {"kind": "data set", "path": str(path), "format": name}
    needs = {"disk_bytes": found.disk}
    if name == "custom" and path.is_file() and sum(found.files.values()) > LOOKED_INTO and not read:
        return head | {"note": _UNREAD, "arrays": clip_arrays.heads(path, str(path)), **needs}
    data_set = catalogue.find(name, [path])
    own = [size for file, size in found.files.items() if data_set.takes is None or data_set.takes(file)]
    if not data_set.recipe:  # its readers open no larger files
        own = [size for size in own if size <= SIZE_LIMIT]
    rows: list[Mapping[str, Any]] = []
    left: list[Left] = []
    problems = list(found.problems)
    note = ""
    if sum(own) <= LOOKED_INTO or read:
        try:
            _read(data_set, path, rows, left)
        except (ClipError, ValueError, OSError) as error:  # it ends early; what was read counts
            problems.append(str(error))
    elif data_set.listed:
        note = _LISTED
        rows += data_set.listed()
    else:
        note = _UNREAD
    return {
        **head,
        "title": data_set.title,
        "note": note,
        "notes": list(data_set.notes),
        **_counted(data_set, rows),
        **needs,
        "missing": max(data_set.clip_count - len(rows), 0) if data_set.clip_count and not note else None,
        "left_out": counts(reason(one.reason) for one in left),
        "not_usable": [one.reason for one in left],
        "problems": problems,
        "archives": found.archives,
        "hidden": found.hidden,
        **_unexpected(found, data_set),
    }


def _read(data_set: DataSet, path: Path, rows: list[Mapping[str, Any]], left: list[Left]) -> None:
    """Read every clip: into `rows` what the index would say, into `left` those that are left out."""
    assert data_set.samples is not None
    seen: set[str] = set()
    for entry in data_set.samples([path]):
        if isinstance(entry, Left):
            left.append(entry)
        elif entry.clip.name in seen:
            again = f"{entry.clip.name}: expected each clip once, found it again"
            left.append(Left(entry.clip.name, entry.clip.name, again))
        else:
            seen.add(entry.clip.name)
            bodies, length = entry.clip.present.shape
            rows.append({**entry.columns, "bodies": bodies, "length": length})


def _counted(data_set: DataSet, rows: list[Mapping[str, Any]]) -> dict[str, Any]:
    """Clips by class, by column, by length, by protocol, and what they need."""
    joint_layout = data_set.joint_layout()
    labels = Counter(int(row["label"]) for row in rows)
    protocol_columns = {*data_set.protocols, "split"} if data_set.recipe else set()  # their values are roles
    groups = {}
    for column in data_set.columns:
        values = counts(row[column] for row in rows)
        if len(values) <= MOST_VALUES and column not in protocol_columns:
            groups[f"by_{column}"] = values
    divided = {}
    for name, protocol in data_set.protocols.items():
        roles = Counter(protocol.role(int(row[protocol.column]), int(row["label"])) for row in rows)
        divided[name] = {"train": roles[protocols.TRAIN], "test": roles[protocols.TEST]}
    measured = [row for row in rows if "length" in row]
    frames = sum(row["length"] * row["bodies"] for row in measured)
    return {
        "clips": len(rows),
        "clips_of_whole_set": data_set.clip_count or None,
        "preprocessing": {"recipe": data_set.recipe} if data_set.recipe else {},
        "layout": {"name": joint_layout.name, "joints": len(joint_layout.joints)},
        "classes": len(data_set.classes),
        "by_class": {name: labels[label] for label, name in enumerate(data_set.classes)} if rows else {},
        **groups,
        "by_bodies": counts(row["bodies"] for row in measured),
        "lengths": lengths(row["length"] for row in measured),
        "protocols": divided,
        "prepared_bytes_about": frames * len(joint_layout.joints) * 3 * 4 if measured else None,
    }


def _unexpected(found: Survey, data_set: DataSet) -> dict[str, Any]:
    takes = data_set.takes
    names = [name for name in found.files if takes and not takes(name)]
    by_suffix = counts(Path(name).suffix.lower() or "none" for name in names)
    return {"unexpected": names, "unexpected_by_suffix": by_suffix}
