import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from action_indrnn import api, config, models, report_memory, run_record
from action_indrnn.data_prep import layout
from action_indrnn.data_prep.archive import PreparedSet
from action_indrnn.run_record import Record

SMALL = ["model.units=8", "model.blocks=1", "train.max_epochs=2"]


@pytest.fixture(scope="module")
def run(made_set: PreparedSet, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("runs") / "run"
    api.train("demo", made_set, "xsub", out, overrides=SMALL)
    return out


def test_a_run_says_what_it_was(run: Path, made_set: PreparedSet) -> None:
    [record], unfinished = run_record.find(run)
    assert (record.name, unfinished) == ("", [])
    assert record.metrics["epoch"] == [1, 2]
    assert record.confusion.sum() == record.report["clips"] == 15
    assert record.facts["prepared_set"] == str(made_set.path)
    assert record.facts["started"] <= record.facts["finished"]
    assert record.facts["environment"]["threads"] == 1
    assert record.facts["environment"]["recurrence"].startswith("cpu")
    assert sum(layer.units for layer in record.model.recurrences()) == 3 * 8


def test_runs_in_the_order_of_their_numbers(run: Path, tmp_path: Path) -> None:
    for name in ("fold=1/seed-10", "fold=1/seed-9", "fold=2/seed-9", "fold=2/seed-10"):
        shutil.copytree(run, tmp_path / name)
    (tmp_path / "fold=2/seed-10/report.json").unlink()
    records, unfinished = run_record.find(tmp_path)
    assert [record.name for record in records] == ["fold=1/seed-9", "fold=1/seed-10", "fold=2/seed-9"]
    assert unfinished == ["fold=2/seed-10"]


def test_what_is_no_run(run: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"expected a finished run, .* found none"):
        run_record.find(tmp_path)
    shutil.copytree(run, tmp_path / "run")
    (tmp_path / "run/report.json").write_text("{")
    with pytest.raises(ValueError, match="damaged"):
        run_record.find(tmp_path / "run")
    (tmp_path / "run/model.safetensors").unlink()
    with pytest.raises(ValueError, match="found 1 unfinished"):
        run_record.find(tmp_path / "run")


@pytest.mark.parametrize(
    ("shipped", "median", "seconds"),
    [
        ("demo", 80.0, 4 / 30),
        ("demo", 30.0, 1 / 30),
        ("demo", None, None),
        ("live", 49.0, 1.5 / 30),
        ("live", 17.0, 0.5 / 30),
        ("live", None, None),
        ("detect", 80.0, 1 / 30),
        ("detect", None, 1 / 30),
    ],
)
def test_a_step_s_seconds(run: Path, shipped: str, median: float | None, seconds: float | None) -> None:
    record = run_record.find(run)[0][0]
    card = record.card.model_copy(update={"clip_frames": median, "config": config.load(shipped)})
    again = Record(record.folder, "", record.report, record.metrics, "", {}, card)
    assert again.seconds == pytest.approx(seconds)
    said = str(report_memory.layers(again))
    step = {
        "demo": "A step is one of the 20 frames that the network sees of a clip",
        "live": "A step is one of 32 even steps from a clip&#x27;s first frame to its last",
        "detect": "A step is a frame of the recording: 0.033 s at 30 frames a second.",
    }[shipped]
    assert step in said
    assert ("a clip of median length" in said) == (median is not None and shipped != "detect")


def test_a_graph_network_s_units_are_not_told_of(run: Path) -> None:
    record = run_record.find(run)[0][0]
    settings = config.load("graph")
    card = record.card.model_copy(update={"config": settings})
    again = Record(record.folder, "", record.report, record.metrics, "", {}, card)
    again.__dict__["model"] = models.build(settings, 150, 14, layout.load("ntu25"))
    assert "A graph network" in str(report_memory.deciding(again, None))
    assert "Memory lengths of layer 1" in str(report_memory.layers(again))


def test_folds_of_one_seed_are_a_family_as_those_of_several_are(run: Path) -> None:
    record = run_record.find(run)[0][0]
    for name, protocol, family in (
        ("", "fold=2", "fold=2"),
        ("fold=2", "fold=2", "fold=*"),
        ("fold=2/seed-1", "fold=2", "fold=*"),
        ("clip-5=2", "clip/5=2", "clip/5=*"),
        ("seed-1", "fold=2", "fold=2"),
        ("xsub", "xsub", "xsub"),
    ):
        card = record.card.model_copy(update={"protocol": protocol})
        assert replace(record, name=name, card=card).fold == family
