"""Sets of people who act alone: their networks take one body at a time."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch

from action_indrnn import Recognizer, config
from action_indrnn.batches import Batches
from action_indrnn.data_prep import archive, catalogue, layout, made, preprocess, untrimmed
from action_indrnn.data_prep.archive import PreparedSet
from action_indrnn.dataset import Clips
from action_indrnn.exam import Exam
from action_indrnn.training import Run

from .conftest import person
from .test_batches import MORE

NTU = layout.load("ntu25")
QUICK = (
    "model.units=16",
    "model.layers=1",
    "train.max_epochs=1",
    "train.min_steps=1",
    "train.batch=4",
    "evaluate.passes=2",
)


@pytest.fixture(scope="module")
def alone(made_raw: Path, tmp_path_factory: pytest.TempPathFactory) -> PreparedSet:
    """The clips of one person of `made_raw`."""
    raw = tmp_path_factory.mktemp("alone")
    for path in sorted(made_raw.glob("*.skeleton")):
        if int(path.stem[-3:]) not in made.TWO_PERSON:
            (raw / path.name).write_bytes(path.read_bytes())
    out = tmp_path_factory.mktemp("prepared") / "alone"
    preprocess.preprocess(catalogue.find("made"), [raw], out)
    return archive.read(out)


@pytest.fixture(scope="module")
def run(alone: PreparedSet, tmp_path_factory: pytest.TempPathFactory) -> Run:
    done = Run(config.load("live", QUICK), alone, "xsub", tmp_path_factory.mktemp("run") / "run")
    done.start()
    done.train()
    return done


def test_a_network_takes_as_many_bodies_as_training_clips_have(
    alone: PreparedSet, made_set: PreparedSet, tmp_path: Path
) -> None:
    for number, prepared in ((1, alone), (2, made_set)):
        for kind in ("live", "best", "detect"):
            made_of = Run(config.load(kind), prepared, "xsub", tmp_path)
            assert made_of.model.features == number * 75
            ((x, _),) = made_of.batches.parts(made_of.batches.of(0)[0], 0)
            assert x.shape[2] == number * 75


def test_an_untrimmed_recording_of_two_counts(
    alone: PreparedSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    joints = np.ones((50, 2, 25, 3), np.float32)
    two = untrimmed.Untrimmed("two", joints, [untrimmed.Action(5, 20, 0)], {})
    monkeypatch.setattr("action_indrnn.splits.recordings_of", lambda prepared, clips: [two])
    assert Run(config.load("detect"), alone, "xsub", tmp_path).model.features == 150
    assert Run(config.load("live"), alone, "xsub", tmp_path).model.features == 75


def test_the_main_actor_of_a_clip_of_two_is_what_it_sees(run: Run, made_set: PreparedSet) -> None:
    recognizer = Recognizer.load(run.folder.model)
    assert recognizer.card.actors == 1
    two = [made_set.clip(number) for number in np.flatnonzero(made_set.column("bodies") == 2)[:3]]
    first = [type(clip)(clip.name, clip.joints[:1], clip.present[:1]) for clip in two]
    for found, expected in zip(recognizer.classify_all(two), recognizer.classify_all(first), strict=True):
        np.testing.assert_array_equal(found.probabilities, expected.probabilities)
    exam = Exam.of(run.folder.model, made_set, "xsub")
    assert exam.clips.features == 75
    assert len(exam.report().labels) == len(run.split.test) + 3  # the same people's clips of two


def test_its_stream_answers_for_each_person_and_no_pair(run: Run) -> None:
    stream = Recognizer.load(run.folder.model).stream()
    for _ in range(3):
        answers = stream.feed({"a": person(0.0), "b": person(0.5)}).answers
    assert [answer.bodies for answer in answers] == [("a",), ("b",)]


def varied(prepared: PreparedSet, actors: int, settings: Sequence[str]) -> torch.Tensor:
    chosen = config.load("residual", ("data.rotation=20", "train.batch=12", *settings))
    clips = Clips.of_set(prepared).shown_as(chosen.data, NTU, "camera", actors)
    labels, numbers = prepared.column("label"), np.arange(12)
    batches = Batches(chosen, clips, labels, numbers, torch.device("cpu"), NTU)
    ((x, _),) = batches.parts(numbers, 3)
    return x


@pytest.mark.parametrize("name", ["rotation", *(MORE.keys() - {"noise", "joint_dropout"})])
def test_one_body_is_varied_as_the_first_of_two(alone: PreparedSet, name: str) -> None:
    settings = [f"data.{name}={MORE[name]}"] if name in MORE else []
    for sampling in ("segments",) if name == "speed" else ("segments", "whole"):
        one, two = (varied(alone, actors, [f"data.sampling={sampling}", *settings]) for actors in (1, 2))
        assert torch.equal(one, two[..., :75])
        assert not two[..., 75:].any()
