"""Acts: tell annotators where the model errs, in the next version of a task's file."""

from __future__ import annotations

from typing import Any

from pydantic import ValidationError

from accounts.models import User
from annotate.config import TaskFile
from annotate.models import Task
from annotate.rounds import load_task
from annotate.sections import Hint
from core.errors import Refused


def show_hint(*, actor: User, task: Task, text: str, input: Any = None) -> None:
    """Show it beside the others from now on, in the file's next version."""
    assert task.config is not None
    try:
        hint = Hint(text=" ".join(text.split()), input=input)
    except ValidationError:
        raise Refused("bad_hint", "A hint has 1 to 200 characters.") from None
    _change(actor, task, [*task.config.file.hints.shown, hint])


def take_hint_away(*, actor: User, task: Task, place: int, text: str) -> None:
    """No more of the one in this place, counted from 0, as far as it still says this."""
    assert task.config is not None
    shown = task.config.file.hints.shown
    if place >= len(shown) or shown[place].text != text:
        raise Refused("bad_hint", "The hints are others by now: look again.")
    _change(actor, task, [one for number, one in enumerate(shown) if number != place])


def _change(actor: User, task: Task, shown: list[Hint]) -> None:
    assert task.config is not None
    now = task.config.file.model_dump(mode="json")
    hints = {**now["hints"], "shown": [one.model_dump(mode="json") for one in shown]}
    try:
        file = TaskFile.model_validate({**now, "hints": hints})
    except ValidationError:
        raise Refused("bad_hint", "Three hints at most: take one away first.") from None
    load_task(file=file, actor=actor, after=task.config.version)
