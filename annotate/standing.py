"""Who may take part in a task."""

from __future__ import annotations

from accounts.models import Role, User
from annotate.config import TaskFile
from core.errors import Refused


def require_standing(user: User) -> None:
    if user.banned_at is not None:
        raise banned()
    if user.by_link is not None and not user.by_link.annotates:
        raise Refused("not_your_work", "Your link does not ask for this.", status=403)


def is_asked(file: TaskFile, task_id: int, user: User) -> bool:
    """Whether this person is one of those to whom the task opens its queue."""
    if user.by_link is not None:
        return user.by_link.validates and user.by_link.task_id == task_id
    opened = file.section("validation").open_to == "annotator"
    return user.has_role(Role.ANNOTATOR if opened else Role.VALIDATOR)


def banned() -> Refused:
    """What somebody is told whom this server, or the task's owners, keep out."""
    return Refused("banned", "This account may not submit here any more.", status=403)


def require_sandbox(file: TaskFile) -> None:
    """Refuse a guest where the task has no sandbox."""
    if not file.sandbox:
        raise Refused("sign_in", "This task has no sandbox: sign in to take part.", status=403)
