"""Streams: frames in, one by one, an answer out after every one.

Shapes: `V` joints, `K` classes, `F` features, `B` rows of a step.
"""

from array import array
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from action_indrnn import live_frames, scene_state
from action_indrnn.checkpoint import Card
from action_indrnn.data_prep import following
from action_indrnn.data_prep.clip import Floats
from action_indrnn.data_prep.frame_map import FrameMap
from action_indrnn.data_prep.layout import Layout
from action_indrnn.data_prep.normalize import placement
from action_indrnn.decision import update_all
from action_indrnn.people import Bodies, Unit
from action_indrnn.scene import RATE, Event, Scene, Settings
from action_indrnn.step import Step
from action_indrnn.windows import Windows

PERSON_BYTES = 64 << 20  # of the states of a person, at most


@dataclass(frozen=True)
class Answer:
    """What the stream says of one person or pair after a frame.

    Attributes:
        bodies: their ids.
        probabilities: (K,) float64, summing to 1, or to what a network that detects actions leaves of it for
            no action.
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

    Args:
        step: of the network.
        card: of the model.
        settings: how frames become answers.
        recorded: the joints, unit and axes of the frames, where these are not the model's joints in metres, y
            up.

    Raises:
        ValueError: that layout has no map to the model's, or too much were to be remembered.
    """

    def __init__(self, step: Step, card: Card, settings: Settings, recorded: Layout | None = None) -> None:
        self.step = step
        self.card = card
        self.settings = settings
        self.layout = card.layout()
        self.recorded = recorded or self.layout
        self.map = None if recorded is None else FrameMap(recorded, self.layout)
        self.clock = live_frames.Clock(settings.rate, settings.gap)
        grid = settings.grid(
            card.config.data.frames, endless=card.config.detects, exchange=card.config.evaluate.exchange
        )
        outputs = card.config.outputs(len(card.classes))
        size = 4 * grid.windows * grid.phases * (step.width + outputs)
        if size > PERSON_BYTES:
            raise ValueError(
                f"rate x duration x windows: expected at most {PERSON_BYTES >> 20} MiB to remember of a "
                f"person, found {size >> 20}: {grid.windows} windows of {grid.phases} phases"
            )
        self.scene = Scene(settings, grid, card.actors, step.width, outputs)

    def reset(self) -> None:
        """Forget everything."""
        self.scene.reset()
        self.clock.reset()

    def feed(self, bodies: Bodies, time: float | None = None) -> FrameAnswers:
        """What the stream says after one more frame.

        Args:
            bodies: joints (V, 3) by the tracker's body id, as `recorded` says; joints of nothing but zeros,
                and none at all, mean that nobody was seen.
            time: seconds, of any origin; one frame after the last if not given.

        Raises:
            ValueError: joints of another number, not finite or not metres, no time, or time stamps that look
                like milliseconds; nothing but the memory of time stamps is changed.
        """
        return feed_all([(self, bodies, time)])[0]

    def check(self, bodies: Bodies, time: float | None = None) -> None:
        """Check that `feed` takes a frame; nothing but the memory of time stamps is changed.

        Raises:
            ValueError: see `feed`.
        """
        live_frames.check([bodies], [time], self.layout, [self.map])
        self.clock.check(time)

    def mapped(self, bodies: Bodies) -> Bodies:
        """The bodies of a frame that `check` passed in metres, y up, and the model's joints."""
        if self.map is None:
            return bodies
        return {name: self.map.joints(pose, f"body {name}") for name, pose in bodies.items()}

    def save(self) -> bytes:
        """The state as safetensors, for `restore`."""
        return scene_state.save(self.scene, self.card.classes)

    def restore(self, state: bytes) -> None:
        """Go on from a state that `save` gave, of the same model and grid.

        Raises:
            ValueError: no such state, or of another model or grid; nothing is changed.
        """
        scene_state.restore(self.scene, self.card.classes, state)


def feed_all(frames: Sequence[tuple[Stream, Bodies, float | None]]) -> list[FrameAnswers]:
    """The answers of several streams of one model, one frame each, from one step of the network.

    Raises:
        ValueError: a frame that does not fit; no stream is changed. A stream stands there twice.
    """
    if len({id(stream) for stream, _, _ in frames}) < len(frames):
        raise ValueError("expected one frame a stream, found two of one")
    if not frames:
        return []
    streams, bodies, times = zip(*frames, strict=True)
    maps = [stream.map for stream in streams]
    joints, found = live_frames.check(bodies, times, streams[0].layout, maps)
    for stream, time in zip(streams, times, strict=True):
        stream.clock.check(time)
    pending = []
    for stream, placed, time in zip(streams, found, times, strict=True):
        scene = stream.scene
        late, events = scene.enter(placed, time)
        pending.append(_Pending(scene, late, events, list(scene.followed) if late else scene.units()))
    if streams[0].card.config.data.hold:
        joints = _hold([now.scene for now in pending if not now.late], joints)
    _step(streams[0], pending, joints)
    return _answers(pending)


@dataclass
class _Pending:
    """A frame between its entrance and its answer."""

    scene: Scene
    late: bool
    events: list[Event]
    units: list[Unit]


def _hold(scenes: Sequence[Scene], joints: Floats) -> Floats:
    """The joints (N, V, 3) and behind them those of persons who are not seen now, as they were seen last."""
    held: list[Floats] = []
    for scene in scenes:
        for person in scene.people.known.values():
            if person.number >= 0:
                person.pose = joints[person.number].copy()  # a view would keep all joints of the frame
            elif person.pose is not None:
                person.number = len(joints) + len(held)
                held.append(person.pose)
    return np.concatenate((joints, np.stack(held))) if held else joints


def _step(stream: Stream, pending: Sequence[_Pending], joints: Floats) -> None:
    """Step the phases that are due, of all windows of all streams; the given one has the model."""
    actors = stream.scene.actors
    nobody = [(-1,) * number for number in range(actors + 1)]
    due: list[_Due] = []
    for now in pending:
        scene = now.scene
        if scene.slot == scene.before:
            continue
        for unit in now.units:
            windows = scene.followed[unit].windows
            people = [scene.people.known[name] for name in unit]
            bodies = tuple([person.number for person in people])
            swap = len(people) > 1 and people[1].motion > people[0].motion
            sides = scene.grid.sides if len(people) > 1 else 1
            for window, rows in windows.due(scene.before, scene.slot, swap):
                ordered = bodies[::-1] if windows.swapped[window] else bodies
                for side in range(sides):
                    at = window * scene.grid.sides + side
                    _stand(stream, windows, at, joints, ordered, scene.slot - scene.before)
                    own = rows if sides == 1 else [row for row in rows if row % scene.grid.phases % 2 == side]
                    if own:
                        due.append((windows, at, own, ordered + nobody[actors - len(ordered)]))
                    ordered = ordered[::-1]
    if not due:
        return
    card = stream.card
    turned = card.config.data.align or card.view == "first-frame" or card.config.detects
    if stream.step.scenes is None:
        _step_features(stream.step, due, joints, turned)
        return
    table: list[int] = []
    for windows, at, rows, numbers in due:
        for row in rows:
            table += (*windows.addresses[row], windows.corners[at], *numbers)
    stream.step.scenes.see(joints, array("q", table), actors, turned)


def _stand(
    stream: Stream, windows: Windows, at: int, joints: Floats, ordered: tuple[int, ...], frames: int
) -> None:
    """Place a side of a window where its first person is seen first, or, where it follows, is seen now."""
    seen = [number for number in ordered if number >= 0]
    if not seen:
        return
    if stream.scene.grid.endless:
        memory = stream.card.config.data.follow / stream.scene.grid.slot
        trail = following.step(windows.trail, joints[seen[0]], stream.layout, frames, memory)
        windows.trail = trail
        windows.stand(at, (trail[:3], following.turns(trail[None])[0]))
    elif windows.origins[at] is None:
        align = stream.card.config.data.align
        windows.stand(at, placement(joints[seen[0]], stream.layout, stream.card.view, align))


# A unit's windows, which side of which of them, the rows that step, and the numbers of the bodies in it.
_Due = tuple[Windows, int, list[int], tuple[int, ...]]


def _step_features(step: Step, due: Sequence[_Due], joints: Floats, turned: bool) -> None:
    """Step rows of windows by their features."""
    places = np.array([windows.places[at] for windows, at, _, _ in due])
    turns = places[:, 3:].reshape(-1, 3, 3) if turned else None
    x = live_frames.features(joints, np.array([numbers for *_, numbers in due]), places[:, :3], turns)
    rows = [(made, windows, row) for made, (windows, _, own, _) in enumerate(due) for row in own]
    if len(rows) > len(x):  # with a slow camera several phases of a window step at once
        x = x[[made for made, _, _ in rows]]
    states = [windows.rows[row] for _, windows, row in rows]
    logits = step.advance(torch.from_numpy(x), states).numpy()
    for (_, windows, row), own in zip(rows, logits, strict=True):
        windows.logits[row] = own


def _answers(pending: Sequence[_Pending]) -> list[FrameAnswers]:
    """What every stream says after its step."""
    followed = [now.scene.followed[unit] for now in pending for unit in now.units]
    parts = [one.windows.answer() for one in followed]
    seen = [share for _, share in parts]
    probabilities = _softmax([logits for logits, _ in parts])
    if pending and pending[0].scene.grid.endless:  # the last output is for no action
        probabilities = probabilities[:, :-1]
    fresh = [not now.late for now in pending for _ in now.units]
    times = [now.scene.time for now in pending for _ in now.units]
    chosen = [number for number, is_fresh in enumerate(fresh) if is_fresh]
    segments = update_all(
        [followed[number].decision for number in chosen],
        probabilities if len(chosen) == len(fresh) else probabilities[chosen],
        [seen[number] for number in chosen],
        [times[number] for number in chosen],
    )
    said = dict(zip(chosen, segments, strict=True))
    found, number = [], 0
    for now in pending:
        answers = []
        for unit in now.units:
            one, begun = followed[number], said.get(number, [])
            now.events += [Event(unit, segment) for segment in begun]
            if now.scene.settings.rule.restart and begun and one.decision.current is None:
                one.windows.restart(now.scene.slot + 1)
                one.decision.forget()
            action = -1 if one.decision.current is None else one.decision.current.label
            own = probabilities[number].copy()  # a view would keep those of all streams
            answers.append(Answer(unit, own, seen[number], action))
            number += 1
        found.append(FrameAnswers(now.scene.frame - 1, now.scene.time, now.late, answers, now.events))
    return found


def _softmax(parts: Sequence[NDArray[np.float32]]) -> NDArray[np.float64]:
    """(D, K) probabilities of the mean over each part's logits (R, K), for D parts."""
    if not parts:
        return np.zeros((0, 0))
    # `reduce` is what `mean`, `max` and `sum` end in, after longer than it takes itself for one stream.
    powers = np.array([np.add.reduce(part, axis=0, dtype=np.float64) / len(part) for part in parts])
    powers -= np.maximum.reduce(powers, axis=1, keepdims=True)
    np.exp(powers, out=powers)
    powers /= np.add.reduce(powers, axis=1, keepdims=True)
    return powers


class Streams:
    """Many streams of one model, opened by name as their frames come, stepped together."""

    def __init__(self, step: Step, card: Card, settings: Settings, recorded: Layout | None = None) -> None:
        self.step, self.card, self.settings, self.recorded = step, card, settings, recorded
        self.open: dict[Hashable, Stream] = {}

    def feed(self, frames: Mapping[Hashable, tuple[Bodies, float | None]]) -> dict[Hashable, FrameAnswers]:
        """The answers to one frame of each of some streams.

        Raises:
            ValueError: see `Stream.feed`; no stream is changed.
        """
        for name in frames:
            if name not in self.open:
                self.open[name] = Stream(self.step, self.card, self.settings, self.recorded)
        together = [(self.open[name], bodies, time) for name, (bodies, time) in frames.items()]
        return dict(zip(frames, feed_all(together), strict=True))

    def close(self, name: Hashable) -> None:
        """Forget a stream."""
        del self.open[name]


def settings_for(card: Card, **given: Any) -> Settings:
    """The settings with what is given, and the model's own clips' duration and rule where it is not.

    Raises:
        ValueError: windows, or their duration, for a network that has none; or see `Settings`.
    """
    for name in ("duration", "windows"):
        if card.config.detects and name in given:
            raise ValueError(
                f"{name}: expected none for a network that detects actions: it answers every frame and has "
                f"no windows; found {given[name]}"
            )
    given = {"rule": card.decides(), **given}
    if card.clip_frames is not None:
        given = {"duration": card.clip_frames / RATE, **given}
    return replace(Settings(), **given)
