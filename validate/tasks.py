"""Jobs of the background worker: the nightly audit of a task."""

from __future__ import annotations

from django_tasks import task

from annotate.models import Task
from validate import nightly


@task()
def look_over(task_id: int) -> str:
    """Do a task's night; returns what was found, for the job's row."""
    done = nightly.look_over(Task.objects.select_related("config").get(pk=task_id))
    differ = len(done.audit.disagreements) if done.audit else 0
    return (
        f"{done.corrected} corrected, {done.quarantines} quarantines, {done.ties} ties, "
        f"{differ} differ"
    )


def enqueue_due() -> int:
    """Add a job for each task whose night has come; returns how many."""
    due = nightly.claim_due()
    for one in due:
        look_over.enqueue(one.pk)
    return len(due)
