"""The validator's pages: what waits, and one item at a time."""

from __future__ import annotations

from typing import Any, Final

from django.contrib.auth.decorators import login_required
from django.http import Http404, HttpRequest, HttpResponse
from django.middleware.csrf import get_token
from django.shortcuts import redirect, render
from django.templatetags.static import static
from django.urls import get_script_prefix
from django.utils import timezone
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_POST, require_safe

from accounts.caller import person
from accounts.models import Role, User
from annotate.models import Task
from annotate.queries import participant_key, visible_task
from validate.acts.lease import unskip
from validate.people.standing import gold_score, qualification_now
from validate.queries import amount, may_validate, progress_of, waiting_by_task

REASONS: Final = {
    "offensive": "Offensive or hurtful",
    "personal_data": "Shows personal data",
    "not_in_language": "Not in the language asked for",
    "unreadable": "Unreadable, or nothing to see",
    "spam": "Spam, or not an attempt",
    "other": "Something else",
}
REST_AFTER_MINUTES: Final = 20


@require_safe
@login_required
def home(request: HttpRequest) -> HttpResponse:
    """The tasks whose queue is open to this person, with how much waits: those with work first."""
    user = person(request)
    waiting = waiting_by_task(user)
    visible = Task.objects.visible_to(user).select_related("config").order_by("name")
    tasks = [task for task in visible if may_validate(user, task)]
    entries = [
        {
            "task": task,
            "question": task.config.file.instructions.validation if task.config else "",
            "waiting": amount(waiting.get(task.pk, 0)),
            "set_aside": task.set_aside_for(user),
        }
        for task in sorted(tasks, key=lambda task: not waiting.get(task.pk))
    ]
    return render(
        request,
        "validate/home.html",
        {"entries": entries, "is_validator": user.has_role(Role.VALIDATOR)},
    )


@require_safe
@login_required
@never_cache
def validate(request: HttpRequest, slug: str) -> HttpResponse:
    """The page that asks for item after item; its script takes the leases, so a look costs none."""
    return judging(request, _task(person(request), slug))


def judging(request: HttpRequest, task: Task) -> HttpResponse:
    """The same, also for whoever came by a link to this task and is `request.user`."""
    user = person(request)
    if not may_validate(user, task):
        return render(request, "validate/not_yet.html", {"task": task}, status=403)
    if reason := task.set_aside_for(user):
        return render(request, "validate/set_aside.html", {"task": task, "reason": reason})
    assert task.config is not None
    file = task.config.file
    prefix = get_script_prefix()
    return render(
        request,
        "validate/validate.html",
        {
            "task": task,
            "instructions": file.instructions,
            "good_pictures": [picture for picture in file.instructions.pictures if picture.good],
            "bad_pictures": [picture for picture in file.instructions.pictures if not picture.good],
            "reasons": [
                (code, words)
                for code, words in REASONS.items()
                if code not in file.kind.words.flags_not_offered
            ],
            "progress": progress_of(user, task),
            "score": gold_score(user, task),
            "sheets": file.kind.sheets("viewer.css"),
            "page_data": _page_data(request, user, task, prefix),
        },
    )


def _page_data(request: HttpRequest, user: User, task: Task, prefix: str) -> dict[str, Any]:
    assert task.config is not None
    file = task.config.file
    return {
        "slug": task.slug,
        "person": participant_key(user, None),
        "none": file.none_of_them,
        "viewer": static(file.kind.static("viewer.js") or "js/texts.js"),
        "api": f"{prefix}api/v1/",
        "csrfToken": "" if user.by_link else get_token(request),
        "leaseSeconds": file.section("validation").lease_seconds,
        "now": timezone.now().isoformat(),
        "qualification": qualification_now(user, task),
        "restMinutes": REST_AFTER_MINUTES if task.content_warning else None,
    }


@require_POST
@login_required
def look_again(request: HttpRequest, slug: str) -> HttpResponse:
    """Put back what this person skipped, and go on."""
    user = person(request)
    task = _task(user, slug)
    unskip(validator=user, task=task)
    return redirect("validate", slug=task.slug)


def _task(user: User, slug: str) -> Task:
    task = visible_task(user, slug)
    if task is None or task.config is None:
        raise Http404
    return task
