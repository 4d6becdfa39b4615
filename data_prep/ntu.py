"""The facts of NTU RGB+D 60 and 120: clip names, action names, protocols, missing clips, counts.

Sources: shahroudy/NTURGB-D (README, missing lists); Shahroudy et al., CVPR 2016; Liu et al., TPAMI 2019. The
counts are those of the published name lists less the missing clips.
"""

import csv
import re
from collections.abc import Iterable, Iterator
from functools import cache
from importlib import resources
from itertools import product
from typing import NamedTuple

from action_indrnn.data_prep.clip import ClipError, printable
from action_indrnn.data_prep.protocols import TRAIN, Protocol

_NAME = re.compile(r"S(\d{3})C(\d{3})P(\d{3})R(\d{3})A(\d{3})", re.ASCII)
_SETUPS_60 = range(1, 18)
_SETUPS_120 = range(1, 33)
_CAMERAS = range(1, 4)
_REPLICATIONS = range(1, 3)

TRAIN_SUBJECTS_60 = (1, 2, 4, 5, 8, 9, 13, 14, 15, 16, 17, 18, 19, 25, 27, 28, 31, 34, 35, 38)
TRAIN_SUBJECTS_120 = (
    *TRAIN_SUBJECTS_60,
    *(45, 46, 47, 49, 50, 52, 53, 54, 55, 56, 57, 58, 59, 70, 74, 78, 80),
    *(81, 82, 83, 84, 85, 86, 89, 91, 92, 93, 94, 95, 97, 98, 100, 103),
)
TRAIN_CAMERAS = (2, 3)
TRAIN_SETUPS = tuple(range(2, 33, 2))

CLIPS = {"ntu60": 56_578, "ntu120": 113_945}
COUNTS = {  # train, test
    ("ntu60", "xsub"): (40_091, 16_487),
    ("ntu60", "xview"): (37_646, 18_932),
    ("ntu120", "xsub"): (63_026, 50_919),
    ("ntu120", "xset"): (54_468, 59_477),
}

# Who performed in which setup, from the published name lists: setup, then performers. Everyone did all of a
# setup's 60 actions twice before three cameras.
_CAST = """
1 1 2 3 4 5 6 7 8
2 3 7 8 9 10 11 12 13 14
3 1 2 7 8 15 16 17 18 19
4 3 7 8 20
5 4 10 13 15 16 17 18 21
6 1 7 8 15 16 17 19 22 23 24
7 1 7 8 15 16 17 18 19 25 26 27 28
8 1 7 8 15 19 25 29 30 31 32 33 34 35 36
9 7 8 15 16 17 19 25
10 7 8 13 15 16 17 18 19 21 25
11 1 2 7 8 15 16 17 18 19 25 27 28 38
12 7 8 15 16 17 18 19 25 27 28 37
13 7 8 15 16 17 18 19 25 27 28 37
14 7 8 15 17 19 25 27 37 39
15 7 8 15 16 17 19 25 37
16 7 8 19 21 25 39 40
17 3 7 8 9 15 16 17 20
18 8 41 42 43 44 45
19 8 41 42 46 47 48 49 50 51
20 8 41 43 44 52 53 54
21 55 56 57 58 59 60
22 61 62 63 64 65 66 67
23 55 56 57 58 59 60 61 62 63 64 65 66 67 68
24 57 60 61 62 63 64 67
25 55 56 58 59 65 66 68
26 8 41 44 49 50 51 69 70 71 72 74 75 76 77
27 6 8 11 41 43 44 78 79 80 81 82 83 84 85 86
28 8 41 42 43 46 48 70 73 87
29 6 8 41 43 44 48 49 51 67 74 75 80 88 89 90
30 8 11 41 43 44 48 67 75 76 81 85 88 91 92 93 94 95 96
31 6 8 41 42 43 44 51 67 82 85 96 97 98 99 100 101
32 8 41 43 44 67 102 103 104 105 106
"""

PROTOCOLS = {
    "ntu60": {"xsub": Protocol("subject", TRAIN_SUBJECTS_60), "xview": Protocol("camera", TRAIN_CAMERAS)},
    "ntu120": {"xsub": Protocol("subject", TRAIN_SUBJECTS_120), "xset": Protocol("setup", TRAIN_SETUPS)},
}


class ClipName(NamedTuple):
    """What NTU's clip names say: `SsssCcccPpppRrrrAaaa`. All numbers start at 1."""

    setup: int
    camera: int
    subject: int
    replication: int
    action: int

    def __str__(self) -> str:
        return "S{:03}C{:03}P{:03}R{:03}A{:03}".format(*self)


def parse_name(name: str) -> ClipName:
    """The numbers in a clip's name.

    Raises:
        ClipError: not a name of this form.
    """
    match = _NAME.fullmatch(name)
    if match is None:
        shown = printable(name)
        raise ClipError(f"{shown}: expected a clip name like S001C001P001R001A001, found '{shown}'")
    return ClipName(*map(int, match.groups()))


def is_name(name: str) -> bool:
    """Whether this is a clip's name."""
    return _NAME.fullmatch(name) is not None


def is_own(name: str, label: int) -> bool:
    """Whether a clip of this name and 0-based label can be NTU's: its performer was in that setup."""
    if not is_name(name):
        return False
    clip = parse_name(name)
    return clip.action == label + 1 and clip.subject in performers().get(clip.setup, ())


@cache
def performers() -> dict[int, tuple[int, ...]]:
    """Who performed in each setup."""
    rows = (tuple(map(int, line.split())) for line in _CAST.split("\n") if line)
    return {setup: tuple(subjects) for setup, *subjects in rows}


def setup_actions(setup: int) -> range:
    """The actions that were performed in a setup: setups 1-17 hold 1-60, the rest 61-120."""
    return range(1, 61) if setup in _SETUPS_60 else range(61, 121)


def names(dataset: str) -> Iterator[ClipName]:
    """All 56,880 clips of `ntu60` or 114,480 of `ntu120` in order, with those that are missing."""
    for setup in _SETUPS_60 if dataset == "ntu60" else _SETUPS_120:
        numbers = product(_CAMERAS, performers()[setup], _REPLICATIONS, setup_actions(setup))
        yield from (ClipName(setup, *rest) for rest in numbers)


def check_name(clip: ClipName, dataset: str) -> None:
    """Check that a clip can belong to `ntu60` or `ntu120`.

    Raises:
        ClipError: a number is outside the data set's range; says which.
    """
    setups = _SETUPS_60 if dataset == "ntu60" else _SETUPS_120
    actions = range(1, 61) if dataset == "ntu60" else setup_actions(clip.setup)
    subjects = range(1, 41) if dataset == "ntu60" else range(1, 107)
    ranges = {
        "setup": setups,
        "camera": _CAMERAS,
        "subject": subjects,
        "replication": _REPLICATIONS,
        "action": actions,
    }
    for field, allowed in ranges.items():
        found = getattr(clip, field)
        if found not in allowed:
            expected = f"{field} {allowed.start} to {allowed.stop - 1}"
            raise ClipError(f"{clip}: not a clip of {dataset}: expected {expected}, found {found}")


@cache
def missing() -> frozenset[str]:
    """The 535 clips of NTU RGB+D 120 with missing or incomplete skeletons, 302 of them in NTU RGB+D 60."""
    text = (resources.files(__package__) / "ntu_missing.txt").read_text(encoding="ascii")
    return frozenset(text.split())


@cache
def actions() -> tuple[str, ...]:
    """The 120 action names, A001 first; the first 60 are those of NTU RGB+D 60."""
    with (resources.files(__package__) / "ntu_actions.csv").open(encoding="utf-8") as file:
        return tuple(row["name"] for row in csv.DictReader(file))


def split(names: Iterable[str], dataset: str, protocol: str) -> tuple[list[str], list[str]]:
    """The training and test names of a protocol.

    Args:
        names: clip names; those outside the data set and the missing ones are left out.
        dataset: `ntu60` or `ntu120`.
        protocol: `xsub` or `xview` (ntu60), `xsub` or `xset` (ntu120).

    Raises:
        ClipError: something is not a clip name.
        ValueError: the data set or the protocol does not exist.
    """
    if dataset not in PROTOCOLS:
        raise ValueError(f"expected a data set out of {list(PROTOCOLS)}, found '{dataset}'")
    if protocol not in PROTOCOLS[dataset]:
        raise ValueError(
            f"{dataset}: expected a protocol out of {list(PROTOCOLS[dataset])}, found '{protocol}'"
        )
    rule = PROTOCOLS[dataset][protocol]
    train: list[str] = []
    test: list[str] = []
    for name in names:
        clip = parse_name(name)
        if name in missing():
            continue
        try:
            check_name(clip, dataset)
        except ClipError:
            continue
        role = rule.role(getattr(clip, rule.column), clip.action - 1)
        (train if role == TRAIN else test).append(name)
    return train, test
