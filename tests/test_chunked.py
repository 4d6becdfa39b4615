"""The chunked scan in plain torch against the loop."""

from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from action_indrnn.kernels import chunked, indrnn, reference

LONG = chunked.WORTH_FROM


def made(steps: int, batch: int, units: int, *, seed: int, bound: float, dtype: torch.dtype) -> list[Tensor]:
    generator = torch.Generator().manual_seed(seed)
    x, h0, grad = (
        torch.randn(shape, generator=generator, dtype=dtype)
        for shape in ((steps, batch, units), (batch, units), (steps, batch, units))
    )
    return [x, bound * (2 * torch.rand(units, generator=generator, dtype=dtype) - 1), h0, grad]


def both(kernel: Any, x: Tensor, u: Tensor, h0: Tensor, grad: Tensor, *how: Any) -> list[Tensor]:
    """h of a kernel, and its gradients for the h of the reference."""
    h = reference.forward(x, u, h0, *how)
    return [kernel.forward(x, u, h0, *how), *kernel.backward(grad, h, u, h0, *how)]


@settings(max_examples=60, deadline=None)
@given(
    steps=st.integers(LONG, 3 * LONG),
    batch=st.integers(0, 3),
    units=st.integers(0, 9),
    seed=st.integers(0, 2**31),
    positive=st.booleans(),
    activation=st.sampled_from(["relu", "identity"]),
    reverse=st.booleans(),
)
def test_any_long_sequence_is_the_loop_s(
    steps: int, batch: int, units: int, seed: int, positive: bool, activation: str, reverse: bool
) -> None:
    x, u, h0, grad = made(steps, batch, units, seed=seed, bound=1.01, dtype=torch.float64)
    u[: units // 3] = torch.tensor([0.0, 1.0, -1.0], dtype=u.dtype)[: units // 3]
    u = u.abs() if positive else u
    for found, wanted in zip(
        both(chunked, x, u, h0, grad, activation, None, reverse),
        both(reference, x, u, h0, grad, activation, None, reverse),
        strict=True,
    ):
        torch.testing.assert_close(found, wanted, rtol=1e-9, atol=1e-9)


@settings(max_examples=40, deadline=None)
@given(
    value=st.sampled_from([torch.nan, torch.inf, -torch.inf, 1e-310]),
    step=st.integers(0, LONG + 49),
    seed=st.integers(0, 2**31),
    activation=st.sampled_from(["relu", "identity"]),
)
def test_special_values_spread_as_in_the_loop(value: float, step: int, seed: int, activation: str) -> None:
    x, u, h0, grad = made(LONG + 50, 2, 5, seed=seed, bound=1.2, dtype=torch.float64)
    u[0], u[1], u[2] = 0, 1e-40, -1e-40
    x[step, 0] = value
    x[-1, 1] = -torch.inf
    for found, wanted in zip(
        both(chunked, x, u, h0, grad, activation), both(reference, x, u, h0, grad, activation), strict=True
    ):
        torch.testing.assert_close(found, wanted, rtol=1e-9, atol=1e-9, equal_nan=True)


def unit_error(found: Tensor, exact: Tensor) -> float:
    """The largest error of a unit in units of its largest number, in the mean over units."""
    error, size = (value.abs().reshape(-1, value.shape[-1]).amax(0) for value in (found - exact, exact))
    return float((error / size.clamp(min=1e-30)).mean())


@pytest.mark.parametrize("bound", [1.0, 2 ** (1 / 3000), 1.2])
@pytest.mark.parametrize("activation", ["relu", "identity"])
def test_error_is_at_most_twice_the_loop_s(activation: str, bound: float) -> None:
    x, u, h0, grad = made(3000, 2, 64, seed=0, bound=bound, dtype=torch.float32)
    if bound > 1:
        u = torch.where(u < 0, -bound, bound) if bound < 1.2 else u
    if bound == 1.2:
        x, grad = x[:300], grad[:300]
    exact = both(reference, *(value.double() for value in (x, u, h0, grad)), activation)
    ours, loop = ([*both(kernel, x, u, h0, grad, activation)] for kernel in (chunked, reference))
    # Of dh0, one step of dx, there are too few numbers for such a statement.
    for found, plain, true in list(zip(ours, loop, exact, strict=True))[:3]:
        assert unit_error(found, true) <= 2 * unit_error(plain, true)


def test_it_takes_fewer_calls_than_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []
    addcmul = torch.addcmul

    def counted(*arguments: Any, **options: Any) -> Tensor:
        calls.append(1)
        return addcmul(*arguments, **options)

    monkeypatch.setattr(torch, "addcmul", counted)
    x, u, h0, _ = made(10_000, 1, 3, seed=0, bound=1.0, dtype=torch.float32)
    chunked.forward(x, u, h0, "relu")
    assert len(calls) < 4 * 10_000**0.5


def test_short_ones_tanh_and_lengths_are_left_to_the_loop() -> None:
    for steps, activation, lengths in (
        (LONG - 1, "relu", None),
        (LONG, "tanh", None),
        (LONG, "relu", torch.tensor([3, LONG])),
    ):
        x, u, h0, grad = made(steps, 2, 4, seed=1, bound=1.0, dtype=torch.float32)
        for found, wanted in zip(
            both(chunked, x, u, h0, grad, activation, lengths),
            both(reference, x, u, h0, grad, activation, lengths),
            strict=True,
        ):
            assert torch.equal(found, wanted)


def test_the_front_door_differentiates_it_twice() -> None:
    x, u, h0, _ = made(LONG, 1, 1, seed=3, bound=0.9, dtype=torch.float64)
    values = [value.requires_grad_() for value in (x, u, h0)]
    (first,) = torch.autograd.grad(
        indrnn(*values, activation="identity", backend="chunked")[0].pow(2).sum(), u, create_graph=True
    )
    (second,) = torch.autograd.grad(first, u)
    step = 1e-5
    (ahead, behind) = (
        torch.autograd.grad(indrnn(x, u + d, h0, activation="identity")[0].pow(2).sum(), u)[0]
        for d in (step, -step)
    )
    torch.testing.assert_close(second, (ahead - behind) / (2 * step), rtol=1e-5, atol=1e-5)
