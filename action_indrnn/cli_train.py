"""The commands of training and measuring; everything heavy is imported inside them."""

import math
import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from action_indrnn.options import DeviceName as Device
from action_indrnn.options import ModelFile, SetFolder, Threads
from action_indrnn.options import device as _device

if TYPE_CHECKING:
    from action_indrnn.training import Result


def train(
    config: Annotated[
        str, typer.Argument(metavar="CONFIG", help="A shipped name (plain, residual, dense, ...) or a .toml.")
    ],
    prepared_set: SetFolder,
    protocol: Annotated[
        str,
        typer.Option(help="One of the set's, a rule as fold=1, or with * all of its folds, as fold=*."),
    ],
    out: Annotated[Path, typer.Option(metavar="RUN", help="The run's folder, new.")],
    override: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="Replace a setting, as train.batch=64."),
    ] = None,
    seeds: Annotated[
        int,
        typer.Option(
            min=1, help="Train with so many seeds, from train.seed on, in RUN/seed-N or RUN/PROTOCOL/seed-N."
        ),
    ] = 1,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with an interrupted run.")] = False,
    data: Annotated[
        Literal["auto", "device", "host"],
        typer.Option(help="Hold the set in the device's memory; auto: if half of what is free is enough."),
    ] = "auto",
    device: Device = "cpu",
    threads: Threads = 1,
) -> None:
    """Train a network; measure it once on the test split at the end."""
    from action_indrnn import config as configuration
    from action_indrnn.data_prep import archive

    settings = configuration.load(config, override or ())
    prepared = archive.read(prepared_set)

    from action_indrnn import folds, processes, training

    results: dict[str, list[float]] = {}
    with processes.group(device) as own:
        target = _device(own, threads)
        say = partial(print, flush=True) if processes.is_first() else _say_nothing
        for fold, seeded, folder in folds.runs(settings, prepared, protocol, seeds, out):
            run = training.Run(seeded, prepared, fold, folder, target, data)
            if resume:
                run.resume()
            else:
                run.start()
            split = run.split
            weights = sum(parameter.numel() for parameter in run.model.parameters())
            say(
                f"{settings.model.kind}, {weights:,} parameters, {fold}, seed {seeded.train.seed}; clips: "
                f"{len(split.train):,} training, {len(split.validation):,} validation ({split.held_out}), "
                f"{len(split.test):,} test"
            )
            try:
                result = run.train(say)
            except KeyboardInterrupt:
                done = run.progress
                stopped = f"stopped in epoch {done.epoch + 1}, step {done.step}; go on with --resume"
                say(stopped, file=sys.stderr)
                raise typer.Exit(130) from None
            results.setdefault(fold, []).append(result.report.top(1))
            say(_result(result, fold))
        if len(results) > 1 or seeds > 1:
            say(f"{protocol} test: top-1 {folds.summary(list(results.values()))}")


def _say_nothing(*_: object, **__: object) -> None:
    """Take what another process says."""


def _result(result: "Result", protocol: str) -> str:
    report = result.report
    chosen = (
        "the last"
        if math.isnan(result.validation_accuracy)
        else f"validation {result.validation_accuracy:.2%}"
    )
    return (
        f"{result.epochs} epochs, weights of epoch {result.best_epoch} ({chosen})\n"
        f"{protocol} test: top-1 {report.top(1):.2%}, top-5 {report.top(5):.2%}, "
        f"mean class {report.mean_class:.2%} ({len(report.labels):,} clips, {report.passes} passes)\n"
        f"model file  {result.model}"
    )


def configs(
    notes: Annotated[bool, typer.Option("--notes", help="Name the sources of the figures too.")] = False,
) -> None:
    """List the shipped configurations with the published accuracies and ours."""
    from action_indrnn import published

    print(published.as_text(notes))


def import_checkpoint(
    weights: Annotated[
        Path, typer.Argument(metavar="WEIGHTS", help="A state_dict that IndRNN_pytorch's training saved.")
    ],
    config: Annotated[
        str, typer.Argument(metavar="CONFIG", help="A shipped name (plain, residual, dense, ...) or a .toml.")
    ],
    out: Annotated[Path, typer.Argument(metavar="OUT", help="The model file, new.")],
    protocol: Annotated[str, typer.Option(help="What it was trained under: xsub, xview or xset.")],
    dataset: Annotated[str, typer.Option(help="What it was trained on: ntu60 or ntu120.")] = "ntu60",
    override: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="Replace a setting, as model.layers=4."),
    ] = None,
) -> None:
    """Turn weights of the original project, Sunnydreamrain/IndRNN_pytorch, into a model file."""
    from action_indrnn import config as configuration

    settings = configuration.load(config, override or ())
    if out.exists() or not out.parent.is_dir():
        raise ValueError(f"{out}: expected a new file in a folder that exists")

    from action_indrnn import original

    model = original.import_checkpoint(weights, settings, dataset, protocol, out)
    count = sum(parameter.numel() for parameter in model.parameters())
    print(f"{settings.model.kind} IndRNN, {count:,} parameters\nmodel file  {out}")
    print("joints as recorded: evaluate it on a set of preprocess --view raw")


def evaluate(
    model: ModelFile,
    prepared_set: SetFolder,
    protocol: Annotated[str, typer.Option(help="xsub, xview or xset, as the set has them.")],
    json_file: Annotated[
        Path | None,
        typer.Option("--json", metavar="FILE", help="Write the report here too, with every clip."),
    ] = None,
    overlap: Annotated[
        bool, typer.Option("--allow-overlap", help="Also where the model has trained on test clips.")
    ] = False,
    over_time: Annotated[
        bool, typer.Option("--over-time", help="Say also how soon, and how well on unsegmented streams.")
    ] = False,
    device: Device = "cpu",
    threads: Threads = 1,
) -> None:
    """Measure a model on a protocol's test split."""
    from action_indrnn import checkpoint
    from action_indrnn.data_prep import archive

    prepared = archive.read(prepared_set)
    if json_file and (json_file.is_dir() or not json_file.parent.is_dir()):
        raise ValueError(f"{json_file}: expected a file in a folder that exists")

    from action_indrnn import dataset, evaluation, processes
    from action_indrnn.recognizer import Recognizer

    with processes.group(device) as own:
        network, card = checkpoint.load_model(model, _device(own, threads))
        card.check_fit(prepared)
        split = dataset.split(prepared, protocol, seed=card.seed)
        if card.dataset == prepared.meta["dataset"] and card.protocol != protocol and not overlap:
            raise ValueError(
                f"{model}: trained under {card.protocol}, whose training clips are among the test clips of "
                f"{protocol}; train under that protocol, or say --allow-overlap"
            )
        clips = dataset.Clips.of_set(prepared)
        clips = clips.aligned(card.layout()) if card.config.data.align else clips
        labels, names = prepared.column("label"), prepared.classes
        report = evaluation.measure(network, clips, split.test, labels, names, card.config, "evaluate")
        if not processes.is_first():
            return
    print(evaluation.as_text(report))
    more: dict[str, object] = {}
    if over_time:
        from action_indrnn import over_time as timing

        found = timing.measure(Recognizer(network, card), clips, split.test, labels)
        print(timing.as_text(*found))
        more["over_time"] = timing.table(*found)
    if prepared.meta["counts"]["clips_of_whole_set"] and not prepared.meta["counts"]["whole"]:
        print("a partial set: this accuracy does not compare with published ones")
    if json_file:
        with checkpoint.replacing(json_file) as partial_file:
            dataset_name = prepared.meta["dataset"]
            text = report.json(model=str(model), dataset=dataset_name, protocol=protocol, **more)
            partial_file.write_text(text, encoding="utf-8")
        print(f"report  {json_file}")
