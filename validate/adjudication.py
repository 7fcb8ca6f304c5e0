"""The owner's inbox: what votes left unclear, decided by an owner, who can take it back.

What is in it are open reviews (validate.models.Review). An owner's verdict closes them in its own
transaction; taking it back restores the verdict that stood before, and opens them again.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from django.db.models import Count, Min, QuerySet

from accounts.models import Event, User
from annotate.models import Example, Task
from annotate.services import hide, lock_example, require_owner, restore_verdict
from core.errors import Conflict, Refused
from core.transactions import durable
from kinds.answers import same_answer
from validate import services
from validate.decisions import reopen
from validate.models import Review, Vote
from validate.quarantine import open_review

PAGE_SIZE: Final = 12
AT_ONCE: Final = 100
ACTS: Final = ("verify", "reject", "relabel", "hide")
# Verbs whose events say which verdict an example had from then on.
_VERDICTS: Final = ("settled", "adjudicated", "restored_verdict")
# Those that follow from the verdict open by themselves when it comes back.
_NOT_FROM_THE_VERDICT: Final = (Review.Kind.AUDIT, Review.Kind.QUARANTINE)


# --- reads ----------------------------------------------------------------------------------------
@dataclass(frozen=True, slots=True)
class Case:
    """One example that an owner is asked about, with everything that was said of it."""

    example: Example
    reviews: tuple[Review, ...]
    votes: tuple[Vote, ...]


def open_reviews(
    task: Task, *, kind: str = "", round_number: int | None = None
) -> QuerySet[Review]:
    """What waits for an owner of the task: of one kind or all, of one round or all."""
    reviews = Review.objects.filter(task=task, closed_at=None)
    if kind:
        reviews = reviews.filter(kind=kind)
    if round_number is not None:
        reviews = reviews.filter(example__round__number=round_number)
    return reviews


def counts_by_kind(task: Task) -> dict[str, int]:
    """How many examples wait, by the kind of the review; one example may be there twice."""
    kinds = open_reviews(task).order_by().values_list("kind").annotate(n=Count("id"))
    return dict(kinds)


def cases(reviews: QuerySet[Review], after: int = 0) -> tuple[list[Case], int | None]:
    """The next examples in the order in which they were asked about, and where to go on.

    Four queries. A key instead of an offset: what is decided meanwhile makes nobody skip one.
    """
    found = list(
        reviews.order_by()
        .values_list("example")
        .annotate(first=Min("id"))
        .filter(first__gt=after)
        .order_by("first")[: PAGE_SIZE + 1]
    )
    shown = found[:PAGE_SIZE]
    ids = [example for example, _ in shown]
    more = shown[-1][1] if len(found) > PAGE_SIZE else None
    return _cases(ids), more


def _cases(ids: Sequence[int]) -> list[Case]:
    examples = (
        Example.objects.select_related("author", "round", "model", "context", "task", "config")
        .in_bulk(ids)
    )  # fmt: skip
    reviews: dict[int, list[Review]] = defaultdict(list)
    for review in Review.objects.filter(example__in=ids, closed_at=None).order_by("id"):
        reviews[review.example_id].append(review)
    votes: dict[int, list[Vote]] = defaultdict(list)
    cast = Vote.objects.filter(example__in=ids).select_related("validator").order_by("id")
    for vote in cast:
        votes[vote.example_id].append(vote)
    return [Case(examples[pk], tuple(reviews[pk]), tuple(votes[pk])) for pk in ids]


# --- writes ---------------------------------------------------------------------------------------
@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of an act on several examples: each is done or was refused with a sentence."""

    done: tuple[UUID, ...]
    refused: Mapping[UUID, str]


def decide_all(
    *, actor: User, task: Task, uids: Sequence[UUID], act: str, reason: str, label: object = None
) -> Outcome:
    """Act on several examples, each in its own transaction; Refused when none could be."""
    _check_size(uids)
    return _each(
        uids,
        lambda uid: decide(
            actor=actor, task=task, uid=uid, act=act, reason=reason, label=label
        ),
    )  # fmt: skip


def decide(
    *, actor: User, task: Task, uid: UUID, act: str, reason: str, label: object = None
) -> None:
    """Settle one example that waits in the inbox, or hide it; an Event with the reason tells.

    Conflict when somebody else has dealt with it meanwhile. The author's own label verifies.
    """
    if act not in ACTS:
        raise Refused("unknown_act", f"The act must be one of {', '.join(ACTS)}.")
    if not reason.strip():
        raise Refused("reason_missing", "Say why: a decision by an owner needs a reason.")
    if len(reason) > services.MAX_REASON:
        raise Refused("too_long", f"A reason has at most {services.MAX_REASON} characters.")
    with durable():
        example = _lock(task, uid)
        require_owner(example, actor)
        if not Review.objects.filter(example=example, closed_at=None).exists():
            raise Conflict("decided", "Somebody has decided this one meanwhile.")
        if act == "hide":
            hide(example, actor=actor, hidden=True, reason=reason)
            return
        status = {"verify": Example.Status.VERIFIED, "reject": Example.Status.REJECTED}.get(act)
        if status is None:
            example.config.file.check_label(label, of=example.input)
            own = same_answer(label, example.label)
            status = Example.Status.VERIFIED if own else Example.Status.RELABELLED
        services.adjudicate_locked(
            example,
            actor=actor,
            status=status.value,
            reason=reason,
            label=label if status == Example.Status.RELABELLED else None,
        )


def take_back_all(*, actor: User, task: Task, uids: Sequence[UUID], reason: str) -> Outcome:
    """Undo the last act on each of these examples."""
    _check_size(uids)
    return _each(uids, lambda uid: take_back(actor=actor, task=task, uid=uid, reason=reason))


def take_back(*, actor: User, task: Task, uid: UUID, reason: str) -> None:
    """Undo an owner's last act on an example: it is what it was, and waits in the inbox again.

    Conflict when there is none.
    """
    with durable():
        example = _lock(task, uid)
        require_owner(example, actor)
        if example.hidden_at is not None:
            since = example.hidden_at
            hide(example, actor=actor, hidden=False, reason=reason)
            _open_again(example, since)
            return
        if not example.adjudicated or example.settled_at is None:
            raise Conflict("nothing_to_undo", "There is no decision by an owner to take back.")
        since = example.settled_at
        before = _verdict_before(example)
        restore_verdict(example, actor=actor, reason=reason, **before)
        if example.status == Example.Status.OPEN and example.queued:
            reopen(example)
        _open_again(example, since)


def _verdict_before(example: Example) -> dict[str, Any]:
    """The verdict that stood before the last one, as its own event tells it."""
    told = Event.objects.filter(
        object_type=Example._meta.model_name, object_id=str(example.pk), verb__in=_VERDICTS
    )
    last, *earlier = told.order_by("-id")[:2]
    if last.verb == "restored_verdict":
        raise Conflict("taken_back", "The last decision was taken back already: decide afresh.")
    if not earlier or earlier[0].data["to"] == Example.Status.OPEN:
        status = Example.Status.OPEN.value
        return {"status": status, "label": None, "adjudicated": False, "settled_at": None}
    event = earlier[0]
    return {
        "status": event.data["to"],
        "label": event.data["label"],
        "adjudicated": event.data.get("adjudicated", event.verb == "adjudicated"),
        "settled_at": event.created_at,
    }


def _open_again(example: Example, since: datetime) -> None:
    """Ask again what the act that is taken back had answered."""
    closed = Review.objects.filter(example=example, closed_at__gte=since)
    kinds = set(closed.values_list("kind", "reason"))
    for kind, reason in kinds:
        if kind in _NOT_FROM_THE_VERDICT or kind == example.status:
            open_review(example, kind, reason)


def _lock(task: Task, uid: UUID) -> Example:
    pk = Example.objects.filter(task=task, uid=uid).values_list("pk", flat=True).first()
    if pk is None:
        raise Refused("not_found", "There is no such example in this task.", status=404)
    return lock_example(pk)


def _check_size(uids: Sequence[UUID]) -> None:
    if not uids:
        raise Refused("nothing_chosen", "Choose at least one example.")
    if len(uids) > AT_ONCE:
        raise Refused("too_many", f"Choose at most {AT_ONCE} at once.")


def _each(uids: Iterable[UUID], act: Any) -> Outcome:
    done, refused = [], {}
    for uid in dict.fromkeys(uids):
        try:
            act(uid)
        except Refused as no:
            refused[uid] = no.message
        else:
            done.append(uid)
    return Outcome(tuple(done), refused)
