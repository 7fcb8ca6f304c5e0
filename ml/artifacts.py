"""Models on disk: one immutable file each, named by the SHA-256 of its bytes.

A model file is a zip of a manifest and of what its learner put in: weights, and where it can be a
graph that gives the same answers. Nothing here knows what is inside.
"""

from __future__ import annotations

import hashlib
import io
import json
import logging
import shutil
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from ml import store
from ml.files import written_whole

logger = logging.getLogger(__name__)

FORMAT: Final = 1
SUFFIX: Final = ".model"
MANIFEST: Final = "manifest.json"
ONNX: Final = "net.onnx"  # the member that the backend of this name runs
# Zip keeps a time for each member: a fixed one, so that equal models make equal files.
_EPOCH: Final = (1980, 1, 1, 0, 0, 0)


class ArtifactError(RuntimeError):
    """A model file cannot be made or used; the message says why."""


class MissingArtifact(ArtifactError):
    """There is no file where the model should be."""


class TamperedArtifact(ArtifactError):
    """The file's bytes are not those that were registered."""


@dataclass(frozen=True, slots=True)
class LoadedArtifact:
    """A model file whose bytes were checked; `learner` made it and can read its members."""

    learner: str
    labels: tuple[str, ...]
    members: Mapping[str, bytes]


def save(
    members: Mapping[str, bytes], *, learner: str, labels: Sequence[str], folder: Path
) -> Path:
    """Write the members as one file into the folder, all of it or nothing: equal ones make one."""
    manifest = {"format": FORMAT, "learner": learner, "labels": list(labels)}
    text = json.dumps(manifest, sort_keys=True, ensure_ascii=False)
    return keep(zipped({**members, MANIFEST: text.encode()}), folder, SUFFIX)


def load(path: Path, sha256: str) -> LoadedArtifact:
    """Read a model file and prove that its bytes are the registered ones.

    Raises MissingArtifact, TamperedArtifact, or ArtifactError for a file of another kind.
    """
    data = checked_bytes(path, sha256)
    try:
        # Parsed from the bytes that were hashed: the file may be swapped, they may not.
        with zipfile.ZipFile(io.BytesIO(data)) as file:
            members = {name: file.read(name) for name in file.namelist()}
        manifest = json.loads(members.pop(MANIFEST))
        version = manifest["format"]
        # The first files called it their net.
        learner = str(manifest["learner"] if "learner" in manifest else manifest["net"])
        labels = tuple(map(str, manifest["labels"]))
    except (zipfile.BadZipFile, KeyError, TypeError, ValueError) as error:
        raise ArtifactError(f"The file {path.name} is not a model file.") from error
    if version != FORMAT:
        raise ArtifactError(
            f"The model file {path.name} has format {version}; this version reads {FORMAT}."
        )
    return LoadedArtifact(learner, labels, members)


def keep(data: bytes, folder: Path, suffix: str) -> Path:
    """Write the bytes into the folder under their own hash; where they are already, they stay.

    And into the store behind it, where it has one (ml/store.py)."""
    path = folder / f"{hashlib.sha256(data).hexdigest()}{suffix}"
    if not path.exists():
        with written_whole(path) as out:
            out.write(data)
    with _told():
        store.put(path)
    return path


def fetched(path: Path) -> Path:
    """The path, with the file there if it is anywhere."""
    with _told():
        store.fetch(path)
    return path


@contextmanager
def _told() -> Iterator[None]:
    try:
        yield
    except store.StoreError as error:
        raise ArtifactError(str(error)) from error


def unpacked(path: Path) -> Path:
    """Where the files within it lie once they are taken out: not among what a backup takes."""
    return path.parent.parent / "unpacked" / path.stem


def forget(path: Path) -> None:
    """Take a file away, with what was taken out of it; what a store keeps of it harms nobody."""
    try:
        store.drop(path)
    except store.StoreError:
        logger.warning("%s stays in the store", path.name, exc_info=True)
    shutil.rmtree(unpacked(path), ignore_errors=True)


def checked_bytes(path: Path, sha256: str, what: str = "model file") -> bytes:
    """What is in the file; MissingArtifact or TamperedArtifact when it is not what it was."""
    try:
        data = fetched(path).read_bytes()
    except FileNotFoundError as error:
        raise MissingArtifact(f"The {what} {path.name} is missing.") from error
    found = hashlib.sha256(data).hexdigest()
    if found != sha256.lower():
        raise TamperedArtifact(
            f"The {what} {path.name} has changed: its SHA-256 is {found}, registered {sha256}."
        )
    return data


def zipped(members: Mapping[str, bytes]) -> bytes:
    """The members as an uncompressed zip whose bytes depend on nothing else."""
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_STORED) as out:
        for name in sorted(members):
            info = zipfile.ZipInfo(name, date_time=_EPOCH)
            info.create_system = 3
            info.external_attr = 0o600 << 16
            out.writestr(info, members[name])
    return archive.getvalue()
