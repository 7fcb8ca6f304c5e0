"""The files that models live by, and whether this machine has them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from django.conf import settings

from annotate.models import ModelVersion, Round
from ml import store


class FilesMissing(RuntimeError):
    """This machine cannot serve or train; the message says what to share with it."""


def files_of(artifact: str, config: Mapping[str, Any]) -> set[str]:
    """What a model version names below the artifacts folder: its own file and its clean data."""
    base = config.get("base") or {}
    return {name for name in (artifact, base.get("file")) if name}


def missing_files() -> dict[str, list[str]]:
    """By task, what its open round's models lack on this machine; tasks without files are left out.

    One query.
    """
    models = ModelVersion.objects.filter(rounds__status=Round.Status.OPEN).distinct()
    home = Path(settings.ARTIFACT_DIR)
    lacking: dict[str, list[str]] = {}
    for slug, artifact, config in models.values_list("task__slug", "artifact", "config"):
        for name in sorted(files_of(artifact, config)):
            lacks = lacking.setdefault(slug, [])
            if not store.has(home / name):
                lacks.append(f"{slug}: {name} is not in {home}.")
    return lacking


def warnings_of_files() -> list[str]:
    """A sentence for each missing file: a trouble of its task alone."""
    return [sentence for lacks in missing_files().values() for sentence in lacks]


def require_files() -> None:
    """Raise FilesMissing when each task that needs files lacks one: the folder is not shared.

    Said at the start of a worker: what else would be wrong later is every training run.
    """
    lacking = missing_files()
    if lacking and all(lacking.values()):
        first = next(iter(lacking.values()))[0]
        raise FilesMissing(
            f"{first} Every machine that serves or trains needs the artifacts folder of the "
            "others (docs/operations.md, Several machines)."
        )
