"""What can be trained here, behind one protocol; one file or folder a learner, found by its name.

It has `LEARNER`. A learner knows one kind of input and how what it makes is asked; what it learns
from are items, and what it makes is a model file, so that nothing around it knows its shapes.
Nothing heavy is imported before something is trained. Imports no Django.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from importlib import import_module
from pathlib import Path
from pkgutil import iter_modules
from typing import Any, Final, Protocol

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from kinds import Prepared
from ml import artifacts
from ml.artifacts import ArtifactError, LoadedArtifact
from ml.files import written_whole

NAMES: Final = tuple(sorted(found.name for found in iter_modules(__path__)))
BEFORE_NAMES: Final = "digits"  # made every model of which the registration names no learner
BASE_SUFFIX: Final = ".base"

Progress = Callable[[float, str], None]


class BadSource(ValueError):
    """Base data that is not where or what it should be, in a sentence for the operator."""


@dataclass(frozen=True, slots=True)
class Item:
    """An input with its right answer."""

    prepared: Prepared
    label: Any
    shares: Mapping[str, float] | None = field(default=None, kw_only=True)
    """Of one that people do not agree on, how they share the labels; `label` is the likeliest."""


def shares_of(items: Sequence[Item], labels: Sequence[str]) -> NDArray[np.float64]:
    """(n, K), each row summing to 1: all on the label, or as people share them."""
    place = {label: at for at, label in enumerate(labels)}
    shares = np.zeros((len(items), len(labels)))
    for row, item in zip(shares, items, strict=True):
        for label, share in (item.shares or {item.label: 1.0}).items():
            row[place[label]] = share
    return shares


@dataclass(frozen=True, slots=True)
class Base:
    """Clean items: what may be trained on, and what only tests."""

    train: Sequence[Item]
    held_out: Sequence[Item]
    source: str


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A file where a training keeps how far it is: one that begins again goes on from there.

    Of one training alone: the same data, seed and settings.
    """

    path: Path

    def read(self) -> bytes | None:
        return self.path.read_bytes() if self.path.exists() else None

    def keep(self, data: bytes) -> None:
        with written_whole(self.path) as out:
            out.write(data)

    def forget(self) -> None:
        self.path.unlink(missing_ok=True)


@dataclass(frozen=True, slots=True)
class Trained:
    """What was trained, for its learner to export, and all that is needed to train it again."""

    learner: str
    labels: tuple[str, ...]
    model: Any
    config: dict[str, Any]


class Settings(BaseModel):
    """What a task's `retraining` section may say to one learner; each has a default."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Learner(Protocol):
    """One thing that can be trained.

    The same data, seed, settings and libraries give the same model. `progress` hears (fraction,
    sentence) and may raise to cancel.
    """

    kind: str
    """The kind of input that it learns."""
    backend: str
    """How the files that it makes are asked."""
    settings: type[Settings]
    """What a task may set for `fine_tune`."""
    sources: tuple[str, ...]
    """Where clean data comes from, besides folders; the first is what it takes by itself."""

    def load_base(self, source: str, /) -> Base:
        """Clean data from one of `sources` or from a folder; BadSource says why not."""

    def pack(self, base: Base, /) -> bytes:
        """The data as one file: equal data make equal bytes."""

    def unpack(self, data: bytes, /) -> Base:
        """What `pack` was given, bit by bit; ValueError for anything else."""

    def train(
        self,
        base: Base,
        /,
        *,
        labels: Sequence[str],
        seed: int,
        progress: Progress | None = None,
        checkpoint: Checkpoint | None = None,
    ) -> Trained:
        """A first model from clean data."""

    def fine_tune(
        self,
        parent: LoadedArtifact,
        base: Base,
        verified: Sequence[Item],
        /,
        *,
        seed: int,
        settings: Mapping[str, Any],
        progress: Progress | None = None,
        checkpoint: Checkpoint | None = None,
    ) -> Trained:
        """The next model: what `parent` becomes by verified items, whose labels are all its own.

        A learner whose settings have `generated` also takes items of generated regions under that
        name; it may have `redrawn`, by which such regions are made (ml/regions/generated.py).
        One that knows no `shares` takes the likeliest label of what people do not agree on.
        What takes long keeps a `checkpoint`, here and in `train`, and gives the same model when it
        went on from one.
        """

    def export(self, trained: Trained, /) -> Mapping[str, bytes]:
        """The members of its model file; ArtifactError for a model that must not serve."""

    def weights(self, artifact: LoadedArtifact, /) -> Mapping[str, NDArray[Any]]:
        """The numbers of a model file by name, row by row in memory, as others keep them."""


@cache
def learner_named(name: str) -> Learner:
    """The learner with this name; ArtifactError when there is none."""
    if name not in NAMES:
        raise ArtifactError(f"There is no learner {name!r}: they are {', '.join(NAMES)}.")
    found: Learner = import_module(f"ml.learners.{name}").LEARNER
    return found


def learners_of(kind: str) -> list[Learner]:
    """All that learn this kind of input."""
    return [learner for learner in all_learners() if learner.kind == kind]


def all_learners() -> list[Learner]:
    return [learner_named(name) for name in NAMES]


def name_in(config: Mapping[str, Any]) -> str | None:
    """The learner that a model's registration names; None where nothing can train it further."""
    name = config.get("learner", BEFORE_NAMES)
    return name if "base" in config and name in NAMES else None


def save(trained: Trained, folder: Path, base: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Write what was trained as one file into the folder, all of it or nothing.

    Returns how a version of it is registered; `base` is what `store_base` told of its clean data.
    """
    learner, labels = learner_named(trained.learner), trained.labels
    if len(set(labels)) != len(labels):
        raise ArtifactError("Two labels of the model are the same.")
    path = artifacts.save(
        learner.export(trained), learner=trained.learner, labels=labels, folder=folder
    )
    config = {**trained.config, "learner": trained.learner, "labels": list(labels)}
    return {
        "backend": learner.backend,
        "artifact": path.name,
        "sha256": path.stem,
        "config": {**config, "base": base} if base else config,
    }


def store_base(learner: Learner, base: Base, folder: Path) -> dict[str, Any]:
    """Write clean data once and return how a model's registration names it."""
    path = artifacts.keep(learner.pack(base), folder, BASE_SUFFIX)
    return {
        "file": path.name,
        "sha256": path.stem,
        "source": base.source,
        "train": len(base.train),
        "held_out": len(base.held_out),
    }


def read_base(learner: Learner, named: Mapping[str, Any], folder: Path) -> Base:
    """The very data that a registration names; ArtifactError when it is missing or changed."""
    data = artifacts.checked_bytes(folder / named["file"], named["sha256"], what="base data")
    try:
        return learner.unpack(data)
    except ValueError as error:
        raise ArtifactError(f"The base data {named['file']} cannot be read: {error}") from error
