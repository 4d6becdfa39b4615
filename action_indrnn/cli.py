"""The command line: which commands there are. Each is a function of a `cli_` module."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from action_indrnn import (
    __version__,
    cli_bench,
    cli_data,
    cli_inspect,
    cli_live,
    cli_report,
    cli_serve,
    cli_task,
    cli_train,
)

app = typer.Typer(
    name="action-indrnn",
    help="Recognise human actions from 3D skeletons with deep independently recurrent networks (IndRNN).",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

bench = typer.Typer(help="Measure speed.", no_args_is_help=True)


@app.callback(invoke_without_command=True)
def _root(
    version: Annotated[
        bool, typer.Option("--version", help="Print the version and exit.", is_eager=True)
    ] = False,
) -> None:
    if version:
        print(f"action-indrnn {__version__}")
        raise typer.Exit


def demo(
    out: Annotated[Path, typer.Argument(metavar="OUT", help="A folder for all that the demo writes.")] = Path(
        "demo"
    ),
) -> None:
    """Run the whole walk on made data: make, preprocess, train, evaluate, classify."""
    from action_indrnn import demo as demonstration

    demonstration.run(out)


# In the order of work, as --help lists them.
app.command()(demo)
app.command("make-data")(cli_data.make_data)
app.command()(cli_data.preprocess)
app.command()(cli_inspect.inspect)
app.command("export-data")(cli_data.export_data)
app.command()(cli_train.configs)
app.command()(cli_train.train)
app.command()(cli_train.evaluate)
app.command()(cli_train.combine)
app.command()(cli_report.report)
app.command("import-checkpoint")(cli_train.import_checkpoint)
app.command()(cli_live.classify)
app.command()(cli_live.stream)
app.command()(cli_serve.serve)
app.command()(cli_live.export)
app.add_typer(cli_task.app, name="task")
app.add_typer(bench, name="bench")
bench.command("kernels")(cli_bench.bench_kernels)
bench.command("train")(cli_bench.bench_train)
bench.command("live")(cli_bench.bench_live)
bench.command("data")(cli_bench.bench_data)
bench.command("accuracy")(cli_bench.bench_accuracy)


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
