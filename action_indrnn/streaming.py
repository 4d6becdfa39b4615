"""Streams: frames in, one by one, an answer out after every one.

Shapes: `V` joints, `K` classes, `F` features, `B` rows of a step.
"""

import json
import math
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from itertools import combinations
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors

from action_indrnn.checkpoint import Card
from action_indrnn.data_prep.bodies import HANDOVER_DISTANCE, HANDOVER_SPEED, HANDOVER_WALK
from action_indrnn.data_prep.clip import COORDINATE_LIMIT, Floats
from action_indrnn.decision import Decision, Rule, Segment
from action_indrnn.step import Step
from action_indrnn.windows import Grid, Windows

BodyId = int | str
Bodies = Mapping[BodyId, Floats]
Unit = tuple[BodyId, ...]  # one person, or two

DURATION = 2.5  # seconds of a clip where the model does not say: about NTU RGB+D's mean of 75 frames
RATE = 30.0  # frames a second, a Kinect's
_KEY = "action_indrnn_stream"
_FORMAT = "1"


@dataclass(frozen=True)
class Settings:
    """How a stream is read.

    Attributes:
        rate: frames a second; frames without a time stamp come at it, and it sets the phases' number.
        duration: seconds of a window, as long as the clips that the network has learnt from.
        windows: how many stand staggered side by side: with W of them an answer has seen from (W - 1) / W to
            all of a window.
        people: most persons followed at once; further ones are left out while these are there.
        pair_distance: metres between two persons up to which they are also taken as a pair.
        gap: seconds without a frame after which all starts anew, and without a person after which that one
            is forgotten.
        rule: when an action is said to begin and to end.
    """

    rate: float = RATE
    duration: float = DURATION
    windows: int = 2
    people: int = 4
    pair_distance: float = 2.0
    gap: float = 2.0
    rule: Rule = field(default_factory=Rule)

    def __post_init__(self) -> None:
        """Check the ranges."""
        for name in ("rate", "duration", "pair_distance", "gap"):
            value = getattr(self, name)
            if not 0 < value < math.inf:
                raise ValueError(f"{name}: expected a number above 0, found {value:g}")
        for name in ("windows", "people"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name}: expected 1 or more, found {getattr(self, name)}")

    def grid(self, steps: int) -> Grid:
        """The grid for S steps a window: its slot is a frame, and a whole number of slots is a step."""
        phases = max(1, round(self.duration * self.rate / steps))
        return Grid(1 / self.rate, phases, steps, self.windows)


@dataclass(frozen=True)
class Answer:
    """What the stream says of one person or pair after a frame.

    Attributes:
        bodies: their ids.
        probabilities: (K,) float64, summing to 1.
        seen: the share of a window that they rest on.
        action: the class of the segment that goes on; -1 for no action.
    """

    bodies: Unit
    probabilities: NDArray[np.float64]
    seen: float
    action: int


@dataclass(frozen=True)
class Event:
    """A segment that began (`end` is none) or ended with a frame."""

    bodies: Unit
    segment: Segment


@dataclass(frozen=True)
class FrameAnswers:
    """What the stream says after a frame.

    Attributes:
        frame: its number, from 0.
        time: seconds.
        late: whether it came behind a newer one and was left out.
        answers: one for each person and pair.
        events: segments that began or ended.
    """

    frame: int
    time: float
    late: bool
    answers: Sequence[Answer]
    events: Sequence[Event]


@dataclass
class _Person:
    joints: Floats | None  # (V, 3) in this frame, none if not seen in it
    centre: Floats  # (3,) where last seen
    time: float  # when
    motion: float = 0.0  # squared metres between frames, summed, fading over a window


@dataclass
class _Followed:
    windows: Windows
    decision: Decision


class Stream:
    """One scene, frame by frame; made by `Recognizer.stream`.

    Frames have a time stamp or come at the settings' rate. Faster streams are thinned, slower ones step
    several phases with one frame, missing frames are left out, late ones are answered and not used. Each
    person, and each pair that stands close where the network takes two actors, has its own state.
    """

    def __init__(self, step: Step, card: Card, settings: Settings) -> None:
        self.step = step
        self.card = card
        self.settings = settings
        self.layout = card.layout()
        self.actors = card.features // (3 * len(self.layout.joints))
        self.grid = settings.grid(card.config.data.frames)
        self.reset()

    def reset(self) -> None:
        """Forget everything."""
        self.frame = 0
        self.start: float | None = None
        self.time = 0.0
        self.slot = -1
        self.people: dict[BodyId, _Person] = {}
        self.names: dict[BodyId, BodyId] = {}  # an id that was handed over, to that of the person
        self.followed: dict[Unit, _Followed] = {}

    def feed(self, bodies: Bodies, time: float | None = None) -> FrameAnswers:
        """What the stream says after one more frame.

        Args:
            bodies: joints (V, 3) in metres, y up, by the tracker's body id; joints of nothing but zeros, and
                none at all, mean that nobody was seen.
            time: seconds, of any origin; one frame after the last if not given.

        Raises:
            ValueError: joints of another number, not finite or not metres, or no time; nothing is changed.
        """
        return feed_all([(self, bodies, time)])[0]

    def check(self, bodies: Bodies, time: float | None) -> dict[BodyId, Floats]:
        """The joints as arrays, without bodies of zeros.

        Raises:
            ValueError: see `feed`.
        """
        if time is not None and not math.isfinite(time):
            raise ValueError(f"time: expected seconds, found {time}")
        shape = (len(self.layout.joints), 3)
        found = {}
        for body, joints in bodies.items():
            array = np.asarray(joints, np.float32)
            if array.shape != shape:
                raise ValueError(
                    f"body {body}: joints: expected {shape[0]} joints of 3 coordinates, "
                    f"found shape {array.shape}"
                )
            if not (np.abs(array) <= COORDINATE_LIMIT).all():
                raise ValueError(f"body {body}: joints: expected metres within +-{COORDINATE_LIMIT:g}")
            if array.any():
                found[body] = array
        return found

    def _enter(self, found: dict[BodyId, Floats], time: float | None) -> tuple[bool, list[Event]]:
        """Take the frame's time and persons; whether it is late, and the segments that thereby end."""
        self.frame += 1
        if self.start is None:
            self.start = 0.0 if time is None else time
            self.time = self.start
        elif time is None:
            time = self.time + self.grid.slot
        if time is not None:
            if time < self.time:
                return True, []
            if time - self.time > self.settings.gap:
                events = self._drop(list(self.people))
                self.names.clear()
                self.time = time
                self._meet(found)
                return False, events
            self.time = time
        lost = [name for name, person in self.people.items() if self.time - person.time > self.settings.gap]
        events = self._drop(lost)
        self._meet(found)
        return False, events

    def _drop(self, lost: list[BodyId]) -> list[Event]:
        events = []
        for name in lost:
            del self.people[name]
            for unit in [unit for unit in self.followed if name in unit]:
                decision = self.followed.pop(unit).decision
                if decision.current is not None:
                    events.append(Event(unit, decision.finish(self.time)))
        self.names = {body: name for body, name in self.names.items() if name in self.people}
        return events

    def _meet(self, found: dict[BodyId, Floats]) -> None:
        """Give every body in the frame to its person."""
        for person in self.people.values():
            person.joints = None
        fading = math.exp(-1 / self.grid.length)
        for body, joints in found.items():
            centre = joints[self.layout.centre]
            name = self.names.get(body, body)
            if name not in self.people or self.people[name].joints is not None:
                near = self._handed_over(centre, found)
                if near is None and (len(self.people) >= self.settings.people or body in self.people):
                    continue
                name = body if near is None else near
                # one alias a person: a tracker that gives new ids for ever must not fill the memory
                self.names = {other: owner for other, owner in self.names.items() if owner != name}
                self.names[body] = name
            person = self.people.setdefault(name, _Person(None, centre, self.time))
            moved = float(np.square(centre - person.centre).sum())
            person.motion = fading * person.motion + moved
            person.joints, person.centre, person.time = joints, centre, self.time

    def _handed_over(self, centre: Floats, found: dict[BodyId, Floats]) -> BodyId | None:
        """The person who was lost nearest to where a new body appears, if it can be one person."""
        best: tuple[float, BodyId] | None = None
        present = {self.names.get(body, body) for body in found}
        for name, person in self.people.items():
            if name in present:
                continue
            frames = (self.time - person.time) * 30  # the rule's unit: frames of a Kinect
            reach = HANDOVER_DISTANCE + HANDOVER_SPEED * min(frames, HANDOVER_WALK)
            distance = float(np.linalg.norm(centre - person.centre))
            if distance <= reach and (best is None or distance < best[0]):
                best = (distance, name)
        return None if best is None else best[1]

    def _units(self) -> list[Unit]:
        """The persons, and the pairs that stand close, followed from now on."""
        units: list[Unit] = [(name,) for name in self.people]
        if self.actors > 1:
            for one, other in combinations(self.people, 2):
                near = np.linalg.norm(self.people[one].centre - self.people[other].centre)
                if near <= self.settings.pair_distance or (one, other) in self.followed:
                    units.append((one, other))
        for unit in units:
            if unit not in self.followed:
                windows = Windows(self.grid, self.slot, self.step.width, len(self.card.classes))
                self.followed[unit] = _Followed(windows, Decision(self.settings.rule))
        return units

    def save(self) -> bytes:
        """The state as safetensors, for `restore`."""
        tensors = {}
        units = []
        for number, (unit, one) in enumerate(self.followed.items()):
            tensors[f"states.{number}"], tensors[f"logits.{number}"] = one.windows.states, one.windows.logits
            decision = one.decision
            units.append(
                {
                    "bodies": unit,
                    "windows": one.windows.table(),
                    "current": None if decision.current is None else asdict(decision.current),
                    "smoothed": None if decision.smoothed is None else decision.smoothed.tolist(),
                    "time": decision.time,
                    "candidate": decision.candidate,
                    "since": decision.since,
                }
            )
        table = {
            "grid": asdict(self.grid),
            "classes": self.card.classes,
            "frame": self.frame,
            "start": self.start,
            "time": self.time,
            "slot": self.slot,
            "people": [
                [name, [float(value) for value in person.centre], person.time, person.motion]
                for name, person in self.people.items()
            ],
            "names": list(self.names.items()),
            "units": units,
        }
        tensors["format"] = torch.tensor([int(_FORMAT)])  # a file of no tensors is none
        return save_tensors(tensors, {_KEY: json.dumps(table)})

    def restore(self, state: bytes) -> None:
        """Go on from a state that `save` gave, of the same model and grid.

        Raises:
            ValueError: no such state, or of another model or grid; nothing is changed.
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
            ("grid", asdict(self.grid), table["grid"]),
            ("classes", list(self.card.classes), table["classes"]),
        ):
            if ours != theirs:
                raise ValueError(f"state of a stream: expected the {what} {ours}, found {theirs}")
        followed = {}
        for number, unit in enumerate(table["units"]):
            windows = Windows(self.grid, 0, self.step.width, len(self.card.classes))
            windows.load(unit["windows"], tensors[f"states.{number}"], tensors[f"logits.{number}"])
            current, smoothed = unit["current"], unit["smoothed"]
            decision = Decision(
                self.settings.rule,
                None if current is None else Segment(**current),
                None if smoothed is None else np.array(smoothed),
                *(unit[key] for key in ("time", "candidate", "since")),
            )
            followed[tuple(unit["bodies"])] = _Followed(windows, decision)
        self.followed = followed
        self.frame, self.start, self.time, self.slot = (
            table[key] for key in ("frame", "start", "time", "slot")
        )
        self.names = dict(table["names"])
        self.people = {
            name: _Person(None, np.array(centre, np.float32), time, motion)
            for name, centre, time, motion in table["people"]
        }


@dataclass
class _Pending:
    """A frame between its entrance and its answer."""

    late: bool
    events: list[Event]
    units: list[Unit]


def feed_all(frames: Sequence[tuple[Stream, Bodies, float | None]]) -> list[FrameAnswers]:
    """The answers of several streams of one model, one frame each, from one step of the network.

    Raises:
        ValueError: a frame that does not fit; no stream is changed. A stream stands there twice.
    """
    if len({id(stream) for stream, _, _ in frames}) < len(frames):
        raise ValueError("expected one frame a stream, found two of one")
    checked = [stream.check(bodies, time) for stream, bodies, time in frames]
    pending, rows, features = [], [], []
    for (stream, _, time), found in zip(frames, checked, strict=True):
        late, events = stream._enter(found, time)
        now = _Pending(late, events, [])
        pending.append(now)
        before = stream.slot
        slot = before if late else int((stream.time - (stream.start or 0)) / stream.grid.slot + 0.5)
        stream.slot = slot
        now.units = list(stream.followed) if late else stream._units()
        if slot == before:
            continue
        for unit in now.units:
            windows = stream.followed[unit].windows
            people = [stream.people[name] for name in unit]
            swap = len(people) > 1 and people[1].motion > people[0].motion
            joints: list[Floats | None] = [person.joints for person in people]
            made: dict[int, Floats] = {}
            for window, row in windows.due(before, slot, swap):
                if window not in made:
                    x = np.zeros(stream.card.features, np.float32)
                    align = stream.card.config.data.align
                    own = windows.features(window, joints, stream.layout, stream.card.view, align).ravel()
                    x[: own.size] = own
                    made[window] = x
                rows.append((windows, row))
                features.append(made[window])
    if rows:
        step = frames[0][0].step
        state = torch.stack([windows.states[row] for windows, row in rows])
        logits = step.advance(torch.from_numpy(np.stack(features)), state)
        for number, (windows, row) in enumerate(rows):
            windows.states[row] = state[number]
            windows.logits[row] = logits[number]
    return [_answers(stream, now) for (stream, _, _), now in zip(frames, pending, strict=True)]


def _answers(stream: Stream, now: _Pending) -> FrameAnswers:
    answers, events = [], now.events
    for unit in now.units:
        one = stream.followed[unit]
        logits, seen = one.windows.answer()
        powers = np.exp(logits - logits.max())
        probabilities = powers / powers.sum()
        if not now.late:
            found = one.decision.update(probabilities, seen, stream.time)
            events += [Event(unit, segment) for segment in found]
            if stream.settings.rule.restart and found and one.decision.current is None:
                one.windows.restart(stream.slot + 1)
                one.decision.forget()
        action = -1 if one.decision.current is None else one.decision.current.label
        answers.append(Answer(unit, probabilities, seen, action))
    return FrameAnswers(stream.frame - 1, stream.time, now.late, answers, events)


class Streams:
    """Many streams of one model, opened by name as their frames come, stepped together."""

    def __init__(self, step: Step, card: Card, settings: Settings) -> None:
        self.step, self.card, self.settings = step, card, settings
        self.open: dict[Hashable, Stream] = {}

    def feed(self, frames: Mapping[Hashable, tuple[Bodies, float | None]]) -> dict[Hashable, FrameAnswers]:
        """The answers to one frame of each of some streams.

        Raises:
            ValueError: see `Stream.feed`; no stream is changed.
        """
        for name in frames:
            if name not in self.open:
                self.open[name] = Stream(self.step, self.card, self.settings)
        together = [(self.open[name], bodies, time) for name, (bodies, time) in frames.items()]
        return dict(zip(frames, feed_all(together), strict=True))

    def close(self, name: Hashable) -> None:
        """Forget a stream."""
        del self.open[name]


def settings_for(card: Card, **given: Any) -> Settings:
    """The settings with what is given, and the duration of the model's own clips where it is not."""
    if card.clip_frames is not None:
        given = {"duration": card.clip_frames / RATE, **given}
    return replace(Settings(), **given)
