"""The owner's page on agreement: can these labels be trusted, whose votes, and when is it done."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET

from annotate.models import Task
from annotate.owners import owned_task_or_404
from scoring import agreement as queries
from scoring.kept import read_votes
from scoring.telling import LIVE, Told, live, told
from validate.people.ties import named_ties
from validate.queries import reciprocal_pairs

PAIRS_SHOWN = 20


@require_GET
@never_cache
def agreement(request: HttpRequest, slug: str) -> HttpResponse:
    """The whole page; what is counted for it lasts a minute, as boards do."""
    task = owned_task_or_404(request, slug)
    found = read_votes(task).once(("agreement", task.config_id), lambda _: _told(task))
    context = {"task": task, "told": found}
    return live(request, "scoring/agreement.html", LIVE, context, found.digest)


def _told(task: Task) -> Told:
    counts = queries.vote_counts(task)
    context = {
        "board": queries.agreement_board(task, counts),
        "confusion": queries.confusion_rows(task, counts),
        "validators": queries.validator_board(task),
        "pairs": reciprocal_pairs(task.pk)[:PAIRS_SHOWN],
        "ties": named_ties(task),
        "backlog": queries.backlog(task),
    }
    return told("scoring/parts/agreement_told.html", context)
