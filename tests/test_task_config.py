from pathlib import Path

import pytest

from action_indrnn import config, task_config
from action_indrnn.config import ConfigError
from action_indrnn.task_config import Adding, Mnist, Ptb

SHIPPED = [(schema, name) for schema in (Adding, Mnist, Ptb) for name in task_config.names(schema)]


@pytest.mark.parametrize(
    ("schema", "name"), SHIPPED, ids=lambda value: value if isinstance(value, str) else ""
)
def test_shipped_configurations_load_and_survive_a_round_trip(schema, name: str, tmp_path: Path) -> None:
    shipped = task_config.load(schema, name)
    assert shipped.title
    assert shipped.published.source
    (tmp_path / "again.toml").write_text(config.dump(shipped), encoding="utf-8")
    assert task_config.load(schema, tmp_path / "again.toml") == shipped


def test_networks_for_clips_and_tasks_are_kept_apart() -> None:
    assert sorted(name for _, name in SHIPPED) == config.names(tasks=True)
    assert not set(config.names()) & set(config.names(tasks=True))
    with pytest.raises(ConfigError, match="task_adding: unknown configuration"):
        config.load("task_adding")
    with pytest.raises(ConfigError, match="plain: unknown configuration; known are task_adding"):
        task_config.load(Adding, "plain")


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("train.lr=1", "override train.lr: unknown key; did you mean 'train.learning_rate'?"),
        ("train.every=0", "override train.every: expected an integer >= 1, found 0"),
        ("train.steps=none", None),
        ("data.length=1", "override data.length: expected an integer >= 2, found 1"),
        ("model.units=0.5", "override model.units: expected an integer >= 1, found 0.5"),
        ("model.kind=gru", "override model.kind: expected one of 'indrnn', 'lstm', found 'gru'"),
        ("model.layers=3", "override model.layers: unknown key; known are model.kind, model.units"),
    ],
)
def test_wrong_settings_are_named(override: str, message: str | None) -> None:
    if message is None:
        assert task_config.load(Adding, "task_adding", ["train.steps=5", override]).train.steps is None
        return
    with pytest.raises(ConfigError) as error:
        task_config.load(Adding, "task_adding", [override])
    assert str(error.value).startswith(message)


def test_another_task_s_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text('task = "mnist"\n[data]\nlength = 5\n')
    with pytest.raises(ConfigError, match=r"mine.toml: task: expected 'adding', found 'mnist'"):
        task_config.load(Adding, path)
