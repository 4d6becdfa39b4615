"""Training and measuring in one call each: what the commands `train` and `evaluate` do.

With `preparation.prepare` and `recognizer.Recognizer` that is the Python API, imported from `action_indrnn`.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from action_indrnn import checkpoint, config, detection, folds, processes, splits
from action_indrnn import over_time as timing
from action_indrnn.config import Config
from action_indrnn.data_prep import archive
from action_indrnn.data_prep.archive import PreparedSet
from action_indrnn.dataset import Where
from action_indrnn.detection import Detection
from action_indrnn.evaluation import Report
from action_indrnn.exam import Exam
from action_indrnn.faults import Faults
from action_indrnn.outcome import Result
from action_indrnn.over_time import Early
from action_indrnn.recognizer import Recognizer
from action_indrnn.training import Run


def train(
    settings: str | Path | Config,
    prepared_set: str | Path | PreparedSet,
    protocol: str,
    out: str | Path,
    *,
    overrides: Sequence[str] = (),
    seeds: int = 1,
    resume: bool = False,
    data: Where = "auto",
    device: str | torch.device = "cpu",
    say: Callable[[str], None] = lambda line: None,
) -> list[Result]:
    """Train a network and measure it once on the test split; what `action-indrnn train` does.

    On one machine a seed fixes every number, for one number of torch's threads (`torch.set_num_threads`).

    Args:
        settings: a shipped name ("plain", "residual", "dense", "demo", ...), a `.toml`, or a `Config`.
        prepared_set: as `prepare` makes it.
        protocol: one of the set's ("xsub"), a rule ("fold=1"), or with `*` all of its folds ("fold=*").
        out: the run's folder, new; several runs stand in out/seed-N, out/PROTOCOL, out/PROTOCOL/seed-N.
        overrides: settings to replace, as "train.batch=64"; of a name or a file, not of a `Config`.
        seeds: how many runs of each fold, from the settings' `train.seed` on.
        resume: go on with interrupted runs, bit for bit.
        data: where the set is held; see `dataset.Clips.near`.
        device: where the network is trained.
        say: takes what there is to tell, a line at a time.

    Returns:
        One result for each run, seed by seed: model file, report, epochs; accuracies between 0 and 1.

    Raises:
        ValueError: settings, set and protocol that do not fit one another, a taken folder, or a loss that is
            not finite.
        KeyboardInterrupt: asked to stop; the folder holds all of the work, for `resume`.

    >>> [result] = train("demo", "set", "xsub", "run", overrides=["train.max_epochs=2"])
    >>> result.epochs
    2
    >>> 0 <= result.report.top(1) <= 1
    True
    """
    if isinstance(settings, Config) and overrides:
        raise ValueError("expected overrides of a name or a file, found them beside a Config")
    chosen = settings if isinstance(settings, Config) else config.load(str(settings), overrides)
    prepared = prepared_set if isinstance(prepared_set, PreparedSet) else archive.read(prepared_set)
    results = []
    for fold, seeded, folder in folds.runs(chosen, prepared, protocol, seeds, Path(out)):
        run = Run(seeded, prepared, fold, folder, device, data)
        if resume:
            run.resume()
        else:
            run.start()
        say(run.as_text())
        try:
            results.append(run.train(say))
            if chosen.detects and run.validates and processes.is_first():
                say(_fit_rule(run, results[-1].model))
        except KeyboardInterrupt:
            done = run.progress
            raise KeyboardInterrupt(f"stopped in epoch {done.epoch + 1}, step {done.step}") from None
        say(results[-1].as_text())
    if len(results) > 1:
        top1: dict[str, list[float]] = {}
        for result in results:
            top1.setdefault(result.protocol, []).append(result.report.top(1))
        say(f"{protocol} test: top-1 {folds.summary(list(top1.values()))}")
    return results


def _fit_rule(run: Run, model_file: Path) -> str:
    """Fit the rule of a network that detects actions on the clips held out; what was found, in words."""
    model, card = checkpoint.load_model(model_file)
    clips, held, labels = run.clips, run.split.validation, run.labels
    kinds = [
        detection.paused(clips, held, labels),
        detection.end_to_end(clips, held, labels),
        splits.recordings_of(run.prepared, held),
    ]
    rule = detection.fit(Recognizer(model, card), [kind for kind in kinds if kind])
    checkpoint.save_model(model_file, model, card.model_copy(update={"rule": rule}))
    return (
        f"decision    begins at {rule.threshold:g}, ends below {rule.release:g}, smoothed over "
        f"{rule.smoothing:g} s, held for {rule.hold:g} s (fitted on streams of the {card.held_out})"
    )


@dataclass(frozen=True)
class Evaluation:
    """What a model reaches on a protocol's test split.

    Attributes:
        report: accuracies, confusion matrix, and every clip's scores.
        partial: whether the set is a part of its data set, so that the accuracy does not compare with
            published ones.
        early: how soon clips are recognised; none where it was not asked for.
        streams: decisions on untrimmed streams, made of the clips and real ones; empty likewise.
    """

    report: Report
    partial: bool
    early: Early | None = None
    streams: Sequence[Detection] = ()

    def over_time(self) -> dict[str, Any]:
        """Both measures over time as JSON's types, empty where they were not asked for."""
        return {} if self.early is None else {"over_time": timing.table(self.early, self.streams)}


def evaluate(
    model: str | Path,
    prepared_set: str | Path | PreparedSet,
    protocol: str,
    *,
    over_time: bool = False,
    glitch: float = 0.0,
    absence: float = 0.0,
    swap: float = 0.0,
    mirror: float = 0.0,
    allow_overlap: bool = False,
    device: str | torch.device = "cpu",
) -> Evaluation:
    """Measure a model on a protocol's test split; what `action-indrnn evaluate` does.

    Args:
        model: a model file, RUN/model.safetensors.
        prepared_set: as `prepare` makes it.
        protocol: one of the set's, or a rule.
        over_time: measure also how soon it is right, and decisions on untrimmed streams.
        glitch: share of the test clips' bodies, from 0 to 1, that a sensor loses a joint of, with all that
            hangs on it, for up to half of the clip; see `augment.glitch`.
        absence: share of the test clips, from 0 to 1, in which it sees nobody, or one of several bodies less,
            for up to half of the clip; see `augment.absence`.
        swap: share of the test clips, from 0 to 1, in which left and right joints are taken for each other
            where a body is first seen.
        mirror: share of the test clips, from 0 to 1, that become their mirror images, as of left-handed
            people; see `mirror_images.classes_by_name` for what class they are then of.
        allow_overlap: also where the model has trained on test clips.
        device: where the network runs.

    Returns:
        The report, (N, K) scores of N test clips and K classes in it; accuracies between 0 and 1.

    Raises:
        ValueError: model, set and protocol do not fit one another, the model has trained on test clips, or
            a fault is asked for in measures over time, half of which are on recordings as they are.

    >>> found = evaluate("run/model.safetensors", "set", "xsub", over_time=True)
    >>> found.report.confusion.shape
    (14, 14)
    >>> len(found.report.labels)
    15
    >>> list(found.early.accuracy)  # percent of the clip seen
    [10, 20, 30, 40, 50, 60, 70, 80, 90, 100]
    """
    faults = Faults(glitch, absence, swap, mirror)
    if faults and over_time:
        raise ValueError(f"expected recordings as they are in measures over time, found {faults}")
    exam = Exam.of(model, prepared_set, protocol, faults=faults, allow_overlap=allow_overlap, device=device)
    report = exam.report("evaluate")
    if not over_time or not processes.is_first():
        return Evaluation(report, exam.partial)
    return Evaluation(report, exam.partial, *exam.over_time())
