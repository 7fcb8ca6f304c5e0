"""What validators are told about how they do, and never which item was gold."""

from __future__ import annotations

from math import ceil
from typing import Any, Final

from django.db.models import Count, Q

from accounts.models import User
from annotate.models import Task
from validate.config import ValidationSettings
from validate.gold import in_qualification
from validate.models import Gold, Reliability, Vote
from validate.reliability import reliability_of

SCORE_EVERY: Final = 25
SCORE_BEHIND: Final = 5
LEAST_SCORED: Final = 5


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
    settings = _settings(task)
    row = reliability_of(task.pk, validator.pk)
    if not settings.qualification.feedback or not in_qualification(settings, row):
        return None
    return _qualification(settings, row)


def feedback_on(vote: Vote) -> dict[str, Any] | None:
    """What a person who qualifies is told about their answer; None where nothing is to be said."""
    if vote.purpose != Vote.Purpose.QUALIFICATION:
        return None
    settings = _settings(vote.example.task)
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


def _settings(task: Task) -> ValidationSettings:
    assert task.config is not None
    settings: ValidationSettings = task.config.file.section("validation")
    return settings
