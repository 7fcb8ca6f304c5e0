"""Parts of a frozen set that a model is looked at apart on: by label, length, source, words."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np

from annotate.config import TaskFile
from kinds.answers import in_words
from ml import metrics
from ml.backends import Answer
from ml.learners import Item
from ml.stress import SEED
from training.config import EvaluationSettings

MOST: Final = 50  # labels, or sources: the most frequent ones
Slices = dict[str, dict[str, list[int]]]  # sort, name, places


def rules_of(file: TaskFile) -> Mapping[str, Sequence[str]]:
    """The owner's slices."""
    settings: EvaluationSettings = file.section("evaluation")
    return settings.slices


def sliced_by(file: TaskFile) -> str:
    """Names how sets are sliced, and by which rule: figures made otherwise are made anew.

    The rule names the set, too, but before it did, figures were kept whichever had made them. Those
    of before they told which items were right are made anew, too.
    """
    slices = sorted((name, sorted(words)) for name, words in rules_of(file).items())
    told = repr((slices, file.comparator_rule, "bits"))
    return hashlib.sha256(told.encode()).hexdigest()[:12]


def slices_of(file: TaskFile, items: Sequence[Item], sources: Sequence[str]) -> Slices:
    """Which places are in which slice; each sort that tells anything apart."""
    kind = file.kind
    texts = [kind.likeness.words(item.prepared) for item in items]
    few = kind.answers.few or kind.answers.several
    found: Slices = {
        "label": _named([in_words(item.label) for item in items]) if few else {},
        "length": _lengths([None if text is None else len(text.split()) for text in texts]),
        "source": _named(sources),
    }
    apart = {sort: slices for sort, slices in found.items() if len(slices) > 1}
    with_words = {name: _with(texts, words) for name, words in rules_of(file).items()}
    return apart | ({"words": with_words} if with_words else {})


def _named(names: Sequence[str]) -> dict[str, list[int]]:
    found: dict[str, list[int]] = {}
    for place, name in enumerate(names):
        if name:
            found.setdefault(name, []).append(place)
    largest = sorted(found, key=lambda name: (-len(found[name]), name))[:MOST]
    return {name: found[name] for name in sorted(largest)}


def _lengths(words: Sequence[int | None]) -> dict[str, list[int]]:
    """Thirds of the set, as far as equal lengths allow."""
    known = np.array([n for n in words if n is not None])
    if not len(known):
        return {}
    low, high = (int(one) for one in np.quantile(known, [1 / 3, 2 / 3], method="lower"))
    ends = [(int(known.min()), low), (low + 1, high), (high + 1, int(known.max()))]
    return {
        f"{least} to {most} words" if least < most else f"{most} words": places
        for least, most in ends
        if (places := [at for at, n in enumerate(words) if n is not None and least <= n <= most])
    }


def _with(texts: Sequence[str | None], words: Sequence[str]) -> list[int]:
    any_of = re.compile(
        "|".join(rf"(?<!\w){re.escape(word)}(?!\w)" for word in words), re.IGNORECASE
    )
    return [at for at, text in enumerate(texts) if text is not None and any_of.search(text)]


def counts_of(slices: Slices, right: Sequence[bool]) -> dict[str, dict[str, list[int]]]:
    """Of each slice how many are right, and of how many."""
    return {
        sort: {name: [sum(right[at] for at in places), len(places)] for name, places in of.items()}
        for sort, of in slices.items()
    }


def sets_of(
    answers: Sequence[Answer], truth: Sequence[Any], threshold: float | None
) -> dict[str, Any] | None:
    """How often sets of labels hold the right one, how large they are, and by label.

    Without a threshold one half of the items gives it and the other half is told. None where a
    model gives no shares.
    """
    tables = [answer.probabilities for answer in answers]
    if not all(tables) or len(tables) < 2:
        return None
    of_truth = np.array(
        [(table or {}).get(right, 0.0) for table, right in zip(tables, truth, strict=True)]
    )
    told = np.arange(len(truth))
    if threshold is None:
        halves = np.random.default_rng(SEED).permutation(len(truth))
        first, told = np.array_split(halves, 2)
        threshold = metrics.conformal_threshold(of_truth[first])
    held = of_truth >= threshold
    sizes = [sum(share >= threshold for share in (tables[at] or {}).values()) for at in told]
    by_label: dict[str, list[int]] = {}
    for at in told.tolist():
        count = by_label.setdefault(str(truth[at]), [0, 0])
        count[0] += int(held[at])
        count[1] += 1
    return {
        "threshold": threshold,
        "held": [int(held[told].sum()), len(told)],
        "size": float(np.mean(sizes)),
        "size_interval": _mean_interval(sizes),
        "by_label": dict(sorted(by_label.items())),
    }


def _mean_interval(values: Sequence[int]) -> list[float] | None:
    """Of a mean, at 95 %, by how much the values differ."""
    if len(values) < 2:
        return None
    half = 1.96 * float(np.std(values, ddof=1)) / float(np.sqrt(len(values)))
    mean = float(np.mean(values))
    return [max(0.0, mean - half), mean + half]
