"""Who is in a scene: bodies of every frame given to persons, over gaps and under changing ids."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from action_indrnn.data_prep.bodies import HANDOVER_DISTANCE, HANDOVER_SPEED, HANDOVER_WALK
from action_indrnn.data_prep.clip import Floats

BodyId = int | str
Bodies = Mapping[BodyId, Floats]
Unit = tuple[BodyId, ...]  # one person, or two
Point = Sequence[float]  # x, y, z in metres
Placed = Mapping[BodyId, tuple[int, Point]]  # a frame's bodies: a number each, and where one is


@dataclass
class Person:
    """One person.

    Attributes:
        number: of the body in this frame; -1 if not seen in it.
        centre: where last seen.
        time: when.
        motion: squared metres between frames, summed, fading.
        pose: joints (V, 3) when last seen, where they are held.
    """

    number: int
    centre: Point
    time: float
    motion: float = 0.0
    pose: Floats | None = None


class People:
    """The persons of one scene.

    Args:
        most: persons followed at once; further ones are left out while these are there.
        gap: seconds without being seen after which a person is forgotten.
        fading: frames after which an earlier motion counts 1 / e.

    Attributes:
        known: each person, by the id under which the first frame had it.
        names: an id that was handed over, to that of the person.
    """

    def __init__(self, most: int, gap: float, fading: int) -> None:
        self.most, self.gap = most, gap
        self.fading = math.exp(-1 / fading)
        self.known: dict[BodyId, Person] = {}
        self.names: dict[BodyId, BodyId] = {}

    def lost(self, time: float) -> list[BodyId]:
        """Those who have not been seen for longer than the gap."""
        return [name for name, person in self.known.items() if time - person.time > self.gap]

    def forget(self, names: list[BodyId]) -> None:
        """Drop some persons, with the ids that they had."""
        for name in names:
            del self.known[name]
        self.names = {body: name for body, name in self.names.items() if name in self.known}

    def meet(self, found: Placed, time: float) -> None:
        """Give every body in the frame to its person."""
        for person in self.known.values():
            person.number = -1
        for body, (number, place) in found.items():
            name = self.names.get(body, body)
            if name not in self.known or self.known[name].number >= 0:
                near = self._handed_over(place, found, time)
                if near is None and (len(self.known) >= self.most or body in self.known):
                    continue
                name = body if near is None else near
                # one alias a person: a tracker that gives new ids for ever must not fill the memory
                self.names = {other: owner for other, owner in self.names.items() if owner != name}
                self.names[body] = name
                self.known.setdefault(name, Person(-1, place, time))
            person = self.known[name]
            person.motion = self.fading * person.motion + math.dist(place, person.centre) ** 2
            person.number, person.centre, person.time = number, place, time

    def _handed_over(self, place: Point, found: Placed, time: float) -> BodyId | None:
        """The person who was lost nearest to where a new body appears, if it can be one person."""
        best: tuple[float, BodyId] | None = None
        present = {self.names.get(body, body) for body in found}
        for name, person in self.known.items():
            if name in present:
                continue
            frames = (time - person.time) * 30  # the rule's unit: frames of a Kinect
            reach = HANDOVER_DISTANCE + HANDOVER_SPEED * min(frames, HANDOVER_WALK)
            distance = math.dist(place, person.centre)
            if distance <= reach and (best is None or distance < best[0]):
                best = (distance, name)
        return None if best is None else best[1]
