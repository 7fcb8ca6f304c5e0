"""What the queue does, in the same transaction, when an example is submitted or changes."""

from __future__ import annotations

import random
from typing import Any

from django.dispatch import receiver

from annotate.models import Example
from annotate.signals import example_changed, example_submitted
from validate.services import enqueue, sync_withdrawn

_draw = random.SystemRandom()


@receiver(example_submitted)
def queue_submission(example: Example, **_: Any) -> None:
    """Queue every claimed fooling, and a random share of the rest: nobody can guess which."""
    if example.sandbox:
        return
    if example.fooled:
        example.queued = True
    elif example.external_id is None:  # a log says itself which of its examples were validated
        sample = example.config.file.section("validation").sample
        example.queued = _draw.random() < sample
    if example.queued:
        enqueue(example, priority=0 if example.fooled else 1)


@receiver(example_changed)
def follow_withdrawal(before: Example | None, example: Example, **_: Any) -> None:
    """A retracted or hidden example leaves the queue; a restored one comes back."""
    if before is not None and (before.retracted_at, before.hidden_at) != (
        example.retracted_at,
        example.hidden_at,
    ):
        sync_withdrawn(example)
