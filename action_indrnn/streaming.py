"""Streams: frames in, one by one, an answer out after every one.

Shapes: `V` joints, `K` classes, `F` features, `B` rows of a step.
"""

import math
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from action_indrnn import scene_state
from action_indrnn.checkpoint import Card
from action_indrnn.data_prep.clip import COORDINATE_LIMIT, Floats
from action_indrnn.people import Bodies, BodyId, Unit
from action_indrnn.scene import RATE, Event, Scene, Settings
from action_indrnn.step import Step


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
        actors = card.features // (3 * len(self.layout.joints))
        grid = settings.grid(card.config.data.frames)
        self.scene = Scene(settings, grid, self.layout.centre, actors, step.width, len(card.classes))

    def reset(self) -> None:
        """Forget everything."""
        self.scene.reset()

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

    def save(self) -> bytes:
        """The state as safetensors, for `restore`."""
        return scene_state.save(self.scene, self.card.classes)

    def restore(self, state: bytes) -> None:
        """Go on from a state that `save` gave, of the same model and grid.

        Raises:
            ValueError: no such state, or of another model or grid; nothing is changed.
        """
        scene_state.restore(self.scene, self.card.classes, state)


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
        scene = stream.scene
        late, events = scene.enter(found, time)
        now = _Pending(late, events, [])
        pending.append(now)
        before = scene.slot
        slot = before if late else int((scene.time - (scene.start or 0)) / scene.grid.slot + 0.5)
        scene.slot = slot
        now.units = list(scene.followed) if late else scene.units()
        if slot == before:
            continue
        for unit in now.units:
            windows = scene.followed[unit].windows
            people = [scene.people.known[name] for name in unit]
            swap = len(people) > 1 and people[1].motion > people[0].motion
            joints: list[Floats | None] = [person.joints for person in people]
            made: dict[int, Floats] = {}
            for window, row in windows.due(before, slot, swap):
                if window not in made:
                    x = np.zeros(stream.card.features, np.float32)
                    own = windows.features(window, joints, stream.layout, stream.card.view).ravel()
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
    answers, events, scene = [], now.events, stream.scene
    for unit in now.units:
        one = scene.followed[unit]
        logits, seen = one.windows.answer()
        powers = np.exp(logits - logits.max())
        probabilities = powers / powers.sum()
        if not now.late:
            found = one.decision.update(probabilities, seen, scene.time)
            events += [Event(unit, segment) for segment in found]
            if stream.settings.rule.restart and found and one.decision.current is None:
                one.windows.restart(scene.slot + 1)
                one.decision.forget()
        action = -1 if one.decision.current is None else one.decision.current.label
        answers.append(Answer(unit, probabilities, seen, action))
    return FrameAnswers(scene.frame - 1, scene.time, now.late, answers, events)


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
