"""The owner's page on agreement: can these labels be trusted, whose votes, and when is it done."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET

from annotate.owners import owned_task_or_404
from scoring import agreement as queries
from validate.people.ties import named_ties
from validate.queries import reciprocal_pairs

PAIRS_SHOWN = 20


@require_GET
@never_cache
def agreement(request: HttpRequest, slug: str) -> HttpResponse:
    """The whole page."""
    task = owned_task_or_404(request, slug)
    counts = queries.vote_counts(task)
    return render(
        request,
        "scoring/agreement.html",
        {
            "task": task,
            "board": queries.agreement_board(task, counts),
            "confusion": queries.confusion_rows(task, counts),
            "validators": queries.validator_board(task),
            "pairs": reciprocal_pairs(task.pk)[:PAIRS_SHOWN],
            "ties": named_ties(task),
            "backlog": queries.backlog(task),
        },
    )
