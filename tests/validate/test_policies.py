"""The verdict policies, against the published rules' vectors and as properties of all sequences."""

import csv
import json
from collections import Counter
from copy import deepcopy
from functools import cache
from itertools import product
from pathlib import Path
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.rule_spec import Json
from validate.policies import (
    FLAG_REASONS,
    UNSURE,
    Ballot,
    Bayes,
    Decision,
    KMatching,
    KOfN,
    Outcome,
    Policy,
    TwoPlusOne,
    consensus,
    decide,
    parse_policy,
    posterior,
)

ANLI = Path(__file__).resolve().parents[3] / "shared" / "data" / "anli"
with_anli = pytest.mark.skipif(not ANLI.exists(), reason="no ANLI votes beside the checkout")

LABELS = ("Y", "P", "o")
AUTHOR = "Y"


def ballots(letters: str) -> list[Ballot]:
    """Y, P, o vote for labels, F flags, U cannot tell; each by another person."""
    return [
        Ballot(place, flag="spam")
        if letter == "F"
        else Ballot(place, flag=UNSURE)
        if letter == "U"
        else Ballot(place, label=letter)
        for place, letter in enumerate(letters)
    ]


def verdict(letters: str, policy: Policy) -> Decision:
    return decide(ballots(letters), policy, author_label=AUTHOR, labels=LABELS)


# two_plus_one


@pytest.mark.parametrize(
    ("letters", "outcome", "label", "wanted", "used"),
    [
        ("", Outcome.PENDING, None, 2, 0),
        ("Y", Outcome.PENDING, None, 1, 1),
        ("YY", Outcome.VERIFIED, "Y", 0, 2),
        ("PP", Outcome.REJECTED, "P", 0, 2),
        ("YP", Outcome.PENDING, None, 1, 2),
        ("Po", Outcome.PENDING, None, 1, 2),
        ("YPY", Outcome.VERIFIED, "Y", 0, 3),
        ("YPP", Outcome.REJECTED, "P", 0, 3),
        ("YPo", Outcome.AMBIGUOUS, None, 0, 3),
        ("YYPP", Outcome.VERIFIED, "Y", 0, 2),
        ("F", Outcome.PENDING, None, 1, 1),
        ("FF", Outcome.FLAGGED, None, 0, 2),
        ("FYF", Outcome.FLAGGED, None, 0, 3),
        ("FYY", Outcome.VERIFIED, "Y", 0, 3),
        ("FYP", Outcome.AMBIGUOUS, None, 0, 3),
        ("U", Outcome.PENDING, None, 1, 1),
        ("UY", Outcome.PENDING, None, 1, 2),
        ("UYY", Outcome.VERIFIED, "Y", 0, 3),
        ("UFF", Outcome.FLAGGED, None, 0, 3),
        ("UYF", Outcome.AMBIGUOUS, None, 0, 3),
        ("UU", Outcome.AMBIGUOUS, None, 0, 2),
    ],
)
def test_two_plus_one_asks_a_third_person_only_when_two_differ(
    letters: str, outcome: Outcome, label: str | None, wanted: int, used: int
) -> None:
    expected = Decision(outcome, label, votes_wanted=wanted, posterior=None, used=used)

    assert verdict(letters, TwoPlusOne()) == expected


# k_matching


@pytest.mark.parametrize(
    ("letters", "outcome", "label", "wanted", "used"),
    [
        ("", Outcome.PENDING, None, 3, 0),
        ("YY", Outcome.PENDING, None, 1, 2),
        ("YYY", Outcome.VERIFIED, "Y", 0, 3),
        ("YYYP", Outcome.VERIFIED, "Y", 0, 3),
        ("PPP", Outcome.REJECTED, "P", 0, 3),
        ("PoP", Outcome.REJECTED, None, 0, 3),
        ("FFF", Outcome.FLAGGED, None, 0, 3),
        ("YYP", Outcome.PENDING, None, 1, 3),
        ("YYPY", Outcome.VERIFIED, "Y", 0, 4),
        ("YPF", Outcome.PENDING, None, 1, 3),
        ("YPFYP", Outcome.AMBIGUOUS, None, 0, 5),
        ("YPFYY", Outcome.VERIFIED, "Y", 0, 5),
        ("UUU", Outcome.AMBIGUOUS, None, 0, 3),
        ("UUYYY", Outcome.VERIFIED, "Y", 0, 5),
    ],
)
def test_k_matching_lets_the_first_camp_of_three_win(
    letters: str, outcome: Outcome, label: str | None, wanted: int, used: int
) -> None:
    expected = Decision(outcome, label, votes_wanted=wanted, posterior=None, used=used)

    assert verdict(letters, KMatching()) == expected


# k_of_n


@pytest.mark.parametrize(
    ("letters", "outcome", "label", "wanted"),
    [
        ("", Outcome.PENDING, None, 3),
        ("YYY", Outcome.PENDING, None, 2),
        ("YYYY", Outcome.PENDING, None, 1),
        ("YYYPP", Outcome.VERIFIED, "Y", 0),
        ("PPYPY", Outcome.REJECTED, "P", 0),
        ("YYPPo", Outcome.AMBIGUOUS, None, 0),
        ("UUUYY", Outcome.AMBIGUOUS, None, 0),
        ("FFF", Outcome.FLAGGED, None, 0),
        ("FYY", Outcome.PENDING, None, 2),
    ],
)
def test_k_of_n_collects_all_its_votes(
    letters: str, outcome: Outcome, label: str | None, wanted: int
) -> None:
    decision = verdict(letters, KOfN())

    assert (decision.outcome, decision.label, decision.votes_wanted) == (outcome, label, wanted)


# bayes


@pytest.mark.parametrize(
    ("letters", "probability"),
    [
        ("Y", 0.9053),
        ("YY", 0.9892),
        ("YP", 0.6442),
        ("YPY", 0.9454),
        ("P", 0.1592),
        ("PP", 0.0212),
        ("PPY", 0.1714),
        ("Po", 0.0947),
        ("YPo", 0.5000),
        ("YPYP", 0.6642),
        ("YPYPY", 0.9498),
    ],
)
def test_posterior_of_the_authors_label_among_three(letters: str, probability: float) -> None:
    beliefs = posterior(ballots(letters), Bayes(fixed_reliability=0.827), AUTHOR, LABELS)

    assert beliefs[AUTHOR] == pytest.approx(probability, abs=5e-5)
    assert sum(beliefs.values()) == pytest.approx(1)


@pytest.mark.parametrize(
    ("letters", "reliability", "probability"),
    [
        ("YY", 0.85, 0.9698),
        ("YPY", 0.85, 0.8500),
        ("YPYY", 0.85, 0.9698),
        ("PP", 0.85, 0.0302),
        ("YPY", 0.90, 0.9000),
    ],
)
def test_posterior_of_the_authors_label_among_two(
    letters: str, reliability: float, probability: float
) -> None:
    beliefs = posterior(ballots(letters), Bayes(fixed_reliability=reliability), "Y", ("Y", "P"))

    assert beliefs["Y"] == pytest.approx(probability, abs=5e-5)


@pytest.mark.parametrize(
    ("letters", "outcome", "label", "wanted", "used"),
    [
        ("", Outcome.PENDING, None, 2, 0),
        ("Y", Outcome.PENDING, None, 1, 1),
        ("YY", Outcome.VERIFIED, "Y", 0, 2),
        ("PP", Outcome.RELABELLED, "P", 0, 2),
        ("Po", Outcome.REJECTED, None, 0, 2),
        ("YPY", Outcome.VERIFIED, "Y", 0, 3),
        ("PPY", Outcome.RELABELLED, "P", 0, 2),
        ("YPYP", Outcome.VERIFIED, "Y", 0, 3),
        ("YUP", Outcome.PENDING, None, 1, 3),
        ("YFPF", Outcome.FLAGGED, None, 0, 4),
        ("UUUU", Outcome.AMBIGUOUS, None, 0, 4),
        ("UUYPo", Outcome.AMBIGUOUS, None, 0, 5),
    ],
)
def test_bayes_decides_at_its_thresholds(
    letters: str, outcome: Outcome, label: str | None, wanted: int, used: int
) -> None:
    decision = verdict(letters, Bayes(fixed_reliability=0.827))

    assert (decision.outcome, decision.label) == (outcome, label)
    assert (decision.votes_wanted, decision.used) == (wanted, used)


def test_bayes_counts_a_posterior_exactly_at_the_threshold() -> None:
    decision = decide(
        ballots("YPY"), Bayes(fixed_reliability=0.90), author_label="Y", labels=("Y", "P")
    )

    assert decision.outcome is Outcome.VERIFIED


def test_bayes_wants_more_from_unreliable_validators() -> None:
    sure = {0: 0.95, 1: 0.95}
    guessing = {0: 0.40, 1: 0.40}

    def outcome(reliabilities: dict[int, float]) -> Outcome:
        return decide(
            ballots("YY"),
            Bayes(),
            author_label="Y",
            labels=LABELS,
            reliabilities=reliabilities,
        ).outcome

    assert outcome(sure) is Outcome.VERIFIED
    assert outcome(guessing) is Outcome.PENDING


def test_the_label_that_weighs_most_is_taken_not_the_one_with_most_votes() -> None:
    weak = dict.fromkeys(range(3), 0.36)
    strong = dict.fromkeys(range(3, 5), 0.98)

    decision = decide(
        ballots("PPPoo"),
        Bayes(threshold=0.99, rejection=0.01),
        author_label="Y",
        labels=LABELS,
        reliabilities=weak | strong,
    )

    assert (decision.outcome, decision.label) == (Outcome.RELABELLED, "o")


def test_evaluation_data_can_ask_for_more_certainty() -> None:
    strict = Bayes(threshold=0.97, cap=7, fixed_reliability=0.827)

    assert verdict("YPY", strict).outcome is Outcome.PENDING
    assert verdict("YPYYY", strict).outcome is Outcome.VERIFIED


def test_bayes_refuses_labels_that_the_task_does_not_have() -> None:
    with pytest.raises(ValueError, match="needs the labels"):
        decide([], Bayes(), author_label="Y", labels=None)
    with pytest.raises(ValueError, match="'Z' is none of"):
        decide([], Bayes(), author_label="Z", labels=LABELS)
    with pytest.raises(ValueError, match="'Z' is none of"):
        decide([Ballot(1, "Z")], Bayes(), author_label="Y", labels=LABELS)


# all policies

POLICIES: tuple[Policy, ...] = (
    TwoPlusOne(),
    KMatching(),
    KMatching(n=1, cap=1),
    KMatching(n=2, cap=7),
    KOfN(),
    KOfN(n=2, k=2),
    Bayes(),
    Bayes(fixed_reliability=0.827),
    Bayes(fixed_reliability=0.5, cap=7, threshold=0.97, min_votes=3, flags=3),
    Bayes(prior_author=0.8, min_votes=1, flags=1),
)
BAYES = tuple(policy for policy in POLICIES if isinstance(policy, Bayes))
LETTERS = "YPoFU"

some_policy = st.sampled_from(POLICIES)
some_bayes = st.sampled_from(BAYES)
some_letters = st.text(LETTERS, max_size=9)
some_reliabilities = st.dictionaries(
    st.integers(0, 9), st.floats(0, 1, allow_nan=False), max_size=9
)


@given(some_policy, some_letters, some_letters, some_reliabilities)
def test_a_decided_example_never_changes(
    policy: Policy, first: str, later: str, reliabilities: dict[int, float]
) -> None:
    def read(letters: str) -> Decision:
        return decide(
            ballots(letters),
            policy,
            author_label=AUTHOR,
            labels=LABELS,
            reliabilities=reliabilities,
        )

    decision = read(first)

    if decision.outcome is not Outcome.PENDING:
        assert read(first + later) == decision


@given(some_policy, st.text(LETTERS, min_size=7, max_size=7), some_reliabilities)
def test_no_sequence_strands_an_example(
    policy: Policy, letters: str, reliabilities: dict[int, float]
) -> None:
    decision = decide(
        ballots(letters),
        policy,
        author_label=AUTHOR,
        labels=LABELS,
        reliabilities=reliabilities,
    )

    assert decision.outcome is not Outcome.PENDING
    assert decision.used <= policy.cap
    assert decision.votes_wanted == 0


@given(some_policy, some_letters, some_letters, some_reliabilities)
def test_the_votes_wanted_are_all_used_whatever_they_say(
    policy: Policy, first: str, later: str, reliabilities: dict[int, float]
) -> None:
    def read(letters: str) -> Decision:
        return decide(
            ballots(letters),
            policy,
            author_label=AUTHOR,
            labels=LABELS,
            reliabilities=reliabilities,
        )

    pending = read(first)
    wanted = pending.votes_wanted

    assert (wanted == 0) == (pending.outcome is not Outcome.PENDING)
    if wanted and len(later) >= wanted:
        assert read(first + later[:wanted]).used == len(first) + wanted
    assert pending.used + wanted <= policy.cap


@pytest.mark.parametrize("policy", [TwoPlusOne(), KMatching(), KOfN()], ids=repr)
def test_one_vote_more_than_wanted_could_be_wasted(policy: Policy) -> None:
    """The number wanted is not only safe but the largest that is."""
    seen = {
        letters: verdict(letters, policy)
        for length in range(6)
        for letters in map("".join, product(LETTERS, repeat=length))
    }
    for letters, decision in seen.items():
        wanted = decision.votes_wanted
        if wanted and len(letters) + wanted < 6:
            further = map("".join, product(LETTERS, repeat=wanted))
            assert any(seen[letters + more].outcome is not Outcome.PENDING for more in further)


@given(some_bayes, some_letters, some_reliabilities, st.randoms(use_true_random=False))
def test_the_order_of_votes_does_not_move_the_posterior(
    policy: Bayes, letters: str, reliabilities: dict[int, float], random: Random
) -> None:
    shuffled = ballots(letters)
    random.shuffle(shuffled)

    def read(cast: list[Ballot]) -> dict[Json, float]:
        return posterior(cast, policy, AUTHOR, LABELS, reliabilities)

    assert read(shuffled) == pytest.approx(read(ballots(letters)))


@given(some_bayes, some_letters, st.sampled_from(LABELS), some_reliabilities)
def test_more_agreement_never_lowers_the_posterior(
    policy: Bayes, letters: str, label: str, reliabilities: dict[int, float]
) -> None:
    before = posterior(ballots(letters), policy, AUTHOR, LABELS, reliabilities)
    after = posterior(ballots(letters + label), policy, AUTHOR, LABELS, reliabilities)

    assert after[label] >= before[label] - 1e-12


@pytest.mark.parametrize("policy", POLICIES, ids=repr)
def test_a_second_ballot_of_one_person_is_not_read(policy: Policy) -> None:
    cast = [Ballot("anna", "Y")] * 7

    once = decide(cast[:1], policy, author_label="Y", labels=LABELS)

    assert decide(cast, policy, author_label="Y", labels=LABELS) == once


@pytest.mark.parametrize("policy", [TwoPlusOne(), KMatching(n=2), KOfN(n=3, k=2)], ids=repr)
def test_labels_may_be_any_json(policy: Policy) -> None:
    label: Json = {"text": "Paris", "start": 7}
    cast = [Ballot(place, deepcopy(label)) for place in range(3)]

    decision = decide(cast, policy, author_label=label, labels=None)

    assert (decision.outcome, decision.label) == (Outcome.VERIFIED, label)


def test_a_label_that_is_falsy_is_a_label() -> None:
    decision = decide([Ballot(1, 0), Ballot(2, 0)], Bayes(), author_label=1, labels=list(range(10)))

    assert (decision.outcome, decision.label) == (Outcome.RELABELLED, 0)
    assert consensus([0, 0], Bayes(), range(10)) == 0


def test_a_ballot_is_a_label_or_a_known_flag() -> None:
    assert all(Ballot(1, flag=code).accuses for code in FLAG_REASONS)
    assert not Ballot(1, flag=UNSURE).accuses
    with pytest.raises(ValueError, match="either a label or a flag"):
        Ballot(1)
    with pytest.raises(ValueError, match="either a label or a flag"):
        Ballot(1, label="Y", flag="spam")
    with pytest.raises(ValueError, match="Unknown flag 'boring'"):
        Ballot(1, flag="boring")


# task files


@pytest.mark.parametrize(
    ("spec", "policy"),
    [
        ({"policy": "two_plus_one"}, TwoPlusOne()),
        ({"policy": "k_matching"}, KMatching(n=3, cap=5)),
        ({"policy": "k_matching", "n": 2, "cap": 4}, KMatching(n=2, cap=4)),
        ({"policy": "k_of_n", "n": 7, "k": 4}, KOfN(n=7, k=4)),
        ({"policy": "bayes"}, Bayes()),
        ({"policy": "bayes", "fixed_reliability": 0.827}, Bayes(fixed_reliability=0.827)),
    ],
)
def test_a_policy_is_read_from_a_task_file(spec: dict[str, object], policy: Policy) -> None:
    assert parse_policy(spec) == policy


@pytest.mark.parametrize(
    ("spec", "complaint"),
    [
        ({}, "Unknown policy None: choose one of bayes, k_matching, k_of_n, two_plus_one"),
        ({"policy": "majority"}, "Unknown policy 'majority'"),
        ({"policy": ["bayes"]}, "Unknown policy"),
        ({"policy": "two_plus_one", "cap": 3}, "has no parameter cap; it takes none"),
        ({"policy": "k_matching", "k": 3}, "has no parameter k; it takes cap, n"),
        ({"policy": "k_matching", "n": 0}, "'n' must be a whole number from 1 to 99, not 0"),
        ({"policy": "k_matching", "n": True}, "'n' must be a whole number"),
        ({"policy": "k_matching", "n": 7}, r"'cap' \(5\) must be at least 'n' \(7\)"),
        ({"policy": "k_of_n", "n": 6, "k": 3}, r"'k' \(3\) must be more than half of 'n' \(6\)"),
        ({"policy": "bayes", "threshold": 0.5}, "'threshold' must be a number between 0.5 and 1"),
        ({"policy": "bayes", "prior_author": 1}, "'prior_author' must be a number between 0"),
        ({"policy": "bayes", "min_votes": 6}, "'min_votes' must be a whole number from 1 to 5"),
        ({"policy": "bayes", "fixed_reliability": float("nan")}, "'fixed_reliability' must be"),
        ({"policy": "bayes", "fixed_reliability": ".9"}, "'fixed_reliability' must be"),
    ],
)
def test_a_mistake_in_a_policy_is_named(spec: dict[str, object], complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        parse_policy(spec)


# votes without an author


@pytest.mark.parametrize(
    ("letters", "policy", "label"),
    [
        ("AA", TwoPlusOne(), "A"),
        ("AB", TwoPlusOne(), None),
        ("ABB", TwoPlusOne(), "B"),
        ("ABC", TwoPlusOne(), None),
        ("ABCA", TwoPlusOne(), None),
        ("AABBB", KMatching(n=2), "A"),
        ("BAAB", KMatching(n=2), "A"),
        ("AAA", KOfN(), None),
        ("ABBBA", KOfN(), "B"),
        ("A", Bayes(fixed_reliability=0.9), None),
        ("AA", Bayes(fixed_reliability=0.9), "A"),
        ("ABB", Bayes(fixed_reliability=0.7), None),
        ("", Bayes(), None),
    ],
)
def test_consensus_without_an_author(letters: str, policy: Policy, label: str | None) -> None:
    assert consensus(list(letters), policy, choices="ABC") == label


# the votes that people really gave


@cache
def anli_votes() -> dict[str, list[str]]:
    with (ANLI / "verifier_labels_R1-3.jsonl").open(encoding="utf-8") as lines:
        rows = [json.loads(line) for line in lines]
    return {row["uid"]: row["verifier labels"] for row in rows}


@cache
def anli_round_1() -> list[dict[str, str]]:
    with (ANLI / "r1_dev.csv").open(encoding="utf-8", newline="") as rows:
        return list(csv.DictReader(rows))


def replay(policy: Policy, author: str) -> list[Decision]:
    votes = anli_votes()
    return [
        decide(
            [Ballot(place, label) for place, label in enumerate(votes[row["uid"]])],
            policy,
            author_label=row[author],
            labels=("e", "n", "c"),
        )
        for row in anli_round_1()
    ]


@with_anli
@pytest.mark.parametrize("policy", [TwoPlusOne(), Bayes(fixed_reliability=0.827)], ids=repr)
def test_round_1_of_anli_verifies_as_published(policy: Policy) -> None:
    decisions = replay(policy, author="gold_label")

    assert Counter(decision.outcome for decision in decisions) == {Outcome.VERIFIED: 1000}
    assert sum(decision.used for decision in decisions) == 2298
    assert sum(decision.used == 3 for decision in decisions) == 298


@with_anli
def test_round_1_of_anli_rejects_when_the_author_is_wrong() -> None:
    decisions = replay(TwoPlusOne(), author="adversary_pred")

    assert Counter(decision.outcome for decision in decisions) == {Outcome.REJECTED: 1000}


@with_anli
def test_all_vote_sets_of_anli_reach_a_consensus_or_stay_open() -> None:
    agreed = [consensus(labels, TwoPlusOne()) for labels in anli_votes().values()]

    assert len(agreed) == 29_803
    assert sum(label is not None for label in agreed) == 29_772
