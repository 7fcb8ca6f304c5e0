"""The files that models live by, and whether this machine has them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from django.conf import settings

from annotate.models import ModelVersion, Round


class FilesMissing(RuntimeError):
    """This machine cannot serve or train; the message says what to share with it."""


def files_of(artifact: str, config: Mapping[str, Any]) -> set[str]:
    """What a model version names below the artifacts folder: its own file and its clean data."""
    base = config.get("base") or {}
    return {name for name in (artifact, base.get("file")) if name}


def require_files() -> None:
    """Raise FilesMissing unless every model of an open round has its files on this machine.

    Said at the start of a web server or a worker: what else would be wrong later is a prediction
    in the middle of somebody's work, or a training run that fails for want of a folder. One query.
    """
    models = ModelVersion.objects.filter(rounds__status=Round.Status.OPEN).distinct()
    home = Path(settings.ARTIFACT_DIR)
    for artifact, config in models.values_list("artifact", "config"):
        for name in sorted(files_of(artifact, config)):
            if not (home / name).is_file():
                raise FilesMissing(
                    f"{name} is not in {home}: every machine that serves or trains needs the "
                    "artifacts folder of the others (docs/operations.md, Several machines)."
                )
