"""What is remembered of one person, or of a pair, in a stream: staggered windows of several phases.

A network is trained on S frames spread over a clip, not on every frame. A window therefore is a clip of
fixed duration: S steps of k slots each. It has k phases, as the evaluation has passes: phase p steps in the
slots p, p + k, p + 2k, ..., so every slot steps one phase, and the answer is the mean of the phases' logits.
A window that is full starts anew; several windows, staggered, stand side by side, and the one that has seen
most answers.

Shapes: `W` windows, `k` phases, `S` steps of a window, `N` numbers of a state, `K` classes, `V` joints.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from action_indrnn.data_prep.clip import Floats
from action_indrnn.data_prep.layout import Layout
from action_indrnn.data_prep.normalize import View, placement


@dataclass(frozen=True)
class Grid:
    """How a stream's time is cut.

    Attributes:
        slot: seconds; one frame at the expected rate.
        phases: k, slots from one step of a phase to its next.
        steps: S, steps of a window.
        windows: W.
    """

    slot: float
    phases: int
    steps: int
    windows: int

    @property
    def length(self) -> int:
        """Slots of a window."""
        return self.phases * self.steps


class Windows:
    """The windows of one person or pair.

    Args:
        grid: of the stream.
        start: the slot in which the first window begins; the others begin staggered behind it.
        width: N.
        classes: K.

    Attributes:
        states: (W k, N).
        logits: (W k, K), of every phase's last step.
        starts: (W,) the slot in which each window began.
        stepped: (W k,) steps of each phase in its window.
        origins: each window's origin and turn, from its first frame with somebody in it.
        swapped: whether in a window the pair stands in reversed order.
    """

    def __init__(self, grid: Grid, start: int, width: int, classes: int) -> None:
        self.grid = grid
        rows = grid.windows * grid.phases
        self.states = torch.zeros(rows, width)
        self.logits = torch.zeros(rows, classes)
        self.starts: list[int] = []
        self.stepped = [0] * rows
        self.origins: list[tuple[Floats, Floats | None] | None] = [None] * grid.windows
        self.swapped = [False] * grid.windows
        self.restart(start)

    def restart(self, start: int) -> None:
        """Forget all; the first window begins in the slot."""
        stagger = self.grid.length / self.grid.windows
        self.starts = [start + round(window * stagger) for window in range(self.grid.windows)]
        self.states.zero_()
        self.stepped = [0] * len(self.stepped)
        self.origins = [None] * self.grid.windows

    def due(self, before: int, slot: int, swap: bool) -> Iterator[tuple[int, int]]:
        """Yields (window, row) of every phase that steps in the slots behind `before` up to `slot`.

        A phase that would have stepped several times steps once: what came between was not seen. Windows
        that are full start anew; `swap` says in which order a pair then stands.
        """
        length, phases = self.grid.length, self.grid.phases
        for window, start in enumerate(self.starts):
            if slot < start:
                continue
            if slot - start >= length:
                start += (slot - start) // length * length
                self.starts[window] = start
                rows = range(window * phases, (window + 1) * phases)
                self.states[rows.start : rows.stop] = 0
                self.stepped[rows.start : rows.stop] = [0] * phases
                self.origins[window] = None
            if not any(self.stepped[window * phases : (window + 1) * phases]):
                self.swapped[window] = swap
            for at in range(max(before + 1, start, slot - phases + 1), slot + 1):
                row = window * phases + (at - start) % phases
                self.stepped[row] += 1
                yield window, row

    def features(
        self, window: int, joints: list[Floats | None], layout: Layout, view: View, align: bool = False
    ) -> Floats:
        """(M, V, 3) what a step of a window gets of the joints of its actors, none where one is not seen."""
        if self.swapped[window]:
            joints = joints[::-1]
        if self.origins[window] is None:
            pose = next((pose for pose in joints if pose is not None), None)
            if pose is not None:
                self.origins[window] = placement(pose, layout, view, align)
        found = np.zeros((len(joints), len(layout.joints), 3), np.float32)
        place = self.origins[window]
        if place is None:
            return found
        origin, turn = place
        for actor, pose in enumerate(joints):
            if pose is not None:
                found[actor] = pose - origin if turn is None else (pose - origin) @ turn.T
        return found

    def answer(self) -> tuple[NDArray[np.float64], float]:
        """The mean logits (K,) of the phases of the window that has seen most, and its share of all steps.

        With nothing seen since a restart they are those of before, and the share is 0.
        """
        phases = self.grid.phases
        seen = [sum(self.stepped[first : first + phases]) for first in range(0, len(self.stepped), phases)]
        best = int(np.argmax(seen))
        own = range(best * phases, (best + 1) * phases)
        rows = [row for row in own if self.stepped[row]] or list(own)
        logits = self.logits.numpy()[rows].astype(np.float64).mean(axis=0)
        return logits, min(1.0, seen[best] / self.grid.length)

    def table(self) -> dict[str, Any]:
        """What is not a tensor, as JSON's types."""
        return {
            "starts": self.starts,
            "stepped": self.stepped,
            "swapped": self.swapped,
            "origins": [
                None
                if place is None
                else [place[0].tolist(), None if place[1] is None else place[1].tolist()]
                for place in self.origins
            ],
        }

    def load(self, table: dict[str, Any], states: Tensor, logits: Tensor) -> None:
        """Take what `table` gave and the tensors beside it.

        Raises:
            ValueError: tensors of another shape.
        """
        for ours, theirs in ((self.states, states), (self.logits, logits)):
            if ours.shape != theirs.shape:
                raise ValueError(
                    f"state of a stream: expected a tensor of shape {tuple(ours.shape)}, "
                    f"found {tuple(theirs.shape)}"
                )
            ours.copy_(theirs)
        self.starts, self.stepped, self.swapped = table["starts"], table["stepped"], table["swapped"]
        self.origins = [
            None
            if place is None
            else (
                np.array(place[0], np.float32),
                None if place[1] is None else np.array(place[1], np.float32),
            )
            for place in table["origins"]
        ]
