"""The units that decide: evidence, what a state owes to which step, and recall without some units."""

import numpy as np
import pytest
import torch

from action_indrnn import config, models, units
from action_indrnn.data_prep.archive import PreparedSet
from action_indrnn.dataset import Clips
from action_indrnn.models import Classifier
from action_indrnn.units import Reading

FRAMES = 12
NETWORKS = {
    "plain": ("plain", "model.layers=2", "model.units=8"),
    "mean": ("plain", "model.layers=2", "model.units=8", "model.pooling=mean"),
    "both": ("plain", "model.layers=2", "model.units=8", "model.pooling=both", "model.norm=before"),
    "residual": ("residual", "model.blocks=1", "model.units=8"),
    "dense": ("dense", "model.blocks=[1]", "model.growth_rate=4", "model.time_difference=true"),
    "back": ("plain", "model.layers=2", "model.units=8", "model.bidirectional=true"),
}


def network(name: str) -> Classifier:
    """A network whose statistics are not those of a fresh one, half of its weights negative."""
    torch.manual_seed(0)
    shipped, *overrides = NETWORKS[name]
    model = models.build(config.load(shipped, [*overrides, "model.dropout=0"]), 150, 5)
    with torch.no_grad():
        for layer in model.recurrences():
            layer.u[::2] *= -1
    model.train()
    model(torch.randn(FRAMES, 32, 150))
    return model.eval()


@pytest.fixture(params=NETWORKS)
def model(request: pytest.FixtureRequest) -> Classifier:
    return network(request.param)


def test_what_is_read_gives_the_logits(model: Classifier, made_set: PreparedSet) -> None:
    clips, labels = Clips.of_set(made_set), made_set.column("label") % 5
    numbers = np.arange(len(labels))
    reading = units.read(model, clips, numbers, labels, FRAMES)
    x = clips.batch(torch.from_numpy(numbers), units.middle_frames(clips, numbers, FRAMES))
    with torch.no_grad():
        logits = model(x)[0].numpy()
    ours = reading.values @ reading.weight.T + reading.bias
    np.testing.assert_allclose(ours - ours.mean(1)[:, None], logits - logits.mean(1)[:, None], atol=1e-4)
    # A class's evidence of all units together is what its logit has more of on its own clips.
    for label in range(5):
        own = labels == label
        if own.any():
            gap = ours[own, label].mean() - ours[~own, label].mean()
            assert reading.evidence[label].sum() == pytest.approx(gap, abs=1e-4)
            right = (ours[own].argmax(axis=1) == label).mean()
            assert reading.recall(label, np.zeros(0, np.int64)) == pytest.approx(right)


def test_a_state_is_the_sum_of_what_is_left_of_each_step(model: Classifier, made_set: PreparedSet) -> None:
    clips, labels = Clips.of_set(made_set), made_set.column("label") % 5
    numbers = np.arange(4)
    reading = units.read(model, clips, numbers, labels, FRAMES)
    weights = units.recurrent_weights(model)
    assert reading.states.shape == (4, len(weights))
    for unit in range(0, len(weights), 3):
        found = units.responses(model, clips, numbers, unit, FRAMES)
        np.testing.assert_allclose(
            [response.taken.sum() for response in found], reading.states[:, unit], rtol=1e-4, atol=1e-6
        )


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


def test_a_gated_network_has_no_such_units(made_set: PreparedSet) -> None:
    model = models.build(config.load("lstm", ["model.layers=1", "model.units=8"]), 150, 5)
    with pytest.raises(ValueError, match="found a gated one"):
        units.read(model, Clips.of_set(made_set), np.arange(2), made_set.column("label"), FRAMES)
