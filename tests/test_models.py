from itertools import pairwise

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

from action_indrnn import config, layers
from action_indrnn.config import Dense, Plain, Residual
from action_indrnn.models import Classifier, build

SMALL = {
    "plain": Plain(units=7, layers=3),
    "residual": Residual(units=6, blocks=2),
    "dense": Dense(growth_rate=3, blocks=(2, 1)),
}


def count(model: Classifier) -> int:
    return sum(parameter.numel() for parameter in model.parameters())


@pytest.mark.parametrize(
    ("settings", "features", "classes", "parameters", "recurrences"),
    [
        (config.load("plain").model, 150, 60, 1_430_588, 6),
        (config.load("residual").model, 150, 60, 2_751_548, 11),
        (config.load("dense").model, 150, 60, 2_314_428, 40),
        (config.load("plain").model, 150, 120, 1_461_368, 6),
        (config.load("residual").model, 150, 120, 2_782_328, 11),
        (config.load("dense").model, 150, 120, 2_329_608, 40),
        (Plain(units=128, layers=6), 1, 10, 86_410, 6),
        (Plain(units=128, layers=12), 1, 10, 187_786, 12),
        (Residual(units=128, blocks=5), 1, 10, 170_890, 11),
        (Dense(growth_rate=16), 1, 10, 256_514, 40),
    ],
)
def test_networks_have_the_published_size(settings, features, classes, parameters, recurrences) -> None:
    model = build(settings, features=features, classes=classes)
    assert count(model) == parameters
    assert len(list(model.recurrences())) == recurrences


def test_a_whole_configuration_builds_its_network() -> None:
    assert count(build(config.load("plain"))) == 1_430_588


def test_dense_widths_are_the_published_ones() -> None:
    model = build(config.load("dense").model)
    widths = [module.in_features for module in model.modules() if isinstance(module, layers.Linear)]
    transitions = [block.transition.linear for block in model.blocks]
    assert [(linear.in_features, linear.out_features) for linear in transitions] == [
        (672, 336),
        (624, 312),
        (504, 252),
    ]
    assert widths[0] == 252  # the classifier is registered first
    assert max(widths) == 672


@pytest.mark.parametrize("kind", SMALL)
def test_the_last_layer_starts_near_one_and_only_it(kind: str) -> None:
    torch.manual_seed(0)
    model = build({"plain": Plain(), "residual": Residual(), "dense": Dense()}[kind])
    low = layers.u_low(20, 5)
    lows = [float(layer.u.detach().min()) for layer in model.recurrences()]
    assert lows[-1] >= low
    assert max(lows[:-1]) < low


@pytest.mark.parametrize("kind", SMALL)
def test_settings_reach_every_recurrence(kind: str) -> None:
    told = {"norm": "before", "activation": "tanh", "length": 7, "magnification": 2.0, "bounded": False}
    model = build(SMALL[kind].model_copy(update=told), 5, 3)
    blocks = [module for module in model.modules() if isinstance(module, layers.RecurrentBlock)]
    assert len(blocks) == len(list(model.recurrences()))
    for block in blocks:
        assert block.norm_first
        assert block.indrnn.activation == "tanh"
        assert block.indrnn.bound == pytest.approx(2 ** (1 / 7))
        assert not block.indrnn.bounded


def test_every_dropout_stands_in_its_place() -> None:
    def of(kind: type[Plain | Residual | Dense], **settings: object) -> list[float]:
        modules = build(kind(**settings), 5, 3).modules()
        return [module.p for module in modules if isinstance(module, layers.DropoutOverTime)]

    assert of(Plain, layers=3, dropout=0.2) == [0.2] * 3
    assert of(Residual, blocks=2, dropout=0.2) == [0.2] * 5
    places = {"dropout_first": 0.1, "dropout_bottleneck": 0.2, "dropout": 0.3}
    places |= {"dropout_transition": 0.4, "dropout_last": 0.6}
    assert of(Dense, growth_rate=3, blocks=[2, 1], **places) == [0.1, 0.2, 0.3, 0.2, 0.3, 0.4, 0.2, 0.3, 0.6]


def test_the_classifier_starts_as_published() -> None:
    torch.manual_seed(0)
    classifier = build(Plain(layers=1), classes=400).classifier
    assert classifier.weight.std().item() == pytest.approx((2 / 512) ** 0.5, rel=0.01)
    assert not classifier.bias.any()


@pytest.mark.parametrize("kind", SMALL)
def test_the_state_s_order_is_the_layers_order(kind: str) -> None:
    model = build(SMALL[kind], 5, 3)
    _, state = model(torch.randn(4, 2, 5))
    assert [h.shape[1] for h in state] == [layer.units for layer in model.recurrences()]


@pytest.mark.parametrize("kind", SMALL)
@pytest.mark.parametrize("norm", ["after", "before"])
def test_plain_autograd_reaches_every_parameter(kind: str, norm: str) -> None:
    torch.manual_seed(0)
    model = build(SMALL[kind].model_copy(update={"norm": norm}), 5, 3)
    logits, _ = model(torch.randn(6, 8, 5))
    F.cross_entropy(logits, torch.arange(8) % 3).backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().sum() > 0 or "classifier.bias" in name, name


def trained(kind: str, dtype: torch.dtype) -> Classifier:
    """A model whose batch normalisation has seen data."""
    torch.manual_seed(1)
    model = build(SMALL[kind], 5, 3).to(dtype)
    with torch.no_grad():
        for _ in range(3):
            model(torch.randn(6, 9, 5, dtype=dtype) + 0.5)
    return model.eval()


@settings(max_examples=25, deadline=None)
@given(st.sampled_from(sorted(SMALL)), st.integers(1, 14), st.data())
def test_a_stream_in_any_pieces_gives_the_whole_clip_s_logits(kind: str, steps: int, data) -> None:
    cuts = sorted(data.draw(st.sets(st.integers(1, max(1, steps - 1)))) | {0, steps})
    for dtype, tolerance in ((torch.float64, 1e-10), (torch.float32, 1e-5)):
        model = trained(kind, dtype)
        x = torch.randn(steps, 2, 5, dtype=dtype)
        whole, final = model(x)
        state = None
        for start, end in pairwise(cuts):
            logits, state = model(x[start:end], state)
        torch.testing.assert_close(logits, whole, rtol=tolerance, atol=tolerance)
        for ours, theirs in zip(state, final, strict=True):
            torch.testing.assert_close(ours, theirs, rtol=tolerance, atol=tolerance)


def test_residual_is_the_published_wiring() -> None:
    model = trained("residual", torch.float64)
    x = torch.randn(4, 2, 5, dtype=torch.float64)

    def irb(block, x):
        h, _ = layers.indrnn(x, block.indrnn.u)
        return torch.nn.functional.batch_norm(
            h.flatten(0, 1), block.norm.norm.running_mean, block.norm.norm.running_var,
            block.norm.norm.weight, block.norm.norm.bias,
        ).view(x.shape)  # fmt: skip

    y = model.first(x)
    for block in model.blocks:
        y = y + block.linear2(irb(block.block2, block.linear1(irb(block.block1, y))))
    expected = model.classifier(irb(model.last, y)[-1])
    torch.testing.assert_close(model(x)[0], expected)


def test_what_does_not_fit_is_named() -> None:
    model = build(SMALL["plain"], 5, 3)
    with pytest.raises(ValueError, match=r"expected input \(T, B, 5 features\), found \(4, 2, 6\)"):
        model(torch.zeros(4, 2, 6))
    _, state = model(torch.zeros(4, 2, 5))
    with pytest.raises(ValueError, match="expected a state of 3 tensors, found 2"):
        model(torch.zeros(1, 2, 5), state[:2])
    with pytest.raises(ValueError, match=r"state\[0\]: expected shape \(3, 7\), found \(2, 7\)"):
        model(torch.zeros(1, 3, 5), state)


@pytest.mark.parametrize("name", config.names())
def test_every_shipped_configuration_trains_a_step(name: str) -> None:
    torch.manual_seed(0)
    shipped = config.load(name)
    model = build(shipped.model)
    optimizer = torch.optim.Adam(layers.parameter_groups(model, shipped.train.weight_decay), lr=1e-3)
    x, labels = torch.randn(shipped.data.frames, 4, 150), torch.arange(4)
    losses = []
    for _ in range(2):
        torch.manual_seed(1)
        loss = F.cross_entropy(model(x)[0], labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[1] < losses[0]
