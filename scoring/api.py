"""REST: the boards."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import extend_schema, extend_schema_field
from rest_framework import serializers, status
from rest_framework.exceptions import NotAuthenticated
from rest_framework.permissions import AllowAny
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from annotate.models import Round, Task
from annotate.registry import ModelFile, register
from annotate.rest import asked, checked, pass_door, signed_in, task_or_404
from core import strict_yaml
from core.errors import Refused
from core.strict_yaml import NotYaml
from ml.backends import NAMES
from scoring.kept import Tallies, read_tallies
from scoring.model_board import card_of, model_visible_to
from scoring.paces import paces_of
from scoring.queries import (
    PERIODS,
    Asked,
    AuthorRow,
    board_of,
    model_board,
    people_asked,
    round_board,
)
from scoring.round_report import RoundReport, round_report


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


class PaceSerializer(serializers.Serializer[Any]):
    tries = serializers.FloatField(allow_null=True, help_text="Submissions for each that fools.")
    probes = serializers.FloatField(allow_null=True, help_text="Answers seen for each.")
    seconds = serializers.FloatField(allow_null=True, help_text="The median of a submission.")


class AuthorSerializer(ScoresSerializer):
    rank = serializers.IntegerField(
        allow_null=True, help_text="By the lower end of vMER; null with too few submissions."
    )
    name = serializers.CharField()
    missing = serializers.IntegerField(help_text="Submissions that lack before a rank.")
    pace = serializers.SerializerMethodField(help_text="Of their newest 50 submissions.")

    @extend_schema_field(PaceSerializer(allow_null=True))
    def get_pace(self, row: AuthorRow) -> dict[str, float | None] | None:
        pace = self.context["paces"].get(row.author_id)
        return pace and pace._asdict()


class LeaderboardSerializer(serializers.Serializer[Any]):
    task = serializers.CharField()
    round = serializers.IntegerField(allow_null=True, help_text="null: all rounds together.")
    authors = AuthorSerializer(many=True)


class RoundSerializer(ScoresSerializer):
    """Its intervals resample authors, so they are wider than a share's of its examples."""

    number = serializers.IntegerField()
    status = serializers.ChoiceField(Round.Status.choices)
    models = serializers.ListField(child=serializers.CharField())
    needed = serializers.IntegerField(
        allow_null=True,
        help_text="So many of its models, all of which are asked, must be fooled; null: each "
        "context, or person, meets one of them.",
    )
    opened_at = serializers.DateTimeField(allow_null=True)
    closed_at = serializers.DateTimeField(allow_null=True)
    authors = serializers.IntegerField()


class RoundsSerializer(serializers.Serializer[Any]):
    task = serializers.CharField()
    rounds = RoundSerializer(many=True)


class DifferenceSerializer(serializers.Serializer[Any]):
    """Of two rates, this round's minus the other's."""

    value = serializers.FloatField()
    low = serializers.FloatField(source="interval.low")
    high = serializers.FloatField(source="interval.high")


class WithinSerializer(serializers.Serializer[Any]):
    """The difference among strata that both rounds have (Mantel and Haenszel)."""

    difference = DifferenceSerializer()
    strata = serializers.IntegerField()
    share_now = serializers.FloatField(help_text="Of this round's submissions, those in them.")
    share_before = serializers.FloatField()


class ComparedSerializer(serializers.Serializer[Any]):
    round = serializers.IntegerField(source="number")
    vmer = RateSerializer()
    raw = DifferenceSerializer()
    within = WithinSerializer(allow_null=True)
    strata = serializers.CharField(help_text="What `within` holds equal; empty: nothing.")
    words = serializers.CharField(help_text="What may be concluded.")


class SplitSerializer(serializers.Serializer[Any]):
    name = serializers.CharField()
    submitted = serializers.IntegerField()
    fooled = serializers.IntegerField()
    verified = serializers.IntegerField()
    pending = serializers.IntegerField()
    mer = RateSerializer()
    vmer = RateSerializer()


class UsualSerializer(serializers.Serializer[Any]):
    mean = serializers.FloatField(allow_null=True)
    median = serializers.FloatField(allow_null=True)


class CostSerializer(serializers.Serializer[Any]):
    """Tries and seconds of verified foolings; the rest of the round, for each verified fooling."""

    tries = UsualSerializer()
    seconds = UsualSerializer()
    submissions = serializers.FloatField(allow_null=True)
    author_seconds = serializers.FloatField(allow_null=True)
    votes = serializers.FloatField(allow_null=True)
    probes = serializers.FloatField(allow_null=True, help_text="Answers seen a submission.")


class RoundReportSerializer(serializers.Serializer[Any]):
    round = RoundSerializer(source="row")
    decided = serializers.IntegerField()
    verified_of_decided = RateSerializer()
    at_most = serializers.FloatField(
        allow_null=True, help_text="The verified rate if all that waits were confirmed."
    )
    intervals = serializers.SerializerMethodField(help_text="The verified rate by other methods.")
    by_label = SplitSerializer(many=True)
    by_source = SplitSerializer(many=True)
    by_tag = SplitSerializer(many=True)
    by_arm = SplitSerializer(
        many=True, help_text="Who sees the model's answers and who works without, where some do."
    )
    by_target = SplitSerializer(
        many=True, help_text="What each model met, where the round has several."
    )
    arms = DifferenceSerializer(
        allow_null=True, help_text="The verified rate of the former, less that of the latter."
    )
    cost = CostSerializer()
    compared = ComparedSerializer(many=True)
    mistakes = serializers.SerializerMethodField(
        help_text="Verified foolings by the right label, and what the model said."
    )

    def get_intervals(self, report: RoundReport) -> dict[str, list[float]]:
        return {name: list(interval) for name, interval, _ in report.others}

    def get_mistakes(self, report: RoundReport) -> dict[str, dict[str, int]]:
        return {
            row.label: {cell.said: cell.count for cell in row.cells if cell.count}
            for row in report.mistakes
        }


class ModelSerializer(serializers.Serializer[Any]):
    id = serializers.IntegerField()
    number = serializers.IntegerField()
    name = serializers.CharField()
    created_at = serializers.DateTimeField()
    rounds = serializers.ListField(child=serializers.IntegerField())
    serving = serializers.BooleanField()
    metrics = serializers.DictField()
    mer = RateSerializer(help_text="Of what it met itself, where rounds had several models.")


class ModelsSerializer(serializers.Serializer[Any]):
    task = serializers.CharField()
    models = ModelSerializer(many=True)


class ModelRequest(serializers.Serializer[Any]):
    """The model file as JSON; a file travels as `content`."""

    name = serializers.CharField(max_length=100)
    backend = serializers.ChoiceField(NAMES, allow_null=True)
    content = serializers.CharField(required=False, help_text="The model's file in base64.")
    labels = serializers.JSONField(
        required=False, help_text="The model's names to the task's, or the task's in its order."
    )
    parent = serializers.CharField(  # type: ignore[assignment]
        required=False, help_text="The name of the model that it was made from."
    )
    card = serializers.JSONField(
        required=False, help_text="`description`, `data`, `licence` and `source`, each a text."
    )
    open_round = serializers.BooleanField(
        required=False, default=False, help_text="Open the next round against it."
    )
    beside = serializers.BooleanField(
        required=False, default=False, help_text="Keep those that serve now beside it."
    )
    needed = serializers.IntegerField(
        required=False, min_value=1, max_value=99, help_text="Ask all: so many must be fooled."
    )


class RegisteredSerializer(serializers.Serializer[Any]):
    id = serializers.IntegerField()
    model = serializers.CharField()
    number = serializers.IntegerField()
    backend = serializers.CharField()
    check = serializers.DictField(help_text="What the model showed before it was taken.")


class CardSerializer(serializers.Serializer[Any]):
    """A model and what it showed before it was taken."""

    id = serializers.IntegerField()
    task = serializers.CharField()
    number = serializers.IntegerField()
    name = serializers.CharField()
    backend = serializers.CharField(help_text="Empty: known from a log only.")
    sha256 = serializers.CharField()
    created_at = serializers.DateTimeField()
    retired_at = serializers.DateTimeField(allow_null=True)
    parent = serializers.CharField(allow_null=True)  # type: ignore[assignment]
    card = serializers.DictField()
    check = serializers.DictField(
        allow_null=True, help_text="null: made here, and tested by its training."
    )
    metrics = serializers.DictField()
    rounds = serializers.ListField(child=serializers.IntegerField())


class RoundQuery(serializers.Serializer[Any]):
    round = serializers.IntegerField(required=False, min_value=0, max_value=2**31 - 1)
    days = serializers.ChoiceField(
        PERIODS, required=False, help_text="Only what was sent in these last days."
    )


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
        query = asked(RoundQuery, request)
        number = query.get("round")
        round_ = task.rounds.filter(number=number).first() if number is not None else None
        if number is not None and round_ is None:
            raise Refused("not_found", f"There is no round {number}.", status=404)
        asked_for = people_asked(task, round_, query.get("days"))
        told = read_tallies(task, patient=True).once(
            ("everybody", *asked_for), lambda tallies: _everybody(task, number, asked_for, tallies)
        )
        return Response(told)


def _everybody(task: Task, number: int | None, asked_for: Asked, tallies: Tallies) -> Any:
    """Kept, for five thousand people take a second to tell."""
    rows = board_of(task, asked_for, tallies).rows
    board = {"task": task.slug, "round": number, "authors": rows}
    paces = paces_of(task, [row.author_id for row in rows])
    return LeaderboardSerializer(board, context={"paces": paces}).data


class Rounds(APIView):
    permission_classes = [AllowAny]

    @extend_schema(summary="Rounds, newest first", tags=["boards"], responses=RoundsSerializer)
    def get(self, request: Request, slug: str) -> Response:
        task = task_or_404(request, slug)
        board = {"task": task.slug, "rounds": round_board(task, read_tallies(task, patient=True))}
        return Response(RoundsSerializer(board).data)


class RoundDetail(APIView):
    permission_classes = [AllowAny]

    @extend_schema(
        operation_id="tasks_round_retrieve",
        summary="One round: rates by label, source and tag, cost, and earlier rounds",
        tags=["boards"],
        responses=RoundReportSerializer,
    )
    def get(self, request: Request, slug: str, number: int) -> Response:
        task = task_or_404(request, slug)
        report = round_report(task, number, patient=True)
        if report is None:
            raise Refused("not_found", f"There is no round {number}.", status=404)
        return Response(RoundReportSerializer(report).data)


class Models(APIView):
    permission_classes = [AllowAny]

    @extend_schema(
        summary="The models that served, newest first", tags=["boards"], responses=ModelsSerializer
    )
    def get(self, request: Request, slug: str) -> Response:
        task = task_or_404(request, slug)
        board = {"task": task.slug, "models": model_board(task, read_tallies(task, patient=True))}
        return Response(ModelsSerializer(board).data)

    @extend_schema(
        summary="Register a model of a task that you own",
        description="It is tried first; what may not judge anybody is refused with what to do.",
        tags=["models"],
        request=ModelRequest,
        responses={201: RegisteredSerializer},
    )
    def post(self, request: Request, slug: str) -> Response:
        task = task_or_404(request, slug)
        owner = signed_in(request)
        if owner is None:
            raise NotAuthenticated
        pass_door("submit", request, f"user-{owner.pk}")
        body = checked(ModelRequest, request)
        round_ = {name: body.pop(name, None) for name in ("open_round", "beside", "needed")}
        for_backend = {k: v for k, v in dict(request.data).items() if k not in _KNOWN}
        try:
            file = strict_yaml.parse(ModelFile, {**for_backend, **body}, what="model")
        except NotYaml as error:
            raise Refused("bad_model", str(error)) from error
        done = register(task=task, file=file, actor=owner, **round_)
        return Response(done.summary(), status=status.HTTP_201_CREATED)


_KNOWN = frozenset(ModelRequest().fields) | {"path"}


class ModelDetail(APIView):
    permission_classes = [AllowAny]

    @extend_schema(
        summary="One model: its card, and the report of its check",
        description="One that never served is its task's owners' to see.",
        tags=["models"],
        responses=CardSerializer,
    )
    def get(self, request: Request, id: int) -> Response:
        model = model_visible_to(request.user, id)
        if model is None:
            raise Refused("not_found", "There is no such model.", status=404)
        return Response(CardSerializer(card_of(model)).data)
