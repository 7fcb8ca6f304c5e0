"""What a measured server knows, made by a process of its own: `python -m benchmarks.world SPEC`.

SPEC is JSON: which task of the library, how many annotators and validators, how many examples wait
for votes, and what the task file changes. Prints JSON: the cookies of a real session of each of
these people, and the true labels of what waits. The model is the library's.
"""

from __future__ import annotations

import json
import os
import secrets
import shutil
import sys
from pathlib import Path
from typing import Any

import yaml

from benchmarks.drawings import take

AUTHORS = 100


def main() -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "dadc_server.settings")
    import django

    django.setup()
    from django.core.management import call_command
    from django.db import connection

    from accounts.models import User

    spec = json.loads(sys.argv[1])
    call_command("migrate", verbosity=0, interactive=False)
    task = _task(spec.get("library", "digits"), spec.get("task", {}), spec.get("base", ""))
    sessions = {
        role: [_session(f"{role}-{n}", role) for n in range(spec.get(f"{role}s", 0))]
        for role in ("annotator", "validator", "owner")
    }
    task.owners.add(*User.objects.filter(role="owner"))
    truth = _fill_queue(task, spec.get("waiting", 0))
    _verify(task, spec.get("foolings", 0))
    truth |= _known_answers(task, spec.get("waiting", 0), spec.get("gold", 0))
    if truth:
        call_command("recompute", verbosity=0)  # rows that came past the services are counted too
        with connection.cursor() as cursor:
            cursor.execute("ANALYZE")  # PostgreSQL does it by itself within a minute
    print(json.dumps({"sessions": sessions, "truth": truth}))


def _task(name: str, changes: dict[str, Any], base: str) -> Any:
    """A task of the library, its round open with its shipped model; `base` is a folder of clean
    data that takes the place of the model's own."""
    from django.conf import settings

    from annotate.config import parse_task_file
    from annotate.rounds import load_task, open_next_round, register_model
    from core.transactions import durable
    from dadc_server.bootstrap import LIBRARY
    from ml.learners import learner_named, store_base

    file = {**yaml.safe_load((LIBRARY / f"{name}.yaml").read_text()), **changes}
    task, is_new = load_task(file=parse_task_file(file))
    if is_new:
        folder = trained_model(name)
        shutil.copytree(folder, settings.ARTIFACT_DIR, dirs_exist_ok=True)
        made = json.loads((folder / "model.json").read_text())
        if base:
            learner = learner_named(made["config"].get("learner", name))
            clean = store_base(learner, learner.load_base(base), settings.ARTIFACT_DIR)
            made["config"]["base"] = clean
        with durable():
            open_next_round(task=task, models=[register_model(task=task, **made)])
    return task


def trained_model(task: str = "digits") -> Path:
    """The folder of the library's model of a task and of its base data; Django need not be up."""
    return Path(__file__).parents[1] / "dadc_server" / "library" / task


def _session(name: str, role: str) -> str:
    """The Cookie header of somebody who has signed in, except for the password's half second."""
    from django.conf import settings
    from django.contrib.auth import login
    from django.http import HttpRequest

    from accounts.services import create_user
    from accounts.sessions import SessionStore

    request = HttpRequest()
    request.session = SessionStore()
    user = create_user(username=name, role=role)
    login(request, user, backend=settings.AUTHENTICATION_BACKENDS[0])
    request.session.save()
    csrf = secrets.token_hex(16)
    return f"{settings.SESSION_COOKIE_NAME}={request.session.session_key}; csrftoken={csrf}"


def _fill_queue(task: Any, waiting: int) -> dict[str, str]:
    """Examples that claim to have fooled the model, of many authors, all waiting for votes."""
    from accounts.services import create_user
    from annotate.models import Example
    from kinds.image import KIND
    from validate.models import QueueItem

    if not waiting:
        return {}
    authors = [create_user(username=f"author-{n}") for n in range(AUTHORS)]
    round_ = task.rounds.get(status="open")
    model = round_.targets.get()
    examples = []
    for n, (label, png) in enumerate(take(0, waiting)):
        prepared = KIND.parse({"png": png})
        examples.append(
            Example(
                task=task,
                config=task.config,
                round=round_,
                model=model,
                author=authors[n % AUTHORS],
                input=prepared.stored,
                input_hash=prepared.key,
                label=label,
                prediction=str((int(label) + 1) % 10),
                fooled=True,
                queued=True,
            )
        )
    Example.objects.bulk_create(examples, batch_size=500)
    QueueItem.objects.bulk_create(
        (
            QueueItem(
                example=example,
                task=task,
                author_id=example.author_id,
                priority=0,
                votes_wanted=2,
            )
            for example in examples
        ),
        batch_size=500,
    )
    return {str(example.uid): example.label for example in examples}


def _verify(task: Any, foolings: int) -> None:
    """Verified foolings of many authors, in a task of which nothing else was sent."""
    from django.utils import timezone

    from annotate.models import Example
    from validate.models import QueueItem

    if not _fill_queue(task, foolings):
        return
    made = Example.objects.filter(task=task)
    made.update(status=Example.Status.VERIFIED, settled_at=timezone.now(), queued=False)
    QueueItem.objects.filter(task=task).delete()


def _known_answers(task: Any, first: int, number: int) -> dict[str, str]:
    """Gold of the drawings after those that wait; its answers by the examples' ids."""
    from accounts.services import create_user
    from validate.acts.gold import load_gold
    from validate.models import Gold

    if not number:
        return {}
    owner = create_user(username="owner", role="owner")
    task.owners.add(owner)
    lines = (
        json.dumps({"input": {"png": png}, "answer": label}).encode()
        for label, png in take(first, number)
    )
    load_gold(actor=owner, task=task, lines=lines)
    return {str(gold.example.uid): gold.answer for gold in Gold.objects.select_related("example")}


if __name__ == "__main__":
    main()
