"""What no honest client sends: bytes that are no text, other types, too much of each."""

from __future__ import annotations

import json
from random import Random
from typing import Any, Final
from urllib.parse import quote_from_bytes

BIG = "9" * 5_000

TEXTS: Final = [
    "",
    " ",
    "\0",
    "a\0b",
    "\ud800",
    "7\udfff",
    "\ufeff",
    "\u202edlrow",
    "é" * 3_000,
    "x" * 140_000,  # more than a field of a CSV file may have
    BIG,
    f"-{BIG}",
    "-1",
    "0",
    "1.5",
    "1e999",
    "NaN",
    "Infinity",
    str(2**31),
    str(2**63),
    str(2**64),
    "١٢",
    "²",
    "true",
    "null",
    "[]",
    "[[[[",
    "{}",
    "'\"><b>",
    "%00",
    "%ff%fe",
    "%s%n",
    "../../etc/passwd",
    "a\r\nSet-Cookie: b=c",
    "a\rb",
    "00000000-0000-0000-0000-000000000000",
    "00000000-0000-0000-0000-00000000000g",
    "2026-13-45",
    "😀",
]
RAW: Final = [b"\xff", b"\xc3\x28", b"\xed\xa0\x80", b"\x00", b"\xf5\x80\x80\x80", b"%\x7f"]
_NUMBER = "@a number of 5,000 digits@"  # json.dumps would refuse to write it
_DEEP = "@5,000 lists in each other@"


def some_bytes(rng: Random) -> bytes:
    if rng.random() < 0.2:
        return rng.choice(RAW)
    return rng.choice(TEXTS).encode("utf-8", "surrogatepass")


def quoted(rng: Random) -> str:
    """A part of an address, as a client writes it."""
    return quote_from_bytes(some_bytes(rng)[:4_000], safe="")


def header(rng: Random) -> bytes:
    """A header's value: what uvicorn lets through has no line's end and no NUL.

    A cookie between quotation marks may spell one all the same.
    """
    if rng.random() < 0.1:
        return rb'"a\000b"'
    value = some_bytes(rng)[:8_000]
    return value.translate(None, b"\r\n\0")


def value(rng: Random, depth: int = 0) -> Any:
    """A JSON value of any type, to be written by `json_of`."""
    plain = [None, True, 0, -1, 0.5, -0.0, 1e308, 2**31, 2**63, 10**40, _NUMBER, _DEEP]
    if depth < 2 and rng.random() < 0.3:
        inside = [value(rng, depth + 1) for _ in range(rng.randrange(4))]
        names = [rng.choice(TEXTS)[:500] for _ in inside]
        return inside if rng.random() < 0.5 else dict(zip(names, inside, strict=True))
    return rng.choice(plain) if rng.random() < 0.5 else rng.choice(TEXTS)


def json_of(rng: Random, data: Any) -> bytes:
    """The value's text; now and then cut off, or of bytes that are no text."""
    text = json.dumps(data, ensure_ascii=rng.random() < 0.5)
    text = text.replace(f'"{_NUMBER}"', BIG).replace(f'"{_DEEP}"', "[" * 5_000 + "]" * 5_000)
    body = text.encode("utf-8", "surrogatepass")
    if rng.random() < 0.1:
        return body[: rng.randrange(len(body))] + rng.choice(RAW)
    return body


def changed(rng: Random, good: dict[str, Any]) -> dict[str, Any]:
    """A good object with one or two of its values, at whatever depth, replaced by hostile ones."""
    spoilt = json.loads(json.dumps(good))
    for _ in range(rng.choice((1, 1, 2))):
        inside = spoilt
        while True:
            name = rng.choice([*inside, "another"])
            below = inside.get(name)
            if not isinstance(below, dict) or not below or rng.random() < 0.5:
                break
            inside = below
        inside[name] = value(rng)
    return spoilt  # type: ignore[no-any-return]
