"""What validators said, the answers that are known, and what an owner should look at."""

from __future__ import annotations

from typing import Any, ClassVar, Self

from django.db import models
from django.db.models import F, Q
from django.utils import timezone

from accounts.models import User
from annotate.models import Example, Task
from validate.models.queue import Lease
from validate.policies import JUDGE


class VoteQuerySet(models.QuerySet["Vote"]):
    def to_decide(self) -> Self:
        """The votes that came while their example was open; some may have lost their weight."""
        return self.filter(purpose=Vote.Purpose.VERDICT, surplus=False)

    def counted(self) -> Self:
        """The votes that decide: on open examples, by people in good standing."""
        return self.to_decide().filter(dropped=False)


class Vote(models.Model):
    """A validator's own label, or a flag with a reason ("unsure" when they can't tell)."""

    class Purpose(models.TextChoices):
        VERDICT = "verdict", "to decide an example"
        GOLD = "gold", "on a known answer, unseen"
        QUALIFICATION = "qualification", "to be let in"

    # Indexes of several columns, below, begin with these.
    example = models.ForeignKey(
        Example, on_delete=models.PROTECT, related_name="votes", db_index=False
    )
    validator = models.ForeignKey(
        User, on_delete=models.PROTECT, related_name="votes", db_index=False
    )
    author = models.ForeignKey(
        User,
        on_delete=models.PROTECT,
        related_name="+",
        db_index=False,
        help_text="The example's author, kept so that the database refuses a vote on one's own.",
    )
    lease = models.OneToOneField(Lease, null=True, blank=True, on_delete=models.PROTECT)
    label = models.JSONField(null=True, blank=True)
    flag = models.CharField(max_length=20, blank=True)
    reason = models.TextField(blank=True)
    purpose = models.CharField(
        max_length=15, choices=Purpose.choices, default=Purpose.VERDICT, editable=False
    )
    surplus = models.BooleanField(
        default=False, help_text="Came when the example was settled: kept, without effect."
    )
    dropped = models.BooleanField(
        default=False,
        help_text="Kept, without effect: its validator is quarantined, banned or tied to the "
        "author, or it was hasty.",
    )
    hasty = models.BooleanField(
        default=False,
        help_text="Under a second, by somebody whom known answers had not proven: it weighs "
        "nothing until they do.",
    )
    automatic = models.BooleanField(
        default=False,
        help_text="An admitted judge's: it follows a person's, and decides nothing alone.",
    )
    close = models.BooleanField(
        default=False,
        help_text="On it the lot fell to be looked at more closely: its example's verdict "
        "takes a vote more.",
    )
    reliability = models.FloatField(
        null=True,
        blank=True,
        help_text="How often its validator was believed right when it was cast: what it weighs.",
    )
    credit = models.FloatField(
        null=True,
        blank=True,
        help_text="Probability that it is right, by all that is known; empty while unknown.",
    )
    agreement = models.FloatField(
        null=True, blank=True, help_text="The same by what the others said, itself left out."
    )
    seconds = models.FloatField(
        null=True, blank=True, help_text="From when the item could be seen to the vote."
    )
    fast = models.BooleanField(
        default=False, help_text="Under 3 s, or under a fifth of the person's median."
    )
    created_at = models.DateTimeField(default=timezone.now)

    objects: ClassVar[VoteQuerySet] = VoteQuerySet.as_manager()  # type: ignore[assignment]

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["example", "validator"], name="one_vote_per_validator"),
            models.UniqueConstraint(
                fields=["example"], condition=Q(automatic=True), name="one_automatic_vote"
            ),
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

    @property
    def as_told(self) -> dict[str, Any]:
        """Who said what, as logs tell it: by pseudonym."""
        name = self.validator.pseudonym
        if self.automatic and not name.startswith(JUDGE):
            name = f"{JUDGE}{name}"
        answer = {"flag": self.flag} if self.flag else {"label": self.label}
        return {"validator": name, **answer}


class Gold(models.Model):
    """An example whose answer an owner knows; retired ones are asked no more."""

    example = models.OneToOneField(
        Example, primary_key=True, on_delete=models.CASCADE, related_name="gold"
    )
    task = models.ForeignKey(Task, on_delete=models.CASCADE, related_name="gold")
    answer = models.JSONField()
    created_by = models.ForeignKey(User, null=True, on_delete=models.PROTECT, related_name="+")
    created_at = models.DateTimeField(default=timezone.now)
    retired_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        verbose_name_plural = "gold"
        indexes: ClassVar = [
            models.Index(fields=["task"], condition=Q(retired_at__isnull=True), name="gold_active"),
        ]

    def __str__(self) -> str:
        return f"gold {self.example_id}"


class Review(models.Model):
    """A reason for an owner to look at an example; closed by what the owner does about it."""

    class Kind(models.TextChoices):
        QUARANTINE = "quarantine", "a vote that mattered lost its weight"
        AUDIT = "audit", "the audit sees it differently"
        FLAGGED = "flagged", "flagged"
        AMBIGUOUS = "ambiguous", "ambiguous"
        RELABELLED = "relabelled", "relabelled"
        COPY = "copy", "nearly another author's"

    example = models.ForeignKey(Example, on_delete=models.CASCADE, related_name="reviews")
    task = models.ForeignKey(Task, on_delete=models.CASCADE, related_name="+")
    kind = models.CharField(max_length=10, choices=Kind.choices)
    reason = models.TextField(blank=True)
    opened_at = models.DateTimeField(default=timezone.now)
    closed_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["example", "kind"],
                condition=Q(closed_at__isnull=True),
                name="one_open_review_of_a_kind",
            ),
        ]
        indexes: ClassVar = [
            models.Index(
                fields=["task", "id"], condition=Q(closed_at__isnull=True), name="review_open"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.kind} {self.example_id}"
