"""The units that decide: evidence, what a state owes to which step, and recall without some units."""

import numpy as np
import pytest
import torch

from action_indrnn import config, evaluation, models, units
from action_indrnn.config import Config
from action_indrnn.data_prep import layout
from action_indrnn.data_prep.archive import PreparedSet
from action_indrnn.dataset import Clips
from action_indrnn.models import Classifier
from action_indrnn.units import Reading

LAYOUT = layout.load("ntu25")
FRAMES = 12
NETWORKS = {
    "plain": ("plain", "model.layers=2", "model.units=8"),
    "mean": ("plain", "model.layers=2", "model.units=8", "model.pooling=mean"),
    "both": ("plain", "model.layers=2", "model.units=8", "model.pooling=both", "model.norm=before"),
    "attention": ("plain", "model.layers=2", "model.units=8", "model.pooling=attention"),
    "residual": ("residual", "model.blocks=1", "model.units=8"),
    "dense": ("dense", "model.blocks=[1]", "model.growth_rate=4", "model.time_difference=true"),
    "back": ("plain", "model.layers=2", "model.units=8", "model.bidirectional=true"),
    "whole": ("live", "model.units=8"),
    "every": ("detect", "model.units=8"),
}


def network(name: str) -> tuple[Classifier, Config]:
    """A network whose statistics are not those of a fresh one, half of its weights negative."""
    torch.manual_seed(0)
    shipped, *overrides = NETWORKS[name]
    settings = config.load(shipped, [*overrides, "model.dropout=0", f"data.frames={FRAMES}"])
    model = models.build(settings, 150, 5, LAYOUT)
    with torch.no_grad():
        for layer in model.recurrences():
            layer.u[::2] *= -1
    model.train()
    model(torch.randn(FRAMES, 32, 150))
    return model.eval(), settings


@pytest.fixture(params=NETWORKS)
def example(request: pytest.FixtureRequest) -> tuple[Classifier, Config]:
    return network(request.param)


def test_what_is_read_gives_the_logits_of_an_evaluation(
    example: tuple[Classifier, Config], made_set: PreparedSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, settings = example
    clips, labels = Clips.of_set(made_set).shown_as(settings.data, LAYOUT), made_set.column("label") % 5
    numbers = np.arange(len(labels))
    monkeypatch.setattr(
        Clips, "uniform", lambda _, some, passes, frames, seed: np.full((passes, len(some), frames + 1), 0.5)
    )
    logits = evaluation.judged(model, clips, numbers, settings, LAYOUT, passes=1)[0]
    reading = units.read(model, clips, numbers, labels, settings, LAYOUT)
    ours = reading.values @ reading.weight.T + reading.bias
    np.testing.assert_allclose(ours - ours.mean(1)[:, None], logits - logits.mean(1)[:, None], atol=1e-4)
    # A class's evidence of all units together is what its logit has more of on its own clips.
    for label in range(5):
        own = labels == label
        if own.any():
            gap = ours[own, label].mean() - ours[~own, label].mean()
            assert reading.evidence[label].sum() == pytest.approx(gap, abs=1e-4)
            right = (logits[own].argmax(axis=1) == label).mean()
            assert reading.recall(label, np.zeros(0, np.int64)) == pytest.approx(right)


def test_a_state_is_the_sum_of_what_is_left_of_each_step(
    example: tuple[Classifier, Config], made_set: PreparedSet
) -> None:
    model, settings = example
    clips, labels = Clips.of_set(made_set).shown_as(settings.data, LAYOUT), made_set.column("label") % 5
    numbers = np.arange(4)
    reading = units.read(model, clips, numbers, labels, settings, LAYOUT)
    weights = units.recurrent_weights(model)
    assert reading.states.shape == (4, len(weights))
    for unit in range(0, len(weights), 3):
        found = units.responses(model, clips, numbers, unit, settings, LAYOUT)
        np.testing.assert_allclose(
            [response.taken.sum() for response in found], reading.states[:, unit], rtol=1e-4, atol=1e-6
        )
        for response in found:
            assert response.frames.shape == response.state.shape == response.taken.shape


def test_frames_are_those_that_the_network_sees(made_set: PreparedSet) -> None:
    clips, numbers = Clips.of_set(made_set), np.array([3, 40])
    for name in ("plain", "whole", "every"):
        settings = network(name)[1]
        ((x, frames, steps),) = units.batches(clips, numbers, settings, LAYOUT)
        for row, length in enumerate(clips.length[numbers].tolist()):
            even = (np.arange(FRAMES) + 0.5) / FRAMES
            expected = {
                "plain": np.arange(FRAMES) * (length // FRAMES) + length // FRAMES // 2,
                "whole": (even * (length - 1)).round(),
                "every": np.arange(length),
            }[name]
            shown = frames[row, : steps[row]].numpy()
            if name == "plain":  # the last segment takes the remainder
                shown, expected = shown[:-1], expected[:-1]
            np.testing.assert_array_equal(shown, expected)
            assert (frames[row, steps[row] :] == -1).all()
        assert len(x) == frames.shape[1]


def test_the_moment_that_counts() -> None:
    frames = np.array([-1, -1, 3, 9, 20])
    response = units.Response(0, frames, np.zeros(5), np.array([9.0, 0.0, 1.0, 2.0, 0.5]))
    assert response.peak == 9  # not what came of no frame


def test_deciding_units_respond_to_their_class() -> None:
    labels = np.repeat([0, 1], 10)
    states = np.zeros((20, 3), np.float32)
    states[:10, 0], states[10:, 1], states[:, 2] = 2, 1, 5
    weight = np.array([[1, -1, 3], [-1, 1, -3]], np.float32)
    reading = Reading(np.arange(20), labels, states, states, weight, np.zeros(2, np.float32), np.arange(3))
    np.testing.assert_allclose(reading.evidence, [[2, 1, 0], [2, 1, 0]])
    assert reading.deciding(0, 5).tolist() == [0]  # unit 1 speaks for class 0 by its silence
    assert reading.deciding(1, 5).tolist() == [1]
    assert reading.recall(0, np.zeros(0, np.int64)) == 1
    assert reading.recall(1, np.array([2])) == 0


@pytest.mark.parametrize(("shipped", "kind"), [("lstm", "gated"), ("graph", "graph")])
def test_networks_without_such_units(made_set: PreparedSet, shipped: str, kind: str) -> None:
    settings = config.load(shipped, ["model.layers=1", "model.units=8"])
    model = models.build(settings, 150, 5, LAYOUT)
    with pytest.raises(ValueError, match=f"found a {kind} one"):
        units.read(model, Clips.of_set(made_set), np.arange(2), made_set.column("label"), settings, LAYOUT)
