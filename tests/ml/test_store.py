"""Files of models behind a folder: fetched once, whoever made them, and proved by their names."""

from __future__ import annotations

import shutil
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from ml import artifacts, store
from ml.artifacts import ArtifactError, MissingArtifact, TamperedArtifact

pytestmark = pytest.mark.once


@pytest.fixture
def machines(tmp_path: Path) -> Iterator[list[Path]]:
    """The folders of two machines with one store behind them."""
    address = f"memory://{uuid.uuid4()}/models"
    folders = [tmp_path / name / "artifacts" for name in ("one", "other")]
    for folder in folders:
        store.put_behind(folder, address)
    yield folders
    for folder in folders:
        store.take_away(folder)


def test_what_one_machine_keeps_the_other_has(machines: list[Path]) -> None:
    one, other = machines
    path = artifacts.keep(b"a model", one, ".model")
    there = other / path.name
    assert (there.exists(), store.has(there)) == (False, True)
    assert artifacts.checked_bytes(there, path.stem) == b"a model"
    assert there.exists(), "and from then on without the store"
    store.take_away(other)
    assert artifacts.checked_bytes(there, path.stem) == b"a model"


def test_what_is_not_there_or_is_another_is_told(machines: list[Path]) -> None:
    one, other = machines
    nothing = other / f"{64 * '0'}.model"
    assert not store.has(nothing)
    with pytest.raises(MissingArtifact):
        artifacts.checked_bytes(nothing, 64 * "0")
    path = artifacts.keep(b"a model", one, ".model")
    system, home = store._behind[one]
    system.pipe_file(f"{home}/{path.name}", b"another")
    with pytest.raises(TamperedArtifact):
        artifacts.checked_bytes(other / path.name, path.stem)


def test_what_is_forgotten_is_forgotten_everywhere(machines: list[Path]) -> None:
    one, other = machines
    path = artifacts.keep(b"a model", one, ".model")
    artifacts.forget(path)
    artifacts.forget(path)
    assert (path.exists(), store.has(other / path.name)) == (False, False)


def test_what_the_store_lost_it_gets_again(machines: list[Path]) -> None:
    one, other = machines
    path = artifacts.keep(b"a model", one, ".model")
    system, home = store._behind[one]
    system.rm_file(f"{home}/{path.name}")
    artifacts.keep(b"a model", one, ".model")
    assert store.has(other / path.name)


def test_a_store_that_does_not_answer_is_a_sentence(
    machines: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    one, other = machines

    class Down:
        def __getattr__(self, _: str) -> object:
            raise OSError("connection refused")

    path = artifacts.keep(b"a model", one, ".model")
    for folder in machines:
        monkeypatch.setitem(store._behind, folder, (Down(), "models"))
    assert artifacts.checked_bytes(path, path.stem) == b"a model"
    assert not store.has(other / path.name)
    with pytest.raises(ArtifactError, match="does not answer: connection refused"):
        artifacts.checked_bytes(other / path.name, path.stem)
    with pytest.raises(ArtifactError, match="does not answer"):
        artifacts.keep(b"another", one, ".model")
    artifacts.forget(path)  # which no run fails for
    assert not path.exists()


def test_an_address_that_is_none_is_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(store.StoreError, match="is no address of a store"):
        store.put_behind(tmp_path, "nowhere://x")


def test_without_a_store_the_folder_is_all_there_is(tmp_path: Path) -> None:
    path = artifacts.keep(b"a model", tmp_path / "one", ".model")
    shutil.rmtree(path.parent)
    assert not store.fetch(path)
    assert not store.has(path)
