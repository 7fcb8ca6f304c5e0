"""The queue, the leases on it, the votes, and what is known about those who vote."""

from __future__ import annotations

import random
import uuid
from datetime import datetime, timedelta
from statistics import median
from typing import ClassVar, Self

from django.db import models
from django.db.models import F, Q
from django.utils import timezone

from accounts.models import User
from annotate.models import Example, ModelVersion, Task
from validate.policies.trust import PRIOR_RIGHT, PRIOR_WRONG

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
        help_text="When it is for more people than were picked, and two days later for everybody.",
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
        help_text="The first on an example of somebody new, and the lot fell on it: its verdict "
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


class Judge(models.Model):
    """A model that judges a task's examples in shadow: no one who votes is told what it says.

    Whether it may stand in for a person is for its tests to say, in this task alone. One is
    admitted at a time: two models must not outvote a person.
    """

    class Standing(models.TextChoices):
        SHADOW = "shadow", "in shadow"
        ADMITTED = "admitted", "admitted"
        DEMOTED = "demoted", "demoted"

    task = models.ForeignKey(Task, on_delete=models.CASCADE, related_name="judges")
    model = models.OneToOneField(ModelVersion, on_delete=models.CASCADE, related_name="judge")
    standing = models.CharField(max_length=10, choices=Standing.choices, default=Standing.SHADOW)
    voter = models.OneToOneField(
        User,
        null=True,
        blank=True,
        on_delete=models.PROTECT,
        related_name="+",
        help_text="In whose name it votes while it is admitted; nobody can sign in as them.",
    )
    reason = models.CharField(max_length=300, blank=True, help_text="Why it was demoted.")
    created_by = models.ForeignKey(
        User, null=True, blank=True, on_delete=models.PROTECT, related_name="+"
    )
    created_at = models.DateTimeField(default=timezone.now)

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["task"],
                condition=Q(standing="admitted"),
                name="one_admitted_judge_per_task",
            ),
            models.CheckConstraint(
                condition=Q(standing="admitted") ^ Q(voter=None), name="who_is_admitted_votes"
            ),
        ]

    def __str__(self) -> str:
        return f"judge {self.model_id}"


class JudgeTest(models.Model):
    """One alternative-annotator test of a judge, as it came out; its items serve no other."""

    judge = models.ForeignKey(Judge, on_delete=models.CASCADE, related_name="tests")
    passed = models.BooleanField()
    report = models.JSONField(help_text="Each person that it was held against, by id.")
    created_by = models.ForeignKey(
        User, null=True, blank=True, on_delete=models.PROTECT, related_name="+"
    )
    created_at = models.DateTimeField(default=timezone.now)

    def __str__(self) -> str:
        return f"test {self.pk} of {self.judge_id}"


class JudgeAnswer(models.Model):
    """What a judge says of an example, apart from people's votes; asked once."""

    judge = models.ForeignKey(Judge, on_delete=models.CASCADE, related_name="answers")
    example = models.ForeignKey(Example, on_delete=models.CASCADE, related_name="+")
    asked = models.ForeignKey(
        ModelVersion,
        on_delete=models.CASCADE,
        related_name="+",
        db_index=False,
        help_text="The judge's model, kept so that the database refuses a judge of itself.",
    )
    target = models.ForeignKey(
        ModelVersion,
        on_delete=models.CASCADE,
        related_name="+",
        db_index=False,
        help_text="The model that the example was sent to.",
    )
    label = models.JSONField(
        null=True, help_text="Empty: no answer, or another one when the labels were turned round."
    )
    turned = models.BooleanField(
        null=True,
        help_text="Whether it says otherwise when the labels are named in the other order; empty: "
        "it was not asked so.",
    )
    test = models.ForeignKey(
        JudgeTest, null=True, blank=True, on_delete=models.CASCADE, related_name="answers"
    )
    created_at = models.DateTimeField(default=timezone.now)

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["judge", "example"], name="judged_once"),
            models.CheckConstraint(
                condition=~Q(asked=F("target")), name="no_judge_of_what_was_sent_to_it"
            ),
            models.CheckConstraint(
                condition=Q(label__isnull=True) | ~Q(turned=True), name="who_turns_says_nothing"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.judge_id} on {self.example_id}"
