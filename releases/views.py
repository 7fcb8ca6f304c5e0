"""The owner's page: ask for a release, watch it being made, download it; and its files."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_POST, require_safe

from accounts.caller import person
from annotate.models import Task
from annotate.owners import owned_task_or_404
from annotate.queries import visible_task
from core.errors import Refused
from releases import downloads, services
from releases.card import alpha, in_words, rate
from releases.models import PersonalFind, Release, Theirs
from releases.queries import newest, next_version, visible_releases, withdrawn_since
from releases.rows import known_answers_in_use
from releases.theirs import held_against
from validate.models import QueueItem

NO_CONTENT = 204
SHOWN = 50


@require_safe
@never_cache
def page(request: HttpRequest, slug: str) -> HttpResponse:
    task = owned_task_or_404(request, slug)
    last = newest(task)
    context = {
        **_state(task),
        "next_version": next_version(last),
        "words": last.options if last else {},
        "finds": _finds(task),
        "waiting": QueueItem.objects.filter(task=task, withdrawn=False).count(),
        "tested": known_answers_in_use(task),
        "with_models": not last or last.options.get("models", True),
        "theirs": Theirs.objects.filter(task=task).exists(),
    }
    return render(request, "releases/releases.html", context)


@require_safe
@never_cache
def live_part(request: HttpRequest, slug: str) -> HttpResponse:
    """What changes while a release is made; 204 when the page shows it already."""
    state = _state(owned_task_or_404(request, slug), request.GET.get("seen"))
    if not state:
        return HttpResponse(status=NO_CONTENT)
    return render(request, "releases/parts/live.html", state)


def _state(task: Task, seen: str | None = None) -> dict[str, Any]:
    """What the page shows; empty when it is what was `seen`: most questions end after one query."""
    releases = list(Release.objects.filter(task=task).order_by("-id")[:SHOWN])
    active = next((release for release in releases if release.active), None)
    over = [release for release in releases if not release.active]
    newest_id = releases[0].pk if releases else 0
    percent = round(100 * active.progress) if active else 0
    now = f"{newest_id}.{len(over)}.{percent}.{active.stage if active else ''}"
    if seen == now:
        return {}
    gone = withdrawn_since([one for one in over if one.status == Release.Status.PUBLISHED])
    return {
        "task": task,
        "active": active,
        "percent": percent,
        "releases": [_shown(release, gone.get(release.pk, 0)) for release in over],
        "seen": now,
    }


def _shown(release: Release, withdrawn: int) -> dict[str, Any]:
    if release.status == Release.Status.FAILED:
        return {"release": release}
    figures = release.figures
    confirmed = {
        "count": figures["statuses"]["verified"],
        "of": figures["examples"],
    }
    return {
        "release": release,
        "figures": figures,
        "confirmed": confirmed,
        "alpha": alpha(figures["agreement"]),
        "prevalence": rate(figures["prevalence"]),
        "rounds": [part["round"] for part in figures["rounds"]],
        "change": in_words(release.about["changes"][0]),
        "key": release.about["public_key"],
        "bytes": release.about["bytes"],
        "here": release.home is not None,
        "withdrawn": withdrawn,
    }


@require_safe
def theirs(request: HttpRequest, slug: str) -> HttpResponse:
    """Our verdicts against those of whoever published the examples."""
    task = owned_task_or_404(request, slug)
    held = held_against(task)
    rows = [
        {"theirs": label, "counts": [found[ours] for ours in held.ours], "all": found.total()}
        for label, found in sorted(held.table.items())
    ]
    share = rate({"count": held.agreed, "of": held.compared, **held.interval._asdict()})
    context = {"task": task, "held": held, "rows": rows, "share": share}
    return render(request, "releases/theirs.html", context)


@require_POST
def start(request: HttpRequest, slug: str) -> HttpResponse:
    """Ask for the next version."""
    task = owned_task_or_404(request, slug)
    given = request.POST
    options = {name: given.get(name, "").strip() for name in ("licence", "description", "citation")}
    try:
        services.request(
            actor=person(request),
            task=task,
            version=given.get("version", "").strip(),
            options={
                **options,
                **{name: given.get(name) == "on" for name in ("waiting", "models")},
            },
        )
    except Refused as refused:
        messages.error(request, refused.message)
    return redirect("releases", slug=slug)


def _finds(task: Task) -> dict[str, Any]:
    """What waits for an owner's decision."""
    waiting = PersonalFind.objects.filter(task=task, decision="").order_by("example")
    shown = waiting.select_related("example")[:SHOWN]
    return {
        "count": waiting.count(),
        "shown": [{"uid": find.example.uid, "found": find.found} for find in shown],
    }


@require_POST
def decide(request: HttpRequest, slug: str) -> HttpResponse:
    """Let what looks personal go out or keep its examples here: the chosen ones, or all of it."""
    task = owned_task_or_404(request, slug)
    decision, _, which = request.POST.get("decision", "").partition(":")
    try:
        uids = None if which == "all" else [UUID(uid) for uid in request.POST.getlist("example")]
        number = services.decide_on_finds(
            actor=person(request), task=task, decision=decision, uids=uids
        )
    except Refused as refused:
        messages.error(request, refused.message)
    except ValueError:
        messages.error(request, "That is no example.")
    else:
        messages.success(request, f"Decided on {number}. Now make the version.")
    return redirect("releases", slug=slug)


@require_POST
def open_to(request: HttpRequest, slug: str, version: str) -> HttpResponse:
    """Let everybody download a version, or its owners alone."""
    task = owned_task_or_404(request, slug)
    release = get_object_or_404(task.releases, version=version, status=Release.Status.PUBLISHED)
    public = request.POST.get("public") == "yes"
    services.set_public(actor=person(request), release=release, public=public)
    return redirect("releases", slug=slug)


@require_safe
def download(request: HttpRequest, slug: str, version: str) -> HttpResponseBase:
    return downloads.whole(request, _release_or_404(request, slug, version))


@require_safe
def download_file(request: HttpRequest, slug: str, version: str, name: str) -> HttpResponseBase:
    return downloads.one(request, _release_or_404(request, slug, version), name)


def _release_or_404(request: HttpRequest, slug: str, version: str) -> Release:
    task = visible_task(request.user, slug)
    if task is None:
        raise Http404
    return get_object_or_404(visible_releases(task, request.user, files=True), version=version)
