"""REST: models compared."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import extend_schema, extend_schema_field
from rest_framework import serializers
from rest_framework.permissions import AllowAny
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from annotate.rest import asked, task_or_404
from scoring.api import RateSerializer
from scoring.dynascore import WEIGHTS
from training.board import Stressed, compare


class ComparisonQuery(serializers.Serializer[Any]):
    """The set that performance is measured on, and what counts how much."""

    on = serializers.CharField(required=False, max_length=40)
    performance = serializers.IntegerField(required=False, min_value=0, max_value=100)
    throughput = serializers.IntegerField(required=False, min_value=0, max_value=100)
    memory = serializers.IntegerField(required=False, min_value=0, max_value=100)
    fairness = serializers.IntegerField(required=False, min_value=0, max_value=100)
    robustness = serializers.IntegerField(required=False, min_value=0, max_value=100)


class CellSerializer(serializers.Serializer[Any]):
    on = serializers.CharField(source="data", help_text="The set.")
    accuracy = RateSerializer(allow_null=True, help_text="null: not evaluated.")
    f1 = serializers.FloatField(allow_null=True, help_text="The mean over labels.")
    calibration_error = serializers.FloatField(allow_null=True)
    own = serializers.BooleanField(help_text="The set is of a round against this very model.")


class ChangeSerializer(serializers.Serializer[Any]):
    change = serializers.CharField()
    unchanged = serializers.IntegerField()
    of = serializers.IntegerField()


class StressSerializer(serializers.Serializer[Any]):
    """Automatic: copies that a program changed and nobody judged."""

    suite = serializers.CharField()
    about = serializers.CharField()
    unchanged = RateSerializer(help_text="Copies answered as what they copy.")
    changes = serializers.SerializerMethodField()

    @extend_schema_field(ChangeSerializer(many=True))
    def get_changes(self, found: Stressed) -> list[dict[str, Any]]:
        return [{"change": name, "unchanged": kept, "of": of} for name, kept, of in found.by_change]


class ComparedModelSerializer(serializers.Serializer[Any]):
    number = serializers.IntegerField()
    name = serializers.CharField()
    cells = CellSerializer(many=True)
    stress = StressSerializer(many=True)
    per_second = serializers.FloatField(allow_null=True)
    memory_gb = serializers.FloatField(allow_null=True)
    calibration_error = serializers.FloatField(allow_null=True, help_text="On the set `on`.")
    robustness = serializers.FloatField(allow_null=True, help_text="null: no suite measured it.")
    fairness = serializers.FloatField(allow_null=True, help_text="The same; both 0 to 1.")
    dynascore = serializers.FloatField(allow_null=True, help_text="null: `reason` says why.")
    reason = serializers.CharField()
    unbeaten = serializers.BooleanField(help_text="None is as good in everything and better once.")


class ComparisonSerializer(serializers.Serializer[Any]):
    """Scores hold for the models in `scored` together: another one can change their order."""

    on = serializers.CharField(source="data", help_text="The set.")
    sets = serializers.ListField(child=serializers.CharField())
    weights = serializers.DictField(child=serializers.FloatField())
    scored = serializers.ListField(child=serializers.CharField())
    reason = serializers.CharField()
    models = ComparedModelSerializer(many=True, source="rows")


class ModelComparison(APIView):
    permission_classes = [AllowAny]

    @extend_schema(
        summary="Registered models on frozen sets, by Dynascore",
        tags=["boards"],
        parameters=[ComparisonQuery],
        responses=ComparisonSerializer,
    )
    def get(self, request: Request, slug: str) -> Response:
        task = task_or_404(request, slug)
        query = asked(ComparisonQuery, request)
        weights = {name: query.get(name, usual) for name, usual in WEIGHTS.items()}
        found = compare(task, request.user, query.get("on", ""), weights)
        return Response(ComparisonSerializer(found).data)
