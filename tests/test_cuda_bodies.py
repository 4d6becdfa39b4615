"""The bodies of the CUDA kernels, compiled by g++ and run thread by thread, against the reference.

Everything is real but the GPU: shapes, strides, regimes, chunks, buffers and launches are those of
`kernels/cuda.py`. Asynchronous copies arrive as late as they may, and their targets are NaN until then.
"""

import ctypes
import shutil
import subprocess
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import Tensor

from action_indrnn.kernels import cuda, cuda_source, reference

COMPILER = shutil.which("g++")
pytestmark = pytest.mark.skipif(COMPILER is None, reason="no g++ on PATH to compile the kernel bodies with")

SHIM = Path(__file__).with_name("cuda_shim.cpp")
FLAGS = [
    "-std=c++17",
    "-O1",
    "-Wall",
    "-Wextra",
    "-Werror",
    "-Wno-unknown-pragmas",
    "-fno-strict-aliasing",
    "-shared",
    "-fPIC",
]
DTYPES = list(cuda_source.STORAGE)
ACTIVATIONS = list(cuda_source.ACTIVATION)
Library = Callable[[torch.dtype, str], ctypes.CDLL]


@pytest.fixture(scope="session")
def library(tmp_path_factory: pytest.TempPathFactory) -> Library:
    """The compiled bodies by storage type and activation."""
    return compiled(str(tmp_path_factory.getbasetemp()))


@cache  # two modules use the fixture, which pytest takes for two
def compiled(base: str) -> Library:
    folder = Path(base) / "bodies"
    folder.mkdir()
    code = folder / "joined.cu"
    code.write_text(cuda_source.source())

    def build(key: tuple[torch.dtype, str]) -> ctypes.CDLL:
        target = folder / f"{cuda_source.STORAGE[key[0]]}{key[1]}.so"
        defines = [option for option in cuda_source.options(*key) if option.startswith("-D")]
        source = f'-DINDRNN_SOURCE="{code}"'
        command = [str(COMPILER), *FLAGS, *defines, source, "-o", str(target), str(SHIM)]
        subprocess.run(command, check=True, timeout=300)
        built = ctypes.CDLL(str(target))
        built.problem_size.restype = ctypes.c_size_t
        built.narrowed.restype, built.narrowed.argtypes = ctypes.c_ushort, [ctypes.c_float]
        built.widened.restype, built.widened.argtypes = ctypes.c_float, [ctypes.c_ushort]
        return built

    keys = [(dtype, activation) for dtype in DTYPES for activation in ACTIVATIONS]
    with ThreadPoolExecutor(2) as pool:
        built = dict(zip(keys, pool.map(build, keys), strict=True))
    return lambda dtype, activation: built[dtype, activation]


@pytest.fixture
def launched(monkeypatch: pytest.MonkeyPatch, library: Library) -> list[str]:
    """Lets `kernels/cuda.py` launch on the CPU; holds the names of the kernels that ran."""
    names: list[str] = []

    def launch(launches, problem, dtype, activation, device) -> None:
        assert device.type == "cpu"
        words = (ctypes.c_int64 * len(problem))(*problem)
        for kernel, grid, threads in launches:
            names.append(kernel)
            assert library(dtype, activation).launch(kernel.encode(), words, *grid, threads) == 0

    monkeypatch.setattr(cuda, "launch", launch)
    return names


@pytest.fixture
def poisoned(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every buffer that a kernel should write holds NaN before, as do those that it may not read."""
    for name in ("empty_like", "new_empty"):
        owner = torch if name == "empty_like" else Tensor
        made = getattr(owner, name)

        def nan(*args, _made=made, **kwargs) -> Tensor:
            return _made(*args, **kwargs).fill_(torch.nan)

        monkeypatch.setattr(owner, name, nan)


def problem(
    steps: int,
    batch: int,
    units: int,
    *,
    seed: int = 0,
    dtype: torch.dtype = torch.float32,
    layout: str = "time",
    slope: float = 1.1,
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """x, u, h0, grad_h, grad_last with a memory order; "slice" leaves NaN between the rows."""
    generator = torch.Generator().manual_seed(seed)

    def rows() -> Tensor:
        values = torch.randn(steps, batch, units, generator=generator).to(dtype)
        if layout == "batch":
            return values.transpose(0, 1).contiguous().transpose(0, 1)
        if layout == "slice":
            wide = torch.full((steps + 1, 2 * batch, units + 4), torch.nan, dtype=dtype)
            wide[1:, ::2, 2:-2] = values
            return wide[1:, ::2, 2:-2]
        if layout == "units first":
            return values.permute(2, 0, 1).contiguous().permute(1, 2, 0)
        return values

    x, grad = rows(), rows()
    u = slope * torch.tanh(torch.randn(units, generator=generator)).to(dtype)
    h0, grad_last = (torch.randn(batch, units, generator=generator).to(dtype) for _ in range(2))
    return x, u, h0, grad, grad_last


def expected(
    x: Tensor, u: Tensor, h0: Tensor, activation: str, lengths: Tensor | None, reverse: bool
) -> tuple[Tensor, Tensor]:
    """The reference's states, and the last one, in float64."""
    x, u, h0 = x.double(), u.double(), h0.double()
    h = reference.forward(x, u, h0, activation, lengths, reverse)
    steps = torch.full((x.shape[1],), len(x)) if lengths is None else lengths
    last = [h0[b] if n == 0 else h[0 if reverse else n - 1, b] for b, n in enumerate(steps.tolist())]
    return h, torch.stack(last)


def expected_gradients(
    grad: Tensor,
    grad_last: Tensor,
    h: Tensor,
    u: Tensor,
    h0: Tensor,
    activation: str,
    lengths: Tensor | None,
    reverse: bool,
) -> tuple[Tensor, ...]:
    """The reference's gradients in float64, that of the last state put where that state is."""
    grad, h, u, h0 = grad.double().clone(), h.double(), u.double(), h0.double()
    steps = torch.full((h.shape[1],), len(h)) if lengths is None else lengths
    untouched = torch.zeros_like(h0)
    for b, n in enumerate(steps.tolist()):
        grad[n:, b] = 0
        if n == 0:
            untouched[b] = grad_last[b]
        else:
            grad[0 if reverse else n - 1, b] += grad_last[b]
    dx, du, dh0 = reference.backward(grad, h, u, h0, activation, lengths, reverse)
    return dx, du, dh0 + untouched


def close(found: Tensor, wanted: Tensor, dtype: torch.dtype) -> None:
    tolerance = {torch.float32: 2e-5, torch.bfloat16: 1.6e-2, torch.float16: 2e-3}[dtype]
    assert found.dtype == dtype
    scale = wanted.abs().nan_to_num(0, 0, 0).max().item() if wanted.numel() else 0
    torch.testing.assert_close(
        found.double(), wanted, rtol=tolerance, atol=tolerance * (scale + 1e-3), equal_nan=True
    )


def check(
    values: tuple[Tensor, ...], activation: str, regime: str, lengths: Tensor | None, reverse: bool
) -> None:
    """Forward and backward of one problem in one regime, against the reference."""
    x, u, h0, grad, grad_last = values
    last = torch.full_like(h0, torch.nan)
    h = cuda.forward(x, u, h0, activation, lengths, reverse, last=last, regime=regime)
    wanted, wanted_last = expected(x, u, h0, activation, lengths, reverse)
    close(h, wanted, x.dtype)
    close(last, wanted_last, x.dtype)
    found = cuda.backward(grad, h, u, h0, activation, lengths, reverse, grad_last=grad_last, regime=regime)
    gradients = expected_gradients(grad, grad_last, h, u, h0, activation, lengths, reverse)
    for one, other in zip(found, gradients, strict=True):
        close(one, other, x.dtype)


def fits(regime: str, activation: str, dtype: torch.dtype, units: int) -> bool:
    return not (regime == "scan" and activation == "tanh") and not (
        regime == "ring" and dtype != torch.float32 and units % 2
    )


def test_the_layout_of_a_problem_is_that_of_the_source(library: Library) -> None:
    for dtype in DTYPES:
        assert library(dtype, "relu").problem_size() == 8 * len(cuda_source.FIELDS)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_narrow_storage_rounds_as_torch_does(library: Library, dtype: torch.dtype) -> None:
    built = library(dtype, "relu")
    every = torch.arange(-(2**15), 2**15).to(torch.int16)
    wide = torch.tensor([built.widened(int(bits) & 0xFFFF) for bits in every])
    torch.testing.assert_close(wide, every.view(dtype).float(), rtol=0, atol=0, equal_nan=True)
    generator = torch.Generator().manual_seed(0)
    bits = torch.randint(-(2**31), 2**31 - 1, (20000,), generator=generator).to(torch.int32)
    ties = every.view(dtype).float()  # a value, and the middle between it and the next one
    ties = torch.cat([ties, (ties[1:] + ties[:-1]) / 2])
    values = torch.cat([bits.view(torch.float32), torch.randn(5000, generator=generator), ties])
    narrow = torch.tensor([built.narrowed(float(v)) for v in values], dtype=torch.int32).to(torch.int16)
    torch.testing.assert_close(narrow.view(dtype), values.to(dtype), rtol=0, atol=0, equal_nan=True)


@pytest.mark.usefixtures("poisoned")
@pytest.mark.parametrize("regime", cuda.REGIMES)
@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("dtype", DTYPES)
def test_every_kernel_is_the_reference(
    launched: list[str], monkeypatch: pytest.MonkeyPatch, dtype: torch.dtype, activation: str, regime: str
) -> None:
    monkeypatch.setattr(cuda, "chunk_length", lambda steps, columns: 19)
    for steps, batch, units in ((1, 1, 2), (7, 3, 6), (16, 2, 4), (33, 1, 34), (150, 5, 16), (257, 2, 6)):
        if not fits(regime, activation, dtype, units):
            continue
        for layout in ("time", "batch", "slice", "units first"):
            for reverse in (False, True):
                values = problem(steps, batch, units, dtype=dtype, layout=layout, slope=0.97)
                check(values, activation, regime, None, reverse)
    wanted = {"scan": {"summary", "chain", "column"}}.get(regime, {regime})
    if launched:
        assert {name.split("_")[0] for name in launched} == wanted
    else:
        assert (regime, activation) == ("scan", "tanh")


@pytest.mark.usefixtures("poisoned", "launched")
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_random_problems(data: st.DataObject) -> None:
    dtype, activation = data.draw(st.sampled_from(DTYPES)), data.draw(st.sampled_from(ACTIVATIONS))
    steps, batch, units = (data.draw(st.integers(1, most)) for most in (200, 5, 70))
    if data.draw(st.booleans()):
        units += units % 2
    layout = data.draw(st.sampled_from(["time", "batch", "slice"]))
    values = problem(
        steps, batch, units, seed=data.draw(st.integers(0, 99)), dtype=dtype, layout=layout, slope=0.97
    )
    lengths = None
    if data.draw(st.booleans()):
        lengths = torch.tensor(data.draw(st.lists(st.integers(0, steps), min_size=batch, max_size=batch)))
        for b, n in enumerate(lengths.tolist()):
            values[0][n:, b] = values[3][n:, b] = torch.nan  # not read
    length, reverse = data.draw(st.integers(2, 40)), data.draw(st.booleans())
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cuda, "chunk_length", lambda steps, columns: length)
        for regime in cuda.REGIMES:
            if fits(regime, activation, dtype, units):
                check(values, activation, regime, lengths, reverse)


@pytest.mark.usefixtures("poisoned")
def test_a_column_that_is_too_steep_for_a_summary_is_walked(launched: list[str]) -> None:
    x, _, h0, grad, grad_last = problem(600, 2, 4, seed=5)
    x[:] = x.abs() - 3  # mostly at rest, or 1.6 to the power of 600 would be all there is to see
    values = (x, torch.tensor([1.6, -1.6, 0.5, -0.5]), h0.abs(), grad, grad_last)
    lengths = torch.tensor([600, 333])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cuda, "chunk_length", lambda steps, columns: 200)
        check(values, "relu", "scan", lengths, False)
    assert {"summary_forward", "chain_backward"} <= set(launched)


@pytest.mark.usefixtures("launched")
@pytest.mark.parametrize("regime", ["column", "ring"])
def test_offsets_pass_32_bits(tmp_path: Path, regime: str) -> None:
    apart = 2**31 + 8  # elements between the steps: a file with holes
    size = 2 * apart + 64
    flat = torch.from_file(str(tmp_path / "wide"), shared=True, size=size, dtype=torch.bfloat16)
    x = flat.as_strided((3, 2, 4), (apart, 4, 1))
    x.copy_(problem(3, 2, 4, dtype=torch.bfloat16)[0])
    values = problem(3, 2, 4, dtype=torch.bfloat16, slope=0.9)
    check((x, *values[1:]), "relu", regime, None, True)


@pytest.mark.usefixtures("launched")
def test_the_gradient_of_a_sum_is_one_value_seen_everywhere() -> None:
    x, u, h0, _, _ = problem(70, 3, 8)
    h = cuda.forward(x, u, h0, "relu")
    ones = torch.ones(()).expand_as(h)
    for found, wanted in zip(
        cuda.backward(ones, h, u, h0, "relu"), reference.backward(ones, h, u, h0, "relu"), strict=True
    ):
        torch.testing.assert_close(found, wanted)


@pytest.mark.parametrize("shape", [(0, 2, 3), (4, 0, 3), (4, 2, 0)])
def test_nothing_to_do_launches_nothing(launched: list[str], shape: tuple[int, int, int]) -> None:
    x, u, h0 = torch.zeros(shape), torch.ones(shape[2]), torch.ones(shape[1:])
    last = torch.empty_like(h0)
    assert cuda.forward(x, u, h0, "relu", last=last).shape == shape
    torch.testing.assert_close(last, h0)
    dx, du, dh0 = cuda.backward(x, x, u, h0, "relu", grad_last=h0)
    assert dx.shape == shape
    assert not du.any()
    torch.testing.assert_close(dh0, h0)
    assert not launched


def test_what_a_kernel_cannot_do_is_said() -> None:
    x, u, h0, _, _ = problem(4, 2, 3)
    with pytest.raises(ValueError, match=r"stores torch\.float32, torch\.bfloat16, .*, found torch\.float64"):
        cuda.forward(x.double(), u.double(), h0.double(), "relu")
    with pytest.raises(ValueError, match="one of auto, column, ring, scan, found 'warp'"):
        cuda.forward(x, u, h0, "relu", regime="warp")
    with pytest.raises(ValueError, match="scan cannot do tanh"):
        cuda.forward(x, u, h0, "tanh", regime="scan")
    with pytest.raises(ValueError, match="even H"):
        cuda.forward(x.half(), u.half(), h0.half(), "relu", regime="ring")
