"""Who may take part in a task."""

from __future__ import annotations

from accounts.models import User
from annotate.config import TaskFile
from core.errors import Refused


def require_standing(user: User) -> None:
    if user.banned_at is not None:
        raise banned()
    if user.by_link is not None and not user.by_link.annotates:
        raise Refused("not_your_work", "Your link does not ask for this.", status=403)


def banned() -> Refused:
    """What somebody is told whom this server, or the task's owners, keep out."""
    return Refused("banned", "This account may not submit here any more.", status=403)


def require_sandbox(file: TaskFile) -> None:
    """Refuse a guest where the task has no sandbox."""
    if not file.sandbox:
        raise Refused("sign_in", "This task has no sandbox: sign in to take part.", status=403)
