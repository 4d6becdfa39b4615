"""Joint layouts: names, bones and left/right pairs of a joint set, read from a small TOML table."""

import re
import tomllib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any, TypeGuard

from action_indrnn.data_prep import spelling

UNITS = {"m": 1.0, "cm": 0.01, "mm": 0.001}  # in metres
# Where x, y, z are taken from when an axis points up: turns, never mirror images. ~n is the negative axis n.
UPS = {
    "y": (0, 1, 2),
    "-y": (~0, ~1, 2),
    "z": (0, 2, ~1),
    "-z": (0, ~2, 1),
    "x": (~1, 0, 2),
    "-x": (1, ~0, 2),
}
FLAT = {  # joint sets of pose estimators that give no depth
    "coco17": "COCO's 17 key points",
    "openpose18": "OpenPose's 18 key points",
    "body25": "OpenPose's BODY_25",
    "halpe26": "Halpe's 26 key points",
}
NO_DEPTH = "2D key points have no depth, and none is made up here: lift them to 3D first"
_LARGEST = 1_000_000  # bytes of a layout file
_KEYS = {"name", "joints", "bones", "pairs", "across", "centre", "unit", "up", "mirrored", "to", "origin"}
SLACK = 1e-6  # of shares that were rounded when they were written
Weights = tuple[tuple[int, float], ...]  # (joint, share of it)


@dataclass(frozen=True)
class Layout:
    """A joint set. All joint numbers are 0-based positions in `joints`.

    Attributes:
        name: the layout's name, as in `meta.toml` and model files.
        joints: V joint names.
        bones: (child, parent) pairs; the joint that is nobody's child is the root.
        pairs: (left, right) pairs that a mirror image swaps; none where there is no left and right.
        across: (left, right) pairs whose line runs across the body, for view alignment; none where a body
            faces nowhere, as a hand does: its clips are not turned.
        centre: the joint that clips are centred on.
        unit, up: of clip files in this layout; prepared sets are in metres with y up.
        mirrored: whether clip files hold mirror images, as left-handed axes do.
        origin: joints whose middle is the origin in every frame of a clip file; none where that is not so.
        maps: for other layouts, by name: what each of their joints is made of here.
    """

    name: str
    joints: tuple[str, ...]
    bones: tuple[tuple[int, int], ...]
    pairs: tuple[tuple[int, int], ...]
    across: tuple[tuple[int, int], ...]
    centre: int
    unit: str = "m"
    up: str = "y"
    mirrored: bool = False
    origin: tuple[int, ...] = ()
    maps: Mapping[str, Mapping[str, Weights]] = field(default_factory=dict, hash=False)

    def parents(self) -> list[tuple[int, int]]:
        """(joint, parent) of every joint, parents before their children; the root's parent is -1."""
        parent = dict(self.bones)
        order = [(joint, -1) for joint in range(len(self.joints)) if joint not in parent]
        for joint, _ in order:
            order += [(child, joint) for child, above in self.bones if above == joint]
        return order

    @property
    def is_metres_y_up(self) -> bool:
        """Whether clip files in this layout hold what prepared sets hold."""
        return (self.unit, self.up, self.mirrored) == ("m", "y", False)

    def table(self) -> dict[str, Any]:
        """The layout as `from_table` takes it: joints by name."""

        def named(rows: tuple[tuple[int, int], ...]) -> list[list[str]]:
            return [[self.joints[first], self.joints[second]] for first, second in rows]

        maps = {
            target: {
                joint: {self.joints[source]: share for source, share in weights}
                for joint, weights in rows.items()
            }
            for target, rows in self.maps.items()
        }
        origin = [self.joints[joint] for joint in self.origin]
        return {
            "name": self.name,
            "unit": self.unit,
            "up": self.up,
            "mirrored": self.mirrored,
            "joints": list(self.joints),
            "centre": self.joints[self.centre],
            "bones": named(self.bones),
            "pairs": named(self.pairs),
            "across": named(self.across),
        } | {key: value for key, value in (("to", maps), ("origin", origin)) if value}


def from_table(table: Mapping[str, Any], source: str) -> Layout:
    """The layout that a table describes.

    Args:
        table: `name`, `joints`, `centre`, and by joint name `bones` (child, parent); where there is a left
            and right, `pairs` and `across` (left, right); where they differ from the house's, `unit`, `up`
            and `mirrored`; and `to`, a table for each layout that this one can become: a joint's sources, as
            a list, of which it is the mean, or as a table of shares.
        source: what to call the table in an error.

    Raises:
        ValueError: a key is missing or of another kind, a name is unknown or stands twice, the bones are no
            tree.
    """
    _check_keys(table, _KEYS, source)
    for key in ("name", "joints", "bones", "centre"):
        if key not in table:
            raise ValueError(f"{source}: expected the key '{key}', found {sorted(table)}")
    name, joints = table["name"], table["joints"]
    if not isinstance(name, str) or not name or not _are_words(joints) or not joints:
        raise ValueError(f"{source}: expected a text as 'name' and a list of texts as 'joints'")
    if len(set(joints)) != len(joints):
        raise ValueError(f"{source}: expected each joint once in 'joints', found {tuple(joints)}")

    def number(joint: object, key: str) -> int:
        if joint not in joints:
            raise ValueError(f"{source}: {key}: expected one of the {len(joints)} joints, found '{joint}'")
        return joints.index(joint)

    def numbers(key: str) -> tuple[tuple[int, int], ...]:
        rows = table.get(key, [])
        if not isinstance(rows, list | tuple) or not all(_are_words(row) and len(row) == 2 for row in rows):
            raise ValueError(f"{source}: {key}: expected a list of pairs of joints, found {str(rows)[:80]}")
        alone = [first for first, second in rows if first == second]
        if alone:
            raise ValueError(
                f"{source}: {key}: expected pairs of two joints, found '{alone[0]}' twice in one"
            )
        return tuple((number(first, key), number(second, key)) for first, second in rows)

    def weights(joint: str, given: object) -> Weights:
        if _are_words(given) and given:
            return tuple((number(one, f"to: {joint}"), 1 / len(given)) for one in given)
        table: Mapping[str, Any] = given if isinstance(given, Mapping) else {}
        shares = list(table.values())
        if not all(isinstance(share, int | float) for share in shares) or abs(sum(shares) - 1) > SLACK:
            expected = "a list of joints, or a table of shares that sum to 1"
            raise ValueError(f"{source}: to: {joint}: expected {expected}, found {given!r}")
        return tuple((number(one, f"to: {joint}"), float(share)) for one, share in table.items())

    targets = table.get("to", {})
    if not isinstance(targets, Mapping) or not all(isinstance(rows, Mapping) for rows in targets.values()):
        raise ValueError(f"{source}: to: expected a table of tables, found {str(targets)[:80]}")
    for key, choices in (("unit", UNITS), ("up", UPS), ("mirrored", (True, False))):
        if key in table and table[key] not in list(choices):
            raise ValueError(f"{source}: {key}: expected one of {list(choices)}, found {table[key]!r}")
    origin = table.get("origin", [])
    if not _are_words(origin):
        raise ValueError(f"{source}: origin: expected a list of joints, found {origin!r}")
    layout = Layout(
        name=name,
        joints=tuple(joints),
        bones=numbers("bones"),
        pairs=numbers("pairs"),
        across=numbers("across"),
        centre=number(table["centre"], "centre"),
        unit=table.get("unit", "m"),
        up=table.get("up", "y"),
        mirrored=table.get("mirrored", False),
        origin=tuple(number(joint, "origin") for joint in origin),
        maps={
            target: {joint: weights(joint, given) for joint, given in rows.items()}
            for target, rows in targets.items()
        },
    )
    children = [child for child, _ in layout.bones]
    if len(layout.parents()) != len(joints) or len(children) != len(joints) - 1:
        loose = [joint for place, joint in enumerate(joints) if place not in children]
        raise ValueError(
            f"{source}: expected bones (child, parent) that hang every joint but one on another; "
            f"nobody's child: {', '.join(loose) or 'none'}"
        )
    return layout


def _check_keys(table: Mapping[str, Any], known: Collection[str], source: str) -> None:
    """Raises ValueError at a key that is none, with the one that is most like it."""
    for key in sorted(set(table) - set(known)):
        raise ValueError(f"{source}: unknown key '{key}'{spelling.hint(key, known)}")


def _are_words(given: object) -> TypeGuard[Sequence[str]]:
    return isinstance(given, list | tuple) and all(isinstance(word, str) for word in given)


def key(joint: str) -> str:
    """A joint's name as names are compared: `mixamorig:LeftUpLeg` and `left_up leg` are the same."""
    words = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", " ", joint.rpartition(":")[2])
    return " ".join(re.split(r"[\s_\-.]+", words.strip().lower()))


def order(names: Sequence[str], layout: Layout, source: str, *, spare: bool = False) -> list[int]:
    """The places at which a layout's joints stand among named joints.

    Args:
        names: the joints there are.
        layout: those that are wanted, in its order.
        source: whose joints they are, as errors name it.
        spare: whether further joints are left out, not refused.

    Raises:
        ValueError: joints are missing, or too many; names them.
    """
    there = [key(name) for name in names]
    wanted = [key(joint) for joint in layout.joints]
    missing = [joint for joint, word in zip(layout.joints, wanted, strict=True) if word not in there]
    more = [name for name, word in zip(names, there, strict=True) if word not in wanted]
    twice = sorted({name for name, word in zip(names, there, strict=True) if there.count(word) > 1})
    if missing or (more and not spare) or twice:
        told = (("missing", missing), ("too many", more if not spare else []), ("twice", twice))
        raise ValueError(
            f"{source}: expected the {len(wanted)} joints of {layout.name}, found {len(names)}; "
            + "; ".join(f"{what}: {', '.join(joints)}" for what, joints in told if joints)
        )
    return [there.index(word) for word in wanted]


def miscounted(layout: Layout, count: int) -> str:
    """What was expected and found where joints without names are not as many as a layout's, in words."""
    others = [name for name in shipped() if len(load(name).joints) == count]
    flat = [
        f"{text} (2D)" for name, text in FLAT.items() if name[len(name.rstrip("0123456789")) :] == str(count)
    ]
    like = f"; so many have {', '.join(others + flat)}" if others or flat else ""
    return (
        f"expected the {len(layout.joints)} joints of {layout.name} ({', '.join(layout.joints)}), "
        f"found {count} without names{like}"
    )


def shipped() -> list[str]:
    """The names of the shipped layouts."""
    files = (entry.name for entry in resources.files(__package__).iterdir())
    return sorted(name.removesuffix(".toml") for name in files if name.endswith(".toml"))


@cache
def load(name: str) -> Layout:
    """A shipped layout by name, for example `ntu25`.

    Raises:
        ValueError: no such layout is shipped.
    """
    if name in FLAT:
        raise ValueError(f"{name}: expected joints in 3D, found {FLAT[name]}: {NO_DEPTH}")
    if name not in shipped():
        raise ValueError(f"expected a joint layout out of {shipped()}, found '{name}'")
    file = f"{name}.toml"
    return from_table(tomllib.loads((resources.files(__package__) / file).read_text(encoding="utf-8")), file)


def find(name: str) -> Layout:
    """A shipped layout by name, or the one in a TOML file.

    Raises:
        ValueError: there is none, or it is damaged.
        OSError: cannot be read.
    """
    return read(Path(name))[0] if name.endswith(".toml") else load(name)


def read(path: Path) -> tuple[Layout, str]:
    """The layout in a TOML file and the name of the one that its clips shall become, empty for itself.

    With `layout = "azure32"` the file starts from a shipped layout and gives only what differs.

    Raises:
        ValueError: damaged.
        OSError: cannot be read.
    """
    if path.stat().st_size > _LARGEST:
        raise ValueError(f"{path}: expected at most {_LARGEST} bytes, found {path.stat().st_size}")
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:  # of tomllib and of decoding
        raise ValueError(f"{path}: expected TOML: {error}") from error
    _check_keys(table, {*_KEYS, "layout", "map_to"}, str(path))
    base, target = table.pop("layout", ""), table.pop("map_to", "")
    if not isinstance(base, str) or not isinstance(target, str):
        raise ValueError(f"{path}: expected the name of a layout as 'layout' and as 'map_to'")
    layout = from_table((load(base).table() if base else {}) | table, str(path))
    if target and target not in layout.maps:
        if not layout.maps:
            raise ValueError(
                f"{path}: map_to: expected a table [to.{target}], what its joints are made of; found none"
            )
        raise ValueError(f"{path}: map_to: expected a layout out of {list(layout.maps)}, found '{target}'")
    for name, rows in layout.maps.items():
        order(list(rows), load(name), f"{path}: to.{name}")
    return layout, target
