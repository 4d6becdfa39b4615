"""Matrix products of float32 numbers at a processor's full width.

On processors of AMD with AVX-512, Intel's MKL, to which torch gives its products, computes with half of the
registers' width. oneDNN, which torch brings too, takes all of it, at about twice the speed; but torch asks
oneDNN only where it is allowed to round to bfloat16. No such processor has matrix units (AMX) that could do
so: there oneDNN computes in float32 all the same. That is tried out once before it is relied on.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import torch

PROCESSOR = Path("/proc/cpuinfo")  # of Linux
SHAPES = ((64, 64, 64), (1024, 256, 256), (256, 1024, 320), (4096, 12, 32))  # rows, inner, columns


def is_halved(processor: str) -> bool:
    """Whether MKL takes half of the width of a processor, of which /proc/cpuinfo says this."""
    lines = (line.partition(":") for line in processor.splitlines())
    facts = {name.strip(): value.split() for name, _, value in lines}
    flags = set(facts.get("flags", ()))
    amd = facts.get("vendor_id") == ["AuthenticAMD"]
    return amd and "avx512f" in flags and not any(flag.startswith("amx") for flag in flags)


@cache
def _has_help() -> bool:
    """Whether this torch (2.9 or later) can be asked for oneDNN here, and loses no precision by it."""
    if _setting() is None or not PROCESSOR.is_file():
        return False
    return is_halved(PROCESSOR.read_text(encoding="utf-8", errors="replace")) and all(
        _is_exact(*shape) for shape in SHAPES
    )


def _is_exact(rows: int, inner: int, columns: int) -> bool:
    """Whether a product of integers below 2^11, of which bfloat16 holds few, comes out right to the bit."""
    left = (torch.arange(rows * inner) * 37 % 2039).view(rows, inner)
    right = (torch.arange(inner * columns) * 53 % 3 - 1).view(inner, columns)
    with _by_onednn():
        found = left.float() @ right.float()
    return torch.equal(found, (left @ right).float())


def _setting() -> Any:
    """Where torch is told how oneDNN may round in products; none before torch 2.9."""
    return getattr(torch.backends.mkldnn, "matmul", None)


@contextmanager
def _by_onednn() -> Iterator[None]:
    setting = _setting()
    before = setting.fp32_precision
    setting.fp32_precision = "bf16"
    try:
        yield
    finally:
        setting.fp32_precision = before


@contextmanager
def full_width() -> Iterator[None]:
    """Float32 products inside go to oneDNN where MKL is the slower; a precision already chosen stays.

    Also a decorator. The setting is torch's, of the whole process.
    """
    if _has_help() and _setting().fp32_precision in ("none", "ieee"):
        with _by_onednn():
            yield
    else:
        yield
