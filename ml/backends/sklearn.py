"""Linear models of scikit-learn as the numbers that they are, in JSON; never a pickle.

`{"classes", "coef", "intercept"}` of a fitted linear classifier, and for texts `"vectoriser"`: its
`"params"`, `"vocabulary"` and, where it weighs words, `"idf"`. Lists say which number is where, as
a file of an array that lies column by column would not.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from kinds import Prepared
from kinds.texts import text_of
from ml import artifacts
from ml.artifacts import ArtifactError
from ml.backends import Answer, Backend, Source, answers_of
from ml.encoders import softmax
from ml.why import Why, by_differences, by_omission

SUFFIXES, SENT = (".json",), ".json"
NAMES_LABELS: Final = True
# What says how words are taken; a function cannot be told in numbers.
TAKEN: Final = {
    "lowercase", "strip_accents", "token_pattern", "ngram_range", "analyzer", "binary", "norm",
    "sublinear_tf", "use_idf", "smooth_idf",
}  # fmt: skip

Array = NDArray[np.float64]


class Linear:
    """Odds for each class; probabilities as multinomial logistic regression has them."""

    def __init__(self, labels: Sequence[str], coef: Array, intercept: Array) -> None:
        if len(labels) == 2 and len(coef) == 1:  # it keeps the odds of the second
            coef, intercept = np.concatenate([0 * coef, coef]), np.append(0 * intercept, intercept)
        if coef.shape != (len(labels), coef.shape[1]) or intercept.shape != (len(labels),):
            raise ArtifactError(
                f"{len(labels)} classes need as many rows in `coef` and numbers in `intercept`."
            )
        self.labels, self._coef, self._intercept = tuple(labels), coef, intercept

    def shares(self, rows: Any) -> NDArray[np.float32]:
        odds = np.asarray(rows @ self._coef.T + self._intercept)
        return np.stack([softmax(row) for row in odds]).astype(np.float32)


class OfTexts:
    """A vectoriser made anew from its vocabulary, and the model over it."""

    def __init__(self, linear: Linear, told: Any) -> None:
        from sklearn.feature_extraction.text import CountVectorizer, TfidfVectorizer

        params = dict(told.get("params", {}))
        if unknown := sorted(set(params) - TAKEN):
            raise ArtifactError(
                f"vectoriser.params: leave out {', '.join(unknown)}; what it knows are "
                f"{', '.join(sorted(TAKEN))}."
            )
        if "ngram_range" in params:
            params["ngram_range"] = tuple(params["ngram_range"])
        weighs = told.get("idf") is not None
        made = TfidfVectorizer if weighs else CountVectorizer
        self._vectoriser = made(vocabulary=told["vocabulary"], **params)
        if weighs:
            self._vectoriser.idf_ = np.asarray(told["idf"], np.float64)
        self.labels, self._linear = linear.labels, linear

    def answer(self, inputs: Sequence[Prepared], /) -> list[Answer]:
        rows = self._vectoriser.transform([text_of(one) for one in inputs])
        return answers_of(self.labels, self._linear.shares(rows))

    def why(self, one: Prepared, label: str) -> Why:
        """Which of its words spoke for this label."""
        return by_omission(self, one, label)


class OfArrays:
    """The model over an array's numbers, row by row."""

    def __init__(self, linear: Linear) -> None:
        self.labels, self._linear = linear.labels, linear
        self.shape: tuple[int, ...] = (-1, -1)

    def answer(self, inputs: Sequence[Prepared], /) -> list[Answer]:
        return answers_of(self.labels, self.probabilities([one.features for one in inputs]))

    def probabilities(self, features: Sequence[NDArray[np.float32]]) -> NDArray[np.float32]:
        """(n, K) of n arrays."""
        rows = np.stack([np.asarray(one, np.float64).ravel() for one in features])
        return self._linear.shares(rows)

    def why(self, one: Prepared, label: str) -> Why:
        """Where more, or less, would have spoken for this label."""
        return by_differences(self, one.features, label)


def load(source: Source) -> Backend:
    """The numbers of the registration's file."""
    data = artifacts.checked_bytes(source.file, source.sha256)
    try:
        told = json.loads(data)
        linear = Linear(
            [str(name) for name in told["classes"]],
            np.asarray(told["coef"], np.float64),
            np.asarray(told["intercept"], np.float64),
        )
        words = told.get("vectoriser")
        return OfTexts(linear, words) if words else OfArrays(linear)
    except (KeyError, TypeError, ValueError, IndexError) as error:
        raise ArtifactError(
            f"The file is no such model ({type(error).__name__}: {error}): it is JSON with "
            "classes, coef, intercept and, for texts, vectoriser."
        ) from error
