"""How much a task and its rounds take: of a person, in a day, in all."""

from __future__ import annotations

from django.db.models import QuerySet
from django.utils import timezone

from annotate import statements
from annotate.models import Example, Round
from annotate.queries import kept_config, no_open_round
from core.errors import Refused


def is_counted(example: Example) -> bool:
    """Whether its author's others have to be counted before it is taken, under their lock."""
    return example.config.file.daily is not None or bool(
        example.round.rules.keys() - {"retraction"}
    )


def takes_turns(round_: Round) -> bool:
    """Whether submissions are taken one by one, whoever sends them: else two would be the last."""
    return round_.limits.submissions is not None


def require_room(example: Example) -> None:
    """Refuse one too many; under its author's lock, and its round's where that `takes_turns`."""
    if example.author_id is None:  # guests count nowhere
        return
    if refused := _refusal(example.author_id, example.config.file.daily, example.round):
        raise refused


def refusal(person: int, task_id: int) -> Refused | None:
    """Why a task takes no submission of this person now; None where it does (one query, and one or
    two for each quota that there is)."""
    round_ = statements.open_round(task_id)
    if round_ is None or round_.is_over:
        return no_open_round(task_id)
    assert round_.task.config_id is not None
    return _refusal(person, kept_config(round_.task.config_id).file.daily, round_)


def _refusal(person: int, daily: int | None, round_: Round) -> Refused | None:
    own = Example.objects.filter(author=person)
    if daily is not None:
        today = timezone.now().replace(hour=0, minute=0, second=0, microsecond=0)
        if own.filter(task=round_.task_id, created_at__gte=today).count() >= daily:
            return Refused(
                "daily_limit",
                f"You have sent {daily} today, as many as one person may: go on tomorrow (UTC).",
                status=409,
            )
    if why := why_full(round_) or _why_enough(round_, own.filter(round=round_)):
        return Refused("quota_reached", why, status=409)
    return None


def why_full(round_: Round) -> str:
    """Why a round takes no more of anybody; empty where it does."""
    # What a program made up is nobody's submission: it waits for no platform's word on a visit.
    there = Example.objects.filter(round=round_).exclude(provisional=True, session=None)
    limits = round_.limits
    if (most := limits.submissions) and there.filter(sandbox=False).count() >= most:
        return f"Round {round_.number} has its {most:,} submissions and takes no more."
    if (most := limits.verified) and _verified(there) >= most:
        return f"Round {round_.number} has its {most:,} verified foolings and takes no more."
    return ""


def _why_enough(round_: Round, own: QuerySet[Example]) -> str:
    """Why it takes no more of one person, who sent these."""
    limits = round_.limits
    if (most := limits.submissions_each) and own.count() >= most:
        return f"You have sent {most:,} in round {round_.number}, as many as one person may."
    if (most := limits.verified_each) and _verified(own.all()) >= most:
        return f"You have {most:,} verified foolings in round {round_.number}: you are done."
    return ""


def _verified(examples: QuerySet[Example]) -> int:
    usable = examples.filter(sandbox=False, provisional=False, retracted_at=None, hidden_at=None)
    return usable.filter(fooled=True, status=Example.Status.VERIFIED).count()


def why_kept(example: Example) -> str:
    """Why its author may not take it back; empty where they may."""
    retraction, round_ = example.round.limits.retraction, example.round
    if retraction == "never":
        return f"In round {round_.number} nothing can be taken back: what is sent counts."
    over = round_.status == Round.Status.CLOSED or round_.is_over
    if retraction == "while_open" and over:
        return f"Round {round_.number} is over: what was sent in it stays."
    return ""
