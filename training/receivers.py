"""The trigger: in the transaction that confirms a fooling, a run begins when enough wait."""

from __future__ import annotations

from typing import Any

from django.dispatch import receiver

from annotate.models import Example
from annotate.signals import example_changed
from training.services import start_if_due


@receiver(example_changed)
def follow_verdict(before: Example, example: Example, **_: Any) -> None:
    """Look whether a run is due when this change made the example one to learn from."""
    if teaches(example) and not teaches(before):
        start_if_due(example.task)


def teaches(example: Example) -> bool:
    """Whether it is a verified fooling that may be used, as `queries.verified_foolings` has it."""
    return (
        example.fooled
        and example.status == Example.Status.VERIFIED
        and not example.sandbox
        and example.retracted_at is None
        and example.hidden_at is None
    )
