import csv
import math
import sys
from pathlib import Path

import pytest
import torch

from action_indrnn import bench_train, cli, config
from action_indrnn.bench_train import Contender

SMALL = {
    "plain": ("model.units=64", "model.layers=2", "train.batch=16"),
    "dense": ("model.growth_rate=4", "model.blocks=[1, 1]", "train.batch=16"),
}


def test_an_lstm_stands_beside_every_network(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bench_train, "_peak", lambda settings, kind, device: 3.0)
    rows = bench_train.measure(["plain"], SMALL["plain"], rounds=2, seconds=0)
    assert [(row.network, row.kind) for row in rows] == [("plain", "IndRNN"), ("plain", "LSTM")]
    ours, lstm = rows
    assert ours.recurrences == lstm.recurrences == 2
    assert ours.parameters == (150 * 64 + 64) + (64 * 64 + 64) + 2 * 3 * 64 + (64 * 60 + 60)
    assert lstm.parameters == 4 * 64 * (150 + 64 + 2) + 4 * 64 * (64 + 64 + 2) + (64 * 60 + 60)
    for row in rows:
        assert row.clips_per_second == pytest.approx(16e3 / row.step_ms)
    parts = (ours.data, ours.recurrence, ours.products, ours.optimiser)
    assert all(0 < part < 1 for part in parts)
    assert sum(parts) < 1
    assert math.isnan(lstm.recurrence)
    assert 0 < lstm.optimiser < 1


def test_widths_are_those_of_the_network() -> None:
    settings = config.load("dense", SMALL["dense"])
    ours, lstm = (Contender(settings, kind, "cpu") for kind in ("IndRNN", "LSTM"))
    assert ours.widths == lstm.widths == [24, 16, 4, 14, 16, 4, 9]
    assert [layer.hidden_size for layer in lstm.learner.model.layers] == ours.widths


def test_both_learn_from_the_streams_that_training_would_see() -> None:
    overrides = (*SMALL["plain"], 'data.streams=["bone", "motion"]', "model.time_difference=true")
    settings = config.load("plain", overrides)
    ours, lstm = (Contender(settings, kind, "cpu") for kind in ("IndRNN", "LSTM"))
    wanted = 2 * 3 * 2 * (24 + 25)  # coordinates of two bodies' bones and joints, and their change
    assert ours.learner.model.inputs == lstm.learner.model.inputs == wanted
    assert lstm.learner.model.layers[0].input_size == wanted
    for contender in (ours, lstm):
        contender.step()


def test_clips_are_varied_as_training_would() -> None:
    def frames(*overrides: str) -> torch.Tensor:
        contender = Contender(config.load("plain", (*SMALL["plain"], *overrides)), "IndRNN", "cpu")
        return next(contender._parts(contender.batches.of(0)[0]))[0]

    plain, turned = frames(), frames("data.rotation=30.0")
    assert plain.shape == turned.shape == (20, 16, 150)
    assert not torch.equal(plain, turned)
    torch.testing.assert_close(plain.square().sum(), turned.square().sum(), rtol=1e-4, atol=0)  # no scaling


def test_every_clip_has_its_turn() -> None:
    contender = Contender(config.load("plain", SMALL["plain"]), "IndRNN", "cpu")
    seen = []
    parts = contender.batches.parts
    contender.batches.parts = lambda numbers, step: seen.append((step, numbers)) or parts(numbers, step)
    for _ in range(33):
        contender.step()
    assert [step for step, _ in seen] == list(range(33))
    assert sorted(number for _, numbers in seen[:32] for number in numbers) == list(range(512))
    assert not (seen[32][1] == seen[0][1]).all()


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="only Linux tells a process's peak memory")
def test_memory_is_that_of_the_network() -> None:
    wide = config.load("plain", ("model.units=2048", "model.layers=2", "train.batch=2"))
    # weights, gradients and two moments of the second layer alone are 64 MiB; 12 MiB of clips come on top
    assert 64 < bench_train._peak(wide, "IndRNN", "cpu") < 400


def test_the_command_prints_a_table_and_writes_csv(tmp_path: Path, monkeypatch, capsys) -> None:
    monkeypatch.setattr(bench_train, "_peak", lambda settings, kind, device: float("nan"))
    overrides = [word for setting in SMALL["plain"] for word in ("--set", setting)]
    options = ["--rounds", "1", "--seconds", "0", "--threads", "1", "--csv", str(tmp_path / "rows.csv")]
    monkeypatch.setattr(sys, "argv", ["action-indrnn", "bench", "train", "plain", *overrides, *options])
    with pytest.raises(SystemExit) as leaving:
        cli.main()
    assert leaving.value.code == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[:3] for line in lines[-2:]] == [["plain", "IndRNN", "2"], ["plain", "LSTM", "2"]]
    with (tmp_path / "rows.csv").open() as file:
        assert [row["kind"] for row in csv.DictReader(file)] == ["IndRNN", "LSTM"]
