"""The key that is made at first start."""

from pathlib import Path

import pytest

from dadc_server import secret_key
from tests.races import at_once


def test_processes_that_start_together_use_one_key(tmp_path: Path) -> None:
    for number in range(30):
        path = tmp_path / str(number)
        keys = at_once([lambda path=path: secret_key.kept_in(path)] * 6)  # type: ignore[misc]
        assert set(keys) == {path.read_text()}
        assert path.stat().st_mode & 0o777 == 0o600
    assert not list(tmp_path.glob(".*")), "a draft was left"


def test_an_empty_file_is_named_with_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "key").touch()
    with pytest.raises(secret_key.EmptyKey, match="is empty: delete it"):
        secret_key.kept_in(tmp_path / "key")
