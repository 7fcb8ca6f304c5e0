"""REST: models compared, each one's report, and judges."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import extend_schema, extend_schema_field
from rest_framework import serializers, status
from rest_framework.permissions import AllowAny
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from annotate.models import Task
from annotate.rest import asked, checked, signed_in, task_or_404
from core.errors import Refused
from scoring.api import CountedSerializer, RateSerializer
from scoring.dynascore import WEIGHTS
from scoring.model_board import model_visible_to
from training import judges
from training.board import Comparison, Stressed, compare
from training.judge_board import judges_of, row_of
from training.robustness import report_of
from training.tasks import ask_for_evaluation, ask_judges, is_evaluating
from validate.models import Judge


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
    f1_interval = serializers.ListField(
        child=serializers.FloatField(), allow_null=True, help_text="Its ends, over items."
    )
    calibration_error = serializers.FloatField(allow_null=True)
    calibration_interval = serializers.ListField(
        child=serializers.FloatField(),
        allow_null=True,
        help_text="null: few items, or an earlier evaluation.",
    )
    own = serializers.BooleanField(help_text="The set is of a round against this very model.")


class ChangeSerializer(serializers.Serializer[Any]):
    change = serializers.CharField()
    unchanged = serializers.IntegerField()
    of = serializers.IntegerField()


class StressSerializer(serializers.Serializer[Any]):
    """Automatic: copies that a program changed and nobody judged."""

    suite = serializers.CharField()
    about = serializers.CharField()
    unchanged = RateSerializer(help_text="Copies answered as what they copy, mean over items.")
    changes = serializers.SerializerMethodField()

    @extend_schema_field(ChangeSerializer(many=True))
    def get_changes(self, found: Stressed) -> list[dict[str, Any]]:
        return [{"change": name, "unchanged": kept, "of": of} for name, kept, of in found.by_change]


class ComparedModelSerializer(serializers.Serializer[Any]):
    number = serializers.IntegerField()
    name = serializers.CharField()
    since = serializers.DateTimeField(help_text="When it was registered.")
    cells = CellSerializer(many=True)
    stress = StressSerializer(many=True)
    per_second = serializers.FloatField(allow_null=True)
    memory_gb = serializers.FloatField(allow_null=True)
    calibration_error = serializers.FloatField(allow_null=True, help_text="On the set `on`.")
    calibration_interval = serializers.ListField(
        child=serializers.FloatField(),
        allow_null=True,
        help_text="null: few items, or an earlier evaluation.",
    )
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
    evaluating = serializers.SerializerMethodField(help_text="A worker is at it: more will come.")
    models = ComparedModelSerializer(many=True, source="rows")

    @extend_schema_field(serializers.BooleanField)
    def get_evaluating(self, _: Comparison) -> bool:
        return bool(self.context["evaluating"])


class EvaluatingSerializer(serializers.Serializer[Any]):
    task = serializers.CharField()
    evaluating = serializers.BooleanField(help_text="false: of chats, which are not held again.")


def _owned(request: Request, slug: str) -> Task:
    task = task_or_404(request, slug)
    if not task.is_owned_by(request.user):
        raise Refused("not_found", "There is no such task.", status=404)
    return task


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
        running = {"evaluating": is_evaluating(task)}
        return Response(ComparisonSerializer(found, context=running).data)

    @extend_schema(
        summary="Let the models of a task that you own be evaluated on what is new",
        description="A worker does it; while one is at it, nothing more is begun.",
        tags=["boards"],
        request=None,
        responses={202: EvaluatingSerializer},
    )
    def post(self, request: Request, slug: str) -> Response:
        task = _owned(request, slug)
        if not task.kind.talks:
            ask_for_evaluation(task)
        found = {"task": task.slug, "evaluating": not task.kind.talks}
        return Response(EvaluatingSerializer(found).data, status=status.HTTP_202_ACCEPTED)


class SliceSerializer(serializers.Serializer[Any]):
    name = serializers.CharField()
    right = CountedSerializer()
    worse = serializers.BooleanField(help_text="The whole interval lies below what is expected.")


class SortSerializer(serializers.Serializer[Any]):
    name = serializers.CharField(help_text="label, length, source or words.")
    slices = SliceSerializer(many=True, help_text="The weakest first.")


class KeptSerializer(serializers.Serializer[Any]):
    """How often it is right on the share of the set where it is surest."""

    coverage = serializers.FloatField()
    right = CountedSerializer()


class SetsSerializer(serializers.Serializer[Any]):
    """Sets of labels (split conformal), and how often they hold the right one."""

    calibrated_on = serializers.CharField(source="of", help_text="A set, or one half of this one.")
    misses = serializers.FloatField(help_text="The share of misses that they are made for.")
    size = serializers.FloatField(help_text="Labels in one, on average.")
    size_interval = serializers.ListField(child=serializers.FloatField(), allow_null=True)
    held = CountedSerializer()
    by_label = SliceSerializer(many=True)


class SetReportSerializer(serializers.Serializer[Any]):
    on = serializers.CharField(source="data", help_text="The set.")
    own = serializers.BooleanField(help_text="The set is of a round against this very model.")
    right = CountedSerializer()
    unanswered = serializers.IntegerField()
    calibration_error = serializers.FloatField(allow_null=True)
    calibration_interval = serializers.ListField(
        child=serializers.FloatField(),
        allow_null=True,
        help_text="null: few items, or an earlier evaluation.",
    )
    sorts = SortSerializer(many=True)
    selective = KeptSerializer(many=True)
    sets = SetsSerializer(allow_null=True)


class CheckedSerializer(serializers.Serializer[Any]):
    """One of the checks of the task's file."""

    name = serializers.CharField()
    must = serializers.CharField(help_text="What it asks for.")
    passed = CountedSerializer()


class RobustnessSerializer(serializers.Serializer[Any]):
    """One model on every frozen set, and, apart, what programs changed: no human rate is in it."""

    name = serializers.CharField()
    number = serializers.IntegerField()
    sha256 = serializers.CharField()
    sets = SetReportSerializer(many=True)
    stress = StressSerializer(many=True)
    checks = CheckedSerializer(many=True)


class Robustness(APIView):
    permission_classes = [AllowAny]

    @extend_schema(
        summary="One model's report: slices, selective answering, sets of labels, stress",
        description="One that never served is its task's owners' to see.",
        tags=["models"],
        responses=RobustnessSerializer,
    )
    def get(self, request: Request, id: int) -> Response:
        model = model_visible_to(request.user, id)
        if model is None:
            raise Refused("not_found", "There is no such model.", status=404)
        return Response(RobustnessSerializer(report_of(model)).data)


class BesideSerializer(serializers.Serializer[Any]):
    name = serializers.CharField()
    items = serializers.IntegerField()
    advantage = serializers.FloatField(help_text="Where it is as near to the others, or nearer.")
    p = serializers.FloatField()
    won = serializers.BooleanField()


class JudgeTestSerializer(serializers.Serializer[Any]):
    """An alternative-annotator test: passed when it wins against half of the people."""

    passed = serializers.BooleanField()
    at = serializers.DateTimeField()
    epsilon = serializers.FloatField()
    items = serializers.IntegerField()
    winning_rate = serializers.FloatField()
    advantage = serializers.FloatField()
    right = CountedSerializer(help_text="How often it said what people settled.")
    people = BesideSerializer(many=True)
    left_out = serializers.IntegerField(help_text="People with too few items.")


class CorrectedSerializer(serializers.Serializer[Any]):
    value = serializers.FloatField()
    low = serializers.FloatField(source="interval.low")
    high = serializers.FloatField(source="interval.high")


class JudgeSerializer(serializers.Serializer[Any]):
    """A model that judges in shadow: automatic, and part of no other number."""

    model = serializers.CharField()
    number = serializers.IntegerField()
    standing = serializers.ChoiceField(Judge.Standing.choices)
    reason = serializers.CharField(help_text="Why it was demoted.")
    asked = serializers.IntegerField()
    unanswered = serializers.IntegerField()
    turned = CountedSerializer(
        allow_null=True, help_text="Answered otherwise with the labels in the other order."
    )
    ready = serializers.IntegerField(help_text="Settled by people, and used by no test.")
    since = CountedSerializer(help_text="Right on these; the interval holds at every look at once.")
    upheld = CountedSerializer(help_text="Of verified claims, those that it upholds.")
    refused = CountedSerializer(help_text="Of claims not confirmed, those that it refuses.")
    waiting = CountedSerializer(help_text="Of claims that wait, those that it upholds.")
    expected = CorrectedSerializer(
        allow_null=True, help_text="That rate, corrected for its errors; null: not told yet."
    )
    votes = serializers.IntegerField(help_text="Given since it was admitted, beside people's.")
    tests = JudgeTestSerializer(many=True, help_text="The newest first.")


class JudgesSerializer(serializers.Serializer[Any]):
    task = serializers.CharField()
    judges = JudgeSerializer(many=True)


class JudgeRequest(serializers.Serializer[Any]):
    model = serializers.CharField(max_length=100, help_text="The name of a model of the task.")
    test = serializers.BooleanField(
        required=False,
        default=False,
        help_text="Put it to the test, on what people settled and no test has used.",
    )


class Judges(APIView):
    permission_classes = [AllowAny]

    @extend_schema(
        summary="The judges of a task that you own", tags=["judges"], responses=JudgesSerializer
    )
    def get(self, request: Request, slug: str) -> Response:
        task = _owned(request, slug)
        found = {"task": task.slug, "judges": judges_of(task)}
        return Response(JudgesSerializer(found).data)

    @extend_schema(
        summary="Let a model judge in shadow, or put it to the test",
        description="A worker asks it about what validators decide; the same again asks about "
        "what came since. With `test` it is held against people, and admitted if it passes.",
        tags=["judges"],
        request=JudgeRequest,
        responses={201: JudgeSerializer},
    )
    def post(self, request: Request, slug: str) -> Response:
        task, owner = _owned(request, slug), signed_in(request)
        body = checked(JudgeRequest, request)
        judge = judges.register_judge(task=task, name=body["model"], actor=owner)
        if body["test"]:
            judge = judges.put_to_test(judge=judge, actor=owner).judge
        else:
            ask_judges(task)
        return Response(JudgeSerializer(row_of(judge)).data, status=status.HTTP_201_CREATED)
