"""Word lists, and what this server learned over one: weak baselines, and honest about it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from kinds import Prepared
from kinds.texts import text_of
from ml import artifacts
from ml.artifacts import ArtifactError
from ml.backends import Answer, Backend, Source, answers_of
from ml.learners.texts import NAME, model
from ml.learners.texts.lexicon import MOST_WORDS, Lexicon, read_words
from ml.learners.texts.model import TextModel
from ml.why import Why, by_omission

SUFFIXES = (".txt", artifacts.SUFFIX)
SENT = ".txt"
FILE_OPTIONAL = True

CUT = f"It reads the first {MOST_WORDS:,} words of a text."
WEAK = "A weak baseline: a list of words with weights, which knows no sentence."
TIES = "Where no word of its list stands, it leans to {}."


class LexiconBackend:
    """A text model, asked text by text: a pass takes about as long as reading its words."""

    blind = True  # to texts without a word that it knows

    def __init__(self, model: TextModel) -> None:
        self.labels = model.labels
        self._model = model
        lexicon = model.lexicon
        others = [label for label in self.labels if lexicon and label != lexicon.label]
        ties = (TIES.format(others[0]),) if others else ()
        self.remarks = (*(() if model.weights.any() else (WEAK,)), *ties, CUT)

    def answer(self, inputs: Sequence[Prepared], /) -> list[Answer]:
        if not inputs:
            return []
        shares = [self._model.probabilities(text_of(one)) for one in inputs]
        return answers_of(self.labels, np.stack(shares))

    def why(self, one: Prepared, label: str) -> Why:
        """Which of its words spoke for this label."""
        return by_omission(self, one, label)


def load(source: Source) -> Backend:
    """A word list, a model file of the learner of texts, or without a file VADER.

    VADER's labels are negative and positive, whatever the registration says.
    """
    if source.path is None:
        return LexiconBackend(model.blank(("negative", "positive"), Lexicon("positive")))
    if source.path.suffix == artifacts.SUFFIX:
        artifact = artifacts.load(source.path, source.sha256)
        if artifact.learner != NAME:
            raise ArtifactError(f"The file is of the learner {artifact.learner}, not of {NAME}.")
        return LexiconBackend(model.read(artifact))
    data = artifacts.checked_bytes(source.path, source.sha256)
    labels = tuple(source.config.get("labels", ()))
    try:
        lexicon = read_words(data.decode())
    except ValueError as error:
        raise ArtifactError(f"The word list cannot be read: {error}.") from error
    if len(labels) != 2 or lexicon.label not in labels:
        raise ArtifactError(
            f"A word list needs two labels, under `labels:`, of which one is {lexicon.label}."
        )
    return LexiconBackend(model.blank(labels, lexicon))
