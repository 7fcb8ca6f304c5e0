"""The owner's page on agreement: can these labels be trusted, whose votes, and when is it done."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET

from annotate.owners import owned_task_or_404
from scoring.agreement import agreement_of
from scoring.kept import read_votes
from scoring.telling import LIVE, live, told


@require_GET
@never_cache
def agreement(request: HttpRequest, slug: str) -> HttpResponse:
    """The whole page; what is counted for it lasts a minute, as boards do."""
    task = owned_task_or_404(request, slug)
    found = read_votes(task).once(
        ("agreement's page", task.config_id),
        lambda votes: told("scoring/parts/agreement_told.html", agreement_of(task, votes)),
    )
    context = {"task": task, "told": found}
    return live(request, "scoring/agreement.html", LIVE, context, found.digest)
