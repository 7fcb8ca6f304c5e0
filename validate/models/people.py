"""What is known of validators, and whom each may not judge."""

from __future__ import annotations

from statistics import median
from typing import ClassVar

from django.db import models
from django.db.models import F, Q
from django.utils import timezone

from accounts.models import User
from annotate.models import Example, Task
from validate.policies.trust import PRIOR_RIGHT, PRIOR_WRONG


class Reliability(models.Model):
    """A validator in a task: how often they are right, Beta(alpha, beta), and their standing.

    Counts restart when an owner lifts a quarantine (`restarted_at`): older votes are not scored.
    """

    task = models.ForeignKey(
        Task, on_delete=models.CASCADE, related_name="reliabilities", db_index=False
    )
    validator = models.ForeignKey(User, on_delete=models.PROTECT, related_name="reliabilities")
    alpha = models.FloatField(default=PRIOR_RIGHT)
    beta = models.FloatField(default=PRIOR_WRONG)
    scored = models.PositiveIntegerField(default=0, help_text="Votes with a credit, gold included.")
    agreement = models.FloatField(
        default=0, help_text="How many of these the others, or the known answers, bear out."
    )
    gold_seen = models.PositiveIntegerField(default=0)
    gold_right = models.PositiveIntegerField(default=0)
    answered = models.PositiveIntegerField(default=0, help_text="Answers to the queue's questions.")
    answered_at = models.DateTimeField(null=True, blank=True)
    answered_today = models.PositiveIntegerField(
        default=0, help_text="Of the answers, those on the day of the last one (UTC)."
    )
    recent_seconds = models.JSONField(default=list, blank=True)
    skipped = models.PositiveIntegerField(default=0, help_text="Items that they skipped.")
    passes = models.FloatField(
        default=0,
        help_text="What was skipped, given back or let run out lately; answers and time pay it.",
    )
    passes_at = models.DateTimeField(null=True, blank=True)
    gold_pending = models.ForeignKey(
        Example,
        null=True,
        blank=True,
        on_delete=models.SET_NULL,
        related_name="+",
        help_text="Gold that was shown but not answered: it comes again, as any example would.",
    )
    qualified_at = models.DateTimeField(null=True, blank=True)
    quarantined_at = models.DateTimeField(null=True, blank=True)
    looked_again_at = models.DateTimeField(
        null=True, blank=True, help_text="When their votes had lost their weight everywhere."
    )
    restarted_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        verbose_name_plural = "reliabilities"
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["task", "validator"], name="one_reliability_per_task"),
            models.CheckConstraint(
                condition=Q(gold_right__lte=F("gold_seen")), name="gold_right_is_part_of_seen"
            ),
            models.CheckConstraint(condition=Q(passes__gte=0), name="passes_are_not_negative"),
        ]
        indexes: ClassVar = [
            models.Index(
                fields=["task"],
                condition=Q(quarantined_at__isnull=False, looked_again_at__isnull=True),
                name="quarantine_to_follow",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.validator_id} in {self.task_id}"

    @property
    def mean(self) -> float:
        return self.alpha / (self.alpha + self.beta)

    @property
    def median_seconds(self) -> float | None:
        """Over their last answers, once there are five."""
        return median(self.recent_seconds) if len(self.recent_seconds) >= 5 else None


class Apart(models.Model):
    """Two who may be one person under two names: the validator is not asked about the author.

    Each pair has two rows, one a direction.
    """

    validator = models.ForeignKey(User, on_delete=models.CASCADE, related_name="+", db_index=False)
    author = models.ForeignKey(User, on_delete=models.CASCADE, related_name="+", db_index=False)
    why = models.CharField(max_length=100)
    created_at = models.DateTimeField(default=timezone.now)

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["validator", "author"], name="apart_once"),
        ]

    def __str__(self) -> str:
        return f"{self.validator_id} and {self.author_id}: {self.why}"


class AuthorShare(models.Model):
    """How many of the votes that count on an author's examples came from one validator.

    `named_at`: when they were found to confirm this author more than chance lets them, with the
    `evidence`; they judge this author no more. What was before `cleared_at` is held against nobody.
    """

    task = models.ForeignKey(Task, on_delete=models.CASCADE, related_name="+", db_index=False)
    author = models.ForeignKey(User, on_delete=models.CASCADE, related_name="+", db_index=False)
    validator = models.ForeignKey(User, on_delete=models.CASCADE, related_name="+", db_index=False)
    votes = models.PositiveIntegerField(default=0)
    agreed = models.PositiveIntegerField(default=0, help_text="Of these, for the author's label.")
    named_at = models.DateTimeField(null=True, blank=True)
    evidence = models.JSONField(null=True, blank=True)
    cleared_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["task", "validator", "author"], name="one_share_per_validator_and_author"
            ),
            models.CheckConstraint(
                condition=Q(agreed__lte=F("votes")), name="agreed_is_part_of_votes"
            ),
        ]
        indexes: ClassVar = [
            models.Index(fields=["task", "author"], name="share_of_author"),
        ]

    def __str__(self) -> str:
        return f"{self.validator_id} on {self.author_id}: {self.votes}"
