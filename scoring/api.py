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

from annotate import uploads
from annotate.models import Task
from annotate.registry import ModelFile, decoded, register
from annotate.rest import asked, checked, pass_door, signed_in, task_or_404
from core import strict_yaml
from core.errors import Refused
from core.strict_yaml import NotYaml
from ml.backends import NAMES
from scoring.kept import Tallies, read_tallies
from scoring.model_board import card_of, model_visible_to, record_told
from scoring.paces import paces_of
from scoring.queries import (
    PERIODS,
    Asked,
    AuthorRow,
    board_of,
    model_board,
    opened_round,
)


class RateSerializer(serializers.Serializer[Any]):
    """A share with the range in which the true rate lies with 95 % confidence."""

    value = serializers.FloatField(allow_null=True, help_text="0 to 1; null: nothing to share.")
    low = serializers.FloatField(source="interval.low")
    high = serializers.FloatField(source="interval.high")


class CountedSerializer(RateSerializer):
    """A share, and of how many."""

    of = serializers.IntegerField()


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
    upload = serializers.UUIDField(required=False, help_text="Or what was sent in pieces.")
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


class PieceRequest(serializers.Serializer[Any]):
    """A part of a model's file, which begins at `offset`."""

    upload = serializers.UUIDField(help_text="Made up by whoever sends it.")
    offset = serializers.IntegerField(min_value=0, max_value=2**31)
    piece = serializers.CharField(help_text="In base64.")


class UploadSerializer(serializers.Serializer[Any]):
    upload = serializers.UUIDField()
    received = serializers.IntegerField(help_text="Bytes; the next piece begins there.")


class RegisteredSerializer(serializers.Serializer[Any]):
    id = serializers.IntegerField()
    model = serializers.CharField()
    number = serializers.IntegerField()
    backend = serializers.CharField()
    check = serializers.DictField(help_text="What the model showed before it was taken.")


class SortRecordSerializer(serializers.Serializer[Any]):
    """How a model did on one sort of examples, and what it most often said when it was wrong."""

    name = serializers.CharField()
    mer = CountedSerializer()
    verified = serializers.IntegerField()
    said = serializers.CharField()
    said_times = serializers.IntegerField()


class RecordSerializer(serializers.Serializer[Any]):
    """What became of a model; intervals are Wilson's."""

    submitted = serializers.IntegerField()
    answers = serializers.IntegerField(help_text="About how often it was asked for that.")
    cost = serializers.DictField(
        child=serializers.FloatField(), allow_null=True, help_text="`tokens`, and `money`."
    )
    mer = RateSerializer()
    vmer = RateSerializer()
    labels = SortRecordSerializer(many=True)
    sources = SortRecordSerializer(many=True)


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
    record = serializers.SerializerMethodField(help_text="null: its task's owners see it.")

    @extend_schema_field(RecordSerializer(allow_null=True))
    def get_record(self, card: dict[str, Any]) -> Any:
        return self.context["record"] and RecordSerializer(self.context["record"]).data


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
        round_ = opened_round(task, number) if number is not None else None
        if number is not None and round_ is None:
            raise Refused("not_found", f"There is no round {number}.", status=404)
        asked_for = Asked(query.get("days"), round_.pk if round_ else None)
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


class ModelUploads(APIView):
    permission_classes = [AllowAny]

    @extend_schema(
        summary="Send a part of a model's file",
        description="One that does not follow on what is there changes nothing. Kept for a day "
        "after its last piece; then register the model with `upload`.",
        tags=["models"],
        request=PieceRequest,
        responses=UploadSerializer,
    )
    def post(self, request: Request, slug: str) -> Response:
        task = task_or_404(request, slug)
        owner = signed_in(request)
        if owner is None:
            raise NotAuthenticated
        pass_door("upload", request, f"user-{owner.pk}")
        body = checked(PieceRequest, request)
        piece = decoded(body.pop("piece"))
        received = uploads.add(task=task, actor=owner, piece=piece, **body)
        return Response({"upload": body["upload"], "received": received})


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
        record = None
        if model.task.is_owned_by(request.user):
            record = record_told(model, read_tallies(model.task, patient=True))
        return Response(CardSerializer(card_of(model), context={"record": record}).data)
