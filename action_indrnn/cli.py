"""The command line. Everything heavy is imported inside the commands, so that `--help` answers at once."""

import math
import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from action_indrnn import __version__, cli_inspect, cli_live, cli_task
from action_indrnn.options import DeviceName as Device
from action_indrnn.options import Threads
from action_indrnn.options import device as _device

if TYPE_CHECKING:
    from action_indrnn.training import Result

app = typer.Typer(
    name="action-indrnn",
    help="Recognise human actions from 3D skeletons with deep independently recurrent networks (IndRNN).",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

bench = typer.Typer(help="Measure speed.", no_args_is_help=True)
app.add_typer(bench, name="bench")
app.add_typer(cli_task.app, name="task")

DatasetName = Annotated[
    str,
    typer.Argument(
        metavar="DATASET",
        help="ntu60, ntu120, sbu, msr-action3d, utkinect, florence3d, made, custom, pyskl, ctr-gcn-npz, "
        "stgcn-npy.",
    ),
]
SetFolder = Annotated[Path, typer.Argument(metavar="SET", help="A prepared set, as preprocess writes it.")]
ModelFile = Annotated[Path, typer.Argument(metavar="MODEL", help="A model file, RUN/model.safetensors.")]


@app.callback(invoke_without_command=True)
def _root(
    version: Annotated[
        bool, typer.Option("--version", help="Print the version and exit.", is_eager=True)
    ] = False,
) -> None:
    if version:
        print(f"action-indrnn {__version__}")
        raise typer.Exit


@app.command("make-data")
def make_data(
    out: Annotated[Path, typer.Argument(metavar="OUT", help="A new folder for the .skeleton files.")],
    subjects: Annotated[int, typer.Option(min=2, max=40, help="How many made people perform.")] = 10,
    seed: Annotated[int, typer.Option(min=0, help="Of everything random.")] = 0,
) -> None:
    """Make a data set of procedurally animated people, in NTU RGB+D's file format; nothing is recorded."""
    from action_indrnn.data_prep import made

    count = made.write(out, subjects=subjects, seed=seed)
    print(f"made {count} clips of {len(made.CLASSES)} actions by {subjects} made people in {out}")


@app.command()
def preprocess(
    dataset: DatasetName,
    raw: Annotated[
        list[Path], typer.Argument(metavar="RAW...", help="The data set's files, folders, zip archives.")
    ],
    out: Annotated[Path, typer.Argument(metavar="OUT", help="The prepared set's folder, new.")],
    view: Annotated[
        Literal["camera", "first-frame", "raw"],
        typer.Option(
            help="Axes: the camera's, or turned until the main actor faces it in the first frame; raw keeps "
            "the camera as the origin too."
        ),
    ] = "camera",
    recipe: Annotated[
        Literal["tracks", "ctr-gcn"],
        typer.Option(help="Actors: ours, on true frame numbers; or exactly as SGN's and CTR-GCN's scripts."),
    ] = "tracks",
    workers: Annotated[int, typer.Option(min=0, help="Processes; 0 for one a core.")] = 0,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the prepared set at OUT.")] = False,
) -> None:
    """Turn raw recordings into a prepared set."""
    from action_indrnn.data_prep import catalogue, posture
    from action_indrnn.data_prep import preprocess as preprocessing

    data_set = catalogue.find(dataset, raw)
    summary = preprocessing.preprocess(
        data_set, raw, out, view=view, recipe=recipe, workers=workers, overwrite=overwrite
    )
    print(f"prepared set  {out}: {summary.clips:,} clips of {data_set.title}")
    if summary.whole:
        print("whole         all usable clips, training and test counts as published")
    elif data_set.clip_count:
        print(
            f"partial       {summary.clips:,} of {data_set.clip_count:,} usable clips: "
            "accuracies on it do not compare with published ones"
        )
    for protocol, (train, test) in summary.counts.items():
        print(f"{protocol:<13} {train:,} training, {test:,} test")
    if data_set.name == "custom":
        rules = ", ".join(f"{column}=..." for column in (*data_set.columns, "clip/5"))
        print(f"protocols     any of {rules}")
    print(f"left out      {summary.skipped:,} recordings ({out / 'skipped.csv'} says why), ", end="")
    print(f"{summary.dropped:,} bodies ({out / 'dropped.csv'})")
    for doubt, count in summary.doubts.items():
        if count > summary.clips / 2:
            told = f"{count:,} of {summary.clips:,} clips: {posture.CURES[doubt]}"
            print(f"action-indrnn: warning: {out}: {told}", file=sys.stderr)


@app.command("export-data")
def export_data(
    prepared_set: SetFolder,
    out: Annotated[Path, typer.Argument(metavar="OUT", help="A new file; for stgcn-npy a new folder.")],
    format_name: Annotated[
        Literal["ctr-gcn-npz", "pyskl-pkl", "stgcn-npy"], typer.Option("--format", help="Whose format.")
    ],
    protocol: Annotated[
        str, typer.Option(help="Which clips train; pyskl-pkl takes all of the set's where none is given.")
    ] = "",
) -> None:
    """Write a prepared set in another project's format."""
    from action_indrnn.data_prep import archive, exports

    count = exports.write(archive.read(prepared_set), out, format_name, protocol)
    print(f"exported      {out}: {count:,} clips as {format_name}")


@app.command()
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


@app.command()
def configs(
    notes: Annotated[bool, typer.Option("--notes", help="Name the sources of the figures too.")] = False,
) -> None:
    """List the shipped configurations with the published accuracies and ours."""
    from action_indrnn import published

    print(published.as_text(notes))


@app.command("import-checkpoint")
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


@app.command()
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


@app.command()
def classify(
    model: ModelFile,
    clip: Annotated[
        list[Path],
        typer.Argument(
            metavar="CLIP...", help=".skeleton, .npy, .npz, .csv, .json, .jsonl, .bvh files; folders, zips."
        ),
    ],
    recorded: Annotated[
        str,
        typer.Option(
            "--layout",
            metavar="LAYOUT",
            help="The clips' joint layout, where it is not the model's: a shipped name or a .toml.",
        ),
    ] = "",
    top: Annotated[int, typer.Option(min=1, help="How many actions to print.")] = 5,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON object a clip, with all classes.")
    ] = False,
    device: Device = "cpu",
    threads: Threads = 1,
) -> None:
    """Say which action a recording shows."""
    import json

    from action_indrnn.data_prep import clip_file, layout, sources
    from action_indrnn.data_prep.clip import ClipError

    found = sources.find(clip, clip_file.WANTED, ", ".join(clip_file.SUFFIXES))
    joint_layout = layout.find(recorded) if recorded else None
    target = _device(device, threads)

    from action_indrnn.recognizer import Recognizer

    recognizer = Recognizer.load(model, target)
    failed = False
    for source in found:
        try:
            one = recognizer.read(source, joint_layout)
            verdict = recognizer.classify(one)
        except (ClipError, OSError) as error:
            failed = True
            print(f"action-indrnn: {error}", file=sys.stderr)
            if as_json:
                print(json.dumps({"source": str(source), "error": str(error)}), flush=True)
            continue
        for doubt in recognizer.doubts(one):
            print(f"action-indrnn: warning: {source}: {doubt}", file=sys.stderr)
        if as_json:
            actions = [
                {"action": name, "probability": share} for name, share in verdict.top(len(verdict.classes))
            ]
            print(json.dumps({"source": str(source), "name": verdict.name, "actions": actions}), flush=True)
        else:
            print(source)
            for name, share in verdict.top(top):
                print(f"  {share:6.1%}  {name}", flush=True)
    if failed:
        raise typer.Exit(1)


@bench.command("kernels")
def bench_kernels(
    csv_file: Annotated[
        Path | None, typer.Option("--csv", metavar="FILE", help="Write the rows here too.")
    ] = None,
    markdown: Annotated[Path | None, typer.Option(metavar="FILE", help="Write a page of tables.")] = None,
    plot: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Draw time against T, .png or .svg; needs matplotlib.")
    ] = None,
    rounds: Annotated[int, typer.Option(min=1, help="Turns of every contender.")] = 7,
    seconds: Annotated[float, typer.Option(min=0, help="Length of a turn.")] = 0.1,
    longest: Annotated[int, typer.Option(min=1, help="Leave out shapes with more steps.")] = 10**9,
    device: Device = "cpu",
    threads: Threads = 2,
) -> None:
    """Time the recurrence's kernels beside the plain loop, torch's layers and a copy of the same bytes."""
    import torch

    from action_indrnn import bench as benchmark
    from action_indrnn import bench_tables, kernels

    target = _device(device, threads)
    every = benchmark.CPU_SHAPES if torch.device(target).type == "cpu" else benchmark.CUDA_SHAPES
    shapes = [shape for shape in every if shape[0] <= longest]
    print(
        f"{kernels.backend(torch.empty(1000, 1, 1, device=target))}; {threads} threads; medians of {rounds}"
    )
    measured, page = [], []
    for rows in benchmark.kernels(shapes, target, rounds, seconds):
        print(bench_tables.as_text(rows), flush=True)
        measured += rows
        page.append(bench_tables.as_markdown(rows))
    if csv_file:
        bench_tables.write_csv(csv_file, measured)
    if markdown:
        command = f"action-indrnn bench kernels --device {device} --threads {threads} --rounds {rounds}"
        head = bench_tables.heading("The recurrence, measured", command, target, threads)
        markdown.write_text("\n".join([head, *page]), encoding="utf-8")
    if plot:
        sweep = [shape for shape in benchmark.SWEEP if shape[0] <= longest]
        turns = -(-rounds // 2)  # neighbouring points of a line steady each other
        lines = benchmark.kernels(sweep, target, turns, seconds / 2, layers=["LSTM"])
        bench_tables.plot(plot, [row for rows in lines for row in rows])


@bench.command("train")
def bench_train(
    networks: Annotated[
        list[str] | None,
        typer.Argument(metavar="[CONFIG]...", help="Configurations; plain, residual and dense if not given."),
    ] = None,
    override: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="Replace a setting, as train.precision=bfloat16."),
    ] = None,
    csv_file: Annotated[
        Path | None, typer.Option("--csv", metavar="FILE", help="Write the rows here too.")
    ] = None,
    rounds: Annotated[int, typer.Option(min=1, help="Turns of every contender.")] = 5,
    seconds: Annotated[float, typer.Option(min=0, help="Length of a turn.")] = 1.0,
    device: Device = "cpu",
    threads: Threads = 2,
) -> None:
    """Time the training of networks beside LSTMs of the same depth and widths; split a step, count memory."""
    from action_indrnn import bench_train as benchmark

    target = _device(device, threads)
    rows = benchmark.measure(networks or benchmark.NETWORKS, override or (), target, rounds, seconds)
    print(f"steps of random clips in NTU's shape; {target}, {threads} threads; medians of {rounds} turns")
    print(benchmark.as_text(rows))
    if csv_file:
        benchmark.write_csv(csv_file, rows)


@bench.command("accuracy")
def bench_accuracy(
    sets: Annotated[
        list[str], typer.Argument(metavar="SET:PROTOCOL...", help="Prepared sets, as sbu:fold=* or ntu:xsub.")
    ],
    out: Annotated[Path, typer.Option(metavar="OUT", help="Folder of all runs; finished ones are kept.")],
    configs: Annotated[
        list[str] | None,
        typer.Option(
            "--config",
            metavar="NAME [KEY=VALUE...]",
            help="A row, as 'plain model.pooling=both'; repeatable.",
        ),
    ] = None,
    override: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Replace a setting of every row.")
    ] = None,
    seeds: Annotated[int, typer.Option(min=1, help="Runs of every fold, from train.seed on.")] = 5,
    minutes: Annotated[
        float, typer.Option(min=0, help="Begin no further run after so long; call again to go on.")
    ] = float("inf"),
    device: Device = "cpu",
    threads: Threads = 1,
) -> None:
    """Train and test networks on data sets, every fold and seed; print a Markdown table of accuracies."""
    from action_indrnn import bench_accuracy as benchmark

    target = _device(device, threads)
    settings = benchmark.load(configs or benchmark.BASELINES, override or ())
    jobs = [benchmark.Job.of(words) for words in sets]
    say = partial(print, file=sys.stderr, flush=True)
    print(benchmark.as_markdown(benchmark.measure(settings, jobs, out, seeds, minutes, target, say), jobs))


@bench.command("data")
def bench_data(
    clips: Annotated[int, typer.Option(min=60, help="Recordings to make and prepare.")] = 1500,
    rounds: Annotated[int, typer.Option(min=1, help="Turns of every parser.")] = 5,
    seed: Annotated[int, typer.Option(min=0, help="Of the made recordings.")] = 0,
    workers: Annotated[int, typer.Option(min=0, help="Most processes; 0 for one a core.")] = 0,
) -> None:
    """Time parsing and preprocess beside a plain reader, on made text of NTU RGB+D's clip lengths."""
    from action_indrnn.data_prep import benchmark

    for line in benchmark.run(clips, rounds, seed, workers):
        print(line, flush=True)


@app.command()
def demo(
    out: Annotated[Path, typer.Argument(metavar="OUT", help="A folder for all that the demo writes.")] = Path(
        "demo"
    ),
) -> None:
    """Run the whole walk on made data: make, preprocess, train, evaluate, classify."""
    from action_indrnn import demo as demonstration

    demonstration.run(out)


# Behind the others, as --help lists them in this order.
cli_live.add(app, bench)
app.command()(cli_inspect.inspect)


def main() -> None:
    """Run the command line: exit status 1 for bad input with one line on stderr, 2 for bad usage."""
    sys.stdout.reconfigure(errors="backslashreplace")  # type: ignore[union-attr] # names may hold any byte
    try:
        app()
    except (ValueError, OSError) as error:
        print(f"action-indrnn: {error}", file=sys.stderr)
        sys.exit(1)
    except MemoryError as error:
        print(f"action-indrnn: out of memory: {error}", file=sys.stderr)
        sys.exit(1)
