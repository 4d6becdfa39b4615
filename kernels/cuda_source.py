"""The CUDA source as one text, and what a launch of it is told: known without CuPy and without a device."""

import re
from pathlib import Path

import torch

SOURCE = Path(__file__).with_name("cuda.cu")
PLAIN = SOURCE.with_name("plain.cu")  # the benchmark's baseline
STORAGE = {torch.float32: 0, torch.bfloat16: 1, torch.float16: 2}  # INDRNN_STORAGE in cuda.cu
ACTIVATION = {"relu": 0, "tanh": 1, "identity": 2}  # indrnn::Activation in recurrence.h

# Of struct Problem in cuda.cu, in its order; every field has 8 bytes, a missing pointer is 0.
FIELDS = (
    *(
        "x_tbh",
        "u_h",
        "h0_bh",
        "grad_h_tbh",
        "grad_last_bh",
        "lengths_b",
        "h_tbh",
        "last_bh",
        "dx_tbh",
        "dh0_bh",
    ),
    *("du_kbh", "summary_kfbh", "start_kbh"),
    *("T", "B", "H", "x_t", "x_b", "h_t", "h_b", "grad_t", "grad_b", "dx_t", "dx_b"),
    *("reverse", "chunks", "length"),
)

COLUMN_THREADS = 64
RING_THREADS = 32


def source() -> str:
    """Returns cuda.cu with its includes in place.

    One text, so that a cache keyed by the text of a source sees a change in an included file.
    """
    return _with_includes(SOURCE, set())


def options(dtype: torch.dtype, activation: str) -> tuple[str, ...]:
    """Returns the compiler options for one storage type and activation."""
    return (
        "--std=c++17",
        f"-DINDRNN_STORAGE={STORAGE[dtype]}",
        f"-DINDRNN_ACTIVATION={ACTIVATION[activation]}",
    )


def kernels(activation: str) -> tuple[str, ...]:
    """Returns the names of the kernels that a module for this activation holds."""
    plain = ("column_forward", "column_backward", "ring_forward", "ring_backward")
    scan = ("summary_forward", "chain_forward", "summary_backward", "chain_backward")
    return plain if activation == "tanh" else plain + scan


def _with_includes(path: Path, seen: set[Path]) -> str:
    if path in seen:
        return ""
    seen.add(path)
    text = path.read_text(encoding="utf-8").replace("#pragma once\n", "")
    return re.sub(
        r'^#include "([\w.]+)"$',
        lambda found: _with_includes(path.with_name(found[1]), seen),
        text,
        flags=re.M,
    )
