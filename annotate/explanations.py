"""What authors say of the model's answer in their own words: when it is asked for, and its writes.

The task file's `explanation` says so; what it does not ask for, it takes all the same, but where it
asks never, or asked before the answer was shown.
"""

from __future__ import annotations

import uuid

from accounts.services import record_event, salted
from annotate.config import TaskFile
from annotate.models import Example, TaskConfig
from annotate.queries import Participant
from annotate.sections import Explanation
from annotate.services import own_example
from core.errors import Refused
from core.transactions import durable

MAX_EXPLANATION = 2_000


def require_as_asked(rules: Explanation, explanation: str) -> None:
    """Refuse a submission's explanation where there must be none, or one, or a shorter one."""
    if len(explanation) > MAX_EXPLANATION:
        raise Refused("too_long", f"An explanation has at most {MAX_EXPLANATION} characters.")
    if rules.asked == "never" and explanation.strip():
        raise _not_asked("This task asks for no explanation: leave it out.")
    if rules.asked == "before" and rules.required and not explanation.strip():
        raise _needed(rules)


def due(participant: Participant, config: TaskConfig) -> Example | None:
    """This person's last example, where the task waits for its explanation; one query then."""
    rules = config.file.explanation
    if not rules.is_owed:
        return None
    own = participant.examples().filter(task=config.task_id, retracted_at=None)
    last = own.order_by("-id").first()
    # Under another version of the file it was asked for something else.
    if last is None or last.config_id != config.pk or last.explanation:
        return None
    return last if rules.asks_of(last.fooled) else None


def due_body(example: Example, file: TaskFile) -> dict[str, str]:
    """The example that waits, and the sentence that says so."""
    question, thing = file.explanation.question, file.kind.words.thing
    message = f"Your last {thing} waits for your answer to “{question}”: give it first."
    return {"example": str(example.uid), "message": message}


def require_none_due(example: Example, participant: Participant) -> None:
    """Refuse one more while the last one lacks what must be said of it; under its author's lock."""
    if last := due(participant, example.config):
        told = due_body(last, example.config.file)
        fields = {"example": told["example"]}
        raise Refused("explanation_due", told["message"], status=409, fields=fields)


def explain(*, participant: Participant, uid: uuid.UUID, explanation: str) -> Example:
    """Add or replace the author's explanation of why the model was wrong."""
    explanation = explanation.strip()
    if len(explanation) > MAX_EXPLANATION:
        raise Refused("too_long", f"An explanation has at most {MAX_EXPLANATION} characters.")
    with durable():
        example = own_example(participant, uid)
        _require_later(example, explanation)
        if (before := example.explanation) == explanation:
            return example
        example.explanation = explanation
        example.save(update_fields=["explanation"])
        record_event(
            actor=participant.user,
            verb="explained",
            subject=example,
            scope=example.task.slug,
            data=salted(**{"from": before}),
        )
    return example


def _require_later(example: Example, explanation: str) -> None:
    rules = example.config.file.explanation
    if rules.asked == "never":
        raise _not_asked("This task asks for no explanation.")
    if rules.asked == "before":
        raise _not_asked("This task asks before the answer is shown: it stays as it was sent.")
    if rules.required and rules.asks_of(example.fooled) and not explanation:
        raise _needed(rules)


def _not_asked(sentence: str) -> Refused:
    return Refused("no_explanation", sentence, fields={"explanation": "not taken"})


def _needed(rules: Explanation) -> Refused:
    sentence = f"Answer “{rules.question}”, too."
    return Refused("explanation_needed", sentence, fields={"explanation": sentence})
