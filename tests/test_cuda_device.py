"""What only a device can show of the CUDA kernels; their mathematics is tested in test_cuda_bodies.py."""

import pytest
import torch
from torch import Tensor

from action_indrnn.kernels import backend, cuda, cuda_plain, cuda_source, indrnn, reference

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="torch finds no CUDA device")

DTYPES = list(cuda_source.STORAGE)
ACTIVATIONS = list(cuda_source.ACTIVATION)
TOLERANCE = {torch.float32: 2e-5, torch.bfloat16: 1.6e-2, torch.float16: 2e-3}


@pytest.fixture(autouse=True)
def kernels() -> None:
    if not cuda.available():
        pytest.skip(cuda.reason())


def problem(
    steps: int,
    batch: int,
    units: int,
    *,
    dtype: torch.dtype = torch.float32,
    layout: str = "time",
    slope: float = 0.97,
) -> list[Tensor]:
    """x, u, h0, grad_h, grad_last on the device."""
    generator = torch.Generator().manual_seed(steps + units)

    def made(*shape: int) -> Tensor:
        return torch.randn(shape, generator=generator).to("cuda", dtype)

    def rows() -> Tensor:
        if layout == "batch":
            return made(batch, steps, units).transpose(0, 1)
        if layout == "slice":
            return made(steps + 1, 2 * batch, units + 4)[1:, ::2, 2:-2]
        return made(steps, batch, units)

    return [
        rows(),
        (slope * torch.tanh(made(units))).to(dtype),
        made(batch, units),
        rows(),
        made(batch, units),
    ]


def close(found: Tensor, wanted: Tensor, dtype: torch.dtype) -> None:
    scale = wanted.abs().nan_to_num(0, 0, 0).max().item()
    torch.testing.assert_close(
        found.double(),
        wanted.double(),
        rtol=TOLERANCE[dtype],
        atol=TOLERANCE[dtype] * (scale + 1e-3),
        equal_nan=True,
    )


def check(values: list[Tensor], activation: str, regime: str, lengths: Tensor | None, reverse: bool) -> None:
    """Both directions against the reference in float64."""
    x, u, h0, grad, grad_last = values
    steps, (first, second) = len(x), (values[0].double(), values[3].double())
    ends = torch.full((x.shape[1],), steps, device="cuda") if lengths is None else lengths
    last = torch.full_like(h0, torch.nan)
    h = cuda.forward(x, u, h0, activation, lengths, reverse, last=last, regime=regime)
    wanted = reference.forward(first, u.double(), h0.double(), activation, lengths, reverse)
    close(h, wanted, x.dtype)
    at = torch.zeros_like(ends) if reverse else (ends - 1).clamp(min=0)
    batch = torch.arange(len(ends), device="cuda")
    wanted_last = torch.where(ends[:, None] > 0, wanted[at, batch], h0.double())
    close(last, wanted_last, x.dtype)

    inside = (torch.arange(steps, device="cuda")[:, None] < ends)[..., None]
    second = torch.where(inside, second, 0.0)
    second[at, batch] += torch.where(ends[:, None] > 0, grad_last.double(), 0.0)
    found = cuda.backward(grad, h, u, h0, activation, lengths, reverse, grad_last=grad_last, regime=regime)
    dx, du, dh0 = reference.backward(
        second, h.double(), u.double(), h0.double(), activation, lengths, reverse
    )
    dh0 = torch.where(ends[:, None] > 0, dh0, grad_last.double())
    for one, other in zip(found, (dx, du, dh0), strict=True):
        assert one.dtype == x.dtype
        close(one, other, x.dtype)


def fits(regime: str, activation: str) -> bool:
    return regime != "scan" or activation != "tanh"


@pytest.mark.parametrize("regime", cuda.REGIMES)
@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("dtype", DTYPES)
def test_every_kernel_is_the_reference(dtype: torch.dtype, activation: str, regime: str) -> None:
    if not fits(regime, activation):
        pytest.skip("tanh has no scan")
    for steps, batch, units in ((1, 1, 2), (17, 3, 6), (130, 5, 34), (700, 2, 66), (1030, 1, 128)):
        for layout in ("time", "batch", "slice"):
            values = problem(steps, batch, units, dtype=dtype, layout=layout)
            generator = torch.Generator().manual_seed(steps)
            lengths = torch.randint(0, steps + 1, (batch,), generator=generator).cuda()
            for reverse in (False, True):
                check(values, activation, regime, None, reverse)
                check(values, activation, regime, lengths, reverse)


@pytest.mark.parametrize("regime", cuda.REGIMES)
def test_what_is_no_number_goes_where_the_loop_puts_it(regime: str) -> None:
    x, u, h0, _, _ = problem(600, 2, 64, slope=1.1)
    for t, value in ((50, torch.nan), (200, torch.inf), (300, -torch.inf), (400, 1e-40)):
        x[t, :, t % 7 :: 7] = value
    wanted = reference.forward(x, u, h0, "relu")
    h = cuda.forward(x, u, h0, "relu", regime=regime)
    kept = wanted.nan_to_num(0, 0, 0).abs().amax(0, keepdim=True) < 1e20
    torch.testing.assert_close(
        torch.where(kept, h, 0.0), torch.where(kept, wanted, 0.0), rtol=1e-3, atol=1e-4, equal_nan=True
    )


@pytest.mark.parametrize("regime", cuda.REGIMES)
def test_a_graph_replays_both_directions(regime: str) -> None:
    values = problem(600, 2, 64)
    x, u, h0, grad, _ = values
    fixed = x.clone()

    def both() -> tuple[Tensor, ...]:
        h = cuda.forward(fixed, u, h0, "relu", regime=regime)
        return h, *cuda.backward(grad, h, u, h0, "relu", regime=regime)

    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        both()  # compiles
    torch.cuda.current_stream().wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        replayed = both()
    for seed in range(2):
        fixed.copy_(torch.roll(x, seed, 0))
        graph.replay()
        for one, other in zip(replayed, both(), strict=True):
            assert torch.equal(one, other)


def test_the_current_stream_is_the_one_that_runs() -> None:
    x, u, h0, _, _ = problem(2000, 8, 512)
    wanted = cuda.forward(x, u, h0, "relu")
    late = torch.zeros_like(x)
    torch.cuda.synchronize()
    side = torch.cuda.Stream()
    with torch.cuda.stream(side):
        torch.cuda._sleep(50_000_000)  # cycles: a launch elsewhere would see zeros
        late.copy_(x)
        h = cuda.forward(late, u, h0, "relu")
    side.synchronize()
    assert torch.equal(h, wanted)


@pytest.mark.parametrize("regime", cuda.REGIMES)
def test_the_same_call_gives_the_same_bits(regime: str) -> None:
    x, u, h0, grad, _ = problem(700, 6, 100)
    h = cuda.forward(x, u, h0, "relu", regime=regime)
    first, *others = (cuda.backward(grad, h, u, h0, "relu", regime=regime) for _ in range(5))
    for other in others:
        assert all(torch.equal(one, two) for one, two in zip(first, other, strict=True))


def test_offsets_pass_32_bits() -> None:
    steps, batch, units = 70, 8192, 4096
    if torch.cuda.mem_get_info()[0] < 6 * steps * batch * units:
        pytest.skip("two tensors of 2-byte numbers, 2^31 of each, do not fit the device")
    x = torch.ones((steps, batch, units), dtype=torch.bfloat16, device="cuda")
    u, h0 = torch.ones(units, dtype=x.dtype, device="cuda"), torch.zeros_like(x[0])
    for regime in ("column", "ring"):
        h = cuda.forward(x, u, h0, "relu", regime=regime)
        for t in (0, 63, 64, 69):
            assert (h[t] == t + 1).all()
        del h


@pytest.mark.skipif(torch.cuda.device_count() < 2, reason="one device")
def test_a_second_device_is_guarded() -> None:
    x, u, h0, _, _ = problem(300, 2, 64)
    wanted = cuda.forward(x, u, h0, "relu")
    found = cuda.forward(x.to("cuda:1"), u.to("cuda:1"), h0.to("cuda:1"), "relu")
    assert found.device.index == 1
    assert torch.cuda.current_device() == 0
    assert torch.equal(found.cpu(), wanted.cpu())


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("dtype", DTYPES)
def test_the_front_door_takes_them(dtype: torch.dtype, activation: str) -> None:
    x, u, h0, grad, grad_last = problem(600, 3, 32, dtype=dtype)
    assert backend(x, activation).startswith("cuda: CUDA kernels, compiled on first use by CuPy")
    leaves = [value.clone().requires_grad_() for value in (x, u, h0)]
    h, last = indrnn(*leaves, activation=activation)
    assert torch.equal(h, cuda.forward(x, u, h0, activation))
    found = torch.autograd.grad((h, last), leaves, (grad, grad_last))
    grad = grad.double()
    grad[-1] += grad_last.double()
    wanted = reference.backward(grad, h.detach().double(), u.double(), h0.double(), activation)
    for one, other in zip(found, wanted, strict=True):
        close(one, other, dtype)


def test_double_precision_runs_on_plain_operations() -> None:
    values = [value.double().requires_grad_() for value in problem(5, 2, 3)[:3]]
    assert backend(values[0]) == "reference: there is no compiled kernel for torch.float64 on cuda:0"
    assert torch.autograd.gradcheck(lambda *v: indrnn(*v, activation="tanh"), values)


def test_two_layers_compile_into_one_graph() -> None:
    x, u, _, _, _ = problem(300, 2, 64)
    weight = torch.eye(64, device="cuda")

    def two(x: Tensor) -> Tensor:
        return indrnn(indrnn(x @ weight, u)[0] @ weight, u)[0]

    compiled = torch.compile(two, fullgraph=True, backend="aot_eager")
    torch.testing.assert_close(compiled(x), two(x))


def test_the_baseline_is_the_reference() -> None:
    x, u, h0, grad, _ = problem(200, 3, 70)
    h = cuda_plain.forward(x, u, h0, "relu")
    close(h, reference.forward(x.double(), u.double(), h0.double(), "relu"), x.dtype)
    wanted = reference.backward(grad.double(), h.double(), u.double(), h0.double(), "relu")
    for one, other in zip(cuda_plain.backward(grad, h, u, h0, "relu"), wanted, strict=True):
        close(one, other, x.dtype)
