import csv
import sys
from pathlib import Path

import pytest

from action_indrnn import bench, bench_tables, cli
from action_indrnn.bench import Row
from action_indrnn.kernels import KERNELS


def test_every_contender_is_timed_once_a_shape() -> None:
    (rows,) = bench.kernels([(6, 2, 8)], rounds=2, seconds=0)
    names = [(row.level, row.name) for row in rows]
    given = ["cpu, given memory"] if "cpu" in KERNELS else []
    kernels = [("recurrence", name) for name in (*KERNELS, "auto", *given)]
    layers = [("layer", name) for name in ("Linear + indrnn", "LSTM", "GRU", "RNN")]
    assert names == [("copy", "copy"), *kernels, *layers]
    assert all(row.forward_ms > 0 for row in rows)
    copy = rows[0].forward_ms
    for row in rows[1 : 1 + len(kernels)]:
        assert row.forward_share == pytest.approx(copy / row.forward_ms)
        assert row.forward_gbs == pytest.approx(8 * 6 * 2 * 8 / row.forward_ms / 1e6)
        if row.name in KERNELS:
            assert row.backward_share == pytest.approx(1.5 * copy / row.backward_ms)
            assert row.both_share == pytest.approx(2.5 * copy / row.both_ms)


ROWS = [
    Row("4x1x8", "copy", "copy", 0.5, forward_share=1.0),
    Row("4x1x8", "recurrence", "reference", 4.0, 6.0, 12.0, 0.125, 0.125, 0.1, 7.0),
    Row("4x1x8", "recurrence", "cpu", 1.0, 2.0, 3.0, 0.5, 0.375, 0.42, 28.0),
    Row("4x1x8", "layer", "Linear + indrnn", 2.0, 0.0, 4.0),
    Row("4x1x8", "layer", "LSTM", 6.0, 0.0, 10.0),
]


def test_tables_give_ratios_to_the_loop_and_to_our_layer() -> None:
    text = [line.split() for line in bench_tables.as_text(ROWS).splitlines()]
    assert ["cpu", "1", "2", "3", "28", "0.50", "0.38", "0.42", "4", "4"] in text
    assert ["LSTM", "6", "10", "3", "2.5"] in text
    page = bench_tables.as_markdown(ROWS)
    assert "| cpu | 1 | 2 | 3 | 28 | 0.50 | 0.38 | 0.42 | 4 | 4 |" in page
    assert "| LSTM | 6 | 10 | 3 | 2.5 |" in page


def test_a_picture_shows_every_length(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib", reason="the extra viz is not installed")
    bench_tables.plot(tmp_path / "times.png", ROWS)
    assert (tmp_path / "times.png").read_bytes().startswith(b"\x89PNG")


def test_no_picture_without_matplotlib(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(ValueError, match="expected matplotlib"):
        bench_tables.plot(tmp_path / "times.png", ROWS)


def test_the_command_prints_a_table_and_writes_files(tmp_path: Path, monkeypatch, capsys) -> None:
    monkeypatch.setattr(bench, "CPU_SHAPES", ((4, 1, 8), (9, 1, 8)))
    out, page = tmp_path / "rows.csv", tmp_path / "rows.md"
    arguments = ["bench", "kernels", "--rounds", "1", "--seconds", "0", "--longest", "8", "--csv", str(out)]
    arguments += ["--threads", "1", "--markdown", str(page)]
    monkeypatch.setattr(sys, "argv", ["action-indrnn", *arguments])
    with pytest.raises(SystemExit) as leaving:
        cli.main()
    assert leaving.value.code == 0
    text = capsys.readouterr().out
    assert "4x1x8" in text
    assert "9x1x8" not in text
    with out.open() as file:
        rows = list(csv.DictReader(file))
    assert {row["name"] for row in rows} >= {"copy", "reference", "LSTM"}
    assert "bench kernels --device cpu --threads 1 --rounds 1" in page.read_text()
    assert "| reference |" in page.read_text()
