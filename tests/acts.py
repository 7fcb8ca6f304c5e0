"""The acts of the queue under one name, as the tests call them."""

from __future__ import annotations

from accounts.models import User
from annotate.models import Example
from validate.acts.adjudicate import decide
from validate.acts.ban import set_banned
from validate.acts.lease import extend, next_item, release, unskip
from validate.acts.undo import undo
from validate.acts.vote import Answered, vote, vote_and_go_on

__all__ = [
    "Answered", "adjudicate", "extend", "next_item", "release", "set_banned", "set_hidden", "undo",
    "unskip", "vote", "vote_and_go_on",
]  # fmt: skip
_ACTS = {"verified": "verify", "rejected": "reject", "open": "reopen", "relabelled": "relabel"}


def set_hidden(*, actor: User, example_id: int, hidden: bool, reason: str) -> None:
    """Hide an example by an owner's word, or show it again."""
    _decide(actor, example_id, "hide" if hidden else "restore", reason)


def adjudicate(
    *, actor: User, example_id: int, status: str, reason: str, label: object = None
) -> Example:
    """Give an example a verdict by an owner's word, whether it waits for one or not."""
    return _decide(actor, example_id, _ACTS[status], reason, label)


def _decide(actor: User, example_id: int, act: str, reason: str, label: object = None) -> Example:
    example = Example.objects.select_related("task").get(pk=example_id)
    decide(
        actor=actor,
        task=example.task,
        uid=example.uid,
        act=act,
        reason=reason,
        label=label,
        waiting=False,
    )
    example.refresh_from_db()
    return example
