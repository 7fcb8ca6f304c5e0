"""Campaigns, their places, the people who come by a link, their visits, and what they are owed."""

from __future__ import annotations

import uuid
from functools import cached_property
from typing import Any, ClassVar, Final

from django.db import models
from django.db.models import Q
from django.utils import timezone

from accounts.models import User, WorkSession
from annotate.models import Example, Task
from crowd.campaign_file import CampaignFile
from crowd.platforms import Platform, platform_named
from validate.models import Vote


class Campaign(models.Model):
    """People are asked by links to work on one task, for so much, under one consent."""

    class State(models.TextChoices):
        OPEN = "open", "open"
        PAUSED = "paused", "paused"
        ENDED = "ended", "ended"

    slug = models.SlugField(max_length=64, unique=True)
    task = models.ForeignKey(Task, on_delete=models.PROTECT, related_name="campaigns")
    data = models.JSONField(help_text="The campaign file with every default filled in.")
    state = models.CharField(max_length=10, choices=State.choices, default=State.OPEN)
    created_at = models.DateTimeField(default=timezone.now)
    created_by = models.ForeignKey(User, null=True, on_delete=models.PROTECT, related_name="+")

    def __str__(self) -> str:
        return self.slug

    @cached_property
    def file(self) -> CampaignFile:
        return CampaignFile.model_validate(self.data)

    @property
    def platform(self) -> Platform:
        return platform_named(self.file.platform)


class Slot(models.Model):
    """One place of a campaign: at most one visit holds it."""

    campaign = models.ForeignKey(Campaign, on_delete=models.CASCADE, related_name="slots")
    number = models.PositiveIntegerField()

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["campaign", "number"], name="slot_number_unique"),
        ]

    def __str__(self) -> str:
        return f"{self.campaign_id} #{self.number}"


FORGOTTEN: Final = "forgotten "  # no platform's name has a space


class Worker(models.Model):
    """A name that a platform has for a person. The same name on the same platform is one person."""

    realm = models.CharField(max_length=300, help_text="Where the name is one person's alone.")
    name = models.CharField(max_length=200, help_text="A keyed hash once it was forgotten.")
    user = models.OneToOneField(User, on_delete=models.PROTECT, related_name="worker")
    forgotten_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["realm", "name"],
                condition=Q(forgotten_at__isnull=True),
                name="worker_is_one_person",
            ),
            models.CheckConstraint(
                condition=Q(forgotten_at__isnull=True) | Q(name__startswith=FORGOTTEN),
                name="who_was_forgotten_has_no_name",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.realm} {self.user_id}"


class Visit(models.Model):
    """One person's work in a place of a campaign, from the consent to the platform's word on it."""

    class State(models.TextChoices):
        OPEN = "open", "at work"
        FINISHED = "finished", "finished, not confirmed yet"
        CONFIRMED = "confirmed", "confirmed"
        SCREENED_OUT = "screened_out", "screened out"
        RETURNED = "returned", "returned"
        TIMED_OUT = "timed_out", "timed out"
        REJECTED = "rejected", "rejected"

    UNSETTLED: Final = ("finished", "screened_out", "returned", "timed_out")
    HOLDS: Final = ("open", "finished", "confirmed")  # a place
    ONCE: Final = (*HOLDS, "screened_out", "rejected")  # who was one of these does not come again

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    campaign = models.ForeignKey(Campaign, on_delete=models.PROTECT, related_name="visits")
    slot = models.ForeignKey(Slot, on_delete=models.PROTECT, related_name="visits")
    worker = models.ForeignKey(Worker, on_delete=models.PROTECT, related_name="visits")
    session = models.OneToOneField(WorkSession, on_delete=models.PROTECT, related_name="visit")
    assignment = models.CharField(max_length=200, blank=True, help_text="The platform's name.")
    state = models.CharField(max_length=15, choices=State.choices, default=State.OPEN)
    token = models.CharField(max_length=64, blank=True, help_text="Hash of what its page holds.")
    consent = models.CharField(max_length=100, help_text="Version of what was agreed to.")
    code = models.CharField(max_length=20, unique=True, help_text="The one-time completion code.")
    attempts = models.PositiveIntegerField(default=0, help_text="At the comprehension check.")
    checked_at = models.DateTimeField(null=True, blank=True)
    started_at = models.DateTimeField(default=timezone.now)
    seen_at = models.DateTimeField(default=timezone.now)
    seconds = models.FloatField(default=0, help_text="At work, by the server's clock.")
    signals = models.JSONField(default=dict, blank=True, help_text="Counts that decide nothing.")
    place = models.CharField(max_length=64, blank=True, help_text="Keyed hash of the address.")
    finished_at = models.DateTimeField(null=True, blank=True)
    settled_at = models.DateTimeField(null=True, blank=True)
    reason = models.TextField(blank=True, help_text="Why an owner rejected it.")

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["slot"],
                condition=Q(state__in=("open", "finished", "confirmed")),
                name="one_visit_holds_a_slot",
            ),
            models.UniqueConstraint(
                fields=["campaign", "worker"],
                condition=Q(
                    state__in=("open", "finished", "confirmed", "screened_out", "rejected")
                ),
                name="one_visit_a_worker",
            ),
            models.UniqueConstraint(
                fields=["worker"], condition=Q(state="open"), name="one_open_visit_a_worker"
            ),
            models.CheckConstraint(
                condition=Q(state="open", finished_at__isnull=True)
                | (~Q(state="open") & Q(finished_at__isnull=False)),
                name="visit_that_is_over_has_a_time",
            ),
        ]
        indexes: ClassVar = [
            models.Index(fields=["campaign", "state"], name="visit_campaign_state"),
        ]

    def __str__(self) -> str:
        return f"{self.campaign} {self.code}"

    @property
    def was_screened_out(self) -> bool:
        """Whether the check kept them out, also if that was rejected since."""
        unchecked = self.state == self.State.REJECTED and self.checked_at is None
        return self.state == self.State.SCREENED_OUT or (
            unchecked and bool(self.campaign.file.check)
        )

    @property
    def waits(self) -> bool:
        """Whether somebody may still decide about it."""
        return self.state in self.UNSETTLED and self.settled_at is None


# --- money ----------------------------------------------------------------------------------------
class AddedRows(models.QuerySet[Any]):
    """Rows that are only read and added."""

    def update(self, **kwargs: Any) -> int:
        raise TypeError("The ledger is only added to.")

    def delete(self) -> tuple[int, dict[str, int]]:
        raise TypeError("Nothing is taken out of the ledger.")


class AddedOnly(models.Model):
    """Rows of the ledger are only ever added."""

    objects: ClassVar[Any] = AddedRows.as_manager()

    class Meta:
        abstract = True

    def save(self, *args: Any, **kwargs: Any) -> None:
        if not self._state.adding:
            raise TypeError("The ledger is only added to.")
        super().save(*args, **kwargs)

    def delete(self, *args: Any, **kwargs: Any) -> tuple[int, dict[str, int]]:
        raise TypeError("Nothing is taken out of the ledger.")


class Payment(models.Model):
    """One sum to one person for one visit; how far it is is what its last step says."""

    class State(models.TextChoices):
        PLANNED = "planned", "planned"
        SENT = "sent", "sent"
        CONFIRMED = "confirmed", "confirmed"
        FAILED = "failed", "failed"
        UNKNOWN = "unknown", "unknown"

    class Kind(models.TextChoices):
        REWARD = "reward", "for the visit"
        BONUS = "bonus", "bonus"

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    visit = models.ForeignKey(Visit, on_delete=models.PROTECT, related_name="payments")
    kind = models.CharField(max_length=10, choices=Kind.choices)
    amount = models.PositiveBigIntegerField(help_text="In the currency's smallest unit.")
    state = models.CharField(max_length=10, choices=State.choices, default=State.PLANNED)
    batch = models.CharField(max_length=40, blank=True, help_text="The file it went out in.")
    remote = models.CharField(max_length=200, blank=True, help_text="The platform's name for it.")
    created_at = models.DateTimeField(default=timezone.now)

    class Meta:
        constraints: ClassVar = [
            models.CheckConstraint(condition=Q(amount__gt=0), name="payment_of_something"),
        ]
        indexes: ClassVar = [models.Index(fields=["state", "created_at"], name="payment_state")]

    def __str__(self) -> str:
        return str(self.id)


class Step(AddedOnly):
    """One change of a payment's state."""

    payment = models.ForeignKey(Payment, on_delete=models.PROTECT, related_name="steps")
    number = models.PositiveIntegerField()
    state = models.CharField(max_length=10, choices=Payment.State.choices)
    note = models.TextField(blank=True)
    at = models.DateTimeField(default=timezone.now)

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["payment", "number"], name="payment_step_once"),
        ]

    def __str__(self) -> str:
        return f"{self.payment_id} {self.number} {self.state}"


class Due(AddedOnly):
    """What one thing earned: each example and each vote once, each visit its base once."""

    class For(models.TextChoices):
        BASE = "base", "the visit"
        SCREEN_OUT = "screen_out", "being screened out"
        FOOLING = "fooling", "a verified fooling"
        VALIDATION = "validation", "a correct validation"

    payment = models.ForeignKey(Payment, on_delete=models.PROTECT, related_name="dues")
    visit = models.ForeignKey(Visit, on_delete=models.PROTECT, related_name="dues")
    earned_by = models.CharField(max_length=10, choices=For.choices)
    amount = models.PositiveBigIntegerField()
    example = models.ForeignKey(
        Example, null=True, blank=True, on_delete=models.PROTECT, related_name="+"
    )
    # The database refuses to take a paid vote away; asking first would cost each undo a query.
    vote = models.ForeignKey(
        Vote, null=True, blank=True, on_delete=models.DO_NOTHING, related_name="+"
    )

    class Meta:
        constraints: ClassVar = [
            models.CheckConstraint(condition=Q(amount__gt=0), name="due_is_something"),
            models.CheckConstraint(
                condition=Q(earned_by="fooling", example__isnull=False, vote__isnull=True)
                | Q(earned_by="validation", example__isnull=True, vote__isnull=False)
                | Q(
                    earned_by__in=("base", "screen_out"),
                    example__isnull=True,
                    vote__isnull=True,
                ),
                name="due_has_what_earned_it",
            ),
            models.UniqueConstraint(
                fields=["visit"],
                condition=Q(example__isnull=True, vote__isnull=True),
                name="a_visit_is_paid_once",
            ),
            models.UniqueConstraint(fields=["example"], name="an_example_earns_once"),
            models.UniqueConstraint(fields=["vote"], name="a_vote_earns_once"),
        ]

    def __str__(self) -> str:
        return f"{self.amount} for {self.earned_by}"
