"""What the queue does, in the same transaction, when an example is submitted or changes."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any

from django.dispatch import receiver

from annotate.models import Example
from annotate.signals import example_arrives, example_changed, examples_submitted
from validate.decisions import enqueue_new, sync_withdrawn
from validate.models import Review
from validate.quarantine import close_reviews, follow_later, open_review
from validate.reliability import score

_chance = random.SystemRandom()
_FOR_THE_OWNER = {
    Example.Status.FLAGGED: Review.Kind.FLAGGED,
    Example.Status.AMBIGUOUS: Review.Kind.AMBIGUOUS,
    Example.Status.RELABELLED: Review.Kind.RELABELLED,
}


@receiver(example_arrives)
def choose_for_queue(example: Example, **_: Any) -> None:
    """Choose every claimed fooling, and a random share of the rest: nobody can guess which."""
    if example.sandbox:
        return
    if example.fooled:
        example.queued = True
    elif example.external_id is None:  # a log says itself which of its examples were validated
        sample = example.config.file.section("validation").sample
        example.queued = _chance.random() < sample


@receiver(examples_submitted)
def queue_submissions(examples: Sequence[Example], **_: Any) -> None:
    """Queue what was chosen."""
    enqueue_new([example for example in examples if example.queued])


@receiver(example_changed)
def follow_withdrawal(before: Example, example: Example, **_: Any) -> None:
    """A retracted or hidden example leaves the queue; a restored one comes back."""
    if (before.retracted_at, before.hidden_at) != (example.retracted_at, example.hidden_at):
        sync_withdrawn(example)
        if example.hidden_at is not None:
            close_reviews(example)


@receiver(example_changed)
def follow_verdict(before: Example, example: Example, **_: Any) -> None:
    """Those who voted are scored by the verdict; an owner is asked about what votes left unclear.

    An owner's own verdict closes whatever they were asked.
    """
    if _verdict(before) == _verdict(example):
        return
    follow_later(score(example))
    if example.adjudicated or example.status == Example.Status.OPEN:
        close_reviews(example)
    elif kind := _FOR_THE_OWNER.get(Example.Status(example.status)):
        open_review(example, kind, "")


def _verdict(example: Example) -> tuple[Any, ...]:
    return example.status, example.final_label, example.adjudicated
