"""The background worker's sign of life, also while it has nothing to do: one row, not a history."""

from __future__ import annotations

from django.utils import timezone

from training.models import WorkerPulse


def beat() -> None:
    """Say that a worker is there; workers of all hosts write the same row."""
    WorkerPulse.objects.update_or_create(pk=1, defaults={"beat_at": timezone.now()})


def seconds_since_beat() -> float | None:
    """How long ago any worker was there; None when there was none yet."""
    at = WorkerPulse.objects.filter(pk=1).values_list("beat_at", flat=True).first()
    return max(0.0, (timezone.now() - at).total_seconds()) if at else None
