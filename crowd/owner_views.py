"""An owner's pages: a task's campaigns, and one of them with its visits and its money."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final
from uuid import UUID

from django.contrib import messages
from django.core.paginator import Paginator
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_safe

from accounts.caller import person
from accounts.models import User
from annotate.models import Task
from annotate.owners import owned_task_or_404
from core.errors import Refused
from core.strict_yaml import NotYaml
from crowd import by_api, by_file, earned, ledger, overview, queries, services
from crowd import campaigns as acts
from crowd.campaign_file import VALIDATE, read_campaign_file
from crowd.models import Campaign, Visit
from crowd.tasks import follow_campaign

LONGEST_FILE: Final = 200_000
PAGE: Final = 100
REFUSED_SHOWN: Final = 20
_STATES: Final = {"pause": "paused", "resume": "open", "end": "ended"}


@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
def campaigns(request: HttpRequest, slug: str) -> HttpResponse:
    """A task's campaigns, and a form to load the file of another one."""
    task = owned_task_or_404(request, slug)
    complaint = ""
    if request.method == "POST":
        try:
            loaded = _load(request, task)
        except Refused as refused:
            complaint = refused.message
        else:
            messages.success(request, acts.costs_in_words(loaded))
            return redirect("campaign", slug=slug, name=loaded.slug)
    found = overview.campaigns_of(task)[:PAGE]
    context = {"task": task, "campaigns": found, "complaint": complaint}
    return render(request, "crowd/campaigns.html", context)


def _load(request: HttpRequest, task: Task) -> Campaign:
    return load_upload(request.FILES.get("file"), person(request), task)


def load_upload(upload: Any, actor: User, task: Task | None = None) -> Campaign:
    """Load an uploaded campaign file, of this task if one is given; Refused with a sentence."""
    if upload is None or (upload.size or 0) > LONGEST_FILE:
        raise Refused("no_file", "Choose a campaign file of at most 200 kB.")
    try:
        file = read_campaign_file(upload.read())
    except NotYaml as error:
        raise Refused("bad_campaign_file", f"{error}.") from error
    if task is not None and file.task != task.slug:
        raise Refused("other_task", f"That file is for the task {file.task}.")
    return acts.load_campaign(file=file, actor=actor)[0]


@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
def campaign(request: HttpRequest, slug: str, name: str) -> HttpResponse:
    """How it goes, and what an owner may do about it and its visits."""
    task = owned_task_or_404(request, slug)
    chosen = get_object_or_404(
        Campaign.objects.select_related("task__config"), task=task, slug=name
    )
    if request.method == "POST":
        try:
            if said := _act(request, chosen):
                messages.success(request, said)
        except Refused as refused:
            messages.error(request, refused.message)
        return redirect("campaign", slug=slug, name=name)
    page = Paginator(overview.visit_rows(chosen), PAGE).get_page(request.GET.get("page"))
    rows = list(page.object_list)
    sums = earned.money_of(rows)
    answers = earned.answers_of(rows) if VALIDATE in chosen.file.work else None
    words = chosen.file.money
    course = overview.overview(chosen)
    context: dict[str, Any] = {
        "task": task,
        "campaign": chosen,
        "file": chosen.file,
        "overview": course,
        "links": acts.links_of(chosen, f"{request.scheme}://{request.get_host()}"),
        "money": [(state, words(amount)) for state, amount in ledger.sums(chosen).items()],
        "owed": words(course.owed),
        "budget": words(chosen.file.budget),
        "is_spent": chosen.state == Campaign.State.OPEN and not earned.holds_one_more(chosen),
        "failed": ledger.failed(chosen).exists(),
        "plans": [
            (title, words(plan.at_most), words(plan.expected), words(plan.hourly),
             words(plan.hourly_expected), plan.minutes)
            for title, plan in (("As expected", course.plan), ("As it goes", course.pilot))
            if plan is not None
        ],
        "visits": [
            (
                one,
                answers and answers[one.pk],
                [(state, words(amount)) for state, amount in sums[one.pk].items()],
            )
            for one in rows
        ],
        "answers": answers,
        "signals": overview.said_by_signals(task) if rows else [],
        "newer": f"?page={page.previous_page_number()}" if page.has_previous() else "",
        "older": f"?page={page.next_page_number()}" if page.has_next() else "",
        "files": [
            (name, payments, words(amount))
            for name, payments, amount in by_file.unpaid_files(chosen)
        ],
        "reason_length": chosen.platform.reason_length,
    }  # fmt: skip
    return render(request, "crowd/campaign.html", context)


def _act(request: HttpRequest, chosen: Campaign) -> str:
    act, actor = request.POST.get("act", ""), person(request)
    if act in _STATES:
        acts.set_state(campaign=chosen, state=_STATES[act], actor=actor)
        return f"It is {_STATES[act]} now."
    if act == "extend":
        text = request.POST.get("places", "")
        places = int(text) if text.isdecimal() and len(text) < 5 else 0
        acts.extend(campaign=chosen, places=places, actor=actor)
        return f"{places} places more."
    if act in ("pay", "again"):
        by_api.require_fit(chosen)
        planned = len(ledger.plan(chosen)) if act == "pay" else ledger.plan_failed_again(chosen)
        if by_api.remote_of(chosen) is not None:
            follow_campaign.enqueue(chosen.pk)
            return f"{_payments(planned)} planned: the worker sends what is planned now."
        by_api.send(chosen)
        if not planned:
            return "Nothing more is owed now."
        return f"{_payments(planned)} planned: pay by the files that are listed below."
    if act == "paid":
        done = by_file.say_paid(chosen, request.POST.get("file", ""), actor)
        return f"{_payments(done)} confirmed."
    if act == "results":
        upload = request.FILES.get("file")
        if upload is None or (upload.size or 0) > 5_000_000:
            raise Refused("no_file", "Choose the platform's file of results (CSV).")
        read = by_file.read_results(chosen, upload.read().decode("utf-8-sig", "replace"), actor)
        if read.refused:
            raise Refused("refused_lines", f"{_moved(read)} {_refused(read.refused)}")
        return _moved(read)
    if act in ("confirm", "reject"):
        services.settle(
            visit=_visit(request, chosen),
            confirmed=act == "confirm",
            actor=actor,
            reason=request.POST.get("reason", ""),
        )
        return f"The visit is {'confirmed: it counts' if act == 'confirm' else 'rejected'}."
    raise Refused("unknown_act", "That cannot be done here.")


def _payments(number: int) -> str:
    return f"{number} payment{'' if number == 1 else 's'}"


def _moved(done: by_file.Results) -> str:
    return f"{done.confirmed} visits confirmed, {done.payments} payments moved."


def _refused(lines: Sequence[str]) -> str:
    more = len(lines) - REFUSED_SHOWN
    rest = [f"And {more} more, which manage.py pay --results tells."] if more > 0 else []
    return " ".join(["Refused:", *lines[:REFUSED_SHOWN], *rest])


def _visit(request: HttpRequest, chosen: Campaign) -> Visit:
    try:
        visit_id = UUID(request.POST.get("visit", ""))
    except ValueError:
        raise Http404 from None
    return get_object_or_404(queries.visits(), campaign=chosen, pk=visit_id)


@require_safe
def statement(request: HttpRequest, slug: str, name: str) -> HttpResponse:
    """Every amount with what earned it, as CSV."""
    task = owned_task_or_404(request, slug)
    chosen = get_object_or_404(Campaign, task=task, slug=name)
    return _csv(ledger.statement(chosen), chosen.slug)


@require_safe
def pay_file(request: HttpRequest, slug: str, name: str, batch: str) -> HttpResponse:
    """What of one file still waits to be paid, as CSV."""
    task = owned_task_or_404(request, slug)
    if not (text := by_file.pay_file(get_object_or_404(Campaign, task=task, slug=name), batch)):
        raise Http404
    return _csv(text, batch)


def _csv(text: str, name: str) -> HttpResponse:
    response = HttpResponse(text, content_type="text/csv; charset=utf-8")
    response["Content-Disposition"] = f'attachment; filename="{name}.csv"'
    return response
