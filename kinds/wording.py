"""Texts that say one thing in nearly the same words; imports no Django."""

from __future__ import annotations

import hashlib
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from kinds import Prepared
from kinds.likeness import Likeness, Ruling, number

Grams = NDArray[np.uint64]

LENGTH: Final = 5  # characters of a gram
OWN: Final = 0.2  # 1 less the Jaccard index of the grams, to what the author wrote before
OTHERS: Final = 0.1

# Texts of which four fifths are the same share one of ten bands in 98 of 100 pairs, and strangers,
# who share a twentieth, in 3 of a million.
BANDS: Final = 10
ROWS: Final = 5

_chance = np.random.default_rng(5)
_FACTORS: Final = _chance.integers(1, 2**63, (BANDS * ROWS, 1), dtype=np.uint64) | np.uint64(1)
_POWERS: Final = np.array([1_000_003**power % 2**64 for power in range(LENGTH)], dtype=np.uint64)


@dataclass(frozen=True, slots=True)
class Folded:
    """An author's words as they are compared, with what they say they are about."""

    words: str
    about: str
    grams: Grams


def fold(text: str) -> str:
    """The same for two texts that differ in letter case, spaces, or what nobody sees."""
    plain = unicodedata.normalize("NFKC", text).casefold()
    plain = "".join(letter for letter in plain if unicodedata.category(letter) != "Cf")
    return " ".join(unicodedata.normalize("NFKC", plain).split())


def folded(words: str, about: Sequence[str]) -> Folded:
    """How an author's words about these texts are compared."""
    words = fold(words)
    return Folded(words, "\n".join(map(fold, about)), _grams(words))


def _grams(words: str) -> Grams:
    """The hashes of all runs of five characters, ascending, each once; one of a shorter text."""
    letters = np.frombuffer(words.ljust(LENGTH).encode("utf-32-le"), dtype=np.uint32)
    runs = np.lib.stride_tricks.sliding_window_view(letters, LENGTH).astype(np.uint64)
    mixed = (runs * _POWERS).sum(axis=1, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
    return np.unique(mixed ^ (mixed >> np.uint64(29)))


class Wording(Likeness):
    """Two texts are as far apart as the share of their grams that only one of them has."""

    def name(self, one: Prepared, about: str) -> int:
        return number("text", one.form.words, one.form.about, about)

    def kept_under(self, one: Prepared, about: str) -> Sequence[int]:
        form: Folded = one.form
        least = (form.grams[None] * _FACTORS >> np.uint64(16)).min(axis=1)
        salt = hashlib.sha256(f"{form.about}\0{about}".encode()).hexdigest()
        bands: list[list[Any]] = least.reshape(BANDS, ROWS).tolist()
        return [number(salt, place, band) for place, band in enumerate(bands)]

    def looked_up_by(self, one: Prepared, about: str) -> Sequence[int]:
        return self.kept_under(one, about)

    def distance(self, one: Prepared, other: Prepared) -> float:
        """0 for the same words alone, 1 where they are about something else."""
        mine, theirs = one.form, other.form
        if mine.about != theirs.about:
            return 1.0
        if mine.words == theirs.words:
            return 0.0
        both = len(np.intersect1d(mine.grams, theirs.grams, assume_unique=True))
        return max(1 - both / (len(mine.grams) + len(theirs.grams) - both), 1e-9)

    def words(self, one: Prepared) -> str:
        words: str = one.form.words
        return words

    def copied(self, one: Prepared, given: str) -> float:
        form: Folded = one.form
        return float(np.isin(form.grams, _grams(form.about or fold(given))).mean())

    def ruling(self, distance: float, *, same_author: bool, same_answer: bool) -> Ruling:
        """An author's own small change that changes the answer is worth having."""
        if distance == 0:
            return Ruling.COPY
        if same_author:
            return Ruling.COPY if distance <= OWN and same_answer else Ruling.DISTINCT
        return Ruling.REVIEW if distance <= OTHERS else Ruling.DISTINCT
