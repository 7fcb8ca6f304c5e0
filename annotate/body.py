"""How an example, a prediction and a person's progress travel: the same over REST and websocket."""

from __future__ import annotations

from typing import Any

from annotate.models import ChatTurn, Example, ModelVersion, Round
from ml.backends import Answer


def answer_body(answer: Answer, model: ModelVersion, round_: Round) -> dict[str, Any]:
    return {
        "prediction": answer.label,
        "probabilities": answer.probabilities,
        "model": model.name,
        "round": round_.number,
    }


def example_body(example: Example) -> dict[str, Any]:
    """The answer to a submission; needs `model` and `round` loaded."""
    return {
        "id": str(example.uid),
        "fooled": example.fooled,
        "prediction": example.prediction,
        "probabilities": example.probabilities,
        "model": example.model.name,
        "round": example.round.number,
        "status": example.status,
    }


def turn_body(turn: ChatTurn, *, left: int, outcome: str | None) -> dict[str, Any]:
    """An answered turn of a chat; `outcome` is what the task's rule says of the chat so far."""
    return {
        "turn": turn.number,
        "content": turn.answer,
        "tokens": turn.tokens,
        "finish_reason": turn.finish_reason or None,
        "turns_left": left,
        "outcome": outcome,
    }
