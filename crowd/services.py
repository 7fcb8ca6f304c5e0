"""A visit once it has begun: be checked, finish, return, run out, be confirmed or rejected."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from datetime import datetime, timedelta
from typing import Final

from django.db import IntegrityError
from django.db.models import F, Q
from django.utils import timezone

from accounts.models import User
from accounts.services import salted
from annotate.models import Example
from annotate.services import confirm as confirm_example
from annotate.services import lock_example
from core.errors import Conflict, Refused
from core.transactions import durable
from crowd import earned, queries, statements
from crowd.campaigns import record
from crowd.models import Campaign, Visit
from validate.acts.lease import give_up

ATTEMPTS: Final = 2  # at the comprehension check
IDLE: Final = 120.0  # seconds without a sign of life that still count as work, for everybody alike


def check(*, visit: Visit, answers: Mapping[str, str]) -> bool:
    """Whether somebody has understood; at the second miss the visit ends, and is paid for."""
    questions = visit.campaign.file.check
    right = all(answers.get(str(place)) == one.answer for place, one in enumerate(questions))
    with durable():
        visit = Visit.objects.select_for_update(no_key=True, of=("self",)).get(pk=visit.pk)
        if visit.state != Visit.State.OPEN or visit.checked_at is not None:
            return visit.checked_at is not None
        visit.attempts += 1
        visit.checked_at = timezone.now() if right else None
        visit.save(update_fields=["attempts", "checked_at"])
        screened_out = not right and visit.attempts >= ATTEMPTS
        if screened_out:
            end(visit, Visit.State.SCREENED_OUT)
    by_itself = visit.campaign.platform.confirms_itself
    if screened_out and by_itself and not queries.is_kept_out(visit.worker, visit.campaign.task):
        settle(visit=visit, confirmed=True, actor=None)
    return right


def notice(*, visit: Visit, signals: Mapping[str, int]) -> None:
    """Count time at work by the server's clock, and signs that decide nothing.

    Compare and set: of two pages of a visit one counts the time that both were open.
    """
    now = timezone.now()
    gap = min((now - visit.seen_at).total_seconds(), IDLE)
    seen = {name: visit.signals.get(name, 0) + count for name, count in signals.items()}
    changed = Visit.objects.filter(pk=visit.pk, state=Visit.State.OPEN, seen_at=visit.seen_at)
    if changed.update(
        seen_at=now, seconds=F("seconds") + max(0.0, gap), signals={**visit.signals, **seen}
    ):
        visit.seconds += max(0.0, gap)


def finish(*, visit: Visit) -> Visit:
    """End a visit whose work is done; where it is known who it is it counts at once.

    One that ends without all that was asked, since nothing was left or they are kept out, waits for
    an owner's word.
    """
    may_end = visit.state != Visit.State.OPEN or earned.progress(visit).may_finish
    if not may_end and not queries.is_kept_out(visit.worker, visit.campaign.task):
        raise Refused("not_done", "There is something left: finish it, or return it.", status=409)
    with durable():
        locked = Visit.objects.select_for_update(no_key=True, of=("self",)).get(pk=visit.pk)
        if locked.state == Visit.State.OPEN:
            end(locked, Visit.State.FINISHED)
    give_up(validator=visit.worker.user, task=visit.campaign.task)
    visit = queries.visits().get(pk=visit.pk)
    if visit.campaign.platform.confirms_itself and earned.is_whole(visit):
        settle(visit=visit, confirmed=True, actor=None)
    return queries.visits().get(pk=visit.pk)


def leave(*, visit: Visit, state: str) -> None:
    """Return a visit, or let it run out: its place and what it holds are free; examples stay."""
    with durable():
        locked = Visit.objects.select_for_update(no_key=True, of=("self",)).get(pk=visit.pk)
        if locked.state not in (Visit.State.OPEN, Visit.State.FINISHED):
            return
        end(locked, state)
    give_up(validator=visit.worker.user, task=visit.campaign.task)


def end(visit: Visit, state: str) -> None:
    """Let a locked visit be over, within a transaction."""
    visit.state, visit.finished_at = state, visit.finished_at or timezone.now()
    visit.save(update_fields=["state", "finished_at"])
    record(visit.campaign, None, f"visit_{state}", subject=visit)


def time_out(now: datetime | None = None) -> int:
    """Let visits run out whose time is over, or finish where all is done; returns how many."""
    now = now or timezone.now()
    done = 0
    for campaign in Campaign.objects.filter(visits__state=Visit.State.OPEN).distinct():
        begun_before = now - timedelta(minutes=campaign.file.time_limit)
        late = queries.visits().filter(
            campaign=campaign, state=Visit.State.OPEN, started_at__lt=begun_before
        )
        for visit in late:
            visit.campaign = campaign  # whose file is read once
            with suppress(Refused):  # one that is in a state of its own stops no other
                if earned.is_whole(visit):  # all is done but for the button
                    finish(visit=visit)
                else:
                    leave(visit=visit, state=Visit.State.TIMED_OUT)
                done += 1
    return done


# --- the platform's word --------------------------------------------------------------------------
def settle(*, visit: Visit, confirmed: bool, actor: User | None, reason: str = "") -> None:
    """Confirm a visit, or reject it by an owner's word; never a machine's.

    Confirmed, all that it made counts at once; one that was screened out is paid for that. One that
    ran out or was returned, as we think, may be confirmed still, while there is a place; and so may
    one that was rejected.
    """
    least = visit.campaign.platform.reason_length
    if not confirmed and len(reason.strip()) < least:
        raise Refused(
            "reason_missing", f"Say why, in {least} characters or more: the worker is told."
        )
    with durable():
        locked = Visit.objects.select_for_update(no_key=True, of=("self",)).get(pk=visit.pk)
        state = Visit.State.CONFIRMED if confirmed else Visit.State.REJECTED
        if confirmed and locked.was_screened_out:
            state = Visit.State.SCREENED_OUT
        if locked.settled_at is not None and locked.state == state:
            return
        # A rejection may be turned over: by the platform, or by an owner who was wrong.
        if not locked.waits and not (confirmed and locked.state == Visit.State.REJECTED):
            raise Conflict(
                "not_finished", f"It is {locked.get_state_display()}: nothing is to be decided."
            )
        if state == Visit.State.CONFIRMED and not locked.campaign.file.is_signed:
            _find_place(locked)
        if confirmed and locked.state not in (*Visit.HOLDS, state):
            _require_budget(locked.campaign)
        locked.state, locked.settled_at, locked.reason = state, timezone.now(), reason.strip()
        try:
            locked.save(update_fields=["state", "settled_at", "reason", "slot"])
        except IntegrityError:
            raise Conflict(
                "slot_taken",
                "Its place is somebody else's since, or this person came again: pay one of them "
                "outside of the campaign.",
            ) from None
        why = salted(reason=locked.reason) if locked.reason else {}
        record(visit.campaign, actor, f"visit_{state}", subject=locked, **why)
    visit.state = state
    if confirmed:
        let_count(Q(session=visit.session_id))


def _find_place(visit: Visit) -> None:
    """Another place for one whose own was given away; Conflict when there is none."""
    others = Visit.objects.filter(slot=visit.slot_id, state__in=Visit.HOLDS).exclude(pk=visit.pk)
    if others.exists():
        free = statements.free_slot(visit.campaign_id)
        if free is None:
            raise Conflict("full", "All places are taken since: add one first.")
        visit.slot = free


def _require_budget(campaign: Campaign) -> None:
    if not earned.holds_one_more(campaign):
        raise Conflict(
            "over_budget", "The budget does not hold it: raise it in the campaign's file."
        )


def let_count(which: Q | None = None) -> int:
    """Let what confirmed visits made count; returns how many examples.

    Done again it does nothing more; a submission that was under way meanwhile is found later.
    """
    confirmed = Q(session__visit__state=Visit.State.CONFIRMED)
    waiting = Example.objects.filter(which or Q(), confirmed, provisional=True).order_by("pk")
    done = 0
    for pk in list(waiting.values_list("pk", flat=True)):
        with durable():
            example = lock_example(pk)
            if example.provisional:
                confirm_example(example)
                done += 1
    return done


def look_after() -> None:
    """What the worker does every few minutes."""
    time_out()
    let_count()
