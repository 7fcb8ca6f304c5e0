"""Every failure has one shape, and nothing a client sends makes the server fail."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.conf import settings as django_settings
from django.db import OperationalError
from django.test import Client
from rest_framework.test import APIClient

from accounts.models import User
from accounts.services import create_token
from annotate import queries
from annotate.models import Example, Task
from core.doors import Door, Rate
from tests import cast

AsUser = Callable[[User], APIClient]


def error_of(response: Any, status: int) -> dict[str, Any]:
    assert response.status_code == status, response.content
    body = response.json()
    assert set(body) == {"error"}
    assert {"code", "message"} <= set(body["error"]) <= {"code", "message", "fields"}
    return dict(body["error"])


def test_an_unknown_address_is_answered_in_the_apis_shape(guest: APIClient, db: None) -> None:
    for address in ("/api/v1/nothing/", "/api/v1/tasks", "/api/v2/", "/api/"):
        for method in (guest.get, guest.post, guest.delete):
            assert error_of(method(address), 404)["code"] == "not_found"


def test_a_method_that_a_call_has_not_is_refused(task: Task, guest: APIClient) -> None:
    assert error_of(guest.delete("/api/v1/tasks/digits/"), 405)["code"] == "method_not_allowed"


def test_who_is_unknown_gets_401_and_who_may_not_gets_403(
    task: Task, annotator: User, guest: APIClient, as_user: AsUser
) -> None:
    next_item = "/api/v1/tasks/digits/validations/next/"

    refused = guest.post(next_item)
    assert error_of(refused, 401)["code"] == "not_authenticated"
    assert refused["WWW-Authenticate"] == "Token"
    assert error_of(as_user(annotator).post(next_item), 403)["code"] == "not_a_validator"

    guest.credentials(HTTP_AUTHORIZATION="Token nonsense")
    error_of(guest.get("/api/v1/tasks/"), 401)


def test_a_banned_person_is_nobody(task: Task, annotator: User, as_user: AsUser) -> None:
    client = as_user(annotator)
    User.objects.filter(pk=annotator.pk).update(banned_at="2026-01-01T00:00Z")

    error_of(client.get("/api/v1/examples/"), 401)


def test_a_session_needs_the_csrf_token_and_a_token_does_not(task: Task, annotator: User) -> None:
    body = {"input": cast.drawing(1)}
    browser = APIClient(enforce_csrf_checks=True)
    browser.force_login(annotator)
    assert (
        "CSRF" in error_of(browser.post("/api/v1/tasks/digits/predictions/", body), 403)["message"]
    )

    script = APIClient(enforce_csrf_checks=True)
    script.credentials(HTTP_AUTHORIZATION=f"Token {create_token(user=annotator)}")
    assert script.post("/api/v1/tasks/digits/predictions/", body).status_code == 200


@pytest.mark.parametrize(
    "body",
    [
        b"{",
        b"\xff",
        b"{} {}",
        b'{"input": NaN}',
        b'{"input": 1e999}',
        b'{"input": "\\u0000"}',
        b'{"input": {"\\ud800": 1}}',
        b'{"input": ' + b"[" * 100_000,
        b'{"input": ' + b"[" * 500 + b"]" * 500 + b"}",
        b'{"input": ' + b"9" * 5000 + b"}",
    ],
    ids=lambda body: repr(body[:24]),
)
def test_what_is_no_json_is_refused(task: Task, guest: APIClient, body: bytes) -> None:
    response = guest.post(
        "/api/v1/tasks/digits/predictions/", body, content_type="application/json"
    )

    assert error_of(response, 400)["code"] == "bad_request"


def test_a_body_beyond_the_limit_is_refused_unread(
    task: Task, guest: APIClient, settings: Any
) -> None:
    settings.DATA_UPLOAD_MAX_MEMORY_SIZE = 1024**2
    body = b'{"input": "' + b"x" * 1024**2 + b'"}'
    response = guest.post(
        "/api/v1/tasks/digits/predictions/", body, content_type="application/json"
    )

    assert error_of(response, 413) == {
        "code": "too_large",
        "message": "A request may have at most 1 MiB.",
    }


def test_forms_are_refused(task: Task, guest: APIClient) -> None:
    response = guest.post("/api/v1/tasks/digits/predictions/", "input=1", content_type="text/plain")

    assert error_of(response, 415)["code"] == "unsupported_media_type"


@pytest.mark.parametrize("body", [[], "text", 7, None])
def test_a_body_that_is_no_object_is_refused(task: Task, guest: APIClient, body: Any) -> None:
    error_of(guest.post("/api/v1/tasks/digits/predictions/", body, format="json"), 400)


@pytest.mark.parametrize(
    "query", ["cursor=x", "cursor=cD14", "status=won", "mine=perhaps", "task=%00"]
)
def test_a_query_that_makes_no_sense_is_refused(
    annotator: User, as_user: AsUser, query: str
) -> None:
    response = as_user(annotator).get(f"/api/v1/examples/?{query}")

    assert response.status_code in (400, 404)
    error_of(response, response.status_code)


def test_who_is_too_fast_is_told_how_long_to_wait(
    task: Task, guest: APIClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    slow = Door(person=Rate(1, 0.1), address=Rate(100, 100))
    monkeypatch.setitem(django_settings.LIMITS, "sandbox-predict", slow)
    call = "/api/v1/tasks/digits/predictions/"
    assert guest.post(call, {"input": cast.drawing(1)}).status_code == 200

    refused = guest.post(call, {"input": cast.drawing(1)})

    assert error_of(refused, 429)["code"] == "too_many_requests"
    assert 1 <= int(refused["Retry-After"]) <= 11


def test_a_mistake_of_the_server_is_told_without_its_details(
    task: Task, annotator: User, as_user: AsUser, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("a secret")

    monkeypatch.setattr("annotate.api.open_target", fail)
    client = as_user(annotator)
    client.raise_request_exception = False

    response = client.post("/api/v1/tasks/digits/predictions/", {"input": cast.drawing(1)})

    assert error_of(response, 500)["code"] == "server_error"
    assert b"secret" not in response.content
    assert not Example.objects.exists()


def test_while_the_database_is_away_scripts_are_told_when_to_come_back(
    task: Task, annotator: User, as_user: AsUser, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("annotate.api.open_target", away)
    client = as_user(annotator)
    client.raise_request_exception = False

    response = client.post("/api/v1/tasks/digits/predictions/", {"input": cast.drawing(1)})

    assert error_of(response, 503)["code"] == "unavailable"
    assert response["Retry-After"] == "2"


@pytest.mark.parametrize("path", ["/", "/api/v1/tasks/"])
def test_while_the_database_is_away_everybody_is_told_in_their_way(
    path: str, annotator: User, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also when it fails before the view: here while the session is read."""
    client.force_login(annotator)
    monkeypatch.setattr("accounts.sessions.SessionStore.load", away)
    client.raise_request_exception = False

    response = client.get(path)

    assert response.status_code == 503
    assert response["Retry-After"] == "2"
    assert b"does not answer" in response.content


def away(*_: object) -> None:
    raise OperationalError("the connection was closed")


def test_a_task_that_is_not_public_is_not_there(owner: User, guest: APIClient) -> None:
    task = cast.digits_task(owner, slug="hidden", public=False)
    assert queries.visible_task(owner, "hidden") == task

    for call in ("", "leaderboard/", "rounds/", "models/"):
        error_of(guest.get(f"/api/v1/tasks/hidden/{call}"), 404)
