"""The trigger: in the transaction that confirms a fooling, a run begins when enough wait."""

from __future__ import annotations

from annotate.facts import Receiver
from annotate.models import Example
from training.services import start_if_due


class Trigger(Receiver):
    def changed(self, before: Example, example: Example) -> None:
        """Look whether a run is due when this change made the example one to learn from."""
        if teaches(example) and not teaches(before):
            start_if_due(example.task)


def teaches(example: Example) -> bool:
    """Whether it is a verified fooling that may be used, as `queries.verified_foolings` has it."""
    return (
        example.fooled
        and example.status == Example.Status.VERIFIED
        and not example.sandbox
        and not example.provisional
        and example.retracted_at is None
        and example.hidden_at is None
        and example.copy_of_id is None
    )
