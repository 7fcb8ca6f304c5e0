"""The nightly audit: which verdicts would be another if one knew who mixes up which labels.

It changes no verdict. What differs is put into the owner's inbox, with the probability it found.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from django.db.models import Q, QuerySet
from django.utils import timezone

from accounts.models import User
from accounts.services import record_event
from annotate.models import Example, Task
from core.transactions import durable
from validate.hearing import hear
from validate.inbox import open_review
from validate.models import Gold, Review, Vote
from validate.people.dawid_skene import Estimate, dawid_skene

LISTED: Final = 500  # the most surprising ones; more would be a list that nobody reads
_SETTLED_BY_LABELS: Final = (
    Example.Status.VERIFIED,
    Example.Status.REJECTED,
    Example.Status.RELABELLED,
)


@dataclass(frozen=True, slots=True)
class Disagreement:
    """A settled example that the audit sees differently.

    `label` is the likeliest one, with its `probability`; `verdict` is that of the verdict.
    """

    example_id: int
    label: str
    probability: float
    verdict: float


@dataclass(frozen=True, slots=True)
class Audit:
    """What was looked at, and what came of it; the most surprising disagreement first."""

    votes: int
    examples: int
    validators: int
    known: int
    disagreements: tuple[Disagreement, ...] = ()
    opened: int = 0
    closed: int = 0


def audit_votes(task: Task, *, actor: User | None = None) -> Audit | None:
    """Audit a task and put what differs into its owner's inbox; an Event tells that it was done.

    None for a task whose answers are not one of a few labels. It reads every vote of the task:
    a second or two for 100,000, so it belongs into a job.
    """
    found = disagreements(task)
    if found is None:
        return None
    differ = {one.example_id: one for one in found.disagreements}
    still_open = Review.objects.filter(task=task, kind=Review.Kind.AUDIT, closed_at=None)
    listed = set(still_open.values_list("example", flat=True))
    opened = sum(_ask(one) for one in found.disagreements if one.example_id not in listed)
    with durable():
        closed = still_open.filter(example__in=listed - differ.keys()).update(
            closed_at=timezone.now()
        )
        record_event(
            actor=actor,
            verb="audited_votes",
            subject=task,
            scope=task.slug,
            data={
                "votes": found.votes,
                "examples": found.examples,
                "disagreements": len(differ),
                "opened": opened,
                "closed": closed,
            },
        )
    return Audit(
        found.votes,
        found.examples,
        found.validators,
        found.known,
        found.disagreements,
        opened,
        closed,
    )


def _ask(one: Disagreement) -> bool:
    """Ask the owner about it, unless they or somebody else have dealt with it meanwhile."""
    with durable():
        example = hear(one.example_id).example
        if example.adjudicated or example.status not in _SETTLED_BY_LABELS:
            return False
        if example.hidden_at is not None or example.retracted_at is not None:
            return False
        open_review(
            example,
            Review.Kind.AUDIT,
            f"Weighing who mixes up which labels, it is {one.label} with {one.probability:.0%}; "
            f"the verdict has {one.verdict:.0%}.",
        )
    return True


def disagreements(task: Task) -> Audit | None:
    """What the audit would say, without asking anybody: three queries."""
    labels = _labels(task)
    if len(labels) < 2:
        return None
    places = {label: place for place, label in enumerate(labels)}
    votes = [vote for vote in _votes(task) if vote[2] in places]
    items = {example: place for place, example in enumerate(dict.fromkeys(v[0] for v in votes))}
    if not items:
        return Audit(0, 0, 0, 0)
    people = {person: place for place, person in enumerate(dict.fromkeys(v[1] for v in votes))}
    known = {
        items[example]: places[label]
        for example, label in _known(task).items()
        if example in items and label in places
    }
    estimate = dawid_skene(
        np.array([items[example] for example, _, _ in votes]),
        np.array([people[person] for _, person, _ in votes]),
        np.array([places[label] for _, _, label in votes]),
        classes=len(labels),
        gold=known,
    )
    found = _compare(task, estimate, items, labels)
    return Audit(len(votes), len(items), len(people), len(known), tuple(found[:LISTED]))


def _labels(task: Task) -> list[str]:
    assert task.config is not None
    file = task.config.file
    return file.label_values if file.kind.answers.few else []


def _votes(task: Task) -> list[tuple[int, int, Any]]:
    """Example, validator and label of the votes that count, and of those on known answers."""
    counts = Q(purpose=Vote.Purpose.VERDICT, surplus=False, example__sandbox=False)
    votes = Vote.objects.filter(
        counts | ~Q(purpose=Vote.Purpose.VERDICT),
        example__task=task,
        dropped=False,
        label__isnull=False,
    )
    return list(votes.order_by("id").values_list("example", "validator", "label"))


def _known(task: Task) -> dict[int, Any]:
    """The right label of the examples where an owner gave it, and did not take it back.

    Uploaded gold may be retired because it was asked enough: its answer stays what it was.
    """
    decided = Example.objects.filter(
        task=task,
        adjudicated=True,
        status__in=[Example.Status.VERIFIED, Example.Status.RELABELLED],
    )
    gold = Gold.objects.filter(Q(retired_at=None) | Q(example__sandbox=True), task=task)
    return {
        **dict(decided.values_list("pk", "final_label")),
        **dict(gold.values_list("example", "answer")),
    }


def _compare(
    task: Task, estimate: Estimate, items: dict[int, int], labels: list[str]
) -> list[Disagreement]:
    """The verdicts that have less than even odds; the least likely first."""
    settled: QuerySet[Example, Any] = (
        Example.objects.usable()
        .filter(task=task, adjudicated=False, status__in=_SETTLED_BY_LABELS)
        .values_list("pk", "status", "label", "final_label")
    )
    places = {label: place for place, label in enumerate(labels)}
    found = []
    for pk, status, label, final_label in settled:
        place = items.get(pk)
        if place is None:
            continue
        posterior = estimate.posteriors[place]
        said = final_label if status == Example.Status.RELABELLED else label
        right = float(posterior[places[said]]) if said in places else 0.0
        verdict = 1 - right if status == Example.Status.REJECTED else right
        if verdict < 0.5:
            top = int(posterior.argmax())
            found.append(Disagreement(pk, labels[top], float(posterior[top]), verdict))
    return sorted(found, key=lambda one: (one.verdict, one.example_id))


def summary(audit: Audit) -> dict[str, Any]:
    """What a command prints, as JSON can hold it."""
    uids = dict(
        Example.objects.filter(pk__in=[one.example_id for one in audit.disagreements]).values_list(
            "pk", "uid"
        )
    )
    return {
        "votes": audit.votes,
        "examples": audit.examples,
        "validators": audit.validators,
        "known": audit.known,
        "opened": audit.opened,
        "closed": audit.closed,
        "disagreements": [
            {
                "example": str(uids[one.example_id]),
                "label": one.label,
                "probability": round(one.probability, 4),
                "verdict": round(one.verdict, 4),
            }
            for one in audit.disagreements
        ],
    }
