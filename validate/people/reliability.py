"""How often each validator is right in a task, learnt from settled examples and from gold.

Each vote on a settled example earns a credit: the probability of its label, or 1 and 0 where an
owner knows the answer. A reliability is Beta(8 + credits, 2 + what they lack of 1), and is moved by
the difference in the transaction of the decision, so that it is always the sum of what is stored.

People are weighed by credits and judged by agreement, the probability of their label with their own
vote left out. Nobody may confirm themselves where it is about their standing; as a weight, though,
agreement is too low: two people who are always right would credit each other with .8 at most, and
everybody's weight would sink towards chance.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from django.db.models import Q, Sum
from django.utils import timezone

from accounts.services import record_event
from annotate.models import Example, Task
from annotate.services import Verdict
from validate import statements
from validate.decisions import ballots_of, weights
from validate.hearing import Hearing
from validate.models import AuthorShare, Reliability, Vote
from validate.policies import Bayes, posterior, rests_on_two
from validate.policies.trust import (
    JUDGED_ANSWERS,
    fails_gold,
    has_standing,
    is_proven,
    is_untrustworthy,
    may_be_untrustworthy,
)

RECENT_ANSWERS = 25


class Credit(NamedTuple):
    """How probable a vote's label is: by all that is known, and with the vote itself left out."""

    credit: float
    agreement: float


def stored_credit(vote: Vote) -> Credit | None:
    """What a vote was credited with, None while nothing is known."""
    if vote.credit is None or vote.agreement is None:
        return None
    return Credit(vote.credit, vote.agreement)


def reliability_of(task_id: int, validator_id: int) -> Reliability:
    """A person's row, not locked; a new one, not saved, for somebody new."""
    row = statements.row_of(task_id, validator_id)
    return row or Reliability(task_id=task_id, validator_id=validator_id)


def weight_of(example: Example, row: Reliability) -> float | None:
    """What this person's vote on an example weighs now; None where votes are only counted."""
    rule = example.config.file.section("validation").rule
    fixed = isinstance(rule, Bayes) and rule.fixed_reliability is not None
    return None if fixed or not _single_label(example) else row.mean


# --- credits --------------------------------------------------------------------------------------
def score(hearing: Hearing, verdict: Verdict | None = None) -> list[Reliability]:
    """Give the votes on an example the credits that a verdict, or else its own, stands for.

    Returns the rows of people whom this put into quarantine. Four queries, or one when no credit
    changes; fewer where the hearing holds votes and rows.
    """
    example = hearing.example
    votes = [vote for vote in hearing.votes if vote.label is not None]
    credits = credits_of(example, votes, verdict)
    changed = [vote for vote in votes if stored_credit(vote) != credits[vote.pk]]
    if not changed:
        return []
    rows = hearing.lock_rows(vote.validator_id for vote in changed)
    for vote in changed:
        row = rows[vote.validator_id]
        if is_scored(vote, row.restarted_at):
            move(row, stored_credit(vote), credits[vote.pk])
        vote.credit, vote.agreement = credits[vote.pk] or (None, None)
    statements.save_credits(changed)
    quarantined = [row for row in rows.values() if _quarantine(row, example.task)]
    statements.save_standings(list(rows.values()))
    return quarantined


def is_scored(vote: Vote, restarted_at: datetime | None) -> bool:
    """Whether a vote says something about its validator: cast since their counts restarted."""
    return restarted_at is None or vote.created_at > restarted_at


def credits_of(
    example: Example, votes: Sequence[Vote], verdict: Verdict | None = None
) -> dict[int, Credit | None]:
    """The credit of each labelled vote on an example, by the vote's id, under its own verdict or
    another.

    None while the example is open or flagged, and where answers are not one of a few labels.
    """
    verdict = verdict or Verdict(example.status, example.final_label, example.adjudicated)
    if verdict.status in (Example.Status.OPEN, Example.Status.FLAGGED):
        return {vote.pk: None for vote in votes}
    if verdict.adjudicated:
        return {vote.pk: _known_credit(example, verdict, vote) for vote in votes}
    if not _single_label(example):
        return {vote.pk: None for vote in votes}
    file = example.config.file
    rule = file.section("validation").rule
    # A policy that only counts votes holds no belief about authors.
    policy = rule if isinstance(rule, Bayes) else Bayes(prior_author=1 / len(file.label_values))
    counted = [vote for vote in votes if not vote.dropped]
    trusted = weights(counted)
    said = ballots_of(counted, example, file)
    by_all = posterior(said, policy, example.label, file.label_values, trusted)
    credits: dict[int, Credit | None] = {}
    for vote in votes:
        others = [one for other, one in zip(counted, said, strict=True) if other.pk != vote.pk]
        by_others = posterior(others, policy, example.label, file.label_values, trusted)
        credits[vote.pk] = Credit(by_all[vote.label], by_others[vote.label])
    return credits


def _single_label(example: Example) -> bool:
    file = example.config.file
    return bool(file.label_values) and file.kind.answers.few


def _known_credit(example: Example, verdict: Verdict, vote: Vote) -> Credit | None:
    """An owner's word is the truth; a rejection without a label only says what is wrong."""
    if verdict.status == Example.Status.AMBIGUOUS:
        return None
    same = example.config.file.same
    if verdict.label is not None:
        return known(same(vote.label, verdict.label))
    return known(False) if same(vote.label, example.label, example.wrong) else None


def known(right: bool) -> Credit:
    """The credit of a vote on an answer that is known."""
    return Credit(float(right), float(right))


def move(row: Reliability, before: Credit | None, after: Credit | None) -> None:
    """Replace one vote's credit in a row that is not saved yet; None: it had or gets none."""
    for credit, sign in ((before, -1), (after, 1)):
        if credit is not None:
            row.alpha += sign * credit.credit
            row.beta += sign * (1 - credit.credit)
            row.agreement += sign * credit.agreement
            row.scored += sign


def _quarantine(row: Reliability, task: Task) -> bool:
    """Put somebody into quarantine whom a rule calls for; the caller saves the row.

    Known answers alone are enough: whatever friends say, it does not outweigh them.
    """
    labels = len(task.config.file.label_values) if task.config else 0
    if row.quarantined_at is not None:
        return False
    failed = fails_gold(row.gold_right, row.gold_seen, labels=labels)
    if not failed and not may_be_untrustworthy(row.agreement, scored=row.scored, labels=labels):
        return False
    if row.validator.imported:
        return False  # nobody asks them anything, and a log keeps the verdicts that it stands for
    if not failed and not is_untrustworthy(_agreements(row), labels=labels):
        return False
    row.quarantined_at = timezone.now()
    row.looked_again_at = None
    record_event(
        actor=None,
        verb="quarantined",
        subject=row.validator,
        scope=task.slug,
        data={
            "agreement": round(row.agreement, 2),
            "scored": row.scored,
            "gold_right": row.gold_right,
            "gold_seen": row.gold_seen,
        },
    )
    return True


def _agreements(row: Reliability) -> list[float]:
    """How probable a person's latest scored answers are by what others say."""
    votes = Vote.objects.filter(
        validator_id=row.validator_id,
        example__task_id=row.task_id,
        agreement__isnull=False,
        surplus=False,
    )
    if row.restarted_at is not None:
        votes = votes.filter(created_at__gt=row.restarted_at)
    agreements = votes.order_by("-id").values_list("agreement", flat=True)[:JUDGED_ANSWERS]
    return [agreement for agreement in agreements if agreement is not None]


def stands(row: Reliability, *, has_gold: bool) -> bool:
    """Whether they judge authors of whom nothing is known."""
    return has_standing(row.gold_right, row.gold_seen, row.agreement, row.scored, has_gold=has_gold)


def proven(row: Reliability) -> bool:
    """Whether known answers say that even their hasty answers are worth something."""
    return is_proven(row.gold_right, row.gold_seen)


# --- answers --------------------------------------------------------------------------------------
def score_gold(row: Reliability, *, right: bool, task: Task) -> bool:
    """Count a gold answer in a locked row; True when it put the person into quarantine."""
    move(row, None, known(right))
    row.gold_seen += 1
    row.gold_right += right
    return _quarantine(row, task)


def unscore_gold(row: Reliability, *, right: bool) -> None:
    """Take a gold answer out of a locked row again."""
    move(row, known(right), None)
    row.gold_seen -= 1
    row.gold_right -= right


def count_answer(row: Reliability, seconds: float) -> None:
    """Count one more answer of a locked row, and how long it took."""
    now = timezone.now()
    is_same_day = row.answered_at is not None and row.answered_at.date() == now.date()
    row.answered_today = row.answered_today + 1 if is_same_day else 1
    row.answered_at = now
    row.answered += 1
    row.recent_seconds = [*row.recent_seconds, round(seconds, 2)][-RECENT_ANSWERS:]


def uncount_answer(row: Reliability) -> None:
    """Take the last answer, which is deleted already, out of a locked row again."""
    row.answered -= 1
    recount_today(row)


def recount_today(row: Reliability) -> bool:
    """Count the answers of a locked row's last day anew; whether that changed it. One query."""
    before, row.answered_today = row.answered_today, 0
    if row.answered_at is not None:
        day = row.answered_at.replace(hour=0, minute=0, second=0, microsecond=0)
        row.answered_today = Vote.objects.filter(
            validator=row.validator_id,
            example__task=row.task_id,
            lease__isnull=False,
            created_at__gte=day,
            created_at__lt=day + timedelta(days=1),
        ).count()
    return before != row.answered_today


def count_share(made: Vote, example: Example) -> statements.Met:
    """Count a vote that decides into its validator's share of the author's votes."""
    file = example.config.file
    by_two = rests_on_two(file.section("validation").rule, file.label_values)
    return statements.add_to_share(**_share(made, example), rests_on_two=by_two)


def uncount_share(made: Vote, example: Example) -> None:
    """Count it out of it again."""
    statements.take_from_share(**_share(made, example))


def share_of(made: Vote, example: Example) -> float:
    """How much of the votes on its author's examples is its validator's, this one counted; one
    query."""
    shares = AuthorShare.objects.filter(task=example.task_id, author=example.author_id)
    its = Sum("votes", filter=Q(validator=made.validator_id))
    found = shares.aggregate(its=its, all=Sum("votes"))
    return float(found["its"] / found["all"])


def _share(made: Vote, example: Example) -> dict[str, Any]:
    assert example.author_id is not None
    return {
        "task_id": example.task_id,
        "author_id": example.author_id,
        "validator_id": made.validator_id,
        "agreed": example.config.file.same(made.label, example.label, example.wrong),
    }
