from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch

from action_indrnn import api, checkpoint, clip_page, config, detection, every_frame, models, splits
from action_indrnn.checkpoint import Card
from action_indrnn.data_prep.archive import PreparedSet
from action_indrnn.data_prep.clip import Clip
from action_indrnn.data_prep.untrimmed import NONE, Action, Untrimmed
from action_indrnn.dataset import Clips
from action_indrnn.decision import DETECTING, Rule
from action_indrnn.recognizer import Recognizer

from .test_cli import call
from .test_streaming import LAYOUT, recognizer, run, softmax, walk

SMALL = ("model.units=16", "data.frames=64")


def detector(**given: object) -> Recognizer:
    settings = config.load("detect", SMALL)
    card = recognizer().card.model_copy(update={"config": settings, **given})
    torch.manual_seed(2)
    network = models.build(settings, 150, len(card.classes), LAYOUT).eval()
    with torch.no_grad():
        network.classifier.weight.mul_(10)
    return Recognizer(network, card)


def test_a_stream_says_what_the_whole_recording_says_for_ever() -> None:
    network = detector()
    joints = walk(400)
    found = run(network.stream(), {7: joints})
    both = np.full((400, 2, 25, 3), np.nan, np.float32)
    both[:, 0] = joints
    x = torch.from_numpy(every_frame.features(both, LAYOUT, 1.0))[:, None]
    with torch.inference_mode():
        logits = network.model(x, every=True)[0][:, 0].numpy()
    for answer, row in zip(found, logits, strict=True):
        np.testing.assert_allclose(answer.answers[0].probabilities, softmax(row)[:-1], rtol=1e-2, atol=1e-4)
    assert found[0].answers[0].probabilities.sum() < 1
    assert {answer.answers[0].seen for answer in found} == {1.0}


def test_a_state_that_was_saved_goes_on_to_the_bit() -> None:
    network = detector()
    joints = walk(60, seed=4)
    straight = run(network.stream(), {1: joints})
    first = network.stream()
    run(first, {1: joints[:33]})
    second = network.stream()
    second.restore(first.save())
    for one, other in zip(straight[33:], run(second, {1: joints[33:]}), strict=True):
        np.testing.assert_array_equal(one.answers[0].probabilities, other.answers[0].probabilities)


@pytest.mark.parametrize(("name", "value"), [("windows", 3), ("duration", 2.0)])
def test_windows_are_refused_as_there_are_none(
    name: str,
    value: float,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    network, message = detector(), f"{name}: expected none for a network that detects actions"
    for make in (network.stream, network.streams):
        with pytest.raises(ValueError, match=message):
            make(**{name: value})
    model, clip = tmp_path / "model.safetensors", tmp_path / "clip.npy"
    checkpoint.save_model(model, network.model, network.card)
    np.save(clip, walk(3))
    assert call(monkeypatch, "stream", model, "--replay", clip, "--speed", 0) == 0
    assert len(capsys.readouterr().out.splitlines()) == 4
    assert call(monkeypatch, "stream", model, "--replay", clip, f"--{name}", value) == 1
    assert message in capsys.readouterr().err
    if name == "duration":
        assert call(monkeypatch, "serve", model, "--port", 0, "--duration", value) == 1
        assert message in capsys.readouterr().err


def test_a_state_is_as_large_after_many_frames_as_after_one() -> None:
    network = detector()
    stream, sizes = network.stream(), []
    for joints in np.tile(walk(60), (10, 1, 1)):
        stream.feed({1: joints})
        sizes.append(stream.scene.followed[1,].windows.states.shape)
    assert set(sizes) == {(1, network.step.width)}


def test_segments_are_counted_against_the_actions(monkeypatch: pytest.MonkeyPatch) -> None:
    """Said: the right class late, the right class twice, a class in a pause, and one action missed."""
    truth = [NONE] * 30 + [3] * 30 + [NONE] * 30 + [5] * 30 + [NONE] * 30 + [2] * 30
    said = [NONE] * 45 + [3] * 15 + [NONE] * 10 + [1] * 20 + [5] * 10 + [NONE] * 10 + [5] * 10 + [NONE] * 60
    recording = Untrimmed(
        "a", walk(180)[:, None], [Action(30, 60, 3), Action(90, 120, 5), Action(150, 180, 2)], {}
    )
    network = detector()
    stream = network.stream(rule=Rule(smoothing=0, threshold=0.5, release=0.5))
    monkeypatch.setattr(network, "stream", lambda: stream)
    spoken = iter(said)

    def advance(x: torch.Tensor, states: Sequence[torch.Tensor]) -> torch.Tensor:
        logits = torch.zeros(1, 15)
        logits[0, next(spoken)] = 20  # the last is for none
        return logits

    monkeypatch.setattr(stream.step, "scenes", None)
    monkeypatch.setattr(stream.step, "advance", advance)
    monkeypatch.setattr(stream.step, "scenes", None)  # or rows are stepped without features
    found = detection.detect(network, "made", [recording])
    assert (found.actions, found.minutes) == (3, pytest.approx(180 / 1800))
    assert found.found == pytest.approx(2 / 3)
    assert found.false_alarms * found.minutes == pytest.approx(2)
    assert found.f1 == pytest.approx(2 * 2 / (4 + 3))
    assert found.delay == pytest.approx((15 + 0) / 2 / 30)
    assert found.frames == pytest.approx(np.mean(np.array(truth) == np.array(said)))


def test_a_clip_s_curve_ends_in_its_verdict() -> None:
    network = detector()
    clip = Clip("clip", walk(50)[None], np.ones((1, 50), bool))
    shares = clip_page.curve(network, clip)
    assert shares.shape == (50, 14)
    np.testing.assert_allclose(shares[-1], network.classify(clip).probabilities, rtol=1e-3, atol=1e-5)
    assert np.abs(shares[5] - shares[-1]).max() > 1e-3


def test_made_streams_hold_every_clip_once(made_set: PreparedSet) -> None:
    clips, labels, numbers = Clips.of_set(made_set), made_set.column("label"), np.arange(45)
    for make, pauses in ((detection.end_to_end, False), (detection.paused, True)):
        streams = make(clips, numbers, labels)
        assert [len(one.actions) for one in streams] == [20, 20, 5]
        assert sorted(action.label for one in streams for action in one.actions) == sorted(labels[:45])
        idle = sum(int((one.labels() == NONE).sum()) for one in streams)
        assert (idle > 45 * 30) == pauses
        assert idle == 0 or pauses


def test_a_detector_learns_made_actions_and_its_rule_is_in_the_file(
    made_set: PreparedSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(detection, "RULES", detection.RULES[::40])
    settings = config.load(
        "detect",
        (
            "model.units=32", "model.dropout=0.1", "data.frames=80", "train.batch=8", "train.max_epochs=40",
            "train.min_steps=0", "train.validation=subjects", "data.speed=0.0",
        ),
    )  # fmt: skip
    said: list[str] = []
    (result,) = api.train(settings, made_set, "xsub", tmp_path / "run", say=said.append)
    assert result.report.top(1) > 0.5  # of five classes
    assert said[-2].startswith("decision    begins at")
    card = checkpoint.load_card(result.model)
    assert card.rule in detection.RULES
    assert Recognizer.load(result.model).stream().settings.rule == card.rule
    found = api.evaluate(result.model, made_set, "xsub", over_time=True)
    assert found.early.accuracy[100] == pytest.approx(found.report.top(1))
    clips, split, labels = Clips.of_set(made_set), splits.split(made_set, "xsub"), made_set.column("label")
    paused = found.streams[1]
    assert paused.streams == "clips with pauses"
    assert paused.found > 0.1
    idle = np.concatenate([one.labels() for one in detection.paused(clips, split.test, labels)]) == NONE
    assert paused.frames > idle.mean() + 0.02  # who says nothing is right in those


def test_the_page_about_detection_tells_the_rules() -> None:
    page = (Path(__file__).resolve().parent.parent / "docs" / "detection.md").read_text(encoding="utf-8")
    assert f"chooses out of {len(detection.RULES)} of them" in page
    assert DETECTING in detection.RULES
    told = f"begin\n  at {DETECTING.threshold} for {DETECTING.hold} s, end below {DETECTING.release}"
    assert told in page


def test_rules_are_the_model_s_own_or_that_of_its_kind() -> None:
    own = Rule(threshold=0.35, release=0.25)
    assert detector().stream().settings.rule == DETECTING
    assert detector(rule=own).stream().settings.rule == own
    assert recognizer().stream().settings.rule == Rule()
    assert detector(rule=own).stream(rule=Rule()).settings.rule == Rule()
    assert own.but(threshold=0.2) == Rule(threshold=0.2, release=0.2)
    assert own.but(hold=None, smoothing=1) == Rule(threshold=0.35, release=0.25, smoothing=1)
    card = Card.model_validate_json(detector(rule=own).card.model_dump_json())
    assert card.rule == own
