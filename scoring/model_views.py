"""The owner's pages about models: register, see what each showed and where it breaks, retire."""

from __future__ import annotations

import base64
from typing import Any, Final

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.middleware.csrf import get_token
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import get_script_prefix
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from accounts.caller import person
from annotate.models import ModelVersion, Round, Task
from annotate.owners import owned_task_or_404
from annotate.registry import read_model_file, register
from annotate.rounds import retire_model
from core.errors import Refused
from core.strict_yaml import NotYaml
from scoring.kept import read_tallies
from scoring.model_board import models_of, record_told
from scoring.telling import LIVE, live, told

BLANK: Final = "name: \nbackend: \n"


@require_http_methods(["GET", "HEAD", "POST"])
@never_cache
def models_page(request: HttpRequest, slug: str) -> HttpResponse:
    """All models of a task, and a form for another one."""
    task = owned_task_or_404(request, slug)
    written, complaint = request.POST.get("file", BLANK), ""
    if request.method == "POST":
        try:
            model = _register(request, task, written)
        except Refused as refused:
            complaint = refused.message
        else:
            messages.success(request, f"{model.name} passed its check. It serves when you let it.")
            return redirect("model", slug=slug, number=model.number)
    context = {
        "task": task,
        "models": [_listed(model) for model in models_of(task)],
        "written": written,
        "complaint": complaint,
        "upload": request.POST.get("upload", "") if complaint else "",
        "page_data": {
            "slug": slug,
            "api": f"{get_script_prefix()}api/v1/",
            "person": person(request).username,
            "csrfToken": get_token(request),
        },
    }
    return render(request, "scoring/models.html", context, status=400 if complaint else 200)


def _register(request: HttpRequest, task: Task, written: str) -> ModelVersion:
    beside: dict[str, Any] = {}
    if upload := request.POST.get("upload"):
        beside["upload"] = upload
    elif sent := request.FILES.get("content"):  # without a script, what one request may hold
        beside["content"] = base64.b64encode(sent.read()).decode()
    try:
        file = read_model_file(written, **beside)
    except NotYaml as error:
        raise Refused("bad_model", str(error)) from error
    return register(task=task, file=file, actor=person(request)).model


@require_safe
@never_cache
def model_page(request: HttpRequest, slug: str, number: int) -> HttpResponse:
    """One model; for htmx how often it is fooled, or 204 where the page has that already."""
    task = owned_task_or_404(request, slug)
    model = get_object_or_404(task.models.select_related("task", "parent"), number=number)
    rounds = list(model.rounds.exclude(status=Round.Status.DRAFT).order_by("number"))
    serves = any(round_.status == Round.Status.OPEN for round_ in rounds)
    record = record_told(model, read_tallies(task))
    of_it = {"task": task, "model": model, "record": record, "serves": serves}
    found = told("scoring/parts/model_record.html", of_it)
    context = {
        "task": task,
        "model": model,
        "rounds": rounds,
        "serves": serves,
        "told": found,
        "card": model.provenance.get("card", {}),
        "check": model.provenance.get("check"),
        "clean": model.metrics.get("clean"),
        "labels": model.config.get("labels", ()),
        "names": model.config.get("names", {}),
    }
    return live(request, "scoring/model.html", LIVE, context, found.digest)


@require_POST
def retire(request: HttpRequest, slug: str, number: int) -> HttpResponse:
    """Let it serve no more."""
    task = owned_task_or_404(request, slug)
    model = get_object_or_404(task.models, number=number)
    reason = request.POST.get("reason", "")
    try:
        retire_model(actor=person(request), task=task, model=model, reason=reason)
    except Refused as refused:
        messages.error(request, refused.message)
    else:
        messages.success(request, f"{model.name} is retired. What people did against it stays.")
    return redirect("model", slug=slug, number=number)


def _listed(model: ModelVersion) -> dict[str, Any]:
    rounds = list(model.rounds.all())
    return {
        "model": model,
        "rounds": [round_.number for round_ in rounds],
        "serves": any(round_.status == Round.Status.OPEN for round_ in rounds),
        "check": model.provenance.get("check"),
    }
