"""YAML as a person reads it: no surprises in scalars, no keys twice, no aliases; imports no Django.

YAML 1.1 reads 010 as 8, 16:9 as 969, 1_000 as a number and yes as truth. Here only JSON's numbers,
true, false and null are such; all else stays the text that was written. Aliases and merge keys are
refused: a few lines of them make gigabytes.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeVar

import yaml
from pydantic import BaseModel, ValidationError

from core.strict_json import MAX_DEPTH, NotJson, check_storable

MAX_BYTES: Final = 1_000_000
MAX_DIGITS: Final = 18  # of a number that every database and browser can keep

Model = TypeVar("Model", bound=BaseModel)


@dataclass(frozen=True, slots=True)
class Mistake:
    """A sentence, and the line that it is about, from 1, where that is known."""

    words: str
    line: int | None = None

    def __str__(self) -> str:
        return f"Line {self.line}: {self.words}" if self.line else self.words


class NotYaml(ValueError):
    """What was read is no file of this kind; the message is a sentence a mistake."""

    def __init__(self, message: str, mistakes: Sequence[Mistake] = ()) -> None:
        super().__init__(message)
        self.mistakes = tuple(mistakes) or (Mistake(message),)


class _Loader(yaml.SafeLoader):
    """SafeLoader with JSON's scalars."""

    depth = 0

    def compose_node(self, parent: Any, index: Any) -> Any:
        if self.check_event(yaml.AliasEvent):
            raise NotYaml("Aliases (*name) are not taken: write it out.")
        self.depth += 1
        if self.depth > MAX_DEPTH:
            raise NotYaml("This is nested too deep.")
        node = super().compose_node(parent, index)
        self.depth -= 1
        return node

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Any, Any]:
        seen = set()
        for key, _ in node.value:
            name = key.value if isinstance(key, yaml.ScalarNode) else None
            if name is None or key.tag == "tag:yaml.org,2002:merge":
                raise NotYaml(f"Line {key.start_mark.line + 1}: a key must be a plain word.")
            if name in seen:
                raise NotYaml(f"Line {key.start_mark.line + 1}: {name} is there twice.")
            seen.add(name)
        return super().construct_mapping(node, deep=deep)


_SCALARS = {
    "null": re.compile(r"^(?:null|~|)$"),
    "bool": re.compile(r"^(?:true|false)$"),
    "int": re.compile(rf"^(?:0|-?[1-9][0-9]{{0,{MAX_DIGITS - 1}}})$"),
    "float": re.compile(r"^-?(?:0|[1-9][0-9]{0,17})(?:\.[0-9]{1,18})?(?:[eE][-+]?[0-9]{1,2})?$"),
    "merge": re.compile(r"^<<$"),
}
_Loader.yaml_implicit_resolvers = {
    None: [(f"tag:yaml.org,2002:{name}", pattern) for name, pattern in _SCALARS.items()]
}


def loads(text: str | bytes) -> Any:
    """Read one document; NotYaml says what is wrong with it."""
    if len(text) > MAX_BYTES:
        raise NotYaml(f"This has more than {MAX_BYTES:,} bytes.")
    try:
        value = yaml.load(text, _Loader)  # noqa: S506  (a SafeLoader)
        check_storable(value)
    except NotYaml:
        raise
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        words = f"This is not YAML: {' '.join(str(error).split())}"
        mark = getattr(error, "problem_mark", None)
        raise NotYaml(words, [Mistake(words, mark.line + 1 if mark else None)]) from error
    except RecursionError as error:
        raise NotYaml("This is nested too deep.") from error
    except (NotJson, ValueError) as error:
        raise NotYaml(str(error)) from error
    return value


def parse(kind: type[Model], data: object, *, what: str, text: str | bytes | None = None) -> Model:
    """Check what was read against a schema; NotYaml names every mistake and where it is, by its
    line where the `text` is told that it was read from."""
    if not isinstance(data, Mapping):
        raise NotYaml(f"A {what} is a mapping of names to values.")
    try:
        parsed = kind.model_validate(dict(data))
        check_storable(parsed.model_dump(mode="json"))
    except ValidationError as error:
        lines = dict(_lines(yaml.compose(text, _Loader), ())) if text else {}
        found = [
            Mistake(_sentence(one, what), _line_of(lines, one["loc"])) for one in error.errors()
        ]
        raise NotYaml("; ".join(map(str, found)), found) from error
    except NotJson as error:
        raise NotYaml(str(error)) from error
    except RecursionError as error:
        raise NotYaml("This is nested too deep.") from error
    return parsed


def sentences(error: ValidationError, what: str) -> str:
    """Every mistake with its place."""
    return "; ".join(_sentence(mistake, what) for mistake in error.errors())


def _sentence(mistake: Mapping[str, Any], what: str) -> str:
    place = ".".join(str(part) for part in mistake["loc"])
    return f"{place or what}: {mistake['msg'].removeprefix('Value error, ')}"


Place = tuple[str | int, ...]  # a path of keys and numbers


def _lines(node: yaml.Node | None, place: Place) -> Iterator[tuple[Place, int]]:
    """Every place of a document with its line; once, for a long one can be wrong in every line."""
    if isinstance(node, yaml.MappingNode):
        inside = [(key.value, key, value) for key, value in node.value]
    elif isinstance(node, yaml.SequenceNode):
        inside = [(number, one, one) for number, one in enumerate(node.value)]
    else:
        return
    for name, begin, value in inside:
        yield (*place, name), begin.start_mark.line + 1
        yield from _lines(value, (*place, name))


def _line_of(lines: Mapping[Place, int], place: Place) -> int | None:
    """Where a place is; of what is missing, what should hold it; None for the whole."""
    parts = range(len(place), 0, -1)
    return next((lines[place[:end]] for end in parts if place[:end] in lines), None)
