"""Releases of a task's data, who is in which split, and the keys that never leave."""

from __future__ import annotations

import secrets
import uuid
from pathlib import Path
from typing import Any, ClassVar

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from django.db import models
from django.db.models import Q
from django.utils import timezone

from accounts.models import User
from annotate.models import Example, Task


class Split(models.TextChoices):
    TRAIN = "train", "train"
    VALIDATION = "validation", "validation"
    TEST = "test", "test"


class AuthorPlace(models.Model):
    """Which split an author's examples are in, for ever: a later version moves nobody."""

    task = models.ForeignKey(Task, on_delete=models.PROTECT, related_name="+")
    author = models.ForeignKey(User, on_delete=models.PROTECT, related_name="+")
    split = models.CharField(max_length=10, choices=Split.choices)

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["task", "author"], name="author_place_once"),
        ]

    def __str__(self) -> str:
        return f"{self.author_id} {self.split}"


def _new_pseudonym_key() -> bytes:
    return secrets.token_bytes(32)


def _new_signing_key() -> bytes:
    return Ed25519PrivateKey.generate().private_bytes_raw()


class Keys(models.Model):
    """One row: what makes people's names in releases, and what signs them.

    In the database, so that every host has the same and a backup keeps them: with another key the
    next version would call everybody otherwise.
    """

    pseudonyms = models.BinaryField(default=_new_pseudonym_key)
    signing = models.BinaryField(default=_new_signing_key)

    class Meta:
        constraints: ClassVar = [
            models.CheckConstraint(condition=Q(pk=1), name="release_keys_are_one_row"),
        ]

    def __str__(self) -> str:
        return "the keys of this server's releases"


class PersonalFind(models.Model):
    """What looks like personal data in an example, and what an owner decided about it."""

    class Decision(models.TextChoices):
        PUBLISH = "publish", "it may go out"
        LEAVE_OUT = "leave_out", "the example stays here"

    example = models.OneToOneField(
        Example, primary_key=True, on_delete=models.PROTECT, related_name="personal_find"
    )
    task = models.ForeignKey(Task, on_delete=models.PROTECT, related_name="+")
    found = models.JSONField(help_text="Pairs of what it looks like and the text.")
    sha256 = models.CharField(max_length=64, help_text="Of these: a decision holds for them alone.")
    decision = models.CharField(max_length=10, choices=Decision.choices, blank=True)
    decided_by = models.ForeignKey(User, null=True, on_delete=models.PROTECT, related_name="+")
    decided_at = models.DateTimeField(null=True)

    def __str__(self) -> str:
        return f"personal data in {self.example_id}"


class Release(models.Model):
    """One version of a task's data; once published it is never changed, only followed."""

    class Status(models.TextChoices):
        QUEUED = "queued", "waiting for a worker"
        RUNNING = "running", "being made"
        PUBLISHED = "published", "there"
        FAILED = "failed", "stopped by an error"

    uid = models.UUIDField(unique=True, default=uuid.uuid4, editable=False)
    task = models.ForeignKey(Task, on_delete=models.PROTECT, related_name="releases")
    version = models.CharField(max_length=30)
    status = models.CharField(max_length=10, choices=Status.choices, default=Status.QUEUED)
    public = models.BooleanField(
        default=False, help_text="Whoever sees the task may download it; else its owners."
    )
    replaced_by = models.CharField(
        max_length=30, blank=True, help_text="The version that others get in its place."
    )
    options = models.JSONField(default=dict, help_text="The owner's words, and what is left out.")
    folder = models.CharField(max_length=500, blank=True, help_text="On the machine that made it.")
    about = models.JSONField(
        default=dict, blank=True, help_text="What its release.json says, the longer parts left out."
    )
    frozen_at = models.DateTimeField(null=True, blank=True)
    last_example = models.BigIntegerField(default=0, help_text="Up to this key.")
    requested_by = models.ForeignKey(
        User, null=True, blank=True, on_delete=models.PROTECT, related_name="+"
    )
    claim = models.UUIDField(null=True, blank=True, editable=False)
    heartbeat_at = models.DateTimeField(null=True, blank=True)
    progress = models.FloatField(default=0, help_text="0 to 1.")
    stage = models.CharField(max_length=300, blank=True)
    created_at = models.DateTimeField(default=timezone.now)

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["task", "version"],
                condition=~Q(status="failed"),
                name="release_version_once",
            ),
            models.UniqueConstraint(
                fields=["task"],
                condition=Q(status__in=["queued", "running"]),
                name="one_release_of_a_task_at_a_time",
            ),
        ]
        indexes: ClassVar = [models.Index(fields=["task", "-id"], name="release_task_newest")]

    def __str__(self) -> str:
        return f"{self.task_id} {self.version}"

    @property
    def corrects(self) -> str:
        """The version that this one repeats without what was withdrawn; "" of one with new rows."""
        return str(self.options.get("corrects", ""))

    @property
    def active(self) -> bool:
        return self.status in (self.Status.QUEUED, self.Status.RUNNING)

    @property
    def home(self) -> Path | None:
        """Its folder where this machine has it."""
        folder = Path(self.folder) if self.folder else None
        return folder if folder is not None and folder.is_dir() else None

    @property
    def files(self) -> dict[str, str]:
        """The SHA-256 of each of its files, by name."""
        return dict(self.about.get("files", {}))

    @property
    def figures(self) -> dict[str, Any]:
        return dict(self.about.get("figures", {}))


class Contents(models.Model):
    """What a published version holds, for those that follow it and for what is withdrawn since.

    Here, because its folder may lie on another machine, or nowhere any more.
    """

    release = models.OneToOneField(
        Release, primary_key=True, on_delete=models.CASCADE, related_name="contents"
    )
    prints = models.BinaryField(help_text="Its examples and how they were: releases.changes.")
    chain = models.JSONField(help_text="The points of its chain of events.")

    class Meta:
        verbose_name_plural = "contents"

    def __str__(self) -> str:
        return f"what is in {self.release_id}"


class Theirs(models.Model):
    """What the publishers of a set say that an example is, beside what its votes came to here."""

    example = models.OneToOneField(
        Example, primary_key=True, on_delete=models.CASCADE, related_name="theirs"
    )
    task = models.ForeignKey(Task, on_delete=models.CASCADE, related_name="+")
    label = models.JSONField()

    class Meta:
        verbose_name_plural = "theirs"

    def __str__(self) -> str:
        return f"{self.label} of {self.example_id}"
