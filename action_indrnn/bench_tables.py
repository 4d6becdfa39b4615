"""What a benchmark of the kernels shows: tables, a CSV file, a plot of time against T."""

import csv
import platform
from collections.abc import Iterable, Sequence
from dataclasses import fields
from datetime import date
from pathlib import Path

import torch

from action_indrnn.bench import Row

TITLES = {
    "recurrence": ("forward", "backward", "both", "GB/s", "share", "backward", "both", "times loop", "both"),
    "layer": ("forward", "", "both", "", "", "", "", "times ours", "both"),
}


def as_text(rows: Sequence[Row]) -> str:
    """The rows of one shape as a table; times in ms."""
    lines = [_headline(rows)]
    for level, titles in TITLES.items():
        lines.append(f"  {level:<19}" + "".join(f"{title:>11}" for title in titles))
        for row, cells in _cells(rows, level):
            lines.append(f"  {row.name:<19}" + "".join(f"{cell:>11}" for cell in cells))
    return "\n".join(lines)


def as_markdown(rows: Sequence[Row]) -> str:
    """The same as Markdown."""
    lines = [f"**{_headline(rows)}**", ""]
    for level, titles in TITLES.items():
        kept = [i for i, title in enumerate(titles) if title]
        lines.append(f"| {level} | " + " | ".join(titles[i] for i in kept) + " |")
        lines.append("| --- |" + " ---: |" * len(kept))
        for row, cells in _cells(rows, level):
            lines.append(f"| {row.name} | " + " | ".join(cells[i] for i in kept) + " |")
        lines.append("")
    return "\n".join(lines)


def heading(what: str, command: str, device: str, threads: int) -> str:
    """The head of a Markdown page of tables: machine, versions, date, command."""
    name = torch.cuda.get_device_name(device) if torch.device(device).type == "cuda" else _processor()
    return (
        f"# {what}\n\n{name}, {threads} threads, {platform.system()}, Python {platform.python_version()}, "
        f"torch {torch.__version__}, {date.today()}. Written by\n\n    {command}\n\n"
        "Times are medians in ms. A share is that of a copy of as many bytes: two tensors forward, three "
        "backward. The last two columns say how many times as fast as the loop a kernel is, and how many "
        "times as slow as ours a layer is.\n"
    )


def write_csv(path: Path, rows: Iterable[Row]) -> None:
    """Write rows as a CSV file."""
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow([column.name for column in fields(Row)])
        writer.writerows([[getattr(row, column.name) for column in fields(Row)] for row in rows])


def plot(path: Path, rows: Sequence[Row]) -> None:
    """Write a picture of the time of forward and backward pass against T, a panel for each B x H.

    Raises:
        ValueError: matplotlib is not installed.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise ValueError(f"--plot: expected matplotlib (the extra viz), found none: {error}") from error
    panels = list(dict.fromkeys(row.shape.split("x", 1)[1] for row in rows))
    figure = Figure(figsize=(6 * len(panels), 5), layout="constrained")
    for axes, panel in zip(figure.subplots(1, len(panels), squeeze=False)[0], panels, strict=True):
        here = [row for row in rows if row.both_ms and row.shape.split("x", 1)[1] == panel]
        for level, name in dict.fromkeys((row.level, row.name) for row in here if row.name != "auto"):
            line = [row for row in here if (row.level, row.name) == (level, name)]
            steps = [int(row.shape.split("x")[0]) for row in line]
            style = "--" if level == "layer" else "-"
            axes.plot(steps, [row.both_ms for row in line], style, marker=".", label=name)
        axes.set(xscale="log", yscale="log", xlabel="steps T", ylabel="forward and backward pass, ms")
        axes.set_title(f"B x H = {panel}; dashed: with an H x H input product")
        axes.grid(alpha=0.3)
        axes.legend()
    figure.savefig(path, dpi=110)


def _headline(rows: Sequence[Row]) -> str:
    size = 4 * torch.Size(map(int, rows[0].shape.split("x"))).numel()
    return f"{rows[0].shape}: {size / 2**20:.3g} MB, a copy takes {rows[0].forward_ms:.4g} ms"


def _cells(rows: Sequence[Row], level: str) -> Iterable[tuple[Row, list[str]]]:
    """Every row of a level with its numbers."""
    here = [row for row in rows if row.level == level]
    for row in here:
        times = [row.forward_ms, row.backward_ms, row.both_ms]
        shares = [row.forward_share, row.backward_share, row.both_share]
        ratios = [_ratio(here[0].forward_ms, row.forward_ms), _ratio(here[0].both_ms, row.both_ms)]
        if level == "layer":  # a kernel: so many times as fast as the loop; a layer: as slow as ours
            ratios = [1 / ratio for ratio in ratios]
        cells = [
            *(f"{ms:.4g}" if ms else "" for ms in times),
            f"{row.forward_gbs:.3g}" if row.forward_gbs else "",
        ]
        cells += [f"{share:.2f}" if share else "" for share in shares]
        cells += [f"{ratio:.3g}" if ratio else "" for ratio in ratios]
        yield row, cells


def _ratio(one: float, other: float) -> float:
    return one / other if other else 0.0


def _processor() -> str:
    """The processor's name, where the system tells it."""
    told = Path("/proc/cpuinfo")
    names = (
        [line for line in told.read_text().splitlines() if line.startswith("model name")]
        if told.exists()
        else []
    )
    return names[0].partition(":")[2].strip() if names else platform.machine()
