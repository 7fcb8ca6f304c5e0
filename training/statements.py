"""What every verdict that verifies a fooling asks, built once."""

from __future__ import annotations

from core.sql.compiled import Compiled, Given
from training.models import TrainingRun

_ACTIVE = Compiled(
    lambda: TrainingRun.objects.filter(task=Given("task"), status__in=TrainingRun.ACTIVE).defer(
        "trials", "metrics", "gates", "config"
    )
)


def active_run(task_id: int) -> TrainingRun | None:
    """The run that waits for a worker or is being carried out; there is at most one.

    Without what it came to, which grows with each recipe.
    """
    return _ACTIVE.first(task=task_id)
