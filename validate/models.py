"""The queue, the leases on it, and the votes."""

from __future__ import annotations

import uuid
from typing import ClassVar

from django.db import models
from django.db.models import F, Q
from django.utils import timezone

from accounts.models import User
from annotate.models import Example, Task


class QueueItem(models.Model):
    """An example that waits for votes; deleted when it is settled, so the queue stays small.

    `votes_wanted` is how many further votes are certain to be usable; `leases_active` how many
    people hold a lease on it. Both live in the row that `next_item` locks: one statement decides.
    """

    example = models.OneToOneField(
        Example, primary_key=True, on_delete=models.CASCADE, related_name="queue_item"
    )
    task = models.ForeignKey(Task, on_delete=models.CASCADE, related_name="+")
    author = models.ForeignKey(User, on_delete=models.CASCADE, related_name="+")
    priority = models.PositiveSmallIntegerField(help_text="0: a claimed fooling; 1: not.")
    votes_wanted = models.PositiveSmallIntegerField()
    leases_active = models.PositiveSmallIntegerField(default=0)
    withdrawn = models.BooleanField(
        default=False, help_text="Its author retracted it, or an owner hid it: nobody is asked."
    )

    class Meta:
        constraints: ClassVar = [
            models.CheckConstraint(
                condition=Q(leases_active__lte=F("votes_wanted")),
                name="never_more_leases_than_useful_votes",
            ),
            models.CheckConstraint(
                condition=Q(votes_wanted__gte=1), name="queued_items_want_votes"
            ),
        ]
        indexes: ClassVar = [
            models.Index(
                fields=["task", "priority", "example"],
                condition=Q(withdrawn=False, votes_wanted__gt=F("leases_active")),
                name="queue_free",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.example_id} wants {self.votes_wanted}"


class Lease(models.Model):
    """One person's short claim on one example; its id is the fencing token the vote carries."""

    class End(models.TextChoices):
        VOTED = "voted", "voted"
        RELEASED = "released", "released"
        SKIPPED = "skipped", "skipped"
        EXPIRED = "expired", "expired"
        SUPERSEDED = "superseded", "superseded"

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    example = models.ForeignKey(Example, on_delete=models.CASCADE, related_name="leases")
    validator = models.ForeignKey(User, on_delete=models.PROTECT, related_name="leases")
    created_at = models.DateTimeField(default=timezone.now)
    expires_at = models.DateTimeField()
    ended_at = models.DateTimeField(null=True, blank=True)
    end = models.CharField(max_length=10, choices=End.choices, blank=True)

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["example", "validator"],
                condition=Q(ended_at__isnull=True),
                name="one_active_lease_per_validator",
            ),
        ]
        indexes: ClassVar = [
            models.Index(
                fields=["expires_at"], condition=Q(ended_at__isnull=True), name="lease_expiry"
            ),
            models.Index(
                fields=["validator"], condition=Q(ended_at__isnull=True), name="lease_active"
            ),
        ]

    def __str__(self) -> str:
        return f"lease {self.id}"


class Vote(models.Model):
    """A validator's own label, or a flag with a reason ("unsure" when they can't tell)."""

    example = models.ForeignKey(Example, on_delete=models.PROTECT, related_name="votes")
    validator = models.ForeignKey(User, on_delete=models.PROTECT, related_name="votes")
    author = models.ForeignKey(
        User,
        on_delete=models.PROTECT,
        related_name="+",
        help_text="The example's author, kept so that the database refuses a vote on one's own.",
    )
    lease = models.OneToOneField(Lease, null=True, blank=True, on_delete=models.PROTECT)
    label = models.JSONField(null=True, blank=True)
    flag = models.CharField(max_length=20, blank=True)
    reason = models.TextField(blank=True)
    surplus = models.BooleanField(
        default=False, help_text="Came when the example was settled: kept, without effect."
    )
    seconds = models.FloatField(null=True, blank=True, help_text="From lease to vote.")
    created_at = models.DateTimeField(default=timezone.now)

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["example", "validator"], name="one_vote_per_validator"),
            models.CheckConstraint(
                condition=~Q(validator=F("author")), name="nobody_validates_their_own"
            ),
            models.CheckConstraint(
                condition=Q(label__isnull=True) ^ Q(flag=""), name="vote_is_a_label_or_a_flag"
            ),
        ]
        indexes: ClassVar = [
            models.Index(fields=["validator", "-id"], name="vote_validator_newest"),
        ]

    def __str__(self) -> str:
        return f"{self.validator_id} on {self.example_id}"
