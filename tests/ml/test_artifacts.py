"""Model files: what is saved is what is loaded, and nothing else is."""

import json
import stat
import zipfile
from hashlib import sha256
from io import BytesIO
from pathlib import Path

import pytest

from ml.artifacts import (
    ArtifactError,
    MissingArtifact,
    TamperedArtifact,
    checked_bytes,
    keep,
    load,
    save,
)

LABELS = ("yes", "nö")


@pytest.fixture
def folder(tmp_path):
    """A folder that nothing else writes into."""
    return tmp_path / "models"


def saved(folder: Path, weights: bytes = b"weights"):
    return save({"weights": weights, "a": b""}, learner="digits", labels=LABELS, folder=folder)


def rezipped(path: Path, **changed: bytes) -> tuple[Path, str]:
    """A copy of a model file with members replaced, at its own right name."""
    out = BytesIO()
    with zipfile.ZipFile(path) as old, zipfile.ZipFile(out, "w") as new:
        for name in old.namelist():
            new.writestr(name, changed.get(name.replace(".", "_"), old.read(name)))
    changed_file = keep(out.getvalue(), path.parent, ".model")
    return changed_file, changed_file.stem


def test_what_is_saved_comes_back_under_the_digest_of_its_bytes(folder):
    made = saved(folder / "new")
    assert made.stem == sha256(made.read_bytes()).hexdigest()
    assert stat.S_IMODE(made.stat().st_mode) == 0o600
    loaded = load(made, made.stem)
    assert (loaded.learner, loaded.labels) == ("digits", LABELS)
    assert loaded.members == {"weights": b"weights", "a": b""}


def test_equal_members_make_one_file_and_others_another(folder):
    assert saved(folder) == saved(folder)
    assert saved(folder, b"other") != saved(folder)
    assert len(list(folder.iterdir())) == 2


def test_a_file_that_names_its_net_is_of_the_learner_of_that_name(folder):
    manifest = json.dumps({"format": 1, "net": "digits", "labels": LABELS}).encode()
    assert load(*rezipped(saved(folder), manifest_json=manifest)).learner == "digits"


def test_a_crash_while_writing_leaves_no_file(folder, monkeypatch):
    def full_disk(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("ml.files.os.fsync", full_disk)
    with pytest.raises(OSError, match="No space"):
        saved(folder)
    assert list(folder.iterdir()) == []


def test_a_changed_byte_and_another_models_file_are_refused(folder):
    made, other = saved(folder), saved(folder, b"other")
    with pytest.raises(TamperedArtifact, match="has changed"):
        load(other, made.stem)
    data = bytearray(made.read_bytes())
    data[len(data) // 2] ^= 1
    made.write_bytes(data)
    with pytest.raises(TamperedArtifact, match="has changed"):
        load(made, made.stem)


def test_a_missing_file_is_named_and_what_it_was(folder):
    with pytest.raises(MissingArtifact, match=r"The model file gone\.model is missing"):
        load(folder / "gone.model", "0" * 64)
    with pytest.raises(MissingArtifact, match=r"The base data gone\.base is missing"):
        checked_bytes(folder / "gone.base", "0" * 64, what="base data")


def test_a_file_of_another_kind_is_refused(folder):
    path = keep(b"not a zip", folder, ".model")
    with pytest.raises(ArtifactError, match="not a model file"):
        load(path, path.stem)


@pytest.mark.parametrize(
    ("manifest", "sentence"),
    [
        ({"format": 99, "net": "digits", "labels": LABELS}, "has format 99"),
        ({"format": 1, "labels": LABELS}, "not a model file"),
        ([], "not a model file"),
    ],
)
def test_an_unknown_manifest_is_refused(folder, manifest, sentence):
    path, digest = rezipped(saved(folder), manifest_json=json.dumps(manifest).encode())
    with pytest.raises(ArtifactError, match=sentence):
        load(path, digest)
