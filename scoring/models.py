"""Counters kept for speed; `manage.py recompute --check` proves that they equal the facts."""

from __future__ import annotations

from typing import ClassVar

from django.db import models

from accounts.models import User
from annotate.models import Round


class Tally(models.Model):
    """What one author did in one round, in numbers; the sum over authors is the round's.

    Only counted examples (not the sandbox's) are in it. `fooled` are claims; the columns below it
    split the claims by what became of them, so `fooled` = pending + verified + rejected +
    relabelled + ambiguous + flagged + withdrawn.
    """

    round = models.ForeignKey(Round, on_delete=models.CASCADE, related_name="tallies")
    author = models.ForeignKey(User, on_delete=models.PROTECT, related_name="tallies")
    submitted = models.PositiveIntegerField(default=0)
    fooled = models.PositiveIntegerField(default=0)
    pending = models.PositiveIntegerField(default=0)
    verified = models.PositiveIntegerField(default=0)
    rejected = models.PositiveIntegerField(default=0)
    relabelled = models.PositiveIntegerField(default=0)
    ambiguous = models.PositiveIntegerField(default=0)
    flagged = models.PositiveIntegerField(default=0)
    withdrawn = models.PositiveIntegerField(default=0)

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["round", "author"], name="tally_once"),
            models.CheckConstraint(
                condition=models.Q(fooled__lte=models.F("submitted")),
                name="never_more_foolings_than_submissions",
            ),
        ]
        verbose_name_plural = "tallies"

    def __str__(self) -> str:
        return f"{self.author_id} in {self.round_id}"
