"""Reads tables of numbers as the small data sets write them."""

import numpy as np
from numpy.typing import NDArray

from action_indrnn.data_prep.clip import ClipError
from action_indrnn.data_prep.sources import Source

_MOST_NUMBERS = 3_000_000  # of a recording, each of thirty bytes; the longest have a hundred thousand


def read(source: Source, fields: int, separator: str | None = None) -> NDArray[np.float64]:
    """(rows, fields) the numbers of a text of one row a line.

    Args:
        source: where it lies.
        fields: how many numbers a line has.
        separator: between two numbers; None for any white space.

    Raises:
        ClipError: a line of other content, or none at all; names file and line.
        OSError: cannot be read.
    """
    values: list[list[float]] = []
    content = source.read()
    lines = content.count(b"\n")
    if lines * fields > _MOST_NUMBERS:  # before they take their memory
        most = _MOST_NUMBERS // fields
        raise ClipError(f"{source}: expected at most {most} lines of {fields} numbers, found {lines}")
    for number, line in enumerate(content.decode("latin-1").rstrip().split("\n"), 1):
        tokens = line.rstrip().split(separator)
        if len(tokens) != fields:
            raise ClipError(f"{source}:{number}: expected {fields} numbers, found {len(tokens)}")
        try:
            values.append([float(token) for token in tokens])
        except ValueError:
            raise ClipError(f"{source}:{number}: expected {fields} numbers, found '{line[:60]}'") from None
    table = np.array(values)
    wrong = np.flatnonzero(~np.isfinite(table).all(axis=1))
    if wrong.size:
        raise ClipError(f"{source}:{wrong[0] + 1}: expected finite numbers, found others")
    return table
