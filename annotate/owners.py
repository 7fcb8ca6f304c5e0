"""Pages that only those who curate a task may see."""

from __future__ import annotations

from django.http import Http404, HttpRequest
from django.shortcuts import get_object_or_404

from annotate.models import Task


def owned_task_or_404(request: HttpRequest, slug: str) -> Task:
    """The task with its config if this person curates it; for others there is no such page."""
    owned = Task.objects.owned_by(request.user).select_related("config")
    task = get_object_or_404(owned, slug=slug)
    if task.config is None:
        raise Http404
    return task
