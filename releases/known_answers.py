"""What was published is no secret: it tests no validator."""

from __future__ import annotations

from typing import Any

import numpy as np
from django.dispatch import receiver

from annotate.models import Example
from core.errors import Conflict
from releases.changes import Prints, how_many_of
from releases.models import Release
from releases.queries import versions_with
from validate.acts.gold import marking_gold, withdraw_gold
from validate.hearing import hear
from validate.models import Gold


def spend_known_answers(release: Release, prints: Prints) -> None:
    """What somebody made a known answer while this version was made tests nobody any more."""
    active = Gold.objects.filter(task=release.task, retired_at=None).order_by("pk")
    for pk in active.values_list("pk", flat=True):
        if how_many_of(prints, np.array([pk], np.uint64)):
            reason = f"It was published in {release.version}."
            withdraw_gold(hear(pk).example, actor=None, reason=reason)


@receiver(marking_gold)
def refuse_what_was_published(example: Example, **_: Any) -> None:
    """Whoever has a release knows its answers, and would be told by it what tests them."""
    if versions := versions_with(example):
        raise Conflict(
            "published",
            f"It was published in {versions[0]}, which tells its answer: choose one that was not.",
        )
