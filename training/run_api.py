"""REST: an owner's training runs, to begin, follow, stop, and choose from."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from drf_spectacular.utils import extend_schema, extend_schema_field
from rest_framework import serializers, status
from rest_framework.permissions import AllowAny
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from annotate.models import Task
from annotate.rest import checked, pass_door, signed_in, task_or_404
from core.errors import Refused
from training import services
from training.models import TrainingRun
from training.queries import left_out_of, settings_of, waiting_foolings
from training.run_board import trials_of
from training.trials import choose_trial

SHOWN = 50


class GainSerializer(serializers.Serializer[Any]):
    """How often both models are right on one set, and the ends of the 95 % range of the gain."""

    items = serializers.IntegerField()
    before = serializers.FloatField(allow_null=True)
    now = serializers.FloatField(allow_null=True)
    gain = serializers.FloatField(allow_null=True)
    low = serializers.FloatField(allow_null=True)
    high = serializers.FloatField(allow_null=True)


class GateSerializer(serializers.Serializer[Any]):
    name = serializers.CharField()
    passed = serializers.BooleanField()
    sentence = serializers.CharField()
    value = serializers.FloatField(allow_null=True)
    threshold = serializers.FloatField(allow_null=True)
    bound = serializers.FloatField(allow_null=True)
    n = serializers.IntegerField()


class TrialSerializer(serializers.Serializer[Any]):
    """One recipe with one seed."""

    number = serializers.IntegerField()
    recipe = serializers.CharField()
    seed = serializers.IntegerField()
    clean = GainSerializer()
    new_round = GainSerializer()
    gates = GateSerializer(many=True)
    is_candidate = serializers.BooleanField()


class RunSerializer(serializers.Serializer[Any]):
    run = serializers.UUIDField(source="uid")
    status = serializers.ChoiceField(TrainingRun.Status.choices)
    origin = serializers.ChoiceField(TrainingRun.Origin.choices)
    round = serializers.IntegerField(source="round.number")
    trained_from = serializers.CharField(source="parent.name")
    candidate = serializers.CharField(source="candidate.name", allow_null=True, default=None)
    progress = serializers.FloatField(help_text="0 to 1.")
    stage = serializers.CharField(help_text="In words, with the time left.")
    reason = serializers.CharField(help_text="Why it was not promoted, or what went wrong.")
    created_at = serializers.DateTimeField()
    started_at = serializers.DateTimeField(allow_null=True)
    finished_at = serializers.DateTimeField(allow_null=True)


class RunDetailSerializer(RunSerializer):
    snapshot = serializers.CharField(source="snapshot.sha256", allow_null=True, default=None)
    gates = GateSerializer(many=True)
    trials = serializers.SerializerMethodField()
    left_out = serializers.SerializerMethodField(help_text="How many for which reason.")

    @extend_schema_field(TrialSerializer(many=True))
    def get_trials(self, run: TrainingRun) -> list[dict[str, Any]]:
        return list(TrialSerializer(trials_of(run), many=True).data)

    def get_left_out(self, run: TrainingRun) -> dict[str, int]:
        found = left_out_of(run.candidate) if run.candidate else {}
        return {reason: len(names) for reason, names in found.items()}


class RunsSerializer(serializers.Serializer[Any]):
    task = serializers.CharField()
    waiting = serializers.IntegerField(help_text="Verified foolings that no run has used.")
    trigger = serializers.IntegerField(
        allow_null=True, help_text="With so many a run starts by itself; null: none does."
    )
    runs = RunSerializer(many=True, help_text="The newest fifty, newest first.")


class ChoiceRequest(serializers.Serializer[Any]):
    recipe = serializers.IntegerField(min_value=0, max_value=999, help_text="A trial's number.")


def _owned(request: Request, slug: str) -> Task:
    task = task_or_404(request, slug)
    if not task.is_owned_by(request.user):
        raise Refused("not_found", "There is no such task.", status=404)
    return task


def _run(task: Task, uid: UUID) -> TrainingRun:
    related = ("round", "parent", "candidate", "snapshot")
    run = TrainingRun.objects.select_related(*related).filter(task=task, uid=uid).first()
    if run is None:
        raise Refused("not_found", "There is no such run.", status=404)
    return run


class Runs(APIView):
    permission_classes = [AllowAny]

    @extend_schema(
        summary="Training runs of a task that you own, and how far its trigger is",
        tags=["training"],
        responses=RunsSerializer,
    )
    def get(self, request: Request, slug: str) -> Response:
        task = _owned(request, slug)
        runs = TrainingRun.objects.filter(task=task).select_related("round", "parent", "candidate")
        found = {
            "task": task.slug,
            "waiting": waiting_foolings(task.pk).count(),
            "trigger": settings_of(task).trigger,
            "runs": runs.defer("trials", "metrics", "gates", "config").order_by("-id")[:SHOWN],
        }
        return Response(RunsSerializer(found).data)

    @extend_schema(
        summary="Retrain now",
        description="A worker carries it out: follow it by its own address.",
        tags=["training"],
        request=None,
        responses={202: RunDetailSerializer},
    )
    def post(self, request: Request, slug: str) -> Response:
        task, owner = _owned(request, slug), signed_in(request)
        assert owner is not None
        pass_door("write", request, str(owner.pk))
        run = services.request_run(actor=owner, task=task)
        return Response(RunDetailSerializer(run).data, status=status.HTTP_202_ACCEPTED)


class RunDetail(APIView):
    permission_classes = [AllowAny]

    @extend_schema(
        operation_id="tasks_run_retrieve",
        summary="One training run: how far it is, or what it came to",
        tags=["training"],
        responses=RunDetailSerializer,
    )
    def get(self, request: Request, slug: str, uid: UUID) -> Response:
        return Response(RunDetailSerializer(_run(_owned(request, slug), uid)).data)


class StopRun(APIView):
    permission_classes = [AllowAny]

    @extend_schema(
        summary="Stop a run that is active",
        description="Nothing of it counts, and it has used no foolings.",
        tags=["training"],
        request=None,
        responses=RunDetailSerializer,
    )
    def post(self, request: Request, slug: str, uid: UUID) -> Response:
        task, owner = _owned(request, slug), signed_in(request)
        services.stop(task=task, actor=owner, run_id=_run(task, uid).pk)
        return Response(RunDetailSerializer(_run(task, uid)).data)


class ChooseTrial(APIView):
    permission_classes = [AllowAny]

    @extend_schema(
        summary="Make a recipe that passed but gained less a candidate",
        description="Of the newest run, until the next one ends. It serves nobody before you open "
        "a round with it.",
        tags=["training"],
        request=ChoiceRequest,
        responses={201: RunDetailSerializer},
    )
    def post(self, request: Request, slug: str, uid: UUID) -> Response:
        task, owner = _owned(request, slug), signed_in(request)
        assert owner is not None
        number = checked(ChoiceRequest, request)["recipe"]
        run = choose_trial(task=task, actor=owner, run_id=_run(task, uid).pk, number=number)
        return Response(RunDetailSerializer(run).data, status=status.HTTP_201_CREATED)
