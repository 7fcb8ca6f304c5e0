"""Real votes through the real queue: ANLI's round 1, when the data lie beside the project."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from typing import Any

import pytest

from annotate.models import Task
from benchmarks import anli
from validate.policies import Ballot, Outcome, decide, parse_policy

pytestmark = pytest.mark.skipif(not anli.FOLDER.exists(), reason=f"no data in {anli.FOLDER}")

SLICE = 60  # examples that go through the database here; all 1,000 do in benchmarks/anli.py

Load = Callable[..., Task]


def whole_round(author_says: str) -> dict[str, tuple[str, list[str]]]:
    """Author's label and votes, by id."""
    labels: dict[str, str] = {}
    votes: defaultdict[str, list[str]] = defaultdict(list)
    for line in anli.log_lines(author_says):
        if line["kind"] == "example":
            labels[line["id"]] = line["label"]
        else:
            votes[line["example"]].append(line["label"])
    return {id: (label, votes[id]) for id, label in labels.items()}


def some_lines(author_says: str) -> list[dict[str, Any]]:
    lines = list(anli.log_lines(author_says))
    chosen = [line["id"] for line in lines if line["kind"] == "example"][:SLICE]
    return [line for line in lines if line.get("id", line.get("example")) in chosen]


@pytest.mark.parametrize("validation", anli.POLICIES.values(), ids=anli.POLICIES)
def test_the_whole_round_is_verified_with_as_few_votes_as_were_cast(
    validation: dict[str, Any],
) -> None:
    policy = parse_policy(validation)
    used, third = 0, 0
    for label, votes in whole_round("gold_label").values():
        ballots = [Ballot(place, vote) for place, vote in enumerate(votes)]
        decision = decide(ballots, policy, author_label=label, labels=["e", "n", "c"])
        assert decision.outcome is Outcome.VERIFIED
        used += decision.used
        third += decision.used == 3
    assert (used, third) == (2298, 298)


def test_a_replay_uses_every_vote(nli: Load, summary: Any, log_file: Any) -> None:
    """Weighed; under two_plus_one the whole round goes through in tests/contract."""
    nli(**anli.POLICIES["bayes .827"])
    lines = some_lines("gold_label")
    third = len(lines) - 3 * SLICE  # an example, its two votes, and a third where these differ

    numbers = summary("import_log", "my-nli", log_file(*lines))

    assert numbers["verified"] == numbers["fooled"] == SLICE
    assert (numbers["used"], numbers["surplus"]) == (len(lines) - SLICE, 0)
    assert numbers["third_requests"] == third > 0


def test_when_authors_claim_what_the_model_said_all_are_rejected(
    nli: Load, summary: Any, log_file: Any
) -> None:
    nli(policy="two_plus_one")

    numbers = summary("import_log", "my-nli", log_file(*some_lines("adversary_pred")))

    assert (numbers["verified"], numbers["rejected"], numbers["fooled"]) == (0, SLICE, 0)
