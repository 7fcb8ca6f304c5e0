"""A task file as its owner reads and writes it: its YAML, its JSON Schema, how two differ.

Imports no Django.
"""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import fields
from functools import cache
from typing import Any, Final, NamedTuple

import yaml

from annotate.config import TaskFile, as_new, read_task_file, sections
from core.rule_spec import schema_of
from core.strict_yaml import NotYaml
from kinds import all_kinds
from kinds.comparators import COMPARATORS, NEW_FILES_SAY

MAX_TASK_FILE: Final = 200_000
_NEEDED: Final = ("slug", "name", "input")


def as_yaml(file: TaskFile) -> str:
    """What an owner would write for this file: what has its default is left out."""
    whole = file.model_dump(mode="json")
    needed = {name: whole[name] for name in _NEEDED}
    if file.labels:
        needed["labels"] = [_label(one) for one in whole["labels"]]
    if file.claim is not None:
        needed["claim"] = file.claim
    usual = TaskFile.model_validate(as_new(needed)).model_dump(mode="json")
    rule = whole["comparator"]
    if file.kind.answers.free:
        rule = whole["comparator"] = {**rule, **_left_out(rule)}
    short = {**needed, **_differing(whole, {**usual, **{name: whole[name] for name in needed}})}
    if "comparator" in short:
        short["comparator"] = rule  # whose parameters say nothing without its name
    with suppress(NotYaml):
        if read_task_file(text := _dumped(short)) == TaskFile.model_validate(whole):
            return text
    return _dumped(whole)  # a default that hangs on another setting


def _left_out(rule: dict[str, Any]) -> dict[str, Any]:
    """What a stored file does not say of its rule and a new one would say otherwise."""
    known = {one.name: one.default for one in fields(COMPARATORS[rule["rule"]])}  # type: ignore[arg-type]
    return {name: known[name] for name in _new_defaults(rule["rule"]) if name not in rule}


def _new_defaults(rule: str) -> Mapping[str, Any]:
    return NEW_FILES_SAY.get(rule, {})


def _dumped(told: dict[str, Any]) -> str:
    return str(yaml.safe_dump(told, sort_keys=False, allow_unicode=True, width=100))


def _label(label: dict[str, Any]) -> Any:
    plain = label["name"] == label["value"] and label["key"] is None
    return label["value"] if plain else {k: v for k, v in label.items() if v is not None}


def _differing(whole: dict[str, Any], usual: dict[str, Any]) -> dict[str, Any]:
    """What a file must say where it is not as usual; of sections alone what differs in them."""
    found = {}
    for name, value in whole.items():
        other = usual.get(name)
        if value == other:
            continue
        alike = isinstance(value, dict) and isinstance(other, dict) and value.keys() == other.keys()
        found[name] = _differing(value, other or {}) if alike else value
    return found


class Line(NamedTuple):
    """A line of two texts: `+` it is new, `-` it goes, "" it stays."""

    sign: str
    text: str


def difference(before: str, after: str) -> list[Line]:
    """The lines that change, with three around them; empty where none does."""
    return list(_lines(before.splitlines(), after.splitlines()))


def _lines(before: list[str], after: list[str]) -> Iterator[Line]:
    for line in list(difflib.unified_diff(before, after, n=3, lineterm=""))[2:]:
        yield Line("…", "") if line.startswith("@@") else Line(line[0].strip(), line[1:])


@cache
def schema() -> dict[str, Any]:
    """The JSON Schema of task files, made from what reads them."""
    made = TaskFile.model_json_schema()
    told_of, named = made["properties"], made["$defs"]
    for name, section in sections().items():
        own = section.model_json_schema()
        named |= own.pop("$defs", {})
        told_of[name] = own
    told_of["input"]["enum"] = sorted(all_kinds())
    del told_of["agreement"]["default"]  # it hangs on the kind: see `as_new`
    told_of["comparator"] = {
        **{name: told_of["comparator"][name] for name in ("title", "description")},
        "anyOf": [_rule(name) for name in COMPARATORS if name in _offered()],
    }
    told_of["labels"]["items"] = {
        "anyOf": [{"type": ["string", "integer"]}, {"$ref": "#/$defs/Label"}]
    }
    told = {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": "Task file"}
    return {**made, **told, "required": list(_NEEDED)}


def _offered() -> set[str]:
    return {rule for kind in all_kinds().values() for rule in kind.rules}


def _rule(name: str) -> dict[str, Any]:
    parameters = schema_of(COMPARATORS[name])
    for parameter, value in _new_defaults(name).items():
        parameters[parameter]["default"] = value
    return {
        "type": "object",
        "properties": {"rule": {"const": name}, **parameters},
        "required": ["rule"],
        "additionalProperties": False,
    }


class Key(NamedTuple):
    """A key that a task file may have."""

    name: str
    about: str
    usual: str


def keys() -> list[Key]:
    """Every key of the schema, sections' with a point, for whoever writes one."""
    made = schema()
    return list(_keys(made, made["$defs"], ""))


def _keys(of: dict[str, Any], named: dict[str, Any], before: str) -> Iterator[Key]:
    for name, one in of["properties"].items():
        target = named.get(one.get("$ref", "").rpartition("/")[2], one)
        if "properties" in target and target.get("type") == "object":
            yield from _keys(target, named, f"{before}{name}.")
            continue
        choices = one.get("enum") or one.get("anyOf", [{}])[0].get("enum")
        about = one.get("description") or (", ".join(map(str, choices)) if choices else "")
        usual = one.get("default")
        shown = usual if isinstance(usual, str) else json.dumps(usual) if usual else ""
        yield Key(f"{before}{name}", about, shown)
