"""JSON that every database can keep, from a body, a frame or a line of a log; imports no Django.

PostgreSQL stores neither NUL nor half a surrogate pair, Python reads infinities and nesting that
nothing after it can write, and the two databases write some numbers differently. What is read here
is stored and exported as the same text on each of them.
"""

from __future__ import annotations

import json
import re
from typing import Any

MAX_DEPTH = 32
_EXACT = 10.0**16  # from here on Python writes whole floats with an exponent, PostgreSQL without
_SUSPICIOUS_ESCAPE = re.compile(r"\\u(?:0000|[dD][89a-fA-F])")


class NotJson(ValueError):
    """What was read is no JSON that can be kept; the message is a sentence."""


def loads(text: str | bytes) -> Any:
    """Read one JSON value; NotJson says what is wrong with it.

    -0.0 becomes 0.0, and a float from 10^16 on becomes a whole number.
    """
    try:
        if isinstance(text, bytes):
            text = text.decode()
        value = json.loads(text, parse_float=_number, parse_constant=_refuse_constant)
    except UnicodeDecodeError as error:
        raise NotJson("JSON must be UTF-8.") from error
    except NotJson:
        raise
    except (ValueError, RecursionError) as error:
        raise NotJson(f"This is not JSON: {error}.") from error
    # Both are rare and cost a walk: look only where the text makes it possible.
    if text.count("[") + text.count("{") > MAX_DEPTH or _SUSPICIOUS_ESCAPE.search(text):
        _check(value)
    return value


def _number(digits: str) -> float | int:
    number = float(digits)
    if number == 0:
        return 0.0
    if abs(number) == float("inf"):
        raise NotJson(f"The number {digits[:20]} is too large.")
    return int(number) if abs(number) >= _EXACT else number


def _refuse_constant(name: str) -> None:
    raise NotJson(f"{name} is no JSON number.")


def _check(value: Any) -> None:
    level = [value]
    for _ in range(MAX_DEPTH + 1):
        below: list[Any] = []
        for item in level:
            if isinstance(item, str):
                _check_text(item)
            elif isinstance(item, list):
                below += item
            elif isinstance(item, dict):
                below += [*item, *item.values()]
        if not below:
            return
        level = below
    raise NotJson(f"JSON may be nested at most {MAX_DEPTH} deep here.")


def _check_text(text: str) -> None:
    if "\0" in text:
        raise NotJson("A text may not contain the NUL character.")
    if not text.isascii():
        try:
            text.encode()
        except UnicodeEncodeError as error:
            raise NotJson("A text may not contain half a surrogate pair.") from error
