"""A worker's way, all at the address of their link: what it is, the check, the work, the end.

A look writes nothing. What a button sends carries the token that the page holds: no cookie is
needed, and none is looked at, so that these pages work in another site's frame.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import wraps
from typing import Any, Final

from django.conf import settings
from django.contrib.auth.models import AnonymousUser
from django.http import HttpRequest, HttpResponse
from django.http.request import RawPostDataException
from django.shortcuts import render
from django.urls import get_script_prefix
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_http_methods, require_POST

from annotate.views import workbench
from core import strict_json
from core.addresses import address_of
from core.errors import Refused
from core.limits import wait_for
from crowd import campaigns, earned, entering, queries, services, statements
from crowd.api import done_body
from crowd.campaign_file import VALIDATE
from crowd.erasure import forget
from crowd.models import Campaign, Visit
from crowd.own_data import lines_about
from crowd.passes import new_ticket
from crowd.platforms import Arrival, origin_of
from crowd.platforms.prolific import is_signed
from crowd.tasks import follow_assignment
from validate.acts.lease import unskip
from validate.views import judging

OVER: Final = {
    Visit.State.FINISHED: "You have finished. It is being confirmed, and counts and is paid then.",
    Visit.State.CONFIRMED: "You have finished, and it is confirmed: thank you.",
    Visit.State.SCREENED_OUT: "This was not for you: thank you for trying.",
    Visit.State.RETURNED: "You returned this. What you made is kept, and is not paid.",
    Visit.State.TIMED_OUT: "The time for this ran out. What you made is kept, and paid only if "
    "those who asked for it confirm it: tell them.",
    Visit.State.REJECTED: "This was not accepted.",
}
KEPT_OUT: Final = (
    "You are kept out of this. What you made is kept, and those who asked for it decide whether it "
    "is paid."
)
NO_MORE: Final = (
    "You have finished what there was for you. What you made is kept, and those who asked for it "
    "decide whether it is paid: give your code."
)
LATE: Final = (
    "You have done all of it, but the platform's time ran out: give your code all the same."
)
GOES_ON: Final = "You returned this, or so it seemed: what you did is kept, and goes on here."
FORGOTTEN: Final = "You are forgotten here, as you were told."
FORGOTTEN_IN_PART: Final = (
    "What was done by this link is forgotten. There is more under this name, and nobody has "
    "vouched yet that it is you: ask again by the link of a confirmed visit."
)
LONGEST_NAME: Final = 200
PAGE_404: Final = "There is no such campaign: open the link that you were given."


def _in_frames(view: Callable[..., HttpResponse]) -> Callable[..., HttpResponse]:
    """Let the campaign's platform frame a page, and its forms go there; nobody else."""

    @wraps(view)
    def framed(request: HttpRequest, slug: str) -> HttpResponse:
        request.user = AnonymousUser()  # whoever this browser is signed in as is not who works
        campaign = statements.campaign(slug)
        if campaign is None:
            return _say(request, None, PAGE_404, status=404)
        response = view(request, campaign)
        file = campaign.file
        if ancestors := campaign.platform.ancestors(file):
            response.xframe_options_exempt = True
            response._csp_replace = {"frame-ancestors": ancestors}  # type: ignore[attr-defined]
        places = {origin_of(one) for one in file.return_to}
        if places:
            response._csp_update = {"form-action": sorted(places)}  # type: ignore[attr-defined]
        response["Referrer-Policy"] = "no-referrer"  # the address is somebody's key
        return response

    return framed


@csrf_exempt
@require_http_methods(["GET", "HEAD", "POST"])
@_in_frames
def link(request: HttpRequest, campaign: Campaign) -> HttpResponse:
    query = request.GET.dict()
    try:
        held = campaigns.capability_in(campaign, query)
        arrival = campaign.platform.welcome(
            campaign.file,
            query,
            held and held.number,
            host=request.get_host(),
            options=settings.CROWD,
        )
        if held:
            arrival = replace(arrival, until=held.until)
        if request.method == "POST" and not arrival.preview:
            address = address_of(request)
            if wait_for("write", person=f"link-{arrival.realm}-{arrival.worker}", address=address):
                raise Refused("too_many_requests", "That was too fast: try again.", status=429)
            return _act(request, campaign, arrival)
        return _landing(request, campaign, arrival)
    except Refused as refused:
        return _say(request, campaign, refused.message, status=refused.status)


@csrf_exempt
@require_POST
def prolific_event(request: HttpRequest) -> HttpResponse:
    """Take a hint that a submission changed; refused unless Prolific signed it."""
    secret = settings.CROWD["prolific_secret"]
    timestamp = request.headers.get("X-Prolific-Request-Timestamp", "")
    signature = request.headers.get("X-Prolific-Request-Signature", "")
    try:
        body = request.body
    except RawPostDataException:  # it was read as a form, which an event is not
        body = b""
    if not secret or not is_signed(secret, timestamp, body, signature):
        return HttpResponse("This is not signed as an event.", status=403)
    try:
        said = strict_json.loads(body)
    except strict_json.NotJson:
        said = None
    resource = said.get("resource_id") if isinstance(said, dict) else None
    if isinstance(resource, str) and len(resource) <= LONGEST_NAME:
        follow_assignment.enqueue("prolific", resource)
    return HttpResponse("Taken.")


# --- looks ----------------------------------------------------------------------------------------
def _landing(request: HttpRequest, campaign: Campaign, arrival: Arrival) -> HttpResponse:
    """What it is, what is paid and for how long; for somebody who has begun, where they are."""
    visit = entering.visit_for(campaign, arrival)
    if visit is not None and not _may_come_again(visit):
        if visit.state != Visit.State.OPEN:
            return _over(request, visit)
        return render(request, "crowd/return.html", _about(campaign) | {"visit": visit})
    if arrival.preview:
        entering.require_open(campaign, arrival)
    else:
        try:
            if visit is None or not entering.may_go_on(visit):
                entering.require_entry(campaign, arrival)
            entering.require_room(campaign, arrival)
        except Refused as refused:
            if visit is None:
                raise
            return _over(request, visit, refused.message)  # their data is theirs still
    said = ""
    if visit is not None:
        said = GOES_ON if entering.may_go_on(visit) else OVER[Visit.State(visit.state)]
    until = entering.begins_until(campaign, arrival)
    context = _about(campaign) | {
        "preview": arrival.preview,
        "visit": visit,
        "said": said,
        "until": until and entering.in_utc(until),
    }
    return render(request, "crowd/landing.html", context)


def _may_come_again(visit: Visit) -> bool:
    """Whether a visit's link begins anew; not where all was done when a platform's time ran out."""
    if visit.state == Visit.State.TIMED_OUT:
        return not earned.is_whole(visit)
    return visit.state == Visit.State.RETURNED


def _about(campaign: Campaign) -> dict[str, Any]:
    file = campaign.file
    assert campaign.task.config is not None
    pay, plan = file.pay, file.plan()
    return {
        "campaign": campaign,
        "task": campaign.task,
        "file": file,
        "goals": [
            campaign.task.config.file.instructions.validation
            if work == VALIDATE
            else campaign.task.config.file.instructions.goal
            for work in file.work
        ],
        "minutes": round(plan.minutes),
        "pays": {
            name: file.money(pay.units(name))
            for name in ("base", "per_verified", "per_validation", "screen_out")
            if pay.units(name)
        },
        "most": file.money(plan.visit_at_most) if plan.visit_at_most else "",
    }


def _say(
    request: HttpRequest, campaign: Campaign | None, sentence: str, *, status: int = 200
) -> HttpResponse:
    context = {"campaign": campaign, "sentence": sentence}
    return render(request, "crowd/sentence.html", context, status=status)


def _over(request: HttpRequest, visit: Visit, also: str = "") -> HttpResponse:
    """The end: the code, and the way back to the platform."""
    campaign = visit.campaign
    screened_out = visit.state == Visit.State.SCREENED_OUT
    late = visit.state == Visit.State.TIMED_OUT and earned.is_whole(visit)
    back = None
    if late or screened_out or visit.state in (Visit.State.FINISHED, Visit.State.CONFIRMED):
        back = campaign.platform.way_back(
            campaign.file, request.GET.dict(), visit.code, screened_out=screened_out
        )
    sentence = LATE if late else OVER[Visit.State(visit.state)]
    if visit.state == Visit.State.FINISHED and not earned.is_whole(visit):
        kept_out = queries.is_kept_out(visit.worker, campaign.task)
        sentence = KEPT_OUT if kept_out else NO_MORE
    context = {
        "campaign": campaign,
        "visit": visit,
        "sentence": f"{sentence} {also}",
        "paid": campaign.file.money(campaign.file.pay.units("screen_out"))
        if screened_out and campaign.file.pay.units("screen_out")
        else "",
        "back": back,
        "returns": back is None
        and (screened_out or visit.state == Visit.State.RETURNED)
        and not campaign.platform.confirms_itself,
    }
    return render(request, "crowd/over.html", context)


# --- acts -----------------------------------------------------------------------------------------
def _act(request: HttpRequest, campaign: Campaign, arrival: Arrival) -> HttpResponse:
    act = request.POST.get("act", "")
    visit = entering.visit_for(campaign, arrival)
    if visit is None or (act == "begin" and _may_come_again(visit)):
        if act != "begin":
            return _landing(request, campaign, arrival)
        visit, token = entering.begin(
            campaign=campaign,
            arrival=arrival,
            consent=request.POST.get("consent", ""),
            address=address_of(request),
        )
        return _work(request, visit, token)
    if act == "data":
        return _data(visit)
    if act == "forget":
        everything = forget(visit=visit, gives_up="gives_up" in request.POST)
        return _say(request, campaign, FORGOTTEN if everything else FORGOTTEN_IN_PART)
    if visit.state != Visit.State.OPEN:
        return _over(request, visit)
    if act in ("begin", "open"):
        return _work(request, *entering.reopen(visit))
    token = request.POST.get("token", "")
    holder, newest = queries.visit_of(token)
    if holder is None or holder.pk != visit.pk or not newest:
        raise Refused(
            "opened_elsewhere",
            "This work was opened in another window or on another device since: go on there, or "
            "open your link again to go on here.",
            status=409,
        )
    services.notice(visit=visit, signals={})  # the check, and the last minute of the work
    return _WITH_TOKEN.get(act, _work)(request, visit, token)


def _check(request: HttpRequest, visit: Visit, token: str) -> HttpResponse:
    answers = {name.removeprefix("q"): str(text) for name, text in request.POST.items()}
    services.check(visit=visit, answers=answers)
    return _work(request, queries.visits().get(pk=visit.pk), token)


def _finish(request: HttpRequest, visit: Visit, token: str) -> HttpResponse:
    try:
        return _over(request, services.finish(visit=visit))
    except Refused as refused:
        return _work(request, visit, token, refused.message)


def _look_again(request: HttpRequest, visit: Visit, token: str) -> HttpResponse:
    unskip(validator=visit.worker.user, task=visit.campaign.task)
    return _work(request, visit, token)


def _leave(request: HttpRequest, visit: Visit, _token: str) -> HttpResponse:
    services.leave(visit=visit, state=Visit.State.RETURNED)
    return _over(request, queries.visits().get(pk=visit.pk))


_WITH_TOKEN: Final[dict[str, Callable[..., HttpResponse]]] = {
    "check": _check,
    "finish": _finish,
    "leave": _leave,
    "look_again": _look_again,
}


def _work(request: HttpRequest, visit: Visit, token: str, complaint: str = "") -> HttpResponse:
    """The check, or the same page as everybody's with a strip above it.

    Who is kept out meanwhile has finished: others decide what that is worth.
    """
    if visit.state == Visit.State.OPEN and queries.is_kept_out(visit.worker, visit.campaign.task):
        visit = services.finish(visit=visit)
    if visit.state != Visit.State.OPEN:
        return _over(request, visit)
    file = visit.campaign.file
    if file.check and visit.checked_at is None:
        context = {"visit": visit, "file": file, "token": token, "last": visit.attempts > 0}
        return render(request, "crowd/check.html", context)
    user, done = queries.user_of(visit), earned.progress(visit)
    request.user = user
    api = f"{get_script_prefix()}api/v1/visits/this/"
    page = judging if (done.work or file.work[-1]) == VALIDATE else workbench
    request.visit = {  # type: ignore[attr-defined]
        "token": token,
        "done": done_body(visit, done),
        "complaint": complaint,
        "data": {
            "token": token,
            "ticket": new_ticket(visit) if page is workbench else "",
            "api": api,
            "work": done.work,
        },
    }
    return page(request, visit.campaign.task)


def _data(visit: Visit) -> HttpResponse:
    response = HttpResponse("".join(lines_about(visit)), content_type="application/x-ndjson")
    response["Content-Disposition"] = 'attachment; filename="my-data.jsonl"'
    return response
