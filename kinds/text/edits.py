"""Edits that change how a text is written and not what it says, as somebody's who tries to fool."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, Final

from numpy.random import Generator

LEAST: Final = 4  # letters of a word that still reads as itself after a slip
MOST: Final = 4  # slips in a text
_WORD: Final = re.compile(r"[^\W\d_]+")
_LEADS: Final = (
    "I am writing this on the train.",
    "My sister asked me what I think.",
    "We talked about it until late.",
    "This is what I noted down that evening.",
    "Nobody at our table had heard of it before.",
)


def altered(features: Any, rng: Generator) -> Any:
    """The text with up to four slips of the pen, and mostly with a sentence before it."""
    text = features["text"]
    words = [found for found in _WORD.finditer(text) if len(found[0]) >= LEAST]
    count = min(len(words), int(rng.integers(1, MOST + 1)))
    # From the end, so that the places of those before stay.
    for place in sorted(rng.choice(len(words), count, replace=False), reverse=True):
        found = words[int(place)]
        slip = _SLIPS[int(rng.integers(len(_SLIPS)))]
        at = int(rng.integers(1, len(found[0]) - 2))
        text = f"{text[: found.start()]}{slip(found[0], at)}{text[found.end() :]}"
    if not count or rng.random() < 0.6:
        text = f"{_LEADS[int(rng.integers(len(_LEADS)))]} {text}"
    return {**features, "text": text}


def _swap(word: str, at: int) -> str:
    return word[:at] + word[at + 1] + word[at] + word[at + 2 :]


def _drop(word: str, at: int) -> str:
    return word[:at] + word[at + 1 :]


def _stretch(word: str, at: int) -> str:
    return word[: at + 1] + 2 * word[at] + word[at + 1 :]


def _part(word: str, at: int) -> str:
    return f"{word[: at + 1]}-{word[at + 1 :]}"


_SLIPS: Final[tuple[Callable[[str, int], str], ...]] = (_swap, _drop, _stretch, _part)
