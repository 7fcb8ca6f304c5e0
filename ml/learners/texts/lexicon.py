"""Word lists: a number for a text, from -1 to 1, whose sign stands for one of two labels."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from itertools import islice
from math import sqrt
from typing import Any, Final

MOST_WORDS: Final = 1_000  # of a text; the rest is not read, and the model's page says so
LONGEST_PHRASE: Final = 3
_WORD: Final = re.compile(r"[^\W_]+(?:['’][^\W_]+)*")
_SPREAD: Final = 15.0  # VADER's own: a sum of 4 is .72, one of 8 is .90


@dataclass(frozen=True, slots=True)
class Lexicon:
    """Words and phrases with weights; without them VADER, which knows English moods."""

    label: str
    """What a score above 0 stands for."""
    words: Mapping[str, float] | None = None

    def score(self, text: str) -> float:
        if self.words is None:
            found: float = _vader().polarity_scores(" ".join(text.split()[:MOST_WORDS]))["compound"]
            return found
        words = words_of(text)
        phrases = (
            " ".join(words[at : at + length])
            for length in range(1, LONGEST_PHRASE + 1)
            for at in range(len(words) - length + 1)
        )
        total = sum(self.words.get(phrase, 0.0) for phrase in phrases)
        return total / sqrt(total * total + _SPREAD)

    def as_json(self) -> dict[str, Any]:
        return {"label": self.label, "words": dict(self.words) if self.words is not None else None}


def words_of(text: str) -> list[str]:
    """The first thousand words in lower case."""
    found = islice(_WORD.finditer(text), MOST_WORDS)
    return [word[0].lower().replace("’", "'") for word in found]


def read_words(text: str) -> Lexicon:
    """A word list: `for: LABEL` in its first line, then a word or phrase, a tab and its weight.

    ValueError says which line is none. Empty lines and those that begin with # are left out.
    """
    first, *lines = [line for line in text.splitlines() if line.strip() and line[0] != "#"] or [""]
    if not first.startswith("for:") or not (label := first.removeprefix("for:").strip()):
        raise ValueError("its first line must be `for: LABEL`, what its words speak for")
    words = {}
    for line in lines:
        phrase, _, weight = line.partition("\t")
        try:
            words[" ".join(words_of(phrase))] = float(weight)
        except ValueError:
            raise ValueError(f"{line[:40]!r} is no word, tab and weight") from None
    return Lexicon(label, words)


@cache
def _vader() -> Any:
    from vaderSentiment.vaderSentiment import SentimentIntensityAnalyzer

    return SentimentIntensityAnalyzer()
