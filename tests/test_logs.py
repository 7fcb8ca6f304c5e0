"""One id through HTTP, websocket and job; lines for machines; and nobody's data in them."""

from __future__ import annotations

import io
import json
import logging
import uuid
from collections.abc import Iterator
from typing import Any

import pytest
import structlog
from asgiref.sync import sync_to_async
from asgiref.testing import ApplicationCommunicator
from django.core.management import call_command
from django.db import IntegrityError
from django.test import Client
from django_tasks_db.models import DBTaskResult
from rest_framework.test import APIClient

from accounts import services as accounts
from accounts.models import User
from accounts.services import create_token
from annotate.models import Task
from dadc_server.asgi import application
from dadc_server.logs import WithoutPaths, logging_settings
from dadc_server.management.commands import worker
from tests import cast
from tests.training.world import let_the_fake_learn, trained_task, verified_foolings
from validate.acts.ban import set_banned

ADDRESS = "203.0.113.77"
SECRETS = (
    *("zebediah", "quuxington", "zeb@quux.example", "wrong-pass-word", "fresh-pass-word"),
    *("because-i-drew-it-so", "a-secret-reset-key", "somebody-typed-this", ADDRESS),
)


class Lines(list[dict[str, Any]]):
    """What was logged, as JSON; `text` is all of it."""

    text = ""

    def with_id(self, request_id: str) -> list[dict[str, Any]]:
        return [line for line in self if line.get("request_id") == request_id]


@pytest.fixture
def lines() -> Iterator[Lines]:
    made = logging_settings(level="INFO", kind="json")["formatters"]["own"]
    stream = io.StringIO()
    read = Lines()

    class Handler(logging.StreamHandler[io.StringIO]):
        def emit(self, record: logging.LogRecord) -> None:
            super().emit(record)
            read.text = stream.getvalue()
            read[:] = [json.loads(line) for line in read.text.splitlines()]

    handler = Handler(stream)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            processors=made["processors"], foreign_pre_chain=made["foreign_pre_chain"]
        )
    )
    handler.addFilter(WithoutPaths())
    root = logging.getLogger()
    root.addHandler(handler)
    before = root.level
    root.setLevel("INFO")
    yield read
    root.removeHandler(handler)
    root.setLevel(before)
    structlog.contextvars.clear_contextvars()


def scope_of(kind: str, path: str, headers: dict[str, str]) -> dict[str, Any]:
    return {
        "type": kind,
        "scheme": kind.removesuffix("socket"),
        "path": path,
        "headers": [
            (name.encode(), value.encode())
            for name, value in ({"host": "localhost"} | headers).items()
        ],
        "query_string": b"",
        "client": (ADDRESS, 4711),
    }


async def call(
    method: str, path: str, body: Any = None, **headers: str
) -> tuple[int, dict[str, str], str]:
    """One HTTP request through everything, as the web process gets it."""
    sent = json.dumps(body).encode()
    headers = {name.replace("_", "-"): value for name, value in headers.items()}
    about = {"content-type": "application/json", "content-length": str(len(sent))}
    scope = scope_of("http", path, about | headers)
    web = ApplicationCommunicator(application, {**scope, "method": method, "http_version": "1.1"})
    await web.send_input({"type": "http.request", "body": sent})
    start = await web.receive_output(timeout=20)
    text = (await web.receive_output(timeout=20)).get("body", b"").decode()
    await web.wait(timeout=20)
    return start["status"], {k.decode().lower(): v.decode() for k, v in start["headers"]}, text


# --- the id ---------------------------------------------------------------------------------------
@pytest.mark.parametrize("given", ["abcdef0123456789", "a_B-" * 16])
async def test_an_id_that_a_proxy_gave_is_taken(given: str, lines: Lines) -> None:
    _, headers, _ = await call("GET", "/api/v1/nothing/", x_request_id=given)
    assert headers["x-request-id"] == given
    (line,) = lines.with_id(given)
    assert line["event"] == "request"
    assert (line["method"], line["status"], line["level"]) == ("GET", 404, "info")
    assert line["ms"] >= 0


@pytest.mark.parametrize("given", ["", "short", "x" * 65, 'a"b\\c{}defgh', "anna smith", "ä" * 9])
async def test_an_id_that_could_be_anything_is_not(given: str) -> None:
    _, headers, _ = await call("GET", "/healthz", x_request_id=given)
    assert headers["x-request-id"] != given
    assert uuid.UUID(headers["x-request-id"]).version == 4


async def test_two_requests_have_two_ids() -> None:
    ids = {(await call("GET", "/healthz"))[1]["x-request-id"] for _ in range(2)}
    assert len(ids) == 2


@pytest.mark.django_db(transaction=True)
async def test_what_goes_wrong_in_a_socket_carries_its_id_and_frame(
    task: Task, annotator: User, lines: Lines, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(**_: Any) -> None:
        raise RuntimeError("broken")

    monkeypatch.setattr("annotate.submissions.submit", fail)
    token = await sync_to_async(create_token)(user=annotator)
    headers = {"authorization": f"Token {token}", "x-request-id": "socket-0123456789"}
    page = ApplicationCommunicator(application, scope_of("websocket", "/ws/tasks/digits/", headers))
    await page.send_input({"type": "websocket.connect"})
    accepted = await page.receive_output(timeout=cast.PATIENCE)
    assert (b"x-request-id", b"socket-0123456789") in accepted["headers"]
    await page.receive_output(timeout=cast.PATIENCE)
    client_id = str(uuid.uuid4())
    frame = {"type": "submit", "client_id": client_id, "input": cast.drawing(1), "label": "3"}
    await page.send_input({"type": "websocket.receive", "text": json.dumps(frame)})
    await page.receive_output(timeout=cast.PATIENCE)
    await page.send_input({"type": "websocket.disconnect", "code": 1000})
    await page.wait()

    failed, ended = lines.with_id("socket-0123456789")
    assert (failed["event"], failed["frame"]) == ("submission_failed", client_id)
    assert "RuntimeError: broken" in failed["exception"]
    assert (ended["event"], ended["route"], ended["status"]) == ("socket", "ws", 101)


@pytest.mark.django_db(transaction=True)
async def test_a_job_carries_the_id_of_the_request_that_caused_it(
    owner: User,
    annotator: User,
    other_annotator: User,
    validator: User,
    other_validator: User,
    lines: Lines,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The vote that completes what a training run waits for."""

    let_the_fake_learn(monkeypatch)

    def begin() -> tuple[Task, str]:
        task = trained_task(owner, trigger=3)
        verified_foolings(task, [annotator, other_annotator], owner, 1)
        cast.submission(task, annotator, 9)
        cast.answer(validator, task)
        return task, create_token(user=other_validator)

    task, token = await sync_to_async(begin)()
    headers = {"authorization": f"Token {token}", "x_request_id": "vote-0123456789"}
    _, _, item = await call("POST", f"/api/v1/tasks/{task.slug}/validations/next/", {}, **headers)
    example = await task.examples.aget(uid=json.loads(item)["example"])
    vote = f"/api/v1/validations/{json.loads(item)['lease']}/vote/"
    voted = await call("POST", vote, {"label": example.label}, **headers)
    assert voted[0] == 200, voted
    job = await DBTaskResult.objects.aget()
    assert job.args_kwargs["kwargs"] == {"request_id": "vote-0123456789"}

    monkeypatch.setattr(worker.os, "nice", lambda by: 0)
    monkeypatch.setattr("signal.signal", lambda *_: None)
    await sync_to_async(call_command)("worker", "--batch")

    by_logger = {line["logger"] for line in lines.with_id("vote-0123456789")}
    assert {"dadc_server.requests", "training.tasks"} <= by_logger


# --- nobody's data --------------------------------------------------------------------------------
@pytest.mark.django_db(transaction=True)
async def test_the_main_paths_log_nobody_s_data(
    task: Task, owner: User, lines: Lines, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawing = cast.drawing(1)

    def on_pages() -> tuple[User, str]:
        browser = Client(REMOTE_ADDR=ADDRESS)
        browser.raise_request_exception = False
        new = {"username": "zebediah", "password1": cast.PASSWORD, "password2": cast.PASSWORD}
        assert browser.post("/accounts/signup/", new).status_code == 302
        browser.post("/accounts/logout/")
        login = {"login": "zebediah", "password": "wrong-pass-word"}
        for _ in range(7):
            browser.post("/accounts/login/", login)
        browser.get("/accounts/password/reset/key/a-secret-reset-key/")
        browser.get("/zebediah/somebody-typed-this")
        browser.post("/somebody-typed-this", headers={"host": "quuxington.example"})
        Client(enforce_csrf_checks=True).post("/accounts/login/?next=/zebediah", login)
        person = User.objects.get(username="zebediah")
        person.email = "zeb@quux.example"
        person.save()
        return person, create_token(user=person)

    person, token = await sync_to_async(on_pages)()
    api, authorization = "/api/v1/tasks/digits", f"Token {token}"
    submission = {
        "client_id": str(uuid.uuid4()),
        "input": drawing,
        "label": "3",
        "explanation": "because-i-drew-it-so",
    }
    for path, body, status in [
        ("/predictions/", {"input": drawing}, 200),
        ("/predictions/", {"input": {"png": "somebody-typed-this"}}, 400),
        ("/examples/", {**submission, "label": "somebody-typed-this"}, 400),
        ("/examples/", submission, 201),
        ("/validations/next/", {}, 403),
    ]:
        answer = await call("POST", api + path, body, authorization=authorization)
        assert answer[0] == status, answer
    await call("GET", "/api/v1/examples/", authorization="Token somebody-typed-this")
    await call("GET", "/zebediah/", authorization=authorization)

    def break_it() -> None:
        def fail(*_: Any, **__: Any) -> None:
            quuxington = "quuxington"  # a traceback could show it
            raise IntegrityError(
                "duplicate key value\nDETAIL:  Key (username)=(zebediah) already exists."
            ) from ValueError(f"[type=x, input_value='{quuxington}', input_type=str]")

        with monkeypatch.context() as broken:
            broken.setattr("annotate.submissions.submit", fail)
            client = APIClient(raise_request_exception=False, REMOTE_ADDR=ADDRESS)
            client.credentials(HTTP_AUTHORIZATION=authorization)
            assert client.post(f"{api}/examples/", submission, format="json").status_code == 500
            broken.setattr("annotate.views.open_target", fail)
            page = Client(raise_request_exception=False, REMOTE_ADDR=ADDRESS)
            assert page.get("/tasks/digits/?zebediah").status_code == 500
        accounts.new_password(user=person, actor=owner, reason="somebody-typed-this")
        set_banned(user=person, banned=True, reason="somebody-typed-this", actor=owner)

    await sync_to_async(break_it)()

    assert {"request", "request_failed"} <= {line["event"] for line in lines}
    assert "duplicate key value" in lines.text, "what is no data is still told"
    for secret in (*SECRETS, drawing["png"][:40]):
        assert secret not in lines.text, [line for line in lines if secret in json.dumps(line)]


# --- how lines look -------------------------------------------------------------------------------
def test_a_terminal_gets_columns_and_a_file_json(capsys: pytest.CaptureFixture[str]) -> None:
    def formatted(kind: str, stream: io.StringIO) -> str:
        made = logging_settings(level="INFO", kind=kind, stream=stream)["formatters"]["own"]
        formatter = structlog.stdlib.ProcessorFormatter(
            processors=made["processors"], foreign_pre_chain=made["foreign_pre_chain"]
        )
        record = logging.LogRecord("a.logger", logging.INFO, "", 1, "hello %s", ("you",), None)
        return formatter.format(record)

    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    assert json.loads(formatted("", io.StringIO()))["event"] == "hello you"
    assert json.loads(formatted("json", Terminal()))["logger"] == "a.logger"
    for text in (formatted("", Terminal()), formatted("text", io.StringIO())):
        assert "hello you" in text
        assert not text.startswith("{")
