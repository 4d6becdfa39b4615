import numpy as np
import pytest
import torch
from torch import nn

from action_indrnn import layers
from action_indrnn.layers import (
    BatchNormOverTime,
    Convolution,
    DropoutOverTime,
    IndRNN,
    Linear,
    RecurrentBlock,
)


@pytest.mark.parametrize(
    ("length", "magnification", "low", "bound"),
    [
        (20, 5, 0.922681, 1.083798),
        (784, 5, 0.997949, 1.002055),
        (784, 2, 0.999116, 1.000885),
        (5000, 2, 0.999861, 1.000139),
    ],
)
def test_bounds_are_the_published_ones(length: int, magnification: float, low: float, bound: float) -> None:
    assert layers.u_low(length, magnification) == pytest.approx(low, abs=5e-7)
    assert layers.u_bound(length, magnification) == pytest.approx(bound, abs=5e-7)


def test_initial_recurrent_weights_fill_their_range() -> None:
    torch.manual_seed(0)
    u = IndRNN(4000, length=20).u.detach()
    assert 0 <= u.min() < 0.01
    assert 1.07 < u.max() <= 5 ** (1 / 20)
    assert u.mean().item() == pytest.approx(1.0838 / 2, abs=0.02)
    last = IndRNN(4000, length=20, last=True).u.detach()
    assert 0.9226 < last.min() < 0.925
    assert 1.082 < last.max() <= 5 ** (1 / 20)


def test_clamping_holds_both_signs() -> None:
    model = nn.Sequential(IndRNN(3, length=20), nn.Sequential(IndRNN(3, length=20, bounded=False)))
    with torch.no_grad():
        for layer in layers_of(model):
            layer.u.copy_(torch.tensor([-3.0, 0.2, 3.0]))
    layers.clamp_recurrent_(model)
    bounded, free = (layer.u.tolist() for layer in layers_of(model))
    assert bounded == pytest.approx([-(5 ** (1 / 20)), 0.2, 5 ** (1 / 20)])
    assert free == [-3.0, pytest.approx(0.2), 3.0]


def test_the_penalty_is_the_norm_of_what_exceeds_the_bound() -> None:
    model = nn.Sequential(IndRNN(2, length=20, bounded=False), IndRNN(2, length=20, bounded=False))
    bound = 5 ** (1 / 20)
    with torch.no_grad():
        for layer, u in zip(layers_of(model), ([bound + 3, 0.5], [-bound - 4, bound]), strict=True):
            layer.u.copy_(torch.tensor(u))
    penalty = layers.excess(model)
    assert penalty.item() == pytest.approx(5, rel=1e-6)
    penalty.backward()
    torch.testing.assert_close(model[0].u.grad, torch.tensor([0.6, 0.0]))
    torch.testing.assert_close(model[1].u.grad, torch.tensor([-0.8, 0.0]))


def test_within_the_bound_the_penalty_and_its_gradient_are_zero() -> None:
    layer = IndRNN(5, length=20, bounded=False)
    penalty = layers.excess(layer)
    penalty.backward()
    assert penalty.item() == 0
    assert not layer.u.grad.any()


def test_in_reverse_the_recurrence_starts_at_the_last_step() -> None:
    layer = IndRNN(1, length=20)
    layer.reverse = True
    with torch.no_grad():
        layer.u.fill_(0.5)
    h, last = layer(torch.tensor([1.0, 2.0, 4.0]).view(3, 1, 1))
    assert h.flatten().tolist() == [3.0, 4.0, 4.0]
    assert last.tolist() == [[3.0]]


def test_channels_are_normalised_over_their_places() -> None:
    torch.manual_seed(0)
    block = RecurrentBlock(6, channels=2, length=20)
    y, _ = block(torch.randn(7, 5, 6) * 4)
    by_channel = y.unflatten(2, (3, 2))
    torch.testing.assert_close(by_channel.mean(dim=(0, 1, 2)), torch.zeros(2), atol=1e-6, rtol=0)
    torch.testing.assert_close(
        by_channel.var(dim=(0, 1, 2), unbiased=False), torch.ones(2), atol=1e-3, rtol=0
    )
    assert block.norm.norm.weight.shape == (2,)
    assert (y.mean(dim=(0, 1)).abs() > 1e-3).any()  # a unit by itself is not


def layers_of(model: nn.Module) -> list[IndRNN]:
    return [module for module in model.modules() if isinstance(module, IndRNN)]


def test_batch_norm_counts_every_step_of_every_clip() -> None:
    torch.manual_seed(0)
    norm, x = BatchNormOverTime(3), torch.randn(7, 5, 3) * 4 + 2
    y = norm(x)
    torch.testing.assert_close(y.mean(dim=(0, 1)), torch.zeros(3), atol=1e-6, rtol=0)
    torch.testing.assert_close(y.var(dim=(0, 1), unbiased=False), torch.ones(3), atol=1e-4, rtol=0)
    torch.testing.assert_close(norm.norm.running_mean, 0.1 * x.mean(dim=(0, 1)))
    reference = nn.BatchNorm1d(3)(x.permute(1, 2, 0)).permute(2, 0, 1)  # over (B, H, T), as the original
    torch.testing.assert_close(y, reference)


def test_dropout_takes_a_unit_for_all_steps() -> None:
    torch.manual_seed(0)
    dropout, x = DropoutOverTime(0.4), torch.ones(6, 50, 40)
    y = dropout(x)
    assert (y == y[0]).all()
    assert set(np.round(y.unique().tolist(), 6)) == {0, round(1 / 0.6, 6)}
    assert (y[0] == 0).float().mean().item() == pytest.approx(0.4, abs=0.05)
    assert not (y[0, 0] == y[0, 1]).all()
    assert dropout.eval()(x) is x


def test_dropout_may_take_other_units_at_every_step() -> None:
    torch.manual_seed(0)
    dropout, x = DropoutOverTime(0.4, "step"), torch.ones(60, 5, 40)
    y = dropout(x)
    assert (y == 0).float().mean().item() == pytest.approx(0.4, abs=0.02)
    assert y.unique().tolist() == [0, pytest.approx(256 / 154)]
    assert y.mean().item() == pytest.approx(1, abs=0.03)
    assert (y == 0).float().mean(dim=0).max() < 0.7  # no unit is gone for a clip
    assert (y == 0).float().mean(dim=1).std() > 0.1  # clips have masks of their own
    assert dropout.eval()(x) is x


def test_a_convolution_starts_as_a_linear_map_does() -> None:
    torch.manual_seed(0)
    convolution = Convolution(30, 4000, 5)
    assert convolution.weight.abs().max().item() == pytest.approx((6 / (65 * 150)) ** 0.5, rel=1e-3)
    assert not convolution.bias.any()
    assert convolution(torch.zeros(1, 30, 25)).shape == (1, 4000, 25)


def test_linear_starts_as_published() -> None:
    torch.manual_seed(0)
    linear = Linear(150, 4000)
    bound = (6 / (65 * 150)) ** 0.5
    assert linear.weight.abs().max().item() == pytest.approx(bound, rel=1e-3)
    assert not linear.bias.any()


@pytest.mark.parametrize("norm", ["after", "before"])
def test_norm_stands_where_it_is_told(norm) -> None:
    torch.manual_seed(0)
    block = RecurrentBlock(4, norm=norm, length=20)
    x = torch.randn(9, 6, 4)
    y, h = block(x)
    if norm == "after":
        assert y.min() < 0
        torch.testing.assert_close(y.mean(dim=(0, 1)), torch.zeros(4), atol=1e-5, rtol=0)
    else:
        assert y.min() >= 0
        torch.testing.assert_close(h, y[-1])


def test_the_recurrence_keeps_the_precision_of_u_under_autocast() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(Linear(3, 4), IndRNN(4, length=20))
    with torch.autocast("cpu", torch.bfloat16):
        h, _ = model(torch.randn(5, 2, 3))
    assert h.dtype == torch.float32
    h.sum().backward()
    assert model[1].u.grad.dtype == torch.float32


def test_batch_norm_still_runs_over_time_once_made_synchronous() -> None:
    torch.manual_seed(0)
    norm = BatchNormOverTime(3)
    norm(torch.randn(7, 5, 3) + 2)
    x = torch.randn(7, 5, 3)
    expected = norm.eval()(x)
    converted = nn.SyncBatchNorm.convert_sync_batchnorm(norm)
    assert isinstance(converted.norm, nn.SyncBatchNorm)
    torch.testing.assert_close(converted.eval()(x), expected)


def test_only_the_weights_of_maps_decay() -> None:
    model = nn.Sequential(Linear(3, 4), RecurrentBlock(4, length=20), Convolution(4, 5, 3))
    decayed, free = layers.parameter_groups(model, 0.1)
    assert (decayed["weight_decay"], free["weight_decay"]) == (0.1, 0)
    assert [tuple(parameter.shape) for parameter in decayed["params"]] == [(4, 3), (5, 4, 3)]
    assert len(free["params"]) == 1 + 1 + 2 + 1  # biases, u, the norm's scale and shift
