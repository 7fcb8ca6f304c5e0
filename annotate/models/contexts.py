"""What annotators work on, and whom it was given to."""

from __future__ import annotations

import uuid
from typing import ClassVar

from django.db import models
from django.db.models import Q

from accounts.models import User, WorkSession
from annotate.models.tasks import Task


class Context(models.Model):
    """What an annotator works on: a passage, a premise, a prompt. Some kinds have none."""

    uid = models.UUIDField(unique=True, default=uuid.uuid4, editable=False)
    task = models.ForeignKey(Task, on_delete=models.PROTECT, related_name="contexts")
    data = models.JSONField()
    sha256 = models.CharField(max_length=64)
    source = models.CharField(max_length=100, blank=True)
    tags = models.JSONField(default=list, blank=True)
    offered = models.BooleanField(
        default=False, help_text="Annotators are given it; others are known from logs."
    )

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["task", "sha256"], name="context_once_per_task"),
        ]

    def __str__(self) -> str:
        return f"{self.source} {self.sha256[:8]}"


class ContextLease(models.Model):
    """A context that somebody was given or wrote about: kept, so that nobody is given it twice."""

    context = models.ForeignKey(Context, on_delete=models.CASCADE, related_name="leases")
    author = models.ForeignKey(User, null=True, on_delete=models.CASCADE, related_name="+")
    session = models.ForeignKey(
        WorkSession,
        null=True,
        on_delete=models.CASCADE,
        related_name="+",
        help_text="A guest's; null beside an author.",
    )
    goal = models.CharField(
        max_length=100, blank=True, help_text="The label to write for, where the server said one."
    )
    tries = models.PositiveIntegerField(default=0, help_text="Submissions about it.")
    skipped = models.BooleanField(default=False)
    expires_at = models.DateTimeField(help_text="Until then it counts as used without a try.")

    class Meta:
        constraints: ClassVar = [
            models.CheckConstraint(
                condition=Q(author__isnull=True) ^ Q(session__isnull=True),
                name="context_lease_is_one_persons",
            ),
            models.UniqueConstraint(fields=["context", "author"], name="context_once_per_author"),
            models.UniqueConstraint(fields=["context", "session"], name="context_once_per_guest"),
        ]

    def __str__(self) -> str:
        return f"{self.context_id} for {self.author_id or self.session_id}"
