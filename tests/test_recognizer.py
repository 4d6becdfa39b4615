from pathlib import Path

import numpy as np
import pytest

from action_indrnn import checkpoint, config, evaluation, onnx_step, over_time, step, streaming, training
from action_indrnn.data_prep import archive, catalogue, layout, points, preprocess
from action_indrnn.data_prep.archive import PreparedSet
from action_indrnn.data_prep.clip import Clip, ClipError
from action_indrnn.dataset import Clips
from action_indrnn.recognizer import Recognizer

from .test_training import tiny


@pytest.fixture(scope="module", params=["camera", "first-frame", "whole-clip", "ctr-gcn", "ctr-gcn raw"])
def prepared(request, made_raw: Path, tmp_path_factory: pytest.TempPathFactory) -> PreparedSet:
    out = tmp_path_factory.mktemp("prepared") / "set"
    options = {
        "ctr-gcn": {"recipe": "ctr-gcn"},
        "ctr-gcn raw": {"recipe": "ctr-gcn", "view": "raw"},
    }.get(request.param, {"view": request.param})
    preprocess.preprocess(catalogue.find("made"), [made_raw], out, **options)
    return archive.read(out)


@pytest.fixture(scope="module")
def model_file(prepared: PreparedSet, tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = training.Run(
        tiny("train.max_epochs=1", "data.frames_deviation=5"),
        prepared,
        "xsub",
        tmp_path_factory.mktemp("run") / "run",
    )
    run.start()
    return run.train().model


def test_a_file_gets_the_probabilities_of_the_evaluation(
    made_raw: Path, prepared: PreparedSet, model_file: Path
) -> None:
    model, card = checkpoint.load_model(model_file)
    settings, numbers = card.config, np.arange(60)
    options = {"frames": 20, "deviation": 5.0, "passes": settings.evaluate.passes, "batch": 60}
    expected = evaluation.probabilities(evaluation.scores(model, Clips.of_set(prepared), numbers, **options))
    recognizer = Recognizer.load(model_file)
    for number in (0, 31, 59):
        verdict = recognizer.classify(made_raw / f"{prepared.index['name'][number]}.skeleton")
        np.testing.assert_allclose(verdict.probabilities, expected[number], rtol=1e-4, atol=1e-7)
        again = recognizer.classify(prepared.clip(number))  # normalised already
        np.testing.assert_allclose(again.probabilities, expected[number], rtol=1e-3, atol=1e-6)


def test_verdicts_are_ordered_probabilities(prepared: PreparedSet, model_file: Path) -> None:
    verdict = Recognizer.load(model_file).classify(prepared.clip(3))
    assert verdict.name == prepared.index["name"][3]
    top = verdict.top(14)
    assert sum(share for _, share in top) == pytest.approx(1)
    assert [share for _, share in top] == sorted((share for _, share in top), reverse=True)
    assert {name for name, _ in top} == set(prepared.classes)
    assert verdict.top(3) == top[:3]


def test_joints_that_do_not_fit_are_refused(model_file: Path, tmp_path: Path) -> None:
    recognizer = Recognizer.load(model_file)
    kinect1 = Clip("wave", np.zeros((1, 5, 20, 3), np.float32), np.ones((1, 5), bool))
    with pytest.raises(ValueError, match="wave: expected 25 joints of 3 coordinates, found 20 of 3"):
        recognizer.classify(kinect1)
    path = tmp_path / "bad.skeleton"
    path.write_bytes(b"3\n0\n")
    with pytest.raises(ClipError, match=r"bad\.skeleton:2: expected the body count of frame 2 of 3"):
        recognizer.classify(path)


def test_a_clip_of_another_sensor_gets_the_verdict_of_its_map(
    made_raw: Path, model_file: Path, tmp_path: Path
) -> None:
    recognizer, azure = Recognizer.load(model_file), layout.load("azure32")
    clip = recognizer.read(min(made_raw.iterdir()))
    back = np.linalg.pinv(points.mapping(azure, layout.load("ntu25"), "azure32"))
    joints = np.where(clip.present[..., None, None], back @ clip.joints, np.nan)
    path = tmp_path / f"{clip.name}.npy"
    np.save(path, joints.swapaxes(0, 1) * (-1000, -1000, 1000))  # millimetres, x to the right, y down
    mapped = recognizer.read(path, azure)
    np.testing.assert_allclose(mapped.joints, clip.joints, atol=1e-4)
    expected = recognizer.classify(clip).probabilities
    np.testing.assert_allclose(recognizer.classify(mapped).probabilities, expected, rtol=1e-2, atol=1e-5)
    with pytest.raises(ClipError, match="found 32 without names; so many have azure32"):
        recognizer.read(path)


def test_a_view_of_the_whole_clip_cannot_stream(model_file: Path, tmp_path: Path) -> None:
    recognizer = Recognizer.load(model_file)
    card = recognizer.card
    if card.view != "whole-clip":
        assert recognizer.stream().feed({}, 0.0) is not None
        return
    pose = {1: np.ones((25, 3))}
    for live in (
        recognizer.stream,
        recognizer.streams,
        lambda: onnx_step.export(recognizer.model, card, tmp_path / "step.onnx"),
        lambda: over_time.measure(recognizer, None, None, None, []),
        lambda: streaming.Stream(step.of(recognizer.model), card, streaming.settings_for(card)).feed(
            pose, 0.0
        ),
    ):
        with pytest.raises(ValueError, match="cannot answer frame by frame; preprocess with --view"):
            live()
    assert list(tmp_path.iterdir()) == []


def test_a_model_file_alone_is_enough(prepared: PreparedSet, model_file: Path, tmp_path: Path) -> None:
    moved = tmp_path / "elsewhere.safetensors"
    moved.write_bytes(model_file.read_bytes())
    assert Recognizer.load(moved).card.classes == tuple(prepared.classes)
    assert Recognizer.load(moved).card.config.model == config.load(model_file.parent / "config.toml").model


def test_clips_made_elsewhere_and_recordings_do_not_mix(
    made_raw: Path, prepared: PreparedSet, model_file: Path
) -> None:
    model, card = checkpoint.load_model(model_file)
    elsewhere = Recognizer(model, card.model_copy(update={"recipe": "imported pyskl"}))
    file = made_raw / f"{prepared.index['name'][0]}.skeleton"
    with pytest.raises(
        ClipError, match=r"\('imported pyskl'\), found a \.skeleton recording, .* 'tracks' or"
    ):
        elsewhere.classify(file)
    assert elsewhere.classify(prepared.clip(0)).classes == card.classes
    with pytest.raises(ValueError, match=f"the model's recipe 'imported pyskl', found '{card.recipe}'"):
        elsewhere.card.check_fit(prepared)
    with pytest.raises(ValueError, match=f"the model's view 'side', found '{card.view}'"):
        card.model_copy(update={"view": "side"}).check_fit(prepared)
