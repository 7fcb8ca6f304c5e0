"""Hashed n-grams over a word list's score: what is read of a text, and how it is weighed."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from typing import Final
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

from ml.artifacts import ArtifactError, LoadedArtifact
from ml.learners.texts.lexicon import Lexicon, words_of

FEATURES: Final = 2**16
CHARACTERS: Final = range(3, 6)  # lengths of the runs of characters in a word, its ends among them
# The word list's part in the odds: it is never fitted. Foolings alone would turn it round, for of
# each of them it said the contrary.
SLOPE: Final = 3.0
TIE: Final = -0.5  # where no word of the list stands: less odds for its label
BIAS: Final = FEATURES
# A bias that is as dear as ten n-grams: what fooled a model is often all of one label, and else all
# texts would be (sixteen of them: .50 of our clean texts right, so .80, of .83 before).
BIAS_VALUE: Final = 0.1
LEXICON, WEIGHTS = "lexicon.json", "weights.npz"

Row = tuple[NDArray[np.int64], NDArray[np.float32]]


@dataclass(frozen=True, slots=True)
class TextModel:
    """Weights (FEATURES + 1, K) float32 of the n-grams and a bias, over the word list's part."""

    labels: tuple[str, ...]
    lexicon: Lexicon | None
    weights: NDArray[np.float32]

    def probabilities(self, text: str) -> NDArray[np.float32]:
        """(K,), summing to 1."""
        places, values = features_of(text)
        odds = offset_of(self.lexicon, self.labels, text) + values @ self.weights[places]
        shares = np.exp(odds - odds.max())
        return np.asarray(shares / shares.sum(), np.float32)


def offset_of(lexicon: Lexicon | None, labels: Sequence[str], text: str) -> NDArray[np.float32]:
    """(K,) what the word list alone says, as odds."""
    offset = np.zeros(len(labels), np.float32)
    if lexicon is not None:
        half = (SLOPE * lexicon.score(text) + TIE) / 2
        offset[:] = -half
        offset[labels.index(lexicon.label)] = half
    return offset


def features_of(text: str) -> Row:
    """Where a text's n-grams are among the features, each once, and how much each counts.

    Words with pairs of them, and runs of characters, each sort with a length of 1 in all. Hashing
    of our own: a vectoriser made for sets takes 400 µs a text.
    """
    words = words_of(text)
    wide = {_place(f"w {word}") for word in words}
    wide.update(_place(f"w {one} {two}") for one, two in pairwise(words))
    fine: set[int] = set()
    for word in words:
        fine.update(_runs(word))
    fine -= wide
    places = np.fromiter((*sorted(wide), *sorted(fine), BIAS), np.int64)
    values = np.empty(len(places), np.float32)
    values[: len(wide)] = 1 / np.sqrt(max(len(wide), 1))
    values[len(wide) : -1] = 1 / np.sqrt(max(len(fine), 1))
    values[-1] = BIAS_VALUE
    return places, values


@lru_cache(maxsize=50_000)
def _runs(word: str) -> tuple[int, ...]:
    ends = f"<{word[:40]}>"
    return tuple(
        _place(f"c {ends[at : at + length]}")
        for length in CHARACTERS
        for at in range(max(len(ends) - length + 1, 0))
    )


def _place(gram: str) -> int:
    return crc32(gram.encode()) % FEATURES


def members_of(model: TextModel) -> Mapping[str, bytes]:
    """As it is kept: the rows that are not zero, in the order of C, in which they are read."""
    rows = np.flatnonzero(np.abs(model.weights).max(axis=1) > 0).astype(np.uint32)
    stream = io.BytesIO()
    np.savez(stream, rows=rows, values=np.ascontiguousarray(model.weights[rows]))
    told = json.dumps(model.lexicon and model.lexicon.as_json(), ensure_ascii=False)
    return {LEXICON: told.encode(), WEIGHTS: stream.getvalue()}  # numpy dates what it zips 1980


def read(artifact: LoadedArtifact) -> TextModel:
    """The model of a checked file."""
    try:
        told = json.loads(artifact.members[LEXICON])
        with np.load(io.BytesIO(artifact.members[WEIGHTS]), allow_pickle=False) as kept:
            rows, values = kept["rows"], kept["values"]
        weights = np.zeros((FEATURES + 1, len(artifact.labels)), np.float32)
        weights[rows] = values
        lexicon = Lexicon(**told) if told else None
    except (KeyError, TypeError, ValueError, IndexError) as error:
        raise ArtifactError(f"The model's weights cannot be read: {error}") from error
    if lexicon is not None and lexicon.label not in artifact.labels:
        raise ArtifactError(f"The model has no label {lexicon.label!r}, for which its words speak.")
    return TextModel(artifact.labels, lexicon, weights)


def blank(labels: Sequence[str], lexicon: Lexicon | None) -> TextModel:
    """The word list alone."""
    return TextModel(tuple(labels), lexicon, np.zeros((FEATURES + 1, len(labels)), np.float32))
