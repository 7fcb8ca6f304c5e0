"""Fitting the weights; apart, because a server that only serves imports no scipy for it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.sparse import csr_matrix

from ml.learners import Item, Progress, shares_of
from ml.learners.texts.model import FEATURES, TextModel, features_of, offset_of

STEPS: Final = 200


def fitted(
    model: TextModel,
    items: Sequence[Item],
    weights: NDArray[np.float64],
    *,
    strength: float,
    progress: Progress | None = None,
) -> TextModel:
    """The model whose weights make these items likeliest over its word list's part.

    Multinomial logistic regression, the sum of the losses, each times what the item counts
    (`weights`), plus `strength`/2 of the squares of what is learned (the bias among them), by
    L-BFGS from 0: a convex problem, so that no seed matters.
    """
    texts = [item.prepared.features["text"] for item in items]
    x = rows_of(texts)
    used = np.unique(x.indices)  # all others stay 0
    x = x[:, used]
    transposed = x.T.tocsr()
    offset = np.stack([offset_of(model.lexicon, model.labels, text) for text in texts])
    truth, each = shares_of(items, model.labels), weights[:, None]
    shape = (len(used), len(model.labels))

    def loss(flat: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        now = flat.reshape(shape)
        odds = offset + x @ now
        odds -= odds.max(axis=1, keepdims=True)
        shares = np.exp(odds)
        sums = shares.sum(axis=1, keepdims=True)
        lost = float((each * np.log(sums)).sum() - (each * odds * truth).sum())
        slope = transposed @ (each * (shares / sums - truth)) + strength * now
        return lost + strength / 2 * float(flat @ flat), slope.ravel()

    steps = 0

    def tell(_: Any) -> None:
        nonlocal steps
        steps += 1
        if progress is not None and steps % 10 == 0:
            progress(min(steps / STEPS, 1.0), f"Step {steps}")

    found = minimize(
        loss, np.zeros(shape).ravel(), jac=True, method="L-BFGS-B", callback=tell,
        options={"maxiter": STEPS, "maxcor": 10},
    )  # fmt: skip
    learned = np.zeros((FEATURES + 1, len(model.labels)), np.float32)
    learned[used] = found.x.reshape(shape)
    return TextModel(model.labels, model.lexicon, learned)


def rows_of(texts: Sequence[str]) -> csr_matrix:
    """The features of each text as a sparse row of FEATURES + 1 numbers."""
    rows = [features_of(text) for text in texts]
    return csr_matrix(
        (
            np.concatenate([values for _, values in rows]).astype(np.float64),
            np.concatenate([places for places, _ in rows]),
            np.concatenate([[0], np.cumsum([len(places) for places, _ in rows])]),
        ),
        shape=(len(rows), FEATURES + 1),
    )
