"""The OpenAPI schema: complete, and no request made from it makes the server fail."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
import schemathesis
from django.conf import settings as django_settings
from django.core.management import call_command
from django.core.signals import request_finished, request_started
from django.core.wsgi import get_wsgi_application
from django.db import close_old_connections, connection
from hypothesis import HealthCheck, given, settings
from hypothesis.errors import Unsatisfiable
from rest_framework.test import APIClient
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import content_type_conformance, response_schema_conformance

from accounts.models import User
from accounts.services import create_token
from annotate.models import Task
from core import doors
from tests import acts, cast
from tests.pins import Pins

CHECKS = [not_a_server_error, response_schema_conformance, content_type_conformance]
SCHEMA = "/api/v1/schema/?format=json"


def test_the_schema_is_the_one_that_clients_were_made_for(
    db: None, guest: APIClient, pinned: Pins
) -> None:
    pinned.same("openapi", "schema", guest.get(SCHEMA).json())


def test_the_docs_page_runs_no_inline_script(db: None, guest: APIClient) -> None:
    page = guest.get("/api/v1/docs/")

    assert page.status_code == 200
    text = page.content.decode()
    assert text.count("<script") == text.count("<script src=") + text.count(
        '<script type="module" src='
    )
    assert "style=" not in text
    assert "unsafe-inline" not in page["Content-Security-Policy"]


@pytest.fixture
def world(
    task: Task, annotator: User, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> dict[str, Any]:
    """An admin who may do everything, and the names of things that exist."""
    monkeypatch.setattr(django_settings, "LIMITS", doors.OFF)
    admin = cast.person("ada", "admin")
    cast.submission(task, annotator, 1)
    example = cast.submission(task, admin, 2)
    lease = acts.next_item(validator=admin, task=task)
    assert lease is not None
    out = {"out": tmp_path / "out", "version": "1.0.0", "stdout": StringIO()}
    call_command("release", task.slug, **out)
    chat = cast.chatted(cast.chat_task(), admin, "Good day")
    return {
        "token": create_token(user=admin),
        "path": {
            "slug": task.slug,
            "uid": str(example.uid),
            "lease": str(lease.pk),
            "chat": str(chat.uid),
            "number": "1",
            "id": str(example.model_id),
            "version": "1.0.0",
            "name": "README.md",
        },
    }


@pytest.fixture
def api(world: dict[str, Any]) -> Iterator[Any]:
    """The schema with the application behind it, on the test's own database connection."""
    for signal in (request_started, request_finished):
        signal.disconnect(close_old_connections)
    yield _schema(world)
    for signal in (request_started, request_finished):
        signal.connect(close_old_connections)


def _schema(world: dict[str, Any]) -> Any:
    schema = schemathesis.openapi.from_wsgi(SCHEMA, get_wsgi_application())

    @schema.hook  # type: ignore[untyped-decorator]
    def map_path_parameters(_: Any, parameters: dict[str, Any] | None) -> dict[str, Any] | None:
        """Of things that exist; that others are answered with 404 is shown elsewhere."""
        return parameters and {name: world["path"][name] for name in parameters}

    return schema


@pytest.mark.slow
@pytest.mark.postgres
@pytest.mark.skipif(
    connection.vendor != "postgresql", reason="SQLite takes texts that PostgreSQL fails at"
)
@pytest.mark.parametrize("mode", GenerationMode)
def test_no_request_makes_the_server_fail(
    api: Any, world: dict[str, Any], mode: GenerationMode
) -> None:
    """Requests that follow the schema, and requests that break it, by an admin and by a guest."""
    for operation in api.get_all_operations():
        if operation.ok().path.endswith("/files/{name}/"):
            continue  # sent as it is read, which WSGI cannot

        @given(case=operation.ok().as_strategy(generation_mode=mode))
        @settings(
            max_examples=8,
            derandomize=True,
            database=None,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        )
        def answers(case: Any) -> None:
            for headers in ({"Authorization": f"Token {world['token']}"}, {}):
                case.call_and_validate(headers=headers, checks=CHECKS)

        with suppress(Unsatisfiable):  # what takes nothing cannot be asked wrongly
            answers()
