"""The page of one model's report, and the same as a file."""

from __future__ import annotations

import json

from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from annotate.models import ModelVersion
from annotate.queries import visible_task
from training.api import RobustnessSerializer
from training.robustness import report_of


@require_safe
@never_cache
def robustness_page(request: HttpRequest, slug: str, number: int) -> HttpResponse:
    """Where a model breaks, and how sure it may be."""
    model = _model_or_404(request, slug, number)
    context = {"task": model.task, "model": model, "report": report_of(model)}
    return render(request, "training/robustness.html", context)


@require_safe
@never_cache
def robustness_file(request: HttpRequest, slug: str, number: int) -> HttpResponse:
    """What REST answers, to keep."""
    model = _model_or_404(request, slug, number)
    told = json.dumps(RobustnessSerializer(report_of(model)).data, indent=1)
    name = f"{slug}-{number}-robustness.json"
    return HttpResponse(
        told,
        content_type="application/json",
        headers={"Content-Disposition": f'attachment; filename="{name}"'},
    )


def _model_or_404(request: HttpRequest, slug: str, number: int) -> ModelVersion:
    task = visible_task(request.user, slug)
    seen = ModelVersion.objects.visible_to(request.user).exclude(backend="")
    model = seen.filter(task=task, number=number).first()
    if task is None or task.config is None or model is None:
        raise Http404
    model.task = task
    return model
