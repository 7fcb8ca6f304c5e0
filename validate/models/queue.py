"""What waits for votes, and who was asked."""

from __future__ import annotations

import random
import uuid
from datetime import datetime, timedelta
from typing import ClassVar

from django.db import models
from django.db.models import F, Q
from django.utils import timezone

from accounts.models import User
from annotate.models import Example, Task

_chance = random.SystemRandom()


def in_a_day() -> datetime:
    """At some hour of tomorrow that nobody knows: who waits for it finds others awake."""
    return timezone.now() + timedelta(days=1 + _chance.random())


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
    urgency = models.FloatField(
        default=0, help_text="1 when one vote away from a verdict; 0 where no posterior is kept."
    )
    open_from = models.DateTimeField(
        default=in_a_day,
        help_text="When it is for more people than were picked, and a week later for everybody.",
    )
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
                fields=["task", "priority", "-urgency", "example"],
                condition=Q(withdrawn=False, votes_wanted__gt=F("leases_active")),
                name="queue_order",
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
        UNSKIPPED = "unskipped", "skipped, and asked for again"
        EXPIRED = "expired", "expired"
        SUPERSEDED = "superseded", "superseded"

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    example = models.ForeignKey(Example, on_delete=models.CASCADE, related_name="leases")
    validator = models.ForeignKey(
        User, on_delete=models.PROTECT, related_name="leases", db_index=False
    )
    gold = models.BooleanField(
        default=False, help_text="On an example with a known answer: it takes no place in a queue."
    )
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
                fields=["validator", "example"],
                condition=Q(ended_at__isnull=True) | Q(end="skipped"),
                name="lease_claims",
            ),
            models.Index(fields=["validator", "-created_at"], name="lease_validator_newest"),
        ]

    def __str__(self) -> str:
        return f"lease {self.id}"
