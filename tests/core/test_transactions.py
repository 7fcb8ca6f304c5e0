"""A view of the database: it sees one state, and those who write do not wait for it."""

from __future__ import annotations

import pytest

from accounts.models import User
from core.transactions import durable, one_view
from tests import cast
from tests.races import at_once


def sign_up() -> None:
    with durable():
        User.objects.create(username="bert", pseudonym="b")


@pytest.mark.django_db(transaction=True)
def test_who_writes_meanwhile_neither_waits_nor_is_seen() -> None:
    cast.person("anna")
    with one_view():
        before = User.objects.count()
        assert at_once([sign_up]) == [None]
        assert User.objects.count() == before
    assert User.objects.count() == before + 1
