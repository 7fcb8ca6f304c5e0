"""What a fresh installation gets: the task library, a base model for its tasks, a first admin."""

from __future__ import annotations

import fcntl
import json
import secrets
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import count
from pathlib import Path
from typing import Any

import structlog
from django.conf import settings

from accounts.models import Role, User
from accounts.services import create_user
from annotate.config import parse_task_file
from annotate.context_files import rows_of
from annotate.contexts import load_contexts
from annotate.models import ModelVersion, Round, Task
from annotate.registry import ModelFile, register, tried
from annotate.rounds import load_task, open_next_round, register_model
from core import strict_yaml
from core.errors import Refused
from core.transactions import durable
from ml import artifacts
from ml.backends import open_model, source_of
from ml.learners import (
    BadSource,
    Item,
    Learner,
    Progress,
    all_learners,
    learner_named,
    save,
    store_base,
)
from ml.metrics import figures
from training.provenance import code_revision

log = structlog.get_logger(__name__)

LIBRARY = Path(__file__).parent / "library"
SEED = 0


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
    file of the library may name the task's first `model`, as a model file does, or by its
    `model_setting` the operator's, without which it is not loaded; and a `contexts_file` beside it.
    """
    loaded = []
    for path in sorted(LIBRARY.glob("*.yaml")):
        content = dict(strict_yaml.loads(path.read_text()))
        model, contexts = content.pop("model", None), content.pop("contexts_file", None)
        if named := content.pop("model_setting", None):
            if not (own := getattr(settings, named)):
                continue
            model = strict_yaml.loads(Path(own).expanduser().read_text())
        file = parse_task_file(content)
        existing = Task.objects.filter(slug=file.slug).first()
        task, new = (existing, False) if existing else load_task(file=file)
        if model is not None and not task.models.exists():
            first = strict_yaml.parse(
                ModelFile, {"name": f"{task.slug}-1", **model}, what="model file"
            )
            try:
                register(task=task, file=first, folder=LIBRARY, open_round=True)
            except Refused as refused:  # its server may be away: the next start tries again
                if not named:
                    raise
                log.warning("no_first_model", task=task.slug, reason=refused.message)
        assert task.config is not None
        as_here = task.config.file.contexts == file.contexts  # a task from before may have none
        if contexts is not None and as_here and not task.contexts.exists():
            load_contexts(task=task, rows=rows_of(LIBRARY / contexts))
        loaded.append((task, new))
    return loaded


def lacks_base_model(task: Task) -> bool:
    """Whether the library has a base model for the task, with its labels, and it has none yet."""
    shipped = _shipped(task.slug)
    if not shipped.exists() or task.models.exclude(backend="").exists():
        return False
    assert task.config is not None
    labels: list[str] = json.loads(shipped.read_text())["config"]["labels"]
    return labels == task.config.file.label_values


def _shipped(slug: str) -> Path:
    """What says how the library's base model of a task is registered; its files lie beside it."""
    return LIBRARY / slug / "model.json"


def check_source(source: str) -> None:
    """Refuse what cannot be a source, also when no base model is needed any more; BadSource."""
    names = [name for learner in all_learners() for name in learner.sources]
    if source not in names and not Path(source).is_dir():
        raise BadSource(f"{source} is neither {' nor '.join(names)} nor a folder.")


def register_base_model(task: Task) -> ModelVersion:
    """Copy the library's base model of the task to this server's and open the first round."""
    made = json.loads(_shipped(task.slug).read_text())
    folder = Path(settings.ARTIFACT_DIR)
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    for name, sha256 in _files(made).items():
        data = artifacts.checked_bytes(_shipped(task.slug).parent / name, sha256)
        artifacts.keep(data, folder, name.removeprefix(sha256))
    return _register(task, made)


def train_base_model(task: Task, source: str, progress: Progress) -> ModelVersion:
    """The same from clean data of this server's operator: trained here, a minute for each."""
    folder = Path(settings.ARTIFACT_DIR)
    config = json.loads(_shipped(task.slug).read_text())["config"]
    return _register(
        task,
        make_base_model(
            learner_named(config["learner"]), source, config["labels"], folder, progress
        ),
    )


def make_base_model(
    learner: Learner,
    source: str,
    labels: Sequence[str],
    folder: Path,
    progress: Progress,
    names: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    """Train a base model, write its files and return how it is registered; BadSource.

    `names` are the task's for the data's own names of labels.
    """
    base = learner.load_base(source or learner.sources[0])
    if names:
        base = replace(base, train=_named(base.train, names), held_out=_named(base.held_out, names))
    progress(0.0, f"{len(base.train) + len(base.held_out):,} clean items ({base.source})")
    trained = learner.train(base, labels=labels, seed=SEED, progress=progress)
    named = store_base(learner, base, folder)
    made = save(trained, folder, named)
    model = open_model(learner.backend, source_of(made, folder))
    answers = model.answer([item.prepared for item in base.held_out])
    truth = [item.label for item in base.held_out]
    return {
        **made,
        "provenance": {
            "kind": "base",
            "data": {"base_sha256": named["sha256"]},
            "code": code_revision(),
        },
        "metrics": {"clean": figures(answers, truth, trained.labels)},
    }


def _named(items: Sequence[Item], names: Mapping[str, str]) -> list[Item]:
    return [replace(item, label=names.get(item.label, item.label)) for item in items]


def remake_all(progress: Progress) -> Iterator[tuple[str, bool, dict[str, Any]]]:
    """Each of the library's base models anew: its task, whether it is the same, its registration.

    Other bytes replace the old ones: the same bytes need the same builds of the libraries.
    """
    for path in sorted(LIBRARY.glob("*/model.json")):
        old = json.loads(path.read_text())
        learner, labels = learner_named(old["config"]["learner"]), old["config"]["labels"]
        # A learner that has no clean data of its own finds the task's beside this file.
        source = "" if learner.sources else str(path.parent)
        new = make_base_model(learner, source, labels, path.parent, progress)
        if card := old.get("provenance", {}).get("card"):
            new["provenance"]["card"] = card
        if _files(new) != _files(old):
            for name in _files(old).keys() - _files(new).keys():
                (path.parent / name).unlink(missing_ok=True)
            path.write_text(json.dumps(new, indent=2, ensure_ascii=False) + "\n")
        yield path.parent.name, _files(new) == _files(old), new


def _files(made: Mapping[str, Any]) -> dict[str, str]:
    """The names of a registration's files, each with its digest."""
    base = made["config"].get("base") or {}
    named = {made.get("artifact"): made.get("sha256"), base.get("file"): base.get("sha256")}
    return {name: sha256 for name, sha256 in named.items() if name and sha256}


def _register(task: Task, made: Mapping[str, Any]) -> ModelVersion:
    """Register a base model and open the first round.

    Of two that do this at once the second finds the first one's model and returns that.
    """
    made = tried(task, made)
    with durable():
        locked = Task.objects.select_for_update(no_key=True).get(pk=task.pk)
        if not lacks_base_model(locked):
            return locked.models.exclude(backend="").order_by("number")[0]
        model = register_model(task=locked, **made)
        if not Round.objects.filter(task=locked, status=Round.Status.OPEN).exists():
            open_next_round(task=locked, models=[model], reason="The task's first model.")
    return model


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
