"""How fast networks learn: clips per second, where the time of a step goes, and how much memory it takes.

Beside every network stands an LSTM of the same depth and widths: one torch LSTM layer for each recurrence,
of as many units, without normalisation and dropout, on the same inputs, and the same classifier. All
contenders take their turns round after round, as in `bench.py`, and the median counts. The clips are random
numbers in the shape of NTU's; a step is the whole of it as in training: sampling a batch, varying it where
that is asked for, forward and backward pass, Adam.

Shares come from torch's profiler over a few further steps: "data" and "optimiser" are stretches of a step,
"recurrence" and "products" operators by name, forwards and backwards; the time of an operator counts, on a
GPU that of its kernels. Peak memory on a GPU is what torch allocates there; on a CPU it is the growth of a
process of its own, on Linux only.
"""

import csv
import multiprocessing
import statistics
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.profiler import ProfilerActivity, profile, record_function
from tqdm import tqdm

from action_indrnn import config
from action_indrnn.batches import Batches
from action_indrnn.classifier import Bidirectional, Classifier, Recur
from action_indrnn.config import Config
from action_indrnn.data_prep import layout
from action_indrnn.dataset import Clips, Integers
from action_indrnn.models import build
from action_indrnn.optimisation import Learner

NETWORKS = ("plain", "residual", "dense")
CLIPS, FRAMES, JOINTS, BODIES, CLASSES = 512, 80, 25, 2, 60  # frames: about the mean of NTU's clips
LAYOUT = "ntu25"  # of the clips
PROFILED = 3  # steps
RECURRENCE = (
    *("_Recurrence", "_RecurrenceBackward"),
    *("action_indrnn::recurrence", "action_indrnn::recurrence_backward"),  # under torch.compile
)
PRODUCTS = ("aten::mm", "aten::addmm", "aten::bmm", "aten::baddbmm")


@dataclass(frozen=True)
class Row:
    """One contender.

    Attributes:
        network: name of the configuration.
        kind: "IndRNN", or "LSTM" of the same depth and widths.
        recurrences: how many, one after the other.
        parameters: how many.
        clips_per_second, step_ms: median of the turns.
        data, recurrence, products, optimiser: shares of a step; an LSTM's kernels do not tell the two in the
            middle apart, so both are NaN.
        peak_mib: memory that training takes on top of torch itself, MiB; NaN where it cannot be read.
    """

    network: str
    kind: str
    recurrences: int
    parameters: int
    clips_per_second: float
    step_ms: float
    data: float
    recurrence: float
    products: float
    optimiser: float
    peak_mib: float


class LSTMs(Classifier):
    """LSTM layers of given widths on what another network sees, and a classifier of the last step."""

    def __init__(self, widths: Sequence[int], other: Classifier) -> None:
        super().__init__(
            other.features,
            other.classes,
            widths[-1],
            geometry=other.front is not None,
            time_difference=other.difference is not None,
            streams=other.streams,
        )
        inputs = (self.inputs, *widths[:-1])
        self.layers = nn.ModuleList(nn.LSTM(*sizes) for sizes in zip(inputs, widths, strict=True))

    def body(self, x: Tensor, recur: Recur) -> Tensor:
        """Returns the output of the last layer, (T, B, H); every clip begins with a state of zeros."""
        for layer in self.layers:
            x = layer(x)[0]
        return x


class Contender:
    """A network that learns from random clips."""

    def __init__(self, settings: Config, kind: str, device: str) -> None:
        torch.manual_seed(0)
        self.settings = settings
        joints = layout.load(LAYOUT)
        clips = _clips().near(torch.device(device))
        labels = np.random.default_rng(0).integers(CLASSES, size=CLIPS)
        numbers = np.arange(CLIPS)
        self.batches = Batches(settings, clips, labels, numbers, torch.device(device), joints)
        model = build(settings, clips.features, CLASSES, joints)
        self.widths = [layer.units for layer in model.recurrences()]
        if kind == "LSTM":
            model = LSTMs(self.widths, model.ahead if isinstance(model, Bidirectional) else model)
        self.learner = Learner(model.to(device).train(), settings.train)
        self.done = 0

    def step(self) -> None:
        """One step of learning, as training does it."""
        epoch, number = divmod(self.done, self.batches.steps)
        if number == 0:
            self.epoch = self.batches.of(epoch)
        self.learner.step(self._parts(self.epoch[number]), self.settings.train.learning_rate)
        self.done += 1

    def _parts(self, numbers: Integers) -> Iterator[tuple[Tensor, Tensor]]:
        parts = self.batches.parts(numbers, self.done)
        while True:
            with record_function("data"):
                part = next(parts, None)
            if part is None:
                return
            yield part


def measure(
    networks: Iterable[str],
    overrides: Sequence[str] = (),
    device: str = "cpu",
    rounds: int = 5,
    seconds: float = 1.0,
) -> list[Row]:
    """The rows of some configurations, each with its LSTM.

    Args:
        networks: names of configurations, or paths.
        overrides: settings to replace, as `config.load` takes them.
        device: "cpu" or a CUDA device.
        rounds: how often every contender has its turn.
        seconds: length of a turn; at least one step.
    """
    keys = [(name, kind) for name in networks for kind in ("IndRNN", "LSTM")]
    settings = {name: config.load(name, overrides) for name, _ in keys}
    memory = {key: _peak(settings[key[0]], key[1], device) for key in keys}
    contenders = {key: Contender(settings[key[0]], key[1], device) for key in keys}
    for contender in contenders.values():
        contender.step()  # compiles, allocates
    times: dict[tuple[str, str], list[float]] = {key: [] for key in keys}
    for key in tqdm([*keys] * rounds, desc="turns", disable=None, leave=False):
        times[key].append(_turn(contenders[key].step, seconds, device))
    rows = []
    for (name, kind), contender in contenders.items():
        step = statistics.median(times[name, kind])
        shares = _shares(contender.step, device)
        if kind == "LSTM":
            shares |= {"recurrence": float("nan"), "products": float("nan")}
        rows.append(
            Row(
                network=name,
                kind=kind,
                recurrences=len(contender.widths),
                parameters=sum(parameter.numel() for parameter in contender.learner.model.parameters()),
                clips_per_second=contender.batches.size / step,
                step_ms=1e3 * step,
                peak_mib=memory[name, kind],
                **shares,
            )
        )
    return rows


def _clips() -> Clips:
    """Random clips in the shape of NTU's: two bodies of 25 joints, metres."""
    rows = torch.randn(CLIPS * BODIES * FRAMES, JOINTS, 3)
    start = torch.arange(CLIPS) * BODIES * FRAMES
    names = [f"clip {number}" for number in range(CLIPS)]
    return Clips(names, rows, start, torch.full((CLIPS,), FRAMES), torch.full((CLIPS,), BODIES))


def _wait(device: str) -> None:
    if torch.device(device).type == "cuda":
        torch.cuda.synchronize(device)


def _turn(step: Callable[[], None], seconds: float, device: str) -> float:
    """Seconds of a step, the mean over a turn."""
    _wait(device)
    count, start = 0, time.perf_counter()
    while not count or time.perf_counter() - start < seconds:
        step()
        count += 1
        _wait(device)
    return (time.perf_counter() - start) / count


def _shares(step: Callable[[], None], device: str) -> dict[str, float]:
    """What part of a step goes into what, by the profiler."""
    cuda = torch.device(device).type == "cuda"
    with profile(activities=[ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if cuda else [])]) as found:
        for _ in range(PROFILED):
            with record_function("step"):
                step()
        _wait(device)
    spent = {
        event.key: event.device_time_total if cuda else event.cpu_time_total
        for event in found.key_averages()
        if event.device_type.name == "CPU"
    }
    parts = {"data": ("data",), "recurrence": RECURRENCE, "products": PRODUCTS, "optimiser": ("optimiser",)}
    return {part: sum(spent.get(key, 0) for key in keys) / spent["step"] for part, keys in parts.items()}


def _peak(settings: Config, kind: str, device: str) -> float:
    """MiB that training takes at most."""
    if torch.device(device).type == "cuda":
        before = torch.cuda.memory_allocated(device)
        torch.cuda.reset_peak_memory_stats(device)
        contender = Contender(settings, kind, device)
        for _ in range(2):  # from the second step on Adam's moments are there
            contender.step()
        return (torch.cuda.max_memory_allocated(device) - before) / 2**20
    # What a process has freed it may keep, so every contender gets a fresh one.
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(_grown, (settings, kind, torch.get_num_threads()))


def _grown(settings: Config, kind: str, threads: int) -> float:
    """MiB by which this process's memory grows at most while a network learns."""
    if not Path("/proc/self/status").exists():
        return float("nan")
    torch.set_num_threads(threads)
    # What the first products and gradients of a process leave behind is torch's, not the network's.
    (torch.randn(64, 64, requires_grad=True) @ torch.randn(64, 64)).sum().backward()  # type: ignore[no-untyped-call]
    before = _status("VmRSS")
    contender = Contender(settings, kind, "cpu")
    for _ in range(2):
        contender.step()
    return (_status("VmHWM") - before) / 1024


def _status(key: str) -> int:
    """A number of Linux's account of this process, KiB."""
    lines = Path("/proc/self/status").read_text(encoding="ascii", errors="replace").splitlines()
    (value,) = (line.split()[1] for line in lines if line.startswith(f"{key}:"))
    return int(value)


def as_text(rows: Sequence[Row]) -> str:
    """The rows as a table."""
    titles = (
        "layers",
        "parameters",
        "step ms",
        "clips/s",
        "times",
        "data",
        "recur.",
        "products",
        "optim.",
        "rest",
    )
    lines = [f"{'':<18}" + "".join(f"{title:>11}" for title in (*titles, "peak MB"))]
    for row in rows:
        base = next(other for other in rows if other.network == row.network and other.kind == "LSTM")
        shares = (row.data, row.recurrence, row.products, row.optimiser)
        cells = (
            str(row.recurrences),
            f"{row.parameters:,}",
            f"{row.step_ms:.1f}",
            f"{row.clips_per_second:.0f}",
            f"{row.clips_per_second / base.clips_per_second:.2f}",
            *(_percent(share) for share in (*shares, 1 - sum(shares))),
            "" if np.isnan(row.peak_mib) else f"{row.peak_mib:.0f}",
        )
        lines.append(f"{row.network + ' ' + row.kind:<18}" + "".join(f"{cell:>11}" for cell in cells))
    return "\n".join(lines)


def _percent(share: float) -> str:
    return "" if np.isnan(share) else f"{share:.1%}"


def write_csv(path: Path, rows: Iterable[Row]) -> None:
    """Write rows as a CSV file."""
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, [column.name for column in fields(Row)], lineterminator="\n")
        writer.writeheader()
        writer.writerows(asdict(row) for row in rows)
