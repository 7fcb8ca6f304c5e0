"""REST: why a model answered an example as it did."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.permissions import AllowAny
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from annotate.rest import participant_of, pass_door
from annotate.why import why


class PieceSerializer(serializers.Serializer[Any]):
    field = serializers.CharField()
    start = serializers.IntegerField(help_text="In Unicode code points, as `end`.")
    end = serializers.IntegerField()
    weight = serializers.FloatField()


class WhySerializer(serializers.Serializer[Any]):
    """Weights above 0 spoke for `label`, those below for `rather_than`."""

    label = serializers.CharField()  # type: ignore[assignment]
    rather_than = serializers.CharField(
        allow_null=True, help_text="What the model held next likeliest; null: nothing else."
    )
    method = serializers.CharField()
    off = serializers.FloatField(
        allow_null=True,
        help_text="Where weights are to add up to the difference that they explain: by what share "
        "of it they do not.",
    )
    texts = serializers.DictField(child=serializers.CharField())
    pieces = PieceSerializer(many=True, help_text="The words of the texts.")
    grid = serializers.ListField(
        child=serializers.ListField(child=serializers.FloatField()),
        help_text="The weights of what is no text, row by row; `read` is what the model read.",
    )
    read = serializers.ListField(child=serializers.ListField(child=serializers.FloatField()))


class WhyIt(APIView):
    permission_classes = [AllowAny]

    @extend_schema(
        operation_id="examples_why",
        summary="Why the model answered your example as it did",
        description="Owners of the task are told once validators have decided.",
        tags=["examples"],
        responses=WhySerializer,
    )
    def get(self, request: Request, uid: UUID) -> Response:
        participant = participant_of(request)
        # As dear as a turn of a chat.
        pass_door("sandbox-turn" if participant.sandbox else "turn", request, participant.key)
        return Response(why(participant, uid))
