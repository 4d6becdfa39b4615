"""Tells whether two runs of `preprocess` would make the same set: of one program, recordings and options."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from action_indrnn import __version__
from action_indrnn.data_prep.data_set import DataSet, Left
from action_indrnn.data_prep.sources import Source


@dataclass(frozen=True)
class Plan:
    """The recordings of a run, in their order.

    Attributes:
        left: left out unread.
        wanted: to be read, each with all the places where it lies.
    """

    left: list[Left]
    wanted: list[tuple[Source, ...]]

    def __len__(self) -> int:
        return len(self.left) + len(self.wanted)


def of(data_set: DataSet, options: Mapping[str, str], plan: Plan) -> str:
    """The fingerprint of a set to be made.

    Files and archives count with their size and time of change, not their content; the program with the text
    of its modules of data.
    """
    found = hashlib.sha256()
    for module in sorted(Path(__file__).parent.iterdir()):
        if module.suffix in (".py", ".toml", ".csv", ".txt"):
            found.update(module.read_bytes())
    described = (data_set.name, data_set.classes, data_set.columns, data_set.joint_layout().table())
    for part in (__version__, np.__version__, described, sorted(options.items())):
        found.update(repr(part).encode())
    for left in plan.left:
        found.update(repr(left).encode())
    places = [source for recording in plan.wanted for source in recording]
    for path in dict.fromkeys(source.path for source in places):
        state = path.stat()
        found.update(repr((str(path), state.st_size, state.st_mtime_ns)).encode())
    for source in places:
        found.update(repr(str(source)).encode())
    return found.hexdigest()
