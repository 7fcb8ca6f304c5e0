"""Keep the tallies in the transaction of the change that they count."""

from __future__ import annotations

from typing import Any

from django.db.models import F
from django.dispatch import receiver

from annotate.models import Example
from annotate.signals import example_changed
from scoring.models import Tally
from scoring.tally import contribution


@receiver(example_changed)
def count_change(before: Example | None, example: Example, **_: Any) -> None:
    """Move the author's tally by the difference that this change makes."""
    difference = contribution(example)
    difference.subtract(contribution(before))
    changed = {column: change for column, change in difference.items() if change}
    if not changed:
        return
    row = {"round_id": example.round_id, "author_id": example.author_id}
    updates = {column: F(column) + change for column, change in changed.items()}
    if not Tally.objects.filter(**row).update(**updates):
        # The first example of this author in this round. ignore_conflicts: two first ones at once.
        Tally.objects.bulk_create([Tally(**row)], ignore_conflicts=True)
        Tally.objects.filter(**row).update(**updates)
