"""REST: rounds, what they say, and when they take what."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import extend_schema
from rest_framework import serializers, status
from rest_framework.exceptions import NotAuthenticated
from rest_framework.permissions import AllowAny
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from accounts.models import User
from annotate.models import Round, Task
from annotate.rest import checked, pass_door, signed_in, task_or_404
from annotate.rounds import change_target, standing_rules
from annotate.schedule import change_round, read_rules
from annotate.sections import Rounds as Rules
from core.errors import Refused
from scoring.agreement import counts_by_label
from scoring.api import RateSerializer, ScoresSerializer
from scoring.kept import read_tallies
from scoring.queries import round_board
from scoring.round_report import RoundReport, round_report


class RulesSerializer(serializers.Serializer[Any]):
    """As `rounds` of a task file; null where nothing is set."""

    opens_at = serializers.DateTimeField(required=False, allow_null=True)
    closes_at = serializers.DateTimeField(required=False, allow_null=True)
    submissions = serializers.IntegerField(required=False, allow_null=True, min_value=1)
    verified = serializers.IntegerField(required=False, allow_null=True, min_value=1)
    submissions_each = serializers.IntegerField(required=False, allow_null=True, min_value=1)
    verified_each = serializers.IntegerField(required=False, allow_null=True, min_value=1)
    retraction = serializers.ChoiceField(["always", "while_open", "never"], required=False)


class ChangedRoundRequest(RulesSerializer):
    reason = serializers.CharField(max_length=1_000)


class NextRoundRequest(ChangedRoundRequest):
    model = serializers.CharField(max_length=100, help_text="The name of the model it is against.")
    beside = serializers.BooleanField(
        required=False, default=False, help_text="Keep those that serve now beside it."
    )
    needed = serializers.IntegerField(
        required=False, min_value=1, max_value=99, help_text="Ask all: so many must be fooled."
    )


class PlannedSerializer(serializers.Serializer[Any]):
    round = serializers.IntegerField()
    status = serializers.ChoiceField([*Round.Status.choices, ("cancelled", "cancelled")])
    models = serializers.ListField(child=serializers.CharField())
    rules = RulesSerializer()


class RoundSerializer(ScoresSerializer):
    """Its intervals know that people differ, so they are wider than a share's of its examples."""

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
    rules = RulesSerializer(help_text="When it takes what, and how much.")


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
    tries = serializers.FloatField(
        allow_null=True, help_text="The median of its verified foolings; of label, source and tag."
    )
    seconds = serializers.FloatField(allow_null=True, help_text="The same.")
    submissions_each = serializers.FloatField(
        allow_null=True, help_text="For each verified fooling; of label, source and tag."
    )
    votes_each = serializers.FloatField(allow_null=True, help_text="The same, of what is settled.")


class LeftOutSerializer(serializers.Serializer[Any]):
    """Parts of fewer submissions than those that are told."""

    by_source = serializers.IntegerField()
    by_tag = serializers.IntegerField()


class UsualSerializer(serializers.Serializer[Any]):
    mean = serializers.FloatField(allow_null=True)
    median = serializers.FloatField(allow_null=True)


class TalkCostSerializer(serializers.Serializer[Any]):
    """Turns and tokens of chats that became verified foolings; what all of the round's chats cost,
    for each of these."""

    turns = UsualSerializer()
    tokens = UsualSerializer()
    tokens_each = serializers.FloatField(allow_null=True)
    money_each = serializers.FloatField(allow_null=True, help_text="At the models' prices.")


class CostSerializer(serializers.Serializer[Any]):
    """Tries and seconds of verified foolings; the rest of the round, for each verified fooling."""

    tries = UsualSerializer()
    seconds = UsualSerializer()
    submissions = serializers.FloatField(allow_null=True)
    author_seconds = serializers.FloatField(allow_null=True)
    votes = serializers.FloatField(allow_null=True)
    probes = serializers.FloatField(allow_null=True, help_text="Answers seen a submission.")
    timed = serializers.IntegerField(
        help_text="Submissions whose time is known; the others are taken to be like them."
    )
    talk = TalkCostSerializer(allow_null=True, help_text="Null but for tasks of chats.")


class BinSerializer(serializers.Serializer[Any]):
    """Submissions of which the model was about equally sure."""

    sure = serializers.FloatField(help_text="The mean of its highest probability.")
    items = serializers.IntegerField()
    right = serializers.IntegerField(help_text="Of these, read as their authors did.")


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
    left_out = LeftOutSerializer()
    by_arm = SplitSerializer(
        many=True, help_text="Who sees the model's answers and who works without, where some do."
    )
    by_target = SplitSerializer(
        many=True, help_text="What each model met, where the round has several."
    )
    arms = DifferenceSerializer(
        allow_null=True, help_text="The verified rate of the former, less that of the latter."
    )
    by_hint = SplitSerializer(
        many=True, help_text="Who saw hints where the model errs and who did not, where some did."
    )
    hints = DifferenceSerializer(
        allow_null=True, help_text="The verified rate of the former, less that of the latter."
    )
    cost = CostSerializer()
    compared = ComparedSerializer(many=True)
    mistakes = serializers.SerializerMethodField(
        help_text="Verified foolings by the right label, and what the model said."
    )

    funnel = serializers.SerializerMethodField(
        help_text="From visits and answers seen to verified foolings."
    )
    surety = BinSerializer(source="bins", many=True)

    def get_funnel(self, report: RoundReport) -> dict[str, int]:
        return dict(report.funnel)

    def get_intervals(self, report: RoundReport) -> dict[str, list[float]]:
        return {name: list(interval) for name, interval, _ in report.others}

    def get_mistakes(self, report: RoundReport) -> dict[str, dict[str, int]]:
        return counts_by_label(report.mistakes)


class Rounds(APIView):
    permission_classes = [AllowAny]

    @extend_schema(summary="Rounds, newest first", tags=["boards"], responses=RoundsSerializer)
    def get(self, request: Request, slug: str) -> Response:
        task = task_or_404(request, slug)
        board = {"task": task.slug, "rounds": round_board(task, read_tallies(task, patient=True))}
        return Response(RoundsSerializer(board).data)

    @extend_schema(
        summary="Open the next round of a task that you own, or schedule it",
        description=(
            "Rules that it leaves out are as the task's file says. With `opens_at` to come it is a "
            "draft until then, in the place of the one there was."
        ),
        tags=["boards"],
        request=NextRoundRequest,
        responses={201: PlannedSerializer},
    )
    def post(self, request: Request, slug: str) -> Response:
        task, owner = _owned(request, slug)
        body = checked(NextRoundRequest, request)
        model = task.models.filter(name=body["model"]).first()
        if model is None:
            raise Refused("bad_targets", f"{task.slug} has no model {body['model']}.")
        rules = standing_rules(task).model_dump() | _rules_in(body)
        opened = change_target(
            actor=owner,
            task=task,
            model=model,
            reason=body["reason"],
            beside=body["beside"],
            needed=body.get("needed"),
            rules=read_rules(rules) if _rules_in(body) else None,
        )
        return Response(planned(opened), status=status.HTTP_201_CREATED)


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

    @extend_schema(
        operation_id="tasks_round_change",
        summary="Give an open or a scheduled round of your task other times and quotas",
        description=(
            "null takes one away; without `opens_at` a scheduled round is taken off the calendar. "
            "A round whose `closes_at` has come is closed."
        ),
        tags=["boards"],
        request=ChangedRoundRequest,
        responses=PlannedSerializer,
    )
    def patch(self, request: Request, slug: str, number: int) -> Response:
        task, owner = _owned(request, slug)
        body = checked(ChangedRoundRequest, request)
        changed = change_round(
            actor=owner, task=task, number=number, changes=_rules_in(body), reason=body["reason"]
        )
        return Response(planned(changed))


def _owned(request: Request, slug: str) -> tuple[Task, User]:
    """The task and who calls: the acts say whether it is theirs."""
    task = task_or_404(request, slug)
    owner = signed_in(request)
    if owner is None:
        raise NotAuthenticated
    pass_door("submit", request, f"user-{owner.pk}")
    return task, owner


def _rules_in(body: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in body.items() if name in Rules.model_fields}


def planned(round_: Round) -> Any:
    """A round's place on the calendar."""
    told = {
        "round": round_.number,
        "status": round_.status if round_.pk else "cancelled",
        "models": [one.name for one in round_.targets.order_by("number")] if round_.pk else [],
        "rules": round_.limits,
    }
    return PlannedSerializer(told).data
