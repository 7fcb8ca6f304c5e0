"""Tasks, their rounds and models, and the examples that people submit."""

from annotate.models.chats import Chat, ChatTurn
from annotate.models.contexts import Context, ContextLease
from annotate.models.examples import ContentKey, Example, ExampleQuerySet, TargetAnswer
from annotate.models.rounds import ModelQuerySet, ModelVersion, Round, RoundVisit
from annotate.models.tasks import (
    PARSED_CONFIGS,
    Barred,
    Task,
    TaskConfig,
    TaskQuerySet,
    Viewer,
    role_of,
)

__all__ = [
    "PARSED_CONFIGS",
    "Barred",
    "Chat",
    "ChatTurn",
    "ContentKey",
    "Context",
    "ContextLease",
    "Example",
    "ExampleQuerySet",
    "ModelQuerySet",
    "ModelVersion",
    "Round",
    "RoundVisit",
    "TargetAnswer",
    "Task",
    "TaskConfig",
    "TaskQuerySet",
    "Viewer",
    "role_of",
]
