"""The leaderboard: people, rounds and models of one task."""

from __future__ import annotations

from typing import Any, NamedTuple

from django.http import Http404, HttpRequest, HttpResponse
from django.template.loader import render_to_string
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from accounts.models import User
from annotate.models import Task
from annotate.queries import visible_task
from scoring import queries
from scoring.awards import awards_of, zone_named
from scoring.kept import Tallies, read_tallies
from scoring.paces import Pace, paces_of
from scoring.telling import Told, live, told

SHOWN_ROUNDS = 6  # to choose from at once; the board of rounds leads to each
SHOWN_PEOPLE = 100  # of the ranked and of the unranked each; the API has everybody


@require_safe
@never_cache
def leaderboard(request: HttpRequest, slug: str) -> HttpResponse:
    """The whole page; for htmx only the boards, or 204 when the page has these already."""
    task = visible_task(request.user, slug)
    if task is None:
        raise Http404
    context = _boards(task, request)
    part = "scoring/parts/boards.html"
    return live(request, "scoring/leaderboard.html", part, context, context["digest"])


def _boards(task: Task, request: HttpRequest) -> dict[str, Any]:
    rounds = opened_in(task)
    said = request.GET.get("round", "")
    chosen = next((one for one in rounds if str(one.number) == said), None)
    if said and chosen is None:
        raise Http404
    said = request.GET.get("days", "")
    days = next((one for one in queries.PERIODS if str(one) == said), None)
    tallies, asked = read_tallies(task), queries.Asked(days, chosen.pk if chosen else None)
    people = queries.board_of(task, asked, tallies)
    lines = lines_of(task, asked, tallies)
    tables = tables_of(task, rounds, tallies)
    reader, own, awards = request.user, None, []
    if isinstance(reader, User) and task.config is not None:
        own = people.by_author.get(reader.pk)
        ever = queries.board_of(task, queries.Asked(), tallies)
        awards = awards_of(task, reader, ever, zone_named(request.COOKIES.get("zone", "")))
    pace = paces_of(task, [own.author_id]).get(own.author_id) if own else None
    ranked = _with_own(lines.ranked, own if own and own.rank else None, pace)
    unranked = _with_own(lines.unranked, own if own and not own.rank else None, pace)
    return {
        "task": task,
        "chosen": chosen,
        "days": days,
        "periods": queries.PERIODS,
        "ranked": ranked.values(),
        "unranked": unranked.values(),
        "awards": awards,
        "own": own,
        "people": len(people.rows),
        "left_out": len(people.rows) - len(ranked) - len(unranked),
        "ranked_from": queries.RANKED_FROM,
        "rounds": rounds,
        "newest": rounds[:SHOWN_ROUNDS],
        "tables": tables.html,
        "digest": queries.digest(lines.digest, own, pace, len(people.rows), tables.digest, awards),
    }


class Opened(NamedTuple):
    """A round that was opened, as far as it is chosen by; another one, or one that is closed, is
    seen at once, whatever the age of the numbers."""

    pk: int
    number: int
    status: str


def opened_in(task: Task) -> tuple[Opened, ...]:
    """Those of a task, newest first; one query."""
    rows = queries.opened_rounds().filter(task=task).values_list(*Opened._fields)
    return tuple(Opened(*row) for row in rows)


def tables_of(task: Task, opened: tuple[Opened, ...], tallies: Tallies) -> Told:
    """The boards of rounds and models, which everybody sees alike, as long as these are open."""
    return tallies.once(("tables", opened), lambda tallies: _tables(task, tallies))


def _tables(task: Task, tallies: Tallies) -> Told:
    rounds, models = queries.round_board(task, tallies), queries.model_board(task, tallies)
    context = {"task": task, "rounds": rounds, "models": models}
    return told("scoring/parts/tables.html", context)


class Lines(NamedTuple):
    """The lines of those whom everybody sees, by author."""

    ranked: dict[int, str]
    unranked: dict[int, str]
    digest: str


def lines_of(task: Task, asked: queries.Asked, tallies: Tallies) -> Lines:
    """Made once: two hundred templates for each reader took most of the page's time."""
    return tallies.once(
        ("lines", *asked), lambda tallies: _lines(task, queries.board_of(task, asked, tallies))
    )


def _lines(task: Task, people: queries.Board) -> Lines:
    shown = [rows[:SHOWN_PEOPLE] for rows in (people.ranked, people.unranked)]
    paces = paces_of(task, [row.author_id for rows in shown for row in rows])
    ranked, unranked = (
        {row.author_id: _as_html(row, paces.get(row.author_id)) for row in rows} for rows in shown
    )
    return Lines(ranked, unranked, queries.digest(ranked, unranked))


def _as_html(row: queries.AuthorRow, pace: Pace | None, *, own: bool = False) -> str:
    context = {"row": row, "pace": pace, "own": own}
    return render_to_string("scoring/parts/person.html", context)


def _with_own(
    lines: dict[int, str], own: queries.AuthorRow | None, pace: Pace | None
) -> dict[int, str]:
    """The lines, and one's own wherever it stands."""
    return lines if own is None else {**lines, own.author_id: _as_html(own, pace, own=True)}
