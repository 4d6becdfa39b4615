"""The decision rule of a stream: from probabilities after every frame to actions that begin and end."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Rule:
    """When an action is said to begin and to end.

    A network that learnt whole clips knows no class for "nothing": it spreads its probability then, or errs;
    a higher threshold says less. The defaults are for such a one: they found most with fewest false alarms
    on held-out performers of two data sets, whose clips followed each other without a pause; see
    docs/live.md. Those of a network that detects actions are `DETECTING`.

    Attributes:
        smoothing: seconds after which an earlier probability counts 1 / e.
        threshold: smoothed probability from which on an action may begin.
        release: smoothed probability under which it ends.
        hold: seconds that the same action must stay over the threshold before it begins.
        least: share of a window that must have been seen; before that there is no action yet.
        restart: whether the windows restart when an action ends, so that the next one is seen from its start.
            Where no pause lies between them, its start has passed by then.
    """

    smoothing: float = 0.3
    threshold: float = 0.6
    release: float = 0.4
    hold: float = 0.0
    least: float = 0.3
    restart: bool = False

    def __post_init__(self) -> None:
        """Check the ranges."""
        for name in ("smoothing", "hold"):
            value = getattr(self, name)
            if not 0 <= value < math.inf:
                raise ValueError(f"{name}: expected 0 seconds or more, found {value:g}")
        for name in ("threshold", "release", "least"):
            value = getattr(self, name)
            if not 0 <= value <= 1:
                raise ValueError(f"{name}: expected a share between 0 and 1, found {value:g}")
        if self.release > self.threshold:
            raise ValueError(
                f"release: expected at most the threshold {self.threshold:g}, found {self.release:g}"
            )

    def but(self, **given: float | None) -> "Rule":
        """The rule with the values that are not none; a lower threshold takes `release` with it."""
        wanted = {name: value for name, value in given.items() if value is not None}
        if "threshold" in wanted:
            wanted = {"release": min(self.release, wanted["threshold"]), **wanted}
        return replace(self, **wanted)  # type: ignore[arg-type] # all but `restart` are numbers


# Of a network that detects actions; see docs/detection.md.
DETECTING = Rule(smoothing=0.0, threshold=0.5, release=0.2, hold=0.1)


@dataclass(frozen=True)
class Segment:
    """An action in time.

    Attributes:
        label: its class.
        start: seconds; when it was first over the threshold.
        end: seconds; none while it goes on.
    """

    label: int
    start: float
    end: float | None = None


@dataclass
class Decision:
    """The rule at work on one sequence of probabilities.

    Attributes:
        current: the action that goes on, if one does.
        smoothed: (K,) the smoothed probabilities; none before the first.
        time: seconds, of the last update.
        candidate, since: the class over the threshold and since when; -1 for none.
    """

    rule: Rule
    current: Segment | None = None
    smoothed: NDArray[np.float64] | None = None
    time: float = 0.0
    candidate: int = -1
    since: float = 0.0

    def update(self, probabilities: NDArray[np.float64], seen: float, time: float) -> list[Segment]:
        """The segments that end or begin now; see `update_all`."""
        return update_all([self], probabilities[None], [seen], [time])[0]

    def _decide(self, best: int, strongest: float, current: float, seen: float, time: float) -> list[Segment]:
        """The segments that end or begin, given the smoothed probabilities of the best and the current."""
        self.time = time
        over = seen >= self.rule.least and strongest >= self.rule.threshold
        if not over or best != self.candidate:
            self.candidate, self.since = (best, time) if over else (-1, time)
        held = over and time - self.since >= self.rule.hold - 1e-9  # times are sums of rounded fractions
        events = []
        if self.current is not None:
            weak = current < self.rule.release
            if weak or (held and best != self.current.label):
                events.append(self.finish(time))
        if self.current is None and held:
            self.current = Segment(best, self.since)
            events.append(self.current)
        return events

    def _weight(self, time: float) -> float:
        """How much new probabilities count against the smoothed ones."""
        if self.smoothed is None or not self.rule.smoothing:
            return 1.0
        return -math.expm1((self.time - time) / self.rule.smoothing)

    def finish(self, time: float) -> Segment:
        """The segment that goes on, ended."""
        assert self.current is not None
        ended = Segment(self.current.label, self.current.start, time)
        self.current = None
        return ended

    def forget(self) -> None:
        """Drop what was smoothed: the windows have restarted."""
        self.smoothed, self.candidate = None, -1


def update_all(
    decisions: Sequence[Decision],
    probabilities: NDArray[np.float64],
    seen: Sequence[float],
    times: Sequence[float],
) -> list[list[Segment]]:
    """For each decision the segments that end or begin now, the ended one first.

    Args:
        decisions: D of them.
        probabilities: (D, K).
        seen: shares of a window that they rest on.
        times: seconds, not before the last ones.
    """
    if not decisions:
        return []
    weights = [one._weight(time) for one, time in zip(decisions, times, strict=True)]
    before = [
        row if one.smoothed is None or weight == 1 else one.smoothed
        for one, row, weight in zip(decisions, probabilities, weights, strict=True)
    ]
    smoothed = np.array(before)
    smoothed += np.array(weights)[:, None] * (probabilities - smoothed)
    best = smoothed.argmax(axis=1).tolist()
    strongest = np.maximum.reduce(smoothed, axis=1).tolist()
    events = []
    for number, one in enumerate(decisions):
        one.smoothed = smoothed[number].copy()  # a view would keep those of all
        current = 1.0 if one.current is None else float(one.smoothed[one.current.label])
        events.append(one._decide(best[number], strongest[number], current, seen[number], times[number]))
    return events
