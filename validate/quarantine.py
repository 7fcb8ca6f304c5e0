"""What happens when somebody's votes lose their weight, and when they get it back.

The decision that shows somebody to be no better than chance marks their row, and holds locks
enough; what follows is done here afterwards, one example a transaction, and is marked when it is
complete, so that an interrupted pass is simply done again (`follow_quarantines`).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import partial

from django.db.models import Q, QuerySet
from django.utils import timezone

from accounts.models import User
from accounts.services import record_event
from annotate.models import Example, Task
from annotate.services import lock_example
from core.errors import Refused
from core.transactions import after_commit, durable
from validate.decisions import decide_again, decision_on
from validate.models import Reliability, Review, Vote
from validate.policies.trust import PRIOR_RIGHT, PRIOR_WRONG
from validate.reliability import lock_reliabilities, score

CHUNK = 200
_PENDING = Q(quarantined_at__isnull=False, looked_again_at=None)


def follow_quarantines(task: Task) -> int:
    """Do what the quarantines of a task still call for; returns how many."""
    due = list(Reliability.objects.filter(_PENDING, task=task).values_list("validator", flat=True))
    for validator_id in due:
        follow_quarantine(task.pk, validator_id)
    return len(due)


def follow_later(quarantined: Iterable[Reliability]) -> None:
    """Take the weight from these people's votes once the transaction at hand is committed."""
    for row in quarantined:
        after_commit(partial(follow_quarantine, row.task_id, row.validator_id))


def follow_quarantine(task_id: int, validator_id: int) -> None:
    """Take the weight from somebody's votes, and list the verdicts that rest on one of them."""
    if not Reliability.objects.filter(
        _PENDING, task_id=task_id, validator_id=validator_id
    ).exists():
        return
    votes = Vote.objects.filter(validator=validator_id, example__task=task_id)
    drop_votes(votes)
    Reliability.objects.filter(task_id=task_id, validator_id=validator_id).update(
        looked_again_at=timezone.now()
    )


def lift_quarantine(*, actor: User, task: Task, validator: User, reason: str) -> None:
    """Let somebody back in: their votes weigh again, and their counts start afresh.

    So does their qualification, where the task asks for one. The votes of somebody who is banned
    get their weight back when the ban is lifted too.
    """
    if not reason.strip():
        raise Refused("reason_missing", "Say why: it is kept in the history.")
    if not task.is_owned_by(actor):
        raise Refused("not_an_owner", "Only an owner of the task may do this.", status=403)
    with durable():
        row = lock_reliabilities(task.pk, [validator.pk])[validator.pk]
        row.alpha, row.beta, row.scored = PRIOR_RIGHT, PRIOR_WRONG, 0
        row.agreement = 0
        row.gold_seen = row.gold_right = 0
        row.quarantined_at = row.looked_again_at = row.qualified_at = None
        row.restarted_at = timezone.now()
        row.save()
        record_event(
            actor=actor,
            verb="lifted_quarantine",
            subject=validator,
            scope=task.slug,
            data={"reason": reason},
        )
    if validator.banned_at is None:
        restore_votes(Vote.objects.filter(validator=validator, example__task=task))


def drop_votes(votes: QuerySet[Vote]) -> None:
    """Take the weight from these votes of one person; open examples are decided again.

    A verdict stands, and is listed for the owner if it would be another one without the vote.
    """
    votes = votes.filter(purpose=Vote.Purpose.VERDICT, surplus=False, dropped=False)
    for ids in _chunks(votes):
        for example_id in ids:
            with durable():
                example = lock_example(example_id)
                matters = _would_differ(example, votes)
                votes.filter(example=example).update(dropped=True)
                _speak_again(example)
                if matters:
                    open_review(
                        example,
                        Review.Kind.QUARANTINE,
                        "Without the vote of somebody whose votes lost their weight, the verdict "
                        "would be another.",
                    )


def restore_votes(votes: QuerySet[Vote]) -> None:
    """Give these votes their weight back; open examples are decided again."""
    votes = votes.filter(dropped=True)
    for ids in _chunks(votes):
        for example_id in ids:
            with durable():
                example = lock_example(example_id)
                votes.filter(example=example).update(dropped=False)
                _speak_again(example)
                Review.objects.filter(
                    example=example, kind=Review.Kind.QUARANTINE, closed_at=None
                ).update(closed_at=timezone.now())


def _speak_again(example: Example) -> None:
    """Decide an open example again; where a verdict stands, score those who voted anew."""
    decide_again(example)
    follow_later(score(example))


def _chunks(votes: QuerySet[Vote]) -> Iterator[list[int]]:
    """The examples that these votes are on, in ascending order."""
    ids = votes.order_by("example").values_list("example", flat=True)
    after = 0
    while chunk := list(ids.filter(example__gt=after)[:CHUNK]):
        yield chunk
        after = chunk[-1]


def _would_differ(example: Example, without: QuerySet[Vote]) -> bool:
    """Whether a verdict that votes made would be another one without these."""
    if example.status == Example.Status.OPEN or example.adjudicated:
        return False
    left_out = without.filter(example=example).values("pk")
    counted = Vote.objects.counted().filter(example=example).order_by("id")
    decision = decision_on(example, list(counted.exclude(pk__in=left_out)))
    return decision.outcome.value != example.status or decision.label != example.final_label


def open_review(example: Example, kind: str, reason: str) -> None:
    """Ask the owner to look at an example; one open review of a kind is enough."""
    Review.objects.bulk_create(
        [Review(example=example, task_id=example.task_id, kind=kind, reason=reason)],
        ignore_conflicts=True,
    )


def close_reviews(example: Example, kinds: Iterable[str] = ()) -> None:
    """Close what an owner was asked to look at: all of it, or these kinds."""
    open_ones = Review.objects.filter(example=example, closed_at=None)
    if kinds:
        open_ones = open_ones.filter(kind__in=list(kinds))
    open_ones.update(closed_at=timezone.now())
