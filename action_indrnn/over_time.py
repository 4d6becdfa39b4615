"""Early recognition: accuracy against how much of a clip was seen, and decisions on unsegmented streams.

Shapes: `N` clips, `S` sampled frames, `B` clips in a batch, `K` classes.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from tqdm import tqdm

from action_indrnn.data_prep import normalize
from action_indrnn.dataset import Clips, Integers, Sampling
from action_indrnn.evaluation import SEED
from action_indrnn.models import Classifier
from action_indrnn.people import Bodies
from action_indrnn.recognizer import Recognizer
from action_indrnn.scene import RATE
from action_indrnn.step import check_causal
from action_indrnn.streaming import FrameAnswers, feed_all

SHARES = tuple(range(10, 101, 10))  # percent
STREAM_MINUTES = 10.0  # of unsegmented streams, at 30 frames a second
CLIPS = 20  # in a stream, one after another without a pause


@dataclass(frozen=True)
class Early:
    """How soon clips are recognised.

    Attributes:
        accuracy: top-1 by percent of the sampled frames seen.
        decided: share of the clips whose answer is right at the end.
        decision_frames: of those, the mean frames of the recording up to the first answer that is right and
            stays so; NaN if there are none.
        decision_share: the same as a share of the clip.
    """

    accuracy: dict[int, float]
    decided: float
    decision_frames: float
    decision_share: float


@dataclass(frozen=True)
class Unsegmented:
    """Decisions on streams of clips laid end to end.

    Attributes:
        minutes, clips: how much was streamed.
        found: share of the clips with a segment of their class that begins in them.
        false_alarms: segments that are none of those, or repeat one: a minute.
        delay: seconds from a clip's start to that segment's being said, the mean; NaN if there are none.
    """

    minutes: float
    clips: int
    found: float
    false_alarms: float
    delay: float


@torch.inference_mode()
def running_logits(
    model: Classifier,
    clips: Clips,
    numbers: Integers,
    *,
    frames: int,
    passes: int,
    batch: int,
    sampling: Sampling = "segments",
) -> NDArray[np.float32]:
    """Logits after each sampled frame, (S, N, K), the mean over passes; clips sampled as `evaluation` does.

    Raises:
        ValueError: the network needs the whole clip.
    """
    check_causal(model)
    device = next(model.parameters()).device
    model.eval()
    found = np.zeros((frames, len(numbers), model.classes), np.float32)
    count = max(1, batch // passes)
    for start in tqdm(range(0, len(numbers), count), desc="over time", disable=None, leave=False):
        some = numbers[start : start + count]
        uniform = clips.uniform(some, passes, frames, SEED).reshape(-1, frames + 1)
        x = clips.sample(np.tile(some, passes), frames, uniform, sampling).to(device)
        state = None
        for step in range(frames):
            logits, state = model(x[step : step + 1], state)
            every = logits.cpu().numpy().reshape(passes, len(some), -1)
            found[step, start : start + count] = every.mean(axis=0)
    return found


def early(logits: NDArray[np.float32], labels: Integers, lengths: Integers) -> Early:
    """How soon the clips of running logits (S, N, K) are recognised; lengths in frames, (N,)."""
    right = logits.argmax(axis=2) == labels  # (S, N)
    steps = len(right)
    accuracy = {share: float(right[max(1, round(steps * share / 100)) - 1].mean()) for share in SHARES}
    since = steps - np.cumprod(right[::-1], axis=0).sum(axis=0)  # steps before the last unbroken run
    shares = ((since + 1) / steps)[right[-1]]
    decided = float(right[-1].mean())
    if not len(shares):
        return Early(accuracy, decided, float("nan"), float("nan"))
    frames = float((shares * lengths[right[-1]]).mean())
    return Early(accuracy, decided, frames, float(shares.mean()))


def unsegmented(
    recognizer: Recognizer, clips: Clips, numbers: Integers, labels: Integers, minutes: float = STREAM_MINUTES
) -> Unsegmented:
    """What the rule says of clips laid end to end, in random order; labels are those of all clips."""
    order = np.random.default_rng(SEED).permutation(numbers)
    lengths = clips.length.numpy()
    within = np.cumsum(lengths[order]) <= max(minutes * 60 * RATE, lengths[order[0]])
    order = order[within]
    rows = [order[first : first + CLIPS] for first in range(0, len(order), CLIPS)]
    streams = [recognizer.stream() for _ in rows]
    scenes = [[bodies for number in row for bodies in _frames(clips, int(number))] for row in rows]
    said: list[list[tuple[float, int]]] = [[] for _ in rows]
    longest = max(map(len, scenes))
    for frame in tqdm(range(longest), desc="streams", unit=" frames", disable=None, leave=False):
        now = [number for number, scene in enumerate(scenes) if frame < len(scene)]
        answers = feed_all([(streams[number], scenes[number][frame], frame / RATE) for number in now])
        for number, answer in zip(now, answers, strict=True):
            said[number] += [(answer.time, label) for label in _begun(answer)]
    right, total, delays = 0, 0, []
    for row, events in zip(rows, said, strict=True):
        ends = np.cumsum(lengths[row]) / RATE
        found: set[int] = set()
        for time, label in events:
            place = min(int(np.searchsorted(ends, time, side="right")), len(row) - 1)
            total += 1
            if labels[row[place]] == label and place not in found:
                found.add(place)
                delays.append(time - (ends[place - 1] if place else 0.0))
        right += len(found)
    spent = float(lengths[order].sum() / RATE / 60)
    delay = float(np.mean(delays)) if delays else float("nan")
    return Unsegmented(spent, len(order), right / len(order), (total - right) / spent, delay)


def measure(
    recognizer: Recognizer, clips: Clips, numbers: Integers, labels: Integers
) -> tuple[Early, Unsegmented]:
    """Both, of some clips, sampled as the model's settings say; labels are those of all clips.

    Raises:
        ValueError: the network or its view needs the whole clip.
    """
    normalize.check_causal(recognizer.card.view)
    settings = recognizer.card.config
    logits = running_logits(
        recognizer.model,
        clips,
        numbers,
        frames=settings.data.frames,
        sampling=settings.data.sampling,
        passes=settings.evaluate.passes,
        batch=settings.evaluate.batch,
    )
    found = early(logits, labels[numbers], clips.length.numpy()[numbers])
    return found, unsegmented(recognizer, clips, numbers, labels)


def _frames(clips: Clips, number: int) -> Sequence[Bodies]:
    """The bodies of every frame of a clip, by actor."""
    length, bodies = int(clips.length[number]), int(clips.bodies[number])
    start = int(clips.start[number])
    joints = (
        clips.rows[start : start + length * bodies].numpy().reshape(bodies, length, *clips.rows.shape[1:])
    )
    return [
        {actor: joints[actor, frame] for actor in range(bodies) if not np.isnan(joints[actor, frame]).any()}
        for frame in range(length)
    ]


def _begun(answer: FrameAnswers) -> list[int]:
    """The classes of the segments that begin: of pairs, and of persons who are in none."""
    paired = {name for one in answer.answers if len(one.bodies) > 1 for name in one.bodies}
    return [
        event.segment.label
        for event in answer.events
        if event.segment.end is None and (len(event.bodies) > 1 or event.bodies[0] not in paired)
    ]


def table(found: Early, streams: Unsegmented) -> dict[str, Any]:
    """Both as JSON's types; none where there is no number."""
    rows = {"early": asdict(found), "unsegmented": asdict(streams)}
    for row in rows.values():
        row |= {key: None for key, value in row.items() if value != value}
    return rows


def as_text(found: Early, streams: Unsegmented) -> str:
    """Both for a screen."""
    return "\n".join(
        [
            "seen      " + " ".join(f"{f'{share}%':>6}" for share in found.accuracy),
            "top-1     " + " ".join(f"{value:>6.1%}" for value in found.accuracy.values()),
            f"decision  right and staying so after {found.decision_frames:.1f} frames, "
            f"{found.decision_share:.0%} of the clip (mean of the {found.decided:.1%} that end right)",
            f"streams   {streams.clips} clips laid end to end, {streams.minutes:.1f} minutes: "
            f"{streams.found:.1%} found, after {streams.delay:.2f} s; "
            f"{streams.false_alarms:.1f} false alarms a minute",
        ]
    )
