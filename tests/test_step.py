import pytest
import torch

from action_indrnn import config, models, step
from action_indrnn.kernels import step as compiled

SMALL = {
    "plain": config.Plain(units=24, layers=3),
    "plain-before": config.Plain(units=24, layers=3, norm="before", activation="tanh"),
    "residual": config.Residual(units=24, blocks=2),
    "residual-before": config.Residual(units=24, blocks=2, norm="before"),
    "residual-geometry": config.Residual(units=24, blocks=1, geometry=True),
    "identity": config.Plain(units=24, layers=2, activation="identity"),
    "dense": config.Dense(growth_rate=4, blocks=(2, 1), time_difference=True),
    "plain-mean": config.Plain(units=24, layers=2, pooling="both"),
    "residual-difference": config.Residual(units=24, blocks=1, time_difference=True),
    "plain-input-norm": config.Plain(units=24, layers=2, input_norm=True),
    "lstm": config.LSTM(units=24, layers=2, pooling="mean"),
    "convolutional": config.Convolutional(channels=(4, 8)),
}


def network(settings: config.Model) -> models.Classifier:
    """A network whose normalisations do something."""
    torch.manual_seed(0)
    model = models.build(settings, 150, 7)
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
@pytest.mark.parametrize("name", SMALL)
def test_chained_steps_give_the_logits_of_the_whole_clip(
    name: str, batch: int, library: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not library:
        monkeypatch.setattr(compiled, "available", lambda: False)
    elif not compiled.available():
        pytest.skip("the compiled step was not built")
    model = network(SMALL[name])
    x = torch.randn(20, batch, 150)
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
    whole = ("dense", "convolutional", "plain-mean", "residual-difference", "plain-input-norm", "lstm")
    assert isinstance(stepped, step.FusedStep) == (name not in whole)


def test_a_network_that_needs_the_whole_clip_is_refused() -> None:
    model = models.build(config.Plain(units=8, layers=1, bidirectional=True), 150, 7)
    with pytest.raises(
        ValueError, match="expected a network that walks forwards only, found a Bidirectional"
    ):
        step.of(model)
