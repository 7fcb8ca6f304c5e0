"""Writes about what people meet: tasks and their configs, registered models, rounds."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from itertools import count
from typing import Any

from django.contrib.staticfiles import finders
from django.core.exceptions import SuspiciousFileOperation
from django.db.models import Max
from django.utils import timezone

from accounts.models import Role, User
from accounts.services import record_event
from annotate.config import TaskFile
from annotate.drafts import require_unbroken
from annotate.live import tell_open_pages
from annotate.models import ModelVersion, Round, Task, TaskConfig
from annotate.queries import against
from annotate.sections import Rounds
from core.errors import Conflict, Refused
from core.transactions import after_commit, durable

Status = Round.Status


def load_task(
    *, file: TaskFile, actor: User | None = None, after: int | None = None
) -> tuple[Task, bool]:
    """Create a task from its file, or give it a new config version if the file differs.

    Returns the task and whether anything changed. Refused where stored examples would mean nothing
    any more, or when the version in force is another than the one that this is to come `after`.
    """
    data = file.model_dump(mode="json")
    _require_pictures(file)
    with durable():
        task, created = Task.objects.select_for_update(no_key=True).get_or_create(
            slug=file.slug, defaults={"name": file.name, "input_kind": file.input}
        )
        if actor is not None and not created and not task.is_owned_by(actor):
            raise Refused("not_an_owner", f"{file.slug} is a task of somebody else.", status=403)
        current = task.config
        if current is not None and current.file == file:  # a setting added since is no change
            return task, False
        if after is not None and current is not None and current.version != after:
            raise Conflict(
                "version_moved",
                f"Version {current.version} came meanwhile: open the file anew, and change that.",
            )
        require_unbroken(task, file)
        latest = task.configs.aggregate(latest=Max("version"))["latest"] or 0
        task.config = TaskConfig.objects.create(
            task=task, version=latest + 1, data=data, created_by=actor
        )
        task.name, task.input_kind, task.public = file.name, file.input, file.public
        task.language, task.content_warning = file.language or "", file.content_warning or ""
        task.save(
            update_fields=[
                "config", "name", "input_kind", "public", "language", "content_warning"
            ]
        )  # fmt: skip
        if actor is not None:
            task.owners.add(actor)
        record_event(
            actor=actor,
            verb="configured",
            subject=task,
            scope=task.slug,
            data={"version": latest + 1},
        )
    return task, True


def give_task(*, actor: User, task: Task, owner: str, reason: str) -> User:
    """Let one more person curate a task, also one that nobody owns: an admin's act."""
    found = User.objects.filter(username__iexact=owner, imported=False).first()
    if found is None or not found.has_role(Role.OWNER):
        raise Refused("no_such_owner", f"{owner} is nobody with the role owner.")
    with durable():
        task.owners.add(found)
        record_event(
            actor=actor,
            verb="gave_task",
            subject=task,
            scope=task.slug,
            data={"owner": found.pseudonym, "reason": reason},
        )
    return found


def _require_pictures(file: TaskFile) -> None:
    """Refuse pictures that are no static files: the task's page could not be shown."""
    for picture in file.instructions.pictures:
        try:
            found = finders.find(picture.image)
        except SuspiciousFileOperation:  # a path out of the static folders
            found = None
        if found is None:
            raise Refused(
                "no_picture", f"instructions.pictures: there is no static file {picture.image}."
            )


def register_model(
    *,
    task: Task,
    name: str | None = None,
    backend: str = "",
    artifact: str = "",
    sha256: str = "",
    config: dict[str, Any] | None = None,
    provenance: dict[str, Any] | None = None,
    metrics: dict[str, Any] | None = None,
    parent: ModelVersion | None = None,
    actor: User | None = None,
) -> ModelVersion:
    """Register a model of a task, numbered after the last; inside the caller's transaction."""
    # Two registrations at once must not take one number.
    Task.objects.select_for_update(no_key=True).get(pk=task.pk)
    latest = ModelVersion.objects.filter(task=task).aggregate(n=Max("number"))["n"] or 0
    number = latest + 1
    model = ModelVersion.objects.create(
        task=task,
        number=number,
        name=name or _free_name(task, number),
        backend=backend,
        artifact=artifact,
        sha256=sha256,
        config=config or {},
        provenance=provenance or {},
        metrics=metrics or {},
        parent=parent,
    )
    record_event(actor=actor, verb="registered", subject=model, scope=task.slug)
    return model


def _free_name(task: Task, number: int) -> str:
    """By its number, or by the next one of which nobody has made a name."""
    begin = f"{task.slug}-"
    named = ModelVersion.objects.filter(task=task, name__startswith=begin)
    taken = set(named.values_list("name", flat=True))
    return next(name for n in count(number) if (name := f"{begin}{n}") not in taken)


def open_next_round(
    *,
    task: Task,
    models: Sequence[ModelVersion],
    needed: int | None = None,
    actor: User | None = None,
    reason: str = "",
    rules: Rounds | None = None,
) -> Round:
    """Close the open round and open the next with these targets, in the caller's transaction.

    With `needed` people meet all of them, and fool the round when they fool so many. The `rules`
    are the task file's unless others are given; with a time to come at which it opens the round is
    a draft until then, in the place of the one there was.
    """
    if not models or any(model.task_id != task.pk for model in models):
        raise Refused("bad_targets", "A round needs target models of its own task.")
    _require_several(task, models, needed)
    Task.objects.select_for_update(no_key=True).get(pk=task.pk)
    among = ModelVersion.objects.filter(pk__in=[model.pk for model in models])
    if gone := among.exclude(retired_at=None).values_list("name", flat=True):
        raise Refused("retired", f"{', '.join(gone)} was retired: choose another model.")
    now = timezone.now()
    rules = standing_rules(task) if rules is None else rules
    if rules.closes_at is not None and rules.closes_at <= now:
        raise Refused("bad_rules", "closes_at has passed: name a time to come.")
    waits = rules.opens_at is not None and rules.opens_at > now
    rounds = Round.objects.filter(task=task)
    number = 1 + (rounds.exclude(status=Status.DRAFT).aggregate(n=Max("number"))["n"] or 0)
    if waits:
        rounds.filter(status=Status.DRAFT).delete()
    else:
        rounds.filter(status=Status.DRAFT).update(number=number + 1)
        close_open(task)
    round_ = Round.objects.create(
        task=task,
        number=number,
        status=Status.DRAFT if waits else Status.OPEN,
        opened_at=None if waits else now,
        needed=needed,
        **columns_of(rules),
    )
    round_.targets.set(models)
    announce(round_, models, "scheduled" if waits else "opened", actor, reason)
    return round_


def standing_rules(task: Task) -> Rounds:
    """What the task's file says of its rounds, as far as the times in it are still to come."""
    rules = task.config.file.rounds if task.config else Rounds()
    times = {"opens_at": rules.opens_at, "closes_at": rules.closes_at}
    past = [name for name, at in times.items() if at is not None and at <= timezone.now()]
    return rules.model_copy(update=dict.fromkeys(past))


def columns_of(rules: Rounds) -> dict[str, Any]:
    """How a round's row keeps them."""
    times = {"opens_at", "closes_at"}
    quotas = rules.model_dump(mode="json", exclude=times, exclude_defaults=True)
    return {"opens_at": rules.opens_at, "closes_at": rules.closes_at, "rules": quotas}


def announce(
    round_: Round, models: Sequence[ModelVersion], verb: str, actor: User | None, reason: str
) -> None:
    """Record that a round was opened or scheduled, and tell open pages of one that is open."""
    task, needed = round_.task, round_.needed
    rules = round_.limits.model_dump(mode="json", exclude_defaults=True)
    record_event(
        actor=actor,
        verb=verb,
        subject=round_,
        scope=task.slug,
        data={
            "number": round_.number,
            "models": [m.name for m in models],
            "reason": reason,
            **({"needed": needed} if needed else {}),
            **({"rules": rules} if rules else {}),
        },
    )
    if round_.status == Status.OPEN:
        words = against([m.name for m in sorted(models, key=lambda m: m.number)], needed)
        after_commit(partial(tell_open_pages, task.slug, round_.number, words))


def close_open(task: Task) -> None:
    """Close the open round, waiting for submissions that are being inserted into it."""
    current = Round.objects.select_for_update().filter(task=task, status=Status.OPEN).first()
    if current is not None:
        close(current)


def close(round_: Round) -> None:
    """Let a locked round take no more."""
    round_.status, round_.closed_at = Status.CLOSED, timezone.now()
    round_.save(update_fields=["status", "closed_at"])


def _require_several(task: Task, models: Sequence[ModelVersion], needed: int | None) -> None:
    if needed is None:
        return
    if task.kind.talks:
        raise Refused("bad_targets", "Nobody chats with several models at once.")
    if len(models) < 2 or not 1 <= needed <= len(models):
        raise Refused(
            "bad_targets",
            f"{needed} of {len(models)} cannot be fooled: of two or more models that serve beside "
            "each other, say how many must be.",
        )


def targets_with(task: Task, model: ModelVersion, *, beside: bool) -> list[ModelVersion]:
    """The targets of a round with this model: alone, or beside those that serve; one query."""
    serving = ModelVersion.objects.filter(rounds__task=task, rounds__status=Status.OPEN)
    return [model, *(serving.order_by("number") if beside else ())]


def change_target(
    *,
    actor: User,
    task: Task,
    model: ModelVersion,
    reason: str,
    beside: bool = False,
    needed: int | None = None,
    rules: Rounds | None = None,
) -> Round:
    """Promote a model by hand, or roll back to an older one: a new round begins with it.

    With `beside` those that serve go on, too: each context, or person, meets one of them, or all
    of which so many (`needed`) must be fooled. One that serves may serve on under other `rules`.
    """
    if not reason.strip():
        raise Refused("reason_missing", "Say why: changing the model needs a reason.")
    if not model.backend:
        raise Refused("no_live_model", f"The model {model.name} is known from a log only.")
    with durable():
        if not task.is_owned_by(actor):
            raise Refused("not_an_owner", "Only an owner of the task may do this.", status=403)
        serves = Round.objects.filter(status=Status.OPEN, targets=model)
        if rules is None and serves.exists():
            raise Conflict("already_serving", f"{model.name} already serves the open round.")
        return open_next_round(
            task=task,
            models=targets_with(task, model, beside=beside),
            needed=needed,
            actor=actor,
            reason=reason,
            rules=rules,
        )


def retire_model(*, actor: User, task: Task, model: ModelVersion, reason: str) -> None:
    """Let a model serve no more; what people did against it stays. Not while a round has it."""
    if not reason.strip():
        raise Refused("reason_missing", "Say why: retiring a model needs a reason.")
    with durable():
        if not task.is_owned_by(actor):
            raise Refused("not_an_owner", "Only an owner of the task may do this.", status=403)
        # Whoever opens a round takes this lock first.
        Task.objects.select_for_update(no_key=True).get(pk=task.pk)
        to_come = Round.objects.exclude(status=Status.CLOSED)
        if to_come.filter(targets=model).exists():
            raise Conflict(
                "already_serving",
                f"{model.name} serves the open round, or the next: let another serve first.",
            )
        again = ModelVersion.objects.filter(pk=model.pk, retired_at=None)
        if again.update(retired_at=timezone.now()):
            record_event(
                actor=actor,
                verb="retired",
                subject=model,
                scope=task.slug,
                data={"reason": reason},
            )
