import json
from pathlib import Path

import numpy as np
import pytest
import torch

from action_indrnn import config, detection, evaluation, models, over_time, step, training
from action_indrnn.data_prep import layout
from action_indrnn.data_prep.archive import PreparedSet
from action_indrnn.data_prep.clip import Clip
from action_indrnn.dataset import Clips
from action_indrnn.decision import Rule
from action_indrnn.recognizer import Recognizer
from action_indrnn.streaming import Stream
from action_indrnn.training import Run

from .test_cli import call, run_folder  # noqa: F401  # a fixture
from .test_streaming import FRAMES, recognizer, walk
from .test_training import tiny


def test_accuracy_by_share_and_the_first_lasting_right_answer() -> None:
    logits = np.zeros((20, 4, 3), np.float32)
    logits[:, :, 0] = 0.1  # class 0 is said
    logits[9:, 0, 1] = 1  # right from step 10 on
    logits[4, 1, 1] = 1  # right once, then no more
    logits[2:6, 2, 1] = 1  # right, wrong, right for good from step 20 on
    logits[19, 2, 1] = 1
    labels, lengths = np.array([1, 1, 1, 0]), np.array([40, 40, 100, 60])  # clip 3 is right from the start
    found = over_time.early(logits, labels, lengths)
    assert found.accuracy[10] == 1 / 4
    assert found.accuracy[30] == 2 / 4
    assert found.accuracy[50] == 2 / 4
    assert found.accuracy[100] == 3 / 4
    assert found.decided == 3 / 4
    assert found.decision_share == pytest.approx((10 / 20 + 20 / 20 + 1 / 20) / 3)
    assert found.decision_frames == pytest.approx((20 + 100 + 3) / 3)
    nothing = over_time.early(logits[:, 1:2], labels[1:2], lengths[1:2])
    assert np.isnan(nothing.decision_frames)
    assert nothing.decided == 0


def test_the_last_step_is_the_evaluation(made_set: PreparedSet) -> None:
    network, clips, numbers = recognizer(), Clips.of_set(made_set), np.arange(0, 60, 7)
    options = {"frames": FRAMES, "passes": 3, "batch": 6}
    found = over_time.running_logits(network.model, clips, numbers, **options)
    expected = evaluation.scores(network.model, clips, numbers, **options).mean(axis=0)
    assert found.shape == (FRAMES, len(numbers), 14)
    np.testing.assert_allclose(found[-1], expected, rtol=1e-4, atol=1e-4)


def test_alarms_of_a_network_that_says_one_class_for_ever() -> None:
    network = recognizer()
    network.model.classifier.weight.data.zero_()
    network.model.classifier.bias.data.zero_()
    network.model.classifier.bias.data[5] = 20
    clips = Clips.of_clips([Clip(f"{n}", walk(60, seed=n)[None], np.ones((1, 60), bool)) for n in range(30)])
    labels = np.where(np.arange(30) == 7, 5, 2)
    streams = detection.end_to_end(clips, np.arange(30), labels)
    found = detection.detect(network, "one class", streams)
    assert (found.actions, found.minutes) == (30, pytest.approx(1))
    # one segment begins in each of the two streams and never ends; only clip 7 could make one right
    assert round(found.false_alarms * found.minutes + found.found * 30) == 2
    quiet = detection.detect(Quiet(network.model, network.card), "none", streams)
    assert (quiet.found, quiet.false_alarms, quiet.frames, quiet.f1) == (0, 0, 0, 0)
    nothing = over_time.early(np.zeros((20, 1, 2), np.float32), labels[:1], labels[:1])
    assert over_time.table(nothing, [quiet])["streams"][0]["delay"] is None


class Quiet(Recognizer):
    """A recogniser whose rule never says anything."""

    def stream(self, **settings: object) -> Stream:
        return super().stream(**settings, rule=Rule(least=1, hold=1e6))


def test_trained_on_made_clips_it_finds_actions_in_a_long_sequence(
    made_set: PreparedSet, tmp_path: Path
) -> None:
    settings = ("train.max_epochs=60", "model.units=32", "model.dropout=0.1", "evaluate.passes=2")
    run = training.Run(tiny(*settings), made_set, "xsub", tmp_path / "run")
    run.start()
    trained = Recognizer.load(run.train().model)
    assert trained.card.clip_frames == np.median(made_set.column("length")[run.split.train])
    chosen, labels = run.split.train, made_set.column("label")
    streams = detection.end_to_end(Clips.of_set(made_set), chosen, labels)
    found = detection.detect(trained, "clips", streams)
    untrained = Recognizer(recognizer().model, trained.card)
    torch.manual_seed(0)
    untrained.model = models.build(trained.card.config, 150, len(trained.card.classes)).eval()
    guessed = detection.detect(untrained, "clips", streams)
    assert found.found > guessed.found + 0.15


def test_the_command(run_folder: Path, made_set: PreparedSet, tmp_path: Path, monkeypatch, capsys) -> None:  # noqa: F811
    out = tmp_path / "report.json"
    model = run_folder / "model.safetensors"
    arguments = ("evaluate", model, made_set.path, "--protocol", "xsub", "--over-time", "--json", out)
    assert call(monkeypatch, *arguments) == 0
    text, found = capsys.readouterr().out, json.loads(out.read_text())
    assert "false alarms/min" in text
    assert found["over_time"]["early"]["accuracy"]["100"] == pytest.approx(found["top1"])


def test_the_live_recipe_is_as_accurate_streamed_as_whole(made_set: PreparedSet, tmp_path: Path) -> None:
    small = ("model.units=16", "train.max_epochs=20", "train.min_steps=0", "train.batch=8")
    trained = Run(config.load("live", small), made_set, "xsub", tmp_path / "run")
    trained.start()
    report = trained.train().report
    recognizer = Recognizer.load(tmp_path / "run" / "model.safetensors")
    settings, numbers = recognizer.card.config, trained.split.test
    clips = recognizer.shown(Clips.of_set(made_set))
    logits = over_time.running_logits(
        recognizer.model,
        clips,
        numbers,
        frames=settings.data.frames,
        passes=settings.evaluate.passes,
        batch=64,
        sampling=settings.data.sampling,
        exchange=settings.evaluate.exchange,
    )
    np.testing.assert_allclose(logits[-1], report.scores, rtol=1e-3, atol=1e-3)
    streamed = over_time.early(logits, trained.labels[numbers], clips.length.numpy()[numbers])
    assert streamed.accuracy[100] == report.top(1) > 0.3  # chance is 0.07

    uniform = clips.uniform(numbers[:3], 1, settings.data.frames, evaluation.SEED)[0]
    x = clips.sample(numbers[:3], settings.data.frames, uniform, settings.data.sampling)
    state = torch.zeros(3, recognizer.step.width)
    for frame in x:
        stepped = recognizer.step.advance(frame, state)
    with torch.inference_mode():
        expected = recognizer.model(x)[0]
    torch.testing.assert_close(stepped, expected, rtol=1e-3, atol=1e-3)


def test_a_network_that_walks_back_needs_whole_clips() -> None:
    model = models.build(config.load("live", ["model.bidirectional=true"]), 150, 5, layout.load("ntu25"))
    with pytest.raises(ValueError, match="cannot answer frame by frame"):
        step.check_causal(model)
