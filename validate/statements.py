"""What every answer reads, locks and writes, built once: building it anew costs more than it does.

A validator's next item and their progress were two thirds ORM. What waits for somebody is said once
more, for all tasks together, by `validate.queries.waiting_by_task`; a test compares the two.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import datetime, timedelta
from functools import cache, partial, reduce
from operator import or_
from typing import Any, NamedTuple
from uuid import UUID

from django.conf import settings
from django.db import connection
from django.db.models import Exists, F, OuterRef, Q, QuerySet, Subquery
from django.db.models.expressions import RawSQL
from django.utils import timezone

from annotate.models import Example
from annotate.queries import lockable
from core.sql import compiled, prepared
from core.sql.compiled import Compiled, CompiledUpdate, Given, adapted
from validate.models import Apart, Gold, Lease, QueueItem, Reliability, Vote
from validate.order import (
    ADD_TO_SHARE,
    CAP_FROM_VOTES,
    FREE,
    FREE_TO_PROVEN,
    HAS_A_WORD,
    WAITING,
)
from validate.policies import lots

VALIDATES_WITHIN = timedelta(days=7)
MANY = 20  # items; counting on would cost more than the next item itself (1,000: 2.5 ms)

# Nothing here may tell gold from the rest: what one holds counts as waiting whatever it is, and
# what one skipped stays skipped when others settle it, which gold never is.
_PROGRESS = f"""
    SELECT COALESCE(r.answered, 0),
        CASE WHEN r.answered_at >= %(midnight)s THEN r.answered_today ELSE 0 END,
        claimed.skipped, waiting.items + claimed.held
    FROM (
        SELECT COUNT(CASE WHEN l.ended_at IS NULL THEN 1 END) AS held,
            COUNT(DISTINCT CASE WHEN l.ended_at IS NOT NULL THEN l.example_id END) AS skipped
        FROM validate_lease l JOIN annotate_example e ON e.id = l.example_id
        WHERE l.validator_id = %(validator)s AND e.task_id = %(task)s
            AND (l.ended_at IS NULL OR l."end" = 'skipped')
    ) claimed CROSS JOIN (
        SELECT COUNT(*) AS items FROM (
            SELECT 1 FROM validate_queueitem q WHERE {WAITING} LIMIT {MANY}) some_items
    ) waiting
    LEFT JOIN validate_reliability r
        ON r.task_id = %(task)s AND r.validator_id = %(validator)s
"""  # noqa: S608


class Held(NamedTuple):
    """A lease that somebody holds."""

    id: UUID
    example_id: int


class Counts(NamedTuple):
    """What `counts` counts; `waiting` is what one holds and what else waits, of it at most MANY."""

    votes: int
    today: int
    skipped: int
    waiting: int


# The leases this person holds: not run out, and their vote still wanted, or on gold. And, in a row
# of its own, whether there are any at all that ran out: these may have to be ended first.
_HELD = """
    SELECT l.id, l.example_id, l.created_at
    FROM validate_lease l JOIN annotate_example e ON e.id = l.example_id
        LEFT JOIN validate_queueitem q ON q.example_id = l.example_id
    WHERE l.validator_id = %(validator)s AND e.task_id = %(task)s
        AND l.ended_at IS NULL AND l.expires_at > %(now)s
        AND (NOT q.withdrawn OR l.gold AND e.hidden_at IS NULL AND e.retracted_at IS NULL)
    UNION ALL
    SELECT NULL, NULL, NULL
    WHERE EXISTS (
        SELECT 1 FROM validate_lease l WHERE l.ended_at IS NULL AND l.expires_at <= %(now)s)
    ORDER BY 3
"""

_TAKE_FROM_SHARE = """
    UPDATE validate_authorshare SET votes = votes + %(votes)s, agreed = agreed + %(agreed)s
    WHERE task_id = %(task)s AND author_id = %(author)s AND validator_id = %(validator)s
"""


class Asked(NamedTuple):
    """Who asks for an item: what the task lets them do, and what is known of them.

    Whether they have standing where the task has gold (they are `proven`), and where it has none
    (they are, or others `agree`); whether they may begin new authors' examples without it.
    """

    task_id: int
    validator_id: int
    cap: float
    picked: int
    proven: bool
    agrees: bool
    begins: bool


def free_item(asked: Asked, *, lock: bool = True) -> int | None:
    """The example that this person is asked about next, its queue entry locked; None: none is free.

    Claimed foolings first; of the first ones (what is nearest to a verdict, then the oldest) the
    one that the lot gives them. Left out are authors of whose votes this person has given the share
    `cap`, from 20 votes on, and those they are tied to.
    """
    sql = FREE_TO_PROVEN if asked.proven else FREE
    sql = sql.format(lock=_lock(skip_locked=False) if lock else "")
    found = prepared.rows(sql, _given(asked))
    return int(found[0][0]) if found else None


def free_example(asked: Asked) -> Example | None:
    """The same with all that is shown of it, past what somebody else has locked; one statement."""
    free = _FREE_EXAMPLE_TO_PROVEN if asked.proven else _FREE_EXAMPLE
    return free.first(**_given(asked))


def _given(asked: Asked) -> dict[str, Any]:
    task_id, validator_id, cap, picked, proven, agrees, begins = asked
    now = timezone.now()
    turn, shift = lots.key_of(settings.SECRET_KEY, task_id, validator_id)
    return {
        "task": task_id,
        "validator": validator_id,
        "cap": cap,
        "least": int(cap * CAP_FROM_VOTES),
        "since": _since(now),
        "now": adapted(now),
        "aged": adapted(now - timedelta(days=lots.OPENS_WITHIN)),
        "picked": picked,
        "turn": turn,
        "shift": shift,
        "proven": int(proven),
        "agrees": int(agrees),
        "begins": int(begins),
    }


def _since(now: datetime) -> Any:
    """Who answered since is at work."""
    return adapted(now - VALIDATES_WITHIN)


def shown() -> QuerySet[Example]:
    """Examples with what validators see of them, but for their configuration."""
    return Example.objects.select_related("context")


def _free_examples(sql: str) -> QuerySet[Example]:
    sql = sql.format(lock=_lock(skip_locked=True))
    names = re.findall(r"%\((\w+)\)s", sql)
    free = RawSQL(re.sub(r"%\(\w+\)s", "%s", sql), [Given(name) for name in names])  # noqa: S611
    return shown().filter(pk=free)


_FREE_EXAMPLE = Compiled(partial(_free_examples, FREE))
_FREE_EXAMPLE_TO_PROVEN = Compiled(partial(_free_examples, FREE_TO_PROVEN))


def _lock(*, skip_locked: bool) -> str:
    if not connection.features.has_select_for_update:
        return ""  # SQLite has one writer at a time
    return "FOR NO KEY UPDATE OF q" + (" SKIP LOCKED" if skip_locked else "")


def counts(task_id: int, validator_id: int, *, midnight: datetime) -> Counts:
    """How far this person is in a task, and what waits for them."""
    given = {"task": task_id, "validator": validator_id, "midnight": adapted(midnight)}
    (row,) = prepared.rows(_PROGRESS, given)
    return Counts(*row)


def held(task_id: int, validator_id: int, *, now: datetime) -> tuple[list[Held], bool]:
    """The leases that this person holds in the task, oldest first, and whether any lease of
    anybody's, in whatever task, has run out and was not ended."""
    given = {"task": task_id, "validator": validator_id, "now": adapted(now)}
    rows = prepared.rows(_HELD, given)
    leases = [Held(id if isinstance(id, UUID) else UUID(id), one) for id, one, _ in rows if id]
    return leases, len(leases) < len(rows)


class Met(NamedTuple):
    """What a vote meets.

    Where there are people enough for a closer look: an author of whom little is known, or little
    good, who needs a `close` one, or a verdict that `may_be` too weak. Whether the task has
    `gold`; whether the voter is `tied` to the author.
    """

    close: bool
    may_be: bool
    gold: bool
    tied: bool


def add_to_share(
    *, task_id: int, author_id: int, validator_id: int, agreed: bool, rests_on_two: bool
) -> Met:
    """Count a vote into its validator's share of an author's votes."""
    key = {"task": task_id, "author": author_id, "validator": validator_id}
    given = {"votes": 1, "agreed": int(agreed), "since": _since(timezone.now())}
    given["rests_on_two"] = int(rests_on_two)
    ((look, gold, named_at),) = prepared.rows(ADD_TO_SHARE, {**key, **given})
    # SQLite 3.40 returns 1 for `named_at IS NOT NULL` there, whatever it is.
    return Met(look == 2, bool(look), bool(gold), tied=named_at is not None)


def one_of_standing_voted(task_id: int, example_id: int) -> bool:
    """Whether an example has a vote of somebody of standing, or of anybody in a new crowd."""
    given = {"task": task_id, "example": example_id, "since": _since(timezone.now())}
    return bool(prepared.rows(HAS_A_WORD, given)[0][0])


def take_from_share(*, task_id: int, author_id: int, validator_id: int, agreed: bool) -> None:
    """Take from a share what was counted into it."""
    key = {"task": task_id, "author": author_id, "validator": validator_id}
    prepared.changed(_TAKE_FROM_SHARE, {**key, "votes": -1, "agreed": -int(agreed)})


def keep_votes_out() -> None:
    """Let nobody count a vote into a share until the transaction ends, which holds nothing else.

    Whoever has counted is then committed. SQLite has one writer anyway.
    """
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute("LOCK TABLE validate_authorshare IN EXCLUSIVE MODE")


# --- locks ----------------------------------------------------------------------------------------
def lock_leased(lease: UUID, validator_id: int) -> tuple[Example, QueueItem | None] | None:
    """Lock the example that this person has, or had, a lease on, and its queue entry."""
    given = {"lease": lease, "validator": validator_id}
    if queued := _LEASED_AND_QUEUED.first(**given):
        return queued, queued.queue_item
    example = _LEASED.first(**given)
    if example is None:
        return None
    # Settled, perhaps while it was waited for, or gold; or queued again at this moment.
    waits = example.queued and example.status == Example.Status.OPEN
    return example, lock_item(example.pk) if waits else None


def _leased(examples: QuerySet[Example]) -> QuerySet[Example]:
    lease = Lease.objects.filter(pk=Given("lease"), validator=Given("validator"))
    return examples.filter(pk=Subquery(lease.values("example")[:1]))


_LEASED = Compiled(lambda: _leased(lockable()))
_LEASED_AND_QUEUED = Compiled(
    lambda: _leased(lockable("queue_item").filter(queue_item__isnull=False))
)


def lock_item(example_id: int) -> QueueItem | None:
    """Lock an example's queue entry until the end of the transaction; None when it has none."""
    return _ITEM.first(example=example_id)


_ITEM = Compiled(
    lambda: QueueItem.objects.select_for_update(no_key=True).filter(pk=Given("example"))
)

VOTERS = 8  # that an example rarely has more of


def lock_rows(task_id: int, people: Sequence[int]) -> list[Reliability]:
    """Lock the rows of these people, in ascending order, as far as there are any."""
    if not 0 < len(people) <= VOTERS:
        return list(_rows().filter(task=task_id, validator__in=people))
    given = {f"voter_{place}": person for place, person in enumerate(people)}
    return _rows_of(len(people)).all(task=task_id, **given)


def _rows() -> QuerySet[Reliability]:
    return Reliability.objects.select_for_update(no_key=True).order_by("validator")


@cache
def _rows_of(voters: int) -> Compiled[Reliability]:
    anyone = reduce(or_, (Q(validator=Given(f"voter_{place}")) for place in range(voters)))
    return Compiled(lambda: _rows().filter(anyone, task=Given("task")))


# --- reads ----------------------------------------------------------------------------------------
def votes_on(example_id: int) -> list[Vote]:
    """The votes meant to decide an example, oldest first."""
    return _VOTES.all(example=example_id)


_VOTES = Compiled(lambda: Vote.objects.to_decide().filter(example=Given("example")).order_by("id"))


def row_of(task_id: int, validator_id: int) -> Reliability | None:
    """A person's row, not locked."""
    return _ROW.first(task=task_id, validator=validator_id)


_ROW = Compiled(
    lambda: Reliability.objects.filter(task=Given("task"), validator=Given("validator"))
)


def shown_lease(lease: UUID) -> Lease | None:
    """A lease with what its holder is shown of its example, but for the configuration."""
    return _SHOWN_LEASE.first(lease=lease)


_SHOWN_LEASE = Compiled(
    lambda: Lease.objects.select_related("example__context").filter(pk=Given("lease"))
)


def unseen_gold(row: Reliability, *, only: int | None = None) -> Gold | None:
    """Any of the task's gold that this person never saw, or this one if they did not."""
    given = {"validator": row.validator_id, "task": row.task_id}
    return _ANY_GOLD.first(**given) if only is None else _THIS_GOLD.first(gold=only, **given)


def _gold() -> QuerySet[Gold]:
    """Gold that neither is nor may be their own, and that they neither answered nor skipped.

    An owner has tens to thousands of these: choosing one reads them all.
    """
    theirs = Q(validator=Given("validator"), example=OuterRef("example"))
    claims = Lease.objects.filter(theirs).filter(Q(ended_at=None) | Q(end=Lease.End.SKIPPED))
    apart = Apart.objects.filter(validator=Given("validator"), author=OuterRef("example__author"))
    active = Gold.objects.filter(
        ~Exists(apart),
        ~Exists(Vote.objects.filter(theirs)),
        ~Exists(claims),
        task=Given("task"),
        retired_at=None,
        example__hidden_at=None,
        example__retracted_at=None,
    )
    return active.exclude(example__author=Given("validator")).select_related(
        "example__context", "example__config"
    )


_ANY_GOLD = Compiled(lambda: _gold().order_by("?")[:1])
_THIS_GOLD = Compiled(lambda: _gold().filter(pk=Given("gold")))


# --- writes ---------------------------------------------------------------------------------------
def take_place(example_id: int) -> None:
    """Count one more lease in an entry that is locked."""
    _TAKE_PLACE.run(example=example_id)


_TAKE_PLACE = CompiledUpdate(
    lambda: QueueItem.objects.filter(pk=Given("example")), leases_active=F("leases_active") + 1
)


def close_for_vote(lease: UUID, now: datetime) -> Lease | None:
    """End an active lease that has not run out, with a vote; None when it is none of these."""
    return next(iter(_CLOSE_FOR_VOTE.returning(lease=lease, now=now)), None)


_CLOSE_FOR_VOTE = CompiledUpdate(
    lambda: Lease.objects.filter(pk=Given("lease"), ended_at=None, expires_at__gt=Given("now")),
    ended_at=Given("now"),
    end=Lease.End.VOTED,
)

# What an answer moves in its voter's row, and what a verdict does.
_COUNTED = (
    *("alpha", "beta", "scored", "agreement", "gold_seen", "gold_right", "answered", "answered_at"),
    *("answered_today", "recent_seconds", "passes", "passes_at"),
    *("gold_pending", "qualified_at", "quarantined_at", "looked_again_at"),
)
_STANDING = ("alpha", "beta", "scored", "agreement", "quarantined_at", "looked_again_at")


def save_answer(row: Reliability) -> None:
    """Write a locked row after an answer was counted in it or taken out of it."""
    compiled.update(row, *_COUNTED)


def save_passes(row: Reliability) -> None:
    """Write what a locked row owes for items that were left."""
    compiled.update(row, "passes", "passes_at", "skipped")


def save_credits(votes: Sequence[Vote]) -> None:
    """Write what votes on a locked example are worth."""
    compiled.update_all(votes, "credit", "agreement")


def save_standings(rows: Sequence[Reliability]) -> None:
    """Write what a verdict moved in the locked rows of those who voted."""
    compiled.update_all(rows, *_STANDING)


def insert(row: Lease | Vote | QueueItem) -> None:
    compiled.insert(row)


def insert_items(items: Sequence[QueueItem]) -> None:
    compiled.insert_all(items)


def save_item(item: QueueItem) -> None:
    """Write what votes and leases change in a locked entry."""
    compiled.update(item, "votes_wanted", "urgency", "leases_active")


def delete_item(item: QueueItem) -> None:
    compiled.delete(item)
