"""Reads: what was made on visits, how far they are, and what they earned and were paid."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from statistics import median
from typing import Any, NamedTuple
from uuid import UUID

from django.db.models import Count, OuterRef, Q, Subquery, Sum
from django.utils import timezone

from annotate.contexts import are_left
from annotate.models import Example, Task
from annotate.queries import kept_config
from annotate.quotas import refusal
from crowd import money, statements
from crowd.campaign_file import ANNOTATE, VALIDATE
from crowd.models import Campaign, Due, Payment, Visit
from crowd.queries import is_kept_out, visits
from validate.acts.lease import has_work
from validate.models import Vote

VOTES_AFTER = timedelta(days=7)


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
    """How far somebody is (a query, and up to four about what there is for them)."""
    file = visit.campaign.file
    examples, votes = made_on([visit])[visit.pk]
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
    task, user = visit.campaign.task, visit.worker.user
    there = bool(work) and (
        # Where nothing was made it is returned instead.
        not (examples or votes) or (refusal(user.pk, task.pk) is None and are_left(user, task))
        if work == ANNOTATE
        else has_work(validator=user, task=task)
    )
    more = "left" if there else "left, but no more can be done now"
    # Of votes nothing is said before the end: a sum that moved would tell which item was gold.
    earned = _bonuses(visit, examples, (), ())
    return Done(
        len(examples),
        len(votes),
        work,
        f"{words} {more}" if left else "All done",
        not there,
        file.pay.units("base"),
        sum(one.fooled and one.status == Example.Status.OPEN for one in examples),
        sum(due.amount for due in earned),
    )


def _of(number: int, thing: str) -> str:
    return f"{number} {thing}{'' if number == 1 else 's'}"


def is_whole(visit: Visit) -> bool:
    """Whether all that was asked was done, and not nothing at all (two queries).

    Of somebody who is kept out an owner has to say so: a ban pays nothing and takes nothing.
    """
    if is_kept_out(visit.worker, visit.campaign.task):
        return False
    file = visit.campaign.file
    examples, votes = made_on([visit])[visit.pk]
    counts = {ANNOTATE: len(examples), VALIDATE: len(votes)}
    if file.visit.minutes is not None:
        return bool(visit.seconds >= 60 * file.visit.minutes and sum(counts.values()))
    return all(counts[work] == file.visit.examples for work in file.work)


Made = tuple[list[Example], list[Vote]]


def made_on(visits: Sequence[Visit]) -> dict[UUID, Made]:
    """What was made on these visits of one campaign and not taken back, and what was answered,
    oldest first, no more than was asked for; two queries for any number of visits.

    A vote is of the visit in whose time it was cast, of two the one that began last: it was at work
    while the other was taken for returned.
    """
    made: dict[UUID, Made] = {visit.pk: ([], []) for visit in visits}
    if not visits:
        return made
    file, task_id = visits[0].campaign.file, visits[0].campaign.task_id
    of_session: dict[UUID | None, Visit] = {visit.session_id: visit for visit in visits}
    if len(visits) == 1:  # as on its own pages
        examples: Iterable[Example] = statements.made_on(visits[0].session_id)
    else:
        found = Example.objects.filter(session__in=of_session, retracted_at=None)
        examples = found.order_by("id").defer("input", "probabilities")
    for example in examples:
        visit = of_session[example.session_id]
        if _in_time(visit, example.created_at):
            made[visit.pk][0].append(example)
    if VALIDATE in file.work:
        since = min(visit.started_at for visit in visits)
        people = {visit.worker.user_id for visit in visits}
        at = OuterRef("created_at")
        then = Visit.objects.filter(worker__user=OuterRef("validator"), started_at__lte=at)
        then = then.filter(Q(finished_at=None) | Q(finished_at__gte=at)).order_by("-started_at")
        cast = Vote.objects.filter(validator__in=people, example__task=task_id)
        cast = cast.filter(created_at__gte=since).annotate(visit=Subquery(then.values("pk")[:1]))
        for vote in cast.select_related("example").order_by("id"):
            if vote.visit in made:
                made[vote.visit][1].append(vote)
    size = file.visit.examples
    return {pk: (done[:size], votes[:size]) for pk, (done, votes) in made.items()}


def answers_of(visits: Sequence[Visit]) -> dict[UUID, int]:
    """How many answers that may be paid were given on each of these visits of one campaign."""
    return {pk: len(votes) for pk, (_, votes) in made_on(visits).items()}


def _in_time(visit: Visit, at: datetime) -> bool:
    return visit.started_at <= at and (visit.finished_at is None or at <= visit.finished_at)


# --- what it earned -----------------------------------------------------------------------------
def _bonuses(
    visit: Visit, examples: Sequence[Example], votes: Sequence[Vote], paid: Sequence[Due]
) -> list[Due]:
    """The bonuses that are not `paid`, each with what earned it; not saved.

    With those that are they stay below the cap, in whatever order verdicts come.
    """
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
    there = {(due.example_id, due.vote_id) for due in paid}
    kept = [due for due in found if (due.example_id, due.vote_id) not in there]
    if pay.cap is not None:
        room = pay.units("cap") - pay.units("base")
        room -= sum(due.amount for due in paid if due.earned_by != Due.For.BASE)
        for due in kept:
            due.amount = min(due.amount, max(0, room))
            room -= due.amount
    return [due for due in kept if due.amount]


def is_correct(vote: Vote) -> bool:
    """Whether a vote says what was settled, or was right about a known answer."""
    if vote.label is None:
        return False
    if vote.purpose != Vote.Purpose.VERDICT:
        return vote.credit == 1
    example = vote.example
    same = kept_config(example.config_id).file.same
    as_author = same(vote.label, example.label, example.wrong)
    if example.status == Example.Status.VERIFIED:
        return as_author
    if example.status in (Example.Status.REJECTED, Example.Status.RELABELLED):
        settled = example.final_label
        return not as_author and (settled is None or same(vote.label, settled))
    return False


def votes_count(visit: Visit) -> bool:
    """Whether what was right among a visit's votes is owed by now, all of it together.

    Of a known answer it is known at once, of all others when others have voted: money that came as
    soon as it is known would tell which was which.
    """
    if visit.campaign.state == Campaign.State.ENDED:
        return True
    return visit.finished_at is not None and visit.finished_at <= timezone.now() - VOTES_AFTER


def owed(visits: Sequence[Visit]) -> list[tuple[Visit, list[Due]]]:
    """All that settled visits of one campaign earned by now and that no payment holds; not saved.

    Three queries for any number of visits.
    """
    made = made_on([visit for visit in visits if visit.state == Visit.State.CONFIRMED])
    paid: defaultdict[UUID, list[Due]] = defaultdict(list)
    for due in Due.objects.filter(visit__in=visits):
        paid[due.visit_id].append(due)
    found = []
    for visit in visits:
        pay, there = visit.campaign.file.pay, paid[visit.pk]
        if visit.state == Visit.State.CONFIRMED:
            examples, votes = made[visit.pk]
            counted = votes if votes_count(visit) else []
            once, bonuses = Due.For.BASE, _bonuses(visit, examples, counted, there)
        elif visit.state == Visit.State.SCREENED_OUT:
            once, bonuses = Due.For.SCREEN_OUT, []
        else:
            continue
        if (amount := pay.units(once.value)) and all(due.earned_by != once for due in there):
            bonuses.insert(0, Due(visit=visit, earned_by=once, amount=amount))
        if bonuses:
            found.append((visit, bonuses))
    return found


def payable(campaign: Campaign) -> list[Visit]:
    """The visits that may be owed something; who was forgotten is paid nothing more."""
    states = (Visit.State.CONFIRMED, Visit.State.SCREENED_OUT)
    found = visits().filter(
        campaign=campaign, state__in=states, worker__forgotten_at=None, settled_at__isnull=False
    )
    payable = list(found.order_by("started_at", "pk"))
    for visit in payable:
        visit.campaign = campaign  # whose file is read once
    return payable


def money_of(visits: Sequence[Visit]) -> dict[Any, dict[str, int]]:
    """The sums of each visit's payments by their state; one query."""
    found: defaultdict[Any, dict[str, int]] = defaultdict(dict)
    rows = Payment.objects.filter(visit__in=visits).values_list("visit", "state")
    for visit, state, amount in rows.annotate(sum=Sum("amount")).order_by():
        found[visit][state] = amount
    return found


# --- what a budget holds --------------------------------------------------------------------------
def may_be_owed(campaign: Campaign) -> int:
    """What those who came by now may be paid at most; a query."""
    return sum(_committed(campaign).values())


def _committed(campaign: Campaign) -> dict[str, int]:
    """What each state's visits may be paid at most; a query."""
    file = campaign.file
    most, out = file.plan().visit_at_most, file.pay.units("screen_out")
    rows = Visit.objects.filter(campaign=campaign).values_list("state")
    counts = dict(rows.annotate(n=Count("pk")).order_by())
    each = {**dict.fromkeys(Visit.HOLDS, most), Visit.State.SCREENED_OUT.value: out}
    return {state: counts.get(state, 0) * amount for state, amount in each.items()}


def holds_all_places(campaign: Campaign) -> bool:
    """Whether the budget holds all places beside all who were screened out by now.

    Without screen-out pay it does, by the file's own rule; else it takes a query.
    """
    file = campaign.file
    if not file.check or not file.pay.units("screen_out"):
        return True
    screened_out = _committed(campaign)[Visit.State.SCREENED_OUT]
    return file.places * file.plan().visit_at_most + screened_out <= file.budget


def holds_one_more(campaign: Campaign) -> bool:
    """Whether the budget holds one more visit beside all that may be paid by now."""
    if holds_all_places(campaign):
        return True
    file = campaign.file
    return may_be_owed(campaign) + file.plan().visit_at_most <= file.budget


# --- for a task's data card ---------------------------------------------------------------------
def paid_for(task: Task) -> list[dict[str, Any]]:
    """What a task's people were paid and for how long, a currency each; confirmed sums only."""
    by_currency: defaultdict[str, list[Any]] = defaultdict(list)
    for campaign in Campaign.objects.filter(task=task).order_by("pk"):
        paid = campaign.visits.filter(payments__state=Payment.State.CONFIRMED)
        by_currency[campaign.file.pay.currency] += paid.annotate(
            paid=Sum("payments__amount")
        ).values_list("worker", "seconds", "paid")
    return [
        {
            "currency": currency,
            "paid": money.plain(sum(paid for *_, paid in rows), currency),
            "people": len({worker for worker, *_ in rows}),
            "visits": len(rows),
            "hours": round(sum(seconds for _, seconds, _ in rows) / 3600, 2),
            "hourly": _hourly(
                [3600 * paid / seconds for _, seconds, paid in rows if seconds], currency
            ),
        }
        for currency, rows in sorted(by_currency.items())
        if rows
    ]


def _hourly(rates: Sequence[float], currency: str) -> str | None:
    return money.plain(round(median(rates)), currency) if rates else None
