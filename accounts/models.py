"""People, their visits, and the append-only record of who did what."""

from __future__ import annotations

import secrets
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

from django.contrib.auth.models import AbstractUser, UserManager
from django.core.exceptions import ValidationError
from django.db import models
from django.db.models.functions import Lower
from django.utils import timezone

from accounts.names import username_validators
from core.looks import name_seen_as


class Role(models.TextChoices):
    """What a person may do; each role includes the ones before it."""

    ANNOTATOR = "annotator", "annotator"
    VALIDATOR = "validator", "validator"
    OWNER = "owner", "owner"
    ADMIN = "admin", "admin"


ROLE_ORDER = [role.value for role in Role]


def new_pseudonym() -> str:
    """A name that says nothing about its bearer: `p-` and 10 random characters (50 bits)."""
    return "p-" + "".join(secrets.choice("abcdefghjkmnpqrstuvwxyz23456789") for _ in range(10))


@dataclass(frozen=True)
class LinkPass:
    """What somebody who came by a link may do: this one task's work, as long as the visit lasts."""

    task_id: int
    annotates: bool
    validates: bool
    session: WorkSession
    shell: str  # the template around the pages that they see


class User(AbstractUser):
    """A person. Never deleted: closing an account keeps the row under its pseudonym."""

    username = models.CharField(
        "user name",
        max_length=150,  # a log may have longer names than people may choose here
        unique=True,
        validators=username_validators,
        error_messages={"unique": "That user name is taken."},
    )
    looks = models.CharField(
        max_length=300, editable=False, help_text="What the name looks like: see core.looks."
    )
    role = models.CharField(max_length=10, choices=Role.choices, default=Role.ANNOTATOR)
    pseudonym = models.CharField(
        max_length=150,
        unique=True,
        default=new_pseudonym,
        help_text="Stands for the person in exports, and everywhere once the account is closed.",
    )
    imported = models.BooleanField(
        default=False, help_text="Known from an imported log only; nobody can sign in as them."
    )
    banned_at = models.DateTimeField(null=True, blank=True)
    ban_reason = models.TextField(blank=True)
    closed_at = models.DateTimeField(null=True, blank=True)
    languages = models.JSONField(
        default=list, blank=True, help_text="What they read, as language tags; none: everything."
    )
    takes_warned = models.BooleanField(
        default=True, help_text="Whether they validate tasks with a content warning."
    )
    unnamed = models.BooleanField(
        default=False, help_text="Whether boards show their pseudonym and not their name."
    )
    sessions_ended = models.PositiveIntegerField(
        default=0, help_text="How often this person signed out everywhere."
    )

    by_link: LinkPass | None = None  # not stored: set where a visit's token was shown

    objects: ClassVar[UserManager[User]] = UserManager()  # type: ignore[assignment]

    class Meta:
        indexes: ClassVar = [models.Index(fields=["looks"], name="user_looks")]
        constraints: ClassVar = [
            models.CheckConstraint(condition=models.Q(role__in=ROLE_ORDER), name="user_role_known"),
            # Names in a log may differ by case alone; people must be able to tell each other apart.
            models.UniqueConstraint(
                Lower("username"),
                condition=models.Q(imported=False),
                name="user_name_unique_in_any_case",
                violation_error_message="That user name is taken.",
            ),
        ]

    def save(self, *args: Any, **kwargs: Any) -> None:
        self.looks = name_seen_as(self.username)
        super().save(*args, **kwargs)

    def clean(self) -> None:
        super().clean()
        if alike := who_looks_like(self.username, but=self.pk):
            raise ValidationError({"username": f"That looks like {alike}, who is here already."})

    @property
    def may_sign_in(self) -> bool:
        """Whether this is somebody's account, neither closed nor banned."""
        return (
            self.is_active
            and self.banned_at is None
            and self.closed_at is None
            and not self.imported
        )

    def get_session_auth_hash(self) -> str:
        """What a session must hold to be this person's: it changes with the password and with
        `sessions_ended`, and then every session that holds the old value is over."""
        return f"{super().get_session_auth_hash()}{self.sessions_ended}"

    def get_session_auth_fallback_hash(self) -> Iterator[str]:
        """The same under each of the secret keys before the present one."""
        for before in super().get_session_auth_fallback_hash():
            yield f"{before}{self.sessions_ended}"

    def has_role(self, role: str) -> bool:
        """Whether this person may do what `role` may: active, not banned, at least that role."""
        return (
            self.is_active
            and self.banned_at is None
            and ROLE_ORDER.index(self.role) >= ROLE_ORDER.index(role)
        )

    @property
    def public_name(self) -> str:
        """The name others see: the user name they chose, or the pseudonym of a closed account."""
        return self.pseudonym if self.closed_at else self.username


def who_looks_like(name: str, *, but: int | None = None) -> User | None:
    """Somebody with an account, another than `but`, whose name people would take for this one."""
    alike = User.objects.filter(looks=name_seen_as(name), imported=False)
    if but is not None:
        alike = alike.exclude(pk=but)
    return alike.exclude(username__iexact=name).order_by("pk").first()


class WorkSession(models.Model):
    """One participant's visit; a guest's visit has no user and counts nowhere."""

    class Kind(models.TextChoices):
        LOCAL = "local", "signed in"
        GUEST = "guest", "guest in the sandbox"
        LINK = "link", "came by a link"

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    user = models.ForeignKey(
        User, null=True, blank=True, on_delete=models.PROTECT, related_name="work_sessions"
    )
    kind = models.CharField(max_length=10, choices=Kind.choices)
    started_at = models.DateTimeField(default=timezone.now)

    class Meta:
        constraints: ClassVar = [
            models.CheckConstraint(
                condition=models.Q(kind="guest", user__isnull=True)
                | models.Q(kind__in=("local", "link"), user__isnull=False),
                name="work_session_guest_has_no_user",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.kind} {self.id}"


class Event(models.Model):
    """One thing that was done; rows are only ever added.

    `scope` is the slug of the task it belongs to (empty: the whole server), so that owners can be
    shown the events of their tasks without this app knowing what a task is.
    """

    # What was tried and refused, of which owners want to see who does it often.
    ATTEMPTS = ("sent_a_copy", "asked_about_judged")

    id = models.BigAutoField(primary_key=True)
    created_at = models.DateTimeField(default=timezone.now)
    actor = models.ForeignKey(
        User, null=True, blank=True, on_delete=models.PROTECT, related_name="events"
    )
    verb = models.CharField(max_length=40)
    object_type = models.CharField(max_length=40)
    object_id = models.CharField(max_length=64)
    scope = models.CharField(max_length=64, blank=True)
    data = models.JSONField(default=dict, blank=True)

    class Meta:
        indexes: ClassVar = [
            models.Index(fields=["object_type", "object_id", "id"], name="event_object"),
            models.Index(fields=["scope", "-id"], name="event_scope"),
            models.Index(
                fields=["verb", "-id"],
                condition=models.Q(verb__in=["sent_a_copy", "asked_about_judged"]),
                name="event_attempts",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.verb} {self.object_type} {self.object_id}"

    def save(self, *args: Any, **kwargs: Any) -> None:
        if not self._state.adding:
            raise TypeError("Events are only added, never changed.")
        super().save(*args, **kwargs)

    def delete(self, *args: Any, **kwargs: Any) -> tuple[int, dict[str, int]]:
        raise TypeError("Events are only added, never deleted.")
