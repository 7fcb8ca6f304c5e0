"""Reads: who is on a visit, how far they are, what they earned, and how a campaign goes."""

from __future__ import annotations

import hashlib
import secrets
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple
from uuid import UUID

from django.db.models import Count, F, Q, QuerySet, Sum

from accounts.models import LinkPass, User
from annotate.models import Example
from crowd.campaign_file import ANNOTATE, VALIDATE, CostPlan
from crowd.models import Campaign, Due, Payment, Slot, Visit
from validate.acts.lease import has_work
from validate.models import Vote

SHELL = "crowd/shell.html"


# --- whose token --------------------------------------------------------------------------------
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
    visit = visits().filter(pk=visit_id).first()
    if visit is None:
        return None, False
    seen = hashlib.sha256(token.encode()).hexdigest()
    return visit, secrets.compare_digest(seen, visit.token)


def visits() -> QuerySet[Visit]:
    return Visit.objects.select_related("campaign__task__config", "worker__user", "slot", "session")


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


# --- how far it is --------------------------------------------------------------------------------
class Done(NamedTuple):
    """What was done of a visit and what it may earn, in smallest units."""

    examples: int
    votes: int
    work: str  # what comes next; "" when all is done
    left: str
    may_finish: bool
    sure: int
    waiting: int  # foolings and votes whose verdict is not known
    bonus: int


def progress(visit: Visit) -> Done:
    """How far somebody is (two queries, and three about what waits where they validate)."""
    file = visit.campaign.file
    examples, votes = examples_of(visit), votes_of(visit)
    counts = {ANNOTATE: len(examples), VALIDATE: len(votes)}
    minutes = file.visit.minutes
    if minutes is not None:
        left = max(0, minutes - int(visit.seconds // 60))
        # In turn: half of the time for each.
        turn = min(int(visit.seconds / 60 * len(file.work) / minutes), len(file.work) - 1)
        work = file.work[turn] if left else ""
        words = _of(left, "minute")
    else:
        assert file.visit.examples is not None
        size = file.visit.examples
        work = next((one for one in file.work if counts[one] < size), "")
        left = sum(max(0, size - counts[one]) for one in file.work)
        words = _of(left, "item")
    # Nobody is kept for work that is not there, or that they are not asked for any more.
    nothing_there = work == VALIDATE and not has_work(
        validator=visit.worker.user, task=visit.campaign.task
    )
    # Of votes nothing is said before the end: a sum that moved would tell which item was gold.
    earned = _earned(visit, examples, ())
    return Done(
        len(examples),
        len(votes),
        work,
        f"{words} left" if left else "All done",
        not work or nothing_there,
        file.pay.units("base"),
        sum(one.fooled and one.status == Example.Status.OPEN for one in examples),
        sum(due.amount for due in earned),
    )


def _of(number: int, thing: str) -> str:
    return f"{number} {thing}{'' if number == 1 else 's'}"


def examples_of(visit: Visit) -> list[Example]:
    """What was made on a visit and not taken back, oldest first, no more than was asked for."""
    made = Example.objects.filter(session=visit.session_id, retracted_at=None).order_by("id")
    if visit.finished_at is not None:
        made = made.filter(created_at__lte=visit.finished_at)
    return list(made.defer("input", "probabilities")[: visit.campaign.file.visit.examples])


def votes_of(visit: Visit) -> list[Vote]:
    """What was answered on a visit, oldest first, no more than was asked for."""
    cast = Vote.objects.filter(
        validator=visit.worker.user_id,
        example__task=visit.campaign.task_id,
        created_at__gte=visit.started_at,
    )
    if visit.finished_at is not None:
        cast = cast.filter(created_at__lte=visit.finished_at)
    asked = VALIDATE in visit.campaign.file.work
    found = cast.select_related("example").order_by("id")[: visit.campaign.file.visit.examples]
    return list(found) if asked else []


# --- what it earned -----------------------------------------------------------------------------
def _earned(visit: Visit, examples: Sequence[Example], votes: Sequence[Vote]) -> list[Due]:
    """The bonuses, up to the cap on a person, each with what earned it; not saved."""
    pay = visit.campaign.file.pay
    found = [
        Due(visit=visit, earned_by=Due.For.FOOLING, example=one, amount=pay.units("per_verified"))
        for one in examples
        if one.fooled and one.status == Example.Status.VERIFIED and one.hidden_at is None
    ]
    found += [
        Due(visit=visit, earned_by=Due.For.VALIDATION, vote=one, amount=pay.units("per_validation"))
        for one in votes
        if is_correct(one)
    ]
    room = pay.units("cap") - pay.units("base") if pay.cap is not None else None
    kept = []
    for due in found:
        if room is not None:
            due.amount = min(due.amount, room)
            room -= due.amount
        if due.amount:
            kept.append(due)
    return kept


def is_correct(vote: Vote) -> bool:
    """Whether a vote says what was settled, or was right about a known answer."""
    if vote.label is None:
        return False
    if vote.purpose != Vote.Purpose.VERDICT:
        return vote.credit == 1
    example = vote.example
    if example.status == Example.Status.VERIFIED:
        return bool(vote.label == example.label)
    if example.status in (Example.Status.REJECTED, Example.Status.RELABELLED):
        settled = example.final_label
        return bool(vote.label == settled if settled is not None else vote.label != example.label)
    return False


def owed(visit: Visit) -> list[Due]:
    """All that a visit earned by now and that no payment holds yet; not saved."""
    pay = visit.campaign.file.pay
    if visit.state == Visit.State.SCREENED_OUT:
        earned = [Due(visit=visit, earned_by=Due.For.SCREEN_OUT, amount=pay.units("screen_out"))]
    elif visit.state == Visit.State.CONFIRMED:
        base = Due(visit=visit, earned_by=Due.For.BASE, amount=pay.units("base"))
        earned = [base, *_earned(visit, examples_of(visit), votes_of(visit))]
    else:
        earned = []
    there = {(due.earned_by, due.example_id, due.vote_id) for due in visit.dues.all()}
    return [
        due
        for due in earned
        if due.amount and (due.earned_by, due.example_id, due.vote_id) not in there
    ]


# --- a campaign ---------------------------------------------------------------------------------
def free_slots(campaign: Campaign) -> QuerySet[Slot]:
    return campaign.slots.exclude(visits__state__in=Visit.HOLDS).order_by("number")


@dataclass(frozen=True)
class Overview:
    """How a campaign goes, in the order of a visit's life."""

    states: list[tuple[str, int]]
    places: int
    free: int
    minutes: float | None  # median of those that finished
    foolings: int
    verified: int
    money: dict[str, int]  # by the payments' state
    owed: int
    plan: CostPlan
    pilot: CostPlan | None  # the same by what was seen so far


def overview(campaign: Campaign) -> Overview:
    counts = Counter(dict(campaign.visits.values_list("state").annotate(n=Count("pk")).order_by()))
    over = campaign.visits.filter(state__in=("finished", "confirmed"))
    seconds = sorted(over.values_list("seconds", flat=True))
    made = Example.objects.filter(session__visit__campaign=campaign, retracted_at=None)
    examples, foolings, verified = made.aggregate(
        made=Count("pk"),
        claims=Count("pk", filter=Q(fooled=True)),
        confirmed=Count("pk", filter=Q(fooled=True, status=Example.Status.VERIFIED)),
    ).values()
    sums: defaultdict[str, int] = defaultdict(int)
    for state, amount in (
        Payment.objects.filter(visit__campaign=campaign)
        .values_list("state")
        .annotate(sum=Sum("amount"))
        .order_by()
    ):
        sums[state] = amount
    minutes = seconds[len(seconds) // 2] / 60 if seconds else None
    pilot = campaign.file.plan(minutes, verified / examples) if minutes and examples else None
    return Overview(
        [(state.label, counts[state.value]) for state in Visit.State],
        campaign.file.places,
        free_slots(campaign).count(),
        minutes,
        foolings,
        verified,
        dict(sums),
        sum(due.amount for visit in payable(campaign) for due in owed(visit)),
        campaign.file.plan(),
        pilot,
    )


def payable(campaign: Campaign) -> QuerySet[Visit]:
    """The visits that may be owed something."""
    states = (Visit.State.CONFIRMED, Visit.State.SCREENED_OUT)
    return visits().filter(campaign=campaign, state__in=states).order_by("started_at", "pk")


def visit_rows(campaign: Campaign) -> QuerySet[Visit]:
    """Every visit with its counts, newest first."""
    fooled = Q(session__examples__fooled=True, session__examples__retracted_at=None)
    return (
        visits()
        .filter(campaign=campaign)
        .annotate(
            made=Count("session__examples", distinct=True),
            fooled=Count("session__examples", filter=fooled, distinct=True),
            verified=Count(
                "session__examples",
                filter=fooled & Q(session__examples__status=Example.Status.VERIFIED),
                distinct=True,
            ),
            minutes=F("seconds") / 60,
        )
        .order_by("-started_at", "pk")
    )


def money_of(visits: Sequence[Visit]) -> dict[Any, dict[str, int]]:
    """The sums of each visit's payments by their state; one query."""
    found: defaultdict[Any, dict[str, int]] = defaultdict(dict)
    rows = Payment.objects.filter(visit__in=visits).values_list("visit", "state")
    for visit, state, amount in rows.annotate(sum=Sum("amount")).order_by():
        found[visit][state] = amount
    return found
