"""Joint layouts: names, bones and left/right pairs of a joint set, read from a small TOML table."""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any


@dataclass(frozen=True)
class Layout:
    """A joint set. All joint numbers are 0-based positions in `joints`.

    Attributes:
        name: the layout's name, as in `meta.toml` and model files.
        joints: V joint names.
        bones: (child, parent) pairs; the joint that is nobody's child is the root.
        pairs: (left, right) pairs that a mirror image swaps.
        across: (left, right) pairs whose line runs across the body, for view alignment.
        centre: the joint that clips are centred on.
    """

    name: str
    joints: tuple[str, ...]
    bones: tuple[tuple[int, int], ...]
    pairs: tuple[tuple[int, int], ...]
    across: tuple[tuple[int, int], ...]
    centre: int

    def table(self) -> dict[str, Any]:
        """The layout as `from_table` takes it: joints by name."""

        def named(rows: tuple[tuple[int, int], ...]) -> list[list[str]]:
            return [[self.joints[first], self.joints[second]] for first, second in rows]

        return {
            "name": self.name,
            "joints": list(self.joints),
            "centre": self.joints[self.centre],
            "bones": named(self.bones),
            "pairs": named(self.pairs),
            "across": named(self.across),
        }


def from_table(table: Mapping[str, Any], source: str) -> Layout:
    """The layout that a table describes.

    Args:
        table: `name`, `joints`, `centre`, and by joint name `bones` (child, parent), `pairs` and `across`
            (left, right).
        source: what to call the table in an error.

    Raises:
        ValueError: a key is missing, a name is unknown or stands twice.
    """
    for key in ("name", "joints", "bones", "pairs", "across", "centre"):
        if key not in table:
            raise ValueError(f"{source}: expected the key '{key}', found {sorted(table)}")
    joints = tuple(table["joints"])
    if len(set(joints)) != len(joints):
        raise ValueError(f"{source}: expected each joint once in 'joints', found {joints}")

    def number(joint: str, key: str) -> int:
        if joint not in joints:
            raise ValueError(f"{source}: {key}: expected one of the {len(joints)} joints, found '{joint}'")
        return joints.index(joint)

    def numbers(key: str) -> tuple[tuple[int, int], ...]:
        rows: Any = table[key]
        return tuple((number(first, key), number(second, key)) for first, second in rows)

    return Layout(
        name=table["name"],
        joints=joints,
        bones=numbers("bones"),
        pairs=numbers("pairs"),
        across=numbers("across"),
        centre=number(table["centre"], "centre"),
    )


@cache
def load(name: str) -> Layout:
    """A shipped layout by name, for example `ntu25`.

    Raises:
        ValueError: no such layout is shipped.
    """
    folder = resources.files(__package__)
    known = sorted(
        entry.name.removesuffix(".toml") for entry in folder.iterdir() if entry.name.endswith(".toml")
    )
    if name not in known:
        raise ValueError(f"expected a joint layout out of {known}, found '{name}'")
    file = f"{name}.toml"
    return from_table(tomllib.loads((folder / file).read_text(encoding="utf-8")), file)
