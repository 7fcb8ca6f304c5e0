"""Talks with a model, turn by turn."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, ClassVar

from django.db import models
from django.db.models import Q
from django.utils import timezone

from accounts.models import User, WorkSession
from annotate.models.examples import Example
from annotate.models.rounds import ModelVersion, Round

if TYPE_CHECKING:
    from django.db.models.fields.related_descriptors import RelatedManager


class Chat(models.Model):
    """A talk of one person with one model of a round; once it is an example it goes no further."""

    uid = models.UUIDField(unique=True, default=uuid.uuid4, editable=False)
    round = models.ForeignKey(Round, on_delete=models.PROTECT, related_name="chats")
    model = models.ForeignKey(ModelVersion, on_delete=models.PROTECT, related_name="+")
    author = models.ForeignKey(User, null=True, on_delete=models.CASCADE, related_name="chats")
    session = models.ForeignKey(
        WorkSession,
        null=True,
        on_delete=models.CASCADE,
        related_name="+",
        help_text="A guest's; null beside an author.",
    )
    example = models.OneToOneField(
        Example, null=True, on_delete=models.PROTECT, related_name="chat"
    )
    created_at = models.DateTimeField(default=timezone.now)
    if TYPE_CHECKING:
        turns: RelatedManager[ChatTurn]

    class Meta:
        constraints: ClassVar = [
            models.CheckConstraint(
                condition=Q(author__isnull=True) ^ Q(session__isnull=True),
                name="chat_is_one_persons",
            ),
        ]
        indexes: ClassVar = [
            models.Index(
                fields=["created_at"], condition=Q(example=None), name="chat_not_submitted"
            ),
        ]

    def __str__(self) -> str:
        return str(self.uid)


class ChatTurn(models.Model):
    """What a person said, and what the model answered; null until it has."""

    chat = models.ForeignKey(Chat, on_delete=models.CASCADE, related_name="turns")
    number = models.PositiveIntegerField()
    content = models.TextField()
    claim = models.UUIDField(null=True, help_text="Of whoever asks the model now.")
    claimed_until = models.DateTimeField(null=True)
    answer = models.TextField(null=True)  # noqa: DJ001  (an answer is never NULL)
    finish_reason = models.CharField(max_length=50, blank=True)
    tokens = models.PositiveIntegerField(null=True, help_text="As its server told.")
    answered_at = models.DateTimeField(null=True)

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["chat", "number"], name="turn_number_once_per_chat"),
            models.UniqueConstraint(
                fields=["chat"], condition=Q(answer=None), name="one_open_turn_per_chat"
            ),
        ]

    def __str__(self) -> str:
        return f"turn {self.number} of {self.chat_id}"
