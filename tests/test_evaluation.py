import json

import numpy as np
import pytest
import torch

from action_indrnn import config, evaluation, models, networks
from action_indrnn.data_prep import layout
from action_indrnn.data_prep.archive import PreparedSet
from action_indrnn.dataset import Clips, draw_frames
from action_indrnn.evaluation import Report

CLASSES = ["a", "b", "c", "d", "e", "f", "g"]


def report() -> Report:
    """Six clips; the most probable classes are 0 1 1 2 2 0, single passes differ."""
    labels = np.array([0, 1, 0, 2, 6, 6])
    logits = np.zeros((2, 6, 7), np.float32)
    for clip, favourite in enumerate([0, 1, 1, 2, 2, 0]):
        logits[:, clip] = -np.arange(7)
        logits[:, clip, favourite] = 3
    logits[0, 0, 1] = 4  # the first pass alone is wrong on the first clip
    return Report.of([f"clip{number}" for number in range(6)], CLASSES, labels, logits)


def test_accuracies() -> None:
    found = report()
    assert found.predicted.tolist() == [0, 1, 1, 2, 2, 0]
    assert found.top(1) == 3 / 6
    assert found.top(2) == 4 / 6  # class 0 comes second on the third clip
    assert found.top(5) == 4 / 6
    assert found.top(7) == 1
    assert found.single_pass == 5 / 12
    np.testing.assert_array_equal(found.per_class, [1 / 2, 1, 1, np.nan, np.nan, np.nan, 0])
    assert found.mean_class == 2.5 / 4
    assert found.confusion.sum() == 6
    assert found.confusion[0].tolist() == [1, 1, 0, 0, 0, 0, 0]
    assert found.confusion[6].tolist() == [1, 0, 1, 0, 0, 0, 0]


def test_classes_far_behind_are_not_in_the_top() -> None:
    logits = np.array([[[1000, 0, -1, -2, -3, -4, -5]]], np.float32)  # all probabilities but one are 0
    assert [Report.of(["a"], CLASSES, np.array([6]), logits).top(k) for k in (1, 5, 6, 7)] == [0, 0, 0, 1]
    tied = Report.of(["a", "b"], CLASSES, np.array([0, 3]), np.zeros((1, 2, 7), np.float32))
    assert (tied.top(1), tied.top(3), tied.top(4)) == (0.5, 0.5, 1)


def test_probabilities_are_the_softmax_of_mean_logits() -> None:
    logits = np.random.default_rng(0).normal(size=(5, 4, 3)).astype(np.float32)
    expected = torch.softmax(torch.from_numpy(logits).double().mean(0), 1).numpy()
    np.testing.assert_allclose(evaluation.probabilities(logits), expected, rtol=1e-6)
    assert np.isfinite(evaluation.probabilities(logits * 1e4)).all()


def test_json_and_text() -> None:
    found = json.loads(report().json(protocol="xsub"))
    assert found["protocol"] == "xsub"
    assert found["top1"] == 0.5
    assert found["classes"][3] == {"class": "d", "clips": 0, "accuracy": None}
    assert found["per_clip"][4]["predicted"] == 2
    assert np.array(found["confusion"]).shape == (7, 7)
    text = evaluation.as_text(report())
    assert "top-1 50.00%" in text
    assert "confusion" in text


def test_a_large_matrix_is_told_by_its_largest_entries(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(evaluation, "MATRIX_CLASSES", 3)
    text = evaluation.as_text(report())
    assert "1  a -> b" in text
    assert "b -> b" not in text


def test_scores_do_not_depend_on_company_or_batch(made_set: PreparedSet) -> None:
    torch.manual_seed(0)
    model = models.build(networks.Residual(units=16, blocks=1), 150, 14)
    model.train()
    clips = Clips.of_set(made_set)
    options = {"frames": 20, "passes": 3}
    together = evaluation.scores(model, clips, np.array([4, 50, 7]), batch=2, **options)
    assert together.shape == (3, 3, 14)
    assert model.training
    alone = evaluation.scores(model, clips, np.array([50]), batch=8, **options)
    np.testing.assert_allclose(together[:, 1], alone[:, 0], rtol=1e-5, atol=1e-6)


def test_a_model_gone_wrong_is_an_error_not_an_accuracy(made_set: PreparedSet) -> None:
    model = models.build(networks.Plain(units=8, layers=1), 150, 14)
    torch.nn.init.constant_(model.classifier.weight, torch.nan)
    with pytest.raises(ValueError, match=r"expected finite logits, found others for S001C001P001R001A001"):
        evaluation.scores(model, Clips.of_set(made_set), np.array([0]), frames=20, passes=1, batch=1)


def test_the_sampling_reaches_every_measurement(made_set: PreparedSet) -> None:
    torch.manual_seed(0)
    model = models.build(networks.Plain(units=8, layers=1), 150, 14).eval()
    clips, numbers = Clips.of_set(made_set), np.array([3, 40])
    uniform = clips.uniform(numbers, 1, 20, evaluation.SEED)[0]
    joints = layout.load("ntu25")
    for sampling in ("segments", "whole"):
        settings = config.load("plain", [f"data.sampling={sampling}", "evaluate.passes=1"])
        labels = made_set.column("label")
        report = evaluation.measure(model, clips, numbers, labels, made_set.classes, settings, joints)
        expected = model(clips.sample(numbers, 20, uniform, sampling))[0].detach().numpy()
        np.testing.assert_allclose(report.scores, expected, rtol=1e-5, atol=1e-6)
    assert (clips.sample(numbers, 20, uniform) != clips.sample(numbers, 20, uniform, "whole")).any()


def test_every_pass_has_its_own_number_of_frames(made_set: PreparedSet) -> None:
    torch.manual_seed(0)
    model = models.build(networks.Plain(units=8, layers=1), 150, 5).eval()
    clips, numbers, passes = Clips.of_set(made_set), np.array([3, 40, 17]), 8
    found = evaluation.scores(model, clips, numbers, frames=20, deviation=5, passes=passes, batch=16)
    random = np.random.default_rng(evaluation.SEED)
    lengths = [draw_frames(20, 5, random) for _ in range(passes)]
    assert len(set(lengths)) > 3
    uniform = clips.uniform(numbers, passes, max(lengths), evaluation.SEED)
    for number, length in enumerate(lengths):
        x = clips.sample(numbers, length, uniform[number, :, : length + 1])
        assert x.shape[:2] == (length, 3)
        expected = model(x)[0].detach().numpy()
        np.testing.assert_allclose(found[number], expected, rtol=1e-5, atol=1e-6)
