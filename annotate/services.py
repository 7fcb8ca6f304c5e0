"""Writes about examples: insert, retract, hide, and the verdict that others reach.

How one is submitted is told in `annotate.submissions`.
"""

from __future__ import annotations

import copy
import uuid
from collections.abc import Sequence
from datetime import datetime
from typing import Any, NamedTuple

from django.db.models import QuerySet
from django.utils import timezone

from accounts.models import Event, User, WorkSession
from accounts.services import add_events, erase, new_event, record_event
from annotate import facts, statements
from annotate.models import Chat, ContentKey, Context, Example, Round, RoundVisit
from annotate.queries import Participant, lockable, with_configs
from annotate.quotas import why_kept
from core.errors import Refused
from core.transactions import durable
from kinds.texts import text_key


def note_visit(round_: Round, session: WorkSession) -> None:
    """Note that somebody's visit has come to a round; a query, and a write the first time."""
    visit = RoundVisit(round=round_, session=session)
    if not RoundVisit.objects.filter(round=round_, session=session).exists():
        with durable():
            RoundVisit.objects.bulk_create([visit], ignore_conflicts=True)


def tries_at_next(examples: QuerySet[Example]) -> int:
    """Submissions since the last fooling among these, the coming one included; one query."""
    last = examples.order_by("-id").values_list("fooled", "tries").first()
    return 1 if last is None or last[0] else last[1] + 1


def insert(examples: Sequence[Example]) -> None:
    """Insert new examples, once the apps above have said which of them are to be validated."""
    for example in examples:
        facts.arrives(example)
    statements.insert(examples)


def announce(examples: Sequence[Example], *, actors: Sequence[User | None], verb: str) -> None:
    """Record inserted examples, and let the apps above queue and count them in this transaction."""
    add_events(
        [
            new_event(
                actor=actor,
                verb=verb,
                subject=example,
                scope=example.task.slug,
                data={"fooled": example.fooled, "sandbox": example.sandbox},
            )
            for example, actor in zip(examples, actors, strict=True)
        ]
    )
    facts.submitted(examples)


def record_copy(*, actor: User, of: int, is_own: bool) -> None:
    """Record that somebody sent what is there already; owners see who does so often."""
    with durable():
        first = Example.objects.select_related("task").only("task__slug").get(pk=of)
        record_event(
            actor=actor,
            verb="sent_a_copy",
            subject=first,
            scope=first.task.slug,
            data={"own": is_own},
        )


def context_of(task_id: int, data: object, source: str = "") -> Context:
    """The context with this content, made when it is new."""
    context, _ = Context.objects.get_or_create(
        task_id=task_id, sha256=text_key(data), defaults={"data": data, "source": source}
    )
    return context


def lock_example(pk: int) -> Example:
    """Lock one example's row until the transaction ends; Example.DoesNotExist."""
    return with_configs(lockable().get(pk=pk))


def _change(example: Example, **values: Any) -> None:
    """Write to a locked example and tell the apps above, with a copy from before."""
    before = copy.copy(example)
    for name, value in values.items():
        setattr(example, name, value)
    statements.update(example, *values)
    facts.changed(before, example)


def set_queued(example: Example) -> None:
    """Mark that validators are asked about this locked example."""
    _change(example, queued=True)


class Verdict(NamedTuple):
    """What an example was found to be, by votes or by an owner's word."""

    status: str
    label: object | None = None
    adjudicated: bool = False
    settled_at: datetime | None = None


def latch(
    example: Example,
    verdict: Verdict,
    *,
    verb: str,
    actor: User | None = None,
    data: dict[str, Any],
) -> None:
    """Latch a verdict on a locked example; the event tells what it was before.

    A verdict by votes (no actor) changes only an open example. One by an owner changes any, and
    from then on votes change nothing.
    """
    before = example.status
    if actor is None and before != Example.Status.OPEN:
        raise ValueError("Votes never change a settled example.")
    _change(
        example,
        status=verdict.status,
        final_label=verdict.label,
        adjudicated=verdict.adjudicated,
        settled_at=verdict.settled_at,
    )
    record_event(
        actor=actor,
        verb=verb,
        subject=example,
        scope=example.task.slug,
        data={"from": before, "to": verdict.status, "label": verdict.label, **data},
    )


def retract(*, participant: Participant, uid: uuid.UUID, erases: bool = False) -> Example:
    """Take one's own example back: it still counts as submitted, and is used for nothing else.

    Refused where its round does not allow it, unless who made it `erases` all that they left here:
    then what it says goes, too, and its row stays for the counts, and its hash for snapshots'.
    """
    with durable():
        example = own_example(participant, uid)
        if erases:
            _change(example, input={}, explanation="")
            ContentKey.objects.filter(example=example).delete()
            Chat.objects.filter(example=example).delete()
            about = Event.objects.filter(object_type="example", object_id=str(example.pk))
            erase(about.filter(verb="explained"), "from")
        if example.retracted_at is None:
            if not erases and (why := why_kept(example)):
                raise Refused("not_retractable", why, status=409)
            _change(example, retracted_at=timezone.now())
            record_event(
                actor=participant.user,
                verb="retracted",
                subject=example,
                scope=example.task.slug,
            )
    return example


def own_example(participant: Participant, uid: uuid.UUID) -> Example:
    """Lock an example of this person's own; Refused when there is none."""
    pk = participant.examples().filter(uid=uid).values_list("pk", flat=True).first()
    if pk is None:
        raise Refused("not_found", "There is no such example of yours.", status=404)
    return lock_example(pk)


def confirm(example: Example) -> None:
    """Let a locked example count, whose author a platform has vouched for."""
    _change(example, provisional=False)


def hide(example: Example, *, actor: User | None, hidden: bool, reason: str) -> None:
    """Hide a locked example from data and boards, or show it again: an owner's act, or of nobody
    the server's."""
    if actor is not None:
        require_owner(example, actor)
    if (example.hidden_at is not None) == hidden:
        return
    _change(example, hidden_at=timezone.now() if hidden else None)
    record_event(
        actor=actor,
        verb="hidden" if hidden else "restored",
        subject=example,
        scope=example.task.slug,
        data={"reason": reason},
    )


def require_owner(example: Example, actor: User) -> None:
    if not example.task.is_owned_by(actor):
        raise Refused("not_an_owner", "Only an owner of the task may do this.", status=403)
