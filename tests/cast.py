"""The people and things of the tests: small builders that go through the real services."""

from __future__ import annotations

import base64
import hashlib
import json
import uuid
from pathlib import Path
from typing import Any

import numpy as np
from django.conf import settings
from numpy.typing import NDArray

from accounts.models import User
from accounts.services import _apply_role, record_event
from annotate import chats, rounds, submissions
from annotate.config import parse_task_file
from annotate.models import Chat, Example, ModelVersion, Task
from annotate.queries import Participant
from annotate.registry import read_model_file, register
from core.transactions import durable
from dadc_server.bootstrap import LIBRARY
from kinds.image.pixels import png_of
from ml import artifacts
from tests import acts
from validate.models import Lease

PASSWORD = "correct horse battery staple"
DIGITS = [str(digit) for digit in range(10)]
SHIPPED = LIBRARY / "digits"
PATIENCE = 30  # seconds to wait for what must come, on a machine that may be busy


def person(name: str, role: str = "annotator") -> User:
    """Somebody with an account and PASSWORD, of a name that nobody else has or looks like.

    As create_user makes them, but for its checks, which would be an eighth of what all tests cost.
    """
    user = User(username=name)
    _apply_role(user, role)
    user.set_password(PASSWORD)
    with durable():
        user.save()
        record_event(actor=None, verb="created", subject=user, data={"role": role})
    return user


def task_file(**changes: Any) -> dict[str, Any]:
    """A task file for digits, validated by two people and a third when these differ."""
    return {
        "slug": "digits",
        "name": "Digits",
        "input": "image",
        "labels": [{"value": digit, "name": digit, "key": digit} for digit in DIGITS],
        "validation": {"policy": "two_plus_one", "sample": 0},
        **changes,
    }


def digits_task(owner: User | None = None, *, net: bool = False, **changes: Any) -> Task:
    """A digits task with an open first round, whose model's answer follows from the drawing.

    With `net` it comes from the library's net, which takes a file and longer to open.
    """
    task, _ = rounds.load_task(file=parse_task_file(task_file(**changes)), actor=owner)
    return opened(task, fixed_net(task) if net else fixed_model(task))


def text_task(**changes: Any) -> Task:
    """A task for texts with an open round, whose model's answer follows from the text."""
    file = {"slug": "texts", "name": "Texts", "input": "text", "labels": ["yes", "no"], **changes}
    task, _ = rounds.load_task(file=parse_task_file(file))
    return opened(task, fixed_model(task))


def chat_task(owner: User | None = None, **changes: Any) -> Task:
    """A task of chats with an open round, whose model says back what it is told."""
    file = {
        "slug": "chats",
        "name": "Chats",
        "input": "chat",
        "labels": ["acceptable", "harmful", "refuses_harmless"],
        "claim": "acceptable",
        "validation": {"policy": "two_plus_one", "sample": 0},
        **changes,
    }
    task, _ = rounds.load_task(file=parse_task_file(file), actor=owner)
    register(task=task, file=read_model_file("{name: echo, backend: null}"), open_round=True)
    return task


def chatted(task: Task, author: User, *said: str) -> Chat:
    """A chat of these turns, each answered."""
    who = Participant(user=author)
    chat = chats.open_chat(participant=who, task=task)
    for content in said:
        begun = chats.begin_turn(participant=who, uid=chat.uid, content=content)
        assert isinstance(begun, chats.Asked)
        chats.ask(begun)
    return chat


def opened(task: Task, model: ModelVersion) -> Task:
    """The task, its next round open against this model."""
    with durable():
        rounds.open_next_round(task=task, models=[model])
    return task


def fixed_model(task: Task, seed: int = 0) -> ModelVersion:
    """Register a model of no file, whose answers follow from the inputs and the seed."""
    assert task.config is not None
    config = {"labels": task.config.file.label_values, "salt": str(seed)}
    # Of its own: what one of them has answered is kept under it.
    sha256 = hashlib.sha256(json.dumps(config).encode()).hexdigest()
    with durable():
        return rounds.register_model(task=task, backend="null", sha256=sha256, config=config)


def fixed_net(task: Task, seed: int = 0, *, calls: str = "") -> ModelVersion:
    """Register the library's digits net, which cannot be retrained here; a file for each seed. Its
    own labels begin with what it `calls` them."""
    shipped = json.loads((SHIPPED / "model.json").read_text())
    file = artifacts.load(SHIPPED / shipped["artifact"], shipped["sha256"])
    path = artifacts.save(
        {**file.members, "seed": str(seed).encode()},
        learner=file.learner,
        labels=[f"{calls}{label}" for label in file.labels],
        folder=Path(settings.ARTIFACT_DIR),
    )
    config = {name: value for name, value in shipped["config"].items() if name != "base"}
    if calls:
        config["names"] = {f"{calls}{label}": label for label in file.labels}
    with durable():
        return rounds.register_model(
            task=task, backend="onnx", artifact=path.name, sha256=path.stem, config=config
        )


def drawing(seed: int) -> dict[str, str]:
    """A stroke that no other seed gives, as the image input of the contract."""
    return {"png": base64.b64encode(png_of(scribble(seed))).decode()}


def scribble(seed: int) -> NDArray[np.float32]:
    """A (56, 56) drawing: a random walk of a thick pen."""
    rng = np.random.default_rng(seed)
    canvas = np.zeros((56, 56), dtype=np.float32)
    y, x = 28, 28
    for dy, dx in rng.integers(-5, 6, size=(12, 2)):
        y, x = int(np.clip(y + dy, 4, 50)), int(np.clip(x + dx, 4, 50))
        canvas[y - 2 : y + 3, x - 2 : x + 3] = 1
    return canvas


def submission(
    task: Task, author: User, seed: int | None = None, *, fooled: bool = True, **changes: Any
) -> Example:
    """An example by this author, whose label differs from the prediction if it is to fool.

    Where `label` is given, `fooled` says nothing. Without a seed it is a drawing that nobody sent
    before, the first of a task the one of seed 1.
    """
    if seed is None:
        there = task.examples.count()
        seed = 1_000_000 + there if there else 1
    input = changes.pop("input", drawing(seed))
    said = prediction(task, input)
    label = said if not fooled else DIGITS[(int(said) + 1) % 10]
    example, _, _ = submissions.submit(
        participant=Participant(user=author),
        task_id=task.pk,
        **{"client_id": uuid.uuid4(), "input": input, "label": label, **changes},
    )
    assert "label" in changes or example.fooled == fooled
    return example


def prediction(task: Task, input: object) -> str:
    """What the task's live model says of an input."""
    from annotate.inference import live_model
    from annotate.queries import open_target

    target = open_target(task.pk)
    assert target is not None
    kind = target.config.file.kind
    return live_model(target.models[0], kind).predict_one(kind.parse(input)).label


def lease_for(validator: User, task: Task, **how: Any) -> Lease:
    """The next item, which there must be."""
    lease = acts.next_item(validator=validator, task=task, **how)
    assert lease is not None, "the queue is empty"
    return lease


def answer(validator: User, task: Task, label: str | None = None, flag: str = "") -> Example:
    """Take the next item and vote on it (by default for the author's label)."""
    lease = lease_for(validator, task)
    vote = lease.example.label if label is None and not flag else label
    acts.vote(validator=validator, lease_id=lease.pk, label=vote, flag=flag)
    return Example.objects.get(pk=lease.example_id)
