"""Reads about releases."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable

import numpy as np
from django.core.cache import cache
from django.db.models import Q, QuerySet

from annotate.models import Example, Task, Viewer
from releases.changes import how_many_of, unpacked
from releases.models import Contents, PersonalFind, Release

FIRST = "1.0.0"
REMEMBERED = 24 * 3600  # seconds


def number_of(version: str) -> tuple[int, ...]:
    """By which versions are in order: the correction of an older one comes after newer rows."""
    return tuple(map(int, version.split(".")))


def by_version(releases: Iterable[Release]) -> list[Release]:
    """The newest first."""
    return sorted(releases, key=lambda release: number_of(release.version), reverse=True)


def newest(task: Task) -> Release | None:
    """The last version that was published."""
    published = by_version(task.releases.filter(status=Release.Status.PUBLISHED))
    return published[0] if published else None


def next_version(last: Release | None) -> str:
    """The last version's next minor one: it has the same columns and other rows."""
    if last is None:
        return FIRST
    major, minor, _ = last.version.split(".")
    return f"{major}.{int(minor) + 1}.0"


def corrected_version(release: Release) -> str:
    """The next version that differs by what had to go."""
    there = release.task.releases.exclude(status=Release.Status.FAILED)
    taken = [number_of(version) for version in there.values_list("version", flat=True)]
    major, minor, patch = number_of(release.version)
    last = max([patch, *(number[2] for number in taken if number[:2] == (major, minor))])
    return f"{major}.{minor}.{last + 1}"


def visible_releases(task: Task, user: Viewer, *, files: bool = False) -> QuerySet[Release]:
    """Published releases of a visible task: all for its owners, for others the public ones.

    Or those of which somebody may have the `files`: others than owners none that was replaced.
    """
    releases = Release.objects.filter(task=task, status=Release.Status.PUBLISHED).order_by("-id")
    if task.is_owned_by(user):
        return releases
    return releases.filter(public=True, **({"replaced_by": ""} if files else {}))


def withdrawn_since(releases: Collection[Release]) -> dict[int, int]:
    """How many examples of each version were taken back since, hidden, or kept back by an owner.

    Two queries, however many versions; where nothing was, one, and where what was is known already.
    Versions with none are left out.
    """
    kept_back = Q(personal_find__decision=PersonalFind.Decision.LEAVE_OUT)
    gone = Example.objects.filter(
        Q(retracted_at__isnull=False) | Q(hidden_at__isnull=False) | kept_back,
        task__in={release.task_id for release in releases},
    )
    keys = np.array(gone.order_by("pk").values_list("pk", flat=True), np.uint64)
    if not len(keys):
        return {}
    # What a version holds never changes, and is ten bytes an example to unpack.
    digest = hashlib.sha256(keys.tobytes()).hexdigest()
    names = {release.pk: f"withdrawn:{release.uid}:{digest}" for release in releases}
    known = ((pk, cache.get(name)) for pk, name in names.items())
    found = {pk: number for pk, number in known if number is not None}
    rows = Contents.objects.filter(release__in=names.keys() - found.keys())
    for pk, prints in rows.values_list("release", "prints").iterator(10):
        found[pk] = how_many_of(unpacked(bytes(prints)), keys)
        cache.set(names[pk], found[pk], timeout=REMEMBERED)
    return {pk: number for pk, number in found.items() if number}


def versions_with(example: Example) -> list[str]:
    """The published versions that hold this example, oldest first."""
    key = np.array([example.pk], np.uint64)
    rows = Contents.objects.filter(release__task=example.task_id).order_by("release")
    return [
        version
        for version, prints in rows.values_list("release__version", "prints").iterator(10)
        if how_many_of(unpacked(bytes(prints)), key)
    ]
