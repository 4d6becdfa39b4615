"""Where single precision ends: the error of the CUDA kernels' bodies, and what is no ordinary number."""

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import Tensor

from action_indrnn.kernels import cuda, reference

from .test_cuda_bodies import ACTIVATIONS, COMPILER, fits, launched, library, poisoned, problem

__all__ = ["launched", "library", "poisoned"]  # fixtures
pytestmark = pytest.mark.skipif(COMPILER is None, reason="no g++ on PATH to compile the kernel bodies with")


@pytest.mark.usefixtures("poisoned", "launched")
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_what_is_no_ordinary_number_goes_where_the_loop_puts_it(data: st.DataObject) -> None:
    steps, units = data.draw(st.integers(2, 60)), 12
    x, u, h0, grad, _ = problem(steps, 2, units, seed=data.draw(st.integers(0, 999)), slope=1.2)
    u[:4] = torch.tensor([0.0, -0.0, 1.0, -1.0])
    special = st.sampled_from([torch.nan, torch.inf, -torch.inf, 1e-40, -1e-40, 0.0, -0.0])
    for tensor in (x, grad):
        for _ in range(data.draw(st.integers(0, 6))):
            t, b, unit = (data.draw(st.integers(0, n - 1)) for n in tensor.shape)
            tensor[t, b, unit] = data.draw(special)
    if data.draw(st.booleans()):
        h0[0, data.draw(st.integers(0, units - 1))] = data.draw(special)
    if data.draw(st.booleans()):
        u[data.draw(st.integers(4, units - 1))] = data.draw(special)
    activation, length = data.draw(st.sampled_from(ACTIVATIONS)), data.draw(st.integers(2, 20))
    wanted = reference.forward(x, u, h0, activation)
    gradients = reference.backward(grad, wanted, u, h0, activation)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cuda, "chunk_length", lambda steps, columns: length)
        for regime in cuda.REGIMES:
            if not fits(regime, activation, torch.float32, units):
                continue
            h = cuda.forward(x, u, h0, activation, regime=regime)
            torch.testing.assert_close(h, wanted, rtol=1e-3, atol=1e-4, equal_nan=True)
            found = cuda.backward(grad, wanted, u, h0, activation, regime=regime)
            for one, other in zip(found, gradients, strict=True):
                torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-3, equal_nan=True)


@pytest.mark.usefixtures("launched")
@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("regime", cuda.REGIMES)
@pytest.mark.parametrize("slopes", ["up to 1", "1", "about 1", "up to 1.05", "up to 1.2", "1.5 and less"])
def test_single_precision_loses_no_more_than_twice_the_loop(
    regime: str, activation: str, slopes: str
) -> None:
    if not fits(regime, activation, torch.float32, 64):
        pytest.skip("tanh has no scan")
    steps, units = 2048, 64
    x, u, h0, grad, _ = problem(steps, 1, units, seed=3)
    sign, at = u.sign(), torch.linspace(-1, 1, units)
    u = {
        "up to 1": at,
        "1": sign,
        "about 1": sign * 2 ** (at / steps),
        "up to 1.05": sign * (1.025 + 0.025 * at),
        "up to 1.2": sign * (1.125 + 0.075 * at),
        "1.5 and less": 1.5 * at,  # some too steep to be summed up
    }[slopes]
    exact = reference.forward(x.double(), u.double(), h0.double(), activation)
    loop = reference.forward(x, u, h0, activation)
    h = cuda.forward(x, u, h0, activation, regime=regime)
    assert torch.equal(h.isinf() | h.isnan(), loop.isinf() | loop.isnan())
    compare(h, loop, exact)
    exact_gradients = reference.backward(grad.double(), loop.double(), u.double(), h0.double(), activation)
    loop_gradients = reference.backward(grad, loop, u, h0, activation)
    gradients = cuda.backward(grad, loop, u, h0, activation, regime=regime)
    for found, sequential, wanted in zip(gradients, loop_gradients, exact_gradients, strict=True):
        compare(found, sequential, wanted)


def compare(found: Tensor, loop: Tensor, exact: Tensor) -> None:
    """Holds the error of columns that stay in range, each in its own scale, against the loop's."""
    found, loop, exact = (value.reshape(-1, value.shape[-1]).double() for value in (found, loop, exact))
    kept = loop.isfinite().all(0) & found.isfinite().all(0) & (exact.abs().amax(0) < 1e30)
    scale = exact.abs().amax(0).clamp(min=1e-30)
    errors = [torch.where(kept, (value - exact).abs().amax(0) / scale, 0.0).max() for value in (found, loop)]
    assert errors[0] <= 2 * errors[1] + torch.finfo(torch.float32).eps


def same_as_the_loop(x: Tensor, u: Tensor, h0: Tensor, activation: str, length: int) -> None:
    """The scan in chunks of this length has every state of the loop, bit by bit."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cuda, "chunk_length", lambda steps, columns: length)
        h = cuda.forward(x, u, h0, activation, regime="scan")
    torch.testing.assert_close(h, reference.forward(x, u, h0, activation), rtol=0, atol=0, equal_nan=True)


@pytest.mark.usefixtures("launched")
def test_a_state_that_a_steep_slope_holds_in_balance_is_held() -> None:
    u, x = torch.tensor([4.0, -4.0]), torch.tensor([-1.5, 2.5])  # 0.5 stays 0.5, by numbers that float has
    same_as_the_loop(x.expand(600, 1, 2).contiguous(), u, torch.full((1, 2), 0.5), "relu", 200)


@pytest.mark.usefixtures("launched")
def test_an_infinite_state_passes_from_chunk_to_chunk() -> None:
    u = torch.tensor([-0.5, 0.5, 0.0, 0.5, -0.5])
    x = torch.ones(15, 1, 5)
    x[4] = torch.inf  # the last step of a chunk of 5
    x[5, 0, 0], x[7, 0, 1] = torch.inf, -torch.inf  # inf - inf
    x[5, 0, 4] = -torch.inf
    same_as_the_loop(x, u, torch.zeros(1, 5), "relu", 5)
    for length in (200, 201):  # 1e-3 to that power is 0 even in double, but 0 * inf is not inf
        x = torch.zeros(700, 1, 2)
        x[100] = torch.inf
        same_as_the_loop(x, torch.tensor([1e-3, -1e-3]), torch.zeros(1, 2), "identity", length)


@pytest.mark.usefixtures("launched")
@pytest.mark.parametrize("regime", cuda.REGIMES)
def test_a_length_out_of_range_reads_nothing_outside(regime: str) -> None:
    x, u, h0, grad, _ = problem(70, 2, 6)
    found, wanted = (
        (
            h := cuda.forward(x, u, h0, "relu", torch.tensor(lengths), regime=regime),
            *cuda.backward(grad, h, u, h0, "relu", torch.tensor(lengths), regime=regime),
        )
        for lengths in ([-3, 79], [0, 70])
    )
    for one, other in zip(found, wanted, strict=True):
        assert torch.equal(one, other)
