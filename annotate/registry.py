"""Registering a model from its file: read, tried on the kind's probes, and only then a version."""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Final

from django.conf import settings
from pydantic import Field, StringConstraints, field_validator, model_validator

from accounts.models import User
from annotate.config import Section, Word
from annotate.models import ModelVersion, Task
from annotate.rounds import open_next_round, register_model
from core import strict_yaml
from core.errors import Conflict, Refused
from core.strict_json import dumps
from core.transactions import durable
from ml import artifacts
from ml.artifacts import ArtifactError
from ml.backends import NAMES, Source, open_model
from ml.model_checks import check

MAX_BYTES: Final = 2 * 1024**3
# Of the files that a backend takes. Only a graph may be sent from afar: nothing else in it is run.
SUFFIXES: Final = {"onnx": (".onnx", artifacts.SUFFIX), "torch": (artifacts.SUFFIX,)}
SENT: Final = {"onnx": ".onnx"}


class ModelFile(Section):
    """What an owner writes about a model; `content` is its file in base64, where it is sent."""

    name: Annotated[str, StringConstraints(pattern=r"^\S(.*\S)?$", max_length=100)]
    backend: str
    path: str | None = None
    content: str | None = None
    labels: dict[Word, Word] | list[Word] = Field(
        default_factory=list,
        description="The model's names to the task's; a list where the model knows places only.",
    )
    salt: str = Field(default="", max_length=100, description="Tells two null models apart.")

    @field_validator("backend", mode="before")
    @classmethod
    def _backend_is_known(cls, name: object) -> object:
        name = "null" if name is None else name  # as YAML and JSON read it without quotes
        if name not in NAMES:
            raise ValueError(f"choose one of {', '.join(NAMES)}")
        return name

    @model_validator(mode="after")
    def _has_one_file_or_none(self) -> ModelFile:
        given = [name for name in ("path", "content") if getattr(self, name) is not None]
        if self.backend in SUFFIXES and len(given) != 1:
            raise ValueError(f"a model for {self.backend} needs its file: one `path`")
        if self.backend not in SUFFIXES and given:
            raise ValueError(f"a model for {self.backend} has no file")
        return self


@dataclass(frozen=True)
class Registered:
    """A new version, and what its check found."""

    model: ModelVersion
    check: dict[str, Any]

    def summary(self) -> dict[str, Any]:
        return {
            "model": self.model.name,
            "number": self.model.number,
            "backend": self.model.backend,
            "check": self.check,
        }


def read_model_file(text: str | bytes) -> ModelFile:
    """Read a model file's YAML; NotYaml says what is wrong with it."""
    return strict_yaml.parse(ModelFile, strict_yaml.loads(text), what="model file")


def register(
    *,
    task: Task,
    file: ModelFile,
    folder: Path | None = None,
    open_round: bool = False,
    actor: User | None = None,
) -> Registered:
    """Keep the model's file, check what it answers, register it and, if asked, open a round.

    Paths are relative to `folder`; without one none is read: a caller from afar names no files of
    this machine. Refused with what to do when the model may not judge this task; no version is
    made then. The passes run before the transaction.
    """
    assert task.config is not None
    if actor is not None and not task.is_owned_by(actor):
        raise Refused("not_an_owner", "Only an owner of the task may do this.", status=403)
    _require_new_name(task, file.name)
    labels = task.config.file.label_values
    kind = task.config.file.kind
    artifact, sha256 = _keep(file, folder)
    config = _config(file, labels, several=kind.answers.several)
    if not labels:
        config["kind"] = kind.name  # whose answers are free
    sha256 = sha256 or hashlib.sha256(dumps([kind.name, file.backend, config]).encode()).hexdigest()
    home = Path(settings.ARTIFACT_DIR)
    try:
        source = Source(home / artifact if artifact else None, sha256, config)
        backend = open_model(file.backend, source)
        report = check(backend, [kind.parse(probe) for probe in kind.probes], labels)
    except ArtifactError as error:
        raise Refused("model_unfit", str(error)) from error
    with durable():
        _require_new_name(task, file.name)
        model = register_model(
            task=task,
            name=file.name,
            backend=file.backend,
            artifact=artifact,
            sha256=sha256,
            config=config,
            provenance={"kind": "registered", "check": report},
            actor=actor,
        )
        if open_round:
            open_next_round(task=task, models=[model], actor=actor, reason="Registered for it.")
    return Registered(model, report)


def _require_new_name(task: Task, name: str) -> None:
    if ModelVersion.objects.filter(task=task, name=name).exists():
        raise Conflict("name_taken", f"{task.slug} has a model called {name}: choose another name.")


def _config(file: ModelFile, labels: list[str], *, several: bool) -> dict[str, Any]:
    """What the backend is opened with: labels in the model's order, and what they mean here."""
    if isinstance(file.labels, Mapping):
        own, names = list(file.labels), {k: v for k, v in file.labels.items() if k != v}
    else:
        own, names = file.labels or labels, {}
    return {
        "labels": own,
        **({"names": names} if names else {}),
        **({"several": True} if several else {}),
        **({"salt": file.salt} if file.salt else {}),
    }


def _keep(file: ModelFile, folder: Path | None) -> tuple[str, str]:
    """Put the model's file among the artifacts, under its hash: its name there and the hash."""
    if file.path is None and file.content is None:
        return "", ""
    if file.content is not None:
        if file.backend not in SENT:
            raise Refused("bad_file", f"Only models for {' or '.join(SENT)} can be sent.")
        data, suffix = _decoded(file.content), SENT[file.backend]
    elif folder is None:
        raise Refused("no_path", "Send the file as `content`: a path is not read from afar.")
    else:
        path = folder / str(file.path)
        data, suffix = _read(path), path.suffix
        if suffix not in SUFFIXES[file.backend]:
            wanted = " or ".join(SUFFIXES[file.backend])
            raise Refused("bad_file", f"{path.name} must be a {wanted} file.")
    kept = artifacts.keep(data, Path(settings.ARTIFACT_DIR), suffix)
    return kept.name, hashlib.sha256(data).hexdigest()


def _decoded(content: str) -> bytes:
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
