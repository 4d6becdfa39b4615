import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from action_indrnn.kernels import cuda, cuda_source


@pytest.mark.parametrize(
    ("shape", "forward", "backward"),
    [
        ((784, 32, 128), "ring", "ring"),
        ((20, 128, 512), "column", "column"),
        ((300, 256, 512), "column", "column"),
        ((5000, 50, 128), "ring", "ring"),
        ((5000, 1, 128), "scan", "scan"),
        ((100000, 1, 128), "scan", "scan"),
        ((5000, 16, 128), "scan", "ring"),
        ((20, 1, 512), "column", "column"),
        ((511, 1, 8), "ring", "ring"),
    ],
)
def test_the_regime_follows_the_shape(shape: tuple[int, int, int], forward: str, backward: str) -> None:
    assert cuda.regime(*shape) == cuda.regime(*shape, "identity") == forward
    assert cuda.regime(*shape, backward=True) == backward
    assert cuda.regime(*shape, "tanh") != "scan"
    assert cuda.regime(*shape, words=False) != "ring"


@given(st.integers(2, 10**8), st.integers(1, 10**5))
def test_the_chunks_of_a_scan_cover_all_steps(steps: int, columns: int) -> None:
    length = cuda.chunk_length(steps, columns)
    chunks = -(-steps // length)
    assert length >= 2
    assert chunks <= cuda.MOST_CHUNKS
    assert (chunks - 1) * length < steps <= chunks * length
    if cuda.SCAN_STEPS <= steps <= 10**7:
        assert length <= 2 * cuda.MOST_CHUNK


def test_the_source_is_one_text() -> None:
    text = cuda_source.source()
    assert "#include" not in text
    for name in cuda_source.kernels("relu"):
        assert f" {name}(const Problem p)" in text
    assert f"COLUMN_THREADS = {cuda_source.COLUMN_THREADS};" in text
    assert f"RING_THREADS = {cuda_source.RING_THREADS};" in text


def test_importing_asks_for_neither_cupy_nor_a_device() -> None:
    program = """
import sys, torch
torch.cuda.is_available = torch.cuda.init = torch.cuda.current_stream = None
import action_indrnn.kernels.cuda
assert "cupy" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", program], check=True)


def test_what_is_missing_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cuda.torch.version, "cuda", None)
    assert not cuda.available()
    assert cuda.reason() == "no CUDA kernel: this torch is built without CUDA"
    monkeypatch.setattr(cuda.torch.version, "cuda", "13.0")
    monkeypatch.setattr(cuda.torch.cuda, "is_available", lambda: False)
    assert cuda.reason() == "no CUDA kernel: torch finds no CUDA device"
    monkeypatch.setattr(cuda.torch.cuda, "is_available", lambda: True)
    monkeypatch.setitem(sys.modules, "cupy", None)
    assert not cuda.available()
    assert "install the extra cuda12 or cuda13" in cuda.reason()
