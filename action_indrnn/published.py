"""The published figures of the shipped configurations, ours beside them, and those of other methods."""

import csv
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from action_indrnn import config
from action_indrnn.config import Published


def rows() -> Iterator[tuple[str, Published]]:
    """Yields each configuration's name with each of its published figures."""
    for name in config.names():
        for figure in config.load(name).published:
            yield name, figure


class Peer(NamedTuple):
    """A published accuracy of another method, top-1 in percent."""

    dataset: str
    protocol: str
    method: str
    kind: str
    top1: float
    source: str


def peers(dataset: str) -> list[Peer]:
    """Other methods' published accuracies on a data set, as `peers.csv` lists them."""
    with Path(__file__).with_name("peers.csv").open(encoding="utf-8", newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["dataset"] == dataset]
    return [
        Peer(dataset, row["protocol"], row["method"], row["kind"], float(row["top1"]), row["source"])
        for row in rows
    ]


def as_text(notes: bool = False) -> str:
    """The figures for a screen, top-1 in percent, a line each; with `notes` their sources below it."""
    width = max(map(len, config.names())) + 2
    lines = [f"{'CONFIG':<{width}}{'SET':<9}{'PROTOCOL':<10}{'paper':>8}{'log':>8}{'here':>10}"]
    for name, figure in rows():
        here = "not run" if figure.measured is None else f"{figure.measured:.2f}"
        theirs = ("-" if value is None else f"{value:.2f}" for value in (figure.paper, figure.log))
        cells = "".join(f"{value:>8}" for value in theirs)
        lines.append(f"{name:<{width}}{figure.dataset:<9}{figure.protocol:<10}{cells}{here:>10}")
        if notes:
            lines += [f"    {text}" for text in (figure.source, figure.note) if text]
    others = [name for name in config.names() if not config.load(name).published]
    lines += [
        "",
        "paper: of 2019 with the statistics of the test batch; log: the authors', with running ones, as here",
        f"without published figures: {', '.join(others)}",
        "a row is measured by: action-indrnn train CONFIG SET --protocol PROTOCOL --out RUN",
    ]
    return "\n".join(lines)
