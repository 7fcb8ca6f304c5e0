"""The record of a task's events as a chain of hashes, and the signature of a release.

Each link is the SHA-256 of the one before and of one event's line, so that whoever has a release
holds the server to all that it had recorded by then: `verify --here` on the server repeats the
chain from its database, and a later release carries on from an earlier one's end.

In a line stands the SHA-256 of what the event says. It stays where somebody had that erased, so
that such an event is known as one and all others are proven as before. Until points of the chain
said so, its text stood there itself.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Any, Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from django.db import connection
from django.db.models import Min, TextField
from django.db.models.functions import Cast
from django.utils import timezone

from accounts.models import Event
from accounts.services import ERASED
from annotate.models import Task
from core.strict_json import dumps
from releases.folders import LEDGER
from releases.reading import Difference

START: Final = hashlib.sha256(b"").hexdigest()
BY_DIGEST: Final = 2
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
    task: Task, points: list[list[Any]], *, until: datetime | None = None
) -> list[list[Any]]:
    """The chain's points `[event, hash, 2]`, from those of an earlier release to the newest event,
    or to what was `settled`. About 7 µs an event.

    The first is `[0, START]`; what was hashed up to a point without the 2 has texts in its lines.
    """
    points = [*points] or [[0, START]]
    after, link = points[-1][:2]
    last = END
    if until is not None:  # no event after the first that came later: the order is of ids
        later = Event.objects.filter(scope=task.slug, id__gt=after, created_at__gte=until)
        last = (later.aggregate(first=Min("id"))["first"] or END) - 1
    hashed = 0
    for rows in _events(task, after, last):
        for *row, text in rows:
            link = _link(link, row, _digest(text)[0])
        after, hashed = rows[-1][0], hashed + len(rows)
        if hashed >= EVERY:
            points.append([after, link, BY_DIGEST])
            hashed = 0
    if points[-1][0] != after:
        points.append([after, link, BY_DIGEST])
    return points


def repeat(task: Task, points: Sequence[Sequence[Any]]) -> list[int]:
    """The events up to a release's last point whose people had what they say erased; Difference
    where others are in the database than were hashed then."""
    erased = []
    if list(points[0]) != [0, START]:
        raise Difference(f"{LEDGER}: its chain of events has no beginning.")
    for (before, link, *_), (last, expected, *how) in pairwise(points):
        for rows in _events(task, before, last):
            for *row, text in rows:
                digest, gone = _digest(text)
                link = _link(link, row, digest if how else text)
                erased += [row[0]] if gone else []
        if link != expected:
            what = f"this database has other events after {before} up to {last}"
            raise Difference(f"{LEDGER}: {what}.")
    return erased


def _events(task: Task, after: int, last: int) -> Iterator[list[tuple[Any, ...]]]:
    """Those after one up to another, in chunks, as the database writes them; what they say last."""
    made_at, data = Cast("created_at", TextField()), Cast("data", TextField())
    events = Event.objects.filter(scope=task.slug, id__lte=last).order_by("id")
    rows = events.values_list("id", made_at, "actor_id", "verb", "object_type", "object_id", data)
    while found := list(rows.filter(id__gt=after)[:CHUNK]):
        yield found
        after = found[-1][0]


def _link(before: str, row: Iterable[Any], said: str) -> str:
    line = "\t".join((*map(str, row), said))
    return hashlib.sha256(f"{before}\n{line}".encode()).hexdigest()


def _digest(text: str) -> tuple[str, bool]:
    """The SHA-256 of what an event says, or said before it was erased, and whether it was."""
    if ERASED in text and (kept := json.loads(text).get(ERASED)):
        return str(kept), True
    return hashlib.sha256(text.encode()).hexdigest(), False


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
