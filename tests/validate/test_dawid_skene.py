"""Confusion-matrix EM against crowd-kit's results, gold, and a crowd that errs in one direction."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from validate.people.dawid_skene import dawid_skene

Votes = tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]


def small_crowd() -> Votes:
    """24 items of three labels, four of six people on each."""
    rng = np.random.default_rng(7)
    items = np.repeat(np.arange(24), 4)
    people = np.concatenate([rng.permutation(6)[:4] for _ in range(24)])
    truth = rng.integers(3, size=24)
    confusions = rng.dirichlet([1, 1, 1], size=(6, 3)) * 0.5 + 0.5 * np.eye(3)
    pairs = zip(items, people, strict=True)
    labels = [rng.choice(3, p=confusions[person, truth[item]]) for item, person in pairs]
    return items, people, np.array(labels)


def one_sided_crowd() -> tuple[Votes, NDArray[np.int64]]:
    """Ducks: most people see one in most pictures of something else, and a few know them all.

    Everybody is on every picture, so only who errs how can tell the two kinds of people apart.
    """
    rng = np.random.default_rng(1)
    truth = (rng.random(120) < 0.3).astype(np.int64)
    right_on = np.array([(0.2, 0.95)] * 13 + [(0.9, 0.8)] * 8)  # (no duck, duck)
    items, people = (axis.ravel() for axis in np.meshgrid(np.arange(120), np.arange(21)))
    right = rng.random(items.size) < right_on[people, truth[items]]
    labels = np.where(right, truth[items], 1 - truth[items])
    return (items, people, labels), truth


def one_coin(votes: Votes) -> NDArray[np.int64]:
    """EM with one accuracy for each person, two labels: what the audit does not use."""
    items, people, labels = votes
    belief = np.bincount(items, labels) / np.bincount(items)
    for _ in range(100):
        agreed = np.where(labels == 1, belief[items], 1 - belief[items])
        p = np.clip(np.bincount(people, agreed) / np.bincount(people), 0.01, 0.99)
        weight = np.log(p / (1 - p))[people] * (2 * labels - 1)
        belief = 1 / (1 + np.exp(-np.bincount(items, weight)))
    return np.rint(belief).astype(np.int64)


def test_it_ends_where_crowd_kit_does() -> None:
    # crowd-kit 1.4.2, DawidSkene(n_iter=5000, tol=1e-13): the labels, and the three items of
    # which it is not certain.
    expected = [2, 1, 1, 0, 1, 1, 2, 1, 0, 1, 0, 0, 0, 1, 2, 1, 1, 1, 2, 1, 2, 1, 0, 2]
    found = dawid_skene(*small_crowd(), classes=3, smoothing=0)
    assert found.posteriors.argmax(axis=1).tolist() == expected
    surest = found.posteriors.max(axis=1)
    assert surest[[13, 15, 23]] == pytest.approx([0.7443, 0.5609, 0.8676], abs=1e-3)
    assert np.delete(surest, [13, 15, 23]).min() > 0.9999


def test_smoothing_leaves_the_same_labels() -> None:
    plain = dawid_skene(*small_crowd(), classes=3, smoothing=0).posteriors.argmax(axis=1)
    smoothed = dawid_skene(*small_crowd(), classes=3)
    assert (smoothed.posteriors.argmax(axis=1) == plain).all()
    assert (smoothed.confusions > 0).all()
    assert smoothed.confusions.sum(axis=2) == pytest.approx(np.ones((6, 3)))
    assert smoothed.priors.sum() == pytest.approx(1)


def test_a_one_sided_crowd_does_not_turn_the_truth_around() -> None:
    votes, truth = one_sided_crowd()
    found = dawid_skene(*votes, classes=2)
    by_confusions = (found.posteriors.argmax(axis=1) == truth).mean()
    by_majority = (np.rint(np.bincount(votes[0], votes[2]) / 21) == truth).mean()
    by_one_coin = (one_coin(votes) == truth).mean()
    assert by_confusions > 0.98
    assert by_majority < 0.6
    assert by_one_coin < by_majority


def test_gold_stays_what_it_is_and_teaches() -> None:
    # Two people always contradict each other: nothing but gold tells who is right.
    items = np.repeat(np.arange(20), 2)
    people = np.tile([0, 1], 20)
    truth = np.arange(20) % 2
    labels = np.where(people == 0, truth[items], 1 - truth[items])
    found = dawid_skene(items, people, labels, classes=2, gold={0: 0, 1: 1, 2: 0, 3: 1})
    assert (found.posteriors.argmax(axis=1) == truth).all()
    assert found.posteriors[:4].tolist() == np.eye(2)[truth[:4]].tolist()
    assert found.confusions[1, 0, 1] > 0.9


def test_votes_that_make_no_sense_are_refused() -> None:
    one, two = np.array([0]), np.array([0, 1])
    with pytest.raises(ValueError, match="for each vote"):
        dawid_skene(one, two, one, classes=2)
    with pytest.raises(ValueError, match="needs a vote"):
        dawid_skene(np.array([1]), one, one, classes=2)
    with pytest.raises(ValueError, match="needs a vote"):
        dawid_skene(*(np.array([], dtype=np.int64),) * 3, classes=2)
