"""REST for the page of a visit: how far it is, and a ticket for its socket."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from annotate.rest import checked, pass_door
from crowd import earned, services
from crowd.models import Visit
from crowd.passes import VisitAuthentication, new_ticket


class NoticeRequest(serializers.Serializer[Any]):
    paste = serializers.IntegerField(
        min_value=0, max_value=10_000, default=0, help_text="Pastes since the call before."
    )
    away = serializers.IntegerField(
        min_value=0, max_value=10_000, default=0, help_text="Times that the page was left."
    )
    burst = serializers.IntegerField(
        min_value=0, max_value=10_000, default=0, help_text="Times of ten keys within .4 seconds."
    )


class DoneSerializer(serializers.Serializer[Any]):
    left = serializers.CharField(help_text="How much is left, in words.")
    earned = serializers.CharField(help_text="What is earned so far, in words.")
    work = serializers.CharField(help_text="annotate, validate, or empty: all is done.")
    may_finish = serializers.BooleanField()


class TicketSerializer(serializers.Serializer[Any]):
    ticket = serializers.CharField(help_text="For `?ticket=` of one socket, within a minute.")


def done_body(visit: Visit, done: earned.Done) -> dict[str, Any]:
    """How far a visit is, as its strip says it."""
    file = visit.campaign.file
    parts = []
    if done.sure or done.bonus:
        when = "" if visit.campaign.platform.confirms_itself else " once the platform confirms it"
        parts.append(f"{file.money(done.sure)} for the visit{when}")
    if done.bonus:
        parts.append(f"{file.money(done.bonus)} for what was confirmed")
    if done.waiting and file.pay.units("per_verified"):
        more = done.waiting * file.pay.units("per_verified")
        parts.append(f"up to {file.money(more)} when others confirm {done.waiting}")
    return {
        "left": done.left,
        "earned": ", ".join(parts),
        "work": done.work,
        "may_finish": done.may_finish,
    }


class OfVisit(APIView):
    authentication_classes = [VisitAuthentication]

    def visit(self, request: Request) -> Visit:
        assert isinstance(request.auth, Visit)
        return request.auth


class Notice(OfVisit):
    @extend_schema(
        summary="Say that somebody is at work, and how far they are",
        tags=["visits"],
        request=NoticeRequest,
        responses=DoneSerializer,
    )
    def post(self, request: Request) -> Response:
        visit = self.visit(request)
        pass_door("write", request, f"visit-{visit.pk}")
        signals = checked(NoticeRequest, request)
        services.notice(
            visit=visit, signals={name: count for name, count in signals.items() if count}
        )
        return Response(done_body(visit, earned.progress(visit)))


class Ticket(OfVisit):
    @extend_schema(
        summary="Get a ticket for a socket", tags=["visits"], request=None,
        responses=TicketSerializer,
    )  # fmt: skip
    def post(self, request: Request) -> Response:
        visit = self.visit(request)
        pass_door("next", request, f"visit-{visit.pk}")
        return Response({"ticket": new_ticket(visit)})
