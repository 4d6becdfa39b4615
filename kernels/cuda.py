"""The recurrence on an NVIDIA GPU: kernels compiled by CuPy on first use, launched on torch's current stream.

Three regimes, chosen by shape. Where the bounds between them lie is arithmetic on memory latency and
bandwidth, not yet measured: a kernel must keep about 1.3 MB of loads in flight to use an H200's 4.3 TB/s, and
one step of one column takes about 4.5 ns however few columns there are.

- "column": one thread a column, 16 loads ahead. Enough where there are many columns.
- "ring": asynchronous copies into shared memory, 112 steps ahead. For some thousands of columns.
- "scan": parallel over time as well, exact. For few columns and many steps; not for tanh.

Nothing is imported, compiled or asked of a device before the first call. The first call for a storage type
and an activation through the front door compiles and holds every regime against the definition, so make one
before capturing a CUDA graph; after that a call neither synchronises nor allocates outside torch.
Shapes: `T` frames, `B` clips in a batch, `H` units.
"""

from collections.abc import Sequence
from functools import cache
from types import ModuleType
from typing import Any, Literal, NamedTuple, get_args

import numpy as np
import torch
from torch import Tensor

from action_indrnn.kernels import cuda_source as source

Regime = Literal["column", "ring", "scan"]
REGIMES: tuple[str, ...] = get_args(Regime)
DTYPES = tuple(source.STORAGE)

SCAN_STEPS = 512  # below, three launches cost more than the walk
SCAN_COLUMNS = {False: 2500, True: 1700}  # forward, backward: above, a walk takes as long as its bytes
RING_CAPABILITY = (8, 0)  # the first with asynchronous copies
RING_STEPS = 64  # below, a column thread's loads reach as far
RING_COLUMNS = 16384  # above, 16 loads of every column are enough in flight
LEAST_CHUNK, MOST_CHUNK = 64, 256  # steps; |u| up to 1.2 to the power of 256 stays far inside float32
SCAN_THREADS = 27000  # chunks times columns that fill an H200
MOST_CHUNKS = 65535  # second dimension of a launch


class Launch(NamedTuple):
    """One kernel over a grid of blocks, (over columns, over chunks)."""

    kernel: str
    grid: tuple[int, int]
    threads: int


def available() -> bool:
    """Returns whether the kernels can run here; asks CuPy and the driver."""
    return _missing() is None


def reason() -> str:
    """Returns in words what is used, or what is missing."""
    missing = _missing()
    if missing is not None:
        return f"no CUDA kernel: {missing}"
    return f"CUDA kernels, compiled on first use by CuPy {cupy().__version__}"


def regime(
    steps: int,
    batch: int,
    units: int,
    activation: str = "relu",
    *,
    backward: bool = False,
    words: bool = True,
) -> Regime:
    """Returns the regime for a shape.

    Args:
        steps: T.
        batch: B.
        units: H.
        activation: "relu", "tanh" or "identity".
        backward: for the gradient, which moves more bytes a step.
        words: whether every 4-byte word of the tensors lies within neighbouring units of one clip.
    """
    columns = batch * units
    if activation != "tanh" and columns < SCAN_COLUMNS[backward] and steps >= SCAN_STEPS:
        return "scan"
    if words and columns < RING_COLUMNS and steps >= RING_STEPS:
        return "ring"
    return "column"


def regimes(activation: str, device: torch.device) -> tuple[str, ...]:
    """Returns the regimes that can run at all."""
    old = device.type == "cuda" and torch.cuda.get_device_capability(device) < RING_CAPABILITY
    return tuple(
        name
        for name in REGIMES
        if not (name == "scan" and activation == "tanh") and not (name == "ring" and old)
    )


def chunk_length(steps: int, columns: int) -> int:
    """Returns the steps of a chunk in the scan, at least 2: enough chunks to fill the GPU, none too long."""
    chunks = max(steps / MOST_CHUNK, min(steps / LEAST_CHUNK, SCAN_THREADS / columns), 1)
    return max(2, -(-steps // min(int(chunks), MOST_CHUNKS)))


def forward(
    x: Tensor,
    u: Tensor,
    h0: Tensor,
    activation: str,
    lengths: Tensor | None = None,
    reverse: bool = False,
    *,
    last: Tensor | None = None,
    regime: str = "auto",
) -> Tensor:
    """Returns h (T, B, H), in the memory order of x; see `kernels/reference.py`.

    Args:
        x: float32, bfloat16 or float16; u and h0 are of its type. The state is float32 throughout.
        u: recurrent weight of every unit, (H,).
        h0: state before the first step, (B, H).
        activation: "relu", "tanh" or "identity".
        lengths: steps of each sequence, (B,), int64.
        reverse: walk from the last step to the first.
        last: where to write the state at the walk's end, (B, H), contiguous.
        regime: one of `REGIMES`, or "auto".

    Raises:
        ValueError: a dtype that is not stored, or a regime that cannot do this.
    """
    x, u, h0 = _rows(x), u.contiguous(), h0.contiguous()
    h = torch.empty_like(x)
    if not x.numel():
        if last is not None:
            last.copy_(h0)
        return h
    chosen = _choose(regime, [x, h], activation, backward=False)
    problem: dict[str, Tensor | int | None] = {"x_tbh": x, "u_h": u, "h0_bh": h0, "h_tbh": h, "last_bh": last}
    problem |= {"lengths_b": lengths, "reverse": int(reverse)}
    _solve("forward", chosen, problem, x, activation, 3 if activation == "relu" else 1)
    return h


def backward(
    grad_h: Tensor,
    h: Tensor,
    u: Tensor,
    h0: Tensor,
    activation: str,
    lengths: Tensor | None = None,
    reverse: bool = False,
    *,
    grad_last: Tensor | None = None,
    regime: str = "auto",
) -> tuple[Tensor, Tensor, Tensor]:
    """Returns (dx, du, dh0); grad_last (B, H) is the gradient of the state at the walk's end.

    What grad_h holds behind the end of a sequence is not read. du is summed in a fixed order: the same call
    gives the same bits.

    Raises:
        ValueError: a dtype that is not stored, or a regime that cannot do this.
    """
    grad_h, h, u, h0 = _rows(grad_h), _rows(h), u.contiguous(), h0.contiguous()
    grad_last = None if grad_last is None else grad_last.contiguous()
    dx, dh0 = torch.empty_like(h), torch.empty_like(h0)
    if not h.numel():
        dh0 = torch.zeros_like(h0) if grad_last is None else grad_last.clone()
        return dx, torch.zeros_like(u), dh0
    chosen = _choose(regime, [grad_h, h, dx], activation, backward=True)
    problem: dict[str, Tensor | int | None] = {"u_h": u, "h0_bh": h0, "grad_h_tbh": grad_h, "h_tbh": h}
    problem |= {"grad_last_bh": grad_last, "dx_tbh": dx, "dh0_bh": dh0}
    problem |= {"lengths_b": lengths, "reverse": int(reverse)}
    du = _solve("backward", chosen, problem, h, activation, 2)
    return dx, du.sum((0, 1)).to(u.dtype), dh0


def launch(
    launches: Sequence[Launch],
    problem: Sequence[int],
    dtype: torch.dtype,
    activation: str,
    device: torch.device,
) -> None:
    """Puts the kernels, each told the same problem, onto torch's current stream of the device."""
    functions = _functions(dtype, activation)
    # One value of as many bytes as struct Problem: CuPy hands it over as it is.
    argument = np.array(problem, np.int64).view(f"V{8 * len(problem)}")
    with torch.cuda.device(device), current_stream(device):
        for kernel, grid, threads in launches:
            functions[kernel](grid, (threads,), (argument,))


def _solve(
    direction: str,
    chosen: str,
    problem: dict[str, Tensor | int | None],
    like: Tensor,
    activation: str,
    fields: int,
) -> Tensor:
    """Completes the problem, launches it; returns the parts of du, (chunks, B, H), in the gradient."""
    steps, batch, units = like.shape
    columns = batch * units
    length = chunk_length(steps, columns) if chosen == "scan" else steps
    chunks = -(-steps // length)
    problem |= {"T": steps, "B": batch, "H": units, "chunks": chunks, "length": length}
    du = like.new_empty((chunks, batch, units) if direction == "backward" else (0, 1, 1), dtype=torch.float32)
    problem["du_kbh"] = du
    for name in ("x", "h", "grad", "dx"):
        tensor = problem.get("grad_h_tbh" if name == "grad" else f"{name}_tbh")
        if isinstance(tensor, Tensor):
            problem[f"{name}_t"], problem[f"{name}_b"], _ = tensor.stride()
    if chosen == "ring":
        lanes = 4 // like.element_size()
        launches = [
            Launch(
                f"ring_{direction}", (_blocks(columns, lanes * source.RING_THREADS), 1), source.RING_THREADS
            )
        ]
    else:
        blocks, threads = _blocks(columns, source.COLUMN_THREADS), source.COLUMN_THREADS
        launches = [Launch(f"column_{direction}", (blocks, chunks), threads)]
        if chunks > 1:
            # The last chunk needs no summary: nothing follows it. Held until all is launched.
            problem["summary_kfbh"] = like.new_empty((chunks - 1, fields, columns), dtype=torch.float32)
            problem["start_kbh"] = like.new_empty((chunks, columns), dtype=torch.float32)
            summary = Launch(f"summary_{direction}", (blocks, chunks - 1), threads)
            launches = [summary, Launch(f"chain_{direction}", (blocks, 1), threads), *launches]
    values = (problem.get(name) for name in source.FIELDS)
    words = [value.data_ptr() if isinstance(value, Tensor) else value or 0 for value in values]
    launch(launches, words, like.dtype, activation, like.device)
    return du


def _choose(asked: str, streams: list[Tensor], activation: str, *, backward: bool) -> str:
    """The regime to run for tensors that are walked step by step."""
    like = streams[-1]
    if like.dtype not in source.STORAGE:
        raise ValueError(
            f"the CUDA kernel stores {', '.join(str(dtype) for dtype in source.STORAGE)}, found {like.dtype}"
        )
    words = all(_in_words(tensor) for tensor in streams)
    words = words and "ring" in regimes(activation, like.device)
    if asked == "auto":
        steps, batch, units = like.shape
        return regime(steps, batch, units, activation, backward=backward, words=words)
    if asked not in REGIMES:
        raise ValueError(f"regime: expected one of auto, {', '.join(REGIMES)}, found {asked!r}")
    if asked == "scan" and activation == "tanh":
        raise ValueError("regime: scan cannot do tanh, whose steps do not compose to a few numbers")
    if asked == "ring" and not words:
        raise ValueError(
            "regime: ring needs compute capability 8.0 and, in 2-byte types, an even H, even strides and "
            "4-byte alignment"
        )
    return asked


def _in_words(tensor: Tensor) -> bool:
    """Whether every 4-byte word holds neighbouring units of one clip."""
    lanes = 4 // tensor.element_size()
    steps_apart, clips_apart, _ = tensor.stride()
    apart = (tensor.shape[2], steps_apart, clips_apart)
    return all(distance % lanes == 0 for distance in apart) and tensor.data_ptr() % 4 == 0


def _rows(tensor: Tensor) -> Tensor:
    """The tensor, its units side by side in memory; copied only where they are not."""
    return tensor if tensor.stride(2) == 1 or tensor.shape[2] == 1 else tensor.contiguous()


def _blocks(items: int, size: int) -> int:
    return -(-items // size)


@cache
def _missing() -> str | None:
    """What stands in the way, None if nothing; looked for once."""
    if torch.version.cuda is None:
        return "this torch is built without CUDA"
    if not torch.cuda.is_available():
        return "torch finds no CUDA device"
    try:
        cupy()
    except ImportError as error:
        return f"CuPy cannot be imported ({error}); install the extra cuda12 or cuda13"
    return None


def cupy() -> ModuleType:
    """Returns CuPy, imported on first use: it is large, and optional."""
    import cupy  # type: ignore[import-not-found, import-untyped, unused-ignore]

    return cupy  # type: ignore[no-any-return, unused-ignore]


class _StreamPointer:
    """A stream by the protocol that CuPy asks of foreign ones; torch's own streams have it only since 2.9."""

    def __init__(self, pointer: int) -> None:
        self.pointer = pointer

    def __cuda_stream__(self) -> tuple[int, int]:
        return 0, self.pointer


def current_stream(device: torch.device) -> Any:
    """Torch's current stream as CuPy's, for a with statement."""
    cp, pointer = cupy(), torch.cuda.current_stream(device).cuda_stream
    if hasattr(cp.cuda.Stream, "from_external"):  # CuPy 14
        return cp.cuda.Stream.from_external(_StreamPointer(pointer))
    return cp.cuda.ExternalStream(pointer)


@cache
def _functions(dtype: torch.dtype, activation: str) -> dict[str, Any]:
    """The kernels by name; CuPy compiles them once a device, and keeps the binary on disk."""
    module = cupy().RawModule(code=source.source(), options=source.options(dtype, activation))
    return {name: module.get_function(name) for name in source.kernels(activation)}
