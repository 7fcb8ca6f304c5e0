"""How an example, a prediction and a person's progress travel: the same over REST and websocket."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from annotate.models import ChatTurn, Example, ModelVersion, Round
from ml.backends import Answer


def answer_body(said: Sequence[tuple[ModelVersion, Answer]], round_: Round) -> dict[str, Any]:
    """What was said: by the one that is asked or, where several must be fooled, by each."""
    model, answer = said[0]
    body = {
        "prediction": answer.label,
        "probabilities": answer.probabilities,
        "model": model.name,
        "round": round_.number,
    }
    if round_.needed:
        each = [_said(one.name, told.label, told.probabilities) for one, told in said]
        body |= {"needed": round_.needed, "targets": each}
    return body


def _said(model: str, prediction: Any, probabilities: Any) -> dict[str, Any]:
    return {"model": model, "prediction": prediction, "probabilities": probabilities}


def example_body(example: Example) -> dict[str, Any]:
    """The answer to a submission; needs `model` and `round` loaded.

    One query more where several targets must be fooled.
    """
    targets = {}
    if example.round.needed:
        answers = example.answers.select_related("model").order_by("model__number")
        each = [
            {**_said(one.model.name, one.prediction, one.probabilities), "fooled": one.fooled}
            for one in answers
        ]
        targets = {"needed": example.round.needed, "targets": each}
    return {
        "id": str(example.uid),
        "fooled": example.fooled,
        "prediction": example.prediction,
        "probabilities": example.probabilities,
        "model": example.model.name,
        "round": example.round.number,
        "status": example.status,
        **targets,
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
