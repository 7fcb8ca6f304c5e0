"""Models that judge beside people, their answers and their tests."""

from __future__ import annotations

from typing import ClassVar

from django.db import models
from django.db.models import F, Q
from django.utils import timezone

from accounts.models import User
from annotate.models import Example, ModelVersion, Task


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
