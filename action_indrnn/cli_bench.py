"""The benchmarks; everything heavy is imported inside them."""

import sys
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from action_indrnn.options import DeviceName as Device
from action_indrnn.options import Threads
from action_indrnn.options import device as _device


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
    workers: Annotated[
        int | None,
        typer.Option(
            min=1, help="Runs at once; one for every --threads cores if not given, one alone on a GPU."
        ),
    ] = None,
    device: Device = "cpu",
    threads: Threads = 1,
) -> None:
    """Train and test networks on data sets, every fold and seed; print a Markdown table of accuracies."""
    from action_indrnn import bench_accuracy as benchmark
    from action_indrnn.data_prep import pool

    target = _device(device, threads)
    if workers is None:
        workers = max(1, pool.cores() // threads) if target == "cpu" else 1
    settings = benchmark.load(configs or benchmark.BASELINES, override or ())
    jobs = [benchmark.Job.of(words) for words in sets]
    say = partial(print, file=sys.stderr, flush=True)
    rows = benchmark.measure(settings, jobs, out, seeds, minutes, target, say, workers)
    print(benchmark.as_markdown(rows, jobs))


def bench_data(
    clips: Annotated[
        int, typer.Option(min=60, max=57_600, help="Recordings to make and prepare; 56,880 are NTU RGB+D 60.")
    ] = 1500,
    rounds: Annotated[int, typer.Option(min=1, help="Turns of every parser.")] = 5,
    seed: Annotated[int, typer.Option(min=0, help="Of the made recordings.")] = 0,
    workers: Annotated[
        list[int] | None,
        typer.Option(min=1, help="Processes; repeatable. 1 and one a core if not given."),
    ] = None,
    archive: Annotated[
        Path | None, typer.Option(metavar="FILE", help="A zip to make once and use again.")
    ] = None,
    second: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="Another, of the setups that NTU RGB+D 120 adds; both are prepared."
        ),
    ] = None,
) -> None:
    """Time parsing and preprocess beside a plain reader, on made text of NTU RGB+D's clip lengths."""
    from action_indrnn.data_prep import benchmark

    for line in benchmark.run(clips, rounds, seed, workers or (), archive, second):
        print(line, flush=True)


def bench_live(
    config: Annotated[
        str, typer.Argument(metavar="[CONFIG]", help="A shipped name or a .toml.")
    ] = "residual",
    streams: Annotated[
        list[int] | None,
        typer.Option("--streams", min=1, help="Streams at once; 1, 10, 100 and 1000 if not given."),
    ] = None,
    seconds: Annotated[float, typer.Option(min=0, help="Of every contender.")] = 2.0,
    frames: Annotated[
        int, typer.Option(min=0, help="Instead, feed so many frames to one stream and say how memory grows.")
    ] = 0,
    threads: Threads = 1,
) -> None:
    """Time a frame to its answer: here, torch eager and compiled, onnxruntime, and a window run anew."""
    from action_indrnn import bench_live as benchmark
    from action_indrnn import config as configuration

    _device("cpu", threads)
    settings = configuration.load(config)
    lines = benchmark.run(settings, streams or benchmark.STREAMS, seconds, threads)
    if frames:
        lines = benchmark.memory(settings, frames)
    else:
        print(f"{config}: microseconds a frame of all streams, {threads} threads")
    for line in lines:
        print(line, flush=True)
