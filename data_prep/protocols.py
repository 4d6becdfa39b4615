"""Protocols: which clips train and which test.

A protocol has a name in the prepared set, such as `xsub`, or is a rule on any column of its index:

    fold=2              clips of fold 2 test, all others train
    subject=1,3,6-10    these subjects test
    subject=even        even numbers test (`odd` likewise)
    split=test          a column of words; `clip` is the clip's line in the index, from 1 on
    subject/5=2         the column's values dealt into 5 groups in order; the second tests
    clip/5=2            the same with clips, dealt class by class: stratified 5-fold cross-validation

and with `*` a family of them: `fold=*`, `subject=*` (leave one subject out), `clip/5=*`, `half*`.
"""

import re
from collections.abc import Iterable, Mapping
from fnmatch import fnmatchcase
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

TRAIN, TEST, NEITHER = 1, 0, -1  # a clip's role
Roles = NDArray[np.int8]  # (N,)

_RULE = re.compile(r"(?P<column>\w+)(?:/(?P<groups>\d{1,6}))?=(?P<values>.+)")
_RANGE = re.compile(r"(\d{1,9})-(\d{1,9})")
_PARITY = {"even": 0, "odd": 1}


class Protocol(NamedTuple):
    """A division of clips into training and test.

    Attributes:
        column: the column of the index that decides, such as `subject`.
        train: its values that train.
        test: its values that test; empty for all others.
        labels: the classes that take part; empty for all.
    """

    column: str
    train: tuple[int, ...]
    test: tuple[int, ...] = ()
    labels: tuple[int, ...] = ()

    def role(self, value: int, label: int) -> int:
        """The role of a clip with this value in the column and this label."""
        if self.labels and label not in self.labels:
            return NEITHER
        if value in self.train:
            return TRAIN
        return TEST if not self.test or value in self.test else NEITHER

    def table(self) -> dict[str, Any]:
        """The protocol as `meta.toml` has it."""
        more = {"test": list(self.test), "labels": list(self.labels)}
        return {"column": self.column, "train": list(self.train)} | {
            key: values for key, values in more.items() if values
        }


def word(name: str) -> str:
    """A protocol's name as splits in other projects' files are called: letters, digits and _."""
    return "".join(character if character.isalnum() else "_" for character in name)


def from_table(table: Mapping[str, Any]) -> Protocol:
    """The protocol that a table describes, as `Protocol.table` makes it."""
    rows = (tuple(table.get(key, ())) for key in ("train", "test", "labels"))
    return Protocol(table["column"], *rows)


def roles(index: pd.DataFrame, named: Mapping[str, Mapping[str, Any]], name: str) -> Roles:
    """What each clip of an index is under a protocol: TRAIN, TEST or NEITHER.

    Args:
        index: one line a clip, as in `index.csv`.
        named: the set's own protocols, as in `meta.toml`.
        name: one of them, or a rule; see the module's head.

    Raises:
        ValueError: no such protocol, column or value.
    """
    if name in named:
        protocol = from_table(named[name])
        pairs = zip(_column(index, protocol.column, name).tolist(), index["label"].tolist(), strict=True)
        return np.fromiter((protocol.role(*pair) for pair in pairs), np.int8, len(index))
    rule = _RULE.fullmatch(name)
    if rule is None:
        raise ValueError(
            f"expected a protocol out of {list(named)}, found '{name}'; or a rule as subject=1,2 or clip/5=1"
        )
    values = _values(index, rule)
    tests = _chosen(values, rule["values"], name)
    return np.where(tests, TEST, TRAIN).astype(np.int8)


def expand(index: pd.DataFrame, named: Mapping[str, Mapping[str, Any]], name: str) -> list[str]:
    """The protocols that a name with `*` stands for, or the name alone.

    Raises:
        ValueError: no such column, or nothing fits.
    """
    rule = _RULE.fullmatch(name)
    if rule and rule["values"] == "*":
        head = name.removesuffix("*")
        return [f"{head}{value}" for value in np.unique(_values(index, rule)).tolist()]
    if "*" not in name:
        return [name]
    fitting = [known for known in named if fnmatchcase(known, name)]
    if not fitting:
        raise ValueError(f"expected a protocol out of {list(named)}, found none that is like '{name}'")
    return fitting


def _column(index: pd.DataFrame, column: str, name: str) -> NDArray[Any]:
    """(N,) the values of a column; `clip` numbers the lines."""
    if column == "clip":
        return np.arange(1, len(index) + 1)
    if column not in index.columns:
        raise ValueError(f"{name}: expected a column out of {[*index.columns, 'clip']}, found '{column}'")
    return index[column].to_numpy()


def _values(index: pd.DataFrame, rule: re.Match[str]) -> NDArray[Any]:
    """(N,) what a rule chooses by: the column's values, or the groups they are dealt into."""
    values = _column(index, rule["column"], rule[0])
    if rule["groups"] is None:
        return values
    groups = int(rule["groups"])
    distinct, number = np.unique(values, return_inverse=True)
    if rule["column"] == "clip":  # class by class, each going on where the one before ended
        number = np.argsort(np.argsort(index["label"].to_numpy(), kind="stable"), kind="stable")
    if not 2 <= groups <= len(distinct):
        raise ValueError(
            f"{rule[0]}: expected 2 to {len(distinct)} groups, as many values as there are, found {groups}"
        )
    return number % groups + 1


def _chosen(values: NDArray[Any], listed: str, name: str) -> NDArray[np.bool_]:
    """(N,) which values a rule lists.

    Raises:
        ValueError: something listed does not occur.
    """
    chosen = np.zeros(len(values), np.bool_)
    numeric = np.issubdtype(values.dtype, np.integer)
    for token in listed.split(","):
        bounds = _RANGE.fullmatch(token)
        if numeric and token in _PARITY:
            fits = values % 2 == _PARITY[token]
        elif numeric and bounds:
            fits = (values >= int(bounds[1])) & (values <= int(bounds[2]))
        else:
            fits = values.astype(str) == token
        if not fits.any():
            raise ValueError(
                f"{name}: expected values that occur, {_some(np.unique(values))}; found '{token}'"
            )
        chosen |= fits
    return chosen


def _some(values: Iterable[Any]) -> str:
    """The first few values, for an error."""
    words = [str(value) for value in values]
    return ", ".join(words[:8]) + (", ..." if len(words) > 8 else "")
