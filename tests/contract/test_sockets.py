"""Who may open the websocket: pages of this site, and scripts with a token or a cookie."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from asgiref.testing import ApplicationCommunicator
from django.contrib.sessions.models import Session
from django.test import Client
from django.utils import timezone

from accounts.models import User
from accounts.services import create_token, end_sessions, new_password, revoke_token
from annotate.models import Task
from core.doors import Door, Rate
from dadc_server.web.sockets import websocket
from scoring.round_report import round_report
from tests import cast

Event = dict[str, Any]

pytestmark = pytest.mark.django_db(transaction=True)


async def opened(scheme: str = "ws", **headers: str) -> tuple[ApplicationCommunicator, Event]:
    """A socket and its `ready` frame, or the event that refused the handshake."""
    headers = {"host": "localhost:8000", **headers}
    scope = {
        "type": "websocket",
        "scheme": scheme,
        "path": "/ws/tasks/digits/",
        "headers": [(name.encode(), value.encode()) for name, value in headers.items()],
        "query_string": b"",
        "client": ("10.9.8.7", 4711),
    }
    socket = ApplicationCommunicator(websocket, scope)
    await socket.send_input({"type": "websocket.connect"})
    event = await socket.receive_output(timeout=cast.PATIENCE)
    if event["type"] != "websocket.accept":
        return socket, dict(event)
    return socket, json.loads((await socket.receive_output(timeout=cast.PATIENCE))["text"])


async def leave(socket: ApplicationCommunicator) -> None:
    await socket.send_input({"type": "websocket.disconnect", "code": 1000})
    await socket.wait()


async def first_answer(scheme: str = "ws", **headers: str) -> Event:
    socket, answer = await opened(scheme, **headers)
    if answer["type"] != "websocket.close":
        await leave(socket)
    return answer


@sync_to_async
def cookie_of(person: User) -> str:
    client = Client()
    client.force_login(person)
    return f"sessionid={client.cookies['sessionid'].value}"


async def test_a_script_opens_it_with_its_token(task: Task, annotator: User) -> None:
    token = await sync_to_async(create_token)(user=annotator)

    ready = await first_answer(authorization=f"Token {token}")

    assert (ready["type"], ready["sandbox"]) == ("ready", False)


async def test_a_page_of_this_site_opens_it_with_its_session(task: Task, annotator: User) -> None:
    cookie = await cookie_of(annotator)

    ready = await first_answer(cookie=cookie, origin="http://localhost:8000")
    await first_answer(cookie=cookie, origin="http://localhost:8000")
    await first_answer(cookie=await cookie_of(annotator), origin="http://localhost:8000")

    assert (ready["type"], ready["sandbox"]) == ("ready", False)
    report = await sync_to_async(round_report)(task, 1)
    assert report is not None
    assert dict(report.funnel)["visits"] == 2, "one of them was here twice"


async def test_a_page_of_another_site_is_refused(task: Task, annotator: User) -> None:
    token = await sync_to_async(create_token)(user=annotator)

    others = ("https://evil.example", "null", "http://localhost:9000", "https://localhost:8000")
    for origin in others:
        refused = await first_answer(authorization=f"Token {token}", origin=origin)
        assert refused["type"] == "websocket.close"


async def test_behind_tls_the_origin_is_https(task: Task) -> None:
    own = await first_answer("wss", host="localhost", origin="https://localhost")
    other = await first_answer("wss", host="localhost", origin="http://localhost")

    assert (own["type"], other["type"]) == ("ready", "websocket.close")


async def test_trusted_origins_are_let_in(task: Task, settings: Any) -> None:
    settings.CSRF_TRUSTED_ORIGINS = ["https://dadc.example", "https://*.school.example"]

    for origin in ("https://dadc.example", "https://a.school.example"):
        assert (await first_answer(origin=origin))["type"] == "ready"
    for origin in ("https://dadc.example:444", "http://a.school.example"):
        assert (await first_answer(origin=origin))["type"] == "websocket.close"


async def test_a_guest_opens_it_for_practice(task: Task) -> None:
    assert (await first_answer())["sandbox"] is True


# --- how many -------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("setting", "words"),
    [("SOCKETS", "Too many people"), ("SOCKETS_PER_ADDRESS", "Too many pages")],
)
async def test_one_socket_too_many_is_told_why(
    task: Task, settings: Any, setting: str, words: str
) -> None:
    setattr(settings, setting, 1)
    first, ready = await opened()
    assert ready["type"] == "ready"

    second, told = await opened()
    end = await second.receive_output(timeout=cast.PATIENCE)

    assert (told["type"], told["code"]) == ("error", "too_many_connections")
    assert set(told) == {"type", "code", "message"}
    assert told["message"].startswith(words)
    assert end == {"type": "websocket.close", "code": 4429}
    await leave(first)
    assert (await first_answer())["type"] == "ready", "the place is free again"


async def test_of_a_crowd_that_comes_at_once_no_more_come_in(task: Task, settings: Any) -> None:
    settings.SOCKETS_PER_ADDRESS = 2

    arrived = await asyncio.gather(*(opened() for _ in range(6)))

    assert sorted(frame["type"] for _, frame in arrived) == ["error"] * 4 + ["ready"] * 2
    for socket, frame in arrived:
        if frame["type"] == "ready":
            await leave(socket)


async def test_opening_too_fast_is_told_too(task: Task, settings: Any) -> None:
    slow = Door(person=Rate(1, 0.1), address=Rate(1, 0.1))
    settings.LIMITS = {**settings.LIMITS, "connect": slow}
    assert (await first_answer())["type"] == "ready"

    _, told = await opened()

    assert told["code"] == "too_many_connections"


async def test_coming_and_going_costs_one_each(task: Task, settings: Any) -> None:
    rate = Rate(20, 4)
    settings.LIMITS = {**settings.LIMITS, "connect": Door(person=rate, address=rate)}

    answers = [(await first_answer())["type"] for _ in range(12)]

    assert answers == ["ready"] * 12


# --- for how long ---------------------------------------------------------------------------------
def ban(person: User) -> None:
    User.objects.filter(pk=person.pk).update(banned_at=timezone.now())


def sign_out_here(person: User) -> None:
    Session.objects.all().delete()


def new_password_for(person: User) -> None:
    new_password(user=person, actor=person)


def end_all_sessions(person: User) -> None:
    end_sessions(user=person)


@pytest.mark.parametrize("act", [ban, sign_out_here, new_password_for, end_all_sessions])
async def test_an_open_socket_ends_with_the_session(
    task: Task, annotator: User, monkeypatch: pytest.MonkeyPatch, act: Callable[[User], None]
) -> None:
    monkeypatch.setattr("dadc_server.web.sockets.LOOK_EVERY", 0.05)
    socket, _ = await opened(cookie=await cookie_of(annotator))
    guest, _ = await opened()
    await asyncio.sleep(0.2)
    assert await socket.receive_nothing(0.1), "nothing happens to who is signed in"

    await sync_to_async(act)(annotator)

    told = json.loads((await socket.receive_output(timeout=cast.PATIENCE))["text"])
    assert (told["type"], told["code"]) == ("error", "signed_out")
    assert set(told) == {"type", "code", "message"}
    assert (await socket.receive_output(timeout=cast.PATIENCE))["code"] == 4401
    assert await guest.receive_nothing(0.1)
    await leave(socket)
    await leave(guest)


async def test_a_script_s_socket_ends_with_its_token_alone(
    task: Task, annotator: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dadc_server.web.sockets.LOOK_EVERY", 0.05)
    token = await sync_to_async(create_token)(user=annotator)
    socket, _ = await opened(authorization=f"Token {token}")
    await sync_to_async(end_all_sessions)(annotator)
    assert await socket.receive_nothing(0.3), "tokens stay"

    await sync_to_async(revoke_token)(user=annotator, token_key=token[:15])

    told = await socket.receive_output(timeout=cast.PATIENCE)
    assert json.loads(told["text"])["code"] == "signed_out"
    await leave(socket)
