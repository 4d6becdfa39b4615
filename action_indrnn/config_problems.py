"""What is wrong with a configuration, in words: the key, what was expected, what was found."""

import difflib
from collections.abc import Iterator, Mapping
from typing import Any, get_args

from pydantic import BaseModel, ValidationError

_NETWORKS = ("model", "beside")  # tables of networks


def problems_of(
    error: ValidationError,
    table: Mapping[str, Any],
    schema: type[BaseModel],
    networks: Mapping[str, type[BaseModel]],
    shared: type[BaseModel],
) -> Iterator[tuple[str, str]]:
    """Yields the key and the description of every problem.

    Args:
        error: that pydantic has found.
        table: what was given.
        schema: of the whole file.
        networks: by their kind, which the tables of networks are told apart by.
        shared: what is known of a network of no known kind.
    """
    sections = _sections(table, schema, shared)
    for problem in error.errors():
        if problem["type"] == "value_error":  # of a whole table: keys that do not fit each other
            yield ".".join(map(str, problem["loc"][:1])), str(problem["ctx"]["error"])
            continue
        # The kind of a network stands behind its table's name, an index into a list behind its key: no keys.
        path = [str(part) for part in problem["loc"]]
        if path[0] in _NETWORKS and len(path) > 1 and path[1] in networks:
            del path[1]
        row = path.pop(1) if path[0] == "published" and len(path) > 1 else None
        section, key = (path[0], path[1]) if len(path) > 1 else ("", path[0])
        full = f"{section}.{key}" if section else key
        place: Any = table[section] if section else table
        value = (place if row is None or not section else place[int(row)]).get(key)
        if problem["type"] == "extra_forbidden":
            yield full, f"unknown key; {_hint(section, key, sections)}"
        elif full in _NETWORKS and isinstance(value, dict | None):
            found = f"found {value['kind']!r}" if value and "kind" in value else "found none"
            yield f"{full}.kind", f"expected one of {', '.join(map(repr, networks))}, {found}"
        elif problem["type"] == "missing":
            yield full, "missing"
        else:
            properties = sections[section].model_json_schema()["properties"]
            yield full, f"expected {_expected(properties[key])}, found {value!r}"


def _sections(
    table: Mapping[str, Any], schema: type[BaseModel], shared: type[BaseModel]
) -> dict[str, type[BaseModel]]:
    """Returns the class of every table, the top level under an empty name."""
    found = {"": schema}
    for name, field in schema.model_fields.items():
        kinds = list(_tables(field.annotation))
        if len(kinds) == 1:
            found[name] = kinds[0]
        elif kinds:  # networks, told apart by "kind"; without a known one only what they share is known
            given = table.get(name)
            kind = given.get("kind") if isinstance(given, dict) else None
            found[name] = next((k for k in kinds if k.model_fields["kind"].default == kind), shared)
    return found


def _tables(annotation: Any) -> Iterator[type[BaseModel]]:
    """Yields the tables that an annotation names, those of unions and of lists too."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for part in get_args(annotation):
        yield from _tables(part)


def _hint(section: str, key: str, sections: Mapping[str, type[BaseModel]]) -> str:
    """Returns the known key that is nearest: like it, abbreviated by it, or of its name in another table."""
    known = list(sections[section].model_fields)
    prefix = f"{section}." if section else ""
    near = difflib.get_close_matches(key, known, 1, 0.5)
    near = near or sorted((name for name in known if _abbreviates(key, name)), key=len)
    found = [prefix + name for name in near[:1]]
    found = found or [f"{name}.{key}" for name, kind in sections.items() if name and key in kind.model_fields]
    if found:
        return f"did you mean {found[0]!r}?"
    return f"known are {', '.join(prefix + name for name in known)}"


def _abbreviates(short: str, name: str) -> bool:
    letters = iter(name)
    return name[:1] == short[:1] and all(letter in letters for letter in short)


def _expected(schema: Mapping[str, Any]) -> str:
    """Returns in words what the JSON schema of a field admits."""
    if "anyOf" in schema:
        return " or ".join(_expected(choice) for choice in schema["anyOf"])
    if "const" in schema or "enum" in schema:
        choices = schema.get("enum", [schema.get("const")])
        return f"one of {', '.join(map(repr, choices))}" if len(choices) > 1 else repr(choices[0])
    if schema.get("type") == "array":
        kind = "a non-empty list" if schema.get("minItems") else "a list"
        return f"{kind}, each element {_expected(schema['items'])}"
    words = {"integer": "an integer", "number": "a number", "boolean": "true or false", "string": "text"}
    words["null"] = "none"
    limits = {"exclusiveMinimum": ">", "minimum": ">=", "exclusiveMaximum": "<", "maximum": "<="}
    text = " and ".join(f"{sign} {schema[name]:.10g}" for name, sign in limits.items() if name in schema)
    return f"{words.get(schema.get('type', ''), 'a table')} {text}".strip()
