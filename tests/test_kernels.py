import os
import subprocess
import sys
from itertools import pairwise
from types import SimpleNamespace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from action_indrnn.kernels import ACTIVATIONS, KERNELS, backend, chunked, indrnn, recurrence, reference

BACKENDS = ["auto", *KERNELS]


def loop(x: Tensor, u: Tensor, h0: Tensor, activation: str) -> Tensor:
    """The recurrence as autograd sees it: an independent definition, differentiated step by step."""
    act = {"relu": torch.relu, "tanh": torch.tanh, "identity": lambda a: a}[activation]
    h, steps = h0, []
    for t in range(len(x)):
        h = act(x[t] + u * h)
        steps.append(h)
    return torch.stack(steps)


def inputs(steps: int, batch: int, units: int, *, seed: int = 0, dtype: torch.dtype = torch.float64):
    generator = torch.Generator().manual_seed(seed)
    shapes = ((steps, batch, units), (units,), (batch, units))
    x, u, h0 = (torch.randn(shape, generator=generator, dtype=dtype) for shape in shapes)
    u = 1.1 * torch.tanh(u)  # both signs, some beyond 1
    return [value.requires_grad_() for value in (x, u, h0)]


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("shape", [(1, 1, 1), (1, 3, 5), (7, 2, 3), (33, 5, 17)])
def test_values_and_gradients_are_the_loop_s(
    backend: str, activation: str, shape: tuple[int, int, int]
) -> None:
    ours, theirs = inputs(*shape), inputs(*shape)
    h, last = indrnn(*ours, activation=activation, backend=backend)
    expected = loop(*theirs, activation)
    torch.testing.assert_close(h, expected)
    torch.testing.assert_close(last, expected[-1])
    weights = torch.randn(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(9))
    ((h * weights).sum() + (last**2).sum()).backward()
    ((expected * weights).sum() + (expected[-1] ** 2).sum()).backward()
    for found, wanted in zip(ours, theirs, strict=True):
        torch.testing.assert_close(found.grad, wanted.grad)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_gradcheck(backend: str, activation: str) -> None:
    values = inputs(6, 2, 3, seed=1)
    x, u, h0 = (value.detach() for value in values)
    before = torch.cat([h0[None], loop(x, u, h0, "relu")[:-1]])
    assert (x + u * before).abs().min() > 1e-3  # away from the kink
    assert torch.autograd.gradcheck(lambda *v: indrnn(*v, activation=activation, backend=backend), values)
    assert torch.autograd.gradgradcheck(lambda *v: indrnn(*v, activation=activation, backend=backend), values)


@pytest.mark.parametrize("backend", BACKENDS)
def test_non_contiguous_input(backend: str) -> None:
    x, u, h0 = inputs(5, 3, 4)
    batch_first = x.detach().transpose(0, 1).contiguous().transpose(0, 1)
    wide = torch.stack([h0.detach(), h0.detach()], dim=-1)[..., 0]
    assert not batch_first.is_contiguous()
    assert not wide.is_contiguous()
    torch.testing.assert_close(indrnn(batch_first, u, wide, backend=backend)[0], loop(x, u, h0, "relu"))


@pytest.mark.parametrize("backend", BACKENDS)
def test_single_precision(backend: str) -> None:
    values = inputs(40, 4, 8, dtype=torch.float32)
    h, _ = indrnn(*values, backend=backend)
    assert h.dtype == torch.float32
    torch.testing.assert_close(h, loop(*values, "relu"))


@pytest.mark.parametrize("backend", BACKENDS)
def test_the_kink_has_no_slope_and_nan_is_not_hidden(backend: str) -> None:
    x = torch.zeros(3, 1, 1, dtype=torch.float64, requires_grad=True)
    h, _ = indrnn(x, torch.ones(1, dtype=torch.float64), backend=backend)
    h.sum().backward()
    assert not x.grad.any()
    x = torch.ones(4, 1, 2)
    x[1, 0, 0] = torch.nan
    h, _ = indrnn(x, torch.full((2,), 0.5), backend=backend)
    assert h[:, 0, 0].isnan().tolist() == [False, True, True, True]
    assert not h[:, 0, 1].isnan().any()


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("reverse", [False, True])
def test_every_sequence_ends_where_its_length_says(backend: str, activation: str, reverse: bool) -> None:
    lengths = [4, 0, 7, 1]
    values = inputs(7, 4, 5, seed=2)
    h, last = indrnn(
        *values, activation=activation, lengths=torch.tensor(lengths), reverse=reverse, backend=backend
    )
    weights = torch.randn(h.shape, dtype=h.dtype, generator=torch.Generator().manual_seed(9))
    found = torch.autograd.grad((h * weights).sum() + (last**2).sum(), values)
    x, u, h0 = values
    total = x.new_zeros(())
    for b, length in enumerate(lengths):
        alone, state = x[:length, b : b + 1], h0[b : b + 1]
        if length:
            states = loop(alone.flip(0) if reverse else alone, u, state, activation)
            state = states[-1]
            states = states.flip(0) if reverse else states
            torch.testing.assert_close(h[:length, b : b + 1], states)
            total = total + (states * weights[:length, b : b + 1]).sum()
        torch.testing.assert_close(last[b : b + 1], state)
        assert not h[length:, b].any()
        total = total + (state**2).sum()
    for one, other in zip(found, torch.autograd.grad(total, values), strict=True):
        torch.testing.assert_close(one, other)


@pytest.mark.parametrize("backend", BACKENDS)
def test_reverse_is_the_flipped_sequence(backend: str) -> None:
    x, u, h0 = inputs(300, 2, 3)
    h, last = indrnn(x, u, h0, reverse=True, backend=backend)
    expected = loop(x.flip(0), u, h0, "relu")
    torch.testing.assert_close(h, expected.flip(0))
    torch.testing.assert_close(last, expected[-1])


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("reverse", [False, True])
def test_second_derivatives_of_lengths_and_reverse(backend: str, reverse: bool) -> None:
    values = inputs(4, 3, 2, seed=5)
    lengths = torch.tensor([4, 0, 2])

    def function(*v):
        return indrnn(*v, activation="tanh", lengths=lengths, reverse=reverse, backend=backend)

    assert torch.autograd.gradcheck(function, values)
    assert torch.autograd.gradgradcheck(function, values)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("shape", [(0, 2, 3), (4, 0, 3), (4, 2, 0), (0, 0, 0)])
@pytest.mark.parametrize("with_lengths", [False, True])
def test_nothing_in_nothing_out(backend: str, shape: tuple[int, int, int], with_lengths: bool) -> None:
    values = inputs(*shape)
    lengths = torch.zeros(shape[1], dtype=torch.int64) if with_lengths else None
    h, last = indrnn(*values, lengths=lengths, backend=backend)
    assert h.shape == shape
    if not shape[0] or with_lengths:
        torch.testing.assert_close(last, values[2])
    dx, du, dh0 = torch.autograd.grad(h.sum() + 2 * last.sum(), values)
    assert dx.shape == shape
    assert not du.any()
    assert (dh0 == 2).all() if not shape[0] or with_lengths else not dh0.numel()


def test_the_chosen_kernel_is_told_with_its_reason(monkeypatch) -> None:
    if "cpu" in KERNELS:
        assert backend().startswith("cpu: compiled CPU kernel, ")
        monkeypatch.delitem(KERNELS, "cpu")
    monkeypatch.setattr("action_indrnn.kernels.cpu._reason", "there is none")
    assert backend() == "chunked: there is none"
    assert backend(activation="tanh") == "reference: there is none"
    assert backend(torch.zeros(chunked.WORTH_FROM - 1, 1, 1)) == "reference: there is none"
    assert backend(torch.zeros(9, 1, 1).half()).endswith("no compiled kernel for torch.float16 on cpu")
    with pytest.raises(ValueError, match=r"expected one of auto, .*, found 'cpu': there is none"):
        indrnn(torch.zeros(1, 1, 1), torch.zeros(1), backend="cpu")


def test_the_environment_forces_a_kernel(monkeypatch) -> None:
    monkeypatch.setattr(recurrence, "FORCED", "reference")
    assert backend() == "reference: the environment variable ACTION_INDRNN_BACKEND asks for it"
    calls = []
    monkeypatch.setattr(reference, "forward", lambda x, *_: calls.append(1) or x)
    indrnn(torch.zeros(2, 1, 1), torch.zeros(1))
    assert calls == [1]
    program = (
        "import torch; from action_indrnn import kernels; kernels.indrnn(torch.zeros(1,1,1), torch.zeros(1))"
    )
    environment = {**os.environ, "ACTION_INDRNN_BACKEND": "abacus"}
    found = subprocess.run(
        [sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=False
    )
    assert "ValueError: backend: expected one of auto, reference" in found.stderr
    assert "found 'abacus'" in found.stderr


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 12), st.data())
def test_pieces_with_carried_state_are_the_whole(steps: int, data) -> None:
    x, u, h0 = inputs(steps, 2, 3, seed=steps)
    cuts = sorted(data.draw(st.sets(st.integers(1, max(1, steps - 1)))) | {0, steps})
    state, parts = h0, []
    for start, end in pairwise(cuts):
        h, state = indrnn(x[start:end], u, state)
        parts.append(h)
    torch.testing.assert_close(torch.cat(parts), indrnn(x, u, h0)[0], rtol=0, atol=0)


def test_the_state_defaults_to_zeros_and_inference_keeps_no_graph() -> None:
    x, u, h0 = inputs(4, 2, 3)
    torch.testing.assert_close(indrnn(x, u)[0], indrnn(x, u, torch.zeros_like(h0))[0])
    with torch.no_grad():
        assert not indrnn(x, u)[0].requires_grad


@pytest.mark.parametrize(
    ("message", "change"),
    {
        r"x: expected shape \(T, B, H\), found \(2, 3\)": {"x": torch.zeros(2, 3)},
        r"lengths: expected 0 to 4, found \[5, 1\]": {"lengths": torch.tensor([5, 1])},
        r"lengths: expected 0 to 4, found \[-1, 1\]": {"lengths": torch.tensor([-1, 1])},
        r"lengths: expected int64 of shape \(2,\) on cpu, found torch.int32": {
            "lengths": torch.ones(2, dtype=torch.int32)
        },
        "x: expected a floating dtype, found torch.int64": {"x": torch.zeros(4, 2, 3, dtype=torch.int64)},
        r"u: expected shape \(3,\) for x \(4, 2, 3\), found \(2,\)": {"u": torch.zeros(2)},
        r"h0: expected shape \(2, 3\) for x \(4, 2, 3\), found \(1, 2, 3\)": {"h0": torch.zeros(1, 2, 3)},
        "u: expected dtype torch.float32 of x, found torch.float64": {
            "u": torch.zeros(3, dtype=torch.float64)
        },
        "h0: expected device cpu of x, found meta": {"h0": torch.zeros(2, 3, device="meta")},
        "activation: expected one of relu, tanh, identity, found 'gelu'": {"activation": "gelu"},
        "backend: expected one of auto, reference.*, found 'tpu'": {"backend": "tpu"},
    }.items(),
)
def test_what_does_not_fit_is_named(message: str, change: dict[str, object]) -> None:
    arguments = {"x": torch.zeros(4, 2, 3), "u": torch.zeros(3), "h0": torch.zeros(2, 3), **change}
    with pytest.raises(ValueError, match=message):
        indrnn(**arguments)


def test_the_named_kernel_runs_and_second_derivatives_need_none_of_its_own(monkeypatch) -> None:
    calls = []

    def forward(*arguments):
        calls.append("forward")
        return reference.forward(*arguments)

    def backward(*arguments):
        calls.append("backward")
        return tuple(gradient.detach() for gradient in reference.backward(*arguments))

    monkeypatch.setitem(KERNELS, "made", SimpleNamespace(forward=forward, backward=backward))
    values = inputs(3, 2, 4)
    indrnn(*values, backend="made")[0].sum().backward()
    assert calls == ["forward", "backward"]
    assert torch.autograd.gradgradcheck(lambda *v: indrnn(*v, activation="tanh", backend="made"), values)


def test_importing_asks_for_no_device() -> None:
    program = "import torch, action_indrnn.kernels; assert not torch.cuda.is_initialized()"
    subprocess.run([sys.executable, "-c", program], check=True)


class Two(torch.nn.Module):
    """Two layers, as a network has them."""

    def __init__(self, backend: str) -> None:
        super().__init__()
        self.linear = torch.nn.ModuleList([torch.nn.Linear(4, 4) for _ in range(2)])
        self.u = torch.nn.Parameter(torch.linspace(-0.9, 0.9, 4))
        self.backend = backend

    def forward(self, x: Tensor, lengths: Tensor | None = None) -> Tensor:
        for linear in self.linear:
            x, last = indrnn(linear(x), self.u, lengths=lengths, backend=self.backend)
        return x.sum(0) + last


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("lengths", [None, torch.tensor([5, 0, 7])])
def test_two_layers_compile_into_one_graph(backend: str, lengths: Tensor | None) -> None:
    torch.manual_seed(0)
    network, x = Two(backend), torch.randn(3, 7, 4).transpose(0, 1)
    compiled = torch.compile(network, fullgraph=True, backend="aot_eager")
    results = []
    for function in (network, compiled):
        network.zero_grad()
        y = function(x, lengths)
        y.square().sum().backward()
        results.append([y, *(value.grad.clone() for value in network.parameters())])
    for eager, traced in zip(*results, strict=True):
        torch.testing.assert_close(eager, traced)


def test_export_keeps_the_recurrence_as_one_operator() -> None:
    network, x = Two("auto"), torch.randn(7, 3, 4)
    program = torch.export.export(network, (x,))
    assert sum("action_indrnn.recurrence" in str(node.target) for node in program.graph.nodes) == 2
    torch.testing.assert_close(program.module()(x), network(x))


@pytest.mark.parametrize("backend", list(KERNELS))
def test_the_operators_keep_torch_s_rules(backend: str) -> None:
    x, u, h0 = inputs(5, 2, 3)
    operator = torch.ops.action_indrnn.recurrence.default
    for lengths in (None, torch.tensor([5, 2])):
        torch.library.opcheck(operator, (x, u, h0, lengths, backend, "relu", False))
