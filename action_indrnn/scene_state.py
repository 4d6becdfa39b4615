"""A scene's state as safetensors: what a stream needs to go on elsewhere, to the bit."""

import json
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors

from action_indrnn.decision import Decision, Segment
from action_indrnn.people import Person
from action_indrnn.scene import Followed, Scene
from action_indrnn.windows import Windows

_KEY = "action_indrnn_stream"
_FORMAT = 1


def save(scene: Scene, classes: Sequence[str]) -> bytes:
    """The state of a scene, for `restore`."""
    tensors = {}
    units = []
    for number, (unit, one) in enumerate(scene.followed.items()):
        tensors[f"states.{number}"] = one.windows.states
        tensors[f"logits.{number}"] = torch.from_numpy(one.windows.logits)
        units.append({"bodies": unit, "windows": one.windows.table(), **_table(one.decision)})
    table = {
        "grid": _grid(scene),
        "classes": classes,
        "frame": scene.frame,
        "start": scene.start,
        "time": scene.time,
        "slot": scene.slot,
        "people": [
            [name, person.centre, person.time, person.motion, *_held(person)]
            for name, person in scene.people.known.items()
        ],
        "names": list(scene.people.names.items()),
        "units": units,
    }
    tensors["format"] = torch.tensor([_FORMAT])  # a file of no tensors is none
    return save_tensors(tensors, {_KEY: json.dumps(table)})


def restore(scene: Scene, classes: Sequence[str], state: bytes) -> None:
    """Make a scene go on from a state that `save` gave, of the same classes and grid.

    Raises:
        ValueError: no such state, or of other classes or another grid; nothing is changed.
    """
    try:
        size = int.from_bytes(state[:8], "little")
        table = json.loads(json.loads(state[8 : 8 + size])["__metadata__"][_KEY])
        tensors = load_tensors(state)
    except (SafetensorError, ValueError, KeyError) as error:
        raise ValueError(
            "expected the state of a stream, as `save` gives it, found something else"
        ) from error
    for what, ours, theirs in (
        ("grid", _grid(scene), table["grid"]),
        ("classes", list(classes), table["classes"]),
    ):
        if ours != theirs:
            raise ValueError(f"state of a stream: expected the {what} {ours}, found {theirs}")
    followed = {}
    for number, unit in enumerate(table["units"]):
        windows = Windows(scene.grid, 0, scene.width, scene.classes)
        windows.load(unit["windows"], tensors[f"states.{number}"], tensors[f"logits.{number}"])
        followed[tuple(unit["bodies"])] = Followed(windows, _decision(scene, unit))
    scene.followed = followed
    scene.frame, scene.start, scene.time, scene.slot = (
        table[key] for key in ("frame", "start", "time", "slot")
    )
    scene.people.names = dict(table["names"])
    scene.people.known = {
        name: Person(-1, centre, time, motion, *(np.array(joints, np.float32) for joints in pose))
        for name, centre, time, motion, *pose in table["people"]
    }


def _grid(scene: Scene) -> dict[str, Any]:
    """The grid as JSON's types; without `exchange` it is what it was before there was one."""
    return {name: value for name, value in asdict(scene.grid).items() if value or name != "exchange"}


def _held(person: Person) -> list[Any]:
    """The pose as JSON's types, if there is one: without, a state is what it was before poses were held."""
    return [] if person.pose is None else [person.pose.tolist()]


def _table(decision: Decision) -> dict[str, Any]:
    return {
        "current": None if decision.current is None else asdict(decision.current),
        "smoothed": None if decision.smoothed is None else decision.smoothed.tolist(),
        "time": decision.time,
        "candidate": decision.candidate,
        "since": decision.since,
    }


def _decision(scene: Scene, table: dict[str, Any]) -> Decision:
    current, smoothed = table["current"], table["smoothed"]
    return Decision(
        scene.settings.rule,
        None if current is None else Segment(**current),
        None if smoothed is None else np.array(smoothed),
        *(table[key] for key in ("time", "candidate", "since")),
    )
