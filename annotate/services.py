"""Writes about examples: insert, explain, retract, hide, and the verdict that others reach.

How one is submitted is told in `annotate.submissions`.
"""

from __future__ import annotations

import copy
import uuid
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from django.db.models import QuerySet
from django.utils import timezone

from accounts.models import User
from accounts.services import add_events, new_event, record_event
from annotate.models import Context, Example
from annotate.queries import Participant, kept_config
from annotate.signals import example_arrives, example_changed, examples_submitted
from core.errors import Refused
from core.sql import compiled
from core.sql.compiled import Compiled, Given
from core.transactions import durable
from kinds.texts import text_key

MAX_EXPLANATION = 2_000


def tries_at_next(examples: QuerySet[Example]) -> int:
    """Submissions since the last fooling among these, the coming one included; one query."""
    last = examples.order_by("-id").values_list("fooled", "tries").first()
    return 1 if last is None or last[0] else last[1] + 1


def insert(examples: Sequence[Example]) -> None:
    """Insert new examples, once the apps above have said which of them are to be validated."""
    for example in examples:
        example_arrives.send(sender=Example, example=example)
    compiled.insert_all(examples)


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
    examples_submitted.send(sender=Example, examples=examples)


def context_of(task_id: int, data: object, source: str = "") -> Context:
    """The context with this content, made when it is new."""
    context, _ = Context.objects.get_or_create(
        task_id=task_id, sha256=text_key(data), defaults={"data": data, "source": source}
    )
    return context


def lockable(*also: str) -> QuerySet[Example]:
    """Examples that are locked when they are read, with their tasks, and then what hangs on them.

    NO KEY: rows that point to one (a lease, a vote) can still be inserted by others meanwhile.
    """
    locked = Example.objects.select_for_update(no_key=True, of=("self", *also))
    return locked.select_related("task", *also)


_LOCKED = Compiled(lambda: lockable().filter(pk=Given("example")))


def lock_example(pk: int) -> Example:
    """Lock one example's row until the transaction ends; Example.DoesNotExist."""
    return with_configs(_LOCKED.first(example=pk))


def with_configs(example: Example | None) -> Example:
    """An example that was read with its task, and the files of both; Example.DoesNotExist."""
    if example is None:
        raise Example.DoesNotExist
    example.config = kept_config(example.config_id)
    if example.task.config_id is not None:
        example.task.config = kept_config(example.task.config_id)
    return example


def _change(example: Example, **values: Any) -> None:
    """Write to a locked example and tell the apps above, with a copy from before."""
    before = copy.copy(example)
    for name, value in values.items():
        setattr(example, name, value)
    compiled.update(example, *values)
    example_changed.send(sender=Example, before=before, example=example)


def set_queued(example: Example) -> None:
    """Mark that validators are asked about this locked example."""
    _change(example, queued=True)


def settle(
    example: Example,
    *,
    status: str,
    label: object | None,
    actor: User | None = None,
    reason: str = "",
    data: dict[str, Any] | None = None,
) -> None:
    """Latch the verdict on a locked example.

    A verdict by votes (no actor) changes only an open example. One by an owner changes any, and
    from then on votes change nothing. `status` "open" takes an owner's verdict back.
    """
    adjudicated = actor is not None and status != Example.Status.OPEN
    if actor is None and example.status != Example.Status.OPEN:
        raise ValueError("Votes never change a settled example.")
    before = example.status
    _change(
        example,
        status=status,
        final_label=label,
        adjudicated=adjudicated,
        settled_at=None if status == Example.Status.OPEN else timezone.now(),
    )
    record_event(
        actor=actor,
        verb="adjudicated" if actor else "settled",
        subject=example,
        scope=example.task.slug,
        data={"from": before, "to": status, "label": label, "reason": reason, **(data or {})},
    )


def restore_verdict(
    example: Example,
    *,
    status: str,
    label: object | None,
    adjudicated: bool,
    settled_at: datetime | None,
    actor: User,
    reason: str,
) -> None:
    """Put a locked example back to an earlier verdict, when an owner takes a later one back."""
    before = example.status
    _change(
        example, status=status, final_label=label, adjudicated=adjudicated, settled_at=settled_at
    )
    record_event(
        actor=actor,
        verb="restored_verdict",
        subject=example,
        scope=example.task.slug,
        data={
            "from": before,
            "to": status,
            "label": label,
            "adjudicated": adjudicated,
            "reason": reason,
        },
    )


def retract(*, participant: Participant, uid: uuid.UUID) -> Example:
    """Take one's own example back: it still counts as submitted, and is used for nothing else."""
    with durable():
        example = _own(participant, uid)
        if example.retracted_at is None:
            _change(example, retracted_at=timezone.now())
            record_event(
                actor=participant.user,
                verb="retracted",
                subject=example,
                scope=example.task.slug,
            )
    return example


def explain(*, participant: Participant, uid: uuid.UUID, explanation: str) -> Example:
    """Add or replace the author's explanation of why the model was wrong."""
    explanation = explanation.strip()
    if len(explanation) > MAX_EXPLANATION:
        raise Refused("too_long", f"An explanation has at most {MAX_EXPLANATION} characters.")
    with durable():
        example = _own(participant, uid)
        example.explanation = explanation
        example.save(update_fields=["explanation"])
    return example


def _own(participant: Participant, uid: uuid.UUID) -> Example:
    pk = participant.examples().filter(uid=uid).values_list("pk", flat=True).first()
    if pk is None:
        raise Refused("not_found", "There is no such example of yours.", status=404)
    return lock_example(pk)


def set_hidden(*, actor: User, example_id: int, hidden: bool, reason: str) -> Example:
    """Hide an example from data and boards, or show it again; an owner's act with a reason."""
    with durable():
        example = lock_example(example_id)
        hide(example, actor=actor, hidden=hidden, reason=reason)
    return example


def hide(example: Example, *, actor: User, hidden: bool, reason: str) -> None:
    """The same for an example that the caller has locked."""
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
