"""REST: one example at a time for a validator, blind, under a lease."""

from __future__ import annotations

from typing import Any, cast
from uuid import UUID

from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import (
    OpenApiParameter,
    OpenApiResponse,
    extend_schema,
    extend_schema_field,
)
from rest_framework import serializers, status
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from accounts.caller import person
from annotate.api import LabelSerializer
from annotate.queries import participant_key
from annotate.rest import asked, checked, pass_door, shared, task_or_404
from validate.acts import lease as leases
from validate.acts.adjudicate import MAX_REASON
from validate.acts.undo import undo
from validate.acts.vote import vote_and_go_on
from validate.models import Lease
from validate.people.standing import feedback_on, gold_score
from validate.policies import FLAG_REASONS, UNSURE
from validate.queries import progress_of
from validate.statements import MANY

SET_ASIDE = "X-Set-Aside-By"
TICK = 0.05  # seconds: more than nearly every act takes


class ProgressSerializer(serializers.Serializer[Any]):
    votes = serializers.IntegerField(help_text="Your answers in this task.")
    today = serializers.IntegerField(help_text="Of these, since midnight UTC.")
    waiting = serializers.ChoiceField(
        ["none", "few", "many"],
        help_text=f"How much you could be asked about, what you hold included; many: from {MANY}.",
    )
    skipped = serializers.IntegerField(help_text="Items that you skipped.")


class ItemSerializer(serializers.Serializer[Lease]):
    """What a validator may know: neither the author's label, nor the model's answer, nor votes."""

    lease = serializers.UUIDField(source="id")
    example = serializers.UUIDField(source="example.uid")
    input = serializers.SerializerMethodField()
    context = serializers.SerializerMethodField()  # type: ignore[assignment]
    choices = serializers.SerializerMethodField()
    expires_at = serializers.DateTimeField()

    @extend_schema_field(OpenApiTypes.ANY)
    def get_input(self, lease: Lease) -> Any:
        """What was submitted, without what would tell the author's answer."""
        return lease.example.config.file.kind.seen(lease.example.input)

    @extend_schema_field(LabelSerializer(many=True))
    def get_choices(self, lease: Lease) -> list[dict[str, Any]]:
        """What may be answered: a label is a dict already, and needs no serializer of its own."""
        return [label.model_dump() for label in lease.example.config.file.keyed_labels]

    def get_context(self, lease: Lease) -> dict[str, str] | None:
        """What it is about: its text as `context`, and its `title` where it has one."""
        example = lease.example
        return example.config.file.kind.told(
            example.input, example.context.data if example.context else None
        )


class NextSerializer(ItemSerializer):
    progress = ProgressSerializer()


class ScoreSerializer(serializers.Serializer[Any]):
    answers = serializers.IntegerField(help_text="Over how many of your first answers it goes.")
    seen = serializers.IntegerField(help_text="Known answers that were hidden among them.")
    right = serializers.IntegerField(help_text="Of these, what you answered as expected.")


class OwnProgressSerializer(ProgressSerializer):
    score = ScoreSerializer(
        allow_null=True, help_text="How you did on known answers; null while these are too few."
    )


class QualificationSerializer(serializers.Serializer[Any]):
    seen = serializers.IntegerField(help_text="Known answers that you have given an answer to.")
    right = serializers.IntegerField(help_text="Of these, as expected.")
    items = serializers.IntegerField(help_text="How many there are in all.")
    needed = serializers.IntegerField(help_text="How many it takes to be let in.")
    passed = serializers.BooleanField()


class FeedbackSerializer(serializers.Serializer[Any]):
    right = serializers.BooleanField(help_text="Whether your answer was the known one.")
    answer = serializers.JSONField(help_text="The known answer.")
    qualification = QualificationSerializer()


class VotedSerializer(serializers.Serializer[Any]):
    next = ItemSerializer(allow_null=True)
    progress = ProgressSerializer()
    feedback = FeedbackSerializer(
        required=False, help_text="Only while you qualify, where the task gives it."
    )


class ExtendedSerializer(serializers.Serializer[Any]):
    expires_at = serializers.DateTimeField()


class NextQuery(serializers.Serializer[Any]):
    after = serializers.UUIDField(
        required=False, help_text="A lease you hold: give me the item that follows it."
    )


class UndoQuery(serializers.Serializer[Any]):
    answer = serializers.UUIDField(
        required=False, help_text="The lease under which you gave it: asking twice takes one back."
    )


class VoteRequest(serializers.Serializer[Any]):
    label = serializers.JSONField(required=False, allow_null=True, help_text="Your own answer.")  # type: ignore[assignment]
    flag = serializers.ChoiceField(
        [UNSURE, *FLAG_REASONS],
        required=False,
        allow_blank=True,
        help_text=f"Instead of a label: {UNSURE} when you cannot tell, or what is wrong with it.",
    )
    reason = serializers.CharField(required=False, allow_blank=True, max_length=MAX_REASON)


class ReleaseRequest(serializers.Serializer[Any]):
    skip = serializers.BooleanField(default=False, help_text="Do not ask me about this one again.")


class Judging(APIView):
    # An act on an item: what it takes differs a little with what the item is, gold or not.

    def finalize_response(self, *args: Any, **kwargs: Any) -> Response:
        response: Any = super().finalize_response(*args, **kwargs)
        response.sent_at_ticks_of = TICK
        return cast(Response, response)


def _item(lease: Lease) -> dict[str, Any]:
    return dict(shared(ItemSerializer).to_representation(lease))


class NextItem(Judging):
    @extend_schema(
        summary="Lease the next example",
        description=(
            "The one you hold, if you hold one; with `after` the one that follows it, so that it "
            "is ready in time: nobody holds more than two. 204: nothing waits for you. Answer "
            "before `expires_at`, or ask for more time with a heartbeat. Where your preferences "
            "(on your account's page) set the task aside, nothing ever waits: the 204 then has the "
            f"header `{SET_ASIDE}` with `language`, when it is in none of the languages you read, "
            "or `content_warning`, when it has one and you take no such tasks."
        ),
        tags=["validation"],
        parameters=[
            NextQuery,
            OpenApiParameter(
                SET_ASIDE,
                str,
                OpenApiParameter.HEADER,
                response=[204],
                enum=["language", "content_warning"],
                description="The preference of yours that keeps this task from you.",
            ),
        ],
        request=None,
        responses={200: NextSerializer, 204: OpenApiResponse(description="Nothing waits.")},
    )
    def post(self, request: Request, slug: str) -> Response:
        task, validator = task_or_404(request, slug), person(request)
        pass_door("next", request, participant_key(validator, None))
        query = asked(NextQuery, request)
        lease = leases.next_item(validator=validator, task=task, after=query.get("after"))
        if lease is None:
            reason = task.set_aside_for(validator)
            headers = {SET_ASIDE: reason} if reason else None
            return Response(status=status.HTTP_204_NO_CONTENT, headers=headers)
        return Response({**_item(lease), "progress": progress_of(validator, task)})


class Undo(Judging):
    @extend_schema(
        summary="Take your last answer back",
        description="While its example is undecided; you hold a lease on it again.",
        tags=["validation"],
        parameters=[UndoQuery],
        request=None,
        responses=NextSerializer,
    )
    def post(self, request: Request, slug: str) -> Response:
        task, validator = task_or_404(request, slug), person(request)
        query = asked(UndoQuery, request)
        pass_door("write", request, participant_key(validator, None))
        lease = undo(validator=validator, task=task, answer=query.get("answer"))
        return Response({**_item(lease), "progress": progress_of(validator, task)})


class Progress(APIView):
    @extend_schema(
        summary="How far you are",
        description=(
            "`score` is brought up to date after every 25 answers and leaves out the last five, "
            "so that nobody learns which items had a known answer."
        ),
        tags=["validation"],
        responses=OwnProgressSerializer,
    )
    def get(self, request: Request, slug: str) -> Response:
        task, validator = task_or_404(request, slug), person(request)
        score = gold_score(validator, task)
        return Response({**progress_of(validator, task), "score": score})


class CastVote(Judging):
    @extend_schema(
        summary="Answer the example you hold",
        description=(
            "With a label, or with a flag and a reason. The answer brings the next example; with "
            "`after` the one that follows it. The same answer under the same lease again is "
            "accepted and counts once."
        ),
        tags=["validation"],
        parameters=[NextQuery],
        request=VoteRequest,
        responses=VotedSerializer,
    )
    def post(self, request: Request, lease: UUID) -> Response:
        validator = person(request)
        query = asked(NextQuery, request)
        pass_door("vote", request, participant_key(validator, None))
        answered = vote_and_go_on(
            validator=validator,
            lease_id=lease,
            after=query.get("after"),
            **checked(VoteRequest, request),
        )
        body: dict[str, Any] = {}
        if feedback := feedback_on(answered.vote):
            body["feedback"] = feedback
        body["next"] = _item(answered.following) if answered.following else None
        return Response({**body, "progress": answered.progress})


class Heartbeat(Judging):
    @extend_schema(
        summary="Keep an item for longer",
        description="As long as the task's limit allows. 409: your time was already over.",
        tags=["validation"],
        request=None,
        responses=ExtendedSerializer,
    )
    def post(self, request: Request, lease: UUID) -> Response:
        validator = person(request)
        pass_door("write", request, participant_key(validator, None))
        kept = leases.extend(validator=validator, lease_id=lease)
        return Response(ExtendedSerializer(kept).data)


class Release(Judging):
    @extend_schema(
        summary="Give a lease back",
        tags=["validation"],
        request=ReleaseRequest,
        responses={204: OpenApiResponse(description="Given back.")},
    )
    def post(self, request: Request, lease: UUID) -> Response:
        validator = person(request)
        pass_door("write", request, participant_key(validator, None))
        body = checked(ReleaseRequest, request)
        leases.release(validator=validator, lease_id=lease, skip=body["skip"])
        return Response(status=status.HTTP_204_NO_CONTENT)
