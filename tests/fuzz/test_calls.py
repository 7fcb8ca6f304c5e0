"""Bytes where code expects text, at every address: an answer in words, never a mistake of ours.

`DADC_FUZZ=20000 … -m pytest tests/fuzz` makes a long run of it.
"""

from __future__ import annotations

import html
import os
import re
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import cycle, islice
from pathlib import Path
from random import Random
from typing import Any
from urllib.parse import quote_from_bytes, unquote

import pytest
from django.conf import settings as django_settings
from django.core.signals import got_request_exception, request_finished, request_started
from django.db import close_old_connections, transaction
from django.http import HttpResponse
from django.urls import get_resolver, path

from annotate.models import Task
from core import doors
from dadc_server.web.handler import Handler
from tests.fuzz import hostile, world
from tests.fuzz.world import CSRF, ROLES, Address, World

CALLS = int(os.environ.get("DADC_FUZZ", "300"))
_NAMES = """
accept accept-encoding accept-language authorization content-type cookie hx-current-url hx-request
hx-target host if-modified-since if-none-match origin range referer user-agent x-csrftoken
x-forwarded-for x-forwarded-host x-request-id x-requested-with
"""
HEADERS = _NAMES.split()

TAKES_LONG = pytest.mark.timeout(120 * max(1, CALLS // 300))


@pytest.fixture
def mistakes() -> Iterator[list[str]]:
    """The tracebacks of what went wrong in a view."""
    seen: list[str] = []

    def note(**_: Any) -> None:
        seen.append("".join(traceback.format_exception(*sys.exc_info())[-6:]))

    got_request_exception.connect(note)
    yield seen
    got_request_exception.disconnect(note)
    for signal in (request_started, request_finished):
        signal.connect(close_old_connections)


class Caller:
    """Asks the application as uvicorn does; whatever a call changes is rolled back after it."""

    def __init__(self, mistakes: list[str]) -> None:
        self.handler, self.mistakes = Handler(), mistakes
        for signal in (request_started, request_finished):  # the transaction is on this connection
            signal.disconnect(close_old_connections)

    def __call__(self, scope: dict[str, Any], body: bytes) -> tuple[int, str, str]:
        """Status, kind and text of the answer."""
        block = transaction.atomic()
        block._from_testcase = True  # type: ignore[attr-defined]  # services want to be outermost
        self.mistakes.clear()
        with block:
            try:
                response: Any = self.handler._respond(scope, body)
            except Exception:  # noqa: BLE001  (not even the page for mistakes could be made)
                self.mistakes.append(traceback.format_exc())
                return 599, "", ""
            finally:
                transaction.set_rollback(True)
        text = "" if response.streaming else response.content.decode("utf-8", "replace")
        return response.status_code, response.get("Content-Type", ""), text


def scope_of(
    method: str, path: str, query: bytes, headers: list[tuple[bytes, bytes]]
) -> dict[str, Any]:
    return {
        "type": "http",
        "http_version": "1.1",
        "method": method,
        "scheme": "http",
        "path": unquote(path),
        "raw_path": path.encode("ascii"),
        "query_string": query,
        "headers": headers,
        "root_path": "",
        "client": ("127.0.0.1", 4711),
        "server": ("localhost", 8000),
    }


def plain_headers(world: World, role: str, kind: str) -> dict[str, bytes]:
    cookie = f"csrftoken={CSRF}"
    if world.cookies[role]:
        cookie += f"; sessionid={world.cookies[role]}"
    return {
        "host": b"localhost",
        "cookie": cookie.encode(),
        "x-csrftoken": CSRF.encode(),
        "content-type": kind.encode(),
    }


FORM = "application/x-www-form-urlencoded"
BOUNDARY = "XfuzzX"


def form_of(rng: Random, fields: dict[str, bytes], as_parts: bool) -> tuple[str, bytes]:
    if not as_parts:
        pairs = (f"{name}={quote_from_bytes(value, safe='')}" for name, value in fields.items())
        return FORM, "&".join(pairs).encode()
    body = b""
    for name, value in fields.items():
        file = b'; filename="' + hostile.header(rng)[:200] + b'"' if name == "file" else b""
        body += f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="{name}"'.encode()
        body += file + b"\r\n\r\n" + value + b"\r\n"
    return f"multipart/form-data; boundary={BOUNDARY}", body + f"--{BOUNDARY}--\r\n".encode()


def call(rng: Random, world: World, address: Address) -> tuple[str, dict[str, Any], bytes]:
    """One call of which one to three parts are hostile: who calls, the scope, the body."""
    role = rng.choice(ROLES)
    method = rng.choice(("GET", "GET", "POST", "POST", "POST", "PUT"))
    what = set(rng.sample(["path", "query", "header", "body"], k=rng.choice((1, 1, 2))))
    parts = dict(address.good)
    if "path" in what and parts:
        parts[rng.choice(list(parts))] = hostile.quoted(rng)
    path = address.pattern % parts
    query = address.link.encode()
    if "query" in what or (method == "GET" and "path" not in what):
        names = rng.sample(address.query, k=rng.choice((1, 2, 3)))
        query += b"&" * bool(query)  # the last of a name is the one that is read
        query += b"&".join(f"{name}={hostile.quoted(rng)}".encode() for name in names)
        if rng.random() < 0.1:
            query += b"&" + hostile.header(rng)
    kind, body = "application/json" if path.startswith("/api/") else FORM, b""
    if method != "GET":
        if address.body is not None:
            data = hostile.changed(rng, address.body) if "body" in what else address.body
            body = hostile.json_of(rng, hostile.value(rng) if rng.random() < 0.05 else data)
        else:
            fields = {name: value.encode() for name, value in address.fields.items()}
            fields.pop("csrfmiddlewaretoken", None)
            if address.acts:
                fields["action"] = fields["act"] = rng.choice(address.acts).encode()
            for name in rng.sample(sorted(fields), k=min(len(fields), rng.choice((1, 2)))):
                fields[name] = hostile.some_bytes(rng)
            kind, body = form_of(rng, fields, as_parts=rng.random() < 0.3)
            if rng.random() < 0.05:
                body = hostile.some_bytes(rng) + body
    headers = plain_headers(world, role, kind)
    if path.startswith("/api/") and role in world.passes and rng.random() < 0.7:
        headers["authorization"] = world.passes[role].encode()
    if "header" in what:
        for name in rng.sample(HEADERS, k=rng.choice((1, 2))):
            headers[name] = hostile.header(rng)
            if name == "cookie":
                whose = rng.choice(("sessionid", "csrftoken", "messages", "other"))
                headers[name] = whose.encode() + b"=" + headers[name]
            elif name == "authorization":
                headers[name] = rng.choice((b"Token ", b"Visit ", b"Basic ", b"")) + headers[name]
    raw = [(name.encode(), value) for name, value in headers.items()]
    return role, scope_of(method, path, query, raw), body


def complaint(path: str, status: int, kind: str, text: str) -> str:
    """What is wrong with an answer; "" when it is right."""
    if status >= 500 and path != "/readyz":
        return "a mistake of ours"
    if status < 400 or path == "/readyz":
        return ""
    if path.startswith("/api/"):
        if kind != "application/json" or not re.match(
            r'\{"error": ?\{"code": ?"\w+", ?"mess', text
        ):
            return "not the one shape of errors"
        return ""
    words = html.unescape(
        re.sub(r"<(script|style|head).*?</\1>|<[^>]+>", " ", text, flags=re.DOTALL)
    )
    return "" if re.search(r"[A-Z][^.?!]{8,}[.?!:]", words) else "no sentence"


def learn_fields(world: World, ask: Caller) -> None:
    """Find what each page has fields for, as an admin sees it: its looks may read them too."""
    for address in world.addresses:
        if address.body is not None or address.pattern.startswith("/api/"):
            address.body = address.body or {}
            continue
        headers = plain_headers(world, "admin", FORM)
        raw = [(name.encode(), value) for name, value in headers.items()]
        scope = scope_of("GET", address.pattern % address.good, address.link.encode(), raw)
        _, _, text = ask(scope, b"")
        found = re.findall(r'name="([\w-]+)"(?:[^>]*? value="([^"]*)")?', text)
        there = {name: html.unescape(value) for name, value in found if name != "viewport"}
        address.query = (*address.query, *there)
        address.fields = there | address.fields
        if "_selected_action" in address.fields:
            acts = re.findall(r'<option value="(\w+)"', text)
            address.acts = acts
            address.fields |= {"confirmed": "1", "reason": "x"}
        for name in ("act", "reason", "example", "label", "password"):
            address.fields.setdefault(name, "1")


@TAKES_LONG
def test_no_call_makes_the_server_fail(
    task: Task, settings: Any, mistakes: list[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(django_settings, "LIMITS", doors.OFF)
    settings.ACCOUNT_RATE_LIMITS = False
    here, ask = world.make(task, tmp_path / "1.0.0"), Caller(mistakes)
    learn_fields(here, ask)
    problems = dict(islice(found(here, ask), CALLS))
    problems.pop("", None)
    assert not problems, f"{len(problems)} kinds\n" + "\n".join(problems.values())

    with a_door_that_forgets() as address:  # which the same calls find
        here.addresses = [address]
        told = [key for key, _ in islice(found(here, ask), 50)]
    assert any(key.startswith("a mistake of ours") for key in told)


@contextmanager
def a_door_that_forgets() -> Iterator[Address]:
    """The control: an address whose view takes what it is sent for what it should be."""
    patterns = get_resolver().url_patterns
    patterns.append(path("forgets/", lambda request: HttpResponse(int(request.GET["page"]))))
    try:
        yield Address("/forgets/", {}, query=("page", "q", "all"))
    finally:
        patterns.pop()


def found(here: World, ask: Caller) -> Iterator[tuple[str, str]]:
    """What is wrong with the answer to each of ever more calls, and the whole story; "" where
    nothing is."""
    rng = Random(11)
    for address in cycle(here.addresses):
        role, scope, body = call(rng, here, address)
        status, kind, text = ask(scope, body)
        if what := complaint(scope["path"], status, kind, text):
            why = ask.mistakes[-1] if ask.mistakes else text[-300:]
            last = why.strip().splitlines()[-1:] or [""]
            key = f"{what}: {scope['method']} {address.pattern} {last[0][:80]}"
            yield (
                key,
                f"{key}\n  by {role}, status {status}, ?{scope['query_string'][:120]!r} "
                f"{scope['raw_path'][:120]!r} {body[:300]!r}\n{why}",
            )
        else:
            yield "", ""
