"""Tasks, the versions of their files, and who is kept out."""

from __future__ import annotations

from contextlib import suppress
from datetime import datetime
from typing import TYPE_CHECKING, Any, ClassVar, Self

from django.contrib.auth.models import AnonymousUser
from django.db import models
from django.db.models import Q
from django.utils import timezone
from django.utils.functional import cached_property
from django.utils.translation import get_language_info

from accounts.languages import LONGEST_TAG, reads, wider
from accounts.models import Role, User
from annotate.config import TaskFile
from kinds import Kind, kind_named

if TYPE_CHECKING:
    from django.db.models.fields.related_descriptors import RelatedManager

    from annotate.models.contexts import Context
    from annotate.models.rounds import ModelVersion, Round

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
