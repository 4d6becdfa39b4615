"""The pickles of pyskl and mmaction2: clips with names, labels and splits, ragged, in one file.

    {"split": {"xsub_train": [names], "xsub_val": [names], ...},
     "annotations": [{"frame_dir": name, "label": int, "total_frames": T, "keypoint": (M, T, V, C)}, ...]}

Integers that all annotations have beside these become columns of the index; without any, NTU names are taken
apart. Our own files also say the joint layout, the classes, the view and the recipe of their clips, the data
set with its protocols, and in `present` (M, T) where an actor stands; elsewhere zeros say that nobody does.
2D key points are refused: they have no depth.
"""

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from action_indrnn.data_prep import layout, ntu, points, protocols, safe_pickle
from action_indrnn.data_prep.archive import INDEX
from action_indrnn.data_prep.bodies import MOST_ACTORS, Dropped
from action_indrnn.data_prep.clip import Clip, ClipError, Floats, from_joints, printable
from action_indrnn.data_prep.data_set import NTU_COLUMNS, DataSet, Left, Sample
from action_indrnn.data_prep.layout import Layout
from action_indrnn.data_prep.normalize import VIEWS, View
from action_indrnn.data_prep.protocols import NEITHER, TEST, TRAIN, Protocol

SPLIT = re.compile(r"(?:(?P<name>\w+)_)?(?P<part>train|val|test)")
ANNOTATION = ("frame_dir", "label", "total_frames", "keypoint")
MOST_CLASSES = 10_000
LONGEST_RECIPE, LONGEST_WORD = 60, 200  # letters
_LAYOUT = "ntu25"


def data_set(raw: Sequence[Path]) -> DataSet:
    """The data set in a pickle.

    Raises:
        ValueError: not one file of this form; says what is wrong with it.
    """
    if len(raw) != 1:
        raise ValueError(f"expected one pickle, found {len(raw)} paths")
    path = raw[0]
    content = safe_pickle.read(path)
    if not isinstance(content, dict) or not isinstance(content.get("annotations"), list):
        raise ClipError(f"{path}: expected a dictionary with 'split' and 'annotations'")
    annotations = content["annotations"]
    for number, annotation in enumerate(annotations):
        lacking = [key for key in ANNOTATION if not isinstance(annotation, dict) or key not in annotation]
        if lacking:
            raise ClipError(f"{path}: annotation {number}: expected {', '.join(ANNOTATION)}; no {lacking[0]}")
    roles = _roles(content.get("split"), path)
    names = [printable(str(annotation["frame_dir"])) for annotation in annotations]
    classes = _classes(content.get("classes"), annotations, names, path)
    keys = [str(annotation["frame_dir"]) for annotation in annotations]
    notes = _of_no_clip(roles, keys, path)
    columns = _columns(annotations, content.get("columns"), path)
    own = _own_protocols(content.get("set"), annotations, columns, roles)
    named = {split: split for split in roles} | {protocols.word(name): name for name in own}
    counts = {}
    for split, parts in roles.items():
        found = Counter(parts.get(key, NEITHER) for key in keys)
        counts[named[split]] = found[TRAIN], found[TEST]
    roles = {split: parts for split, parts in roles.items() if split not in map(protocols.word, own)}
    columns = tuple(column for column in columns if column not in roles)
    apart = not columns and bool(names) and all(ntu.is_name(name) for name in names)
    if apart:
        columns = tuple(column for column in NTU_COLUMNS if column not in roles)
    recipe, view = _made_by(content.get("preprocessing", {}), path)
    told = content.get("layout", _LAYOUT)
    joint_layout = _layout(told, path)

    def samples(_raw: Sequence[Path]) -> Iterator[Sample | Left]:
        for number, (annotation, clip_name) in enumerate(zip(annotations, names, strict=True)):
            source = f"{path}: annotation {number} ({clip_name})"
            try:
                yield _sample(annotation, source, len(joint_layout.joints), columns, roles, apart)
            except ClipError as error:
                yield Left(clip_name, str(path), str(error))

    def listed() -> Iterator[dict[str, int | str]]:
        for annotation in annotations:
            shape = safe_pickle.shape(annotation["keypoint"])
            frames = {"bodies": shape[0], "length": shape[1]} if shape and len(shape) == 4 else {}
            yield {**_columns_of(annotation, columns, roles, apart), **frames}

    name, title, clip_count = _set(content.get("set"), path)
    return DataSet(
        name=name,
        title=title,
        layout=joint_layout.name,
        own_layout=joint_layout,
        classes=classes,
        protocols={**own, **{split: Protocol(split, (TRAIN,), (TEST,)) for split in roles}},
        clip_count=clip_count,
        counts=counts,
        notes=notes,
        columns=(*columns, *roles),
        samples=samples,
        recipe=recipe,
        view=view,
        listed=listed,
    )


def _layout(told: object, path: Path) -> Layout:
    """The layout of a shipped name, or in a table of the file's own."""
    try:
        return (
            layout.from_table(told, f"{path}: layout") if isinstance(told, dict) else layout.load(str(told))
        )
    except ValueError as error:
        raise ClipError(f"{path}: layout: {str(error).removeprefix(f'{path}: layout: ')}") from error


def _made_by(told: object, path: Path) -> tuple[str, View | None]:
    """The recipe and the view of the clips, as far as the file says them."""
    if not isinstance(told, dict):
        raise ClipError(f"{path}: expected a dictionary as 'preprocessing', found {str(told)[:40]!r}")
    recipe, view = told.get("recipe", "imported pyskl"), told.get("view")
    if not isinstance(recipe, str) or not 0 < len(recipe) <= LONGEST_RECIPE or view not in (None, *VIEWS):
        found = f"{str(recipe)[:40]!r} and {str(view)[:40]!r}"
        raise ClipError(f"{path}: preprocessing: expected a text as recipe and a view, found {found}")
    return printable(recipe), view


def _columns(annotations: list[dict[str, Any]], told: object, path: Path) -> tuple[str, ...]:
    """What every annotation has and a column can hold: what the file tells, else all further integers."""
    if not isinstance(told, list | None):
        raise ClipError(f"{path}: columns: expected a list of names, found {str(told)[:40]!r}")
    kinds = int if told is None else (int, str)
    found = tuple(
        key
        for key in (annotations[0] if annotations else ())
        if isinstance(key, str)
        and key.isidentifier()
        and key not in (*ANNOTATION, *INDEX)
        and (told is None or key in told)
        and all(isinstance(annotation.get(key), kinds) for annotation in annotations)
    )
    if told is not None and len(found) != len(told):
        lacking = next(key for key in told if key not in found)
        raise ClipError(f"{path}: columns: expected numbers or texts, found none as {str(lacking)[:40]!r}")
    return found


def _roles(split: object, path: Path) -> dict[str, dict[str, int]]:
    """The role of each clip by name, in every pair of lists for training and test."""
    if split is None:
        return {}
    if not isinstance(split, dict):
        raise ClipError(f"{path}: expected a dictionary 'split' of lists of names")
    roles: dict[str, dict[str, int]] = {}
    for key, names in split.items():
        found = SPLIT.fullmatch(key) if isinstance(key, str) else None
        if found is None or not isinstance(names, list) or found["name"] in (*INDEX, "clip"):
            raise ClipError(
                f"{path}: split: expected lists as xsub_train and xsub_val, found {str(key)[:60]!r}"
            )
        own = roles.setdefault(found["name"] or "given", {})
        own |= dict.fromkeys(map(str, names), TRAIN if found["part"] == "train" else TEST)
    return roles


def _of_no_clip(roles: Mapping[str, Mapping[str, int]], names: Sequence[str], path: Path) -> tuple[str, ...]:
    """What to tell of splits that divide none of the clips."""
    there = set(names)
    return tuple(
        f"warning: {path}: split: of {split} no clip here {does}"
        for split, own in roles.items()
        for role, does in ((TRAIN, "trains"), (TEST, "tests"))
        if not any(own.get(name) == role for name in there)
    )


def _set(told: object, path: Path) -> tuple[str, str, int]:
    """Name and title of the data set, and how many clips the whole of it has, 0 where that is not known."""
    if not isinstance(told, dict):
        return "pyskl", path.name, 0
    words = told.get("dataset"), told.get("title")
    count = told.get("clips_of_whole_set")
    if not all(isinstance(word, str) and 0 < len(word) <= LONGEST_WORD for word in words):
        raise ClipError(f"{path}: set: expected texts as dataset and title, found {str(words)[:60]}")
    if not isinstance(count, int) or not 0 <= count < 2**31:
        raise ClipError(f"{path}: set: expected a number of clips_of_whole_set, found {str(count)[:40]!r}")
    name, title = map(printable, map(str, words))
    return name, title, int(count)


def _own_protocols(
    told: object,
    annotations: Sequence[Mapping[str, Any]],
    columns: Sequence[str],
    roles: Mapping[str, Mapping[str, int]],
) -> dict[str, Protocol]:
    """The protocols on columns that the file tells of, as far as they divide the clips as its splits do."""
    tables = told.get("protocols") if isinstance(told, dict) else None
    found: dict[str, Protocol] = {}
    for name, table in tables.items() if isinstance(tables, dict) else ():
        split = roles.get(protocols.word(name)) if isinstance(name, str) else None
        if split is None or not isinstance(table, dict) or table.get("column") not in columns:
            continue
        values = [table.get(key, []) for key in ("train", "test", "labels")]
        if not all(isinstance(row, list) and all(isinstance(one, int) for one in row) for row in values):
            continue
        protocol = protocols.from_table(table)
        if all(
            isinstance(annotation[protocol.column], int)
            and protocol.role(annotation[protocol.column], annotation["label"])
            == split.get(str(annotation["frame_dir"]), NEITHER)
            for annotation in annotations
        ):
            found[name] = protocol
    return found


def _classes(given: object, annotations: list[Any], names: list[str], path: Path) -> tuple[str, ...]:
    labels = [annotation["label"] for annotation in annotations]
    wrong = [label for label in labels if not isinstance(label, int) or not 0 <= label < MOST_CLASSES]
    if wrong or not labels:
        found = repr(wrong[0])[:40] if wrong else "none"
        raise ClipError(f"{path}: expected labels from 0 to {MOST_CLASSES - 1}, found {found}")
    if isinstance(given, list) and len(given) > max(labels):
        return tuple(printable(str(name)) for name in given)
    return class_names(max(labels) + 1, all(map(ntu.is_own, names, labels)))


def class_names(count: int, of_ntu: bool) -> tuple[str, ...]:
    """Names for classes that have none: those of NTU RGB+D 60 or 120 for clips of theirs, else numbers."""
    if of_ntu and count in (60, 120):
        return ntu.actions()[:count]
    return tuple(f"class {number}" for number in range(1, count + 1))


def _sample(
    annotation: Mapping[str, Any],
    source: str,
    joints: int,
    columns: Sequence[str],
    roles: Mapping[str, Mapping[str, int]],
    apart: bool,
) -> Sample:
    found = safe_pickle.array(annotation["keypoint"])
    if found is None or found.ndim != 4 or not np.issubdtype(found.dtype, np.floating):
        raise ClipError(f"{source}: expected key points (M, T, V, C) of floats, found none")
    if found.shape[3] == 2:
        raise ClipError(
            f"{source}: expected 3D joints, found 2D key points, which have no depth: lift them first"
        )
    if found.shape[2:] != (joints, 3) or annotation["total_frames"] != found.shape[1]:
        told = f"{found.shape} and {str(annotation['total_frames'])[:20]} frames"
        raise ClipError(f"{source}: expected (M, T, {joints}, 3) and T frames, found {told}")
    name = printable(str(annotation["frame_dir"]))
    clip, dropped = _clip(name, found.astype(np.float32), annotation.get("present"), source)
    return Sample(clip, _columns_of(annotation, columns, roles, apart), tuple(dropped))


def _columns_of(
    annotation: Mapping[str, Any],
    columns: Sequence[str],
    roles: Mapping[str, Mapping[str, int]],
    apart: bool,
) -> dict[str, int | str]:
    """What the index says of a clip; `apart`: its columns stand in its name."""
    name = str(annotation["frame_dir"])
    numbers = ntu.parse_name(name)._asdict() if apart else annotation
    return {
        "label": int(annotation["label"]),
        **{column: _value(numbers[column]) for column in columns},
        **{split: own.get(name, NEITHER) for split, own in roles.items()},
    }


def _value(value: int | str) -> int | str:
    """What a column holds of a value: a number, or one short line."""
    return int(value) if isinstance(value, int) else printable(value)[:LONGEST_WORD]


def _clip(name: str, joints: Floats, told: object, source: str) -> tuple[Clip, list[Dropped]]:
    """The clip of key points (M, T, V, 3), and the bodies left out.

    Args:
        name: the clip's.
        joints: in the file's order.
        told: where the file has it, (M, T) whether a body is present; else zeros say that it is not.
        source: as errors name it.
    """
    present = safe_pickle.array(told)
    if present is None:
        clip = from_joints(name, joints, source)
        if len(clip.joints) <= MOST_ACTORS:
            return clip, []
        chosen, dropped = points.actors(joints, (joints != 0).any(axis=(2, 3)))
        return from_joints(name, joints[chosen], source), dropped
    good = present.dtype == np.bool_ and present.shape == joints.shape[:2] and len(present) <= MOST_ACTORS
    if not good or not present[0].any():
        found = f"{present.dtype} of {present.shape}"
        raise ClipError(f"{source}: expected 'present' (M, T), the first actor somewhere, found {found}")
    return from_joints(name, joints, source, present), []
