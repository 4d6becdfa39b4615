"""The compiled CPU kernel against the reference, whatever the memory, the threads and the instruction set."""

import ctypes
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from action_indrnn.kernels import ACTIVATIONS, backend, cpu, indrnn, reference

pytestmark = pytest.mark.skipif(not cpu.available(), reason=cpu.reason())

SPECIAL = (torch.nan, torch.inf, -torch.inf, 1e-42, -0.0)


@pytest.fixture(autouse=True, scope="module")
def poison() -> Iterator[None]:
    """Fresh memory is full of NaN, so an output that a kernel leaves out shows."""
    torch.use_deterministic_algorithms(True)
    assert torch.empty(3).isnan().all()
    yield
    torch.use_deterministic_algorithms(False)


@pytest.fixture(autouse=True)
def restored() -> Iterator[None]:
    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)
    cpu.use_level(cpu.LEVELS[-1])


def laid_out(layout: str, values: Tensor) -> Tensor:
    """The same numbers (T, B, H) in memory of another layout."""
    if layout == "batch first":
        return values.transpose(0, 1).contiguous().transpose(0, 1)
    if layout == "part of wider":
        return torch.cat([values, values], dim=2)[:, :, : values.shape[2]]
    if layout == "units apart":
        return torch.stack([values, values], dim=3)[..., 0]
    if layout == "steps outermost last":
        return values.permute(1, 2, 0).contiguous().permute(2, 0, 1)
    if layout == "one sequence for all":
        return values[:, :1].expand(values.shape)
    return values.contiguous()


LAYOUTS = ("time first", "batch first", "part of wider", "units apart", "steps outermost last")


@st.composite
def problems(draw: st.DrawFn) -> dict[str, Any]:
    steps = draw(st.one_of(st.integers(0, 12), st.integers(250, 530)))
    batch, units = draw(st.integers(0, 5)), draw(st.one_of(st.integers(1, 70), st.integers(200, 300)))
    dtype = draw(st.sampled_from(cpu.DTYPES))
    generator = torch.Generator().manual_seed(draw(st.integers(0, 2**31)))

    def normal(*shape: int) -> Tensor:
        return torch.randn(shape, generator=generator, dtype=dtype)

    x, grad = normal(steps, batch, units), normal(steps, batch, units)
    if x.numel():
        for value in draw(st.lists(st.sampled_from(SPECIAL), max_size=3)):
            x.view(-1)[draw(st.integers(0, x.numel() - 1))] = value
    bound = 1.2 if steps < 20 else 1.0  # beyond 1 two correct float32 loops part in a long sequence
    u = bound * torch.tanh(2 * normal(units))
    u[draw(st.integers(0, units - 1))] = draw(st.sampled_from((0.0, 1.0, -1.0)))
    gradient = draw(st.sampled_from((*LAYOUTS, "scalar")))
    return {
        "x": laid_out(draw(st.sampled_from((*LAYOUTS, "one sequence for all"))), x),
        "u": u,
        "h0": normal(batch, units),
        "activation": draw(st.sampled_from(ACTIVATIONS)),
        "lengths": draw(
            st.none()
            | st.lists(st.integers(0, steps), min_size=batch, max_size=batch).map(
                lambda values: torch.tensor(values, dtype=torch.int64)
            )
        ),
        "reverse": draw(st.booleans()),
        "grad": grad.new_ones(()).expand(grad.shape) if gradient == "scalar" else laid_out(gradient, grad),
    }


def assert_near(found: Tensor, wanted: Tensor) -> None:
    """Equal up to rounding in units of the largest number, NaN and infinity in the same places."""
    tolerance = 1e-4 if wanted.dtype == torch.float32 else 1e-10
    finite = wanted[wanted.isfinite()]
    scale = 1 + (float(finite.abs().max()) if finite.numel() else 0.0)
    torch.testing.assert_close(found, wanted, rtol=tolerance, atol=tolerance * scale, equal_nan=True)


@pytest.mark.parametrize("level", cpu.LEVELS)
@settings(max_examples=150, deadline=None)
@given(problem=problems())
def test_any_problem_is_the_reference_s(level: str, problem: dict[str, Any]) -> None:
    cpu.use_level(level)
    x, u, h0, grad = (problem[name] for name in ("x", "u", "h0", "grad"))
    how = [problem[name] for name in ("activation", "lengths", "reverse")]
    h = reference.forward(x, u, h0, *how)
    assert_near(cpu.forward(x, u, h0, *how), h)
    for found, wanted in zip(
        cpu.backward(grad, h, u, h0, *how), reference.backward(grad, h, u, h0, *how), strict=True
    ):
        assert_near(found, wanted)


def results(x: Tensor, u: Tensor, h0: Tensor, activation: str = "relu") -> list[Tensor]:
    h = cpu.forward(x, u, h0, activation)
    return [h, *cpu.backward(torch.cos(x), h, u, h0, activation)]


def assert_same_bytes(found: list[Tensor], wanted: list[Tensor]) -> None:
    for one, other in zip(found, wanted, strict=True):
        assert torch.equal(one, other)


@pytest.mark.parametrize("dtype", cpu.DTYPES)
@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize(
    "shape", [(700, 1, 131), (300, 3, 1000), (30, 2, 4100), (20, 128, 64), (2000, 40, 5)]
)
def test_bytes_depend_on_neither_threads_nor_layout(
    shape: tuple[int, int, int], activation: str, dtype: torch.dtype
) -> None:
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(shape, generator=generator, dtype=dtype)
    u = torch.tanh(torch.randn(shape[2], generator=generator, dtype=dtype))
    h0 = torch.randn(shape[1:], generator=generator, dtype=dtype)
    torch.set_num_threads(1)
    alone = results(x, u, h0, activation)
    for threads in (2, 3, 8):
        torch.set_num_threads(threads)
        assert_same_bytes(results(x, u, h0, activation), alone)
        assert_same_bytes(results(laid_out("batch first", x), u, h0, activation), alone)


def test_threads_of_its_own_give_the_same_bytes() -> None:
    library = cpu._loaded()
    x, u, h0 = torch.randn(3000, 4, 128), torch.rand(128), torch.randn(4, 128)
    shared = results(x, u, h0)
    library.indrnn_use_pool(None)
    try:
        torch.set_num_threads(3)
        assert_same_bytes(results(x, u, h0), shared)
    finally:
        library.indrnn_use_pool(cpu.torch_pool())


def unit_error(found: Tensor, exact: Tensor) -> float:
    """The largest error of a unit in units of its largest number, in the mean over units."""
    error, size = (value.abs().reshape(-1, value.shape[-1]).amax(0) for value in (found - exact, exact))
    return float((error / size.clamp(min=1e-30)).mean())


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("bound", [1.0, 1.2])
def test_error_is_at_most_twice_the_loop_s(activation: str, bound: float) -> None:
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(600 if bound == 1 else 60, 4, 64, generator=generator)
    u = bound * (2 * torch.rand(64, generator=generator) - 1)
    h0 = torch.randn(4, 64, generator=generator)
    grad = torch.randn(x.shape, generator=generator)
    exact_h = reference.forward(x.double(), u.double(), h0.double(), activation)
    exact = reference.backward(grad.double(), exact_h, u.double(), h0.double(), activation)
    errors = []
    for kernel in (cpu, reference):
        h = kernel.forward(x, u, h0, activation)
        found = (h, *kernel.backward(grad, exact_h.float(), u, h0, activation))
        errors.append([unit_error(a, b) for a, b in zip(found, (exact_h, *exact), strict=True)])
    for ours, loop in zip(*errors, strict=True):
        assert ours <= 2 * loop


@pytest.mark.parametrize("activation", ["relu", "identity"])
@pytest.mark.parametrize("value", SPECIAL)
def test_special_values_spread_as_in_the_loop(activation: str, value: float) -> None:
    x = torch.ones(6, 1, 40)
    x[2, 0, ::3] = value
    x[3, 0, ::2] = -torch.inf
    u = torch.linspace(-1.2, 1.2, 40)
    u[6], u[12] = 0, 1
    h0 = torch.zeros(1, 40)
    h = cpu.forward(x, u, h0, activation)
    torch.testing.assert_close(h, reference.forward(x, u, h0, activation), equal_nan=True)


def test_large_outputs_are_whole() -> None:
    x, u = torch.randn(3000, 8, 128), torch.rand(128)  # 12 MB: huge pages are asked for
    h0 = torch.zeros(8, 128)
    h = cpu.forward(x, u, h0, "relu")
    assert_near(h, reference.forward(x, u, h0, "relu"))
    assert_near(cpu.backward(x, h, u, h0, "relu")[0], reference.backward(x, h, u, h0, "relu")[0])


def test_the_output_is_laid_out_as_the_input() -> None:
    x = torch.randn(5, 7, 16).transpose(0, 1)
    assert cpu.forward(x, torch.rand(16), torch.zeros(5, 16), "relu").stride() == x.stride()


def test_what_the_library_does_not_know_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    x, u = torch.zeros(3, 1, 4, dtype=torch.float16), torch.zeros(4, dtype=torch.float16)
    with pytest.raises(ValueError, match=r"expected float32 or float64 on a CPU, found torch.float16 on cpu"):
        indrnn(x, u, backend="cpu")
    assert indrnn(x, u)[0].dtype == torch.float16
    assert backend(x) == "reference: there is no compiled kernel for torch.float16 on cpu"


def test_a_library_that_is_not_there_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    library, reason = cpu._load(tmp_path / "_cpu.so")
    assert library is None
    assert reason.startswith("the compiled CPU kernel was not built")
    (tmp_path / "_cpu.so").write_bytes(b"no library")
    library, reason = cpu._load(tmp_path / "_cpu.so")
    assert library is None
    assert reason.startswith("the compiled CPU kernel does not load: ")
    monkeypatch.setattr(cpu, "_library", None)
    with pytest.raises(ValueError, match="backend cpu: compiled CPU kernel"):
        cpu.forward(torch.zeros(1, 1, 1), torch.zeros(1), torch.zeros(1, 1), "relu")


def test_a_library_of_another_version_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cpu, "VERSION", -1)
    library, reason = cpu._load(Path(cpu._loaded()._name))
    assert library is None
    assert reason == "the compiled CPU kernel is of version 1, not -1: install again"


def test_torch_s_own_threads_are_used() -> None:
    if "OpenMP" not in torch.__config__.parallel_info():
        pytest.skip("torch was built without OpenMP")
    assert isinstance(cpu._loaded(), ctypes.CDLL)
    assert cpu.torch_pool()


@pytest.mark.parametrize("layout", LAYOUTS[:3])
def test_the_states_go_where_they_are_told(layout: str) -> None:
    torch.manual_seed(0)
    x, u, h0 = torch.randn(30, 4, 40), torch.rand(40), torch.rand(4, 40)
    out = laid_out(layout, torch.full_like(x, torch.nan))
    assert cpu.forward(x, u, h0, "relu", out=out) is out
    torch.testing.assert_close(out, cpu.forward(x, u, h0, "relu"), rtol=0, atol=0)
    for wrong in (out[1:], out.double(), laid_out("units apart", out)):
        with pytest.raises(ValueError, match=r"out: expected torch.float32 of shape \(30, 4, 40\) on a CPU"):
            cpu.forward(x, u, h0, "relu", out=wrong)
