"""The record of a task's events as a chain of hashes, and the signature of a release.

Each link is the SHA-256 of the one before and of one event's line, so that whoever has a release
holds the server to all that it had recorded by then: `verify --here` on the server repeats the
chain from its database, and a later release carries on from an earlier one's end.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from django.db import connection
from django.db.models import Min, TextField
from django.db.models.functions import Cast
from django.utils import timezone

from accounts.models import Event
from annotate.models import Task
from core.strict_json import dumps

START: Final = hashlib.sha256(b"").hexdigest()
EVERY: Final = 100_000  # events between two points at which the chain is kept
CHUNK: Final = 5_000
SETTLED: Final = timedelta(seconds=10)  # clocks of several hosts, and writing an event
END: Final = 2**63 - 1


def settled() -> datetime | None:
    """Until when no event can come any more before those that are there; None: up to now.

    PostgreSQL commits an event after later ones, as long as its transaction lasts: asked before
    the events are read, of those who are writing some.
    """
    if connection.vendor != "postgresql":
        return None
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT min(xact_start) FROM pg_stat_activity JOIN pg_locks USING (pid)"
            " WHERE relation = 'accounts_event'::regclass AND mode = 'RowExclusiveLock'"
            " AND pid <> pg_backend_pid()"
        )
        (oldest,) = cursor.fetchone()
    return (oldest or timezone.now()) - SETTLED


def chain_of(
    task: Task,
    points: list[list[Any]],
    *,
    up_to: int | None = None,
    until: datetime | None = None,
) -> list[list[Any]]:
    """The chain's points `[event, hash]`, from those of an earlier release to the newest event.

    Or to the event `up_to`, or to what was `settled`. About 6 µs an event.
    """
    points = [*points] or [[0, START]]
    after, link = points[-1]
    events = Event.objects.filter(scope=task.slug).order_by("id")
    if up_to is not None:
        events = events.filter(id__lte=up_to)
    elif until is not None:  # no event after the first that came later: the order is of ids
        later = events.filter(id__gt=after, created_at__gte=until).aggregate(first=Min("id"))
        events = events.filter(id__lt=later["first"] or END)
    made_at, data = Cast("created_at", TextField()), Cast("data", TextField())
    rows = events.values_list("id", made_at, "actor_id", "verb", "object_type", "object_id", data)
    hashed = 0
    while found := list(rows.filter(id__gt=after)[:CHUNK]):
        for row in found:
            line = f"{link}\n" + "\t".join(map(str, row))
            link = hashlib.sha256(line.encode()).hexdigest()
        after, hashed = found[-1][0], hashed + len(found)
        if hashed >= EVERY:
            points.append([after, link])
            hashed = 0
    if points[-1][0] != after:
        points.append([after, link])
    return points


def public_key(key: bytes) -> str:
    """What anybody may know of a signing key."""
    return Ed25519PrivateKey.from_private_bytes(key).public_key().public_bytes_raw().hex()


def signed(statement: Mapping[str, Any], key: bytes) -> dict[str, Any]:
    """The statement with the public key and the signature of everything else in it."""
    whole = {**statement, "public_key": public_key(key)}
    signature = Ed25519PrivateKey.from_private_bytes(key).sign(dumps(whole).encode())
    return {**whole, "signature": signature.hex()}


def text_of(ledger: Mapping[str, Any]) -> str:
    """The one way in which a ledger is written: hexadecimal digits in small letters, too."""
    return json.dumps({**ledger, "signature": ledger["signature"].lower()}, indent=1) + "\n"


def is_signed(ledger: Mapping[str, Any]) -> bool:
    """Whether the signature is the named key's, of all that the ledger says."""
    try:
        rest = {name: value for name, value in ledger.items() if name != "signature"}
        public = Ed25519PublicKey.from_public_bytes(bytes.fromhex(ledger["public_key"]))
        public.verify(bytes.fromhex(ledger["signature"]), dumps(rest).encode())
    except (InvalidSignature, KeyError, TypeError, ValueError):
        return False
    return True
