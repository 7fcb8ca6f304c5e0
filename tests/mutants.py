"""Prove that the suite notices small mistakes: `python -m tests.services python -m tests.mutants`.

Twenty mistakes in rules, locks and permissions, each with the test that must fail for it. One after
the other is made in a copy of the tree, found by its text and not by its place. Those that only row
locks prevent need PostgreSQL, hence tests.services; a word narrows them down.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

PROJECT = Path(__file__).resolve().parents[1]
NOT_THE_PRODUCT = {"tests", "benchmarks", "findings"}


class Mutant(NamedTuple):
    """What is wrong then, the text before and after, and the tests that must fail."""

    wrong: str
    before: str
    after: str
    tests: str
    postgres: bool = False


MUTANTS = [
    # --- rules
    Mutant(
        "case matters to the fooling rule",
        "text = text.casefold()",
        "pass",
        "test_exact_match_ignores_case_spaces_and_letter_forms",
    ),
    Mutant(
        "one vote settles under two_plus_one",
        "missing = 2 - max(votes.most_on_one_label, votes.flags)\n"
        "            verdict = (Outcome.FLAGGED, None) if votes.flags >= 2 else votes.majority(2)",
        "missing = 1 - max(votes.most_on_one_label, votes.flags)\n"
        "            verdict = (Outcome.FLAGGED, None) if votes.flags >= 2 else votes.majority(1)",
        "test_two_plus_one_asks_a_third_person_only_when_two_differ",
    ),
    Mutant(
        "somebody's second ballot counts",
        "if ballot.validator not in seen:",
        "if True:",
        "test_a_second_ballot_of_one_person_is_not_read",
    ),
    Mutant(
        "people are ranked by their rate",
        "-row.vmer.interval.low,",
        "-(row.vmer.value or 0),",
        "test_people_are_ranked_by_the_lower_bound_and_not_by_the_rate",
    ),
    Mutant(
        "too few verified foolings pass the gate",
        '"verified", verified >= least',
        '"verified", verified >= 0',
        "test_one_failed_gate_stops_the_promotion",
    ),
    Mutant(
        "hidden examples train models",
        "return self.counted().filter(retracted_at=None, hidden_at=None)",
        "return self.counted().filter(retracted_at=None)",
        "test_only_verified_foolings_that_may_be_used_count",
    ),
    Mutant(
        "a change of verdict is counted beside the old one",
        "difference.subtract(contribution(before))",
        "pass",
        "test_statistics_follow_an_adjudication_by_the_difference",
    ),
    Mutant(
        "a bucket fills beyond its burst",
        "return min(rate.burst, tokens + (now - at) * rate.per_second)",
        "return tokens + (now - at) * rate.per_second",
        "test_who_has_waited_as_told_gets_one",
    ),
    # --- leases and the queue
    Mutant(
        "more are asked than there are useful votes",
        "q.votes_wanted > q.leases_active",
        "q.votes_wanted > 0",
        "test_never_more_leases_than_useful_votes",
    ),
    Mutant(
        "a lease that ran out can be voted with",
        'lambda: Lease.objects.filter(pk=Given("lease"), ended_at=None, '
        'expires_at__gt=Given("now")),',
        'lambda: Lease.objects.filter(pk=Given("lease"), ended_at=None),',
        "test_each_refusal_has_its_code_and_status",
    ),
    Mutant(
        "authors vote on their own",
        "if example.author_id == validator.pk:",
        "if False:",
        "test_a_lease_on_ones_own_example_cannot_be_voted",
    ),
    # --- permissions
    Mutant(
        "hidden tasks are shown to everybody",
        "visible = Q(public=True)",
        "visible = Q()",
        "test_everybody_gets_what_their_role_may",
    ),
    Mutant(
        "every owner owns every task",
        "return self.filter(owners=user)",
        "return self",
        "test_everybody_gets_what_their_role_may",
    ),
    Mutant(
        "people see each other's examples",
        "visible = Q(author=user)",
        "visible = Q()",
        "test_everybody_gets_what_their_role_may",
    ),
    Mutant(
        "annotators validate",
        "Role.ANNOTATOR if opened else Role.VALIDATOR",
        "Role.ANNOTATOR",
        "test_each_refusal_has_its_code_and_status",
    ),
    Mutant(
        "who is banned submits on an open page",
        "if found.banned:\n        raise banned()",
        "",
        "test_what_was_true_at_the_opening_is_looked_at_again",
    ),
    Mutant(
        "pages of other sites open the socket",
        "is_own = origin is None or _is_own(",
        "is_own = True or _is_own(",
        "test_a_page_of_another_site_is_refused",
    ),
    # --- locks
    Mutant(
        "an example is not locked for a vote",
        'Example.objects.select_for_update(no_key=True, of=("self", *also))',
        "Example.objects.all()",
        "test_two_votes_at_once_decide_once",
        postgres=True,
    ),
    Mutant(
        "a round closes while submissions are written into it",
        "Round.objects.select_for_update().filter(task=task, status=Status.OPEN)",
        "Round.objects.filter(task=task, status=Status.OPEN)",
        "test_a_round_that_closes_during_a_submission",
        postgres=True,
    ),
    Mutant(
        "the free item is not locked for who is asked",
        'return "FOR NO KEY UPDATE OF q" + (" SKIP LOCKED" if skip_locked else "")',
        'return ""',
        "test_the_last_place_goes_to_one",
        postgres=True,
    ),
]


def place_of(mutant: Mutant, tree: Path) -> Path:
    """The one file of the product that holds the text."""
    product = (
        file
        for file in tree.glob("[a-z]*/**/*.py")
        if "tests" not in file.relative_to(tree).parts
        and file.relative_to(tree).parts[0] not in NOT_THE_PRODUCT
    )
    found = [file for file in product if mutant.before in file.read_text(encoding="utf-8")]
    if len(found) != 1:
        sys.exit(f"{mutant.wrong}: its text stands in {len(found)} files; write it anew.")
    return found[0]


def is_killed(mutant: Mutant, tree: Path, data: Path) -> bool:
    """Whether the tests that must fail do."""
    environment = os.environ | {"DADC_DATA": str(data)}
    if mutant.postgres:
        environment |= {
            "DATABASE_URL": os.environ["TEST_DATABASE_URL"],
            "REDIS_URL": os.environ["TEST_REDIS_URL"],
        }
    command = [sys.executable, "-m", "pytest", "-qx", "--reuse-db", "-k", mutant.tests]
    command += files(mutant)
    ended = subprocess.run(command, cwd=tree, env=environment, capture_output=True, check=False)
    if ended.returncode not in (0, 1):
        sys.exit(f"{mutant.wrong}: no verdict.\n{ended.stdout.decode()}")
    return ended.returncode == 1 and b"failed" in ended.stdout


def files(mutant: Mutant) -> list[str]:
    """Where its tests stand: to collect the rest would take longer than to run them."""
    everywhere = [*PROJECT.glob("tests/**/test_*.py"), *PROJECT.glob("kinds/*/tests/test_*.py")]
    called = f"def {mutant.tests}("
    return [str(one.relative_to(PROJECT)) for one in everywhere if called in one.read_text()]


def main(wanted: str = "") -> None:
    chosen = [mutant for mutant in MUTANTS if wanted in mutant.wrong]
    with tempfile.TemporaryDirectory(prefix="dadc-mutants-") as folder:
        tree, data = Path(folder, "tree"), Path(folder, "data")
        skipped = shutil.ignore_patterns(".git", ".venv", "var", "__pycache__", "*.pyc")
        shutil.copytree(PROJECT, tree, ignore=skipped, symlinks=True)
        survivors = 0
        for mutant in chosen:
            place = place_of(mutant, tree)
            text = place.read_text(encoding="utf-8")
            place.write_text(text.replace(mutant.before, mutant.after), encoding="utf-8")
            killed = is_killed(mutant, tree, data)
            place.write_text(text, encoding="utf-8")
            survivors += not killed
            print(f"{'killed' if killed else 'SURVIVED':<9} {mutant.wrong}", flush=True)
    print(f"{len(chosen) - survivors} of {len(chosen)} killed")
    sys.exit(survivors > 0)


if __name__ == "__main__":
    main(*sys.argv[1:])
