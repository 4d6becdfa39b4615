"""The data sets that `preprocess` knows."""

from collections.abc import Mapping
from dataclasses import dataclass

from action_indrnn.data_prep import made, ntu
from action_indrnn.data_prep.clip import ClipError
from action_indrnn.data_prep.ntu import ClipName, Protocol


@dataclass(frozen=True)
class DataSet:
    """What a data set's clips are called, mean, and how they are divided.

    Attributes:
        name: as on the command line.
        title: as in reports.
        layout: its joint layout.
        classes: class names; action number A is label A - 1.
        protocols: by name.
        clip_count: usable clips of the whole set; 0 where there is no fixed number.
        counts: training and test clips of the whole set by protocol.
    """

    name: str
    title: str
    layout: str
    classes: tuple[str, ...]
    protocols: Mapping[str, Protocol]
    clip_count: int
    counts: Mapping[str, tuple[int, int]]

    def check(self, clip: ClipName) -> None:
        """Check that a clip belongs to this data set.

        Raises:
            ClipError: it does not; says why.
        """
        if self.name in ntu.PROTOCOLS:
            ntu.check_name(clip, self.name)
        elif not 1 <= clip.action <= len(self.classes):
            expected = f"action 1 to {len(self.classes)}"
            raise ClipError(f"{clip}: not a clip of {self.name}: expected {expected}, found {clip.action}")

    def is_missing(self, name: str) -> bool:
        """Whether the data set's authors list the clip as missing or incomplete."""
        return self.name in ntu.PROTOCOLS and name in ntu.missing()


def _ntu(name: str, title: str, classes: int) -> DataSet:
    protocols = ntu.PROTOCOLS[name]
    counts = {protocol: ntu.COUNTS[name, protocol] for protocol in protocols}
    return DataSet(name, title, "ntu25", ntu.actions()[:classes], protocols, ntu.CLIPS[name], counts)


DATA_SETS = {
    data_set.name: data_set
    for data_set in (
        _ntu("ntu60", "NTU RGB+D 60", 60),
        _ntu("ntu120", "NTU RGB+D 120", 120),
        DataSet(
            name="made",
            title="made data (procedural, not recorded)",
            layout="ntu25",
            classes=made.CLASSES,
            protocols={**ntu.PROTOCOLS["ntu60"], "xset": ntu.PROTOCOLS["ntu120"]["xset"]},
            clip_count=0,
            counts={},
        ),
    )
}


def find(name: str) -> DataSet:
    """The data set of that name.

    Raises:
        ValueError: there is none; names those there are.
    """
    if name not in DATA_SETS:
        raise ValueError(f"expected a data set out of {list(DATA_SETS)}, found '{name}'")
    return DATA_SETS[name]
