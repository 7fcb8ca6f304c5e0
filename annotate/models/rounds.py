"""Models, and the rounds in which people try to fool them."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any, ClassVar, Self

from django.db import models
from django.db.models import F, Q
from django.utils import timezone
from django.utils.functional import cached_property

from accounts.models import WorkSession
from annotate.models.tasks import Task, Viewer
from annotate.sections import Rounds
from core.strict_json import dumps

if TYPE_CHECKING:
    pass


class ModelQuerySet(models.QuerySet["ModelVersion"]):
    def visible_to(self, user: Viewer) -> Self:
        """Those that served in tasks that this person may see, and all of a task for its owners."""
        served = Round.objects.exclude(opened_at=None).values("targets")
        seen = Q(task__in=Task.objects.visible_to(user), pk__in=served)
        return self.filter(seen | Q(task__in=Task.objects.owned_by(user)))


class ModelVersion(models.Model):
    """An immutable registered model. One without a backend is known from an imported log only."""

    task = models.ForeignKey(Task, on_delete=models.PROTECT, related_name="models")
    number = models.PositiveIntegerField()
    name = models.CharField(max_length=100)
    backend = models.CharField(
        max_length=30, blank=True, help_text="The way of asking it; empty: nobody can."
    )
    artifact = models.CharField(
        max_length=200, blank=True, help_text="Path below the artifact folder, where it has a file."
    )
    sha256 = models.CharField(max_length=64, blank=True)
    config = models.JSONField(default=dict, blank=True, help_text="Net, seed, hyperparameters.")
    provenance = models.JSONField(
        default=dict, blank=True, help_text="Data hash, code revision, training run."
    )
    metrics = models.JSONField(default=dict, blank=True)
    parent = models.ForeignKey(
        "self", null=True, blank=True, on_delete=models.PROTECT, related_name="children"
    )
    created_at = models.DateTimeField(default=timezone.now)
    retired_at = models.DateTimeField(
        null=True,
        blank=True,
        help_text="Since then it can be no target; the rest is never changed.",
    )

    objects: ClassVar[ModelQuerySet] = ModelQuerySet.as_manager()  # type: ignore[assignment]

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["task", "number"], name="model_number_unique"),
            models.UniqueConstraint(fields=["task", "name"], name="model_name_unique"),
        ]

    def __str__(self) -> str:
        return self.name

    def save(self, *args: Any, **kwargs: Any) -> None:
        if not self._state.adding:
            raise TypeError("A model version is never changed: register a new one.")
        super().save(*args, **kwargs)

    @cached_property
    def identity(self) -> str:
        """Names what it answers: two versions may have one file and take its labels otherwise."""
        told = [self.task_id, self.backend, self.artifact, self.sha256, self.config]
        return hashlib.sha256(dumps(told).encode()).hexdigest()


class Round(models.Model):
    """A numbered phase of a task against its own target models."""

    class Status(models.TextChoices):
        DRAFT = "draft", "draft"
        OPEN = "open", "open"
        CLOSED = "closed", "closed"

    task = models.ForeignKey(Task, on_delete=models.PROTECT, related_name="rounds")
    number = models.PositiveIntegerField()
    status = models.CharField(max_length=10, choices=Status.choices, default=Status.DRAFT)
    targets = models.ManyToManyField(ModelVersion, related_name="rounds")
    needed = models.PositiveSmallIntegerField(
        null=True,
        blank=True,
        help_text="Of its targets, all of which are asked, so many must be fooled; empty: one of "
        "them is chosen by lot for each context, or person, and kept.",
    )
    opens_at = models.DateTimeField(null=True, blank=True, help_text="When a draft opens.")
    opened_at = models.DateTimeField(null=True, blank=True)
    closes_at = models.DateTimeField(
        null=True, blank=True, help_text="From then on it takes nothing, closed already or not."
    )
    closed_at = models.DateTimeField(null=True, blank=True)
    rules = models.JSONField(
        default=dict, blank=True, help_text="Quotas and retraction, as a task file's `rounds`."
    )

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["task", "number"], name="round_number_unique"),
            models.UniqueConstraint(
                fields=["task"], condition=Q(status="open"), name="one_open_round_per_task"
            ),
            models.UniqueConstraint(
                fields=["task"], condition=Q(status="draft"), name="one_scheduled_round_per_task"
            ),
            models.CheckConstraint(
                condition=~Q(status="draft") | Q(opens_at__isnull=False),
                name="a_draft_has_its_time",
            ),
            models.CheckConstraint(
                condition=Q(opens_at__isnull=True)
                | Q(closes_at__isnull=True)
                | Q(closes_at__gt=F("opens_at")),
                name="a_round_opens_before_it_closes",
            ),
        ]

    def __str__(self) -> str:
        return f"round {self.number}"

    @cached_property
    def limits(self) -> Rounds:
        """When it takes what, and how much."""
        return Rounds(opens_at=self.opens_at, closes_at=self.closes_at, **self.rules)

    @property
    def is_over(self) -> bool:
        """Whether its time has passed: before that is written, too."""
        return self.closes_at is not None and self.closes_at <= timezone.now()


class RoundVisit(models.Model):
    """That somebody signed in opened the task's page while this round was open."""

    round = models.ForeignKey(Round, on_delete=models.CASCADE, related_name="+", db_index=False)
    session = models.ForeignKey(WorkSession, on_delete=models.CASCADE, related_name="+")

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["round", "session"], name="visit_once_a_round")
        ]

    def __str__(self) -> str:
        return f"{self.session_id} in {self.round_id}"
