"""REST: chats with a model, turn by turn."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from drf_spectacular.utils import extend_schema
from rest_framework import serializers, status
from rest_framework.permissions import AllowAny
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from annotate import chats
from annotate.models import Chat
from annotate.rest import checked, participant_of, pass_door, task_or_404


class OpenedSerializer(serializers.Serializer[Any]):
    chat = serializers.UUIDField()


class Chats(APIView):
    permission_classes = [AllowAny]

    @extend_schema(
        summary="Open a chat",
        description="With the round's model; one that you opened and said nothing in comes again.",
        tags=["chats"],
        request=None,
        responses={201: OpenedSerializer},
    )
    def post(self, request: Request, slug: str) -> Response:
        task = task_or_404(request, slug)
        participant = participant_of(request)
        pass_door("write", request, participant.key)
        chat = chats.open_chat(participant=participant, task=task)
        return Response({"chat": str(chat.uid)}, status=status.HTTP_201_CREATED)


class PastTurnSerializer(serializers.Serializer[Any]):
    turn = serializers.IntegerField(source="number")
    said = serializers.CharField(source="content", help_text="What you said.")
    content = serializers.CharField(
        source="answer", allow_null=True, help_text="What the model said; null while it has not."
    )
    tokens = serializers.IntegerField(allow_null=True)
    finish_reason = serializers.CharField(allow_blank=True)


class ChatSerializer(serializers.Serializer[Any]):
    chat = serializers.UUIDField()
    task = serializers.CharField()
    round = serializers.IntegerField()
    model = serializers.CharField()
    turns = PastTurnSerializer(many=True)
    turns_left = serializers.IntegerField()
    outcome = serializers.CharField(allow_null=True, help_text="By the task's rule, if it has one.")
    open = serializers.BooleanField(help_text="Whether it may go on.")
    submittable = serializers.BooleanField(
        help_text="Whether it may be submitted: for an hour after its round, too, if that has room."
    )


def _body(chat: Chat) -> dict[str, Any]:
    turns, file = chats.turns_of(chat), chats.file_of(chat)
    return {
        "chat": chat.uid,
        "task": chat.round.task.slug,
        "round": chat.round.number,
        "model": chat.model.name,
        "turns": turns,
        "turns_left": max(file.chat.turns - len(turns), 0),
        "outcome": chats.outcome_of(file, [turn.answer for turn in turns]),
        "open": chats.is_open(chat),
        "submittable": chats.is_submittable(chat),
    }


class ChatDetail(APIView):
    permission_classes = [AllowAny]

    @extend_schema(summary="A chat of yours", tags=["chats"], responses=ChatSerializer)
    def get(self, request: Request, chat: UUID) -> Response:
        own = chats.own_chat(participant_of(request), chat)
        return Response(ChatSerializer(_body(own)).data)


class TurnRequest(serializers.Serializer[Any]):
    content = serializers.CharField(trim_whitespace=False, help_text="What you say.")
    turn = serializers.IntegerField(
        required=False,
        min_value=1,
        max_value=2**31 - 1,
        help_text="Its number, from 1; the same again is the same turn. Without it: the next.",
    )


class TurnSerializer(serializers.Serializer[Any]):
    turn = serializers.IntegerField()
    content = serializers.CharField(help_text="What the model says.")
    tokens = serializers.IntegerField(allow_null=True, help_text="Asked and said, if it is told.")
    finish_reason = serializers.CharField(allow_null=True, help_text="`stop`, `length` and others.")
    turns_left = serializers.IntegerField()
    outcome = serializers.CharField(allow_null=True, help_text="By the task's rule, if it has one.")


class Turns(APIView):
    permission_classes = [AllowAny]

    @extend_schema(
        summary="Say something in a chat of yours",
        description=(
            "Answers when the model has. 503 `model_unavailable`: it is kept, send it again under "
            "the same `turn`; 409 `turn_under_way`: it is being asked already."
        ),
        tags=["chats"],
        request=TurnRequest,
        responses=TurnSerializer,
    )
    def post(self, request: Request, chat: UUID) -> Response:
        participant = participant_of(request)
        pass_door("sandbox-turn" if participant.sandbox else "turn", request, participant.key)
        body = checked(TurnRequest, request)
        begun = chats.begin_turn(
            participant=participant, uid=chat, content=body["content"], number=body.get("turn")
        )
        turn = chats.ask(begun) if isinstance(begun, chats.Asked) else begun
        return Response(chats.answer_body(turn))
