"""The key that is made at first start."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from django.test import Client

from accounts.models import User
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


@pytest.mark.django_db
def test_a_new_key_signs_nobody_out_while_the_one_before_is_known(
    annotator: User, client: Client, settings: Any
) -> None:
    client.force_login(annotator)
    before, settings.SECRET_KEY = settings.SECRET_KEY, "another"
    settings.SECRET_KEY_FALLBACKS = [before]
    assert client.get("/accounts/me/").status_code == 200
    settings.SECRET_KEY_FALLBACKS = []
    assert client.get("/accounts/me/").status_code == 200, "it was signed anew"
    settings.SECRET_KEY = "a third"
    assert client.get("/accounts/me/").status_code == 302


def test_the_keys_before_come_from_the_environment(tmp_path: Path) -> None:
    said = subprocess.run(
        [
            sys.executable,
            "-c",
            "from dadc_server import settings as s; print(s.SECRET_KEY_FALLBACKS)",
        ],
        env=os.environ | {"DADC_DATA": str(tmp_path), "DADC_SECRET_KEYS_BEFORE": " b,1 a\n"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert said.stdout == "['b,1', 'a']\n"
