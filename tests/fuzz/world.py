"""A small world with somebody of each role, and every address that there is in it."""

from __future__ import annotations

import re
import uuid
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, Final

from django.apps import apps
from django.test import Client
from django.urls import URLPattern, URLResolver, get_resolver
from django.utils.regex_helper import normalize
from rest_framework.test import APIClient

from accounts.models import User
from accounts.services import create_token
from annotate.models import Task
from tests import acts, cast
from tests.crowd.world import campaign

CSRF: Final = "c" * 32
ROLES: Final = ("nobody", "annotator", "validator", "owner", "admin")
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


@dataclass
class World:
    cookies: dict[str, str]
    tokens: dict[str, str]
    addresses: list[Address]
    slug: str = "digits"


def make(task: Task) -> World:
    anna, vera = cast.person("anna"), cast.person("vera", "validator")
    people = {
        "annotator": anna,
        "validator": vera,
        "owner": User.objects.get(username="olive"),
        "admin": cast.person("ada", "admin"),
    }
    example = cast.submission(task, anna, 1)
    for seed, person in enumerate(people.values(), start=2):
        cast.submission(task, person, seed)
    lease = acts.next_item(validator=vera, task=task)
    assert lease is not None
    cast.text_task()
    campaign(task, slug="digits")
    good = {**_PLACES, "uid": str(example.uid), "lease": str(lease.pk)}
    cookies = {"nobody": ""}
    for role, person in people.items():
        client = Client()
        client.force_login(person)
        cookies[role] = client.cookies["sessionid"].value
    bodies = _bodies(str(lease.pk))
    return World(
        cookies,
        {role: create_token(user=person) for role, person in people.items()},
        [
            Address(pattern, _values(pattern, good), bodies.get(pattern))
            for pattern in sorted(set(_patterns(get_resolver().url_patterns)))
        ],
    )


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


def _bodies(lease: str) -> dict[str, dict[str, Any]]:
    """A good body for each call that takes one, by the schema; the pictures are real ones."""
    known = {
        "client_id": str(uuid.UUID(int=7)),
        "input": cast.drawing(77),
        "label": "3",
        "lease": lease,
        "after": lease,
        "explanation": "Thin.",
    }
    schema = APIClient().get("/api/v1/schema/?format=json").json()
    found = {}
    for path, operations in schema["paths"].items():
        content = operations.get("post", {}).get("requestBody", {}).get("content", {})
        named = content.get("application/json", {}).get("schema", {}).get("$ref", "")
        shape = schema["components"]["schemas"].get(named.rpartition("/")[2], {})
        pattern = re.sub(r"\{(\w+)\}", r"%(\1)s", path)
        found[pattern] = {name: known.get(name, "a") for name in shape.get("properties", {})}
    return found
