"""Registering a model from its file: read, tried on the kind's probes, and only then a version."""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Final, TypeGuard, TypeVar
from uuid import UUID

from django.conf import settings
from django.dispatch import Signal
from django.utils import timezone
from pydantic import (
    ConfigDict,
    Field,
    SecretStr,
    StringConstraints,
    ValidationError,
    field_validator,
    model_validator,
)

from accounts.models import User
from annotate import uploads
from annotate.models import ModelVersion, Task
from annotate.rounds import open_next_round, register_model, targets_with
from annotate.seals import seal
from annotate.sections import Section, Word
from core import strict_yaml
from core.errors import Conflict, Refused
from core.strict_json import dumps
from core.transactions import durable
from ml import artifacts
from ml.artifacts import ArtifactError
from ml.backends import NAMES, Backend, Options, Way, open_model, source_of, way_named
from ml.model_checks import check, check_talk

Source = TypeVar("Source")
Made = TypeVar("Made")

# model, and actor (None: a command's, or a start's). Sent inside the transaction that makes it.
model_registered = Signal()

MAX_BYTES: Final = 2 * 1024**3


class Card(Section):
    """What others must know of a model; each a sentence or more, none of them needed."""

    description: Annotated[str, StringConstraints(max_length=2_000)] = ""
    data: Annotated[str, StringConstraints(max_length=2_000)] = ""
    licence: Annotated[str, StringConstraints(max_length=200)] = ""
    source: Annotated[str, StringConstraints(max_length=500)] = ""


class ModelFile(Section):
    """What an owner writes about a model; `content` is its file in base64, where it is sent, or
    `upload` names what was sent in pieces.

    What else it says is for its backend, whose file tells what it takes.
    """

    model_config = ConfigDict(extra="allow", frozen=True)

    name: Annotated[str, StringConstraints(pattern=r"^\S(.*\S)?$", max_length=100)]
    backend: str
    path: str | None = None
    content: str | None = None
    upload: UUID | None = None
    labels: dict[Word, Word] | list[Word] = Field(
        default_factory=list,
        description="The model's names to the task's; a list where the model knows places only.",
    )
    parent: str | None = Field(default=None, description="The task's model that it was made from.")
    card: Card = Card()

    @field_validator("backend", mode="before")
    @classmethod
    def _backend_is_known(cls, name: object) -> object:
        name = "null" if name is None else name  # as YAML and JSON read it without quotes
        if name not in NAMES:
            raise ValueError(f"choose one of {', '.join(NAMES)}")
        return name

    @model_validator(mode="after")
    def _has_one_file_or_none(self) -> ModelFile:
        given = [name for name in ("path", "content", "upload") if getattr(self, name) is not None]
        given += ["hub"] if self.way.fetch and (self.model_extra or {}).get("hub") else []
        most, least = (
            bool(self.way.suffixes),
            bool(self.way.suffixes and not self.way.file_optional),
        )
        if not most and given:
            raise ValueError(f"a model for {self.backend} has no file")
        if not least <= len(given) <= most:
            or_else = " or one `hub`" if self.way.fetch else ""
            raise ValueError(f"a model for {self.backend} needs its file: one `path`{or_else}")
        return self

    @model_validator(mode="after")
    def _its_backend_takes_the_rest(self) -> ModelFile:
        try:
            _ = self.options
        except ValidationError as error:
            raise ValueError(strict_yaml.sentences(error, self.backend)) from None
        return self

    @property
    def way(self) -> Way:
        """What its backend says of itself."""
        return way_named(self.backend)

    @property
    def options(self) -> Options:
        """What it says to its backend alone."""
        return self.way.options.model_validate(self.model_extra or {})


@dataclass(frozen=True)
class Registered:
    """A new version, and what its check found."""

    model: ModelVersion
    check: dict[str, Any]

    def summary(self) -> dict[str, Any]:
        return {
            "id": self.model.pk,
            "model": self.model.name,
            "number": self.model.number,
            "backend": self.model.backend,
            "check": self.check,
        }


def read_model_file(text: str | bytes, **sent: Any) -> ModelFile:
    """Read a model file's YAML, with what was sent beside it; NotYaml says what is wrong."""
    read = strict_yaml.loads(text)
    data = {**read, **sent} if isinstance(read, dict) else read
    return strict_yaml.parse(ModelFile, data, what="model file")


def register(
    *,
    task: Task,
    file: ModelFile,
    folder: Path | None = None,
    open_round: bool = False,
    beside: bool = False,
    needed: int | None = None,
    actor: User | None = None,
) -> Registered:
    """Keep the model's file, check what it answers, register it and, if asked, open a round.

    `beside` and `needed` are about the round, as for `change_target`. Paths are relative to
    `folder`; without one none is read: a caller from afar names no files of this machine. Refused
    with what to do when the model may not judge this task; no version is made then. The passes run
    before the transaction.
    """
    assert task.config is not None
    if actor is not None and not task.is_owned_by(actor):
        raise Refused("not_an_owner", "Only an owner of the task may do this.", status=403)
    _require_new_name(task, file.name)
    wanted = task.config.file
    artifact, sha256 = _keep(file, folder, actor)
    talks = wanted.kind.talks
    labels = [] if talks else wanted.label_values
    config = _config(file, labels, several=wanted.kind.answers.several)
    if not labels:
        config["kind"] = wanted.kind.name  # whose answers are free, or which talks
    if talks:
        config = {**file.way.talking, **config}
    told = dumps([wanted.kind.name, file.backend, config])
    made = {
        "backend": file.backend,
        "artifact": artifact,
        "sha256": sha256 or hashlib.sha256(told.encode()).hexdigest(),
        "config": config,
        "provenance": {
            "kind": "registered",
            "card": file.card.model_dump(exclude_defaults=True),
        },
        "parent": _parent(task, file),
    }
    taken = take(
        task=task,
        made=made,
        name=file.name,
        open_round=open_round,
        beside=beside,
        needed=needed,
        actor=actor,
    )
    if actor is not None and file.upload is not None:  # of what is refused another try may be made
        uploads.forget(actor, file.upload)
    return taken


def take(
    *,
    task: Task,
    made: Mapping[str, Any],
    name: str | None = None,
    open_round: bool = False,
    beside: bool = False,
    needed: int | None = None,
    actor: User | None = None,
) -> Registered:
    """Check a model whose file is among the artifacts, and register it with the report.

    `made` is all that its version says of itself. Refused when it may not judge this task.
    """
    made = tried(task, made)
    with durable():
        if name is not None:
            _require_new_name(task, name)
        model = register_model(task=task, name=name, actor=actor, **made)
        if open_round:
            open_next_round(
                task=task,
                models=targets_with(task, model, beside=beside),
                needed=needed,
                actor=actor,
                reason="Registered for it.",
            )
        model_registered.send(ModelVersion, model=model, actor=actor)
    report = {name: found for name, found in made["provenance"]["check"].items() if name != "at"}
    return Registered(model, report)


def tried(task: Task, made: Mapping[str, Any]) -> dict[str, Any]:
    """What a version will say of itself, with the report of its check; Refused with what to do."""
    assert task.config is not None
    kind, labels = task.config.file.kind, task.config.file.label_values
    source = source_of(made, Path(settings.ARTIFACT_DIR))
    probes = [kind.parse(probe) for probe in kind.probes]

    def opened() -> Backend:
        return open_model(made["backend"], source)

    try:
        if kind.talks:
            report = check_talk(opened, kind.seen(probes[0].stored)["turns"][:1])
        else:
            report = check(opened, probes, labels)
    except ArtifactError as error:
        raise Refused("model_unfit", str(error)) from error
    report["at"] = timezone.now().isoformat(timespec="seconds")
    return {**made, "provenance": {**made["provenance"], "check": report}}


def _require_new_name(task: Task, name: str) -> None:
    if ModelVersion.objects.filter(task=task, name=name).exists():
        raise Conflict("name_taken", f"{task.slug} has a model called {name}: choose another name.")


def _parent(task: Task, file: ModelFile) -> ModelVersion | None:
    if file.parent is None:
        return None
    found = ModelVersion.objects.filter(task=task, name=file.parent).first()
    if found is None:
        raise Refused("no_parent", f"{task.slug} has no model {file.parent} to be made from.")
    return found


def _config(file: ModelFile, labels: list[str], *, several: bool) -> dict[str, Any]:
    """What the backend is opened with: labels in the model's order, and what they mean here.

    A model that knows its labels by name is not told any, unless its file does.
    """
    if isinstance(file.labels, Mapping):
        own, names = list(file.labels), {k: v for k, v in file.labels.items() if k != v}
    else:
        own, names = file.labels or ([] if file.way.names_labels else labels), {}
    return {
        **({"labels": own} if own or not file.way.names_labels else {}),
        **({"names": names} if names else {}),
        **({"several": True} if several else {}),
        **file.options.model_dump(mode="json", exclude_defaults=True),
        **{name: seal(one.get_secret_value()) for name, one in file.options if _is_secret(one)},
    }


def _is_secret(value: object) -> TypeGuard[SecretStr]:
    return isinstance(value, SecretStr)


def _keep(file: ModelFile, folder: Path | None, actor: User | None) -> tuple[str, str]:
    """Put the model's file among the artifacts, under its hash: its name there and the hash."""
    fetched = _fit(file.way.fetch, file.options) if file.way.fetch is not None else None
    if fetched is None and not (file.path or file.content or file.upload):
        return "", ""
    if fetched is not None:
        assert file.way.pack is not None
        data, suffix = _packed(fetched, file.way.pack), file.way.suffixes[0]
    elif file.path is None:
        if not (suffix := file.way.sent):
            able = [name for name in NAMES if way_named(name).sent]
            raise Refused("bad_file", f"Only models for {' or '.join(able)} can be sent.")
        data = _sent(file, actor)
        if file.way.received is not None:
            data = _fit(file.way.received, data)
    elif folder is None:
        raise Refused("no_path", "Send the file as `content`: a path is not read from afar.")
    else:
        path = folder / str(file.path)
        if file.way.pack is not None and path.is_dir():
            data, suffix = _packed(path, file.way.pack), file.way.suffixes[0]
        else:
            data, suffix = _read(path), path.suffix
        if suffix not in file.way.suffixes:
            wanted = " or ".join(file.way.suffixes)
            raise Refused("bad_file", f"{path.name} must be a {wanted} file.")
    kept = artifacts.keep(data, Path(settings.ARTIFACT_DIR), suffix)
    return kept.name, hashlib.sha256(data).hexdigest()


def _packed(folder: Path, pack: Callable[[Path], bytes]) -> bytes:
    if sum(path.stat().st_size for path in folder.iterdir()) > MAX_BYTES:
        raise Refused("too_large", f"{folder.name} has more than {MAX_BYTES // 1024**3} GiB.")
    try:
        return _fit(pack, folder)
    except OSError as error:
        raise Refused("bad_file", f"{folder} cannot be read: {error.strerror}.") from error


def _fit(take: Callable[[Source], Made], source: Source) -> Made:
    try:
        return take(source)
    except ArtifactError as error:
        raise Refused("model_unfit", str(error)) from error


def _sent(file: ModelFile, actor: User | None) -> bytes:
    if file.upload is not None and actor is not None:
        return uploads.sent(actor, file.upload)
    return decoded(file.content or "")


def decoded(content: str) -> bytes:
    """Bytes that travelled as text."""
    try:
        return base64.b64decode(content, validate=True)
    except (binascii.Error, ValueError) as error:
        raise Refused("bad_file", "content must be the file in base64.") from error


def _read(path: Path) -> bytes:
    try:
        if path.stat().st_size > MAX_BYTES:
            raise Refused("too_large", f"{path.name} has more than {MAX_BYTES // 1024**3} GiB.")
        return path.read_bytes()
    except OSError as error:
        raise Refused("bad_file", f"{path} cannot be read: {error.strerror}.") from error
