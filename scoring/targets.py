"""What each model of a round met, where the round has several: counted from the examples.

Where one is chosen by lot an example is its model's alone; where so many of all must be fooled each
has its own answer to every example, and so its own foolings.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, Final, NamedTuple

from django.db.models import Count, Q, QuerySet

from annotate.models import Example, TargetAnswer


class Met(NamedTuple):
    """What one author did against one model in one round; claims until they are verified."""

    round: int
    model: int
    name: str
    author: int
    submitted: int
    fooled: int
    verified: int
    pending: int


def answers_of_examples(left_out: Collection[int]) -> QuerySet[Any]:
    """Examples that count, each the one answer of the one model that was asked; without those of
    some authors."""
    found = Example.objects.counted().filter(round__needed=None)
    return found.exclude(author__in=left_out).order_by()


def answers_of_targets(left_out: Collection[int]) -> QuerySet[Any]:
    """The answers to those that count, of rounds that ask all of their models."""
    counts = Q(example__sandbox=False, example__provisional=False)
    return TargetAnswer.objects.filter(counts).exclude(example__author__in=left_out).order_by()


def fate(status: str, example: str = "") -> Q:
    """Foolings whose examples have this status and were neither taken back nor hidden; `example`
    leads from an answer to its example."""
    of = {"retracted_at": None, "hidden_at": None, "status": status}
    return Q(fooled=True, **{f"{example}{name}": value for name, value in of.items()})


OF_ANSWER: Final = "example__"


def met_in(rounds: Collection[int], left_out: Collection[int]) -> tuple[Met, ...]:
    """By round, model and author, but those left out; two queries, none without a round."""
    if not rounds:
        return ()
    alone = answers_of_examples(left_out).filter(round__in=rounds)
    beside = answers_of_targets(left_out).filter(example__round__in=rounds)
    return (*_met(alone, ""), *_met(beside, OF_ANSWER))


def _met(answers: QuerySet[Any], example: str) -> list[Met]:
    rows = answers.values_list(
        f"{example}round", "model", "model__name", f"{example}author"
    ).annotate(
        n=Count("pk"),
        claims=Count("pk", filter=Q(fooled=True)),
        verified=Count("pk", filter=fate(Example.Status.VERIFIED, example)),
        pending=Count("pk", filter=fate(Example.Status.OPEN, example)),
    )
    return [Met(*row) for row in rows]
