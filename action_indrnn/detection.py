"""Actions found in untrimmed streams: what is streamed, what is said of it, and how much of that is right.

Streams are real recordings, where a set has them, and made of clips: laid end to end, as if cut together, and
with pauses between, as of one who stands about; see `data_prep.untrimmed`.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import product

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from action_indrnn import every_frame
from action_indrnn.data_prep import untrimmed
from action_indrnn.data_prep.untrimmed import NONE, Untrimmed
from action_indrnn.dataset import Clips, Integers
from action_indrnn.decision import Decision, Rule, update_all
from action_indrnn.evaluation import SEED
from action_indrnn.people import Unit
from action_indrnn.recognizer import Recognizer
from action_indrnn.scene import RATE
from action_indrnn.streaming import Answer, FrameAnswers, feed_all

STREAM_MINUTES = 10.0  # of made streams, at 30 frames a second
CLIPS = 20  # in a stream
PAUSE = 1.0, 2.0  # seconds, the shortest pause and the mean of what it is longer
RULES = tuple(
    Rule(smoothing, threshold, min(threshold, release), hold)
    for smoothing, threshold, release, hold in product(
        (0.0, 0.1, 0.2, 0.3), (0.3, 0.4, 0.5, 0.6, 0.7, 0.8), (0.2, 0.4), (0.0, 0.1, 0.2)
    )
)  # out of which `fit` chooses


@dataclass(frozen=True)
class Detection:
    """What a stream's decisions are worth.

    Attributes:
        streams: what was streamed, in words.
        minutes, actions: how much that is, at 30 frames a second.
        found: share of the actions of which a segment of their class begins while they go on.
        false_alarms: segments that are none of those, or repeat one: a minute.
        delay: seconds from an action's start to that segment's being said, the mean; NaN if there are none.
        frames: share of the frames of which the right class is said, or rightly nothing.
    """

    streams: str
    minutes: float
    actions: int
    found: float
    false_alarms: float
    delay: float
    frames: float

    @property
    def f1(self) -> float:
        """Twice the found, of all segments and actions."""
        found = self.found * self.actions
        said = found + self.false_alarms * self.minutes
        return 2 * found / (said + self.actions)


def end_to_end(
    clips: Clips, numbers: Integers, labels: Integers, minutes: float = STREAM_MINUTES
) -> list[Untrimmed]:
    """Streams of clips in random order, one behind the other; labels are those of all clips."""
    return list(_made(clips, numbers, labels, minutes, pauses=False))


def paused(
    clips: Clips, numbers: Integers, labels: Integers, minutes: float = STREAM_MINUTES
) -> list[Untrimmed]:
    """The same clips, with pauses before, between and behind them."""
    return list(_made(clips, numbers, labels, minutes, pauses=True))


def _made(
    clips: Clips, numbers: Integers, labels: Integers, minutes: float, *, pauses: bool
) -> Iterator[Untrimmed]:
    random = np.random.default_rng(SEED)
    order = random.permutation(numbers)
    lengths = clips.length.cpu().numpy()
    within = np.cumsum(lengths[order]) <= max(minutes * 60 * RATE, lengths[order[0]])
    order = order[within]
    for start in range(0, len(order), CLIPS):
        row = order[start : start + CLIPS]
        times = PAUSE[0] + random.exponential(PAUSE[1], len(row) + 1)
        yield untrimmed.of_clips(
            f"stream {start // CLIPS}",
            [every_frame.clip(clips, int(number)) for number in row],
            labels[row].tolist(),
            (times * RATE * pauses).astype(int).tolist(),
            RATE,
            random,
        )


def answers(recognizer: Recognizer, recordings: Sequence[Untrimmed]) -> list[list[FrameAnswers]]:
    """What a stream each says after every frame."""
    streams = [recognizer.stream() for _ in recordings]
    found: list[list[FrameAnswers]] = [[] for _ in recordings]
    longest = max(len(one.joints) for one in recordings)
    for frame in tqdm(range(longest), desc="streams", unit=" frames", disable=None, leave=False):
        now = [number for number, one in enumerate(recordings) if frame < len(one.joints)]
        fed = [(streams[number], _bodies(recordings[number], frame), frame / RATE) for number in now]
        for number, answer in zip(now, feed_all(fed), strict=True):
            found[number].append(answer)
    return found


def _bodies(recording: Untrimmed, frame: int) -> dict[int | str, NDArray[np.float32]]:
    """The bodies of a frame, by actor."""
    joints = recording.joints[frame]
    return {actor: pose for actor, pose in enumerate(joints) if not np.isnan(pose).any()}


def detect(recognizer: Recognizer, streams: str, recordings: Sequence[Untrimmed]) -> Detection:
    """What is said of recordings and how much of it is right; `streams` are they in words."""
    minutes = sum(len(one.joints) for one in recordings) / RATE / 60
    score = _Score(np.zeros(1), np.zeros(1), np.zeros(1))
    right = frames = 0
    for one, said in zip(recordings, answers(recognizer, recordings), strict=True):
        begun = [(frame, label, 0) for frame, answer in enumerate(said) for label in _begun(answer)]
        score.add(one, begun)
        for label, answer in zip(one.labels().tolist(), said, strict=True):
            going = {unit.action for unit in _foremost(answer.answers)} - {NONE}
            right += label in going if label != NONE else not going
            frames += 1
    actions = sum(len(one.actions) for one in recordings)
    found, said_, delay = (float(values[0]) for values in (score.found, score.said, score.delay))
    return Detection(
        streams,
        minutes,
        actions,
        found / actions,
        (said_ - found) / minutes,
        delay / found if found else float("nan"),
        right / frames,
    )


@dataclass
class _Score:
    """Counts by rule: (R,) each; the delay in seconds, summed."""

    found: NDArray[np.float64]
    said: NDArray[np.float64]
    delay: NDArray[np.float64]

    def add(self, recording: Untrimmed, begun: Sequence[tuple[int, int, int]]) -> None:
        """Take the frames, classes and rules of all segments that began in a recording."""
        taken: set[tuple[int, int]] = set()
        for frame, label, rule in begun:
            self.said[rule] += 1
            for number, action in enumerate(recording.actions):
                if (
                    action.start <= frame < action.end
                    and action.label == label
                    and (rule, number) not in taken
                ):
                    taken.add((rule, number))
                    self.found[rule] += 1
                    self.delay[rule] += (frame - action.start) / RATE
                    break


def _foremost(found: Sequence[Answer]) -> list[Answer]:
    """The pairs, and the persons who are in none."""
    paired = {name for one in found if len(one.bodies) > 1 for name in one.bodies}
    return [one for one in found if len(one.bodies) > 1 or one.bodies[0] not in paired]


def _begun(answer: FrameAnswers) -> list[int]:
    """The classes of the segments of those that begin."""
    units = {one.bodies for one in _foremost(answer.answers)}
    return [
        event.segment.label for event in answer.events if event.segment.end is None and event.bodies in units
    ]


def fit(recognizer: Recognizer, streams: Sequence[Sequence[Untrimmed]]) -> Rule:
    """The rule that serves recordings best which the network has not learnt from.

    That is the one with the largest mean F1 over several kinds of streams.
    """
    total = np.zeros(len(RULES))
    for recordings in streams:
        score = _Score(*np.zeros((3, len(RULES))))
        for one, said in zip(recordings, answers(recognizer, recordings), strict=True):
            score.add(one, list(_begun_by_rule(said)))
        actions = sum(len(one.actions) for one in recordings)
        total += 2 * score.found / (score.said + actions)
    return replace(RULES[int(total.argmax())])


def _begun_by_rule(said: Sequence[FrameAnswers]) -> Iterator[tuple[int, int, int]]:
    """Yields frame, class and rule of every segment that would begin."""
    units: dict[Unit, list[Decision]] = {}
    for frame, answer in enumerate(said):
        for one in _foremost(answer.answers):
            decisions = units.setdefault(one.bodies, [Decision(rule) for rule in RULES])
            count = len(decisions)
            probabilities = np.broadcast_to(one.probabilities, (count, len(one.probabilities)))
            events = update_all(decisions, probabilities, [one.seen] * count, [answer.time] * count)
            for rule, own in enumerate(events):
                yield from ((frame, segment.label, rule) for segment in own if segment.end is None)
