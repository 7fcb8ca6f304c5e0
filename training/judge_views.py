"""The owner's page of judges: let models judge in shadow, put them to the test, read why not."""

from __future__ import annotations

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_POST, require_safe

from accounts.caller import person
from annotate.models import ModelVersion, Task
from annotate.owners import owned_task_or_404
from annotate.queries import open_target
from core.errors import Refused
from scoring.alternative import LEAST_ITEMS
from training import judges
from training.judge_board import judges_of
from training.tasks import ask_judges, is_judging
from validate.models import Judge
from validate.queries import settings_of


@require_safe
@never_cache
def judges_page(request: HttpRequest, slug: str) -> HttpResponse:
    """All judges of a task, what each has come to, and who else could be one."""
    task = owned_task_or_404(request, slug)
    context = {
        "task": task,
        "rows": judges_of(task),
        "candidates": _candidates(task),
        "running": is_judging(task),
        "least": judges.LEAST_TESTED,
        "least_each": LEAST_ITEMS,
        "share": settings_of(task).judge_share,
    }
    return render(request, "training/judges.html", context)


def _candidates(task: Task) -> list[ModelVersion]:
    target = open_target(task.pk)
    serving = {model.pk for model in target.models} if target else set()
    able = task.models.filter(judge=None, retired_at=None).exclude(backend="")
    return [] if task.kind.talks else list(able.exclude(pk__in=serving).order_by("-number"))


@require_POST
def add(request: HttpRequest, slug: str) -> HttpResponse:
    """Let a model judge, and a worker ask it."""
    task = owned_task_or_404(request, slug)
    try:
        name = request.POST.get("model", "")
        judges.register_judge(task=task, name=name, actor=person(request))
    except Refused as refused:
        messages.error(request, refused.message)
    else:
        ask_judges(task)
    return redirect("judges", slug=slug)


@require_POST
def ask(request: HttpRequest, slug: str) -> HttpResponse:
    """Let a worker ask every judge about what came since."""
    task = owned_task_or_404(request, slug)
    ask_judges(task)
    return redirect("judges", slug=slug)


@require_POST
def put_to_test(request: HttpRequest, slug: str, number: int) -> HttpResponse:
    """Hold it against people."""
    judge = _judge_or_404(request, slug, number)
    try:
        test = judges.put_to_test(judge=judge, actor=person(request))
    except Refused as refused:
        messages.error(request, refused.message)
    else:
        ended = "passed: it is admitted" if test.passed else "did not pass: it stays in shadow"
        messages.success(request, f"{judge.model.name} {ended}.")
    return redirect("judges", slug=slug)


@require_POST
def demote(request: HttpRequest, slug: str, number: int) -> HttpResponse:
    """Take its standing away."""
    judge = _judge_or_404(request, slug, number)
    try:
        reason = request.POST.get("reason", "")
        judges.demote(judge=judge, reason=reason, actor=person(request))
    except Refused as refused:
        messages.error(request, refused.message)
    return redirect("judges", slug=slug)


def _judge_or_404(request: HttpRequest, slug: str, number: int) -> Judge:
    task = owned_task_or_404(request, slug)
    found = Judge.objects.select_related("model", "task")
    return get_object_or_404(found, task=task, model__number=number)
