import re

import pytest

from action_indrnn import bench_live, config

from .test_cli import call

SMALL = ("model.units=8", "model.blocks=1")


def test_every_way_is_timed_from_frame_to_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bench_live.shutil, "which", lambda name: None)
    monkeypatch.setattr(bench_live.importlib.util, "find_spec", lambda name: None)
    (
        step,
        rows,
        *missing,
        head,
    ) = list(bench_live.run(config.load("residual", SMALL), (), 0, 1))
    assert step.startswith("step: ")
    assert rows.startswith("a frame is 2 rows a stream")
    assert [line.split(":")[0] for line in missing] == ["torch, compiled", "onnxruntime"]
    lines = list(bench_live.run(config.load("residual", SMALL), (1, 3), 0, 1))[5:]
    names = [re.split(r"\s{2,}", line.strip())[0] for line in lines]
    assert names == [
        f"{count} {name}"
        for count in (1, 3)
        for name in ("this program", "torch, eager", "window of 64, eager", "this program, network alone")
    ]
    for line in lines:
        median, slow, worst, spent, count, rate, streams = map(float, line.split()[-7:])
        assert 0 < median <= slow <= worst
        assert 0 < spent < 10 * worst
        assert count == bench_live.TURNS
        assert streams == pytest.approx(rate / 30, abs=1)
    assert head.split()[0] == "streams"


def test_a_network_that_detects_is_said_to_have_no_windows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bench_live.shutil, "which", lambda name: None)
    monkeypatch.setattr(bench_live.importlib.util, "find_spec", lambda name: None)
    _, rows, *_ = bench_live.run(config.load("detect", ("model.units=8",)), (), 0, 1)
    assert rows == "a frame is 1 row a stream: its state goes on for ever, there are no windows"


def test_all_ways_give_the_same_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bench_live.shutil, "which", lambda name: None)  # torch.compile takes its time
    network = bench_live.recognizer(config.load("residual", SMALL))
    steps, _ = bench_live._steps(network, 1)
    found = {}
    for name, step in steps.items():
        stream = network.stream()
        stream.step = step
        for joints in bench_live._poses():
            answer = stream.feed({1: joints})
        found[name] = answer.answers[0].probabilities
    for probabilities in found.values():
        assert probabilities == pytest.approx(found["this program"], rel=1e-3, abs=1e-6)


def test_the_memory_command(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert call(monkeypatch, "bench", "live", "demo", "--frames", 200) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 10
    assert lines[-1].split()[:2] == ["200", "frames"]
    assert int(lines[-1].split()[-2]) < 4096  # KiB since a tenth of them
