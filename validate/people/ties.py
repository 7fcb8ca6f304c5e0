"""Who confirms an author more than chance lets them: found, named, and let judge again.

The rule is pure (validate.policies.ties). Once named, somebody is not asked about that author any
more and their votes on them weigh nothing; the verdicts that rest on these are for the owner.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict
from functools import partial
from typing import Any, Final

from django.db.models import QuerySet
from django.utils import timezone

from accounts.models import User
from accounts.services import record_event
from annotate.models import Example, Task
from annotate.queries import kept_config
from core.errors import Refused
from core.transactions import after_commit, durable
from validate.hearing import Hearing
from validate.models import AuthorShare, Vote
from validate.policies.ties import LATEST, Look, Tie, may_be_tied, ties
from validate.verdicts import reweigh

_READ: Final = 5_000  # votes of others on the authors in question
_COLUMNS: Final = (
    *("author", "label", "example__label", "agreement", "created_at", "validator"),
    *("example__config", "example__fooled", "example__prediction"),
)


def look_later(hearing: Hearing) -> None:
    """After the commit, look at those who confirmed what the others see differently.

    Called when votes have settled it. A log's votes are not looked at: nobody asks their people.
    """
    example = hearing.example
    same = example.config.file.same
    for vote in hearing.votes:
        doubted = vote.agreement is not None and vote.agreement < 0.5
        if doubted and vote.lease_id is not None and same(vote.label, example.label, example.wrong):
            after_commit(partial(name_ties, example.task_id, vote.validator_id))


def name_ties(task_id: int, validator_id: int) -> list[Tie]:
    """Name the authors that somebody is newly found to be tied to; mostly one query finds none."""
    found = _found(task_id, validator_id)
    if not found:
        return []
    with durable():
        for tie in sorted(found, key=lambda tie: tie.author):
            AuthorShare.objects.filter(
                task=task_id, validator=validator_id, author=tie.author, named_at=None
            ).update(named_at=timezone.now(), evidence=_evidence(tie))
            _record(None, task_id, validator_id, tie.author, "named_tie", _evidence(tie))
    reweigh(task_id, validator_id)
    return found


def name_all_ties(task: Task) -> int:
    """Look at everybody who votes in a task; returns how many ties were found."""
    shares = AuthorShare.objects.filter(task=task, validator__imported=False).order_by("validator")
    people = shares.values_list("validator", flat=True).distinct()
    return sum(len(name_ties(task.pk, person)) for person in list(people))


def clear_tie(*, actor: User, share: AuthorShare, reason: str) -> None:
    """Let somebody judge an author again; what they did until now is held against them no more."""
    task = share.task
    if not reason.strip():
        raise Refused("reason_missing", "Say why: it is kept in the history.")
    if not task.is_owned_by(actor):
        raise Refused("not_an_owner", "Only an owner of the task may do this.", status=403)
    with durable():
        named = AuthorShare.objects.filter(pk=share.pk, named_at__isnull=False)
        if not named.update(named_at=None, cleared_at=timezone.now()):
            return
        _record(
            actor, task.pk, share.validator_id, share.author_id, "cleared_tie", {"reason": reason}
        )
    reweigh(task.pk, share.validator_id)


def named_ties(task: Task) -> list[dict[str, Any]]:
    """Who judges whom no more, and why: the latest first; one query."""
    named = AuthorShare.objects.filter(task=task, named_at__isnull=False)
    return [
        {
            "validator": share.validator.public_name,
            "author": share.author.public_name,
            "named_at": share.named_at.isoformat() if share.named_at else None,
            **(share.evidence or {}),
        }
        for share in named.select_related("validator", "author").order_by("-named_at", "pk")
    ]


def _evidence(tie: Tie) -> dict[str, Any]:
    told = {name: value for name, value in asdict(tie).items() if name != "author"}
    return {**told, "chance": round(tie.chance, 3), "odds": float(f"{tie.odds:.3g}")}


def _record(
    actor: User | None, task_id: int, validator: int, author: int, verb: str, data: dict[str, Any]
) -> None:
    record_event(
        actor=actor,
        verb=verb,
        subject=User.objects.get(pk=validator),
        scope=Task.objects.get(pk=task_id).slug,
        data={"author": author, **data},
    )


# --- reading --------------------------------------------------------------------------------------
def _found(task_id: int, validator_id: int) -> list[Tie]:
    shares = AuthorShare.objects.filter(task=task_id)
    own_votes = _scored(task_id).filter(validator=validator_id).order_by("-id")[:LATEST]
    rows = list(own_votes.values_list(*_COLUMNS))
    if not may_be_tied(_looks(rows)):
        return []
    mine = dict(shares.filter(validator=validator_id).values_list("author", "named_at"))
    cleared = dict(
        shares.filter(validator=validator_id, cleared_at__isnull=False).values_list(
            "author", "cleared_at"
        )
    )
    own = _looks(
        row
        for row in rows
        if not mine.get(row[0]) and (row[0] not in cleared or row[4] > cleared[row[0]])
    )
    authors = {look.author for look in own if look.is_tried}
    examples = Example.objects.filter(task=task_id, author__in=authors).values("pk")
    said = _scored(task_id).filter(example__in=examples).exclude(validator=validator_id)
    tied = set(
        shares.filter(author__in=authors, named_at__isnull=False).values_list("author", "validator")
    )
    others = said.order_by("-id").values_list(*_COLUMNS)[:_READ]
    return ties(own, _looks(row for row in others if (row[0], row[5]) not in tied))


def _scored(task_id: int) -> QuerySet[Vote]:
    """The votes whose answers can be compared with what the others say."""
    return Vote.objects.to_decide().filter(
        example__task=task_id, agreement__isnull=False, label__isnull=False
    )


def _looks(rows: Iterable[Any]) -> list[Look]:
    return [
        Look(
            voter,
            author,
            kept_config(config).file.same(said, label, predicted if fooled else None),
            agreement,
        )
        for author, said, label, agreement, _, voter, config, fooled, predicted in rows
    ]
