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
from annotate.hints import show_hint, take_hint_away
from annotate.models import ModelVersion, Task
from annotate.owners import owned_task_or_404
from core.errors import Refused
from ml.regions import LEAST
from training import generated, regions
from training.coverage import coverage_of
from training.generated_board import generated_rows
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
    newest = task.discoveries.select_related("model").order_by("-id").first()
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
        **_made_up(task),
    }
    return render(request, "training/regions.html", context)


@require_safe
@never_cache
def coverage_page(request: HttpRequest, slug: str) -> HttpResponse:
    """Named phenomena by model: what was attacked, and what was not."""
    task = owned_task_or_404(request, slug)
    context = {"task": task, "found": coverage_of(task)}
    return render(request, "training/coverage.html", context)


def _made_up(task: Task) -> dict[str, Any]:
    """The newest generated regions, and whose errors others would be made up from."""
    assert task.config is not None
    made, hints = regions.newest(task, generated=True), task.config.file.hints
    rows = generated_rows(made) if made else []
    told = {
        "made": made,
        "made_rows": rows,
        "asked": any(row.heard.asked for row in rows),
        "hints": hints.shown,
        "share": hints.share,
    }
    try:
        return {**told, "maker": generated.model_to_try(task)}
    except Refused as refused:
        return {**told, "no_maker": refused.message}


def _chosen(task: Task, number: str) -> ModelVersion | None:
    return task.models.filter(number=_number(number)).first() if number else None


def _number(text: str) -> int:
    """What is written there; 0, which nothing here has, where it is none that a database knows."""
    return int(text) if text.isascii() and text.isdecimal() and len(text) < 10 else 0


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
    made_up = "generated" in request.POST
    which = generated.model_to_try if made_up else regions.model_to_look_at
    try:
        model = which(task, chosen.name if chosen else "")
        ask_for_regions(actor=person(request), task=task, model=model, generated=made_up)
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


@require_POST
def ask(request: HttpRequest, slug: str) -> HttpResponse:
    """Let validators say what they see in the newest generated regions."""
    task = owned_task_or_404(request, slug)
    made = regions.newest(task, generated=True)
    try:
        if made is None:
            raise Refused("nothing_made", "Nothing was made up yet.", status=409)
        many = generated.ask_validators(actor=person(request), discovery=made)
        messages.success(request, f"Validators are asked about {many}.")
    except Refused as refused:
        messages.error(request, refused.message)
    return redirect("regions", slug)


@require_POST
def hints(request: HttpRequest, slug: str) -> HttpResponse:
    """Tell annotators of a real or a confirmed region, or take what they are told away."""
    task = owned_task_or_404(request, slug)
    actor, text = person(request), request.POST.get("text", "")
    try:
        if "remove" in request.POST:
            take_hint_away(actor=actor, task=task, place=_number(request.POST["remove"]), text=text)
        else:
            pk = _number(request.POST.get("region", ""))
            # What somebody sent is theirs, and may be withdrawn: words alone are told of it.
            real = Region.objects.filter(discovery__task=task, discovery__generated=False)
            seen = None if real.filter(pk=pk).exists() else generated.confirmed_input(task, pk)
            show_hint(actor=actor, task=task, text=text, input=seen)
    except Refused as refused:
        messages.error(request, refused.message)
    return redirect("regions", slug)
