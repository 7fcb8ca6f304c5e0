"""Examples with a known answer (gold): whose turn it is to be asked one unseen, and which."""

from __future__ import annotations

import random
from collections.abc import Iterable

from annotate.config import TaskFile
from validate import statements
from validate.config import ValidationSettings
from validate.models import Gold, Reliability
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
    left = row.gold_pending_id
    again = None
    if left is not None and left not in {lease.example_id for lease in held}:
        again = statements.unseen_gold(row, only=left)
    return again or statements.unseen_gold(row)


def credit_of(gold: Gold, label: object, accuses: bool, file: TaskFile) -> float | None:
    """1 for the known answer, 0 for another or an accusation, None for "can't tell"."""
    if label is None:
        return 0.0 if accuses else None
    return float(file.same(label, gold.answer))
