"""Whether somebody is asked, and what they are told about how they do.

They are never told which item was gold.
"""

from __future__ import annotations

from math import ceil
from typing import Any, Final

from django.db.models import Count, Q

from accounts.models import User
from annotate.models import Task
from annotate.queries import is_barred
from core.errors import Refused
from validate.config import ValidationSettings
from validate.known_answers import in_qualification
from validate.models import Gold, Reliability, Vote
from validate.people.reliability import reliability_of
from validate.queries import may_validate, settings_of

SCORE_EVERY: Final = 25
SCORE_BEHIND: Final = 5
LEAST_SCORED: Final = 5


def require_validator(validator: User, task: Task) -> None:
    if not may_validate(validator, task):
        raise Refused("not_a_validator", "Only validators may do this.", status=403)
    if is_barred(validator, task):
        raise Refused("banned", "The owners of this task keep you out of it.", status=403)


def require_standing(row: Reliability, task: Task) -> None:
    if row.quarantined_at is not None:
        raise Refused(
            "quarantined",
            "Your answers here often differ from what others see, so you are not asked for now. "
            "An owner of the task can let you back in.",
            status=403,
        )
    wanted = settings_of(task).qualification
    if row.qualified_at is None and 0 < wanted.items <= row.gold_seen:
        raise Refused(
            "not_qualified",
            f"You answered {row.gold_right} of the {row.gold_seen} test items as expected; it "
            f"takes {wanted.minimum:.0%} to validate here. An owner of the task can let you try "
            "again.",
            status=403,
        )


def gold_score(validator: User, task: Task) -> dict[str, int] | None:
    """How this person did on the gold among their first `answers` answers; None: too little yet.

    It is counted after every 25 answers, from the 30th on, over all but the last five: a score that
    moved with an answer would tell that this one was gold, and so would one that an undo moves
    back. Two queries.
    """
    votes = Vote.objects.filter(validator=validator, example__task=task)
    answers = (votes.count() - SCORE_BEHIND) // SCORE_EVERY * SCORE_EVERY
    if answers <= 0:
        return None
    first = votes.order_by("id").values("id")[:answers]
    counts = Vote.objects.filter(
        id__in=first, purpose=Vote.Purpose.GOLD, credit__isnull=False
    ).aggregate(seen=Count("id"), right=Count("id", filter=Q(credit=1)))
    if counts["seen"] < LEAST_SCORED:
        return None
    return {"answers": answers, **counts}


def qualification_now(validator: User, task: Task) -> dict[str, int] | None:
    """How far a person is who answers to be let in and is told how; None for everybody else."""
    settings = settings_of(task)
    row = reliability_of(task.pk, validator.pk)
    if not settings.qualification.feedback or not in_qualification(settings, row):
        return None
    return _qualification(settings, row)


def feedback_on(vote: Vote) -> dict[str, Any] | None:
    """What a person who qualifies is told about their answer; None where nothing is to be said."""
    if vote.purpose != Vote.Purpose.QUALIFICATION:
        return None
    settings = settings_of(vote.example.task)
    if not settings.qualification.feedback:
        return None
    row = reliability_of(vote.example.task_id, vote.validator_id)
    return {
        "right": vote.credit == 1,
        "answer": Gold.objects.get(pk=vote.example_id).answer,
        "qualification": {
            **_qualification(settings, row),
            "passed": row.qualified_at is not None,
        },
    }


def _qualification(settings: ValidationSettings, row: Reliability) -> dict[str, int]:
    wanted = settings.qualification
    return {
        "seen": row.gold_seen,
        "right": row.gold_right,
        "items": wanted.items,
        "needed": ceil(wanted.minimum * wanted.items),
    }
