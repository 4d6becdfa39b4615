import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from types import SimpleNamespace

import numpy as np
import pytest
import torch
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


@pytest.fixture
def forget() -> Iterator[Callable[[], None]]:
    """Lets the module look again for what it needs."""
    cuda._missing.cache_clear()
    yield cuda._missing.cache_clear
    cuda._missing.cache_clear()


def test_what_is_missing_is_told(monkeypatch: pytest.MonkeyPatch, forget: Callable[[], None]) -> None:
    monkeypatch.setattr(cuda.torch.version, "cuda", None)
    assert not cuda.available()
    assert cuda.reason() == "no CUDA kernel: this torch is built without CUDA"
    forget()
    monkeypatch.setattr(cuda.torch.version, "cuda", "13.0")
    monkeypatch.setattr(cuda.torch.cuda, "is_available", lambda: False)
    assert cuda.reason() == "no CUDA kernel: torch finds no CUDA device"
    forget()
    monkeypatch.setattr(cuda.torch.cuda, "is_available", lambda: True)
    monkeypatch.setitem(sys.modules, "cupy", None)
    assert not cuda.available()
    assert "install the extra cuda12 or cuda13" in cuda.reason()


@pytest.mark.parametrize("protocol", [True, False], ids=["CuPy 14", "CuPy 13"])
def test_a_launch_is_told_the_problem_on_the_current_stream(
    monkeypatch: pytest.MonkeyPatch, protocol: bool
) -> None:
    calls: list[tuple] = []
    streams: list[int] = []

    def stream(pointer: int) -> nullcontext:
        streams.append(pointer)
        return nullcontext()

    def module(code: str, options: tuple[str, ...]) -> SimpleNamespace:
        assert code == cuda_source.source()
        assert "-DINDRNN_STORAGE=2" in options
        return SimpleNamespace(
            get_function=lambda name: (
                lambda grid, block, arguments: calls.append((name, grid, block, arguments))
            )
        )

    external = SimpleNamespace(from_external=lambda foreign: stream(foreign.__cuda_stream__()[1]))
    names = {"Stream": external if protocol else SimpleNamespace(), "ExternalStream": stream}
    monkeypatch.setitem(sys.modules, "cupy", SimpleNamespace(RawModule=module, cuda=SimpleNamespace(**names)))
    monkeypatch.setattr(torch.cuda, "device", lambda device: nullcontext())
    monkeypatch.setattr(torch.cuda, "current_stream", lambda device: SimpleNamespace(cuda_stream=77))
    monkeypatch.setattr(cuda, "_functions", cuda._functions.__wrapped__)
    plan = [cuda.Launch("summary_forward", (3, 2), 64), cuda.Launch("chain_forward", (3, 1), 64)]
    problem = list(range(len(cuda_source.FIELDS)))
    cuda.launch(plan, problem, torch.float16, "relu", torch.device("cuda"))
    assert [call[:3] for call in calls] == [(one.kernel, one.grid, (one.threads,)) for one in plan]
    (argument,) = calls[0][3]
    assert argument.size == 1  # CuPy hands it over by value
    assert argument.tobytes() == np.array(problem, np.int64).tobytes()
    assert streams == [77]
