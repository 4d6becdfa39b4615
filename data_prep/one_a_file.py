"""Data sets with one file a clip whose name says what is in it."""

import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from action_indrnn.data_prep import sources
from action_indrnn.data_prep.clip import ClipError
from action_indrnn.data_prep.data_set import Left, Sample

Read = Callable[..., Sample]  # of a source, its clip's name, and the numbers in its file's name


def samples(
    raw: Sequence[Path], *, wanted: re.Pattern[str], what: str, read: Read
) -> Iterator[Sample | Left]:
    """The clips below the paths, and what is left out.

    Args:
        raw: files, folders and zip archives.
        wanted: fits the whole path of a clip's file. Its first group is the clip's name, in which `_` will
            stand for `/`; the others are numbers.
        what: what such files are called in an error.
        read: makes a clip of a file; what it raises as ClipError or OSError leaves the file out.

    Raises:
        ValueError: see `sources.find`.
    """
    for source in sources.find(raw, wanted, what):
        found = wanted.fullmatch(source.member or source.path.as_posix())
        if found is None:  # a folder or an archive beside them that cannot be opened
            yield Left(source.name, str(source), f"{source}: {source.problem}")
            continue
        name = found[1].replace("/", "_")
        try:
            yield read(source, name, *map(int, found.groups()[1:]))
        except (ClipError, OSError) as error:
            yield Left(name, str(source), str(error))
