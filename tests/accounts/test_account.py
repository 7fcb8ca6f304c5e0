"""The account page: tokens, and closing the account."""

from __future__ import annotations

import io
import json
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.test import Client
from knox.models import AuthToken

from accounts import services
from accounts.models import Event, User
from annotate.models import Example, Task
from core.errors import Refused
from tests.cast import PASSWORD, person, submission


@pytest.fixture
def ours(client: Client, annotator: User) -> Client:
    client.post("/accounts/login/", {"login": "anna", "password": PASSWORD})
    return client


def test_the_account_page_needs_an_account(client: Client, db: None) -> None:
    assert client.get("/accounts/me/")["location"].startswith("/accounts/login/")


def test_a_token_is_shown_once_and_can_be_revoked(ours: Client, annotator: User) -> None:
    # A session that somebody left open is not enough: the password is asked for once more.
    asked = ours.post("/accounts/me/tokens/")
    assert asked["location"].startswith("/accounts/reauthenticate/?")
    assert not AuthToken.objects.exists()
    assert ours.get(asked["location"]).status_code == 200
    page = ours.post(asked["location"], {"password": PASSWORD, "next": "/accounts/me/tokens/"})
    secret = page.context["token"]
    assert secret in page.content.decode()
    assert "no-store" in page["cache-control"]
    kept = AuthToken.objects.get(user=annotator)
    assert secret not in ours.get("/accounts/me/").content.decode()
    assert kept.token_key[:8] in ours.get("/accounts/me/").content.decode()

    ours.post(f"/accounts/me/tokens/{kept.token_key}/revoke/")
    assert not AuthToken.objects.exists()


def test_nobody_revokes_the_token_of_another(
    ours: Client, annotator: User, other_annotator: User
) -> None:
    services.create_token(user=other_annotator)
    theirs = AuthToken.objects.get(user=other_annotator)
    ours.post(f"/accounts/me/tokens/{theirs.token_key}/revoke/")
    assert AuthToken.objects.filter(pk=theirs.pk).exists()


def test_tokens_are_limited(annotator: User) -> None:
    for _ in range(services.MAX_TOKENS):
        services.create_token(user=annotator)
    with pytest.raises(Refused, match="revoke one first"):
        services.create_token(user=annotator)


def test_closing_keeps_the_examples_under_the_pseudonym(
    ours: Client, annotator: User, task: Task
) -> None:
    example = submission(task, annotator)
    services.create_token(user=annotator)
    page = ours.get("/accounts/me/close/")
    assert annotator.pseudonym in page.content.decode()

    refused = ours.post("/accounts/me/close/", {"password": "wrong"})
    assert refused.context["form"].errors["password"]
    assert ours.post("/accounts/me/close/", {"password": PASSWORD}).status_code == 302

    closed = User.objects.get(pk=annotator.pk)
    assert closed.username == closed.public_name == annotator.pseudonym
    assert Example.objects.get(pk=example.pk).author == closed
    assert not AuthToken.objects.exists()
    assert ours.get("/accounts/me/").status_code == 302
    ours.post("/accounts/login/", {"login": "anna", "password": PASSWORD})
    assert ours.get("/accounts/me/").status_code == 302
    person("anna")  # the name is free again


def test_the_only_admin_can_neither_go_nor_step_down(db: None) -> None:
    only = person("ada", "admin")
    for go in (
        lambda: services.close_account(user=only),
        lambda: services.set_role(user=only, role="annotator", actor=only),
    ):
        with pytest.raises(Refused, match="only admin"):
            go()
    person("adam", "admin")
    services.close_account(user=only)
    assert User.objects.get(pk=only.pk).closed_at


def test_a_role_decides_who_sees_the_admin_site(annotator: User, owner: User) -> None:
    for role, staff, superuser in [
        ("owner", True, False),
        ("admin", True, True),
        ("validator", False, False),
    ]:
        services.set_role(user=annotator, role=role, actor=owner, reason="trusted")
        annotator.refresh_from_db()
        assert (annotator.is_staff, annotator.is_superuser) == (staff, superuser)
        if role == "admin":
            person("another", "admin")
    event = Event.objects.filter(verb="changed_role").latest("id")
    assert event.data == {"from": "admin", "to": "validator", "reason": "trusted"}


def create_user(*arguments: str) -> dict[str, Any]:
    out = io.StringIO()
    call_command("create_user", *arguments, stdout=out)
    account: dict[str, Any] = json.loads(out.getvalue())
    return account


def test_create_user_prints_what_is_needed_to_sign_in(client: Client, db: None) -> None:
    account = create_user("olga", "--role", "owner", "--token")
    assert set(account) == {"username", "role", "password", "token"}
    client.post("/accounts/login/", {"login": "olga", "password": account["password"]})
    assert client.get("/accounts/me/").status_code == 200

    assert set(create_user("rob", "--password", PASSWORD)) == {"username", "role"}
    with pytest.raises(CommandError, match="taken"):
        create_user("Olga")
