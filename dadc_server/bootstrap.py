"""What a fresh installation gets: the task library, a base model for its tasks, a first admin."""

from __future__ import annotations

import fcntl
import math
import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

from django.conf import settings

from accounts.models import Role, User
from accounts.services import create_user
from annotate.config import parse_task_file
from annotate.models import ModelVersion, Round, Task
from annotate.registry import ModelFile, register
from annotate.rounds import load_task, open_next_round, register_model
from core import strict_yaml
from core.transactions import durable
from ml import artifacts, digits
from training.base_data import BaseData, store
from training.provenance import code_revision

LIBRARY = Path(__file__).parent / "library"
DIGITS = "digits"
SEED = 0
# Images seen in a training of the base model, whatever the size of its data: a minute of one core.
SEEN_IMAGES = 160_000
EPOCH_IMAGES = 13_000  # how many the training makes of fewer, by varying them
FEWEST_EPOCHS = 4

Progress = Callable[[float, str], None]


class BadBase(ValueError):
    """The base data that was asked for cannot be had; the message is a sentence."""


@dataclass(frozen=True)
class Login:
    """A first admin's name and password: shown once, and stored nowhere."""

    username: str
    password: str


@contextmanager
def only_one() -> Iterator[None]:
    """Wait until no other process of this machine bootstraps the same data folder."""
    with (settings.DATA_DIR / "bootstrap.lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def load_library() -> list[tuple[Task, bool]]:
    """Load each task of the library that is not there yet; returns all, and whether each is new.

    A task that exists is left alone: its owner may have changed it. Beside what a task file says, a
    file of the library may name the task's first `model`, as a model file does.
    """
    loaded = []
    for path in sorted(LIBRARY.glob("*.yaml")):
        content = dict(strict_yaml.loads(path.read_text()))
        model = content.pop("model", None)
        file = parse_task_file(content)
        existing = Task.objects.filter(slug=file.slug).first()
        task, new = (existing, False) if existing else load_task(file=file)
        if model is not None and not task.models.exists():
            first = strict_yaml.parse(
                ModelFile, {"name": f"{task.slug}-1", **model}, what="model file"
            )
            register(task=task, file=first, folder=LIBRARY, open_round=True)
        loaded.append((task, new))
    return loaded


def lacks_base_model(task: Task) -> bool:
    """Whether this is the digits task without a model that can answer."""
    return task.slug == DIGITS and not task.models.exclude(artifact="").exists()


def check_base(source: str) -> None:
    """Refuse a source that cannot be one, also when no base model is needed any more."""
    if source not in ("sklearn", "mnist") and not Path(source).is_dir():
        raise BadBase(f"{source} is neither sklearn nor mnist nor a folder.")


def load_base(source: str) -> digits.Images:
    """Read base data by name: `sklearn`, `mnist` (downloads it), or a folder of IDX files."""
    try:
        if source == "sklearn":
            return digits.load_sklearn()
        if source == "mnist":
            return digits.load_openml()
        return digits.load_idx(source)
    except (digits.DataError, OSError) as error:
        raise BadBase(f"The base data cannot be read: {error}") from error


def train_base_model(task: Task, images: digits.Images, progress: Progress) -> ModelVersion:
    """Train the task's base model, register it and open the first round.

    Of two that do this at once the second finds the first one's model and returns that.
    """
    from ml.training import train_base  # torch: only for the moment that needs it

    assert task.config is not None
    labels = task.config.file.label_values
    train, held_out = digits.split_clean(images, SEED)
    seen_an_epoch = max(EPOCH_IMAGES, len(train))
    result = train_base(
        train,
        seed=SEED,
        epochs=max(FEWEST_EPOCHS, round(SEEN_IMAGES / seen_an_epoch)),
        held_out=held_out,
        progress=progress,
    )
    artifact = artifacts.save(
        result.net, net_name=DIGITS, folder=Path(settings.ARTIFACT_DIR), labels=labels
    )
    base = store(BaseData(train, held_out), Path(settings.ARTIFACT_DIR))
    with durable():
        locked = Task.objects.select_for_update(no_key=True).get(pk=task.pk)
        if not lacks_base_model(locked):
            return locked.models.exclude(artifact="").order_by("number")[0]
        model = register_model(
            task=locked,
            backend="onnx",
            artifact=artifact.path.name,
            sha256=artifact.sha256,
            config={**result.config, "labels": labels, "base": base},
            provenance={
                "kind": "base",
                "data": {"base_sha256": base["sha256"]},
                "code": code_revision(),
            },
            metrics={"clean": _finite(result.metrics)},
        )
        if not Round.objects.filter(task=locked, status=Round.Status.OPEN).exists():
            open_next_round(task=locked, models=[model], reason="The task's first model.")
    return model


def _finite(value: Any) -> Any:
    """The same figures as JSON: what could not be measured becomes null."""
    if isinstance(value, dict):
        return {key: _finite(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_finite(inner) for inner in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def create_first_admin() -> Login | None:
    """Create an admin with a random password; None when there is one who can sign in."""
    if User.objects.filter(role=Role.ADMIN, is_active=True).exists():
        return None
    name = _first_free_name("admin")
    password = secrets.token_urlsafe(12)
    create_user(username=name, role=Role.ADMIN, password=password)
    return Login(name, password)


def _first_free_name(name: str) -> str:
    """The name, or the name with a number when somebody signed up as that."""
    taken = User.objects.filter(username__istartswith=name).values_list("username", flat=True)
    lower = {other.lower() for other in taken}
    if name not in lower:
        return name
    return next(f"{name}{number}" for number in count(2) if f"{name}{number}" not in lower)
