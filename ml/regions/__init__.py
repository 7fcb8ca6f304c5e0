"""Regions of errors: foolings that belong together, each a bug that a person can give a name.

A region has one label and one answer ("2 taken for 7"), and one place in the model's own feature
space, where the foolings of that pair fall apart in the same way whichever of them are looked at.
Imports no Django; scikit-learn comes with what groups.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Hashable, Sequence
from statistics import median
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from ml.learners.texts.lexicon import words_of

LEAST: Final = 5  # foolings that make a region
NEAREST: Final = 3  # other examples that are looked at beside each of them
MOST_PARTS: Final = 4  # of one pair of label and answer
SAMPLES: Final = 5  # random parts, a third left out, that have to fall apart in the same way
ALIKE: Final = 0.8  # adjusted Rand index, on average over them
WORDS: Final = 5

Vectors = NDArray[np.float32]
Rows = list[int]


def regions_of(
    pairs: Sequence[Hashable], vectors: Vectors, *, seed: int, least: int = LEAST
) -> list[Rows]:
    """The rows of each region, the largest first; rows of no region are too few of their pair.

    `pairs` are (label, answer), one a row of `vectors`.
    """
    of_pair = defaultdict(list)
    for row, pair in enumerate(pairs):
        of_pair[pair].append(row)
    found = []
    for rows in of_pair.values():
        if len(rows) >= least:
            part = _parts(vectors[rows], seed, least)
            found += [
                [row for row, its in zip(rows, part, strict=True) if its == number]
                for number in range(part.max() + 1)
            ]
    return sorted(found, key=lambda rows: (-len(rows), rows))


def _parts(vectors: Vectors, seed: int, least: int) -> NDArray[np.int32]:
    """The part of each row: as many parts as are found again in two thirds of the rows alone."""
    count, random = len(vectors), np.random.default_rng(seed)
    for parts in range(min(MOST_PARTS, count // least), 1, -1):
        whole = _clusters(vectors, vectors, parts, seed)
        if np.bincount(whole, minlength=parts).min() >= least:
            samples = [random.permutation(count)[: 2 * count // 3] for _ in range(SAMPLES)]
            again = [_clusters(vectors[some], vectors, parts, seed) for some in samples]
            if np.mean([alike(whole, other) for other in again]) >= ALIKE:
                return whole
    return np.zeros(count, np.int32)


def _clusters(known: Vectors, asked: Vectors, parts: int, seed: int) -> NDArray[np.int32]:
    from sklearn.cluster import KMeans

    model = KMeans(parts, n_init=5, random_state=seed).fit(known)
    found: NDArray[np.int32] = model.predict(asked)
    return found


def alike(
    one: Sequence[int] | NDArray[np.int32], other: Sequence[int] | NDArray[np.int32]
) -> float:
    """Adjusted Rand index of two groupings of the same rows: 1 the same, 0 as by chance."""
    from sklearn.metrics import adjusted_rand_score

    return float(adjusted_rand_score(one, other))


def numbered(regions: Sequence[Rows], count: int) -> list[int]:
    """The region of each of so many rows; -1 for none."""
    of_row = {row: number for number, rows in enumerate(regions) for row in rows}
    return [of_row.get(row, -1) for row in range(count)]


def nearest(
    members: Rows, vectors: Vectors, authors: Sequence[Hashable], *, count: int = NEAREST
) -> Rows:
    """For each member the rows of other authors that are nearest to it; all of them, nearest first.

    Other members are among them: whoever left them out would leave out errors for being errors, and
    the rate of what remains would say nothing. Nobody's own variants speak for themselves.
    """
    squares = (vectors**2).sum(axis=1)
    people = {author: number for number, author in enumerate(dict.fromkeys(authors))}
    of_row = np.array([people[author] for author in authors])
    distances: dict[int, float] = {}
    for member in members:
        to_all = squares + squares[member] - 2 * (vectors @ vectors[member])
        to_all[of_row == of_row[member]] = np.inf
        for row in np.argsort(to_all, kind="stable")[:count]:
            if np.isfinite(to_all[row]):
                distances[int(row)] = min(distances.get(int(row), np.inf), float(to_all[row]))
    return sorted(distances, key=lambda row: (distances[row], row))


def shared_words(members: Sequence[str], others: Sequence[str]) -> dict[str, Any]:
    """What these texts share that others do not: words with their shares here and there, lengths.

    `words` are (word, share of the members, share of the others), the most telling first.
    """
    here, there = (
        Counter(w for text in texts for w in set(words_of(text))) for texts in (members, others)
    )
    told = [
        (word, count / len(members), there[word] / max(len(others), 1))
        for word, count in here.items()
        if 5 * count >= 2 * len(members)
    ]
    told.sort(key=lambda one: (one[2] - one[1], one[0]))
    lengths = [
        median(len(words_of(text)) for text in texts) if texts else None
        for texts in (members, others)
    ]
    return {
        "words": [list(one) for one in told[:WORDS] if one[1] > 2 * one[2]],
        "length": lengths,
    }
