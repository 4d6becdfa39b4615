"""Files of settings: a shipped one or your own, read with overrides, checked by its schema, and written."""

import difflib
import importlib.resources
import tomllib
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import tomli_w
from pydantic import ValidationError

from action_indrnn.config_problems import problems_of
from action_indrnn.networks import MODELS, Network, Section

S = TypeVar("S", bound=Section)


class ConfigError(ValueError):
    """A configuration that cannot be used; the message has one line for each problem."""


def read(schema: type[S], known: Sequence[str], name_or_path: str | Path, overrides: Iterable[str] = ()) -> S:
    """Returns a configuration of any schema, as `config.load` does; `known` are the shipped names of it."""
    label, text = _read(name_or_path, known)
    try:
        table = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{label}: {error}") from None
    changed, problems = set(), []
    for override in overrides:
        key, equals, value = (part.strip() for part in override.partition("="))
        if not equals or not all(key.split(".")):
            problems.append(f"override {override!r}: expected key=value, such as train.batch=64")
            continue
        changed.add(key)
        _set(table, key.split("."), _value(value))
    try:
        config = schema.model_validate(table)
    except ValidationError as error:
        found = dict(problems_of(error, table, schema, MODELS, Network))
        for key, what in found.items():
            overridden = any(name == key or name.startswith(f"{key}.") for name in changed)
            where = f"override {key}" if overridden else f"{label}: {key}" if key else label
            problems.append(f"{where}: {what}")
    if problems:
        raise ConfigError("\n".join(problems))
    return config


def dump(config: Section) -> str:
    """Returns TOML text that `read`, with its schema, reads as an equal configuration."""
    return tomli_w.dumps(config.model_dump(exclude_none=True))


def _read(name_or_path: str | Path, known: Sequence[str]) -> tuple[str, str]:
    name = str(name_or_path)
    if isinstance(name_or_path, Path) or name.endswith(".toml") or Path(name).name != name:
        try:
            return name, Path(name).read_bytes().decode()
        except OSError as error:
            raise ConfigError(f"{name}: {error.strerror}") from None
        except UnicodeDecodeError as error:
            raise ConfigError(f"{name}: expected UTF-8 text, but byte {error.start} is none") from None
    if name not in known:
        near = difflib.get_close_matches(name, known, 1)
        hint = f"did you mean {near[0]!r}?" if near else f"known are {', '.join(known)}, or a path to a .toml"
        raise ConfigError(f"{name}: unknown configuration; {hint}")
    file = importlib.resources.files("action_indrnn.configs") / f"{name}.toml"
    return file.name, file.read_text(encoding="utf-8")


def _value(text: str) -> Any:
    try:
        table = tomllib.loads(f"value = {text}")
    except tomllib.TOMLDecodeError:
        return text
    return table["value"] if len(table) == 1 else text


def _set(table: dict[str, Any], path: list[str], value: Any) -> None:
    for part in path[:-1]:
        if not isinstance(table.get(part), dict):
            table[part] = {}
        table = table[part]
    table[path[-1]] = value
