"""What is remembered of one person, or of a pair, in a stream: staggered windows of several phases.

A network is trained on S frames spread over a clip, not on every frame. A window therefore is a clip of
fixed duration: S steps of k slots each, a slot being about as long as a frame. It has k phases, as the
evaluation has passes: phase p steps in the slots p, p + k, p + 2k, ..., so every slot steps one phase, and
the answer is the mean of the phases' logits. A window that is full starts anew; several windows, staggered,
stand side by side, and the one that has seen most answers.

Of two people a phase may show either as the main actor: with `Grid.exchange` every second phase begins from
the other one's side, as every second pass of an evaluation does.

A network that detects actions in untrimmed recordings has learnt from every frame, and never begins anew: its
grid is endless, of one window with one phase.

Shapes: `W` windows, `k` phases, `S` steps of a window, `N` numbers of a state, `K` classes.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from action_indrnn.data_prep.clip import Floats

_NOWHERE = np.concatenate([np.zeros(3), np.eye(3).ravel()]).astype(np.float32)  # where nobody has been seen


@dataclass(frozen=True)
class Grid:
    """How a stream's time is cut.

    Attributes:
        slot: seconds; near to a frame's at the expected rate, so that a window lasts as long as it should.
        phases: k, slots from one step of a phase to its next.
        steps: S, steps of a window.
        windows: W.
        endless: whether the window never fills; W and k are 1 then.
        exchange: whether every second phase shows a pair from the second's side.
    """

    slot: float
    phases: int
    steps: int
    windows: int
    endless: bool = False
    exchange: bool = False

    @property
    def sides(self) -> int:
        """From how many sides a window shows a pair."""
        return 1 + self.exchange

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
        rows: (N,) each, those of the states.
        logits: (W k, K) float32, of every phase's last step.
        starts: (W,) the slot in which each window began.
        stepped: (W k,) steps of each phase in its window.
        counts: (W,) steps of all phases in a window.
        addresses: (W k,) where each row of states lies, and where its logits.
        origins: the origin and turn of each window's sides, window by window, each from the first frame with
            somebody in it.
        places: (W sides, 12) the same, one behind the other; nowhere and unturned where there is none.
        corners: (W sides,) where each of these lies.
        swapped: whether in a window the pair stands in reversed order.
        trail: of an endless window, the place that follows the main actor; see `data_prep.following`.
    """

    def __init__(self, grid: Grid, start: int, width: int, classes: int) -> None:
        self.grid = grid
        rows = grid.windows * grid.phases
        self.states = torch.zeros(rows, width)
        self.rows = self.states.unbind()
        self.logits = np.zeros((rows, classes), np.float32)
        first, step = self.logits.ctypes.data, self.logits.strides[0]
        self.addresses = [(one.data_ptr(), first + step * row) for row, one in enumerate(self.rows)]
        places = grid.windows * grid.sides
        self.places = np.tile(_NOWHERE, (places, 1))
        first, step = self.places.ctypes.data, self.places.strides[0]
        self.corners = [first + step * place for place in range(places)]
        self.starts: list[int] = []
        self.stepped = [0] * rows
        self.counts = [0] * grid.windows
        self.origins: list[tuple[Floats, Floats | None] | None] = [None] * places
        self.swapped = [False] * grid.windows
        self.trail: Floats | None = None
        self.restart(start)

    def restart(self, start: int) -> None:
        """Forget all; the first window begins in the slot."""
        stagger = self.grid.length / self.grid.windows
        self.starts = [start + round(window * stagger) for window in range(self.grid.windows)]
        self.states.zero_()
        self.stepped = [0] * len(self.stepped)
        self.counts = [0] * self.grid.windows
        self.origins = [None] * len(self.places)
        self.places[:] = _NOWHERE
        self.trail = None

    def stand(self, at: int, place: tuple[Floats, Floats | None]) -> None:
        """Take the origin and turn of a window's side, of which there are `sides` a window."""
        self.origins[at] = place
        self.places[at, :3] = place[0]
        if place[1] is not None:
            self.places[at, 3:] = place[1].ravel()

    def due(self, before: int, slot: int, swap: bool) -> list[tuple[int, list[int]]]:
        """Each window with the rows of its phases that step in the slots behind `before` up to `slot`.

        A phase that would have stepped several times steps once: what came between was not seen. Windows
        that are full start anew; `swap` says in which order a pair then stands.
        """
        phases, found = self.grid.phases, []
        for window, start in enumerate(self.starts):
            if slot < start:
                continue
            if slot - start >= self.grid.length and not self.grid.endless:
                start = self._renew(window, slot)
            if not self.counts[window]:
                self.swapped[window] = swap
            first = max(before + 1, start, slot - phases + 1)
            rows = [window * phases + (at - start) % phases for at in range(first, slot + 1)]
            for row in rows:
                self.stepped[row] += 1
            self.counts[window] += len(rows)
            found.append((window, rows))
        return found

    def _renew(self, window: int, slot: int) -> int:
        """Start a full window anew; the slot in which it thereby began."""
        rows = slice(window * self.grid.phases, (window + 1) * self.grid.phases)
        start = self.starts[window]
        start += (slot - start) // self.grid.length * self.grid.length
        self.starts[window] = start
        self.states[rows] = 0
        self.stepped[rows] = [0] * self.grid.phases
        self.counts[window] = 0
        for at in range(window * self.grid.sides, (window + 1) * self.grid.sides):
            self.origins[at] = None
            self.places[at] = _NOWHERE
        return start

    def answer(self) -> tuple[NDArray[np.float32], float]:
        """The logits (R, K) of the phases of the window that has seen most, and its share of all steps.

        With nothing seen since a restart they are those of before, and the share is 0; an endless window has
        always seen enough.
        """
        most = max(self.counts)
        first = self.counts.index(most) * self.grid.phases
        own = slice(first, first + self.grid.phases)
        logits = self.logits[own]
        if most and 0 in self.stepped[own]:
            logits = logits[[steps > 0 for steps in self.stepped[own]]]
        share = float(most > 0) if self.grid.endless else min(1.0, most / self.grid.length)
        return logits, share

    def table(self) -> dict[str, Any]:
        """What is not a tensor, as JSON's types."""
        return {
            "starts": self.starts,
            "stepped": self.stepped,
            "swapped": self.swapped,
            "trail": None if self.trail is None else self.trail.tolist(),
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
        for ours, theirs in ((self.states, states), (torch.from_numpy(self.logits), logits)):
            if ours.shape != theirs.shape:
                raise ValueError(
                    f"state of a stream: expected a tensor of shape {tuple(ours.shape)}, "
                    f"found {tuple(theirs.shape)}"
                )
            ours.copy_(theirs)
        self.starts, self.stepped, self.swapped = table["starts"], table["stepped"], table["swapped"]
        trail = table.get("trail")
        self.trail = None if trail is None else np.array(trail, np.float32)
        phases = self.grid.phases
        self.counts = [
            sum(self.stepped[first : first + phases]) for first in range(0, len(self.rows), phases)
        ]
        self.origins = [None] * len(self.places)
        self.places[:] = _NOWHERE
        for at, place in enumerate(table["origins"]):
            if place is not None:
                origin, turn = place
                placed = np.array(origin, np.float32), None if turn is None else np.array(turn, np.float32)
                self.stand(at, placed)
