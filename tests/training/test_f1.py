"""F1 and recall by label of two models, and what their gates say."""

from __future__ import annotations

import uuid
from collections import Counter
from dataclasses import replace
from hashlib import sha256
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import f1_score, recall_score

from accounts.models import User
from annotate import rounds, submissions
from annotate.config import parse_task_file
from annotate.queries import Participant
from annotate.registry import read_model_file, register
from kinds import Prepared
from ml.backends import Answer
from ml.learners import Item
from scoring.statistics import macro_f1
from tests import cast
from tests.training.test_gates import GAIN, GOOD, gates, paired
from tests.training.world import verified
from training import evaluations
from training.evaluation import Asked
from training.evaluation import paired as answered
from training.f1 import macro_f1_change, mean_change, recall_change
from training.gates import GateSettings
from training.models import Evaluation
from training.paired import Paired

pytestmark = pytest.mark.once

LABELS = st.lists(
    st.tuples(st.sampled_from("abc"), st.sampled_from("abcd"), st.sampled_from("abcd")),
    min_size=2,
    max_size=60,
)


def sets(labels: object) -> list[frozenset[str]]:
    return [frozenset({label}) for label in labels]  # type: ignore[attr-defined]


@settings(max_examples=25)  # each asks scikit-learn five times
@given(LABELS)
def test_they_are_what_scikit_learn_counts(rows: list[tuple[str, str, str]]) -> None:
    truth, old, new = zip(*rows, strict=True)
    names = sorted(set(truth))
    change = macro_f1_change(sets(truth), sets(old), sets(new))
    for told, said in ((change.before, old), (change.now, new)):
        expected = f1_score(truth, said, labels=names, average="macro", zero_division=0)
        assert told == pytest.approx(expected)
    right = [np.array([a == b for a, b in zip(truth, said, strict=True)]) for said in (old, new)]
    by_label = recall_change(truth, *right)
    expected = recall_score(truth, new, labels=names, average="macro", zero_division=0)
    assert by_label.now == pytest.approx(expected)
    assert change.error >= 0 <= by_label.error


def test_several_labels_are_counted_one_by_one() -> None:
    truth = [frozenset("ab"), frozenset("a"), frozenset("b"), frozenset()]
    said = [frozenset("a"), frozenset("a"), frozenset("ab"), frozenset()]
    change = macro_f1_change(truth, [frozenset()] * 4, said)
    assert change.now == pytest.approx((4 / 5 + 2 / 3) / 2)
    assert macro_f1(Counter(zip(truth, said, strict=True)))[0] == pytest.approx(change.now)


def test_the_error_is_that_of_resampling() -> None:
    rng = np.random.default_rng(0)
    truth = rng.choice(["a", "b"], 400, p=[0.8, 0.2])
    old, new = (np.where(rng.random(400) < share, truth, "a") for share in (0.7, 0.8))
    change = macro_f1_change(sets(truth), sets(old), sets(new))
    deltas = []
    for _ in range(300):
        some = rng.integers(400, size=400)
        found = macro_f1_change(*(sets(part[some]) for part in (truth, old, new)))
        deltas.append(found.now - found.before)
    assert change.error == pytest.approx(np.std(deltas), rel=0.15)
    assert change.lower_bound(0.95) < change.delta < change.upper_bound(0.95)


def labelled(rows: list[tuple[str, str, str, int]]) -> Paired:
    """Items of a label with what both models said, each so often."""
    found = [(label, old, new) for label, old, new, times in rows for _ in range(times)]
    asked = [
        Asked(Item(Prepared("", ""), label), Answer(old), Answer(new)) for label, old, new in found
    ]
    return answered(asked)


RARE = [("yes", "yes", "yes", 480), ("no", "no", "no", 10), ("no", "no", "yes", 10)]


def test_a_rare_label_that_is_lost_is_seen_by_f1_where_accuracy_sees_little() -> None:
    results = gates(labelled(RARE), settings=GateSettings(clean_margin_few=-4, recall_margin=-100))
    assert results["clean"].passed
    assert not results["F1"].passed
    assert (
        "the mean over labels (480 of 'yes', 20 of 'no'): 1.000 before, 0.828 now (-17.18 points)"
        in results["F1"].sentence
    )
    assert "F1" not in gates(GOOD), "where labels are alike accuracy says it"
    assert "F1" in gates(labelled([("a", "a", "a", 30), ("b", "b", "b", 30)]),
                         settings=GateSettings(unbalanced=1))  # fmt: skip


def test_few_items_lose_f1_by_more_than_chance_alone() -> None:
    few = labelled([("yes", "yes", "yes", 40), ("no", "no", "no", 4), ("no", "no", "yes", 1)])
    result = gates(few, settings=GateSettings(unbalanced=1))["F1"]
    assert (result.passed, "chance could explain" in result.sentence) == (True, True)


def test_a_gain_on_the_most_frequent_label_alone_is_none() -> None:
    """Of 100 foolings 90 have one label: nine tenths of the gain are on it, the others lose."""
    one_sided = labelled([
        ("yes", "no", "yes", 60), ("yes", "no", "no", 30), ("no", "no", "yes", 8),
        ("no", "yes", "yes", 2),
    ])  # fmt: skip
    results = gates(new_round=one_sided)
    assert results["new round"].passed
    assert not results["new round by label"].passed
    assert "each label alike (90 of 'yes', 10 of 'no')" in results["new round by label"].sentence
    assert "new round by label" not in gates(new_round=GAIN), "there is one label"
    few = paired(8, gained=2, classes=1)
    assert "new round by label" not in gates(new_round=replace(few, labels=list("abababab")))
    mixed = gates(new_round=replace(few, labels=list("aaaaaabb")))["new round by label"]
    assert (mixed.passed, "no loss is asked for" in mixed.sentence) == (True, True)


def test_rare_labels_ask_a_sure_gain_for_no_surety_of_their_own() -> None:
    """As digits fool: of 60 ten are read now, none of what is rare, and nothing is lost."""
    fooled, read = (20, 12, 8, 6, 5, 4, 2, 1, 1, 1), (4, 2, 2, 1, 1, 0, 0, 0, 0, 0)
    rows = [
        (str(digit), "none", said, times)
        for digit, (of, now) in enumerate(zip(fooled, read, strict=True))
        for said, times in ((str(digit), now), ("none", of - now))
    ]
    results = gates(new_round=labelled(rows))
    assert results["new round"].passed
    assert results["new round by label"].passed, results["new round by label"].sentence
    assert "more than 0 is asked for" in results["new round by label"].sentence
    nothing = labelled([("yes", "no", "no", 50), ("no", "yes", "yes", 10)])
    assert not gates(new_round=nothing)["new round by label"].passed


def test_free_answers_are_compared_by_their_words() -> None:
    right = {"text": "until Thursday", "start": 4}
    asked = [
        Asked(Item(Prepared("", ""), right), Answer({"text": "until Thursday"}), Answer(said))
        for said in ({"text": "Thursday"}, {"text": "on Friday"}, None)
    ]
    items = answered(asked, free=True)
    assert items.f1 is not None
    assert items.f1.now == pytest.approx((2 / 3 + 0 + 0) / 3)
    results = gates(items)
    assert "recall" not in results, "each answer would be a label of its own"
    assert "F1 on clean data, of answers’ words: 1.000 before, 0.222 now" in results["F1"].sentence
    assert not results["F1"].passed
    assert mean_change(np.array([0.5]), np.array([1.0])).error == 0


def unlike(number: int) -> str:
    """Words that no other number gives."""
    return " ".join(sha256(f"{number} {word}".encode()).hexdigest()[:7] for word in range(5))


@pytest.mark.parametrize(
    ("file", "input", "label"),
    [
        (
            {"input": "passage_qa", "labels": []},
            {"context": "The shop is open until Thursday.", "question": "{}?"},
            {"text": "until Thursday", "start": 17},
        ),
        (
            {"input": "text_multilabel", "comparator": {"rule": "label_set"}},
            {"text": "{}."},
            ["no"],
        ),
    ],
)
def test_models_of_every_kind_have_an_f1_beside_their_accuracy(
    owner: User, monkeypatch: pytest.MonkeyPatch, file: Any, input: Any, label: Any
) -> None:
    monkeypatch.setattr(evaluations, "measure", lambda *_: {"per_second": 1.0, "memory_gb": 1.0})
    whole = {"slug": "texts", "name": "Texts", "labels": ["yes", "no"], **file}
    task, _ = rounds.load_task(file=parse_task_file(whole), actor=owner)
    register(task=task, file=read_model_file("{name: any, backend: null}"), open_round=True)
    author = Participant(user=cast.person("ann"))
    for number in range(24):
        sent = submissions.submit(
            participant=author,
            task_id=task.pk,
            client_id=uuid.uuid4(),
            input={name: text.format(unlike(number)) for name, text in input.items()},
            label=label,
        ).example
        if sent.fooled:
            verified(sent, owner)
    evaluations.evaluate_models(task=task)
    found = Evaluation.objects.get(data="round 1").figures
    assert 0 <= found["f1"] < 1
    assert found["f1_interval"] is None or found["f1_interval"][0] <= found["f1"]
