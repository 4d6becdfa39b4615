"""The commands for the other tasks of the IndRNN papers; as in `cli`, the heavy is imported inside them."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from action_indrnn import options
from action_indrnn.options import DeviceName, Threads

if TYPE_CHECKING:
    from action_indrnn.task_config import Task
    from action_indrnn.task_curve import Point
    from action_indrnn.task_fit import Trainer

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
    Path | None,
    typer.Option(
        "--out", metavar="FILE", help="Write the curve here, as .csv or .json, and a checkpoint beside it."
    ),
]
Resume = Annotated[bool, typer.Option("--resume", help="Go on from the checkpoint beside --out.")]


@app.command()
def adding(
    config: ConfigName = "task_adding_short",
    length: Annotated[int | None, typer.Option(min=2, help="Steps of a sequence (data.length).")] = None,
    compare: Annotated[
        Literal["lstm"] | None,
        typer.Option(
            help="Then train an LSTM of as many units, with the same settings and as much processor time."
        ),
    ] = None,
    override: Override = None,
    minutes: Minutes = None,
    out: CurveFile = None,
    resume: Resume = False,
    device: DeviceName = "cpu",
    threads: Threads = 1,
) -> None:
    """Add the two marked numbers of a long sequence."""
    from action_indrnn import task_adding, task_config

    overrides = [*(override or ()), *([f"data.length={length}"] if length else ())]
    settings = task_config.load(task_config.Adding, config, overrides)
    keep = _Files(out, resume)
    target = options.device(device, threads)
    kinds = dict.fromkeys((settings.model.kind, compare or settings.model.kind))  # each once, in this order
    print(
        f"adding problem, {settings.data.length:,} steps; mean squared error of always answering 1: "
        f"{task_adding.BASELINE:.4f}",
        flush=True,
    )
    curves: dict[str, list[Point]] = {}
    limit = float("inf")
    for kind in kinds:
        model = settings.model.model_copy(update={"kind": kind})
        one = settings.model_copy(update={"model": model})
        trainer = task_adding.trainer(one, target)
        _train(kind, trainer, curves, minutes, keep, one, cpu_seconds=limit)
        minutes, limit = None, trainer.points[-1].cpu_seconds


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
    resume: Resume = False,
    device: DeviceName = "cpu",
    threads: Threads = 1,
) -> None:
    """Say which digit it is after its 784 pixels, one a step."""
    from action_indrnn import task_config, task_mnist

    overrides = [*(override or ()), *(["data.permuted=true"] if permuted else ())]
    settings = task_config.load(task_config.Mnist, config, overrides)
    keep = _Files(out, resume)
    target = options.device(device, threads)
    trainer = task_mnist.trainer(settings, data, target)
    print(f"{'permuted' if settings.data.permuted else 'sequential'} MNIST, 784 steps", flush=True)
    _train(settings.model.kind, trainer, {}, minutes, keep, settings)
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
    resume: Resume = False,
    device: DeviceName = "cpu",
    threads: Threads = 1,
) -> None:
    """Predict the next character or word of the Penn Treebank."""
    from action_indrnn import task_config, task_ptb

    settings = task_config.load(task_config.Ptb, config, override or ())
    keep = _Files(out, resume)
    target = options.device(device, threads)
    trainer = task_ptb.trainer(settings, data, target)
    print(f"Penn Treebank, {settings.data.unit}", flush=True)
    _train(settings.model.kind, trainer, {}, minutes, keep, settings)
    if (published := settings.published) is not None:
        end = published.bits or published.perplexity
        print(f"published end point: {'none' if end is None else end} ({published.source})")


class _Files:
    """What a run writes: the curve, and for each network a checkpoint.

    Args:
        curve: where the curve goes, if anywhere.
        resume: whether to go on from checkpoints.

    Raises:
        ValueError: the curve has another ending, no folder, or is a folder itself.
        typer.BadParameter: nowhere to resume from.
    """

    def __init__(self, curve: Path | None, resume: bool) -> None:
        self.curve, self.resume = curve, resume
        if curve is None:
            if resume:
                raise typer.BadParameter("expected --out, which the checkpoint stands beside")
            return
        if curve.suffix not in (".csv", ".json"):
            raise ValueError(f"{curve}: expected a file name that ends in .csv or .json")
        if curve.is_dir() or not curve.parent.is_dir():
            raise ValueError(f"{curve}: expected a file in a folder that exists")

    def checkpoint(self, network: str) -> Path | None:
        """The checkpoint's path.

        Raises:
            ValueError: it is there, but nobody has asked to go on from it.
        """
        if self.curve is None:
            return None
        path = self.curve.with_suffix(f".{network}.pt")
        if path.exists() and not self.resume:
            raise ValueError(f"{path}: holds a run; go on with it (--resume), or name another --out")
        return path


def _made_with(trainer: "Trainer", settings: "Task") -> dict[str, str]:
    """All that a curve's figures follow from, besides this program and machine."""
    import torch

    fixed: dict[str, object] = {"data": trainer.task.data, "number of threads": torch.get_num_threads()}
    for section, values in settings.model_dump(include={"model", "data", "train"}).items():
        fixed |= {f"{section}.{key}": value for key, value in values.items()}
    del fixed["train.steps"]
    return {key: str(value) for key, value in fixed.items()}


def _train(
    name: str,
    trainer: "Trainer",
    curves: "dict[str, list[Point]]",
    minutes: float | None,
    files: _Files,
    settings: "Task",
    cpu_seconds: float = float("inf"),
) -> None:
    """Train one network, print its curve and its end, and write all curves so far.

    Raises:
        typer.Exit: interrupted; curve and checkpoint are written.
        ValueError: there is a checkpoint that is not this run's.
    """
    import torch

    from action_indrnn import task_curve

    weights = sum(parameter.numel() for parameter in trainer.model.parameters())
    print(f"{name}: {weights:,} parameters, seed {trainer.settings.seed}", flush=True)
    checkpoint, made_with = files.checkpoint(name), _made_with(trainer, settings)
    if checkpoint and checkpoint.exists():
        trainer.resume(checkpoint, made_with)
        print(f"{name}: goes on after step {trainer.progress.step:,}", flush=True)
    curves[name] = trainer.points
    about = {
        "settings": settings.model_dump(mode="json"),
        "threads": torch.get_num_threads(),
        "measure": trainer.task.measure,
    }

    def keep() -> None:
        if files.curve:
            task_curve.write_curves(files.curve, curves, about)

    try:
        trainer.run(
            seconds=float("inf") if minutes is None else 60 * minutes,
            cpu_seconds=cpu_seconds,
            say=_printer(trainer.task.measure),
            keep=keep,
            checkpoint=checkpoint,
            made_with=made_with,
        )
    except KeyboardInterrupt:
        hint = "; --resume goes on" if checkpoint else ""
        print(f"stopped at step {trainer.progress.step:,}{hint}", file=sys.stderr)
        raise typer.Exit(130) from None
    best, last, measure = trainer.best_point, trainer.points[-1], trainer.task.measure
    print(
        f"{name}: {measure} {best.figure:.4f} at step {best.step:,}; "
        f"{last.step:,} steps in {last.seconds / 60:.1f} minutes ({last.cpu_seconds / 60:.1f} of CPU)"
    )
    if score := trainer.test():
        print(f"{name}: test {measure} {score.figure:.4f}, weights of step {best.step:,}")
    if files.curve:
        print(f"curve  {files.curve}", flush=True)


def _printer(measure: str) -> "Callable[[Point], None]":
    def say(point: "Point") -> None:
        print(
            f"  step {point.step:>7,}  {point.seconds:7.1f} s  rate {point.learning_rate:.1e}  "
            f"loss {point.train_loss:.4f}  {measure} {point.figure:.4f}",
            flush=True,
        )

    return say
