"""REST: the boards."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.permissions import AllowAny
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from annotate.models import Round
from annotate.rest import asked, task_or_404
from core.errors import Refused
from scoring.queries import author_board, model_board, round_board


class RateSerializer(serializers.Serializer[Any]):
    """A share with the range in which the true rate lies with 95 % confidence."""

    value = serializers.FloatField(allow_null=True, help_text="0 to 1; null: nothing to share.")
    low = serializers.FloatField(source="interval.low")
    high = serializers.FloatField(source="interval.high")


class CountsSerializer(serializers.Serializer[Any]):
    submitted = serializers.IntegerField()
    fooled = serializers.IntegerField(
        help_text="Claims; the numbers below say what became of them."
    )
    pending = serializers.IntegerField()
    verified = serializers.IntegerField()
    rejected = serializers.IntegerField()
    relabelled = serializers.IntegerField()
    ambiguous = serializers.IntegerField()
    flagged = serializers.IntegerField()
    withdrawn = serializers.IntegerField()


class ScoresSerializer(serializers.Serializer[Any]):
    """The numbers of a person or a round."""

    counts = CountsSerializer()
    pending_share = serializers.FloatField(
        source="counts.pending_share", allow_null=True, help_text="pending / fooled"
    )
    mer = RateSerializer(help_text="fooled / submitted")
    vmer = RateSerializer(help_text="verified / submitted")


class AuthorSerializer(ScoresSerializer):
    rank = serializers.IntegerField(
        allow_null=True, help_text="By the lower end of vMER; null with too few submissions."
    )
    name = serializers.CharField()
    missing = serializers.IntegerField(help_text="Submissions that lack before a rank.")


class LeaderboardSerializer(serializers.Serializer[Any]):
    task = serializers.CharField()
    round = serializers.IntegerField(allow_null=True, help_text="null: all rounds together.")
    authors = AuthorSerializer(many=True)


class RoundSerializer(ScoresSerializer):
    """Its intervals resample authors, so they are wider than a share's of its examples."""

    number = serializers.IntegerField()
    status = serializers.ChoiceField(Round.Status.choices)
    models = serializers.ListField(child=serializers.CharField())
    opened_at = serializers.DateTimeField(allow_null=True)
    closed_at = serializers.DateTimeField(allow_null=True)
    authors = serializers.IntegerField()


class RoundsSerializer(serializers.Serializer[Any]):
    task = serializers.CharField()
    rounds = RoundSerializer(many=True)


class ModelSerializer(serializers.Serializer[Any]):
    number = serializers.IntegerField()
    name = serializers.CharField()
    created_at = serializers.DateTimeField()
    rounds = serializers.ListField(child=serializers.IntegerField())
    serving = serializers.BooleanField()
    metrics = serializers.DictField()
    mer = RateSerializer(
        allow_null=True, help_text="null where its rounds had other targets beside it."
    )


class ModelsSerializer(serializers.Serializer[Any]):
    task = serializers.CharField()
    models = ModelSerializer(many=True)


class RoundQuery(serializers.Serializer[Any]):
    round = serializers.IntegerField(required=False, min_value=0, max_value=2**31 - 1)


class Leaderboard(APIView):
    permission_classes = [AllowAny]

    @extend_schema(
        summary="People, by verified foolings a submission",
        tags=["boards"],
        parameters=[RoundQuery],
        responses=LeaderboardSerializer,
    )
    def get(self, request: Request, slug: str) -> Response:
        task = task_or_404(request, slug)
        number = asked(RoundQuery, request).get("round")
        round_ = task.rounds.filter(number=number).first() if number is not None else None
        if number is not None and round_ is None:
            raise Refused("not_found", f"There is no round {number}.", status=404)
        board = {"task": task.slug, "round": number, "authors": author_board(task, round_).rows}
        return Response(LeaderboardSerializer(board).data)


class Rounds(APIView):
    permission_classes = [AllowAny]

    @extend_schema(summary="Rounds, newest first", tags=["boards"], responses=RoundsSerializer)
    def get(self, request: Request, slug: str) -> Response:
        task = task_or_404(request, slug)
        board = {"task": task.slug, "rounds": round_board(task)}
        return Response(RoundsSerializer(board).data)


class Models(APIView):
    permission_classes = [AllowAny]

    @extend_schema(
        summary="The models that served, newest first", tags=["boards"], responses=ModelsSerializer
    )
    def get(self, request: Request, slug: str) -> Response:
        task = task_or_404(request, slug)
        board = {"task": task.slug, "models": model_board(task)}
        return Response(ModelsSerializer(board).data)
