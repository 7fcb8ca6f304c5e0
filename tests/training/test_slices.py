"""Parts of a set, answers where a model is surest, sets of labels: a report's pure part."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from annotate.config import parse_task_file
from kinds import kind_named
from ml.backends import Answer
from ml.learners import Item
from ml.metrics import conformal_threshold, selective
from training.slices import counts_of, sets_of, sliced_by, slices_of

pytestmark = pytest.mark.once

TEXTS = [
    "Not bad.",
    "It is good.",
    "NEVER again, says the man there",
    "a knot in the rope",
    "ok",
    "",
]


def file(**changes: Any) -> Any:
    task = {"slug": "t", "name": "T", "input": "text", "labels": ["yes", "no"], **changes}
    return parse_task_file(task)


def test_a_set_is_sliced_by_label_length_source_and_the_owners_words() -> None:
    parse = kind_named("text").parse
    items = [
        Item(parse({"text": text or "one two three"}), "yes" if place % 2 else "no")
        for place, text in enumerate(TEXTS)
    ]
    negations = file(evaluation={"slices": {"negations": ["not", "never"], "hats": ["hat"]}})
    found = slices_of(negations, items, ["wiki", "wiki", "news", "", "", ""])
    assert found["label"] == {"no": [0, 2, 4], "yes": [1, 3, 5]}
    assert found["length"] == {"1 to 2 words": [0, 4], "3 words": [1, 5], "4 to 6 words": [2, 3]}
    assert found["source"] == {"news": [2], "wiki": [0, 1]}
    assert found["words"] == {"negations": [0, 2], "hats": []}, "whole words, in any case"
    assert counts_of(found, [True, False, True, True, True, False])["label"] == {
        "no": [3, 3], "yes": [1, 3],
    }  # fmt: skip

    assert set(slices_of(file(), items[:1], [""])) == set(), "one slice tells nothing apart"
    assert sliced_by(file()) != sliced_by(negations)
    with pytest.raises(ValueError, match="slices are of texts"):
        file(input="image", evaluation={"slices": {"hats": ["hat"]}})


def test_the_surest_answers_first() -> None:
    sure = np.array([0.9, 0.5, 0.8, 0.7, 0.6, 0.95, 0.55, 0.85, 0.75, 0.65])
    right = np.array([1, 0, 1, 1, 0, 1, 0, 1, 1, 0], dtype=bool)
    assert selective(sure, right) == [(6, 10), (6, 9), (6, 8), (6, 7), (5, 5)]


def test_sets_of_labels_miss_one_in_ten_of_what_is_alike() -> None:
    shares = np.arange(1, 20) / 20
    assert conformal_threshold(shares) == 0.1, "the second smallest of nineteen"
    assert conformal_threshold(shares[:8]) == 0, "too few: every label is told"
    assert conformal_threshold(shares[:9]) == 0.05

    rng = np.random.default_rng(3)
    truth = rng.choice(["a", "b", "c"], 4000).tolist()
    answers = []
    for right in truth:
        table = dict(zip("abc", rng.dirichlet([1, 1, 1]).tolist(), strict=True))
        table[right] += 0.3 if right != "c" else 0  # worse on c, and not sure of anything
        whole = sum(table.values())
        answers.append(Answer("a", {name: share / whole for name, share in table.items()}))
    found = sets_of(answers, truth, None)
    assert found is not None
    held, of = found["held"]
    assert of == 2000
    assert 0.88 < held / of < 0.92
    low, high = found["size_interval"]
    assert 1 < low < found["size"] < high < low + 0.1
    by_label = {name: k / n for name, (k, n) in found["by_label"].items()}
    assert by_label["c"] < 0.85 < by_label["a"], "by label the promise need not hold"
    given = sets_of(answers, truth, found["threshold"])
    assert given is not None
    assert given["held"][1] == 4000
    assert sets_of([Answer("a")] * 3, ["a"] * 3, None) is None
