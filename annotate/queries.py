"""Reads: what is open, what somebody did, and how a visit is going."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any
from uuid import UUID

from django.db.models import QuerySet

from accounts.models import User, WorkSession
from annotate import statements
from annotate.config import TaskFile
from annotate.models import Example, ModelVersion, Round, Task, TaskConfig, Viewer
from annotate.standing import is_asked
from core.errors import Refused


def participant_key(user: User | None, guest: str | None) -> str:
    """Names a person in rate limits, hashes and logs, without personal data."""
    return f"user-{user.pk}" if user else f"guest-{guest}"


@dataclass(frozen=True)
class Participant:
    """Who submits: a signed-in person, or a guest known by their visit."""

    user: User | None = None
    session: WorkSession | None = None

    @property
    def sandbox(self) -> bool:
        """Whether what they do counts nowhere."""
        return self.user is None

    @property
    def key(self) -> str:
        """Names the person in rate limits and logs, without personal data."""
        return participant_key(self.user, str(self.session.pk) if self.session else None)

    @property
    def ids(self) -> dict[str, Any]:
        """Who they are, for `annotate.statements`."""
        return {
            "author": self.user.pk if self.user else None,
            "guest": self.session.pk if self.session and not self.user else None,
        }

    def examples(self) -> QuerySet[Example]:
        """Everything this person submitted; of a guest, and of who came by a link, on this visit:
        a name in a link proves nothing about what else was done under it."""
        if self.user is None:
            return Example.objects.filter(session=self.session, author=None)
        own = Example.objects.filter(author=self.user)
        return own.filter(session=self.user.by_link.session) if self.user.by_link else own

    def sent_under(self, client_id: UUID) -> QuerySet[Example]:
        """What this person sent under its id, which nobody guesses, on whatever visit."""
        mine = {"author": self.user} if self.user else {"author": None, "session": self.session}
        return Example.objects.filter(**mine, client_id=client_id)


@dataclass(frozen=True)
class Target:
    """What a submission to a task meets right now."""

    task: Task
    config: TaskConfig
    round: Round
    models: tuple[ModelVersion, ...]

    def is_alone(self, user: User | None) -> bool:
        """Whether this person, or a guest, works without the model's answers (no query)."""
        return is_alone(self.config.file, self.task.pk, user)

    def models_for(self, key: str) -> tuple[ModelVersion, ...]:
        """Those that are asked about a context (or, without one, by a person).

        One of the round's by lot, the same for the whole round; all, that one first, where so many
        of them must be fooled.
        """
        if len(self.models) == 1:  # as nearly always, for every keystroke
            return self.models
        chance = hashlib.sha256(f"{self.round.pk}:{key}".encode()).digest()
        first = int.from_bytes(chance[:6]) % len(self.models)
        asked = None if self.round.needed else 1
        return (*self.models[first:], *self.models[:first])[:asked]

    @property
    def against(self) -> str:
        """Whom people meet, in words."""
        return against([model.name for model in self.models], self.round.needed)


def against(names: Sequence[str], needed: int | None) -> str:
    """A round's targets by name, and, where there are several, how they are met."""
    if len(names) < 2:
        return "".join(names)
    told = f"{', '.join(names[:-1])} and {names[-1]}"
    if needed is None:
        return f"one of {told}"
    if needed == len(names):
        return f"{told}, all of which must be fooled"
    return f"{told}, of which {needed} must be fooled"


def is_alone(file: TaskFile, task_id: int, user: User | None) -> bool:
    """Whether somebody sees the model's answer only once they submit (no query).

    Everybody where the task's feedback is on_submit; else a lot of those who are signed in.
    """
    if file.feedback == "on_submit":
        return True
    return user is not None and file.control > 0 and works_alone(file.control, task_id, user.pk)


def works_alone(control: float, task_id: int, person_id: int) -> bool:
    """Whether this person sees no model's answer before they submit, where this share does not.

    A lot that falls once: it stays as it is, and a greater share takes more people in.
    """
    return falls_on(control, "control", task_id, person_id)


def sees_hints(share: float, task_id: int, person_id: int) -> bool:
    """Whether this person is shown a task's hints: by another lot of that kind."""
    return falls_on(share, "hints", task_id, person_id)


def hints_for(file: TaskFile, task_id: int, user: User | None) -> list[dict[str, Any]]:
    """What somebody is told of where the model errs; guests, who count nowhere, nothing.

    Nor is who may validate: a hint says what others read in a picture, and would say it to a judge.
    """
    hints = file.hints
    if user is None or not hints.shown or not sees_hints(hints.share, task_id, user.pk):
        return []
    if is_asked(file, task_id, user):
        return []
    return [
        {"text": one.text, "picture": one.input and file.kind.picture(one.input)}
        for one in hints.shown
    ]


def falls_on(share: float, lot: str, task_id: int, person_id: int) -> bool:
    """Whether a lot of this name falls on this person; each name has lots of its own."""
    number = hashlib.sha256(f"{lot}:{task_id}:{person_id}".encode()).digest()
    return int.from_bytes(number[:6]) < share * 2**48


def require_company(target: Target, user: User | None) -> None:
    """Refuse the model's answer to those who work without."""
    if target.is_alone(user):
        raise Refused(
            "works_alone",
            "You work without the model here: submit, and it answers.",
            status=403,
        )


def is_barred(person: User, of: Task | Example) -> bool:
    """Whether the owners of a task, or of an example's, keep this person out of it; one query."""
    return statements.is_barred(person.pk, of.pk if isinstance(of, Task) else of.task_id)


def visible_task(user: Viewer, slug: str) -> Task | None:
    """The task if this person may see it."""
    return statements.visible_task(user, slug)


@lru_cache(maxsize=200)
def kept_config(pk: int) -> TaskConfig:
    """This version of a task's file, read and parsed once a process, for it never changes.

    Not for a version that the caller's own transaction makes: it may be taken back.
    """
    return TaskConfig.objects.get(pk=pk)


def lockable(*also: str) -> QuerySet[Example]:
    """Examples that are locked when they are read, with their tasks, and then what hangs on them.

    NO KEY: rows that point to one (a lease, a vote) can still be inserted by others meanwhile.
    """
    locked = Example.objects.select_for_update(no_key=True, of=("self", *also))
    return locked.select_related("task", *also)


def with_configs(example: Example) -> Example:
    """An example that was read with its task, and the files of both."""
    example.config = kept_config(example.config_id)
    if example.task.config_id is not None:
        example.task.config = kept_config(example.task.config_id)
    return example


def open_target(task_id: int) -> Target | None:
    """The open round of a task with its config and models; None when no round is open."""
    round_ = statements.open_round(task_id)
    return None if round_ is None or round_.is_over else target_in(round_)


def last_target(task_id: int) -> Target | None:
    """What a task's models learn for: the open round, or else the last one that was open."""
    if target := open_target(task_id):
        return target
    ever = Round.objects.filter(task=task_id).exclude(opened_at=None)
    last = ever.select_related("task__config").order_by("-number").first()
    return None if last is None else target_in(last)


def target_in(round_: Round) -> Target | None:
    """What is met in a round that was read with its task and its file."""
    if round_.task.config is None:
        return None
    models = tuple(statements.targets(round_.pk))
    return Target(round_.task, round_.task.config, round_, models) if models else None


def no_open_round(task_id: int) -> Refused:
    """What is said where no round takes anything; one query."""
    words = "No round of this task is open right now"
    draft = Round.objects.filter(task=task_id, status=Round.Status.DRAFT).first()
    if draft is not None and draft.opens_at is not None:
        words += f": round {draft.number} opens on {draft.opens_at:%-d %B %Y at %H:%M} UTC"
    return Refused("no_open_round", f"{words}.", status=409)


def progress_of(participant: Participant, task_id: int) -> dict[str, Any]:
    """How this person does in a task: tries, foolings, verified so far, streak of foolings.

    One query.
    """
    return statements.progress(**participant.ids, task_id=task_id)._asdict()
