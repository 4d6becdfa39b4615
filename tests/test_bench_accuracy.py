import json
from pathlib import Path

import pytest

from action_indrnn import bench_accuracy
from action_indrnn.bench_accuracy import Cell, Job
from action_indrnn.data_prep.archive import PreparedSet

SMALL = (
    "model.units=4",
    "train.max_epochs=1",
    "train.batch=8",
    "evaluate.passes=1",
    "train.validation_passes=1",
)


def test_a_cell_says_how_seeds_spread_and_what_is_missing() -> None:
    whole = {("a", 0): 0.5, ("b", 0): 0.7, ("a", 1): 0.8, ("b", 1): 0.8}  # 0.6 and 0.8
    assert str(Cell(whole, 2, 2)) == "70.0 +- 14.1"
    assert str(Cell({("a", 0): 0.5, ("b", 0): 0.7}, 2, 1)) == "60.0"
    assert str(Cell({("a", 0): 0.5}, 2, 2)) == "50.0 (1 of 4 runs)"
    assert str(Cell({}, 2, 2)) == "not run"
    assert str(Cell(whole, 2, 2, together=0.75)) == "70.0 +- 14.1, T 75.0"


def test_settings_of_a_row_come_after_those_of_all() -> None:
    found = bench_accuracy.load(["lstm model.units=8", "gru"], ["model.units=4"])
    assert [(one.model.kind, one.model.units) for one in found.values()] == [("lstm", 8), ("gru", 4)]
    assert list(bench_accuracy.load(bench_accuracy.BASELINES)) == list(bench_accuracy.BASELINES)


def test_a_table_is_every_run_and_goes_on_where_it_was_left(made_set: PreparedSet, tmp_path: Path) -> None:
    settings = bench_accuracy.load(["plain model.layers=1", "gru"], SMALL)
    jobs = [Job.of(f"{made_set.path}:clip/3=*"), Job.of(f"{made_set.path}:xsub")]
    said: list[str] = []
    nothing = bench_accuracy.measure(settings, jobs, tmp_path, 2, minutes=0)
    assert {str(cell) for row in nothing.values() for cell in row} == {"not run"}
    rows = bench_accuracy.measure(settings, jobs, tmp_path, 2, say=said.append)
    assert len(said) == 2 * 2 * (3 + 1)
    assert said[0].startswith("plain model.layers=1, set clip/3=*, clip/3=1, seed 0: ")
    assert said[7].startswith("gru, set xsub, xsub, seed 0: ")
    report = json.loads((tmp_path / "gru" / "set xsub" / "seed-1" / "report.json").read_text())
    assert rows["gru"][1].top1["xsub", 1] == report["top1"]
    again = bench_accuracy.measure(settings, jobs, tmp_path, 2, minutes=0)  # nothing is left to train
    assert again == rows
    text = bench_accuracy.as_markdown(rows, jobs).splitlines()
    assert text[0] == "| | set clip/3=* | set xsub |"
    assert text[3] == f"| gru | {rows['gru'][0]} | {rows['gru'][1]} |"
    with pytest.raises(ValueError, match="expected a run of the same settings"):
        bench_accuracy.measure(bench_accuracy.load(["gru"], [*SMALL, "model.layers=1"]), jobs, tmp_path, 2)


def test_runs_in_several_processes_are_those_of_one(made_set: PreparedSet, tmp_path: Path) -> None:
    settings, jobs = bench_accuracy.load(["gru"], SMALL), [Job.of(f"{made_set.path}:clip/3=*")]
    said: list[str] = []
    alone = bench_accuracy.measure(settings, jobs, tmp_path / "one")
    rows = bench_accuracy.measure(settings, jobs, tmp_path / "two", say=said.append, workers=2)
    assert rows == alone
    assert sorted(said)[2].startswith("gru, set clip/3=*, clip/3=3, seed 0: ")
    for report in (tmp_path / "one").rglob("report.json"):
        other = tmp_path / "two" / report.relative_to(tmp_path / "one")
        assert other.read_bytes() == report.read_bytes()
    assert bench_accuracy.measure(settings, jobs, tmp_path / "two", minutes=0, workers=2) == rows


def test_more_seeds_go_on_from_one(made_set: PreparedSet, tmp_path: Path) -> None:
    settings, jobs = bench_accuracy.load(["gru"], SMALL), [Job.of(f"{made_set.path}:xsub")]
    (one,) = bench_accuracy.measure(settings, jobs, tmp_path, 1)["gru"]
    (first,) = tmp_path.rglob("report.json")
    written = first.stat().st_mtime_ns
    (two,) = bench_accuracy.measure(settings, jobs, tmp_path, 2)["gru"]
    assert two.top1["xsub", 0] == one.top1["xsub", 0]
    assert first.stat().st_mtime_ns == written
    assert len(list(tmp_path.rglob("report.json"))) == 2


def test_seeds_together_are_the_mean_of_their_probabilities(made_set: PreparedSet, tmp_path: Path) -> None:
    settings = bench_accuracy.load(["gru"], SMALL)
    (cell,) = bench_accuracy.measure(settings, [Job.of(f"{made_set.path}:clip/3=*")], tmp_path, 2)["gru"]
    right = []
    for fold in ("clip-3=1", "clip-3=2", "clip-3=3"):
        files = [tmp_path / "gru" / "set clip-3=*" / fold / f"seed-{seed}" / "report.json" for seed in (0, 1)]
        both = [json.loads(file.read_text())["per_clip"] for file in files]
        hits = [
            max(range(14), key=lambda k: one["probabilities"][k] + two["probabilities"][k]) == one["label"]
            for one, two in zip(*both, strict=True)
        ]
        right.append(sum(hits) / len(hits))
    assert cell.together == pytest.approx(sum(right) / 3)
    assert f", T {100 * cell.together:.1f}" in str(cell)


def test_folders_of_long_rows_are_short_and_their_own() -> None:
    long = "plain " + " ".join(f"model.units={number}" for number in range(60))
    one, other = (bench_accuracy._folder(words) for words in (long, long + "0"))
    assert one != other
    assert len(one.encode()) < 255
    assert one.startswith("plain model.units=0")
    assert bench_accuracy._folder("plain subject/5=*") == "plain subject-5=*"


def test_a_job_names_set_and_protocol(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"expected SET:PROTOCOL, such as sbu:fold=\*, found 'sbu'"):
        Job.of("sbu")
