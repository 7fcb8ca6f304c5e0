"""Rules that a task file names: `{"rule": name, parameter: value}`, with complaints in plain words.

Shared by the fooling rules, the verdict policies and the promotion gates; imports no Django.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import MISSING, fields
from math import isfinite
from typing import Any, TypeAlias, TypeVar

from pydantic import TypeAdapter

Json: TypeAlias = "str | int | float | bool | Sequence[Json] | Mapping[str, Json] | None"
Rule = TypeVar("Rule")


def build_rule(
    spec: Mapping[str, Any], *, key: str, rules: Mapping[str, Callable[..., Rule]]
) -> Rule:
    """Make the rule that `spec[key]` names, with the other entries as its parameters.

    `rules` maps names to dataclasses, whose fields are the parameters. ValueError, as a sentence,
    for an unknown name, an unknown or missing parameter, and a value that the dataclass refuses.
    """
    if not isinstance(spec, Mapping):
        raise ValueError(f"Write the {key} as a mapping with the entry '{key}', not {spec!r}.")
    name = spec.get(key)
    if not isinstance(name, str) or name not in rules:
        raise ValueError(f"Unknown {key} {name!r}: choose one of {', '.join(sorted(rules))}.")
    parameters = {parameter: value for parameter, value in spec.items() if parameter != key}
    return build(rules[name], parameters, what=f"{key} '{name}'")


def build(rule: Callable[..., Rule], parameters: Mapping[str, Any], *, what: str) -> Rule:
    """Make the dataclass `rule` from `parameters`; `what` names it in complaints (ValueError)."""
    known = [field for field in fields(rule) if field.init]  # type: ignore[arg-type]
    _refuse_unknown(parameters, {field.name for field in known}, what)
    for field in known:
        optional = field.default is not MISSING or field.default_factory is not MISSING
        if not optional and field.name not in parameters:
            raise ValueError(f"The {what} needs the parameter '{field.name}'.")
    return rule(**parameters)


def schema_of(rule: Any) -> dict[str, Any]:
    """The JSON Schema of the parameters of a rule, a dataclass, by name."""
    properties = TypeAdapter(rule).json_schema().get("properties", {})
    return {
        name: {key: value for key, value in one.items() if key != "title"}
        for name, one in properties.items()
    }


def _refuse_unknown(parameters: Mapping[str, Any], known: Collection[str], what: str) -> None:
    unknown = sorted(str(name) for name in parameters if name not in known)
    if unknown:
        takes = f"it takes {', '.join(sorted(known))}" if known else "it takes none"
        raise ValueError(f"The {what} has no parameter {', '.join(unknown)}; {takes}.")


def check_integer(name: str, value: object, *, least: int, most: int) -> None:
    """Refuse anything but an integer from `least` to `most`; True is not 1 here."""
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
        raise ValueError(f"'{name}' must be a whole number from {least} to {most}, not {value!r}.")


def check_number(
    name: str, value: object, *, least: float, most: float, inclusive: bool = True
) -> None:
    """Refuse anything but a finite number from `least` to `most`, or strictly between them."""
    number = not isinstance(value, bool) and isinstance(value, int | float) and isfinite(value)
    if number and (least <= value <= most if inclusive else least < value < most):  # type: ignore[operator]
        return
    bounds = f"from {least:g} to {most:g}" if inclusive else f"between {least:g} and {most:g}"
    raise ValueError(f"'{name}' must be a number {bounds}, not {value!r}.")


def check_switch(name: str, value: object) -> None:
    """Refuse anything but true or false."""
    if not isinstance(value, bool):
        raise ValueError(f"'{name}' must be true or false, not {value!r}.")
