"""Examples with a known answer (gold): whose turn it is to be asked one unseen, and which."""

from __future__ import annotations

import random
from collections.abc import Iterable

from django.db.models import Exists, OuterRef, Q, QuerySet

from kinds.answers import same_answer
from validate.config import ValidationSettings
from validate.models import Gold, Lease, Reliability, Vote
from validate.statements import Held

_chance = random.SystemRandom()


def is_gold_turn(settings: ValidationSettings, answered: int) -> bool:
    """Toss whether the item after `answered` others is gold: each place is as likely as another."""
    return _chance.random() < settings.gold_share(answered)


def in_qualification(settings: ValidationSettings, row: Reliability) -> bool:
    """Whether this person still has to show what they can."""
    return settings.qualification.items > 0 and row.qualified_at is None


def gold_for(row: Reliability, held: Iterable[Held]) -> Gold | None:
    """Gold to ask this person about: what they left unanswered first, else any they never saw."""
    all_of_it = unseen(row.validator_id, row.task_id)
    left = row.gold_pending_id
    again = None
    if left not in {None, *(lease.example_id for lease in held)}:
        again = all_of_it.filter(pk=left).first()
    return again or all_of_it.order_by("?").first()


def unseen(validator_id: int, task_id: int) -> QuerySet[Gold]:
    """The task's gold that is not this person's own, and that they neither answered nor skipped.

    An owner has tens to thousands of these: choosing one reads them all.
    """
    theirs = Q(validator=validator_id)
    answered = Vote.objects.filter(theirs, example=OuterRef("example"))
    claimed = Lease.objects.filter(theirs, example=OuterRef("example")).filter(
        Q(ended_at=None) | Q(end=Lease.End.SKIPPED)
    )
    active = Gold.objects.filter(
        ~Exists(answered),
        ~Exists(claimed),
        task=task_id,
        retired_at=None,
        example__hidden_at=None,
        example__retracted_at=None,
    )
    return active.exclude(example__author=validator_id).select_related(
        "example__context", "example__config"
    )


def credit_of(gold: Gold, label: object, accuses: bool) -> float | None:
    """1 for the known answer, 0 for another or an accusation, None for "can't tell"."""
    if label is None:
        return 0.0 if accuses else None
    return float(same_answer(label, gold.answer))
