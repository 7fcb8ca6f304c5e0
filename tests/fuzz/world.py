"""A small world with somebody of each role, and every address that there is in it."""

from __future__ import annotations

import re
import uuid
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from io import StringIO
from pathlib import Path
from typing import Any, Final

from django.apps import apps
from django.core.management import call_command
from django.test import Client
from django.urls import URLPattern, URLResolver, get_resolver
from django.utils.regex_helper import normalize
from rest_framework.test import APIClient

from accounts.models import User
from accounts.services import create_token
from annotate.models import Task
from releases.models import Release
from tests import acts, cast
from tests.browser.inbox_world import region_of, rehearsed, tried
from tests.crowd import world as crowd
from training.models import Region, Rehearsal, TrainingRun

CSRF: Final = "c" * 32
ROLES: Final = ("nobody", "annotator", "validator", "owner", "admin", "visitor")
_PLACES: Final = {
    "slug": "digits",
    "number": "1",
    "version": "1.0.0",
    "name": "README.md",
    "app_label": "annotate",
    "url": "nothing",
}
# Parameters that some page or list reads, or that the admin site would.
_NAMES = """
q p o e all task round after before kind standing claim fooled fate status mine cursor format
page_size next digest seen history role _to_field _popup id__in author__password__startswith
status__exact user__id__exact _changelist_filters assignmentId workerId k
"""
_QUERY: Final = tuple(_NAMES.split())


@dataclass
class Address:
    """A pattern with one good value for each of its parts, and what its page has fields for."""

    pattern: str
    good: dict[str, str]
    body: dict[str, Any] | None = None  # of a REST call
    fields: dict[str, str] = field(default_factory=dict)  # of a form
    acts: list[str] = field(default_factory=list)  # of an admin list
    query: tuple[str, ...] = _QUERY
    link: str = ""  # a good query, without which nothing is looked at


@dataclass
class World:
    cookies: dict[str, str]
    passes: dict[str, str]  # what each role puts into Authorization
    addresses: list[Address]
    slug: str = "digits"


def make(task: Task, folder: Path) -> World:
    anna, vera = cast.person("anna"), cast.person("vera", "validator")
    people = {
        "annotator": anna,
        "validator": vera,
        "owner": User.objects.get(username="olive"),
        "admin": cast.person("ada", "admin"),
    }
    cast.submission(task, anna, 0)
    for person in (vera, people["admin"]):
        cast.answer(person, task)
    region_of(task)
    rehearsed(task)
    tried(task)
    example = cast.submission(task, anna, 1)
    for seed, person in enumerate(people.values(), start=2):
        cast.submission(task, person, seed)
    lease = acts.next_item(validator=vera, task=task)
    assert lease is not None
    cast.text_task()
    chat = cast.chatted(cast.chat_task(), anna, "Good day")
    call_command("release", "digits", out=folder, stdout=StringIO())
    Release.objects.update(public=True)
    work = ["annotate", "validate"]
    came = crowd.come(crowd.campaign(task, slug="digits", work=work))
    visit = came.begin()
    good = {
        **_PLACES,
        "region": str(Region.objects.earliest("pk").pk),
        "uid": str(example.uid),
        "lease": str(lease.pk),
        "chat": str(chat.uid),
    }
    cookies = dict.fromkeys(("nobody", "visitor"), "")
    for role, person in people.items():
        client = Client()
        client.force_login(person)
        cookies[role] = client.cookies["sessionid"].value
    bodies, parameters = _by_the_schema(str(lease.pk))
    passes = {role: f"Token {create_token(user=person)}" for role, person in people.items()}
    addresses = [
        Address(
            pattern,
            _values(pattern, good),
            bodies.get(pattern),
            query=(*_QUERY, *parameters.get(pattern, [])),
        )
        for pattern in sorted(set(_patterns(get_resolver().url_patterns)))
    ]
    for address in addresses:
        if "rehearsals/" in address.pattern and "number" in address.good:
            address.good["number"] = str(Rehearsal.objects.get().pk)
        if "training/runs/" in address.pattern:
            address.good["number"] = str(TrainingRun.objects.get().pk)
        if "slug)s/runs/" in address.pattern:
            address.good["uid"] = str(TrainingRun.objects.get().uid)
        if address.pattern == "/hit/%(slug)s/":
            address.link = came.address.partition("?")[2]
            address.acts = ["begin", "open", "check", "finish", "leave", "look_again", "data"]
            address.acts.append("forget")
            address.fields = {"token": visit}
    return World(cookies, passes | {"visitor": f"Visit {visit}"}, addresses)


def _patterns(among: Iterable[Any], before: str = "/") -> Iterator[str]:
    """Every address as a format: /tasks/%(slug)s/."""
    for entry in among:
        for text, _ in normalize(entry.pattern.regex.pattern):
            if isinstance(entry, URLResolver):
                yield from _patterns(entry.url_patterns, before + text)
            elif isinstance(entry, URLPattern):
                yield before + text


def _values(pattern: str, good: dict[str, str]) -> dict[str, str]:
    values = {name: good.get(name, "1") for name in re.findall(r"%\((\w+)\)s", pattern)}
    if "/campaigns/" in pattern and "name" in values:
        values["name"] = "digits"
    admins = re.match(r"/admin/(\w+)/(\w+)/", pattern)
    if "object_id" in values and admins:
        first = apps.get_model(*admins.groups()).objects.order_by("pk").first()
        values["object_id"] = str(first.pk if first else 1)
    return values


def _by_the_schema(lease: str) -> tuple[dict[str, dict[str, Any]], dict[str, list[str]]]:
    """A good body for each call that takes one, and the parameters that its look takes; the
    pictures are real ones."""
    known = {
        "client_id": str(uuid.UUID(int=7)),
        "input": cast.drawing(77),
        "label": "3",
        "lease": lease,
        "after": lease,
        "explanation": "Thin.",
        "content": "And now?",
        "turn": 2,
    }
    schema = APIClient().get("/api/v1/schema/?format=json").json()
    bodies, parameters = {}, {}
    for path, operations in schema["paths"].items():
        content = operations.get("post", {}).get("requestBody", {}).get("content", {})
        named = content.get("application/json", {}).get("schema", {}).get("$ref", "")
        shape = schema["components"]["schemas"].get(named.rpartition("/")[2], {})
        pattern = re.sub(r"\{(\w+)\}", r"%(\1)s", path)
        bodies[pattern] = {name: known.get(name, "a") for name in shape.get("properties", {})}
        asked = operations.get("get", {}).get("parameters", [])
        parameters[pattern] = [one["name"] for one in asked if one["in"] == "query"]
    return bodies, parameters
