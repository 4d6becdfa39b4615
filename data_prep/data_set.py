"""What `preprocess` has to know of a data set, and what a source of clips gives it."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from action_indrnn.data_prep import layout, ntu
from action_indrnn.data_prep.bodies import Dropped
from action_indrnn.data_prep.clip import Clip, ClipError
from action_indrnn.data_prep.layout import Layout
from action_indrnn.data_prep.normalize import View
from action_indrnn.data_prep.ntu import ClipName
from action_indrnn.data_prep.protocols import Protocol
from action_indrnn.data_prep.untrimmed import Untrimmed

NTU_COLUMNS = ("setup", "camera", "subject", "replication")


@dataclass(frozen=True)
class Sample:
    """A clip with what the index says of it.

    Attributes:
        clip: not yet normalised.
        columns: `label` (0-based) and the data set's own columns.
        dropped: bodies that are not in the clip.
    """

    clip: Clip
    columns: Mapping[str, int | str]
    dropped: tuple[Dropped, ...] = ()


@dataclass(frozen=True)
class Left:
    """A recording that is left out.

    Attributes:
        name, source: as `skipped.csv` names them.
        reason: one line.
    """

    name: str
    source: str
    reason: str


Samples = Iterable[Sample | Left]


@dataclass(frozen=True)
class DataSet:
    """What a data set's clips are called, mean, and how they are divided.

    Attributes:
        name: as on the command line.
        title: as in reports.
        layout: its joint layout.
        classes: class names by label; in an NTU name action A is label A - 1.
        protocols: by name.
        clip_count: usable clips of the whole set; 0 where there is no fixed number.
        counts: training and test clips of the whole set by protocol.
        columns: the index's own columns beside name and label.
        samples: reads the clips of raw files; None for `.skeleton` recordings, which have NTU's names.
        own_layout: its joint layout where none of that name is shipped.
        untrimmed: reads the long recordings that its clips are cut from, where they are there.
        recipe: by what the clips of its files were made, where that was done before; see `recordings.choose`.
        view: how these are normalised already, where their files say it.
        notes: what a user should know of its files.
        takes: whether a file of this path belongs to it; None where it is a single file, or NTU's names tell.
        listed: the index's columns of every clip, with `length` and `bodies` where they are known, as its
            files list them, without reading the clips; None where there is no such list.
    """

    name: str
    title: str
    layout: str
    classes: tuple[str, ...]
    protocols: Mapping[str, Protocol] = field(default_factory=dict)
    clip_count: int = 0
    counts: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    columns: tuple[str, ...] = NTU_COLUMNS
    samples: Callable[[Sequence[Path]], Samples] | None = None
    own_layout: Layout | None = None
    untrimmed: Callable[[Sequence[Path]], list[Untrimmed]] | None = None
    recipe: str = ""
    view: View | None = None
    notes: tuple[str, ...] = ()
    takes: Callable[[str], object] | None = None
    listed: Callable[[], Iterable[Mapping[str, int | str]]] | None = None

    def joint_layout(self) -> Layout:
        """Its joint layout."""
        return self.own_layout or layout.load(self.layout)

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
