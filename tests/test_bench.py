import csv
import sys
from pathlib import Path

import pytest

from action_indrnn import bench, cli
from action_indrnn.kernels import KERNELS


def test_every_contender_is_timed_once_a_shape() -> None:
    (rows,) = bench.kernels([(6, 2, 8)], rounds=2, seconds=0)
    names = [(row.level, row.name) for row in rows]
    kernels = [("recurrence", name) for name in (*KERNELS, "auto")]
    layers = [("layer", name) for name in ("Linear + indrnn", "LSTM", "GRU", "RNN")]
    assert names == [("copy", "copy"), *kernels, *layers]
    assert all(row.forward_ms > 0 for row in rows)
    assert all(row.both_ms > 0 for row in rows[1:])
    copy = rows[0].forward_ms
    for row in rows[1 : 1 + len(kernels)]:
        assert row.forward_share == pytest.approx(copy / row.forward_ms)
        assert row.both_share == pytest.approx(2.5 * copy / row.both_ms)


def test_the_command_prints_a_table_and_writes_csv(tmp_path: Path, monkeypatch, capsys) -> None:
    monkeypatch.setattr(bench, "CPU_SHAPES", ((4, 1, 8), (9, 1, 8)))
    out = tmp_path / "rows.csv"
    arguments = ["bench", "kernels", "--rounds", "1", "--seconds", "0", "--longest", "8", "--csv", str(out)]
    monkeypatch.setattr(sys, "argv", ["action-indrnn", *arguments, "--threads", "1"])
    with pytest.raises(SystemExit) as leaving:
        cli.main()
    assert leaving.value.code == 0
    text = capsys.readouterr().out
    assert "4x1x8" in text
    assert "9x1x8" not in text
    with out.open() as file:
        rows = list(csv.DictReader(file))
    assert {row["name"] for row in rows} >= {"copy", "reference", "LSTM"}
