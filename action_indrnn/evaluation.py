"""Accuracy: scores over several passes, and the report made of them.

Shapes: N clips, K classes.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from tqdm import tqdm

from action_indrnn import every_frame, processes, products
from action_indrnn.config import Config
from action_indrnn.data_prep.layout import Layout
from action_indrnn.dataset import Clips, Integers, Sampling, draw_frames
from action_indrnn.models import Classifier

SEED = 0  # of the frames sampled in an evaluation: a published number does not depend on a lucky one
MATRIX_CLASSES = 20  # the most for which a matrix of numbers can be read on a screen
MOST_CONFUSED = 15


@torch.inference_mode()
@products.full_width()
def scores(
    model: Classifier,
    clips: Clips,
    numbers: Integers,
    *,
    frames: int,
    sampling: Sampling = "segments",
    deviation: float = 0.0,
    passes: int,
    batch: int,
    exchange: bool = False,
    seed: int = SEED,
    progress: str = "",
) -> NDArray[np.float32]:
    """Logits of every pass, (passes, N, K), with the running statistics of batch normalisation.

    Each clip's random frames depend on the seed and its name alone. Several processes share the work and all
    have the whole result.

    Args:
        model: on any device; its mode is restored.
        clips: where the clips stand.
        numbers: (N,) which of them.
        frames: S, frames sampled in a pass.
        sampling: how; see `Clips.sample`.
        deviation: of that number between passes; see `draw_frames`.
        passes: random samplings of every clip.
        batch: samplings in a batch.
        exchange: see `exchanged_passes`.
        seed: of the sampling.
        progress: what a progress bar is called; empty for none.

    Raises:
        ValueError: a logit is not finite; names the clip.
    """
    device = next(model.parameters()).device
    was_training = model.training
    model.eval()
    logits = np.zeros((passes, len(numbers), model.classes), np.float32)
    lengths = pass_lengths(frames, deviation, passes, seed)
    others = exchanged_passes(passes, exchange)
    count = max(1, batch // passes)  # clips at once, each in all its passes
    hidden = None if progress and processes.is_first() else True
    # A process takes whole batches and leaves the others' logits 0, until all are added: so every bit is that
    # of one process alone, however many share the work.
    starts = range(count * processes.rank(), len(numbers), count * processes.count())
    for start in tqdm(starts, desc=progress, unit=" batches", disable=hidden, leave=False):
        some = numbers[start : start + count]
        drawn = clips.uniform(some, passes, int(lengths.max()), seed)  # (passes, B, S + 1)
        for length in np.unique(lengths).tolist():
            which = np.flatnonzero(lengths == length)
            uniform = drawn[which, :, : length + 1].reshape(-1, length + 1)
            tiled = np.tile(some, len(which))
            x = clips.sample(tiled, length, uniform, sampling)
            x = clips.exchanged(x, tiled, np.repeat(others[which], len(some)))
            found = model(x.to(device))[0].cpu().numpy()
            logits[which, start : start + count] = found.reshape(len(which), len(some), -1)
    processes.total(torch.from_numpy(logits))
    model.train(was_training)
    return _checked(logits, clips, numbers)


def judged(
    model: Classifier,
    clips: Clips,
    numbers: Integers,
    settings: Config,
    layout: Layout,
    *,
    passes: int | None = None,
    progress: str = "",
) -> NDArray[np.float32]:
    """`scores` as the settings say, in another number of passes where given.

    A network that detects actions sees every frame of a clip, in one pass, and says the mean over them.
    """
    data = settings.data
    if settings.detects:
        return _of_every_frame(model, clips, numbers, settings, layout)
    return scores(
        model,
        clips,
        numbers,
        frames=data.frames,
        sampling=data.sampling,
        deviation=data.frames_deviation,
        passes=settings.evaluate.passes if passes is None else passes,
        batch=settings.evaluate.batch,
        exchange=settings.evaluate.exchange,
        progress=progress,
    )


@torch.inference_mode()
@products.full_width()
def _of_every_frame(
    model: Classifier, clips: Clips, numbers: Integers, settings: Config, layout: Layout
) -> NDArray[np.float32]:
    """(1, N, K); several processes do all the same work."""
    device, was_training = next(model.parameters()).device, model.training
    model.eval()
    found = np.zeros((1, len(numbers), model.classes - 1), np.float32)
    count = max(1, settings.evaluate.batch // 8)  # clips are longer than what is sampled of them
    for some, x, lengths in every_frame.batches(clips, numbers, layout, settings.data.follow, count):
        means = every_frame.running_means(model(x.to(device), every=True)[0]).cpu()
        found[0, some] = means[lengths - 1, torch.arange(len(lengths))].numpy()
    model.train(was_training)
    return _checked(found, clips, numbers)


def _checked(logits: NDArray[np.float32], clips: Clips, numbers: Integers) -> NDArray[np.float32]:
    wrong = np.flatnonzero(~np.isfinite(logits).all(axis=(0, 2)))
    if wrong.size:
        raise ValueError(f"expected finite logits, found others for {clips.names[numbers[wrong[0]]]}")
    return logits


def pass_lengths(frames: int, deviation: float, passes: int, seed: int = SEED) -> Integers:
    """(passes,) how many frames each pass samples; see `draw_frames`."""
    random = np.random.default_rng(seed)
    return np.array([draw_frames(frames, deviation, random) for _ in range(passes)])


def exchanged_passes(passes: int, exchange: bool) -> NDArray[np.bool_]:
    """(passes,) in which passes the second of two people is the main actor: every second one, or none."""
    others: NDArray[np.bool_] = (np.arange(passes) % 2 == 1) & exchange
    return others


def probabilities(logits: NDArray[np.float32]) -> NDArray[np.float64]:
    """Class probabilities (N, K) from the logits of several passes (passes, N, K): softmax of their mean.

    The mean orders the classes as the original's sum of logits does.
    """
    return _softmax(logits.mean(axis=0, dtype=np.float64))


def _softmax(mean: NDArray[np.float64]) -> NDArray[np.float64]:
    powers = np.exp(mean - mean.max(axis=-1, keepdims=True))
    shares: NDArray[np.float64] = powers / powers.sum(axis=-1, keepdims=True)
    return shares


@dataclass(frozen=True)
class Report:
    """Accuracy on labelled clips.

    Attributes:
        names: N clip names.
        classes: K class names.
        labels: (N,) true classes.
        scores: (N, K), logits, the mean over passes.
        passes: random samplings summed.
        single_pass: accuracy of one sampling, the mean over passes.
    """

    names: Sequence[str]
    classes: Sequence[str]
    labels: Integers
    scores: NDArray[np.float64]
    passes: int
    single_pass: float

    @classmethod
    def of(
        cls, names: Sequence[str], classes: Sequence[str], labels: Integers, logits: NDArray[np.float32]
    ) -> "Report":
        """The report on the logits of several passes, (passes, N, K)."""
        single = float((logits.argmax(axis=-1) == labels).mean())
        return cls(names, classes, labels, logits.mean(axis=0, dtype=np.float64), len(logits), single)

    @property
    def predicted(self) -> Integers:
        """(N,) the most probable class."""
        labels: Integers = self.scores.argmax(axis=1)
        return labels

    def top(self, k: int) -> float:
        """The share of clips whose true class is among the k most probable."""
        order = np.argsort(-self.scores, axis=1, kind="stable")[:, :k]  # among equals the first, as argmax
        return float((order == self.labels[:, None]).any(axis=1).mean())

    @property
    def confusion(self) -> Integers:
        """(K, K) clips by true class (row) and predicted class (column)."""
        count = len(self.classes)
        pairs = np.bincount(self.labels * count + self.predicted, minlength=count * count)
        return pairs.reshape(count, count)

    @property
    def per_class(self) -> NDArray[np.float64]:
        """(K,) accuracy on each class's clips; NaN for a class without any."""
        confusion = self.confusion
        with np.errstate(invalid="ignore"):
            shares: NDArray[np.float64] = confusion.diagonal() / confusion.sum(axis=1)
        return shares

    @property
    def mean_class(self) -> float:
        """The mean accuracy of the classes that have clips."""
        return float(np.nanmean(self.per_class))

    def table(self) -> dict[str, Any]:
        """The report as JSON's types; shares between 0 and 1."""
        confusion = self.confusion
        return {
            "clips": len(self.labels),
            "passes": self.passes,
            "top1": self.top(1),
            "top5": self.top(5),
            "mean_class": self.mean_class,
            "top1_single_pass": self.single_pass,
            "classes": [
                {
                    "class": name,
                    "clips": int(row.sum()),
                    "accuracy": None if not row.sum() else float(row[label] / row.sum()),
                }
                for label, (name, row) in enumerate(zip(self.classes, confusion, strict=True))
            ],
            "confusion": confusion.tolist(),
            "per_clip": [
                {
                    "name": name,
                    "label": int(label),
                    "predicted": int(predicted),
                    "probabilities": [round(float(value), 6) for value in row],
                }
                for name, label, predicted, row in zip(
                    self.names, self.labels, self.predicted, _softmax(self.scores), strict=True
                )
            ],
        }

    def json(self, **more: Any) -> str:
        """The report as JSON text, with more keys in front."""
        return json.dumps({**more, **self.table()}, allow_nan=False) + "\n"


def measure(
    model: Classifier,
    clips: Clips,
    numbers: Integers,
    labels: Integers,
    classes: list[str],
    settings: Config,
    layout: Layout,
    progress: str = "",
) -> Report:
    """The report on some clips, sampled as the settings say; `labels` are those of all clips."""
    logits = judged(model, clips, numbers, settings, layout, progress=progress)
    return Report.of([clips.names[number] for number in numbers], classes, labels[numbers], logits)


def as_text(report: Report) -> str:
    """The report for a screen: totals, a line a class, the confusion matrix or its largest entries."""
    classes, confusion = report.classes, report.confusion
    short = [f"{label + 1:03}" for label in range(len(classes))]
    lines = [
        f"top-1 {report.top(1):.2%}, top-5 {report.top(5):.2%}, mean class {report.mean_class:.2%} "
        f"({len(report.labels):,} clips, {report.passes} passes; single pass {report.single_pass:.2%})",
        "",
    ]
    table = pd.DataFrame(
        {"": short, "class": classes, "clips": confusion.sum(axis=1), "accuracy": report.per_class}
    )
    lines += [table.to_string(index=False, formatters={"accuracy": "{:.1%}".format}, justify="left"), ""]
    if len(classes) <= MATRIX_CLASSES:
        lines += ["confusion: rows are true classes, columns predicted ones"]
        lines += [pd.DataFrame(confusion, short, short).to_string()]
        return "\n".join(lines)
    wrong = confusion - np.diag(confusion.diagonal())
    largest = np.argsort(-wrong, axis=None, kind="stable")[:MOST_CONFUSED]
    lines += ["most confused: clips, true class -> predicted class"]
    for true, predicted in zip(*np.unravel_index(largest, wrong.shape), strict=True):
        if wrong[true, predicted]:
            lines += [f"{wrong[true, predicted]:6}  {classes[true]} -> {classes[predicted]}"]
    return "\n".join(lines)
