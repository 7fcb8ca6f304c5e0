"""When rounds open and close by the clock and by what they have, and how that is changed."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from datetime import datetime
from typing import Any

from django.utils import timezone

from accounts.models import User
from accounts.services import record_event
from annotate.models import Round, Task
from annotate.quotas import why_full
from annotate.rounds import announce, close, close_open, columns_of
from annotate.sections import Rounds
from core import strict_yaml
from core.errors import Conflict, Refused
from core.strict_yaml import NotYaml
from core.transactions import durable

Status = Round.Status


def read_rules(data: Mapping[str, Any]) -> Rounds:
    """What somebody wants to hold in a round; Refused says what is wrong with it."""
    try:
        return strict_yaml.parse(Rounds, data, what="round")
    except NotYaml as error:
        raise Refused("bad_rules", str(error)) from error


def change_round(
    *, task: Task, number: int, changes: Mapping[str, Any], reason: str, actor: User | None = None
) -> Round:
    """Give a round that is open, or scheduled, other times and quotas; what it has stays.

    `changes` are what differs, None for none any more. One whose end has come by it is closed, one
    whose beginning has come is opened, and one that is to open never is taken off the calendar.
    """
    if not reason.strip():
        raise Refused("reason_missing", "Say why: people may have planned by what was announced.")
    with durable():
        if actor is not None and not task.is_owned_by(actor):
            raise Refused("not_an_owner", "Only an owner of the task may do this.", status=403)
        round_ = _locked(task, number)
        if round_.status == Status.OPEN:  # when it opened is so
            changes = {**changes, "opens_at": round_.opens_at}
        rules = read_rules({**round_.limits.model_dump(), **changes})
        told = rules.model_dump(mode="json", exclude_defaults=True)
        record_event(
            actor=actor,
            verb="changed_rules",
            subject=round_,
            scope=task.slug,
            data={"number": number, "rules": told, "reason": reason},
        )
        if round_.status == Status.DRAFT and rules.opens_at is None:
            round_.delete()
            return round_
        for name, value in columns_of(rules).items():
            setattr(round_, name, value)
        del round_.limits
        round_.save(update_fields=["opens_at", "closes_at", "rules"])
        if round_.status == Status.OPEN and round_.is_over:
            _end(round_, actor, reason)
        elif round_.status == Status.DRAFT and _has_come(rules.opens_at):
            _open_draft(round_, actor, reason)
    return round_


def _locked(task: Task, number: int) -> Round:
    Task.objects.select_for_update(no_key=True).get(pk=task.pk)
    # FOR UPDATE waits for submissions under way.
    there = Round.objects.select_for_update(of=("self",)).select_related("task")
    round_ = there.filter(task=task, number=number).first()
    if round_ is None:
        raise Refused("not_found", f"There is no round {number}.", status=404)
    if round_.status == Status.CLOSED:
        raise Conflict("round_closed", f"Round {number} is closed: open another one.")
    return round_


def follow_the_clock() -> None:
    """Open the rounds whose time has come, and close those that are over or full.

    What comes too late is refused without it: a process that lags lets nobody in.
    """
    now = timezone.now()
    for draft in Round.objects.filter(status=Status.DRAFT, opens_at__lte=now):
        with durable(), suppress(Refused):  # another worker was quicker, or an owner
            locked = _locked(draft.task, draft.number)
            if locked.status == Status.DRAFT:
                _open_draft(locked, None, "Its time has come.")
    for round_ in Round.objects.filter(status=Status.OPEN).select_related("task"):
        if reason := "Its time is over." if round_.is_over else why_full(round_):
            with durable(), suppress(Refused):  # somebody closed it meanwhile
                _end(_locked(round_.task, round_.number), None, reason)


def _has_come(at: datetime | None) -> bool:
    return at is not None and at <= timezone.now()


def _open_draft(draft: Round, actor: User | None, reason: str) -> None:
    """Let a locked draft begin."""
    close_open(draft.task)
    draft.status, draft.opened_at = Status.OPEN, timezone.now()
    draft.save(update_fields=["status", "opened_at"])
    announce(draft, list(draft.targets.all()), "opened", actor, reason)


def _end(round_: Round, actor: User | None, reason: str) -> None:
    """Close a locked round that none follows."""
    close(round_)
    record_event(
        actor=actor,
        verb="closed",
        subject=round_,
        scope=round_.task.slug,
        data={"number": round_.number, "reason": reason},
    )
