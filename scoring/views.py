"""The leaderboard: people, rounds and models of one task."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.template.loader import render_to_string
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from accounts.models import User
from annotate.models import Round, Task
from annotate.queries import visible_task
from scoring import queries
from scoring.awards import awards_of, zone_named

SHOWN_PEOPLE = 100  # of the ranked and of the unranked each; the API has everybody


@require_safe
@never_cache
def leaderboard(request: HttpRequest, slug: str) -> HttpResponse:
    """The whole page; for htmx only the boards, or 204 when the page has these already."""
    task = visible_task(request.user, slug)
    if task is None:
        raise Http404
    context = _boards(task, request)
    if not getattr(request, "htmx", False):
        return render(request, "scoring/leaderboard.html", context)
    if request.GET.get("digest") == context["digest"]:
        return HttpResponse(status=204)
    return render(request, "scoring/parts/boards.html", context)


def _boards(task: Task, request: HttpRequest) -> dict[str, Any]:
    chosen = _chosen_round(task, request.GET.get("round", ""))
    asked = request.GET.get("days", "")
    days = next((one for one in queries.PERIODS if str(one) == asked), None)
    people = queries.author_board(task, chosen, days)
    reader, awards = request.user, []
    if isinstance(reader, User) and task.config is not None:
        ever = people if days is None and chosen is None else queries.author_board(task)
        awards = awards_of(task, reader, ever, zone_named(request.COOKIES.get("zone", "")))
    rounds = queries.round_board(task)
    models = queries.model_board(task)
    ranked, unranked = (_shown(rows, request.user.pk) for rows in (people.ranked, people.unranked))
    return {
        "task": task,
        "chosen": chosen,
        "days": days,
        "periods": queries.PERIODS,
        "ranked": [_as_html(row, row.author_id == request.user.pk) for row in ranked],
        "unranked": [_as_html(row, row.author_id == request.user.pk) for row in unranked],
        "awards": awards,
        "people": len(people.rows),
        "left_out": len(people.rows) - len(ranked) - len(unranked),
        "ranked_from": queries.RANKED_FROM,
        "rounds": rounds,
        "models": models,
        "digest": queries.digest(ranked, unranked, len(people.rows), rounds, models, awards),
    }


@lru_cache(maxsize=2_000)
def _as_html(row: queries.AuthorRow, own: bool) -> str:
    """One line of the board: two hundred templates for each reader took most of the page's time."""
    return render_to_string("scoring/parts/person.html", {"row": row, "own": own})


def _chosen_round(task: Task, number: str) -> Round | None:
    """The round asked for; None for all of them."""
    if not number:
        return None
    # Longer numbers are no rounds, and more than some databases can compare.
    round_ = Round.objects.filter(task=task, number=number) if _is_number(number) else None
    found = round_.exclude(status=Round.Status.DRAFT).first() if round_ is not None else None
    if found is None:
        raise Http404
    return found


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdecimal() and len(text) < 10


def _shown(rows: tuple[queries.AuthorRow, ...], own: int | None) -> tuple[queries.AuthorRow, ...]:
    """The first ones, and one's own row wherever it stands."""
    return rows[:SHOWN_PEOPLE] + tuple(row for row in rows[SHOWN_PEOPLE:] if row.author_id == own)
