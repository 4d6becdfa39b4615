"""What is in raw recordings or a prepared set: reports as JSON holds them, and as text.

Shapes: R rows of a prepared set, V joints, C coordinates.
"""

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from action_indrnn.data_prep import archive, ntu, protocols, survey, untrimmed
from action_indrnn.data_prep.archive import PreparedSet
from action_indrnn.data_prep.clip import COORDINATE_LIMIT
from action_indrnn.data_prep.recognition import Known
from action_indrnn.data_prep.survey import Survey
from action_indrnn.source_report import MOST_VALUES, counts, lengths, reason

SHOWN = 5  # lines of a list in the text; the JSON has all
_ROWS_AT_ONCE = 100_000
_TEXT_BYTES = 2_550  # of a body in a frame of a `.skeleton` file
_ROW_BYTES = 25 * 3 * 4  # of a body in a frame of a prepared set
_FEW = 0.05  # a share of recordings of unknown performers that NTU RGB+D may hold by mistake
_OTHERS = (
    "names of NTU RGB+D's form, but not its performers: other data; its classes may be others too, and its "
    "counts do not compare"
)
_NONE = "no recording under a name of NTU RGB+D, and no other data set that is known; clips need a clips.csv"
_KNOWN = "no recording under a name of NTU RGB+D; inspect each data set alone"
_NOT_ON_SCREEN = ("kind", "path")


def raw_report(
    found: Survey, known: Sequence[Known] = (), *, read: bool = False, workers: int = 0
) -> dict[str, Any]:
    """What lies in a folder or an archive.

    Args:
        found: its survey.
        known: the data sets of other kinds in it.
        read: look into every recording too; else only names, sizes and the archives' directories.
        workers: processes that read; 0 for one a core.
    """
    clips, impossible, strangers = found.clips, found.impossible(), found.strangers()
    usable, text = found.usable(), found.text
    like_ntu = bool(clips) and len(strangers) <= _FEW * len(clips)
    contents = survey.read(found.places(), workers) if read else None
    if contents:
        usable -= {name for name, good in zip(found.recordings, contents.good, strict=False) if not good}
    report: dict[str, Any] = {
        "kind": "raw recordings",
        "path": str(found.path),
        "data_sets": [f"{one.path}: {one.name}" for one in known],
        "recordings": len(clips),
        "like": found.dataset if like_ntu else None,
        "note": "" if like_ntu else _OTHERS if clips else _KNOWN if known else _NONE,
        "actions": len({clip.action for clip in clips}),
        "usable": len(usable),
        "usable_of_whole_set": ntu.CLIPS[found.dataset] if like_ntu else None,
        "listed_as_missing": sum(name in ntu.missing() for name in found.recordings),
        "by_action": counts(f"A{clip.action:03}" for clip in clips),
        "by_subject": counts(clip.subject for clip in clips),
        "by_camera": counts(clip.camera for clip in clips),
        "by_setup": counts(clip.setup for clip in clips),
        "disk_bytes": found.disk,
        "text_bytes": text,
        "prepared_bytes_about": text // _TEXT_BYTES * _ROW_BYTES,
        "archives": found.archives,
        "problems": found.problems,
        "copies": [
            f"{copy}: found in {found.recordings[name]} too"
            for name, copies in found.copies.items()
            for copy in copies
        ],
        "impossible": impossible,
        "no_performers_of_ntu": strangers,
        "other_names": list(map(str, found.others)),
        "hidden": found.hidden,
        "unexpected": found.unexpected,
        "unexpected_by_suffix": counts(Path(name).suffix.lower() or "none" for name in found.unexpected),
        "absent": found.absent() if like_ntu else [],
    }
    if contents:
        report |= {
            "lengths": lengths(contents.lengths),
            "by_bodies": counts(contents.bodies.elements()),
            "without_anybody": contents.empty,
            "with_gaps": contents.gaps,
            "damaged": contents.damaged,
        }
    return report


def set_report(path: Path) -> dict[str, Any]:
    """What a prepared set holds, and every sign that it is not whole.

    Raises:
        ValueError: it cannot be read at all; see `archive.read`.
    """
    prepared = archive.read(path)
    index, meta = prepared.index, prepared.meta
    names = [*archive.INDEX, "joints"]
    groups = {
        f"by_{column}": counts(index[column].tolist())
        for column in index.columns
        if column not in names and index[column].nunique() <= MOST_VALUES
    }
    labels = np.bincount(prepared.column("label"), minlength=len(prepared.classes))
    joints, problems = _joints(prepared)
    divided = {
        name: dict(zip(("train", "test"), _divided(prepared, name), strict=True))
        for name in meta["protocols"]
    }
    frames = int((prepared.column("length") * prepared.column("bodies")).sum())
    known = (*archive.FILES, *archive.OPTIONAL)
    long_ones, damage = _untrimmed(prepared)
    return {
        "kind": "prepared set",
        "path": str(path),
        "title": meta["title"],
        "whole_data_set": meta["counts"].get("whole"),
        "clips": len(index),
        "layout": {"name": meta["layout"]["name"], "joints": len(meta["layout"]["joints"])},
        "preprocessing": meta["preprocessing"],
        "by_class": dict(zip(prepared.classes, labels.tolist(), strict=True)),
        **groups,
        "by_bodies": counts(prepared.column("bodies").tolist()),
        "lengths": lengths(prepared.column("length").tolist()),
        "protocols": divided,
        "joints": joints,
        "long_recordings": long_ones,
        "disk_bytes": sum(file.stat().st_size for file in path.iterdir() if file.is_file()),
        "memory_bytes": frames * prepared.joints[0].nbytes,
        "left_out": counts(reason(row["reason"]) for row in _rows(path / "skipped.csv")),
        "bodies_left_out": counts(row["reason"] for row in _rows(path / "dropped.csv")),
        "unexpected": sorted(file.name for file in path.iterdir() if file.name not in known),
        "problems": problems + _contradictions(prepared, divided) + damage,
    }


def _rows(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def _divided(prepared: PreparedSet, name: str) -> tuple[int, int]:
    roles = protocols.roles(prepared.index, prepared.meta["protocols"], name)
    return int((roles == protocols.TRAIN).sum()), int((roles == protocols.TEST).sum())


def _joints(prepared: PreparedSet) -> tuple[dict[str, Any], list[str]]:
    """What the rows of joints hold, and what cannot be."""
    absent = torn = wild = 0
    largest = 0.0
    seen = np.zeros(len(prepared.joints), np.bool_)
    for start in range(0, len(seen), _ROWS_AT_ONCE):
        rows = prepared.joints[start : start + _ROWS_AT_ONCE].reshape(
            -1, prepared.joints[0].size
        )  # (R, V * C)
        nan = np.isnan(rows)
        gone = nan.all(axis=1)
        seen[start : start + len(rows)] = ~gone
        absent += int(gone.sum())
        torn += int((nan.any(axis=1) & ~gone).sum())
        size = np.abs(rows[~nan])
        wild += int((size > 2 * COORDINATE_LIMIT).sum())  # two bodies of a sensor are no farther apart
        largest = max(largest, float(size.max(initial=0)))
    starts = prepared.column("start")
    spans = np.stack([starts, starts + prepared.column("length")], axis=1)
    total = np.concatenate([[0], np.cumsum(seen)])
    empty = np.flatnonzero(total[spans[:, 1]] == total[spans[:, 0]])
    problems = []
    if torn:
        problems.append(
            f"joints.npy: expected bodies seen whole or not at all, found {torn:,} rows with some NaN"
        )
    if wild:
        limit = f"+-{2 * COORDINATE_LIMIT:g} m"
        problems.append(
            f"joints.npy: expected coordinates within {limit}, found {wild:,} others, up to {largest:g}"
        )
    if empty.size:
        first = prepared.index["name"][empty[0]]
        problems.append(f"joints.npy: {empty.size:,} clips in which actor 1 is never seen, the first {first}")
    return {"rows": len(seen), "absent_share": absent / max(len(seen), 1), "largest": largest}, problems


def _untrimmed(prepared: PreparedSet) -> tuple[dict[str, int], list[str]]:
    """What the long recordings beside the clips hold, and what cannot be; nothing where there are none."""
    try:
        recordings = untrimmed.read(prepared.path)
    except ValueError as error:
        return {}, [str(error)]
    problems = []
    for one in recordings:
        frames, classes = len(one.joints), len(prepared.classes)
        if one.joints.shape[2:] != prepared.joints.shape[1:]:
            expected, found = "(T, M, {}, {})".format(*prepared.joints.shape[1:]), one.joints.shape
            problems.append(f"{untrimmed.FILE}: {one.name}: expected joints {expected}, found {found}")
        for action in one.actions:
            if not (0 <= action.start < action.end <= frames and 0 <= action.label < classes):
                expected = f"actions within {frames:,} frames and {classes} classes"
                problems.append(f"{untrimmed.FILE}: {one.name}: expected {expected}, found {action}")
    if not recordings:
        return {}, []
    told = {
        "recordings": len(recordings),
        "frames": sum(len(one.joints) for one in recordings),
        "actions": sum(len(one.actions) for one in recordings),
    }
    return told, problems


def _contradictions(prepared: PreparedSet, divided: Mapping[str, Mapping[str, int]]) -> list[str]:
    """Where the set's files disagree."""
    meta, index, problems = prepared.meta, prepared.index, []
    told = meta["counts"]
    skipped, dropped = (len(_rows(prepared.path / f"{name}.csv")) for name in ("skipped", "dropped"))
    for key, where, found in (
        ("clips", "index.csv", len(index)),
        ("rows", "joints.npy", len(prepared.joints)),
        ("skipped", "skipped.csv", skipped),
        ("dropped_bodies", "dropped.csv", dropped),
    ):
        if told.get(key, found) != found:
            problems.append(f"{where}: expected the {told[key]:,} {key} of meta.toml, found {found:,}")
    for name, found_counts in divided.items():
        expected = meta["protocols"][name].get("clips")
        if expected is not None and expected != list(found_counts.values()):
            problems.append(
                f"index.csv: {name}: expected {expected[0]:,} training and {expected[1]:,} test clips as in "
                f"meta.toml, found {found_counts['train']:,} and {found_counts['test']:,}"
            )
    twice = index["name"][index["name"].duplicated()]
    if len(twice):
        problems.append(
            f"index.csv: expected each name once, found {len(twice):,} again, first {twice.iloc[0]}"
        )
    return problems


def as_text(report: Mapping[str, Any]) -> str:
    """A report for the screen: a line for each thing, long lists cut, their lengths told."""
    lines = [f"{report['kind']}  {report['path']}"]
    for key, value in report.items():
        if key not in _NOT_ON_SCREEN and value not in ([], {}, "", None):
            lines += _told(key.replace("_", " "), value)
    return "\n".join(lines)


def _told(name: str, value: Any) -> list[str]:
    if name.endswith(("bytes", "bytes about")):
        return [f"{name.replace(' bytes', ''):<20} {bytes_text(value)}"]
    if isinstance(value, Mapping):
        words = [f"{key.replace('_', ' ')} {_number(item)}" for key, item in value.items()]
        return _wrapped(name, words)
    if isinstance(value, Sequence) and not isinstance(value, str):
        if name == "classes":
            return _wrapped(name, value)
        head = [f"{name:<20} {len(value):,}"]
        shown = value if value and isinstance(value[0], Mapping) else value[:SHOWN]
        return (
            head + [f"    {_row(item)}" for item in shown] + (["    ..."] if len(shown) < len(value) else [])
        )
    return [f"{name:<20} {_number(value)}"]


def _wrapped(name: str, words: Sequence[str], width: int = 100) -> list[str]:
    """Words behind a name, in lines of about `width` letters."""
    lines, line = [], f"{name:<20} "
    for place, word in enumerate(words):
        piece = word + ("" if place == len(words) - 1 else ", ")
        if len(line) + len(piece) > width and line.strip():
            lines.append(line.rstrip())
            line = " " * 21
        line += piece
    return [*lines, line.rstrip()]


def _row(item: Any) -> str:
    if isinstance(item, Mapping):
        return ", ".join(f"{key.replace('_', ' ')} {_number(value)}" for key, value in item.items())
    return str(item)


def _number(value: Any) -> str:
    match value:
        case bool():
            return "yes" if value else "no"
        case int():
            return f"{value:,}"
        case float():
            return f"{value:.4g}"
        case None:
            return "none"
        case Mapping():
            return "(" + ", ".join(f"{key} {_number(item)}" for key, item in value.items()) + ")"
        case _:
            return str(value)


def bytes_text(size: float) -> str:
    """A number of bytes, as people say it."""
    for unit in ("bytes", "KB", "MB"):
        if size < 1000:
            return f"{size:.0f} {unit}" if unit == "bytes" else f"{size:.1f} {unit}"
        size /= 1000
    return f"{size:.1f} GB"
