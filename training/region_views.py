"""The owner's page of regions: look for them, see what they hold, give them names."""

from __future__ import annotations

from typing import Any

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_POST, require_safe

from accounts.caller import person
from annotate.models import ModelVersion, Task
from annotate.owners import owned_task_or_404
from core.errors import Refused
from ml.regions import LEAST
from training import regions
from training.models import Discovery, Region
from training.region_board import RegionRow, board_of
from training.tasks import ask_for_regions
from training.views import looked_at


@require_safe
@never_cache
def regions_page(request: HttpRequest, slug: str) -> HttpResponse:
    """The newest look at one model, by `?model=NUMBER` or the newest of all."""
    task = owned_task_or_404(request, slug)
    chosen = _chosen(task, request.GET.get("model", ""))
    last = regions.newest(task, chosen)
    board = board_of(last) if last else None
    newest = Discovery.objects.filter(task=task).order_by("-id").first()
    context = {
        "task": task,
        "chosen": chosen,
        "least": LEAST,
        "board": board,
        "rows": [_shown(row) for row in board.rows] if board else [],
        "models": task.models.filter(discoveries__status=Discovery.Status.DONE)
        .distinct()
        .order_by("-number"),
        "active": newest if newest and newest.status in Discovery.ACTIVE else None,
        "failed": newest if newest and newest.status == Discovery.Status.FAILED else None,
        **_may_look(task, chosen),
    }
    return render(request, "training/regions.html", context)


def _chosen(task: Task, number: str) -> ModelVersion | None:
    return task.models.filter(number=int(number)).first() if number.isdecimal() else None


def _may_look(task: Task, chosen: ModelVersion | None) -> dict[str, Any]:
    """Whom the button looks at, or why it is not there."""
    name = chosen.name if chosen else ""
    try:
        return {"model": regions.model_to_look_at(task, name)}
    except Refused as refused:
        found = regions.foolings_by_model(task)
        most = max((n for model, n in found if chosen in (None, model)), default=0)
        return {"why_not": refused.message, "there": most, "free": refused.code == "free_answers"}


def _shown(row: RegionRow) -> dict[str, Any]:
    return {
        "row": row,
        "examples": [looked_at(one) for one in row.examples],
        "others": [looked_at(one) for one in row.others],
    }


@require_POST
def find(request: HttpRequest, slug: str) -> HttpResponse:
    """Let a worker look."""
    task = owned_task_or_404(request, slug)
    chosen = _chosen(task, request.POST.get("model", ""))
    try:
        model = regions.model_to_look_at(task, chosen.name if chosen else "")
        ask_for_regions(actor=person(request), task=task, model=model)
    except Refused as refused:
        messages.error(request, refused.message)
    query = f"?model={chosen.number}" if chosen else ""
    return redirect(f"{reverse('regions', args=[slug])}{query}")


@require_POST
def name(request: HttpRequest, slug: str, region: int) -> HttpResponse:
    """Give a region its name."""
    task = owned_task_or_404(request, slug)
    found = get_object_or_404(
        Region.objects.select_related("discovery__task", "discovery__model"),
        pk=region,
        discovery__task=task,
    )
    try:
        regions.name_region(actor=person(request), region=found, name=request.POST.get("name", ""))
    except Refused as refused:
        messages.error(request, refused.message)
    number = found.discovery.model.number
    return redirect(f"{reverse('regions', args=[slug])}?model={number}#region-{found.number}")
