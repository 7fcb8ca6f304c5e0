"""What people are told that they reached, by one table of rules; a task may switch either off."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, timedelta, tzinfo
from functools import cache as once
from functools import partial
from typing import Final
from zoneinfo import ZoneInfo, available_timezones

from django.conf import settings
from django.core.cache import cache
from django.db.models.functions import TruncDate
from django.utils import timezone

from accounts.models import User
from annotate.models import Example, Task
from scoring.queries import Board

LONGEST: Final = 366  # days that are looked at


@dataclass(frozen=True, slots=True)
class Rule:
    """From `least` of something on; of each thing the last rule that is met is told."""

    of: str
    least: int
    words: str


RULES: Final = (
    Rule("streak", 2, "{n} days in a row"),
    Rule("verified", 1, "a first verified fooling"),
    Rule("verified", 10, "10 verified foolings"),
    Rule("verified", 50, "50 verified foolings"),
    Rule("verified", 250, "250 verified foolings"),
    Rule("verified", 1_000, "1,000 verified foolings"),
)


def awards_of(task: Task, person: User, board: Board, zone: tzinfo) -> list[str]:
    """What this person reached in a task; one query, none where the task wants no streaks."""
    assert task.config is not None
    wanted = task.config.file.awards
    reached = {}
    if "streak" in wanted:
        # As old as the board beside it: an open page asks every few seconds.
        key = f"streak-{task.pk}-{person.pk}-{zone}"
        days = partial(streak, task, person, zone)
        reached["streak"] = cache.get_or_set(key, days, settings.BOARD_SECONDS) or 0
    if "verified" in wanted:
        own = board.by_author.get(person.pk)
        reached["verified"] = own.counts.verified if own else 0
    met = {rule.of: rule for rule in RULES if reached.get(rule.of, 0) >= rule.least}
    return [rule.words.format(n=reached[rule.of]) for rule in met.values()]


def streak(task: Task, person: User, zone: tzinfo) -> int:
    """Days in a row on which this person sent something that counts, as their calendar has them.

    A day that is not over breaks nothing: the streak ends today or yesterday.
    """
    today = timezone.now().astimezone(zone).date()
    sent = (
        Example.objects.counted()
        .filter(task=task, author=person, created_at__gte=timezone.now() - timedelta(LONGEST))
        .annotate(day=TruncDate("created_at", tzinfo=zone))
        .order_by("-day")
        .values_list("day", flat=True)
        .distinct()
    )
    return in_a_row(list(sent), today)


def in_a_row(days: Sequence[date], today: date) -> int:
    """How many of these, the newest first, follow each other up to today or yesterday."""
    if not days or days[0] < today - timedelta(1):
        return 0
    return next(
        (n for n, day in enumerate(days) if day != days[0] - timedelta(n)),
        len(days),
    )


@once
def _zones() -> frozenset[str]:
    return frozenset(available_timezones())


def zone_named(name: str) -> tzinfo:
    """Of a browser's word for it; UTC for what is none."""
    return ZoneInfo(name) if name in _zones() else UTC
