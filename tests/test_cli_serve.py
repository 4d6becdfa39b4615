import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from action_indrnn import checkpoint

from .serving import ask, join, line, tell
from .test_cli import call
from .test_streaming import recognizer


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    network = recognizer()
    file = tmp_path_factory.mktemp("model") / "model.safetensors"
    checkpoint.save_model(file, network.model, network.card)
    return file


def test_it_serves_until_it_is_interrupted(model: Path) -> None:
    command = [sys.executable, "-m", "action_indrnn", "serve", str(model), "--port", "0", "--people", "1"]
    environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        port = int(re.match(rb"open +http://127\.0\.0\.1:(\d+)/", process.stdout.readline())[1])
        assert process.stdout.readline().split()[-1] == f"ws://127.0.0.1:{port}/live".encode()
        assert ask(port, "/")[0].status == 200
        with join(port) as socket:
            assert tell(socket, line())["frame"] == 0
            process.send_signal(signal.SIGINT)
            assert process.wait(30) == 130
        assert process.stderr.read() == b""


@pytest.mark.parametrize(
    ("option", "value", "message"),
    [
        ("--idle", "0", "idle: expected a number above 0"),
        ("--rate", "0", "rate: expected a number above 0"),
        ("--host", "256.0.0.1", "256.0.0.1:8000: cannot listen there"),
        ("--layout", "nobody", "nobody"),
    ],
)
def test_what_is_out_of_range_is_told_before_anybody_comes(
    model: Path, option: str, value: str, message: str, monkeypatch, capsys
) -> None:
    assert call(monkeypatch, "serve", model, option, value) == 1
    assert message in capsys.readouterr().err


def test_without_the_extra_it_says_what_to_install(model: Path, monkeypatch, capsys) -> None:
    monkeypatch.setitem(sys.modules, "fastapi", None)
    monkeypatch.delitem(sys.modules, "action_indrnn.server", raising=False)
    monkeypatch.delattr("action_indrnn.server", raising=False)
    assert call(monkeypatch, "serve", model) == 1
    assert (
        "serve needs fastapi, which is not installed: pip install action-indrnn[serve]"
        in capsys.readouterr().err
    )
