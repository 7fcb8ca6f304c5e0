"""REST: what the owners of a task are told of its validators, and of a model's record."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.permissions import AllowAny
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from annotate.rest import task_or_404
from core.errors import Refused
from scoring.agreement import agreement_of, counts_by_label
from scoring.api import CountedSerializer, RateSerializer
from scoring.kept import read_votes


class AlphaSerializer(serializers.Serializer[Any]):
    """Krippendorff's alpha of the first two votes; null where all votes are alike."""

    pairs = serializers.IntegerField()
    alpha = serializers.FloatField(allow_null=True)
    interval = serializers.ListField(child=serializers.FloatField(), allow_null=True)
    prevalence = serializers.FloatField(
        allow_null=True, help_text="How common the commonest label is."
    )
    words = serializers.CharField()


class NamedAlphaSerializer(serializers.Serializer[Any]):
    name = serializers.CharField()
    agreement = AlphaSerializer()


class ValidatorSerializer(serializers.Serializer[Any]):
    name = serializers.CharField()
    votes = serializers.IntegerField()
    gold = CountedSerializer(allow_null=True, help_text="Known answers that were right.")
    borne_out = CountedSerializer(
        allow_null=True,
        help_text="Votes on settled examples with which the others agree, or the known answer.",
    )
    reliability = RateSerializer(allow_null=True)
    median_seconds = serializers.FloatField(allow_null=True)
    fast_share = serializers.FloatField()
    unsure = serializers.IntegerField()
    flags = serializers.IntegerField()
    skipped = serializers.IntegerField()
    quarantined_at = serializers.DateTimeField(allow_null=True)


class PairSerializer(serializers.Serializer[Any]):
    """Two people who confirm each other more than votes agree with authors elsewhere."""

    first = serializers.CharField(source="first.public_name")
    second = serializers.CharField(source="second.public_name")
    votes = serializers.IntegerField()
    agreement = serializers.FloatField()
    expected = serializers.FloatField()
    excess = serializers.FloatField(help_text="In standard errors.")


class TieSerializer(serializers.Serializer[Any]):
    """Somebody who confirms an author more than chance lets them."""

    validator = serializers.CharField()
    author = serializers.CharField()
    named_at = serializers.DateTimeField()
    tried = serializers.IntegerField()
    confirmed = serializers.IntegerField()
    chance = serializers.FloatField()
    odds = serializers.FloatField()


class BacklogSerializer(serializers.Serializer[Any]):
    waiting = serializers.IntegerField()
    votes_wanted = serializers.IntegerField()
    settled = serializers.IntegerField(help_text="By votes, in the last 7 days.")
    votes_each = serializers.FloatField(allow_null=True)
    days = serializers.FloatField(allow_null=True, help_text="Until it is done, at that pace.")


class AgreementSerializer(serializers.Serializer[Any]):
    overall = AlphaSerializer(source="board.overall")
    by_round = NamedAlphaSerializer(source="board.rounds", many=True)
    by_label = NamedAlphaSerializer(source="board.labels", many=True)
    votes = serializers.SerializerMethodField(
        help_text="By the author's label, and what validators said."
    )
    validators = ValidatorSerializer(  # type: ignore[assignment]
        source="validators.rows", many=True
    )
    left_out = serializers.IntegerField(
        source="validators.left_out", help_text="Validators with fewer votes."
    )
    pairs = PairSerializer(many=True)
    ties = TieSerializer(many=True)
    backlog = BacklogSerializer()

    def get_votes(self, told: dict[str, Any]) -> dict[str, dict[str, int]]:
        return counts_by_label(told["confusion"])


class AgreementDetail(APIView):
    permission_classes = [AllowAny]

    @extend_schema(
        operation_id="tasks_agreement_retrieve",
        summary="How far the validators of a task that you own agree",
        tags=["boards"],
        responses=AgreementSerializer,
    )
    def get(self, request: Request, slug: str) -> Response:
        task = task_or_404(request, slug)
        if not task.is_owned_by(request.user):
            raise Refused("not_found", "There is no such task.", status=404)
        told = agreement_of(task, read_votes(task, patient=True))
        return Response(AgreementSerializer(told).data)
