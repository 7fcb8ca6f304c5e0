"""Sentence embeddings of an installed encoder, with a head that was trained here."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from kinds import Prepared
from kinds.texts import text_of
from ml import artifacts
from ml.artifacts import ArtifactError
from ml.backends import Answer, Backend, Source, answers_of
from ml.encoders import softmax
from ml.learners.vectors import MAX_TOKENS, NAME, Array, encoder, read_head, vector_of
from ml.why import Why, by_path, next_likeliest

SUFFIXES = (artifacts.SUFFIX,)


class VectorsBackend:
    """A linear head over a text's vector; texts are asked one by one, as encoders are."""

    at_once = 1
    remarks = (f"It reads {MAX_TOKENS:,} tokens; of a longer text the end is cut.",)

    def __init__(self, labels: tuple[str, ...], head: Array) -> None:
        self.labels, self._head = labels, head

    def answer(self, inputs: Sequence[Prepared], /) -> list[Answer]:
        if not inputs:
            return []
        return answers_of(self.labels, np.stack([self._shares(text_of(one)) for one in inputs]))

    def _shares(self, text: str) -> Array:
        odds = self._head[:, :-1] @ vector_of(text) + self._head[:, -1]
        return softmax(odds).astype(np.float32)

    def why(self, one: Prepared, label: str) -> Why:
        """Which of its words spoke for this label."""
        text, opened = text_of(one), encoder()
        shares = dict(zip(self.labels, self._shares(text).tolist(), strict=True))
        other = next_likeliest(shares, label)
        this, that = (self._head[self.labels.index(name)] for name in (label, other))

        def odds(told: Any) -> Any:
            import torch

            means = torch.nn.functional.normalize(told["last_hidden_state"].mean(dim=1))
            return means @ torch.from_numpy(this[:-1] - that[:-1]) + float(this[-1] - that[-1])

        read = opened.words.of(text)
        return by_path(opened, read, odds, fields=["text"], label=label, rather_than=other)


def load(source: Source) -> Backend:
    """A model file of the learner of the same name."""
    artifact = artifacts.load(source.file, source.sha256)
    if artifact.learner != NAME:
        raise ArtifactError(f"The file is of the learner {artifact.learner}, not of {NAME}.")
    head = read_head(artifact)
    encoder()
    return VectorsBackend(artifact.labels, head)
