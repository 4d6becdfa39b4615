"""How fast the recurrence runs, beside the loop that defines it, torch's recurrent layers, and a copy.

Every contender of a shape is timed in turn, round after round, and its median counts, so that a machine whose
speed drifts slows all of them alike. Shapes: `T` steps, `B` sequences, `H` units.
"""

import csv
import statistics
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, fields
from functools import partial
from pathlib import Path

import torch
from torch import Tensor, nn
from tqdm import tqdm

from action_indrnn.kernels import KERNELS, indrnn
from action_indrnn.layers import Linear

Shape = tuple[int, int, int]
CPU_SHAPES: tuple[Shape, ...] = (
    (20, 128, 512),
    (20, 1, 512),
    (300, 32, 512),
    (784, 32, 128),
    (5000, 50, 128),
    (5000, 1, 128),
    (20000, 1, 128),
)
CUDA_SHAPES: tuple[Shape, ...] = (*CPU_SHAPES, (300, 256, 512), (100000, 1, 128))
FORWARD_BYTES, BACKWARD_BYTES = 2, 3  # tensors that have to move: x in, h out; g and h in, dx out
FLUSH_BYTES = 256 * 2**20  # written between two calls on a GPU, so that none finds its input in the L2 cache

Call = Callable[[], object]


@dataclass(frozen=True)
class Row:
    """One contender at one shape.

    Attributes:
        shape: T x B x H.
        level: "recurrence" alone, or "layer" with its input product of H x H weights.
        name: a kernel's name, or torch's class.
        forward_ms, both_ms: median of a forward pass, and of forward and backward pass.
        forward_share, both_share: of the time that copying as many bytes takes; recurrences only, else 0.
    """

    shape: str
    level: str
    name: str
    forward_ms: float
    both_ms: float
    forward_share: float
    both_share: float


def kernels(
    shapes: Iterable[Shape], device: str = "cpu", rounds: int = 7, seconds: float = 0.1
) -> Iterable[list[Row]]:
    """The rows of each shape, one list a shape.

    Args:
        shapes: what to measure.
        device: "cpu" or a CUDA device.
        rounds: how often every contender has its turn.
        seconds: length of a turn; at least one call.
    """
    timer = _time_cuda if torch.device(device).type == "cuda" else _time_cpu
    for shape in shapes:
        contenders = _contenders(shape, device)
        times: dict[tuple[str, str, str], list[float]] = {key: [] for key in contenders}
        for call in contenders.values():
            call()  # compiles, allocates
        turns = [key for _ in range(rounds) for key in contenders]
        for key in tqdm(turns, desc=" x ".join(map(str, shape)), disable=None, leave=False):
            times[key].append(timer(contenders[key], seconds))
        yield _rows(shape, {key: statistics.median(values) for key, values in times.items()})


def _contenders(shape: Shape, device: str) -> dict[tuple[str, str, str], Call]:
    """What to time, by (level, name, "forward" or "both")."""
    units = shape[2]
    torch.manual_seed(0)
    x = torch.randn(shape, device=device)
    grad = torch.randn(shape, device=device)
    target = torch.empty_like(x)
    u = torch.rand(units, device=device)
    contenders: dict[tuple[str, str, str], Call] = {("copy", "copy", "forward"): lambda: target.copy_(x)}

    def add(level: str, name: str, run: Callable[[Tensor], Tensor], weights: Sequence[Tensor]) -> None:
        leaf = x.clone().requires_grad_()

        def forward() -> None:
            with torch.no_grad():
                run(x)

        def both() -> None:
            torch.autograd.grad(run(leaf), (leaf, *weights), grad)

        contenders[level, name, "forward"] = forward
        contenders[level, name, "both"] = both

    weight = u.clone().requires_grad_()
    for name in (*KERNELS, "auto"):
        add("recurrence", name, partial(_recur, weight=weight, backend=name), [weight])
    linear = Linear(units, units).to(device)
    ours = partial(_recur, weight=weight, linear=linear)
    add("layer", "Linear + indrnn", ours, [weight, *linear.parameters()])
    for layer in (nn.LSTM(units, units), nn.GRU(units, units), nn.RNN(units, units, nonlinearity="relu")):
        layer.to(device)
        add("layer", type(layer).__name__, partial(_run, layer=layer), list(layer.parameters()))
    return contenders


def _recur(x: Tensor, weight: Tensor, linear: Linear | None = None, backend: str = "auto") -> Tensor:
    return indrnn(x if linear is None else linear(x), weight, backend=backend)[0]


def _run(x: Tensor, layer: nn.Module) -> Tensor:
    h: Tensor = layer(x)[0]
    return h


def _time_cpu(call: Call, seconds: float) -> float:
    """Milliseconds of a call, the mean over a turn."""
    count, start = 0, time.perf_counter()
    while (passed := time.perf_counter() - start) < seconds or not count:
        call()
        count += 1
    return 1e3 * passed / count


def _time_cuda(call: Call, seconds: float) -> float:
    """Milliseconds of a call on the device's clock, the median over a turn, each with a cold L2 cache."""
    flush = torch.empty(FLUSH_BYTES, dtype=torch.uint8, device="cuda")
    before, after = (torch.cuda.Event(enable_timing=True) for _ in range(2))  # type: ignore[no-untyped-call]
    times: list[float] = []
    start = time.perf_counter()
    while time.perf_counter() - start < seconds or not times:
        flush.zero_()
        before.record()
        call()
        after.record()
        torch.cuda.synchronize()
        times.append(before.elapsed_time(after))
    return statistics.median(times)


def _rows(shape: Shape, median: dict[tuple[str, str, str], float]) -> list[Row]:
    copy = median["copy", "copy", "forward"]
    both = (FORWARD_BYTES + BACKWARD_BYTES) / FORWARD_BYTES * copy
    text = "x".join(map(str, shape))
    rows = [Row(text, "copy", "copy", copy, 0.0, 1.0, 0.0)]
    for level, name, part in median:
        if part == "both":
            forward_ms, both_ms = median[level, name, "forward"], median[level, name, "both"]
            shares = (copy / forward_ms, both / both_ms) if level == "recurrence" else (0.0, 0.0)
            rows.append(Row(text, level, name, forward_ms, both_ms, *shares))
    return rows


def as_text(rows: list[Row]) -> str:
    """The rows of one shape as a table."""
    first = {row.level: row for row in reversed(rows)}
    size = 4 * torch.Size(map(int, rows[0].shape.split("x"))).numel()
    lines = [f"{rows[0].shape}: {size / 2**20:.3g} MB, a copy takes {rows[0].forward_ms:.4g} ms"]
    titles = ("forward ms", "both ms", "share", "both share", "times loop", "both")
    lines += [f"  {'recurrence':<18}" + "".join(f"{title:>12}" for title in titles)]
    for row in rows[1:]:
        base = first[row.level]
        if row.level == "layer" and row is base:
            titles = ("forward ms", "both ms", "", "", "times ours", "both")
            lines += [f"  {'layer':<18}" + "".join(f"{title:>12}" for title in titles)]
        shares = [f"{share:.2f}" if share else "" for share in (row.forward_share, row.both_share)]
        ratios = [base.forward_ms / row.forward_ms, base.both_ms / row.both_ms]
        if row.level == "layer":  # a kernel: so many times as fast as the loop; a layer: as slow as ours
            ratios = [1 / ratio for ratio in ratios]
        cells = [
            f"{row.forward_ms:.4g}",
            f"{row.both_ms:.4g}",
            *shares,
            *(f"{ratio:.3g}" for ratio in ratios),
        ]
        lines.append(f"  {row.name:<18}" + "".join(f"{cell:>12}" for cell in cells))
    return "\n".join(lines)


def write_csv(path: Path, rows: Iterable[Row]) -> None:
    """Write rows as a CSV file."""
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow([column.name for column in fields(Row)])
        writer.writerows([[getattr(row, column.name) for column in fields(Row)] for row in rows])
