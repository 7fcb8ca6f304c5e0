"""An archive is believed in nothing: neither its names nor its bytes nor that it is whole."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from dadc_server import backup
from dadc_server.backup import BackupError, Manifest

DATABASE = b"every row" * 1000


@pytest.fixture
def sound(tmp_path: Path) -> Path:
    """A whole backup of a database and a model."""
    files = {"database": tmp_path / "a", "artifacts/abc.model": tmp_path / "b"}
    files["database"].write_bytes(DATABASE)
    files["artifacts/abc.model"].write_bytes(b"weights")
    manifest = Manifest(
        made_at=datetime(2024, 1, 1, tzinfo=UTC),
        code={},
        engine="sqlite",
        migrations=[],
        rows={},
        missing_artifacts=[],
        members={name: backup.describe(path) for name, path in files.items()},
    )
    backup.write(tmp_path / "backup.tar.gz", manifest, files)
    return tmp_path / "backup.tar.gz"


def rewritten(sound: Path, change: Callable[[list[tuple[tarfile.TarInfo, bytes]]], None]) -> Path:
    """The archive with its members changed by hand."""
    with tarfile.open(sound) as tar:
        members = [(entry, tar.extractfile(entry).read()) for entry in tar]
    change(members)
    file = sound.with_name("rewritten.tar")
    with tarfile.open(file, "w") as tar:
        for entry, content in members:
            tar.addfile(entry, io.BytesIO(content))
    return file


def entry(name: str, size: int = 0, kind: bytes = tarfile.REGTYPE) -> tarfile.TarInfo:
    made = tarfile.TarInfo(name)
    made.size, made.type, made.linkname = size, kind, "/etc/passwd"
    return made


def test_what_goes_in_comes_out(sound: Path, tmp_path: Path) -> None:
    manifest = backup.unpack(sound, tmp_path / "out")
    assert (tmp_path / "out" / "database").read_bytes() == DATABASE
    assert (tmp_path / "out" / "artifacts" / "abc.model").read_bytes() == b"weights"
    assert manifest.summary()["bytes"] == len(DATABASE) + len(b"weights")
    assert not list(tmp_path.glob(".*.part"))


@pytest.mark.parametrize(
    "added",
    [
        entry("../../outside"),
        entry("/etc/cron.d/job"),
        entry("artifacts/../../outside"),
        entry("artifacts/unlisted.model"),
        entry("artifacts/abc.model"),
        entry("artifacts/link", kind=tarfile.SYMTYPE),
        entry("secret_key", kind=tarfile.FIFOTYPE),
    ],
    ids=lambda added: f"{added.name} {added.type!r}",
)
def test_nothing_but_what_the_manifest_names_is_unpacked(
    sound: Path, tmp_path: Path, added: tarfile.TarInfo
) -> None:
    file = rewritten(sound, lambda members: members.append((added, b"")))
    with pytest.raises(BackupError, match="which its list does not name"):
        backup.unpack(file, tmp_path / "deep" / "out")
    assert not (tmp_path / "outside").exists()


@pytest.mark.parametrize("name", ["../outside", "artifacts/../x", "/etc/passwd", "artifacts/.x"])
def test_a_manifest_cannot_name_a_place_outside(sound: Path, tmp_path: Path, name: str) -> None:
    def rename(members: list[tuple[tarfile.TarInfo, bytes]]) -> None:
        text = members[0][1].replace(b"artifacts/abc.model", name.encode())
        members[0] = (entry(backup.MANIFEST, len(text)), text)

    with pytest.raises(BackupError, match="manifest cannot be used: members"):
        backup.unpack(rewritten(sound, rename), tmp_path / "out")


def test_a_changed_byte_is_noticed(sound: Path, tmp_path: Path) -> None:
    def change(members: list[tuple[tarfile.TarInfo, bytes]]) -> None:
        members[1] = (members[1][0], b"E" + members[1][1][1:])

    with pytest.raises(BackupError, match="database is damaged"):
        backup.unpack(rewritten(sound, change), tmp_path / "out")


def test_a_lost_member_is_noticed(sound: Path, tmp_path: Path) -> None:
    file = rewritten(sound, lambda members: members.pop())
    with pytest.raises(BackupError, match=r"artifacts/abc\.model is missing"):
        backup.unpack(file, tmp_path / "out")


def test_half_a_file_is_no_backup(sound: Path, tmp_path: Path) -> None:
    whole = sound.read_bytes()
    for length in (0, 10, len(whole) // 3, len(whole) // 2):
        sound.write_bytes(whole[:length])
        with pytest.raises(BackupError, match=r"damaged|does not begin"):
            backup.unpack(sound, tmp_path / f"out {length}")


def test_another_file_is_no_backup(tmp_path: Path) -> None:
    other = tmp_path / "other.tar"
    other.write_text("something else")
    with pytest.raises(BackupError, match="damaged"):
        backup.unpack(other, tmp_path / "out")
    with pytest.raises(BackupError, match="No such file"):
        backup.unpack(tmp_path / "none.tar", tmp_path / "out")
    with tarfile.open(other, "w") as tar:
        tar.addfile(entry("readme"))
    with pytest.raises(BackupError, match="does not begin with a manifest"):
        backup.unpack(other, tmp_path / "out")


def test_a_file_that_changes_while_it_is_read_fails_the_backup(sound: Path, tmp_path: Path) -> None:
    folder = tmp_path / "out"
    manifest = backup.unpack(sound, folder)
    (folder / "database").write_bytes(b"E" * len(DATABASE))
    with pytest.raises(BackupError, match="database is damaged"):
        backup.write(
            tmp_path / "new.tar",
            manifest,
            {name: folder / name for name in manifest.members},
        )
    assert not (tmp_path / "new.tar").exists()
    assert not list(tmp_path.glob(".*.part"))


def test_a_model_is_what_its_name_says(sound: Path, tmp_path: Path) -> None:
    """A model is found by its hash, so that another one under its name would be served."""
    name = f"artifacts/{'0' * 64}.model"
    manifest = backup.unpack(sound, tmp_path / "out")
    member = manifest.members["artifacts/abc.model"]
    wrong = manifest.model_copy(update={"members": {name: member}})
    backup.write(tmp_path / "wrong.tar", wrong, {name: tmp_path / "out/artifacts/abc.model"})

    with pytest.raises(BackupError, match="has other contents than its name"):
        backup.unpack(tmp_path / "wrong.tar", tmp_path / "other")
    assert not (tmp_path / "other").exists()
