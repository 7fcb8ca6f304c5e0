"""Reads about releases."""

from __future__ import annotations

from django.db.models import Q, QuerySet

from annotate.models import Example, Task, Viewer
from releases.models import Release

FIRST = "1.0.0"


def newest(task: Task) -> Release | None:
    """The last version that was published."""
    published = Release.objects.filter(task=task, status=Release.Status.PUBLISHED)
    return published.order_by("-id").first()


def next_version(task: Task) -> str:
    """The last version's next minor one: it has the same columns and other rows."""
    last = newest(task)
    if last is None:
        return FIRST
    major, minor, _ = last.version.split(".")
    return f"{major}.{int(minor) + 1}.0"


def corrected_version(version: str) -> str:
    """The version that differs by what had to go."""
    major, minor, patch = version.split(".")
    return f"{major}.{minor}.{int(patch) + 1}"


def visible_releases(task: Task, user: Viewer) -> QuerySet[Release]:
    """Published releases of a visible task: all for its owners, for others the public ones."""
    releases = Release.objects.filter(task=task, status=Release.Status.PUBLISHED).order_by("-id")
    return releases if task.is_owned_by(user) else releases.filter(public=True)


def withdrawn_since(release: Release) -> int:
    """How many of its examples were taken back, or hidden by an owner, after it was made."""
    if release.frozen_at is None:
        return 0
    since = release.frozen_at
    gone = Q(retracted_at__gte=since) & (Q(hidden_at=None) | Q(hidden_at__gte=since))
    gone |= Q(hidden_at__gte=since) & Q(retracted_at=None)
    there = Example.objects.counted().filter(task=release.task_id, pk__lte=release.last_example)
    return there.filter(gone).count()
