"""The file of a backup: a tar whose first member is a manifest that names every other one.

Nothing is unpacked by the names in the tar. A member counts only if the manifest lists it under a
name of the few known forms, and only with the size and SHA-256 that stand there.
"""

from __future__ import annotations

import hashlib
import io
import os
import re
import tarfile
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import IO, Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from dadc_server.backups.errors import BackupError

MANIFEST = "manifest.json"
SECRET_KEY = "secret_key"  # noqa: S105  (the name of a member)
ARTIFACTS = "artifacts"
SUFFIXES: dict[str, Literal["w", "w:gz"]] = {".tar": "w", ".gz": "w:gz", ".tgz": "w:gz"}
LARGEST_MANIFEST = 64 << 20
CHUNK = 1 << 20

_PART = r"[A-Za-z0-9_][A-Za-z0-9._-]*"
_KNOWN = re.compile(rf"database|{SECRET_KEY}|{ARTIFACTS}(/{_PART})+")

Progress = Callable[[int], object]


def _known_name(name: str) -> str:
    if not _KNOWN.fullmatch(name):
        raise ValueError(f"{name!r} is no name of a backup's member")
    return name


class Member(BaseModel):
    """What a member must be: its bytes are counted and hashed on the way out of the archive."""

    model_config = ConfigDict(frozen=True)

    size: Annotated[int, Field(ge=0)]
    sha256: Annotated[str, Field(pattern="^[0-9a-f]{64}$")]


class Manifest(BaseModel):
    """What is in a backup; `rows` by table, `migrations` as app.name in the order applied."""

    model_config = ConfigDict(frozen=True)

    format: Literal[1] = 1
    made_at: datetime
    code: dict[str, str]
    engine: Literal["sqlite", "postgresql"]
    migrations: list[str]
    rows: dict[str, int]
    missing_artifacts: list[str]
    members: dict[Annotated[str, AfterValidator(_known_name)], Member]

    @property
    def total_size(self) -> int:
        return sum(member.size for member in self.members.values())


def describe(path: Path) -> Member:
    """The size and hash of a file."""
    with path.open("rb") as file:
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()
        return Member(size=file.tell(), sha256=sha256)


def mode_of(archive: Path) -> Literal["w", "w:gz"]:
    """How tarfile writes an archive of this name; BackupError for another suffix."""
    if archive.suffix not in SUFFIXES:
        raise BackupError(f"{archive.name}: name the backup .tar, .tar.gz or .tgz.")
    return SUFFIXES[archive.suffix]


def write(archive: Path, manifest: Manifest, files: Mapping[str, Path], progress: Progress) -> None:
    """Write the archive, readable by its owner only, all of it or nothing.

    A file that is not what the manifest says by now fails it.
    """
    partial = archive.with_name(f".{archive.name}.part")
    descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as out:
            with tarfile.open(fileobj=out, mode=mode_of(archive), format=tarfile.PAX_FORMAT) as tar:
                text = manifest.model_dump_json(indent=1).encode()
                tar.addfile(_entry(MANIFEST, len(text)), io.BytesIO(text))
                for name, member in manifest.members.items():
                    with files[name].open("rb") as file:
                        reader = _Checked(file, name, member, progress)
                        tar.addfile(_entry(name, member.size), reader)
                        reader.finish()
            out.flush()
            os.fsync(out.fileno())
        partial.replace(archive)
    finally:
        partial.unlink(missing_ok=True)


def read_manifest(archive: Path) -> Manifest:
    """What the archive says of itself; BackupError for a file that is no backup."""
    with _opened(archive) as tar:
        return _manifest(tar)


def unpack(archive: Path, folder: Path, progress: Progress) -> Manifest:
    """Write every member below `folder` and prove that they are all there and undamaged."""
    with _opened(archive) as tar:
        manifest = _manifest(tar)
        seen: set[str] = set()
        while (entry := tar.next()) is not None:
            member = manifest.members.get(entry.name)
            content = tar.extractfile(entry) if entry.isreg() else None
            if member is None or content is None or entry.name in seen:
                raise BackupError(f"The backup holds {entry.name!r}, which its list does not name.")
            if entry.size != member.size:
                raise BackupError(f"{entry.name} is damaged: it has another size than was listed.")
            seen.add(entry.name)
            _copy(content, folder / entry.name, entry.name, member, progress)
    if lost := manifest.members.keys() - seen:
        raise BackupError(f"The backup is damaged: {', '.join(sorted(lost))} is missing in it.")
    return manifest


def _entry(name: str, size: int) -> tarfile.TarInfo:
    entry = tarfile.TarInfo(name)
    entry.size, entry.mode = size, 0o600
    return entry


def _manifest(tar: tarfile.TarFile) -> Manifest:
    entry = tar.next()
    if entry is None or entry.name != MANIFEST or entry.size > LARGEST_MANIFEST:
        raise BackupError("This is no backup of DADC: it does not begin with a manifest.")
    content = tar.extractfile(entry)
    assert content is not None
    try:
        return Manifest.model_validate_json(content.read())
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise BackupError(
            f"The backup's manifest cannot be used: {where}: {first['msg']}."
        ) from None


def _copy(content: IO[bytes], path: Path, name: str, member: Member, progress: Progress) -> None:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    path.touch(mode=0o600, exist_ok=False)
    with path.open("wb") as out:
        reader = _Checked(content, name, member, progress)
        while chunk := reader.read(CHUNK):
            out.write(chunk)
        reader.finish()
        out.flush()
        os.fsync(out.fileno())


class _Checked:
    """A file that is counted and hashed while it is read; `finish` compares."""

    def __init__(self, file: IO[bytes], name: str, member: Member, progress: Progress) -> None:
        self.file, self.name, self.member, self.progress = file, name, member, progress
        self.digest = hashlib.sha256()
        self.size = 0

    def read(self, size: int = -1) -> bytes:
        chunk = self.file.read(size)
        self.digest.update(chunk)
        self.size += len(chunk)
        self.progress(len(chunk))
        return chunk

    def finish(self) -> None:
        found = Member(size=self.size, sha256=self.digest.hexdigest())
        if found != self.member:
            raise BackupError(f"{self.name} is damaged: its bytes are not those that were listed.")


@contextmanager
def _opened(archive: Path) -> Iterator[tarfile.TarFile]:
    """The archive, read once from its beginning; whatever is wrong with it is a BackupError."""
    try:
        with archive.open("rb") as file, tarfile.open(fileobj=file, mode="r|*") as tar:
            yield tar
    except OSError as error:
        if error.filename is None and not error.errno:  # gzip: the bytes, not the disk
            raise BackupError(f"The backup is damaged: {error}.") from error
        raise BackupError(f"{error.filename or archive}: {error.strerror}.") from error
    except (tarfile.TarError, EOFError, zlib.error) as error:
        raise BackupError(f"The backup is damaged: {error}.") from error


def names_below(folder: Path) -> Iterator[str]:
    """The artifacts of a folder as members; what is still being written begins with a dot."""
    for path in sorted(folder.rglob("*")):
        name = f"{ARTIFACTS}/{path.relative_to(folder)}"
        if path.is_file() and _KNOWN.fullmatch(name):
            yield name
