"""Where inputs lie for a model: what its learner says, else the inputs themselves, else n-grams."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from kinds import Prepared
from ml import artifacts
from ml.backends import Source
from ml.learners import learner_named
from ml.regions import Vectors

DIMENSIONS: Final = 50  # of n-grams, of which a text has a few hundred of 65,536


class NoSpace(ValueError):
    """Nothing says how far two of these inputs are apart, in a sentence."""


@dataclass(frozen=True, slots=True)
class Space:
    """A vector for each input; `name` says in words of what."""

    name: str
    vectors: Vectors


def space_of(source: Source, inputs: Sequence[Prepared], words: Sequence[str | None]) -> Space:
    """The inputs as the model has them; `words` are the authors' own, where they are texts.

    Our own models' learners may have `vectors(artifact, inputs)`: the last layer of a net, say.
    """
    if source.path is not None and source.path.suffix == artifacts.SUFFIX:
        artifact = artifacts.load(source.path, source.sha256)
        own = getattr(learner_named(artifact.learner), "vectors", None)
        if own is not None:
            return Space("the model’s last layer", own(artifact, inputs))
    if all(isinstance(one.features, np.ndarray) for one in inputs):
        return Space("the inputs themselves", np.stack([one.features.ravel() for one in inputs]))
    texts = [text for text in words if text is not None]
    if len(texts) < len(inputs):
        raise NoSpace("Nothing says how far two inputs of this kind are apart.")
    return Space("words and runs of characters", _of_texts(texts))


def _of_texts(texts: Sequence[str]) -> Vectors:
    """Latent semantic analysis of the n-grams that our learner of texts reads; lengths are 1."""
    from sklearn.decomposition import TruncatedSVD
    from sklearn.preprocessing import normalize

    from ml.learners.texts.fit import rows_of

    rows = rows_of(texts)
    rows = rows[:, np.unique(rows.indices)]
    some = min(DIMENSIONS, *(side - 1 for side in rows.shape))
    if some < 1:
        return np.ones((len(texts), 1), np.float32)
    found = TruncatedSVD(some, random_state=0).fit_transform(rows)
    return np.asarray(normalize(found), np.float32)
