"""Contexts: loaded by owners, and given to annotators one by one."""

from __future__ import annotations

import json
import random
import uuid
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, NamedTuple

from django.db.models import Count, Min, Q
from django.utils import timezone

from accounts.models import User
from accounts.services import record_event
from annotate import statements
from annotate.config import TaskFile
from annotate.context_files import Row
from annotate.models import Context, ContextLease, Example, Task
from annotate.queries import Participant, is_barred
from annotate.standing import banned, require_sandbox, require_standing
from core.errors import Refused
from core.refused_lines import RefusedLines
from core.strict_json import check_storable, loads
from core.transactions import durable
from kinds import Kind
from kinds.texts import text_key

HOLD: Final = timedelta(hours=1)  # that a context counts as used by somebody who wrote nothing
BATCH: Final = 500
MAX_SOURCE: Final = 100
SHOWN: Final = 50  # sources on a page


# --- giving ---------------------------------------------------------------------------------------
class Given(NamedTuple):
    """A context that somebody was given; a goal and tries only where the task says so."""

    context: Context
    goal: str | None
    tries_left: int | None


def next_context(*, participant: Participant, task: Task, skip: object = None) -> Given | None:
    """Give the context that this person writes about next; None when none is left for them.

    The one they hold, until they have written about it or skip it (`skip`: its id); what somebody
    had or skipped they are not given again. Locks the task for those who ask for another one.
    """
    assert task.config is not None
    file = task.config.file
    if participant.user is None:
        require_sandbox(file)
    else:
        require_standing(participant.user)
        if is_barred(participant.user, task):
            raise banned()
    now = timezone.now()
    with durable():
        statements.lock_contexts(task.pk)
        if skip is not None:
            _skip(participant, task, skip)
        held = statements.held_context(**participant.ids, task_id=task.pk, until=now + HOLD)
        pk, goal = held or _lease(participant, task, file, now)
        if pk is None:
            return None
        context = Context.objects.get(pk=pk)
    return Given(context, goal or None, file.contexts.tries)


def are_left(user: User, task: Task) -> bool:
    """Whether somebody can write on here: a context is left for them, or none is given (at most two
    queries, none where the kind has none)."""
    if task.config is None or not task.config.file.kind.contexts:
        return True
    offered = Context.objects.filter(task=task, offered=True)
    done = ContextLease.objects.filter(Q(tries__gt=0) | Q(skipped=True), author=user)
    theirs = offered.exclude(pk__in=done.filter(context__task=task).values("context"))
    return theirs.exists() or not offered.exists()


def _lease(
    participant: Participant, task: Task, file: TaskFile, now: datetime
) -> tuple[int | None, str]:
    ids = {**participant.ids, "task_id": task.pk, "now": now}
    pk = statements.free_context(**ids, policy=file.contexts.policy)
    if pk is None:
        return None, ""
    goal = ""
    if file.contexts.goal == "balanced":
        had = statements.goals(author=ids["author"], task_id=task.pk, now=now)
        least = min(had.get(label, 0) for label in file.label_values)
        goal = random.choice([one for one in file.label_values if had.get(one, 0) == least])
    lease = ContextLease(
        context_id=pk,
        author=participant.user,
        session=None if participant.user else participant.session,
        goal=goal,
        expires_at=now + HOLD,
    )
    statements.insert_lease(lease)
    return pk, goal


def _skip(participant: Participant, task: Task, uid: object) -> None:
    whose = {"author": participant.user} if participant.user else {"session": participant.session}
    skipped = 0
    with suppress(TypeError, ValueError, AttributeError):
        leases = ContextLease.objects.filter(
            context__task=task,
            context__uid=uuid.UUID(uid),  # type: ignore[arg-type]
            **whose,
        )
        skipped = leases.update(skipped=True)
    if not skipped:
        raise Refused(
            "unknown_context",
            "To skip a context, name the id of one that you were given.",
            fields={"skip": "unknown"},
        )


# --- loading --------------------------------------------------------------------------------------
@dataclass
class Loaded(RefusedLines):
    """What a file of contexts came to."""

    new: int = 0
    known: int = 0


def load_contexts(
    *,
    task: Task,
    rows: Iterable[Row],
    source: str = "",
    dry_run: bool = False,
    actor: User | None = None,
) -> Loaded:
    """Take in a task's contexts, each once whatever file it comes in; a bad row is told and left.

    A row is what a context says of an input, or its one text in a column `context` or `text`; its
    own `source` comes before the file's. With `dry_run` nothing is written.
    """
    kind = task.kind
    if not kind.contexts:
        raise Refused("no_context", f"A {kind.words.thing} has no context.")
    outcome = Loaded()
    batch: dict[str, Context] = {}
    read = set[str]()  # a file's own rows, which only checking does not write
    for row in rows:
        try:
            context = _read(task, kind, row, source)
        except (Refused, ValueError) as error:
            outcome.refuse(row.number, getattr(error, "message", str(error)))
            continue
        if context.sha256 in read:
            outcome.known += 1
            continue
        read.add(context.sha256)
        batch[context.sha256] = context
        if len(batch) == BATCH:
            _write(task, batch, outcome, actor, dry_run=dry_run)
    _write(task, batch, outcome, actor, dry_run=dry_run)
    return outcome


def _read(task: Task, kind: Kind, row: Row, source: str) -> Context:
    if isinstance(row.content, str):
        raise Refused("bad_row", row.content)
    try:  # Parquet has dates, bytes and NaN, and a file of any kind text that is none
        content = loads(json.dumps(row.content))
    except TypeError as error:
        raise Refused("bad_row", f"a column is no JSON: {error}.") from error
    data = {name: value for name, value in content.items() if value not in (None, "")}
    source = str(data.pop("source", source))
    tags = data.pop("tags", [])
    tags = tags.split(",") if isinstance(tags, str) else tags
    if not isinstance(tags, list) or not all(isinstance(tag, str) for tag in tags):
        raise Refused("bad_row", "tags must be a list of texts, or texts with commas between them.")
    if len(source) > MAX_SOURCE:
        raise Refused("bad_row", f"source has more than {MAX_SOURCE} characters.")
    if {"text", "context"} <= data.keys():
        raise Refused("bad_row", "a row has its text in `context` or in `text`: leave one of them.")
    if "text" in data:
        data = {"context": data.pop("text"), **data}
    if not isinstance(data.get("context"), str) or not data["context"].strip():
        raise Refused("bad_row", "a row needs its text in a column `context` or `text`.")
    check_storable([source])
    kind.parse({**kind.probes[0], **kind.about({}, data)})  # type: ignore[dict-item]
    tags = [tag.strip() for tag in tags if tag.strip()]
    return Context(
        task=task, data=data, sha256=text_key(data), source=source, tags=tags, offered=True
    )


def _write(
    task: Task, batch: dict[str, Context], outcome: Loaded, actor: User | None, *, dry_run: bool
) -> None:
    """Insert those of a batch that are new; what a log brought is offered from now on."""
    with durable():
        there = Context.objects.filter(task=task, sha256__in=batch)
        if not dry_run:
            there.filter(offered=False).update(offered=True)
        known = set(there.values_list("sha256", flat=True))
        new = [context for sha256, context in batch.items() if sha256 not in known]
        if new and not dry_run:
            Context.objects.bulk_create(new, ignore_conflicts=True)
            record_event(
                actor=actor,
                verb="loaded_contexts",
                subject=task,
                scope=task.slug,
                data={"contexts": len(new)},
            )
    outcome.new += len(new)
    outcome.known += len(batch) - len(new)
    batch.clear()


# --- looking after them ---------------------------------------------------------------------------
@dataclass(frozen=True, slots=True)
class Source:
    """The contexts of one source: how many, how many are given out, and what came of them."""

    source: str
    contexts: int
    offered: int
    submitted: int
    fooled: int
    sample: str


def sources(task: Task, named: str = "") -> tuple[list[Source], int]:
    """A task's contexts by source, in alphabetical order, and how many sources there are.

    The first of those whose name has `named` in it; four queries.
    """
    of_name = Context.objects.filter(task=task, source__icontains=named)
    found = list(
        of_name.values_list("source")
        .annotate(number=Count("id"), given=Count("id", filter=Q(offered=True)), first=Min("id"))
        .order_by("source")[:SHOWN]
    )
    submitted = (
        Example.objects.counted()
        .filter(task=task, context__source__in=[source for source, *_ in found])
        .values_list("context__source")
        .annotate(number=Count("id"), fools=Count("id", filter=Q(fooled=True)))
        .order_by()
    )
    came = {source: (number, fools) for source, number, fools in submitted}
    firsts = Context.objects.in_bulk([first for *_, first in found])
    rows = [
        Source(
            source,
            number,
            offered,
            *came.get(source, (0, 0)),
            firsts[first].data.get("context", ""),
        )
        for source, number, offered, first in found
    ]
    return rows, of_name.aggregate(n=Count("source", distinct=True))["n"]


def offer(*, actor: User, task: Task, source: str, again: bool) -> int:
    """Let a source's contexts be given out no more, or `again`; returns how many that changed."""
    with durable():
        changed = Context.objects.filter(task=task, source=source, offered=not again).update(
            offered=again
        )
        if changed:
            record_event(
                actor=actor,
                verb="offered_contexts" if again else "withdrew_contexts",
                subject=task,
                scope=task.slug,
                data={"source": source, "contexts": changed},
            )
    return changed
