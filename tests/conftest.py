"""What every test shares: its own data folder, plain static files, quick passwords, one thread."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import hypothesis
import pytest
from asgiref.sync import SyncToAsync
from django.conf import settings as django_settings
from django.contrib.contenttypes.models import ContentType
from django.core.cache import cache
from django.core.management.commands import flush
from django.db import connection, connections

from accounts.models import User
from annotate import inference, judged, live
from annotate.models import Task
from annotate.queries import kept_config
from core.limits import forget_limits
from core.sql import prepared
from scoring import kept
from tests import cast, migrated
from tests.pins import Pins
from validate.policies import lots

os.environ.setdefault("OMP_NUM_THREADS", "1")  # of torch, where a test trains
# The same examples in every run, however long one of them takes on a busy machine.
hypothesis.settings.register_profile("steady", deadline=None, derandomize=True)
hypothesis.settings.load_profile("steady")


def _have_redis_to_itself(process: str) -> None:
    """Keep what test processes do beside each other apart: groups by prefix, the cache by database.

    Clearing a Redis cache empties its whole database, also of others' keys.
    """
    if not django_settings.REDIS_URL:
        return
    layer = django_settings.CHANNEL_LAYERS["default"]
    layer["CONFIG"]["prefix"] = f"test-{process}"
    number = int(process.removeprefix("gw") or 0) % 8 + 1
    django_settings.CACHES["default"]["LOCATION"] = (
        f"{django_settings.REDIS_URL.rpartition('/')[0]}/{number}"
    )


def _do_not_wait_for_the_disk() -> None:
    """A test's database ends with it: thousands of commits need not be on the disk."""
    options = django_settings.DATABASES["default"].get("OPTIONS", {})
    if "init_command" in options:
        options["init_command"] = options["init_command"].replace("FULL", "OFF")


def _fill_no_tables_nobody_reads() -> None:
    """Django fills its permissions anew whenever a test has emptied the tables, in .1 s of CPU."""
    flush.emit_post_migrate_signal = lambda *_, **__: ContentType.objects.clear_cache()  # type: ignore[assignment]


_do_not_wait_for_the_disk()
_fill_no_tables_nobody_reads()
_have_redis_to_itself(os.environ.get("PYTEST_XDIST_WORKER", "gw0"))


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--renew", action="store_true", help="pin what these tests meet (tests/pins)")


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Browser tests last: Playwright leaves an event loop in which Django refuses queries."""
    items.sort(key=lambda item: item.get_closest_marker("browser") is not None)


@pytest.fixture(autouse=True)
def lots_are_alike(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody's place differs, so that the oldest comes first; `drawn` tests are about the lots."""
    if request.node.get_closest_marker("drawn") is None:
        monkeypatch.setattr(lots, "key_of", lambda *_: (0, 0))


@pytest.fixture(scope="session")
def django_db_modify_db_settings(
    request: pytest.FixtureRequest, django_db_modify_db_settings: None, django_db_blocker: Any
) -> None:
    """Take a copy of what was migrated once, in each process and in each part of the suite."""
    test, creation = connection.settings_dict["TEST"], connection.creation
    test["MIGRATE"] = False  # a copy has its tables
    if connection.vendor == "postgresql":
        with django_db_blocker.unblock():
            test["TEMPLATE"] = migrated.postgresql()
    else:
        # A file: threads race on it as people do, not on a database in one thread's memory.
        part = request.config.getoption("part", default="all")  # two run beside each other
        test["NAME"] = django_settings.DATA_DIR / f"test-{part}.sqlite3"
        creation._create_test_db = lambda *_: migrated.copy_to(Path(creation._get_test_db_name()))


@pytest.fixture(scope="session")
def django_db_setup(django_db_setup: None, django_db_blocker: Any) -> Iterator[None]:
    """Close the connection of the thread that async tests run queries on before the database goes.

    PostgreSQL refuses to drop a database that somebody is still connected to: threads that a test
    has left to end by themselves (a health check that hung, a pool's) are cut off.
    """
    yield
    SyncToAsync.single_thread_executor.submit(connections.close_all).result()
    if connection.vendor == "postgresql":
        with django_db_blocker.unblock(), connection.cursor() as cursor:
            cursor.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                "WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )


@pytest.fixture(autouse=True)
def own_world(settings: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Artifacts of this test alone, nothing remembered from the one before."""
    settings.ARTIFACT_DIR = tmp_path / "artifacts"
    settings.ARTIFACT_DIR.mkdir()
    settings.STORAGES = {
        **settings.STORAGES,
        "staticfiles": {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"},
    }
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
    settings.DATABASE_THREADS = 0
    settings.BOARD_SECONDS = 0
    monkeypatch.setattr(prepared, "RUNS_BEFORE", math.inf)  # what tests read is the SQL itself
    kept_config.cache_clear()  # a thread of the last test may have read one after it
    yield
    kept_config.cache_clear()
    inference.forget_models()
    live.forget_targets()
    judged.forget()
    kept.forget()
    forget_limits()
    cache.clear()


@pytest.fixture
def pinned(request: pytest.FixtureRequest) -> Pins:
    """What must be as it was: answers, frames, summaries, numbers of queries."""
    return Pins(request.node.nodeid.partition("[")[0], renew=request.config.getoption("renew"))


@pytest.fixture
def owner(db: None) -> User:
    return cast.person("olive", "owner")


@pytest.fixture
def annotator(db: None) -> User:
    return cast.person("anna")


@pytest.fixture
def other_annotator(db: None) -> User:
    return cast.person("bert")


@pytest.fixture
def validator(db: None) -> User:
    return cast.person("vera", "validator")


@pytest.fixture
def other_validator(db: None) -> User:
    return cast.person("wim", "validator")


@pytest.fixture
def third_validator(db: None) -> User:
    return cast.person("xena", "validator")


@pytest.fixture
def task(owner: User) -> Task:
    """The digits task of `owner`, open."""
    return cast.digits_task(owner)


@pytest.fixture
def on_postgres() -> bool:
    return "postgresql" in django_settings.DATABASES["default"]["ENGINE"]
