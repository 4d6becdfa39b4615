import pytest
import torch
from torch.nn import functional as F

from action_indrnn import config, layers
from action_indrnn.data_prep import layout
from action_indrnn.models import Classifier, build
from action_indrnn.networks import GRU, LSTM, Convolutional, Dense, Model, Plain, Residual

FEATURES = 150
SMALL: dict[str, Model] = {
    "plain": Plain(units=7, layers=3),
    "residual": Residual(units=6, blocks=2),
    "dense": Dense(growth_rate=3, blocks=(2, 1)),
    "dense_fa": Dense(growth_rate=2, blocks=(2, 1), time_difference=True),
    "dense_fa_geo": Dense(growth_rate=2, blocks=(1, 1), time_difference=True, geometry=True),
    "convolutional": Convolutional(channels=(3, 4), kernel=3),
    "plain_both": Plain(units=7, layers=2, pooling="both", time_difference=True, input_norm=True),
    "plain_clipped": Plain(units=7, layers=2, input_norm=True, input_clip=1.5),
    "plain_attention": Plain(units=7, layers=2, pooling="attention", input_norm=True),
    "residual_mean": Residual(units=6, blocks=1, pooling="mean", time_difference=True),
}
GATED: dict[str, Model] = {
    "lstm": LSTM(units=5, layers=2, time_difference=True),
    "lstm_both": LSTM(units=5, layers=1, pooling="both"),
    "gru_mean": GRU(units=5, layers=2, pooling="mean"),
    "lstm_attention": LSTM(units=3, layers=2, pooling="attention"),
}
CAUSAL = SMALL | GATED
WHOLE = {kind: settings.model_copy(update={"bidirectional": True}) for kind, settings in CAUSAL.items()}
EVERY = SMALL | {f"bidirectional {kind}": WHOLE[kind] for kind in SMALL}
ANY = EVERY | GATED | {f"bidirectional {kind}": WHOLE[kind] for kind in GATED}


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
        (config.load("dense_fa_geo").model, 150, 60, 5_640_108, 40),
        (config.load("dense_fa_geo").model, 150, 120, 5_670_408, 40),
        (Dense(time_difference=True), 150, 60, 4_606_764, 40),
        (Plain(pooling="both", time_difference=True), 150, 60, 1_430_588 + 512 * 60 + 150 * 512, 6),
        (Residual(pooling="mean"), 150, 60, 2_751_548, 11),
        (Plain(time_difference=True, input_norm=True), 150, 60, 1_430_588 + 150 * 512 + 2 * 300, 6),
        (LSTM(layers=1), 150, 60, 4 * 512 * (150 + 512 + 2) + 513 * 60, 0),
        (GRU(layers=1), 150, 60, 3 * 512 * (150 + 512 + 2) + 513 * 60, 0),
    ],
)
def test_networks_have_the_published_size(settings, features, classes, parameters, recurrences) -> None:
    model = build(settings, features=features, classes=classes)
    assert count(model) == parameters
    assert len(list(model.recurrences())) == recurrences


def test_a_whole_configuration_builds_its_network() -> None:
    assert count(build(config.load("plain"))) == 1_430_588


def test_a_bidirectional_network_is_two_before_one_classifier() -> None:
    model = build(Plain(bidirectional=True))
    assert count(model) == 2 * (1_430_588 - 60) + 60  # the class's bias stands once
    assert len(list(model.recurrences())) == 12


def test_convolutional_sizes_follow_from_its_maps() -> None:
    model = build(Convolutional(channels=(4, 6, 8), kernel=3), 150, 10)
    places, channels = (25, 13, 7), (4, 6, 8)
    assert [layer.units for layer in model.recurrences()] == [
        2 * p * c for p, c in zip(places, channels, strict=True)
    ]
    maps = (3 * 3 + 1) * 4 + (3 * 4 + 1) * 6 + (3 * 6 + 1) * 8
    recurrences = 2 * (25 * 4 + 13 * 6 + 7 * 8)
    assert count(model) == maps + recurrences + 2 * sum(channels) + (2 * 7 * 8 + 1) * 10


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


@pytest.mark.parametrize("kind", EVERY)
def test_the_last_layer_starts_near_one_and_only_it(kind: str) -> None:
    torch.manual_seed(0)
    wide = {"units": 64, "growth_rate": 16, "channels": (8, 8)}
    settings = EVERY[kind].model_copy(
        update={k: v for k, v in wide.items() if k in type(EVERY[kind]).model_fields}
    )
    model = build(settings)
    low = layers.u_low(20, 5)
    for network in (model.ahead, model.back) if settings.bidirectional else (model,):
        lows = [float(layer.u.detach().min()) for layer in network.recurrences()]
        assert lows[-1] >= low
        assert max(lows[:-1]) < low


@pytest.mark.parametrize("kind", EVERY)
def test_settings_reach_every_recurrence(kind: str) -> None:
    told = {"norm": "before", "activation": "tanh", "length": 7, "magnification": 2.0, "bound": "none"}
    model = build(EVERY[kind].model_copy(update=told), FEATURES, 3)
    blocks = [module for module in model.modules() if isinstance(module, layers.RecurrentBlock)]
    assert len(blocks) == len(list(model.recurrences()))
    for block in blocks:
        assert block.norm_first
        assert block.indrnn.activation == "tanh"
        assert block.indrnn.bound == pytest.approx(2 ** (1 / 7))
        assert not block.indrnn.bounded


@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize("bound", ["clamp", "penalty", "none"])
def test_only_a_clamp_clamps_and_only_a_penalty_costs(bound: str, bidirectional: bool) -> None:
    settings = Plain(units=3, layers=2, bound=bound, bound_penalty=0.25, bidirectional=bidirectional)
    model = build(settings, 5, 2)
    assert {layer.bounded for layer in model.recurrences()} == {bound == "clamp"}
    next(model.recurrences()).u.data[0] = layers.u_bound(20, 5) + 2
    with torch.no_grad():
        penalty = float(model.penalty())
    assert penalty == pytest.approx(0.5 if bound == "penalty" else 0)


def test_every_dropout_stands_in_its_place() -> None:
    def of(kind: type[Model], **settings: object) -> list[float]:
        modules = build(kind(**settings), 3, 3).modules()
        return [module.p for module in modules if isinstance(module, layers.DropoutOverTime)]

    assert of(Plain, layers=3, dropout=0.2) == [0.2] * 3
    assert of(Residual, blocks=2, dropout=0.2) == [0.2] * 5
    assert of(Convolutional, joints=1, channels=[2, 2], dropout=0.2) == [0.2] * 2
    places = {"dropout_first": 0.1, "dropout_bottleneck": 0.2, "dropout": 0.3}
    places |= {"dropout_transition": 0.4, "dropout_last": 0.6}
    assert of(Dense, growth_rate=3, blocks=[2, 1], **places) == [0.1, 0.2, 0.3, 0.2, 0.3, 0.4, 0.2, 0.3, 0.6]


@pytest.mark.parametrize("kind", ANY)
def test_the_dropout_s_mask_reaches_every_layer(kind: str) -> None:
    for mask in ("clip", "step"):
        model = build(ANY[kind].model_copy(update={"dropout_mask": mask}), FEATURES, 3)
        found = [module.mask for module in model.modules() if isinstance(module, layers.DropoutOverTime)]
        assert set(found) == {mask}


def test_the_classifier_starts_as_published() -> None:
    torch.manual_seed(0)
    classifier = build(Plain(layers=1), classes=400).classifier
    assert classifier.weight.std().item() == pytest.approx((2 / 512) ** 0.5, rel=0.01)
    assert not classifier.bias.any()


@pytest.mark.parametrize(
    ("kind", "norm"),
    [(kind, norm) for kind in EVERY for norm in ("after", "before")] + [(k, "") for k in GATED],
)
def test_plain_autograd_reaches_every_parameter(kind: str, norm: str) -> None:
    torch.manual_seed(0)
    model = build(ANY[kind].model_copy(update={"norm": norm} if norm else {}), FEATURES, 3)
    logits, _ = model(torch.randn(6, 8, FEATURES))
    F.cross_entropy(logits, torch.arange(8) % 3).backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        # A normalisation right behind a linear map takes its bias away again.
        cancelled = "classifier.bias" in name or (norm == "before" and name.endswith("linear.bias"))
        assert parameter.grad.abs().sum() > 0 or cancelled, name


def trained(kind: str, dtype: torch.dtype) -> Classifier:
    """A model whose batch normalisation has seen data."""
    torch.manual_seed(1)
    model = build(ANY[kind], FEATURES, 3).to(dtype)
    with torch.no_grad():
        for _ in range(3):
            model(torch.randn(6, 9, FEATURES, dtype=dtype) + 0.5)
    return model.eval()


def test_residual_is_the_published_wiring() -> None:
    model = trained("residual", torch.float64)
    x = torch.randn(4, 2, FEATURES, dtype=torch.float64)

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


def test_a_place_of_a_map_sees_its_neighbours_alone() -> None:
    torch.manual_seed(0)
    model = build(Convolutional(channels=(3,), kernel=5, joints=25), 150, 4).eval()
    x = torch.randn(6, 1, 150)
    moved = x.clone()
    moved[3:, 0, 75 + 3 * 10] += 1.0  # the second body's joint 10, from frame 3 on
    before, after = (model.body(y, lambda module, x: module(x)[0]).view(6, 2, 25, 3) for y in (x, moved))
    touched = (before != after).any(dim=3)  # (T, M, P)
    assert not touched[:3].any()
    assert not touched[:, 0].any()
    assert set(touched[3:, 1].nonzero()[:, 1].tolist()) <= set(range(8, 13))
    assert touched.any()


def test_every_unit_of_a_map_has_its_own_weight() -> None:
    model = build(Convolutional(channels=(2,), kernel=1, dropout=0.0), 150, 4).eval()
    (recurrence,) = model.recurrences()
    torch.nn.init.ones_(model.layers[0].convolution.weight)
    x = torch.zeros(2, 1, 150)
    x[0] = 1.0
    _, (h,) = model(x)
    _, (first,) = model(x[:1])
    assert first.unique().tolist() == [3]  # x, y and z of every joint
    torch.testing.assert_close(h, first * recurrence.u.detach())


@pytest.mark.parametrize("settings", [Plain(units=7, layers=1), LSTM(units=5, layers=1)])
def test_a_number_beyond_the_clip_counts_as_the_clip(settings: Model) -> None:
    model = build(settings.model_copy(update={"input_norm": True, "input_clip": 2.0}), 6, 3).eval()
    x = torch.randn(4, 2, 6).clamp(-1.9, 1.9)
    x[2, 0, 3] = 2.0
    expected = model(x)[0]
    x[2, 0, 3] = 1000.0
    torch.testing.assert_close(model(x)[0], expected, rtol=0, atol=1e-4)  # of variance 1 + eps
    x[2, 0, 3] = 1.0
    assert (model(x)[0] - expected).abs().max() > 1e-3


def test_weights_of_gated_layers_decay_and_nothing_else_of_them() -> None:
    model = build(GATED["lstm"], 5, 3)
    decayed, others = ({id(p) for p in group["params"]} for group in layers.parameter_groups(model, 0.1))
    for name, parameter in model.named_parameters():
        assert (id(parameter) in decayed) == ("weight" in name)
        assert (id(parameter) in others) == ("bias" in name)


@pytest.mark.parametrize("settings", [SMALL["dense_fa_geo"], SMALL["convolutional"]])
def test_joints_that_do_not_fit_are_refused(settings: Model) -> None:
    with pytest.raises(ValueError, match=r"^model\.\w+: expected bodies of 25 joints .*, found 60 features"):
        build(settings, 60, 3)


@pytest.mark.parametrize("name", config.names())
def test_every_shipped_configuration_trains_a_step(name: str) -> None:
    torch.manual_seed(0)
    shipped = config.load(name)
    model = build(shipped.model, layout=layout.load("ntu25"))
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
