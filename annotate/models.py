"""Tasks, their rounds and models, and the examples that people submit."""

from __future__ import annotations

import hashlib
import uuid
from contextlib import suppress
from datetime import datetime
from typing import TYPE_CHECKING, Any, ClassVar, Self

from django.contrib.auth.models import AnonymousUser
from django.db import models
from django.db.models import F, Q
from django.utils import timezone
from django.utils.functional import cached_property
from django.utils.translation import get_language_info

from accounts.languages import LONGEST_TAG, reads, wider
from accounts.models import Role, User, WorkSession
from annotate.config import Rounds, TaskFile
from core.strict_json import dumps
from kinds import Kind, kind_named

if TYPE_CHECKING:
    from django.db.models.fields.related_descriptors import RelatedManager

Viewer = User | AnonymousUser


def role_of(user: Viewer) -> str:
    """What somebody may do about tasks as such: as an admin, as an owner, or "" as everybody."""
    roles = (Role.ADMIN, Role.OWNER)
    return next((role for role in roles if isinstance(user, User) and user.has_role(role)), "")


class TaskQuerySet(models.QuerySet["Task"]):
    def visible_to(self, user: Viewer) -> Self:
        """Public tasks for everybody; hidden ones for their owners and for admins.

        Who came by a link sees the one task that it leads to.
        """
        if isinstance(user, User) and user.by_link is not None:
            return self.filter(pk=user.by_link.task_id)
        return self.visible_as(role_of(user), user.pk)

    def visible_as(self, role: str, person: Any) -> Self:
        """The same for whoever came without a link, by their role and what stands for their key."""
        if role == Role.ADMIN:
            return self
        visible = Q(public=True)
        if role == Role.OWNER:
            visible |= Q(pk__in=Task.owners.through.objects.filter(user=person).values("task_id"))
        return self.filter(visible)

    def owned_by(self, user: Viewer) -> Self:
        """The tasks that this person may curate: their own, or every one for an admin."""
        if isinstance(user, User) and user.has_role(Role.ADMIN):
            return self
        if isinstance(user, User) and user.has_role(Role.OWNER):
            return self.filter(owners=user)
        return self.none()

    def suiting(self, user: User) -> Self:
        """The tasks that a person's preferences leave in; all of them where nothing is set.

        The same as `Task.set_aside_for`, in the database.
        """
        tasks = self if user.takes_warned else self.filter(content_warning="")
        if not user.languages:
            return tasks
        read = Q(language="")
        for language in user.languages:
            narrower = Q(language__startswith=f"{language}-")
            read |= narrower | Q(language__in=wider(language))
        return tasks.filter(read)


class Task(models.Model):
    """One problem on which people try to fool a model."""

    slug = models.SlugField(max_length=64, unique=True)
    name = models.CharField(max_length=200)
    input_kind = models.CharField(max_length=30)
    public = models.BooleanField(default=True, help_text="Shown to everybody.")
    language = models.CharField(
        max_length=LONGEST_TAG, blank=True, help_text="Of what is shown; empty: of no matter."
    )
    content_warning = models.CharField(max_length=300, blank=True)
    config = models.ForeignKey(
        "TaskConfig", null=True, on_delete=models.PROTECT, related_name="current_of"
    )
    owners = models.ManyToManyField(User, blank=True, related_name="owned_tasks")
    created_at = models.DateTimeField(default=timezone.now)

    objects: ClassVar[TaskQuerySet] = TaskQuerySet.as_manager()  # type: ignore[assignment]
    if TYPE_CHECKING:
        rounds: RelatedManager[Round]
        models: RelatedManager[ModelVersion]
        contexts: RelatedManager[Context]

    def __str__(self) -> str:
        return self.name

    @property
    def kind(self) -> Kind:
        """All that is particular to its kind of input."""
        return kind_named(self.input_kind)

    @property
    def language_name(self) -> str:
        """The language in English, or its tag where Django knows no name."""
        for known in wider(self.language):
            with suppress(KeyError):
                name = str(get_language_info(known.lower())["name"])
                return name if known == self.language else f"{name} ({self.language})"
        return self.language

    def set_aside_for(self, user: User) -> str:
        """Why a person's own preferences keep this task from them, empty when they do not."""
        if self.language and not reads(user.languages, self.language):
            return "language"
        return "content_warning" if self.content_warning and not user.takes_warned else ""

    def is_owned_by(self, user: Viewer) -> bool:
        """Whether this person may curate the task (costs a query for owners)."""
        return Task.objects.filter(pk=self.pk).owned_by(user).exists()


PARSED_CONFIGS = 200
_parsed: dict[tuple[int | None, datetime], TaskFile] = {}


class TaskConfig(models.Model):
    """One version of a task's file; never changed, and each example points to the one it met."""

    task = models.ForeignKey(Task, on_delete=models.PROTECT, related_name="configs")
    version = models.PositiveIntegerField()
    data = models.JSONField(help_text="The task file with every default filled in.")
    created_at = models.DateTimeField(default=timezone.now)
    created_by = models.ForeignKey(User, null=True, on_delete=models.PROTECT)

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["task", "version"], name="task_config_version_unique"),
        ]

    def __str__(self) -> str:
        return f"{self.task_id} v{self.version}"

    def save(self, *args: Any, **kwargs: Any) -> None:
        if not self._state.adding:
            raise TypeError("A config version is never changed: make a new one.")
        super().save(*args, **kwargs)

    @cached_property
    def file(self) -> TaskFile:
        """The parsed task file; parsed once a process, for it never changes."""
        key = (self.pk, self.created_at)  # a test's next database has the same key, made later
        if key not in _parsed:
            if len(_parsed) >= PARSED_CONFIGS:
                _parsed.pop(next(iter(_parsed)), None)
            _parsed[key] = TaskFile.model_validate(self.data)
        return _parsed[key]


class Barred(models.Model):
    """Somebody whom a task's owners keep out of it."""

    task = models.ForeignKey(Task, on_delete=models.CASCADE, related_name="barred")
    person = models.ForeignKey(User, on_delete=models.CASCADE, related_name="+")
    created_at = models.DateTimeField(default=timezone.now)

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["task", "person"], name="barred_once_per_task"),
        ]

    def __str__(self) -> str:
        return f"{self.person_id} is kept out of {self.task_id}"


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


class ExampleQuerySet(models.QuerySet["Example"]):
    def visible_to(self, user: Viewer) -> Self:
        """A person's own examples, and all of a task for its owners and for admins."""
        if not isinstance(user, User) or not user.is_active:
            return self.none()
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


class Chat(models.Model):
    """A talk of one person with one model of a round; once it is an example it goes no further."""

    uid = models.UUIDField(unique=True, default=uuid.uuid4, editable=False)
    round = models.ForeignKey(Round, on_delete=models.PROTECT, related_name="chats")
    model = models.ForeignKey(ModelVersion, on_delete=models.PROTECT, related_name="+")
    author = models.ForeignKey(User, null=True, on_delete=models.CASCADE, related_name="chats")
    session = models.ForeignKey(
        WorkSession,
        null=True,
        on_delete=models.CASCADE,
        related_name="+",
        help_text="A guest's; null beside an author.",
    )
    example = models.OneToOneField(
        Example, null=True, on_delete=models.PROTECT, related_name="chat"
    )
    created_at = models.DateTimeField(default=timezone.now)
    if TYPE_CHECKING:
        turns: RelatedManager[ChatTurn]

    class Meta:
        constraints: ClassVar = [
            models.CheckConstraint(
                condition=Q(author__isnull=True) ^ Q(session__isnull=True),
                name="chat_is_one_persons",
            ),
        ]
        indexes: ClassVar = [
            models.Index(
                fields=["created_at"], condition=Q(example=None), name="chat_not_submitted"
            ),
        ]

    def __str__(self) -> str:
        return str(self.uid)


class ChatTurn(models.Model):
    """What a person said, and what the model answered; null until it has."""

    chat = models.ForeignKey(Chat, on_delete=models.CASCADE, related_name="turns")
    number = models.PositiveIntegerField()
    content = models.TextField()
    claim = models.UUIDField(null=True, help_text="Of whoever asks the model now.")
    claimed_until = models.DateTimeField(null=True)
    answer = models.TextField(null=True)  # noqa: DJ001  (an answer is never NULL)
    finish_reason = models.CharField(max_length=50, blank=True)
    tokens = models.PositiveIntegerField(null=True, help_text="As its server told.")
    answered_at = models.DateTimeField(null=True)

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["chat", "number"], name="turn_number_once_per_chat"),
            models.UniqueConstraint(
                fields=["chat"], condition=Q(answer=None), name="one_open_turn_per_chat"
            ),
        ]

    def __str__(self) -> str:
        return f"turn {self.number} of {self.chat_id}"
