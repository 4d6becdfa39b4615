"""A scene that a stream shows: its time, who is in it, and what is remembered of each person and pair.

It knows no network; shapes stand in `windows` and `people`.
"""

import math
from dataclasses import dataclass, field
from itertools import combinations

from action_indrnn.decision import Decision, Rule, Segment
from action_indrnn.people import BodyId, People, Placed, Unit
from action_indrnn.windows import Grid, Windows

DURATION = 2.5  # seconds of a clip where the model does not say: about NTU RGB+D's mean of 75 frames
RATE = 30.0  # frames a second, a Kinect's
CLOCK = 1e-3  # slots that a clock's rounding may be off
MOST = {"rate": 1000.0, "duration": 3600.0, "pair_distance": 1000.0, "gap": 3600.0}  # of settings


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
        for name, most in MOST.items():
            value = getattr(self, name)
            if not 0 < value <= most:
                raise ValueError(f"{name}: expected a number above 0, at most {most:g}, found {value:g}")
        for name, count in (("windows", 100), ("people", 64)):
            if not 1 <= getattr(self, name) <= count:
                raise ValueError(f"{name}: expected 1 to {count}, found {getattr(self, name)}")

    def grid(self, steps: int, *, endless: bool = False, exchange: bool = False) -> Grid:
        """The grid for S steps a window: a step is a whole number of slots, and a slot about a frame.

        Slots are so long that a window lasts its duration; but none is shorter than a frame where a window
        has fewer frames than steps, and what there is between two frames is not seen.
        """
        if endless:
            return Grid(1 / self.rate, 1, steps, 1, endless)
        frames = self.duration * self.rate
        phases = max(1, round(frames / steps))
        slot = frames / (phases * steps) if frames > steps else 1.0
        return Grid(slot / self.rate, phases, steps, self.windows, exchange=exchange)


@dataclass(frozen=True)
class Event:
    """A segment that began (`end` is none) or ended with a frame."""

    bodies: Unit
    segment: Segment


@dataclass
class Followed:
    """What is remembered of a person or a pair."""

    windows: Windows
    decision: Decision


class Scene:
    """What one stream has seen.

    Args:
        settings: of the stream.
        grid: of its windows.
        actors: most persons that the network takes at once.
        width: numbers in a state of the network.
        classes: K.

    Attributes:
        frame: frames so far.
        start, time: seconds, of the first and the newest frame; no start before the first.
        before, slot: of the frame before and of the newest frame; one and the same where that adds nothing.
        people: who is there.
        followed: the persons and pairs.
    """

    def __init__(self, settings: Settings, grid: Grid, actors: int, width: int, classes: int) -> None:
        self.settings, self.grid, self.actors = settings, grid, actors
        self.width, self.classes = width, classes
        self.reset()

    def reset(self) -> None:
        """Forget everything."""
        self.frame = 0
        self.start: float | None = None
        self.time = 0.0
        self.before = self.slot = -1
        self.people = People(self.settings.people, self.settings.gap, self.grid.length)
        self.followed: dict[Unit, Followed] = {}

    def enter(self, found: Placed, time: float | None) -> tuple[bool, list[Event]]:
        """Take the frame's time and persons; whether it is late, and the segments that thereby end."""
        self.frame += 1
        self.before = self.slot
        if self.start is None:
            self.start = self.time = 0.0 if time is None else time
        last = self.time
        if time is None:
            time = last if self.frame == 1 else last + 1 / self.settings.rate
        if time < last - self.settings.gap:
            # The clock began anew, or the newest stamp was wrong: what was before does not count.
            events = self._drop(list(self.people.known))
            self.people.names.clear()
            self.start = self.time = time
            self.before = -1
            self.people.meet(found, time)
            self.slot = self._slot()
            return False, events
        if time < last:
            return True, []
        self.time = time
        if time - last > self.settings.gap:
            events = self._drop(list(self.people.known))
            self.people.names.clear()
        else:
            events = self._drop(self.people.lost(self.time))
        self.people.meet(found, self.time)
        self.slot = self._slot()
        return False, events

    def _slot(self) -> int:
        """The last slot of which half or more lies in or before the newest frame, which lasts 1 / rate."""
        assert self.start is not None
        return int((self.time - self.start + 1 / self.settings.rate) / self.grid.slot + 0.5 + CLOCK) - 1

    def _first(self) -> int:
        """The slot with which the newest frame begins."""
        own = math.ceil(1 / (self.settings.rate * self.grid.slot) - CLOCK)
        return max(self.before + 1, self.slot + 1 - own)

    def _drop(self, lost: list[BodyId]) -> list[Event]:
        events: list[Event] = []
        if not lost:
            return events
        for name in lost:
            for unit in [unit for unit in self.followed if name in unit]:
                decision = self.followed.pop(unit).decision
                if decision.current is not None:
                    events.append(Event(unit, decision.finish(self.time)))
        self.people.forget(lost)
        return events

    def units(self) -> list[Unit]:
        """The persons, and the pairs that stand close, followed from now on."""
        known = self.people.known
        units: list[Unit] = [(name,) for name in known]
        if self.actors > 1:
            for one, other in combinations(known, 2):
                near = math.dist(known[one].centre, known[other].centre)
                if near <= self.settings.pair_distance or (one, other) in self.followed:
                    units.append((one, other))
        for unit in units:
            if unit not in self.followed:
                windows = Windows(self.grid, self._first(), self.width, self.classes)
                self.followed[unit] = Followed(windows, Decision(self.settings.rule))
        return units
