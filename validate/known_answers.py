"""Examples with a known answer (gold): whose turn it is to be asked one unseen, and which."""

from __future__ import annotations

import random
from collections.abc import Iterable

from django.db.models import Exists, OuterRef, Q, QuerySet

from core.sql.compiled import Compiled, Given
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
    of_theirs = {"validator": row.validator_id, "task": row.task_id}
    left = row.gold_pending_id
    again = None
    if left not in {None, *(lease.example_id for lease in held)}:
        again = _LEFT.first(left=left, **of_theirs)
    return again or _ANY.first(**of_theirs)


def _unseen() -> QuerySet[Gold]:
    """The task's gold that is not this person's own, and that they neither answered nor skipped.

    An owner has tens to thousands of these: choosing one reads them all.
    """
    theirs = Q(validator=Given("validator"))
    answered = Vote.objects.filter(theirs, example=OuterRef("example"))
    claimed = Lease.objects.filter(theirs, example=OuterRef("example")).filter(
        Q(ended_at=None) | Q(end=Lease.End.SKIPPED)
    )
    active = Gold.objects.filter(
        ~Exists(answered),
        ~Exists(claimed),
        task=Given("task"),
        retired_at=None,
        example__hidden_at=None,
        example__retracted_at=None,
    )
    return active.exclude(example__author=Given("validator")).select_related(
        "example__context", "example__config"
    )


_LEFT = Compiled(lambda: _unseen().filter(pk=Given("left")))
_ANY = Compiled(lambda: _unseen().order_by("?")[:1])


def credit_of(gold: Gold, label: object, accuses: bool) -> float | None:
    """1 for the known answer, 0 for another or an accusation, None for "can't tell"."""
    if label is None:
        return 0.0 if accuses else None
    return float(same_answer(label, gold.answer))
