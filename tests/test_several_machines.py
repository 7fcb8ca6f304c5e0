"""Settings of a server among others: whom it believes, where it lives, and whose turn it is."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest
from django.core.checks import run_checks
from django.core.exceptions import ImproperlyConfigured
from django.db import connection

from dadc_server.prepare import one_machine_at_a_time, one_start_at_a_time
from dadc_server.serve import parse_options
from dadc_server.settings import _base_path, _trusted_proxies
from tests.races import at_once


@pytest.mark.parametrize(
    ("text", "believed"),
    [
        ("0", []),
        ("", []),
        ("1", ["127.0.0.1", "::1"]),
        ("10.0.0.5, 10.1.0.0/16", ["10.0.0.5/32", "10.1.0.0/16"]),
        ("2001:db8::/32", ["2001:db8::/32"]),
    ],
)
def test_proxies_are_named_by_address(text: str, believed: list[str]) -> None:
    assert _trusted_proxies(text) == believed


@pytest.mark.parametrize("text", ["*", "proxy.example.org", "10.0.0.5/16", "2"])
def test_a_proxy_that_is_no_address_stops_the_start(text: str) -> None:
    with pytest.raises(ImproperlyConfigured, match="DADC_PROXY"):
        _trusted_proxies(text)


@pytest.mark.parametrize(
    ("text", "path"), [("", ""), ("/", ""), ("/dadc", "/dadc"), ("/a/dadc/", "/a/dadc")]
)
def test_a_path_is_taken_with_or_without_its_last_slash(text: str, path: str) -> None:
    assert _base_path(text) == path
    assert parse_options([], {"DADC_PATH": text}).url == f"http://127.0.0.1:8000{path}/"


@pytest.mark.parametrize("text", ["dadc", "//evil.example", "/a//b", "/a b", "/a?b", "https://x"])
def test_what_is_no_path_stops_the_start(text: str) -> None:
    with pytest.raises(ImproperlyConfigured, match="DADC_PATH"):
        _base_path(text)


def test_settings_that_do_not_fit_together_are_told(settings: Any) -> None:
    assert not run_checks()
    settings.WEB_CONCURRENCY, settings.REDIS_URL = 2, ""
    settings.HTTPS, settings.TRUSTED_PROXIES = True, []
    assert {found.id for found in run_checks()} == {"dadc.E001", "dadc.W001"}


def most_inside(in_turn: Callable[[], AbstractContextManager[None]]) -> int:
    """How many of three threads are inside at once."""
    inside, most = 0, 0
    guard = threading.Lock()

    def prepare() -> None:
        nonlocal inside, most
        with in_turn():
            with guard:
                inside += 1
                most = max(most, inside)
            time.sleep(0.05)
            with guard:
                inside -= 1

    assert at_once([prepare] * 3) == [None] * 3
    return most


def test_servers_that_start_together_on_one_folder_prepare_it_in_turn(
    settings: Any, tmp_path: Path
) -> None:
    settings.DATA_DIR = tmp_path
    assert most_inside(one_start_at_a_time) == 1


@pytest.mark.django_db(transaction=True)
def test_machines_that_start_together_prepare_in_turn(on_postgres: bool, tmp_path: Path) -> None:
    if not on_postgres:
        pytest.skip("SQLite is for one machine")
    assert most_inside(one_machine_at_a_time) == 1
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT count(*) FROM pg_locks JOIN pg_database ON pg_database.oid = database"
            " WHERE locktype = 'advisory' AND datname = current_database()"
        )
        assert cursor.fetchone() == (0,), "given back"
