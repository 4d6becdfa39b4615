"""How fast the recurrence runs, beside the loop that defines it, torch's recurrent layers, and a copy.

Every contender of a shape is timed in turn, round after round, and its median counts, so that a machine whose
speed drifts slows all of them alike. Shapes: `T` steps, `B` sequences, `H` units.
"""

import statistics
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from functools import partial
from typing import NamedTuple

import torch
from torch import Tensor, nn
from tqdm import tqdm

from action_indrnn.kernels import CUDA_KERNELS, KERNELS, Kernel, cpu, cuda, cuda_plain, indrnn
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
SWEEP: tuple[Shape, ...] = (  # of the plot
    *((2**power, 1, 128) for power in range(4, 15)),
    *((2**power, 32, 128) for power in range(4, 13)),
)
FORWARD_TENSORS, BACKWARD_TENSORS = 2, 3  # that have to move: x in, h out; g and h in, dx out
FLUSH_BYTES = 256 * 2**20  # written between two calls on a GPU, so that none finds its input in the L2 cache
SLOW = 1.0  # seconds of a call from which on a contender has SLOW_TURNS turns at most
SLOW_TURNS = 3

LAYERS: dict[str, Callable[[int, int], nn.Module]] = {
    "LSTM": nn.LSTM,
    "GRU": nn.GRU,
    "RNN": partial(nn.RNN, nonlinearity="relu"),
}
Call = Callable[[], object]


class Key(NamedTuple):
    """A contender and what is timed of it: "forward", "backward" or "both" passes."""

    level: str
    name: str
    part: str


COPY = Key("copy", "copy", "forward")


@dataclass(frozen=True)
class Row:
    """One contender at one shape. What does not apply is 0.

    Attributes:
        shape: T x B x H.
        level: "recurrence" alone, or "layer" with its input product of H x H weights.
        name: a kernel's name, or torch's class.
        forward_ms, backward_ms, both_ms: medians; a forward pass without and, in both, with autograd.
        forward_share, backward_share, both_share: of the time that a copy of as many bytes takes.
        forward_gbs: 10^9 bytes a second that a forward pass moves, x in and h out.
    """

    shape: str
    level: str
    name: str
    forward_ms: float
    backward_ms: float = 0.0
    both_ms: float = 0.0
    forward_share: float = 0.0
    backward_share: float = 0.0
    both_share: float = 0.0
    forward_gbs: float = 0.0


def kernels(
    shapes: Iterable[Shape],
    device: str = "cpu",
    rounds: int = 7,
    seconds: float = 0.1,
    layers: Iterable[str] = tuple(LAYERS),
) -> Iterable[list[Row]]:
    """The rows of each shape, one list a shape.

    Args:
        shapes: what to measure.
        device: "cpu" or a CUDA device.
        rounds: how often every contender has its turn.
        seconds: length of a turn; at least one call.
        layers: torch's, to stand beside ours.
    """
    on_gpu = torch.device(device).type == "cuda"
    timer = _time_cuda if on_gpu else _time_cpu
    for shape in shapes:
        contenders = _contenders(shape, device, layers)
        turns = dict.fromkeys(contenders, rounds)
        for key, call in contenders.items():
            call()  # compiles, allocates
            if min(timer(call, 0) for _ in range(2 if on_gpu else 1)) > 1e3 * SLOW:
                turns[key] = min(rounds, SLOW_TURNS)
        if on_gpu:
            contenders |= {key: _graph(call) for key, call in contenders.items() if _captures(key)}
        times: dict[Key, list[float]] = {key: [] for key in contenders}
        order = [key for turn in range(rounds) for key in contenders if turn < turns[key]]
        for key in tqdm(order, desc=" x ".join(map(str, shape)), disable=None, leave=False):
            times[key].append(timer(contenders[key], seconds))
        yield _rows(shape, {key: statistics.median(values) for key, values in times.items()})


def _contenders(shape: Shape, device: str, layers: Iterable[str]) -> dict[Key, Call]:
    """What to time."""
    units = shape[2]
    torch.manual_seed(0)
    x, grad = (torch.randn(shape, device=device) for _ in range(2))
    target, h0 = torch.empty_like(x), x.new_zeros(shape[1:])
    u = torch.rand(units, device=device)
    contenders: dict[Key, Call] = {COPY: lambda: target.copy_(x)}

    def add(level: str, name: str, run: Callable[[Tensor], Tensor], weights: Iterable[Tensor]) -> None:
        leaf, leaves = x.clone().requires_grad_(), tuple(weights)

        def forward() -> None:
            with torch.no_grad():
                run(x)

        def both() -> None:
            torch.autograd.grad(run(leaf), (leaf, *leaves), grad)

        contenders[Key(level, name, "forward")] = forward
        contenders[Key(level, name, "both")] = both

    weight = u.clone().requires_grad_()
    known = KERNELS | CUDA_KERNELS
    for name in (*_names(shape, device), "auto"):
        add("recurrence", name, partial(_recur, weight=weight, backend=name), [weight])
        if name in known:
            add_backward = partial(_backward, known[name], grad, target, u, h0)
            contenders[Key("recurrence", name, "backward")] = add_backward
    if x.is_cuda:
        plain = Key("recurrence", "one thread a column", "forward")
        contenders[plain] = lambda: cuda_plain.forward(x, u, h0, "relu")
        contenders[plain._replace(part="backward")] = lambda: cuda_plain.backward(grad, target, u, h0, "relu")
    elif cpu.available():
        given = Key("recurrence", "cpu, given memory", "forward")
        contenders[given] = lambda: cpu.forward(x, u, h0, "relu", out=target)
    linear = Linear(units, units).to(device)
    ours = partial(_recur, weight=weight, linear=linear)
    add("layer", "Linear + indrnn", ours, [weight, *linear.parameters()])
    for name in layers:
        layer = LAYERS[name](units, units).to(device)
        add("layer", name, partial(_run, layer=layer), layer.parameters())
    return contenders


def _names(shape: Shape, device: str) -> Iterable[str]:
    """Kernels that run there."""
    if torch.device(device).type == "cpu":
        return KERNELS
    everywhere = [name for name in KERNELS if name != "cpu"]
    return (
        [*everywhere, *(name for name in CUDA_KERNELS if name != "cuda")] if cuda.available() else everywhere
    )


def _recur(x: Tensor, weight: Tensor, linear: Linear | None = None, backend: str = "auto") -> Tensor:
    return indrnn(x if linear is None else linear(x), weight, backend=backend)[0]


def _run(x: Tensor, layer: nn.Module) -> Tensor:
    h: Tensor = layer(x)[0]
    return h


def _backward(kernel: Kernel, grad: Tensor, h: Tensor, u: Tensor, h0: Tensor) -> object:
    return kernel.backward(grad, h, u, h0, "relu")


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


def _captures(key: Key) -> bool:
    """Whether a call is timed as a CUDA graph, without the host's part: a copy, the CUDA kernels alone."""
    return key == COPY or (
        key.part != "both" and (key.name in CUDA_KERNELS or key.name == "one thread a column")
    )


def _graph(call: Call) -> Call:
    """The call, captured; its results stay in the graph's own memory."""
    graph = torch.cuda.CUDAGraph()
    torch.cuda.synchronize()
    with torch.cuda.graph(graph):
        call()
    return graph.replay


def _rows(shape: Shape, median: dict[Key, float]) -> list[Row]:
    copy, text = median[COPY], "x".join(map(str, shape))
    count = torch.Size(shape).numel()
    rows = [Row(text, "copy", "copy", copy, forward_share=1.0)]
    for level, name in dict.fromkeys((key.level, key.name) for key in median if key != COPY):
        forward, backward, both = (
            median.get(Key(level, name, part), 0.0) for part in ("forward", "backward", "both")
        )
        row = Row(text, level, name, forward, backward, both)
        if level == "recurrence":
            row = replace(
                row,
                forward_share=copy / forward,
                backward_share=_over(BACKWARD_TENSORS / FORWARD_TENSORS * copy, backward),
                both_share=_over((FORWARD_TENSORS + BACKWARD_TENSORS) / FORWARD_TENSORS * copy, both),
                forward_gbs=FORWARD_TENSORS * 4 * count / forward / 1e6,
            )
        rows.append(row)
    return rows


def _over(one: float, other: float) -> float:
    return one / other if other else 0.0
