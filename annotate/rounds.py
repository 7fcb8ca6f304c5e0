"""Writes about what people meet: tasks and their configs, registered models, rounds."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
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
from core.errors import Conflict, Refused
from core.transactions import after_commit, durable


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
        name=name or f"{task.slug}-{number}",
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


def open_next_round(
    *,
    task: Task,
    models: Sequence[ModelVersion],
    needed: int | None = None,
    actor: User | None = None,
    reason: str = "",
) -> Round:
    """Close the open round and open the next with these targets, in the caller's transaction.

    With `needed` people meet all of them, and fool the round when they fool so many. The round is
    locked FOR UPDATE, which waits for submissions that are being inserted into it.
    """
    if not models or any(model.task_id != task.pk for model in models):
        raise Refused("bad_targets", "A round needs target models of its own task.")
    _require_several(task, models, needed)
    Task.objects.select_for_update(no_key=True).get(pk=task.pk)
    among = ModelVersion.objects.filter(pk__in=[model.pk for model in models])
    if gone := among.exclude(retired_at=None).values_list("name", flat=True):
        raise Refused("retired", f"{', '.join(gone)} was retired: choose another model.")
    current = Round.objects.select_for_update().filter(task=task, status=Round.Status.OPEN).first()
    if current is not None:
        current.status, current.closed_at = Round.Status.CLOSED, timezone.now()
        current.save(update_fields=["status", "closed_at"])
    latest = Round.objects.filter(task=task).aggregate(n=Max("number"))["n"] or 0
    opened = Round.objects.create(
        task=task,
        number=latest + 1,
        status=Round.Status.OPEN,
        opened_at=timezone.now(),
        needed=needed,
    )
    opened.targets.set(models)
    record_event(
        actor=actor,
        verb="opened",
        subject=opened,
        scope=task.slug,
        data={
            "number": opened.number,
            "models": [m.name for m in models],
            "reason": reason,
            **({"needed": needed} if needed else {}),
        },
    )
    words = against([m.name for m in sorted(models, key=lambda m: m.number)], needed)
    after_commit(partial(tell_open_pages, task.slug, opened.number, words))
    return opened


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
    serving = ModelVersion.objects.filter(rounds__task=task, rounds__status=Round.Status.OPEN)
    return [model, *(serving.order_by("number") if beside else ())]


def change_target(
    *,
    actor: User,
    task: Task,
    model: ModelVersion,
    reason: str,
    beside: bool = False,
    needed: int | None = None,
) -> Round:
    """Promote a model by hand, or roll back to an older one: a new round begins with it.

    With `beside` those that serve go on, too: each context, or person, meets one of them, or all
    of which so many (`needed`) must be fooled.
    """
    if not reason.strip():
        raise Refused("reason_missing", "Say why: changing the model needs a reason.")
    if not model.backend:
        raise Refused("no_live_model", f"The model {model.name} is known from a log only.")
    with durable():
        if not task.is_owned_by(actor):
            raise Refused("not_an_owner", "Only an owner of the task may do this.", status=403)
        if Round.objects.filter(status=Round.Status.OPEN, targets=model).exists():
            raise Conflict("already_serving", f"{model.name} already serves the open round.")
        return open_next_round(
            task=task,
            models=targets_with(task, model, beside=beside),
            needed=needed,
            actor=actor,
            reason=reason,
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
        if Round.objects.filter(status=Round.Status.OPEN, targets=model).exists():
            raise Conflict(
                "already_serving", f"{model.name} serves the open round: let another serve first."
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
