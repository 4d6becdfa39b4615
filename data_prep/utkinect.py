"""UTKinect-Action3D (Xia et al., CVPR Workshops 2012): 10 classes, 10 subjects, 20 joints, 199 clips.

Twenty recordings `joints_sSS_eEE.txt`, a line a frame: its index and x y z of the joints, metres. A list says
which stretch of a recording shows which action: `actionLabel_modified.txt`, which mends seven ranges of
`actionLabel.txt`. The one stretch given as NaN is no clip. Indices rise in irregular steps and some lines
repeat one: the last line of a repeat counts, and frames follow each other without gaps.
"""

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from action_indrnn.data_prep import sources, tables
from action_indrnn.data_prep.clip import ClipError, from_joints
from action_indrnn.data_prep.data_set import DataSet, Left, Sample
from action_indrnn.data_prep.protocols import Protocol
from action_indrnn.data_prep.sources import Source
from action_indrnn.data_prep.untrimmed import Action, Untrimmed

_FILE = re.compile(r"(?:.*/)?joints_(s(\d\d)_e(\d\d))\.txt", re.DOTALL)
_LABELS = re.compile(r"(?:.*/)?actionLabel_modified\.txt", re.DOTALL)
_TAKEN = re.compile(rf"{_FILE.pattern}|{_LABELS.pattern}", re.DOTALL)
_RECORDING = re.compile(r"s\d\d_e\d\d")
_RANGE = re.compile(r"(\w+): +(\d{1,6}|NaN) +(\d{1,6}|NaN)")
_JOINTS = 20
_ACTIONS = (
    "walk",
    "sitDown",
    "standUp",
    "pickUp",
    "carry",
    "throw",
    "push",
    "pull",
    "waveHands",
    "clapHands",
)


def _samples(raw: Sequence[Path]) -> Iterator[Sample | Left]:
    listed = _list(raw)
    ranges = _ranges(listed)
    for source in sources.find(raw, _FILE, "joints_sSS_eEE.txt"):
        numbers = _FILE.fullmatch(source.member or source.path.as_posix())
        if numbers is None:  # a folder or an archive beside them that cannot be opened
            yield Left(source.name, str(source), f"{source}: {source.problem}")
            continue
        try:
            table = tables.read(source, 1 + 3 * _JOINTS)
        except (ClipError, OSError) as error:
            yield Left(numbers[1], str(source), str(error))
            continue
        index = table[:, 0]
        last = np.append(index[1:] != index[:-1], True)
        columns = {"subject": int(numbers[2]), "replication": int(numbers[3])}
        for action, first, end in ranges.get(numbers[1], []):
            name = f"{numbers[1]}_{action}"
            try:
                if first is None or end is None:
                    raise ClipError(f"{listed}: {numbers[1]} {action}: the list gives no range")
                joints = table[last & (index >= first) & (index <= end), 1:].reshape(1, -1, _JOINTS, 3)
                clip = from_joints(name, joints, f"{source} from {first} to {end}")
            except ClipError as error:
                yield Left(name, str(source), str(error))
                continue
            yield Sample(clip, {**columns, "label": _ACTIONS.index(action)})


def _list(raw: Sequence[Path]) -> Source:
    """The list of actions, or one of several copies.

    Raises:
        ValueError: there are several, and they differ.
    """
    found = sources.find(raw, _LABELS, "actionLabel_modified.txt")
    lists = [one for one in found if not one.problem] or found
    if len({one.read() for one in lists}) > 1:
        raise ValueError(
            f"expected one actionLabel_modified.txt, or equal copies, found {', '.join(map(str, lists))}"
        )
    return lists[0]


def _untrimmed(raw: Sequence[Path]) -> list[Untrimmed]:
    """The recordings whole: what the list gives no action for shows none of the ten."""
    ranges = _ranges(_list(raw))
    found: dict[str, Untrimmed] = {}
    for source in sources.find(raw, _FILE, "joints_sSS_eEE.txt"):
        numbers = _FILE.fullmatch(source.member or source.path.as_posix())
        if numbers is None or numbers[1] in found:
            continue
        try:
            table = tables.read(source, 1 + 3 * _JOINTS)
        except (ClipError, OSError):  # `_samples` has told of it
            continue
        table = table[np.append(table[1:, 0] != table[:-1, 0], True)]
        spans = [
            (*np.searchsorted(table[:, 0], (first, end + 1)).tolist(), _ACTIONS.index(action))
            for action, first, end in ranges.get(numbers[1], [])
            if first is not None and end is not None
        ]
        joints = table[:, 1:].reshape(-1, 1, _JOINTS, 3).astype(np.float32)
        columns = {"subject": int(numbers[2]), "replication": int(numbers[3])}
        actions = [Action(*span) for span in sorted(spans) if span[0] < span[1]]
        found[numbers[1]] = Untrimmed(numbers[1], joints, actions, columns)
    return list(found.values())


def _ranges(source: Source) -> dict[str, list[tuple[str, int | None, int | None]]]:
    """The actions of every recording, with first and last index.

    Raises:
        ClipError: a line of other content; names file and line.
    """
    ranges: dict[str, list[tuple[str, int | None, int | None]]] = {}
    recording = ""
    for number, line in enumerate(source.read().decode("latin-1").splitlines(), 1):
        found = _RANGE.fullmatch(line.strip())
        if _RECORDING.fullmatch(line.strip()):
            recording = line.strip()
            ranges[recording] = []
        elif found and recording and found[1] in _ACTIONS:
            first, end = (None if value == "NaN" else int(value) for value in found.groups()[1:])
            ranges[recording].append((found[1], first, end))
        elif line.strip():
            raise ClipError(
                f"{source}:{number}: expected a recording or 'action: first last', found '{line[:60]}'"
            )
    return ranges


UTKINECT = DataSet(
    name="utkinect",
    title="UTKinect-Action3D",
    layout="kinect20",
    classes=(
        *("walk", "sit down", "stand up", "pick up", "carry", "throw", "push", "pull", "wave hands"),
        "clap hands",
    ),
    protocols={"xsub": Protocol("subject", (1, 2, 3, 4, 5))},
    clip_count=199,
    counts={"xsub": (100, 99)},
    columns=("subject", "replication"),
    samples=_samples,
    untrimmed=_untrimmed,
    takes=_TAKEN.fullmatch,
)
