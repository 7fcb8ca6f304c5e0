"""What people submit, and what is kept about each."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Any, ClassVar, Self

from django.db import models
from django.db.models import F, Q
from django.utils import timezone

from accounts.models import Role, User, WorkSession
from annotate.models.contexts import Context
from annotate.models.rounds import ModelVersion, Round
from annotate.models.tasks import Task, TaskConfig, Viewer

if TYPE_CHECKING:
    pass


class ExampleQuerySet(models.QuerySet["Example"]):
    def visible_to(self, user: Viewer) -> Self:
        """A person's own examples, and all of a task for its owners and for admins; for somebody
        who came by a link those of this visit."""
        if not isinstance(user, User) or not user.is_active:
            return self.none()
        if user.by_link is not None:
            return self.filter(author=user, session=user.by_link.session)
        if user.has_role(Role.ADMIN):
            return self
        visible = Q(author=user)
        if user.has_role(Role.OWNER):
            visible |= Q(task__in=Task.objects.owned_by(user))
        return self.filter(visible)

    def counted(self) -> Self:
        """Every submission that counts: not the sandbox's, nor what waits for a platform's word on
        its author; retracted ones included."""
        return self.filter(sandbox=False, provisional=False)

    def usable(self) -> Self:
        """What data may be made of: counted, neither retracted nor hidden."""
        return self.counted().filter(retracted_at=None, hidden_at=None)


class Example(models.Model):
    """One submission, with the verdict of the model as this server computed it."""

    class Status(models.TextChoices):
        OPEN = "open", "open"
        VERIFIED = "verified", "verified"
        REJECTED = "rejected", "rejected"
        RELABELLED = "relabelled", "relabelled"
        AMBIGUOUS = "ambiguous", "ambiguous"
        FLAGGED = "flagged", "flagged"

    uid = models.UUIDField(unique=True, default=uuid.uuid4, editable=False)
    task = models.ForeignKey(Task, on_delete=models.PROTECT, related_name="examples")
    config = models.ForeignKey(TaskConfig, on_delete=models.PROTECT, related_name="+")
    round = models.ForeignKey(Round, on_delete=models.PROTECT, related_name="examples")
    context = models.ForeignKey(
        Context, null=True, blank=True, on_delete=models.PROTECT, related_name="examples"
    )
    model = models.ForeignKey(ModelVersion, on_delete=models.PROTECT, related_name="examples")
    author = models.ForeignKey(
        User, null=True, blank=True, on_delete=models.PROTECT, related_name="examples"
    )
    session = models.ForeignKey(
        WorkSession, null=True, blank=True, on_delete=models.PROTECT, related_name="examples"
    )
    sandbox = models.BooleanField(default=False)
    provisional = models.BooleanField(
        default=False, help_text="Validated, but counts once the author's visit is confirmed."
    )
    client_id = models.UUIDField(
        null=True,
        blank=True,
        help_text="Made by the client; the same one again is the same example.",
    )
    external_id = models.CharField(  # noqa: DJ001  (unique where there is one, so none is NULL)
        max_length=100, null=True, blank=True, help_text="The id it had in an imported log."
    )
    input = models.JSONField()
    input_hash = models.CharField(max_length=64)
    copy_of = models.ForeignKey(
        "self",
        null=True,
        blank=True,
        on_delete=models.PROTECT,
        related_name="copies",
        db_index=False,
        help_text="The first one with this content: a log's, or one that an owner is asked about.",
    )
    label = models.JSONField(help_text="What the author says it is.")
    prediction = models.JSONField()
    probabilities = models.JSONField(null=True, blank=True)
    fooled = models.BooleanField()
    explanation = models.TextField(blank=True)
    probes = models.PositiveIntegerField(
        default=0, help_text="Live predictions seen since the submission before."
    )
    tries = models.PositiveIntegerField(
        default=1, help_text="Submissions since the author's last fooling, this one included."
    )
    seconds = models.FloatField(
        null=True, blank=True, help_text="Time spent, by the server's clock."
    )
    created_at = models.DateTimeField(default=timezone.now)
    queued = models.BooleanField(default=False, help_text="Validators are asked about it.")
    status = models.CharField(max_length=10, choices=Status.choices, default=Status.OPEN)
    final_label = models.JSONField(
        null=True, blank=True, help_text="The label that validators or an owner settled on."
    )
    settled_at = models.DateTimeField(null=True, blank=True)
    adjudicated = models.BooleanField(default=False, help_text="Settled by an owner.")
    retracted_at = models.DateTimeField(null=True, blank=True)
    hidden_at = models.DateTimeField(null=True, blank=True)

    objects: ClassVar[ExampleQuerySet] = ExampleQuerySet.as_manager()  # type: ignore[assignment]

    class Meta:
        constraints: ClassVar = [
            models.CheckConstraint(
                condition=Q(sandbox=True) | Q(author__isnull=False), name="example_has_author"
            ),
            models.CheckConstraint(
                condition=Q(author__isnull=False) | Q(session__isnull=False),
                name="example_has_a_person",
            ),
            models.CheckConstraint(
                condition=Q(sandbox=False) | Q(queued=False), name="sandbox_is_never_queued"
            ),
            models.CheckConstraint(
                condition=Q(status="open", settled_at__isnull=True)
                | (~Q(status="open") & Q(settled_at__isnull=False)),
                name="settled_examples_have_a_time",
            ),
            models.UniqueConstraint(
                fields=["author", "client_id"],
                condition=Q(author__isnull=False),
                name="client_id_once_per_author",
            ),
            models.UniqueConstraint(
                fields=["session", "client_id"],
                condition=Q(author__isnull=True),
                name="client_id_once_per_guest",
            ),
            models.UniqueConstraint(
                fields=["task", "external_id"], name="external_id_once_per_task"
            ),
        ]
        indexes: ClassVar = [
            models.Index(F("task"), F("id").desc(), name="example_task_newest"),
            models.Index(F("author"), F("id").desc(), name="example_author_newest"),
            models.Index(fields=["round", "author"], name="example_round_author"),
            models.Index(
                F("round"), F("id").desc(), condition=Q(status="verified"), name="example_verified"
            ),
            models.Index(fields=["task", "status", "id"], name="example_task_status"),
            models.Index(
                fields=["session"], condition=Q(provisional=True), name="example_provisional"
            ),
        ]

    def __str__(self) -> str:
        return str(self.uid)

    @property
    def whole_input(self) -> object:
        """The input with what its context says; costs a query where that is not loaded."""
        return self.config.file.kind.about(self.input, self.context and self.context.data)

    @property
    def wrong(self) -> Any:
        """What the model said, where it counts as fooled; else None."""
        return self.prediction if self.fooled else None

    @property
    def shares(self) -> dict[str, float] | None:
        """The model's probabilities, of what is stored those that are some."""
        if not isinstance(self.probabilities, dict):
            return None
        stored = self.probabilities.items()
        return {label: p for label, p in stored if type(p) in (int, float) and 0 <= p <= 1}

    @property
    def public_id(self) -> str:
        """The id in logs: the one it was imported with, else its own."""
        return self.external_id or str(self.uid)


class TargetAnswer(models.Model):
    """What each target said of an example of a round of which several must be fooled.

    The example itself has the model, prediction and probabilities of one whose own verdict is the
    round's, so that they tell by the task's rule what the example tells.
    """

    example = models.ForeignKey(Example, on_delete=models.CASCADE, related_name="answers")
    model = models.ForeignKey(ModelVersion, on_delete=models.PROTECT, related_name="answers")
    prediction = models.JSONField()
    probabilities = models.JSONField(null=True)
    fooled = models.BooleanField()

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["example", "model"], name="one_answer_a_target"),
        ]

    def __str__(self) -> str:
        return f"{self.model_id} on {self.example_id}"


class ContentKey(models.Model):
    """A number under which an example is found by others with its content, or nearly (kinds).

    The first of each content has its name in one of its rows: the database lets nobody submit it a
    second time. Its references are not checked by the database, which would cost more than all the
    rest: rows come with their example, and no example ever goes.
    """

    task = models.ForeignKey(
        Task, on_delete=models.PROTECT, related_name="+", db_index=False, db_constraint=False
    )
    example = models.ForeignKey(
        Example,
        on_delete=models.PROTECT,
        related_name="content_keys",
        db_index=False,
        db_constraint=False,
    )
    key = models.BigIntegerField()
    name = models.BigIntegerField(null=True)

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["task", "name"],
                condition=Q(name__isnull=False),
                name="content_once_per_task",
            ),
        ]
        indexes: ClassVar = [models.Index(fields=["task", "key"], name="content_key")]

    def __str__(self) -> str:
        return f"{self.key} of {self.example_id}"
