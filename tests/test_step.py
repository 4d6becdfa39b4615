from pathlib import Path

import pytest
import torch

from action_indrnn import config, models, networks, step
from action_indrnn.data_prep import layout
from action_indrnn.kernels import step as compiled
from action_indrnn.pooling import Attention

SMALL = {
    "plain": networks.Plain(units=24, layers=3),
    "plain-before": networks.Plain(units=24, layers=3, norm="before", activation="tanh"),
    "residual": networks.Residual(units=24, blocks=2),
    "residual-before": networks.Residual(units=24, blocks=2, norm="before"),
    "residual-geometry": networks.Residual(units=24, blocks=1, geometry=True),
    "identity": networks.Plain(units=24, layers=2, activation="identity"),
    "dense": networks.Dense(growth_rate=4, blocks=(2, 1), time_difference=True),
    "plain-mean": networks.Plain(units=24, layers=2, pooling="mean"),
    "plain-both-before": networks.Plain(units=24, layers=2, pooling="both", norm="before"),
    "plain-live": networks.Plain(units=24, layers=2, pooling="both", input_norm=True),
    "residual-live": networks.Residual(units=24, blocks=2, pooling="both", input_norm=True, geometry=True),
    "plain-attention": networks.Plain(units=27, layers=2, pooling="attention", input_norm=True),
    "residual-attention": networks.Residual(units=24, blocks=1, pooling="attention", norm="before"),
    "residual-bones": networks.Residual(units=24, blocks=1, norm="before"),
    "plain-distances": networks.Plain(units=24, layers=2, pooling="both", input_norm=True),
    "residual-distances": networks.Residual(units=24, blocks=1, geometry=True),
    "plain-closing": networks.Plain(units=24, layers=2, norm="before"),
    "residual-difference": networks.Residual(units=24, blocks=1, time_difference=True),
    "plain-input-norm": networks.Plain(units=24, layers=2, input_norm=True),
    "plain-clipped": networks.Plain(units=24, layers=2, input_norm=True, input_clip=0.7),
    "plain-clipped-distances": networks.Plain(
        units=24, layers=2, pooling="both", input_norm=True, input_clip=1.0
    ),
    "residual-clipped": networks.Residual(units=24, blocks=1, geometry=True, input_norm=True, input_clip=0.5),
    "plain-clipped-bones": networks.Plain(units=24, layers=2, input_norm=True, input_clip=0.7),
    "lstm": networks.LSTM(units=24, layers=2, pooling="mean"),
    "convolutional": networks.Convolutional(channels=(4, 8)),
}


STREAMS = {
    "plain-live": ("joint", "motion"),
    "residual-live": ("bone-motion", "joint", "bone", "motion"),
    "residual-bones": ("bone",),
    "plain-distances": ("joint", "motion", "distance", "distance-motion"),
    "residual-distances": ("distance", "bone"),
    "plain-closing": ("distance-motion", "joint"),
    "plain-clipped-distances": ("distance-motion", "motion", "distance", "joint"),
    "residual-clipped": ("distance-motion", "motion"),
    "plain-clipped-bones": ("joint", "bone-motion"),
}


def network(
    settings: networks.Model, streams: tuple[str, ...] = ("joint",), *, facing: bool = False
) -> models.Classifier:
    """A network whose normalisations do something."""
    torch.manual_seed(0)
    whole = config.load("residual")
    whole = whole.model_copy(
        update={
            "model": settings,
            "data": whole.data.model_copy(update={"streams": streams, "facing": facing}),
        }
    )
    model = models.build(whole, 150, 7, layout.load("ntu25"))
    for name, value in model.named_buffers():
        if name.endswith("running_var"):
            value.uniform_(0.5, 2)
        elif name.endswith("running_mean"):
            value.normal_(0, 0.3)
    for name, parameter in model.named_parameters():
        if "norm." in name:
            torch.nn.init.uniform_(parameter, 0.5, 1.5)
    return model.eval()


@pytest.mark.parametrize("batch", [1, 2, 7, 20])
@pytest.mark.parametrize("library", [True, False])
@pytest.mark.parametrize("facing", [False, True])
@pytest.mark.parametrize("name", SMALL)
def test_chained_steps_give_the_logits_of_the_whole_clip(
    name: str, facing: bool, batch: int, library: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not library:
        monkeypatch.setattr(compiled, "available", lambda: False)
    elif not compiled.available():
        pytest.skip("the compiled step was not built")
    model = network(SMALL[name], STREAMS.get(name, ("joint",)), facing=facing)
    if isinstance(model.mean, Attention):
        torch.nn.init.normal_(model.mean.score.weight)  # now and then beyond the limit
    x = torch.randn(20, batch, 150)
    x[4:7, :, 75:] = 0  # a body comes and goes
    x[:2, 0] = 0
    stepped = step.of(model)
    state = torch.zeros(batch, stepped.width)
    for frame in x:
        logits = stepped.advance(frame, state.unbind())
    with torch.inference_mode():
        expected, after = model(x)
    torch.testing.assert_close(logits, expected, rtol=1e-4, atol=1e-4 * float(expected.abs().max()))
    torch.testing.assert_close(
        state, torch.cat(after, dim=1), rtol=1e-4, atol=1e-4 * float(state.abs().max())
    )
    whole = ("dense", "convolutional", "residual-difference", "lstm", "plain-clipped-bones")
    assert isinstance(stepped, step.FusedStep) == (name not in whole)
    fused = library and name not in (*whole, "plain-before")  # which has tanh
    assert stepped.fast == fused
    assert stepped.way.startswith(
        "the compiled step, " if fused else ("the network's own", "torch operations")
    )


@pytest.mark.parametrize("library", [True, False])
def test_a_clip_holds_where_a_scale_is_negative_or_0(library: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    if not library:
        monkeypatch.setattr(compiled, "available", lambda: False)
    elif not compiled.available():
        pytest.skip("the compiled step was not built")
    model = network(SMALL["plain-clipped"], ("joint", "motion"))
    assert model.input_norm is not None
    norm = model.input_norm.norm
    with torch.no_grad():
        norm.weight[:20], norm.weight[10:30] = norm.weight[:20].neg(), 0
        norm.bias[:30].uniform_(-2, 2)
    stepped = step.of(model)
    x = torch.randn(5, 3, 150)
    state = torch.zeros(3, stepped.width)
    for frame in x:
        logits = stepped.advance(frame, state.unbind())
    with torch.inference_mode():
        torch.testing.assert_close(logits, model(x)[0], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", ["residual", "residual-live", "plain-distances"])
def test_a_row_has_the_same_numbers_however_many_there_are(name: str) -> None:
    if not compiled.available():
        pytest.skip("the compiled step was not built")
    stepped = step.of(network(SMALL[name], STREAMS.get(name, ("joint",))))
    x = torch.randn(70, 150)
    torch.set_num_threads(2)
    try:
        together = torch.zeros(70, stepped.width)
        for _ in range(3):
            logits = stepped.advance(x, together.unbind())
    finally:
        torch.set_num_threads(1)
    for count in range(1, 10):
        state = torch.zeros(count, stepped.width)
        for _ in range(3):
            own = stepped.advance(x[-count:].contiguous(), state.unbind())
        torch.testing.assert_close(own, logits[-count:], rtol=0, atol=0)
        torch.testing.assert_close(state, together[-count:], rtol=0, atol=0)


def test_why_a_step_is_slow_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "no fused step for time differences" in step.of(network(SMALL["residual-difference"])).way
    assert "no fused step for a DenseIndRNN" in step.of(network(SMALL["dense"])).way
    monkeypatch.setattr(compiled, "available", lambda: False)
    monkeypatch.setattr(compiled, "reason", lambda: "the compiled step was not built")
    assert step.of(network(SMALL["plain"])).way.endswith("the compiled step was not built")


def test_a_library_that_is_not_there_or_does_not_load_says_so(tmp_path: Path) -> None:
    assert "was not built" in compiled._load(tmp_path / "_step.so")[1]
    (tmp_path / "_step.so").write_bytes(b"no library")
    assert "does not load" in compiled._load(tmp_path / "_step.so")[1]


def test_the_live_recipe_has_the_compiled_step() -> None:
    if not compiled.available():
        pytest.skip("the compiled step was not built")
    assert step.of(models.build(config.load("live"), 150, 7, layout.load("ntu25"))).fast


def test_states_and_frames_of_another_kind_are_refused() -> None:
    if not compiled.available():
        pytest.skip("the compiled step was not built")
    stepped = step.of(network(SMALL["plain"]))
    good = torch.zeros(2, stepped.width)
    with pytest.raises(ValueError, match=r"x: expected contiguous float32 of shape \(2, 150\)"):
        stepped.advance(torch.zeros(2, 149), good.unbind())
    for wrong in (good[:1], good.double(), good[:, 1:], torch.zeros(2, 2 * stepped.width)[:, ::2]):
        with pytest.raises(ValueError, match="states: expected 2 of"):
            stepped.advance(torch.zeros(2, 150), wrong.unbind())


def test_a_network_that_needs_the_whole_clip_is_refused() -> None:
    model = models.build(networks.Plain(units=8, layers=1, bidirectional=True), 150, 7)
    with pytest.raises(
        ValueError, match="expected a network that walks forwards only, found a Bidirectional"
    ):
        step.of(model)
