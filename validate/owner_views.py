"""The owner's inbox: what votes left unclear, one card each, decided by keys or in bulk."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final
from uuid import UUID

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.middleware.csrf import get_token
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from accounts.caller import person
from annotate.models import Example, Round, Task
from annotate.own_work import work_item
from annotate.owners import owned_task_or_404
from annotate.queries import participant_key
from annotate.sections import Label
from core.errors import Refused
from kinds.answers import in_words
from validate import inbox as reading
from validate.acts import adjudicate as acts
from validate.acts.adjudicate import Outcome
from validate.inbox import Case
from validate.models import Review, Vote
from validate.policies import UNSURE
from validate.similar import similar_examples
from validate.views import REASONS

KINDS: Final = {
    Review.Kind.AMBIGUOUS: ("Ambiguous", "Validators could not agree."),
    Review.Kind.RELABELLED: ("Relabelled", "Validators agree on another label."),
    Review.Kind.FLAGGED: ("Flagged", "Validators say that something is wrong with it."),
    Review.Kind.AUDIT: ("Audit", "The nightly audit sees it differently."),
    Review.Kind.QUARANTINE: ("Quarantine", "A vote that mattered has lost its weight."),
    Review.Kind.COPY: ("Nearly a copy", "Another author sent nearly the same before."),
}
_TONES: Final = {Review.Kind.FLAGGED: "bad", Review.Kind.AUDIT: "accent"}
ACT_KEYS: Final = frozenset("vrhsuxajk")


@require_GET
@never_cache
def inbox(request: HttpRequest, slug: str) -> HttpResponse:
    """A page of cases, oldest first, of one kind or all, of one round or all."""
    task = owned_task_or_404(request, slug)
    kind = request.GET.get("kind", "")
    kind = kind if kind in Review.Kind.values else ""
    round_number, after = _number(request, "round"), _number(request, "after")
    reviews = reading.open_reviews(task, kind=kind, round_number=round_number)
    found, more = reading.cases(reviews, after or 0)
    counts = reading.counts_by_kind(task)
    query = request.GET.copy()
    query.pop("after", None)
    first_page = f"?{query.urlencode()}"
    query["after"] = str(more)
    return render(
        request,
        "validate/owner/inbox.html",
        {
            "task": task,
            "cards": [_card(case) for case in found],
            "kinds": [(value, words, counts.get(value, 0)) for value, (words, _) in KINDS.items()],
            "kind": kind,
            "rounds": Round.objects.filter(task=task).order_by("-number"),
            "round_number": round_number,
            "filtered": bool(kind or round_number is not None),
            "waiting": sum(counts.values()),
            **_words(task),
            "newer": first_page if after else "",
            "older": f"?{query.urlencode()}" if more is not None else "",
            "page_data": {
                "slug": task.slug,
                "person": participant_key(person(request), None),
                "decide": reverse("inbox-decide", args=[task.slug]),
                "takeBack": reverse("inbox-take-back", args=[task.slug]),
                "csrfToken": get_token(request),
            },
        },
    )


def _words(task: Task) -> dict[str, Any]:
    """The labels and the common reasons to decide with."""
    assert task.config is not None
    file = task.config.file
    labels = [] if file.kind.answers.several else _keys(file.keyed_labels)
    return {"labels": labels, "reasons": file.kind.words.reasons}


def _number(request: HttpRequest, name: str) -> int | None:
    text = request.GET.get(name, "")
    # Longer numbers are more than some databases can compare.
    return int(text) if text.isascii() and text.isdecimal() and len(text) < 10 else None


def _keys(labels: Sequence[Label]) -> list[dict[str, str]]:
    """Each label with its key: its own unless that stands for an act, else its place."""
    keys = []
    for place, label in enumerate(labels, start=1):
        own = (label.key or "").lower()
        key = own if own not in ACT_KEYS else str(place) if place < 10 else ""
        keys.append({"value": label.value, "name": label.name, "key": key})
    return keys


def _card(case: Case) -> dict[str, Any]:
    return {
        **_contents(case.example),
        "reviews": [
            {
                "words": KINDS[Review.Kind(review.kind)][0],
                "tone": _TONES.get(Review.Kind(review.kind), "warn"),
                "reason": review.reason or KINDS[Review.Kind(review.kind)][1],
            }
            for review in case.reviews
        ],
        "votes": [_vote(vote, case.example) for vote in case.votes],
    }


def _contents(example: Example) -> dict[str, Any]:
    item = work_item(example)
    context = example.context.data if example.context else None
    named = context.items() if isinstance(context, dict) else [("context", context)]
    return {
        "example": example,
        "picture": item.picture,
        "texts": [*((n, t) for n, t in named if isinstance(t, str)), *item.texts],
        "counts": item.counts,
        "said": item.said,
        "read": item.read,
        "settled": in_words(example.final_label),
        "share": item.share,
    }


def _vote(vote: Vote, example: Example) -> dict[str, Any]:
    if vote.flag:
        said = "can’t tell" if vote.flag == UNSURE else REASONS[vote.flag].lower()
    else:
        said = in_words(vote.label)
    if vote.purpose != Vote.Purpose.VERDICT:
        effect = "known answer"
    elif vote.dropped:
        effect = "no weight"
    else:
        effect = "surplus" if vote.surplus else "counts"
    return {
        "vote": vote,
        "said": said,
        "agrees": not vote.flag
        and example.config.file.same(vote.label, example.label, example.wrong),
        "accuses": bool(vote.flag) and vote.flag != UNSURE,
        "effect": effect,
    }


@require_http_methods(["GET", "POST"])
@never_cache
def case(request: HttpRequest, slug: str, uid: UUID) -> HttpResponse:
    """One example by its id, whether it waits or not, and an owner's act on it."""
    task = owned_task_or_404(request, slug)
    found = reading.case_of(task, uid)
    if found is None:
        raise Http404
    if request.method == "POST":
        try:
            _act_on(request, task, uid)
        except Refused as refused:
            messages.error(request, refused.message)
        else:
            messages.success(request, "Done.")
        return redirect("inbox-case", slug=task.slug, uid=uid)
    context = {"task": task, "card": _card(found), "alone": True, **_words(task)}
    return render(request, "validate/owner/case.html", context)


def _act_on(request: HttpRequest, task: Task, uid: UUID) -> None:
    act, _, label = request.POST.get("act", "").partition(":")
    reason = request.POST.get("reason", "").strip()
    actor = person(request)
    if act == "take-back":
        acts.take_back(actor=actor, task=task, uid=uid, reason=reason or "Taken back")
        return
    act = "relabel" if act == "label" else act
    acts.decide(actor=actor, task=task, uid=uid, act=act, reason=reason, label=label, waiting=False)


@require_GET
@never_cache
def similar(request: HttpRequest, slug: str, uid: UUID) -> HttpResponse:
    """Examples that look like this one; asked for when somebody looks at its card."""
    task = owned_task_or_404(request, slug)
    example = get_object_or_404(Example.objects.select_related("task"), task=task, uid=uid)
    picture = task.kind.picture
    found = [
        {"picture": picture(one.example.input), **_similar(one.example)}
        for one in similar_examples(example)
    ]
    return render(
        request, "validate/owner/similar.html", {"found": found, "thing": task.kind.words.thing}
    )


def _similar(example: Example) -> dict[str, Any]:
    settled_on = example.final_label if example.final_label is not None else example.label
    words = {
        Example.Status.VERIFIED: f"{example.label}, verified",
        Example.Status.REJECTED: f"not {example.label}",
        Example.Status.RELABELLED: f"{settled_on}, not {example.label}",
        Example.Status.AMBIGUOUS: f"{example.label}?, ambiguous",
        Example.Status.FLAGGED: "flagged",
    }
    return {"words": words[Example.Status(example.status)], "example": example}


@require_POST
def decide(request: HttpRequest, slug: str) -> HttpResponse:
    """Act on the chosen examples: `example` (repeated), `act`, `reason`, and `label` to relabel.

    `act=label:7` is short for relabelling as 7. JSON for scripts of the page, else back to it.
    """
    task = owned_task_or_404(request, slug)
    act, _, label = request.POST.get("act", "").partition(":")
    try:
        outcome = acts.decide_all(
            actor=person(request),
            task=task,
            uids=_uids(request),
            act="relabel" if act == "label" else act,
            reason=request.POST.get("reason", "").strip(),
            label=label or request.POST.get("label"),
        )
    except Refused as refused:
        return _refuse(request, task, refused)
    return _answer(request, task, outcome, "Decided")


@require_POST
def take_back(request: HttpRequest, slug: str) -> HttpResponse:
    """Undo the last act on the chosen examples."""
    task = owned_task_or_404(request, slug)
    try:
        outcome = acts.take_back_all(
            actor=person(request),
            task=task,
            uids=_uids(request),
            reason=request.POST.get("reason", "").strip() or "Taken back",
        )
    except Refused as refused:
        return _refuse(request, task, refused)
    return _answer(request, task, outcome, "Taken back")


def _uids(request: HttpRequest) -> list[UUID]:
    try:
        return [UUID(uid) for uid in request.POST.getlist("example")]
    except ValueError:
        raise Refused("bad_id", "That is no example.") from None


def _wants_json(request: HttpRequest) -> bool:
    return "application/json" in request.headers.get("Accept", "")


def _refuse(request: HttpRequest, task: Task, refused: Refused) -> HttpResponse:
    if _wants_json(request):
        error = {"code": refused.code, "message": refused.message}
        return JsonResponse({"error": error}, status=refused.status)
    messages.error(request, refused.message)
    return redirect("inbox", slug=task.slug)


def _answer(request: HttpRequest, task: Task, outcome: Outcome, words: str) -> HttpResponse:
    if _wants_json(request):
        return JsonResponse(
            {
                "done": [str(uid) for uid in outcome.done],
                "refused": [
                    {"id": str(uid), "message": sentence}
                    for uid, sentence in outcome.refused.items()
                ],
            }
        )
    for sentence in dict.fromkeys(outcome.refused.values()):
        messages.error(request, sentence)
    if outcome.done:
        messages.success(request, f"{words}: {len(outcome.done)}.")
    return redirect("inbox", slug=task.slug)
