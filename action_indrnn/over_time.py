"""Early recognition: accuracy against how much of a clip was seen, and decisions on untrimmed streams.

Shapes: `N` clips, `S` sampled frames, `B` clips in a batch, `K` classes.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from tqdm import tqdm

from action_indrnn import detection, every_frame
from action_indrnn.config import Config
from action_indrnn.data_prep import normalize
from action_indrnn.data_prep.layout import Layout
from action_indrnn.data_prep.untrimmed import Untrimmed
from action_indrnn.dataset import Clips, Integers, Sampling
from action_indrnn.detection import Detection
from action_indrnn.evaluation import SEED, exchanged_passes
from action_indrnn.models import Classifier
from action_indrnn.recognizer import Recognizer
from action_indrnn.step import check_causal

SHARES = tuple(range(10, 101, 10))  # percent


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
    exchange: bool = False,
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
        tiled, others = np.tile(some, passes), exchanged_passes(passes, exchange)
        x = clips.sample(tiled, frames, uniform, sampling)
        x = clips.exchanged(x, tiled, np.repeat(others, len(some))).to(device)
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


def _every_frame(
    model: Classifier, clips: Clips, numbers: Integers, settings: Config, layout: Layout
) -> NDArray[np.float32]:
    """The same of a network that detects actions: after even shares of every clip, (S, N, K)."""
    steps = settings.data.frames
    found = np.zeros((steps, len(numbers), model.classes - 1), np.float32)
    count = max(1, settings.evaluate.batch // 8)
    for some, x, lengths in every_frame.batches(clips, numbers, layout, settings.data.follow, count):
        means = every_frame.running_means(model(x, every=True)[0])  # (T, B, K)
        shares = (torch.arange(1, steps + 1)[:, None] * lengths / steps).ceil().long() - 1
        found[:, some] = means[shares, torch.arange(len(lengths))].numpy()
    return found


def measure(
    recognizer: Recognizer, clips: Clips, numbers: Integers, labels: Integers, real: Sequence[Untrimmed]
) -> tuple[Early, list[Detection]]:
    """Both, of some clips, sampled as the model's settings say.

    Args:
        recognizer: of a causal network.
        clips: of the set.
        numbers: the clips to measure.
        labels: of all clips.
        real: the untrimmed recordings to measure, if there are any.

    Raises:
        ValueError: the network or its view needs the whole clip.
    """
    normalize.check_causal(recognizer.card.view)
    settings = recognizer.card.config
    if settings.detects:
        with torch.inference_mode():
            logits = _every_frame(recognizer.model, clips, numbers, settings, recognizer.card.layout())
    else:
        logits = running_logits(
            recognizer.model,
            clips,
            numbers,
            frames=settings.data.frames,
            sampling=settings.data.sampling,
            passes=settings.evaluate.passes,
            batch=settings.evaluate.batch,
            exchange=settings.evaluate.exchange,
        )
    found = early(logits, labels[numbers], clips.length.numpy()[numbers])
    kinds = {
        "clips end to end": detection.end_to_end(clips, numbers, labels),
        "clips with pauses": detection.paused(clips, numbers, labels),
        "real recordings": list(real),
    }
    return found, [detection.detect(recognizer, name, kind) for name, kind in kinds.items() if kind]


def table(found: Early, streams: Sequence[Detection]) -> dict[str, Any]:
    """Both as JSON's types; none where there is no number."""
    rows = [asdict(found), *(asdict(one) | {"f1": one.f1} for one in streams)]
    for row in rows:
        row |= {key: None for key, value in row.items() if value != value}
    return {"early": rows[0], "streams": rows[1:]}


def as_text(found: Early, streams: Sequence[Detection]) -> str:
    """Both for a screen."""
    lines = [
        "seen      " + " ".join(f"{f'{share}%':>6}" for share in found.accuracy),
        "top-1     " + " ".join(f"{value:>6.1%}" for value in found.accuracy.values()),
        f"decision  right and staying so after {found.decision_frames:.1f} frames, "
        f"{found.decision_share:.0%} of the clip (mean of the {found.decided:.1%} that end right)",
        "streams             minutes  actions   found  false alarms/min   after    F1  frames right",
    ]
    lines += [
        f"{one.streams:<19}{one.minutes:>8.1f}{one.actions:>9}{one.found:>8.1%}{one.false_alarms:>18.1f}"
        f"{one.delay:>6.2f} s{one.f1:>6.3f}{one.frames:>14.1%}"
        for one in streams
    ]
    return "\n".join(lines)
