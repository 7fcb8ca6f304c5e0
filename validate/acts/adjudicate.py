"""An owner's word on an example, and how it is taken back.

One that waits in the inbox is decided once: whoever comes second is told so. Any other example can
be decided too, by whoever opens it by its id.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from accounts.models import Event, User
from annotate.models import Example, Task
from annotate.services import Verdict, hide, require_owner
from core.errors import Conflict, Refused
from core.transactions import durable
from validate.acts.gold import withdraw_gold
from validate.hearing import Hearing, hear
from validate.inbox import open_review
from validate.models import Review
from validate.verdicts import change, reopen, review_if_it_would_differ, settle, take_out

AT_ONCE: Final = 100
MAX_REASON: Final = 1_000
ACTS: Final = ("verify", "reject", "relabel", "hide", "restore", "reopen")
# Verbs whose events say which verdict an example had from then on.
_VERDICTS: Final = ("settled", "adjudicated", "restored_verdict")
# Those that follow from the verdict open by themselves when it comes back.
_NOT_FROM_THE_VERDICT: Final = (Review.Kind.AUDIT, Review.Kind.QUARANTINE, Review.Kind.COPY)


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

    def one(uid: UUID) -> None:
        decide(actor=actor, task=task, uid=uid, act=act, reason=reason, label=label)

    return _each(uids, one)


def decide(
    *,
    actor: User,
    task: Task,
    uid: UUID,
    act: str,
    reason: str,
    label: object = None,
    waiting: bool = True,
) -> None:
    """Settle an example by an owner's word, or hide it; an Event with the reason tells.

    Conflict when it waits in the inbox no more, which somebody else has decided it then, unless
    `waiting` is False. The author's own label verifies; "reopen" returns it to its votes.
    """
    if act not in ACTS:
        raise Refused("unknown_act", f"The act must be one of {', '.join(ACTS)}.")
    if not reason.strip():
        raise Refused("reason_missing", "Say why: a decision by an owner needs a reason.")
    if len(reason) > MAX_REASON:
        raise Refused("too_long", f"A reason has at most {MAX_REASON} characters.")
    with durable():
        hearing = _hear(task, uid)
        require_owner(hearing.example, actor)
        if waiting and not Review.objects.filter(example=hearing.example, closed_at=None).exists():
            raise Conflict("decided", "Somebody has decided this one meanwhile.")
        if act in ("hide", "restore"):
            hide(hearing.example, actor=actor, hidden=act == "hide", reason=reason)
        else:
            _settle(hearing, *_verdict_of(hearing.example, act, label), actor, reason)


def _verdict_of(example: Example, act: str, label: object) -> tuple[str, object]:
    """The status and the label that an act stands for."""
    match act:
        case "verify":
            return Example.Status.VERIFIED.value, example.label
        case "reject":
            return Example.Status.REJECTED.value, None
        case "reopen":
            return Example.Status.OPEN.value, None
    file = example.config.file
    file.check_label(label, of=example.whole_input)
    own = file.same(label, example.label, example.wrong)
    status = Example.Status.VERIFIED if own else Example.Status.RELABELLED
    return status.value, example.label if own else label


def _settle(hearing: Hearing, status: str, label: object, actor: User, reason: str) -> None:
    take_out(hearing)
    settle(hearing, status=status, label=label, actor=actor, data={"reason": reason})
    if status == Example.Status.OPEN and hearing.example.queued:
        withdraw_gold(hearing.example, actor=actor, reason=reason)
        reopen(hearing)


def take_back_all(*, actor: User, task: Task, uids: Sequence[UUID], reason: str) -> Outcome:
    """Undo the last act on each of these examples."""
    _check_size(uids)
    return _each(uids, lambda uid: take_back(actor=actor, task=task, uid=uid, reason=reason))


def take_back(*, actor: User, task: Task, uid: UUID, reason: str) -> None:
    """Undo an owner's last act on an example: it is what it was, and waits in the inbox again.

    Conflict when there is none.
    """
    with durable():
        hearing = _hear(task, uid)
        example = hearing.example
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
        said = {"adjudicated": before.adjudicated, "reason": reason}
        change(hearing, before, verb="restored_verdict", actor=actor, data=said)
        if before.status == Example.Status.OPEN and example.queued:
            reopen(hearing)
        _open_again(example, since)
        review_if_it_would_differ(hearing)  # its votes may have lost their weight meanwhile


def _verdict_before(example: Example) -> Verdict:
    """The verdict that stood before the last one, as its own event tells it."""
    told = Event.objects.filter(
        object_type=Example._meta.model_name, object_id=str(example.pk), verb__in=_VERDICTS
    )
    last, *earlier = told.order_by("-id")[:2]
    if last.verb == "restored_verdict":
        raise Conflict("taken_back", "The last decision was taken back already: decide afresh.")
    if not earlier or earlier[0].data["to"] == Example.Status.OPEN:
        return Verdict(Example.Status.OPEN.value)
    event = earlier[0]
    return Verdict(
        status=event.data["to"],
        label=event.data["label"],
        adjudicated=event.data.get("adjudicated", event.verb == "adjudicated"),
        settled_at=event.created_at,
    )


def _open_again(example: Example, since: datetime) -> None:
    """Ask again what the act that is taken back had answered."""
    closed = Review.objects.filter(example=example, closed_at__gte=since)
    kinds = set(closed.values_list("kind", "reason"))
    for kind, reason in kinds:
        if kind in _NOT_FROM_THE_VERDICT or kind == example.status:
            open_review(example, kind, reason)


def _hear(task: Task, uid: UUID) -> Hearing:
    pk = Example.objects.filter(task=task, uid=uid).values_list("pk", flat=True).first()
    if pk is None:
        raise Refused("not_found", "There is no such example in this task.", status=404)
    return hear(pk)


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
