"""The Python API: its page and its docstrings run as they stand, and are what the commands call."""

import doctest
import re
from pathlib import Path

import pytest

import action_indrnn
from action_indrnn import api, config, preparation, recognizer

PAGE = (Path(__file__).resolve().parent.parent / "docs" / "api.md").read_text(encoding="utf-8")


def test_four_names_and_no_more() -> None:
    assert action_indrnn.prepare is preparation.prepare
    assert (action_indrnn.train, action_indrnn.evaluate) == (api.train, api.evaluate)
    assert action_indrnn.Recognizer is recognizer.Recognizer
    with pytest.raises(AttributeError, match="no attribute 'trian'"):
        action_indrnn.trian  # noqa: B018


def test_the_docstrings_run(made_raw: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "raw").symlink_to(made_raw)
    finder, runner = doctest.DocTestFinder(recurse=False), doctest.DocTestRunner(verbose=False)
    count = 0
    # In the order of work: each goes on with the files of the one before.
    for function in (preparation.prepare, api.train, api.evaluate, recognizer.Recognizer.classify):
        names = {name: getattr(action_indrnn, name) for name in action_indrnn.__all__}
        for example in finder.find(function, globs=names):
            found = runner.run(example)
            count += found.attempted
    assert runner.summarize(verbose=False).failed == 0
    assert count == 13


def test_the_page_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {}
    for block in re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL):
        exec(compile(block, "docs/api.md", "exec"), names)
    said = capsys.readouterr().out
    assert said.startswith("252 clips, 0 left out\nxsub ")
    assert "(14, 14)" in said
    assert said.endswith("(14,)\n")


def test_overrides_are_of_a_name() -> None:
    with pytest.raises(ValueError, match="found them beside a Config"):
        api.train(config.load("demo"), "set", "xsub", "run", overrides=["train.batch=8"])
