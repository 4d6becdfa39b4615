"""The commands for the other tasks of the IndRNN papers; as in `cli`, the heavy is imported inside them."""

import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from action_indrnn import options
from action_indrnn.options import DeviceName, Threads

if TYPE_CHECKING:
    from action_indrnn.task_fit import Point, Trainer

app = typer.Typer(
    help="Train on the other tasks of the IndRNN papers: adding problem, MNIST by pixels, Penn Treebank.",
    no_args_is_help=True,
)

ConfigName = Annotated[
    str, typer.Option("--config", metavar="CONFIG", help="A shipped name, such as the default, or a .toml.")
]
Override = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Replace a setting, as train.batch=64."),
]
Minutes = Annotated[
    float | None, typer.Option(min=0, help="Stop training at the first validation after so many.")
]
CurveFile = Annotated[
    Path | None, typer.Option("--out", metavar="FILE", help="Write the curve here too, as .csv or .json.")
]


@app.command()
def adding(
    config: ConfigName = "task_adding_short",
    length: Annotated[int | None, typer.Option(min=2, help="Steps of a sequence (data.length).")] = None,
    compare: Annotated[
        Literal["lstm"] | None,
        typer.Option(help="Then train an LSTM of as many units, with the same settings and as long."),
    ] = None,
    override: Override = None,
    minutes: Minutes = None,
    out: CurveFile = None,
    device: DeviceName = "cpu",
    threads: Threads = 1,
) -> None:
    """Add the two marked numbers of a long sequence."""
    from action_indrnn import task_adding, task_config

    overrides = [*(override or ()), *([f"data.length={length}"] if length else ())]
    settings = task_config.load(task_config.Adding, config, overrides)
    keep = _curve_file(out)
    target = options.device(device, threads)
    kinds = dict.fromkeys((settings.model.kind, compare or settings.model.kind))  # each once, in this order
    print(
        f"adding problem, {settings.data.length:,} steps; mean squared error of always answering 1: "
        f"{task_adding.BASELINE:.4f}",
        flush=True,
    )
    curves: dict[str, list[Point]] = {}
    limit = minutes
    for kind in kinds:
        model = settings.model.model_copy(update={"kind": kind})
        trainer = task_adding.trainer(settings.model_copy(update={"model": model}), target)
        _train(kind, trainer, curves, limit, keep, settings.model_dump(mode="json"))
        limit = trainer.points[-1].seconds / 60


@app.command()
def mnist(
    data: Annotated[
        Path, typer.Argument(metavar="DATA", help="The folder of the four MNIST files, idx or idx.gz.")
    ],
    config: ConfigName = "task_mnist_short",
    permuted: Annotated[
        bool, typer.Option("--permuted", help="Pixels in one random order (data.permuted).")
    ] = False,
    override: Override = None,
    minutes: Minutes = None,
    out: CurveFile = None,
    device: DeviceName = "cpu",
    threads: Threads = 1,
) -> None:
    """Say which digit it is after its 784 pixels, one a step."""
    from action_indrnn import task_config, task_mnist

    overrides = [*(override or ()), *(["data.permuted=true"] if permuted else ())]
    settings = task_config.load(task_config.Mnist, config, overrides)
    keep = _curve_file(out)
    target = options.device(device, threads)
    trainer = task_mnist.trainer(settings, data, target)
    print(f"{'permuted' if settings.data.permuted else 'sequential'} MNIST, 784 steps", flush=True)
    _train(settings.model.kind, trainer, {}, minutes, keep, settings.model_dump(mode="json"))
    if (published := settings.published) is not None:
        end = published.permuted if settings.data.permuted else published.sequential
        print(f"published end point: {'none' if end is None else f'{end} %'} ({published.source})")


@app.command()
def ptb(
    data: Annotated[
        Path, typer.Argument(metavar="DATA", help="The folder or zip archive of the ptb.*.txt files.")
    ],
    config: ConfigName = "task_ptb_short",
    override: Override = None,
    minutes: Minutes = None,
    out: CurveFile = None,
    device: DeviceName = "cpu",
    threads: Threads = 1,
) -> None:
    """Predict the next character or word of the Penn Treebank."""
    from action_indrnn import task_config, task_ptb

    settings = task_config.load(task_config.Ptb, config, override or ())
    keep = _curve_file(out)
    target = options.device(device, threads)
    trainer = task_ptb.trainer(settings, data, target)
    print(f"Penn Treebank, {settings.data.unit}", flush=True)
    _train(settings.model.kind, trainer, {}, minutes, keep, settings.model_dump(mode="json"))
    if (published := settings.published) is not None:
        end = published.bits or published.perplexity
        print(f"published end point: {'none' if end is None else end} ({published.source})")


def _curve_file(out: Path | None) -> Path | None:
    """The path, once it is sure that a curve can be written there.

    Raises:
        ValueError: another ending, no folder, or a folder itself.
    """
    if out is None:
        return None
    if out.suffix not in (".csv", ".json"):
        raise ValueError(f"{out}: expected a file name that ends in .csv or .json")
    if out.is_dir() or not out.parent.is_dir():
        raise ValueError(f"{out}: expected a file in a folder that exists")
    return out


def _train(
    name: str,
    trainer: "Trainer",
    curves: "dict[str, list[Point]]",
    minutes: float | None,
    out: Path | None,
    settings: Mapping[str, Any],
) -> None:
    """Train one network, print its curve and its end, and write all curves so far.

    Raises:
        typer.Exit: interrupted; the curve is written.
    """
    import torch

    from action_indrnn import task_fit

    curves[name] = trainer.points
    about = {"settings": settings, "threads": torch.get_num_threads(), "measure": trainer.measure}

    def keep() -> None:
        if out:
            task_fit.write_curves(out, curves, about)

    weights = sum(parameter.numel() for parameter in trainer.model.parameters())
    print(f"{name}: {weights:,} parameters, seed {trainer.settings.seed}", flush=True)
    seconds = float("inf") if minutes is None else 60 * minutes
    try:
        trainer.run(seconds=seconds, say=_printer(trainer.measure), keep=keep)
    except KeyboardInterrupt:
        print(f"stopped at step {trainer.step:,}", file=sys.stderr)
        raise typer.Exit(130) from None
    best, last = trainer.best_point, trainer.points[-1]
    print(
        f"{name}: {trainer.measure} {best.figure:.4f} at step {best.step:,}; "
        f"{last.step:,} steps in {last.seconds / 60:.1f} minutes ({last.cpu_seconds / 60:.1f} of CPU)"
    )
    if score := trainer.test():
        print(f"{name}: test {trainer.measure} {score.figure:.4f}, weights of step {best.step:,}")
    if out:
        print(f"curve  {out}", flush=True)


def _printer(measure: str) -> "Callable[[Point], None]":
    def say(point: "Point") -> None:
        print(
            f"  step {point.step:>7,}  {point.seconds:7.1f} s  rate {point.learning_rate:.1e}  "
            f"loss {point.train_loss:.4f}  {measure} {point.figure:.4f}",
            flush=True,
        )

    return say
