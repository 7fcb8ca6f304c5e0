"""The annotator's pages: the tasks, the workbench, and one's own work."""

from __future__ import annotations

import uuid
from typing import Any

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.contrib.auth.views import redirect_to_login
from django.http import Http404, HttpRequest, HttpResponse, StreamingHttpResponse
from django.middleware.csrf import get_token
from django.shortcuts import get_object_or_404, redirect, render
from django.templatetags.static import static
from django.urls import get_script_prefix
from django.views.decorators.http import require_http_methods, require_safe

from accounts.caller import person
from accounts.models import User, WorkSession
from annotate import explanations, services
from annotate.models import Round, Task
from annotate.own_work import WorkFilter, own_data, own_examples, page_of_work, work_item
from annotate.queries import (
    Participant,
    hints_for,
    is_alone,
    no_open_round,
    open_target,
    progress_of,
    visible_task,
)
from core.errors import Refused

LONGEST_SIGN = 2  # characters of a label that fits the key of a keypad


@require_safe
def home(request: HttpRequest) -> HttpResponse:
    """Every task that this person may see."""
    tasks = list(Task.objects.visible_to(request.user).select_related("config").order_by("id"))
    open_rounds = Round.objects.filter(task__in=tasks, status=Round.Status.OPEN)
    numbers = dict(open_rounds.values_list("task_id", "number"))
    entries = [
        {
            "task": task,
            "goal": task.config.file.instructions.goal if task.config else "",
            "round": numbers.get(task.pk),
        }
        for task in tasks
    ]
    teasers = (task.kind.teaser for task in tasks)
    return render(
        request, "home.html", {"entries": entries, "teaser": next(filter(None, teasers), "")}
    )


@require_safe
def task_page(request: HttpRequest, slug: str) -> HttpResponse:
    """Make something and submit it; a guest gets the same page as practice."""
    if (task := visible_task(request.user, slug)) is None:
        raise Http404
    return workbench(request, task)


def workbench(request: HttpRequest, task: Task) -> HttpResponse:
    """The same, also for whoever came by a link to this task and is `request.user`."""
    if task.config is None:
        raise Http404
    file = task.config.file
    if not request.user.is_authenticated and not file.sandbox:
        return redirect_to_login(request.get_full_path())
    target = open_target(task.pk)
    context: dict[str, Any] = {
        "task": task,
        "instructions": file.instructions,
        "round": target.round if target else None,
        "none_open": "" if target else no_open_round(task.pk).message,
        "against": target.against if target else "",
    }
    kind = file.kind
    if not kind.has_page:
        return render(request, "annotate/no_page.html", context)
    participant = _participant(request)
    alone = is_alone(file, task.pk, participant.user)
    due = explanations.due(participant, task.config)
    has_contexts = kind.contexts and task.contexts.filter(offered=True).exists()
    prefix = get_script_prefix()
    none = file.none_of_them
    return render(
        request,
        "annotate/task.html",
        {
            **context,
            "editor": kind.editor,
            "sheets": kind.sheets("editor.css"),
            "words": kind.words,
            "has_contexts": has_contexts,
            "labels": () if kind.answers.free else (*file.keyed_labels, *([none] if none else ())),
            "several": none is not None,
            "labels_are_words": none is not None
            or any(len(label.name) > LONGEST_SIGN for label in file.labels),
            "rule": file.comparator_rule,
            "claim": next((one.name for one in file.labels if one.value == file.claim), None),
            "good_pictures": [picture for picture in file.instructions.pictures if picture.good],
            "bad_pictures": [picture for picture in file.instructions.pictures if not picture.good],
            "by_lot": file.feedback == "live",
            "explanation": file.explanation,
            "hints": hints_for(file, task.pk, participant.user),
            "session": progress_of(participant, task.pk),
            "page_data": {
                "slug": task.slug,
                "person": participant.key,
                "sandbox": participant.sandbox,
                "alone": alone,
                "explanation": file.explanation.model_dump(),
                "due": due and explanations.due_body(due, file),
                "labels": [label.model_dump() for label in file.keyed_labels],
                "none": none,
                "warning": task.content_warning,
                "editor": static(kind.static("editor.js")),
                "words": kind.words.for_page(),
                "claim": file.claim,
                "explains": kind.answers.few or kind.answers.several,
                "contexts": has_contexts or bool(kind.given),
                "api": f"{prefix}api/v1/",
                "socket": f"{prefix}ws/tasks/{task.slug}/",
                # Calls of who came by a link show a token of their own, and no cookie is set.
                "csrfToken": "" if getattr(request.user, "by_link", None) else get_token(request),
            },
        },
    )


def _participant(request: HttpRequest) -> Participant:
    """Who is at the page; a guest's visit is named in the session and stored with its first use."""
    if isinstance(request.user, User):
        return Participant(user=request.user)
    guest = request.session.setdefault("guest", str(uuid.uuid4()))
    return Participant(session=WorkSession(id=uuid.UUID(guest), kind=WorkSession.Kind.GUEST))


@require_safe
@login_required
def my_work(request: HttpRequest) -> HttpResponse:
    """One's own examples with what became of each."""
    user = person(request)
    form = WorkFilter(request.GET, user=user)
    page = page_of_work(form.apply(own_examples(user)), request.GET)
    filtered = any(value for name, value in request.GET.items() if name != "before")
    return render(request, "annotate/my_work.html", {"form": form, "filtered": filtered, **page})


@require_safe
@login_required
async def my_data(request: HttpRequest) -> StreamingHttpResponse:
    """Download everything stored about one's own examples, as JSON lines."""
    user = await request.auser()
    assert isinstance(user, User)
    response = StreamingHttpResponse(own_data(user), content_type="application/x-ndjson")
    response["Content-Disposition"] = 'attachment; filename="my-data.jsonl"'
    return response


@require_http_methods(["GET", "POST"])
@login_required
def retract(request: HttpRequest, uid: uuid.UUID) -> HttpResponse:
    """Ask whether to take an example back, and do it."""
    user = person(request)
    example = get_object_or_404(own_examples(user), uid=uid)
    if request.method == "POST":
        try:
            services.retract(participant=Participant(user=user), uid=uid)
        except Refused as refused:
            messages.error(request, refused.message)
        else:
            messages.success(request, "Taken back. It is used for nothing any more.")
        return redirect("my_work")
    return render(request, "annotate/retract.html", {"item": work_item(example)})
