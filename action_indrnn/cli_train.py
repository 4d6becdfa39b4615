"""The commands of training and measuring; everything heavy is imported inside them."""

import sys
from functools import partial
from pathlib import Path
from typing import Annotated, Literal

import typer

from action_indrnn.options import DeviceName as Device
from action_indrnn.options import ModelFile, SetFolder, Threads
from action_indrnn.options import device as _device


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

    from action_indrnn import api, processes

    with processes.group(device) as own:
        target = _device(own, threads)
        say = partial(print, flush=True) if processes.is_first() else _say_nothing
        try:
            api.train(
                settings,
                prepared,
                protocol,
                out,
                seeds=seeds,
                resume=resume,
                data=data,
                device=target,
                say=say,
            )
        except KeyboardInterrupt as stopped:
            say(f"{stopped}; go on with --resume", file=sys.stderr)
            raise typer.Exit(130) from None


def _say_nothing(*_: object, **__: object) -> None:
    """Take what another process says."""


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


def combine(
    models: Annotated[
        list[Path],
        typer.Argument(metavar="MODEL...", help="Model files of one setting, of two seeds or more."),
    ],
    out: Annotated[Path, typer.Option(metavar="FILE", help="The model file, new.")],
) -> None:
    """Put the networks of several seeds together: one model file, whose answer is their mean."""
    if not out.parent.is_dir():
        raise ValueError(f"{out}: expected a new file in a folder that exists")

    from action_indrnn import checkpoint

    card = checkpoint.combine(models, out)
    print(f"{card.config.model.members} networks ({card.config.kind}, {card.dataset} {card.protocol})")
    print(f"model file  {out}")


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
        bool, typer.Option("--over-time", help="Say also how soon, and how well on untrimmed streams.")
    ] = False,
    glitch: Annotated[
        float,
        typer.Option(
            min=0, max=1, help="Share of bodies that lose a joint, and what hangs on it, for a while."
        ),
    ] = 0.0,
    absence: Annotated[
        float, typer.Option(min=0, max=1, help="Share of clips in which people are not seen for a while.")
    ] = 0.0,
    swap: Annotated[
        float,
        typer.Option(
            min=0, max=1, help="Share of clips with left and right joints swapped where a body is first seen."
        ),
    ] = 0.0,
    mirror: Annotated[
        float, typer.Option(min=0, max=1, help="Share of clips mirrored, as of left-handed people.")
    ] = 0.0,
    device: Device = "cpu",
    threads: Threads = 1,
) -> None:
    """Measure a model on a protocol's test split."""
    from action_indrnn.data_prep import archive

    prepared = archive.read(prepared_set)
    if json_file and (json_file.is_dir() or not json_file.parent.is_dir()):
        raise ValueError(f"{json_file}: expected a file in a folder that exists")

    from action_indrnn import api, checkpoint, evaluation, processes
    from action_indrnn import over_time as timing
    from action_indrnn.faults import Faults

    with processes.group(device) as own:
        found = api.evaluate(
            model,
            prepared,
            protocol,
            over_time=over_time,
            glitch=glitch,
            absence=absence,
            swap=swap,
            mirror=mirror,
            allow_overlap=overlap,
            device=_device(own, threads),
        )
        if not processes.is_first():
            return
    print(evaluation.as_text(found.report))
    if found.early:
        print(timing.as_text(found.early, found.streams))
    faults = Faults(glitch, absence, swap, mirror)
    for why, so in (("a partial set", found.partial), (str(faults), faults)):
        if so:
            print(f"{why}: this accuracy does not compare with published ones")
    if json_file:
        with checkpoint.replacing(json_file) as partial_file:
            about = {"model": str(model), "dataset": prepared.meta["dataset"], "protocol": protocol}
            text = found.report.json(**about, **faults.shares(), **found.over_time())
            partial_file.write_text(text, encoding="utf-8")
        print(f"report  {json_file}")
