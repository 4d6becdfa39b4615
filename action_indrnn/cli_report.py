"""The command `report`; everything heavy is imported inside it."""

from pathlib import Path
from typing import Annotated

import typer

from action_indrnn.options import Threads
from action_indrnn.options import device as _device


def report(
    run: Annotated[
        Path,
        typer.Argument(
            metavar="RUN", help="A run's folder, or one that holds runs of several seeds and folds."
        ),
    ],
    out: Annotated[
        Path | None, typer.Option(metavar="FILE", help="The page; RUN/report.html if not given.")
    ] = None,
    prepared_set: Annotated[
        Path | None,
        typer.Option("--set", metavar="SET", help="The prepared set, where it is no longer where it was."),
    ] = None,
    threads: Threads = 1,
) -> None:
    """Write the report of a run: one HTML file that opens from disk, without a network."""
    if not run.is_dir():
        raise ValueError(f"{run}: expected the folder of a run, found {'a file' if run.exists() else 'none'}")
    page = out or run / "report.html"
    if page.is_dir() or not page.parent.is_dir():
        raise ValueError(f"{page}: expected a file in a folder that exists")
    _device("cpu", threads)

    from action_indrnn import report as pages
    from action_indrnn.checkpoint import replacing

    text = pages.build(run, prepared_set)
    with replacing(page) as partial:
        partial.write_text(text, encoding="utf-8")
    print(f"report  {page} ({page.stat().st_size / 1e6:.1f} MB)")
