"""Run two or more threads into the same place at the same time, each on its own connection.

What is taken away for a control is taken away here: a constraint with `without`, row locks with
`take_locks_away`.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import pytest
from django.core.management import call_command
from django.db import connection, connections
from django.db.models import Model

from annotate.models import Example
from validate import hearing, statements
from validate.models import QueueItem


def at_once(calls: Sequence[Callable[[], Any]]) -> list[Any]:
    """Start all calls behind a barrier; returns what each returned, or the exception it raised."""
    barrier = threading.Barrier(len(calls))
    outcomes: list[Any] = [None] * len(calls)

    def run(index: int) -> None:
        try:
            barrier.wait(10)
            outcomes[index] = calls[index]()
        except Exception as error:  # noqa: BLE001  (it is the outcome)
            outcomes[index] = error
        finally:
            connections.close_all()

    threads = [threading.Thread(target=run, args=(index,)) for index in range(len(calls))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert not any(thread.is_alive() for thread in threads), "a race did not end"
    return outcomes


def meeting(number: int, call: Callable[..., Any]) -> Callable[..., Any]:
    """The same call, after that many threads have come to it."""
    barrier = threading.Barrier(number)

    def meet(*args: Any, **how: Any) -> Any:
        barrier.wait(10)
        return call(*args, **how)

    return meet


def meeting_once(number: int, call: Callable[..., Any]) -> Callable[..., Any]:
    """The same call, the first of each of that many threads after all have done theirs."""
    barrier = threading.Barrier(number)
    here = threading.local()

    def meet(*args: Any, **how: Any) -> Any:
        done = call(*args, **how)
        if not hasattr(here, "met"):
            here.met = True
            barrier.wait(10)
        return done

    return meet


def take_locks_away(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let acts read examples and queue entries as with their locks, without them."""

    def leased(lease: Any, _: int) -> tuple[Example, QueueItem | None]:
        example = Example.objects.get(leases=lease)
        return example, QueueItem.objects.filter(pk=example.pk).first()

    monkeypatch.setattr(statements, "lock_leased", leased)
    monkeypatch.setattr(
        hearing, "_locked", lambda ids: list(Example.objects.filter(pk__in=ids).order_by("pk"))
    )
    monkeypatch.setattr(hearing, "lock_items", lambda ids: QueueItem.objects.in_bulk(list(ids)))


@contextmanager
def without(model: type[Model], constraint: str) -> Iterator[None]:
    """Take a constraint away; at the end everything is deleted, so that it can come back."""
    (taken,) = [one for one in model._meta.constraints if one.name == constraint]
    with connection.schema_editor() as editor:
        editor.remove_constraint(model, taken)
    try:
        yield
    finally:
        call_command("flush", verbosity=0, interactive=False, inhibit_post_migrate=True)
        with connection.schema_editor() as editor:
            editor.add_constraint(model, taken)
