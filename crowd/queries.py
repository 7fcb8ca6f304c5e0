"""Reads: whose token it is, who is on a visit, and which visits there are."""

from __future__ import annotations

import hashlib
import secrets
from datetime import timedelta
from uuid import UUID

from django.db.models import Q, QuerySet
from django.utils import timezone

from accounts.models import LinkPass, User
from annotate.models import Task
from annotate.queries import is_barred
from crowd import statements
from crowd.campaign_file import ANNOTATE, VALIDATE
from crowd.models import Payment, Visit, Worker

SHELL = "crowd/shell.html"
FOLLOWED = timedelta(days=30)


def new_token(visit_id: UUID) -> tuple[str, str]:
    """A token for a visit's page, and what is kept of it."""
    token = f"{visit_id.hex}.{secrets.token_urlsafe(24)}"
    return token, hashlib.sha256(token.encode()).hexdigest()


def visit_of(token: str) -> tuple[Visit | None, bool]:
    """The visit that a token was made for, and whether it is still the newest one (one query).

    A link that is opened again takes the work to where it was opened.
    """
    try:
        visit_id = UUID(hex=token.partition(".")[0])
    except ValueError:
        return None, False
    visit = statements.visit(visit_id)
    if visit is None:
        return None, False
    seen = hashlib.sha256(token.encode()).hexdigest()
    return visit, secrets.compare_digest(seen, visit.token)


def visits() -> QuerySet[Visit]:
    return statements.visits()


def unsettled() -> QuerySet[Visit]:
    """Visits of which the platform's word may still come; they are followed for a month.

    Prolific approves by itself after 21 days, lets people finish what has run out, and its support
    may turn a rejection over.
    """
    since = timezone.now() - FOLLOWED
    open_ = Q(settled_at=None) | Q(state=Visit.State.REJECTED, settled_at__gt=since)
    waiting = visits().filter(open_, worker__forgotten_at=None)
    return waiting.exclude(settled_at=None, finished_at__lt=since)


def is_followed() -> Q:
    """Which payments their platform is asked about: an approval that failed may only be late."""
    asked = Q(state__in=(Payment.State.SENT, Payment.State.UNKNOWN))
    late = Q(state=Payment.State.FAILED, kind=Payment.Kind.REWARD)
    return asked | late & Q(created_at__gt=timezone.now() - FOLLOWED)


def is_proven(visit: Visit) -> bool:
    """Whether somebody vouches for the name: by a signature, an invitation, the platform's word."""
    if visit.campaign.platform.confirms_itself or visit.campaign.file.secured:
        return True
    return visit.settled_at is not None and visit.state != Visit.State.REJECTED


def within_reach(visit: Visit) -> tuple[list[Visit], bool]:
    """The visits that somebody at this one's link may ask about, and whether these are all.

    Names in most links are not signed: without a proof it is what began by this very link.
    """
    theirs = visits().filter(worker=visit.worker_id)
    if is_proven(visit):
        return list(theirs), True
    same = Q(campaign=visit.campaign_id, assignment=visit.assignment)
    if visit.campaign.file.is_signed:
        same &= Q(slot=visit.slot_id)
    return list(theirs.filter(same)), not theirs.exclude(same).exists()


def user_of(visit: Visit) -> User:
    """The person on a visit, with what the link lets them do."""
    user, file = visit.worker.user, visit.campaign.file
    open_ = visit.state == Visit.State.OPEN and bool(visit.checked_at or not file.check)
    user.by_link = LinkPass(
        visit.campaign.task_id,
        annotates=open_ and ANNOTATE in file.work,
        validates=open_ and VALIDATE in file.work,
        session=visit.session,
        shell=SHELL,
    )
    return user


def is_kept_out(worker: Worker, task: Task) -> bool:
    """Whether a ban, or their account's end, keeps somebody from a task (one query)."""
    return not worker.user.may_sign_in or is_barred(worker.user, task)
