"""The page of one model's report, and the same as a file."""

from __future__ import annotations

import json
from functools import partial

from django.http import Http404, HttpRequest, HttpResponse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from annotate.models import ModelVersion
from annotate.queries import visible_task
from scoring.queries import digest
from scoring.telling import live
from training.api import RobustnessSerializer
from training.models import Evaluation
from training.robustness import report_of


@require_safe
@never_cache
def robustness_page(request: HttpRequest, slug: str, number: int) -> HttpResponse:
    """Where a model breaks, and how sure it may be; for htmx what follows by itself, or 204."""
    model = _model_or_404(request, slug, number)
    made = Evaluation.objects.filter(model=model).order_by("pk").values_list("pk", "created_at")
    known_by = digest(list(made), model.metrics)
    context = {
        "task": model.task,
        "model": model,
        "report": partial(report_of, model),  # read where it is shown
        "digest": known_by,
    }
    whole, part = "training/robustness.html", "training/parts/robustness.html"
    return live(request, whole, part, context, known_by)


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
