"""The facts of NTU RGB+D 60 and 120: clip names, action names, protocols, missing clips, counts.

Sources: shahroudy/NTURGB-D (README, missing lists); Shahroudy et al., CVPR 2016; Liu et al., TPAMI 2019. The
counts are those of the published name lists less the missing clips.
"""

import csv
import re
from collections.abc import Iterable
from functools import cache
from importlib import resources
from typing import NamedTuple

from action_indrnn.data_prep.clip import ClipError
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
        raise ClipError(f"{name}: expected a clip name like S001C001P001R001A001, found '{name}'")
    return ClipName(*map(int, match.groups()))


def is_name(name: str) -> bool:
    """Whether this is a clip's name."""
    return _NAME.fullmatch(name) is not None


def check_name(clip: ClipName, dataset: str) -> None:
    """Check that a clip can belong to `ntu60` or `ntu120`.

    Raises:
        ClipError: a number is outside the data set's range; says which.
    """
    small = dataset == "ntu60" or clip.setup in _SETUPS_60
    setups = _SETUPS_60 if dataset == "ntu60" else _SETUPS_120
    actions = range(1, 61) if small else range(61, 121)  # setups 1-17 hold actions 1-60, the rest 61-120
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
