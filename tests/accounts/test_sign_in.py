"""From sign-up to a closed account, as a browser does it."""

from __future__ import annotations

import time
from typing import Any

import pytest
from allauth.mfa.models import Authenticator
from allauth.mfa.totp.internal.auth import format_hotp_value, hotp_value
from django.core import mail
from django.test import Client
from rest_framework.exceptions import AuthenticationFailed

from accounts import services
from accounts.adapters import AccountAdapter
from accounts.backends import TokenAuthentication
from accounts.models import Event, User, WorkSession
from core.errors import Refused
from tests.cast import PASSWORD, person
from validate.acts.ban import set_banned

NEW = {"username": "Nora.1", "password1": PASSWORD, "password2": PASSWORD}


def sign_in(client: Client, name: str, password: str = PASSWORD) -> Any:
    return client.post("/accounts/login/", {"login": name, "password": password})


def signed_in(client: Client) -> bool:
    return client.get("/accounts/me/").status_code == 200


@pytest.fixture
def ours(client: Client, annotator: User) -> Client:
    """A browser in which `annotator` is signed in."""
    sign_in(client, annotator.username)
    assert signed_in(client)
    return client


def test_sign_up_sign_out_sign_in(client: Client, db: None) -> None:
    assert client.get("/accounts/signup/").status_code == 200
    assert client.post("/accounts/signup/", NEW).status_code == 302
    assert signed_in(client)
    user = User.objects.get(username="Nora.1")
    assert user.role == "annotator"
    assert Event.objects.filter(verb="created", object_id=str(user.pk)).exists()

    client.post("/accounts/logout/")
    assert not signed_in(client)
    assert sign_in(client, "nora.1").status_code == 302  # whatever the case
    assert signed_in(client)


@pytest.mark.parametrize(
    "name", ["x", "x" * 31, "a b", "nöra", "p-abc", "P-abc", "nora@home", "n/ora"]
)
def test_names_that_nobody_may_take(client: Client, db: None, name: str) -> None:
    page = client.post("/accounts/signup/", {**NEW, "username": name})
    assert page.context["form"].errors["username"]
    with pytest.raises(Refused):
        services.create_user(username=name)
    assert not User.objects.exists()


def test_a_taken_name_is_taken_in_any_case(client: Client, annotator: User) -> None:
    page = client.post("/accounts/signup/", {**NEW, "username": "ANNA"})
    assert page.context["form"].errors["username"]
    with pytest.raises(Refused, match="taken"):
        services.create_user(username="Anna")


def test_somebody_quicker_with_the_name_is_no_error(
    client: Client, db: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The form finds the name free, and then it is taken before the insert."""
    check = AccountAdapter.clean_username

    def then_taken(self: AccountAdapter, username: str, shallow: bool = False) -> str:
        found_free: str = check(self, username, shallow)
        person("nora.1")
        return found_free

    monkeypatch.setattr(AccountAdapter, "clean_username", then_taken)
    page = client.post("/accounts/signup/", NEW, follow=True)
    assert "That user name is taken." in page.content.decode()
    assert User.objects.get().username == "nora.1"


def test_a_weak_password_is_refused_with_a_sentence(client: Client, db: None) -> None:
    page = client.post("/accounts/signup/", {**NEW, "password1": "12345", "password2": "12345"})
    assert page.context["form"].errors["password1"]


def test_a_wrong_password_says_so_and_lets_nobody_in(client: Client, annotator: User) -> None:
    page = sign_in(client, "anna", "wrong")
    assert page.context["form"].non_field_errors()
    assert not signed_in(client)


def test_guessing_is_stopped(client: Client, annotator: User) -> None:
    for _ in range(5):
        sign_in(client, "anna", "wrong")
    sign_in(client, "anna")
    assert not signed_in(client)


def test_signing_in_begins_a_visit_and_hands_over_nothing_of_a_guest(
    client: Client, annotator: User
) -> None:
    session = client.session
    session["guest"] = "11111111-1111-4111-8111-111111111111"
    session.save()
    sign_in(client, "anna")
    visit = WorkSession.objects.get(user=annotator)
    assert visit.kind == "local"
    assert client.session["work_session"] == str(visit.pk)
    assert "guest" not in client.session


def test_changing_the_password_ends_the_other_sessions(ours: Client, annotator: User) -> None:
    elsewhere = Client()
    sign_in(elsewhere, "anna")
    new = "a different horse entirely"
    answer = ours.post(
        "/accounts/password/change/",
        {"oldpassword": PASSWORD, "password1": new, "password2": new},
    )
    assert answer.status_code == 302
    assert signed_in(ours)
    assert not signed_in(elsewhere)
    sign_in(elsewhere, "anna", new)
    assert signed_in(elsewhere)


def test_signing_out_everywhere_ends_every_session(ours: Client, annotator: User) -> None:
    elsewhere = Client()
    sign_in(elsewhere, "anna")
    ours.post("/accounts/me/sign-out-everywhere/")
    assert not signed_in(ours)
    assert not signed_in(elsewhere)
    sign_in(elsewhere, "anna")
    assert signed_in(elsewhere)


def test_a_ban_ends_sessions_tokens_and_sign_in(ours: Client, annotator: User, owner: User) -> None:
    token = services.create_token(user=annotator)
    set_banned(actor=owner, user=annotator, banned=True, reason="spam")
    assert not signed_in(ours)
    answer = sign_in(ours, "anna")
    assert answer["location"] == "/accounts/inactive/"
    assert "may not sign in" in ours.get("/accounts/inactive/").content.decode()
    assert not signed_in(ours)
    with pytest.raises(AuthenticationFailed, match="banned"):
        TokenAuthentication().authenticate_credentials(token.encode())

    set_banned(actor=owner, user=annotator, banned=False, reason="a mistake")
    sign_in(ours, "anna")
    assert signed_in(ours)
    assert TokenAuthentication().authenticate_credentials(token.encode())[0] == annotator


def test_somebody_known_from_a_log_cannot_sign_in(client: Client, annotator: User) -> None:
    User.objects.filter(pk=annotator.pk).update(imported=True)
    sign_in(client, "anna")
    assert not signed_in(client)


def test_without_mail_the_reset_page_says_whom_to_ask(client: Client, db: None) -> None:
    page = client.get("/accounts/password/reset/")
    assert "Ask an admin" in page.content.decode()
    assert client.get("/accounts/email/")["location"].startswith("/accounts/me/")


def test_with_mail_a_link_sets_a_new_password(client: Client, settings: Any, db: None) -> None:
    settings.MAIL_CONFIGURED = True
    user = person("mia")
    User.objects.filter(pk=user.pk).update(email="mia@example.org")
    user.refresh_from_db()
    page = client.post("/accounts/password/reset/", {"email": "mia@example.org"}, follow=True)
    assert "Look into your mail" in page.content.decode()
    (letter,) = mail.outbox
    link = next(word for word in letter.body.split() if "/password/reset/key/" in word)
    form = client.get(link, follow=True)
    assert form.status_code == 200
    new = "a different horse entirely"
    client.post(form.redirect_chain[-1][0], {"password1": new, "password2": new})
    sign_in(client, "mia", new)
    assert signed_in(client)


def test_a_second_factor_is_asked_for_once_it_is_set_up(
    ours: Client, annotator: User, settings: Any
) -> None:
    settings.MFA_TOTP_TOLERANCE = 1  # half a minute may end while a code is on its way
    asked = ours.get("/accounts/2fa/totp/activate/")
    page = ours.post(
        asked["location"],
        {"password": PASSWORD, "next": "/accounts/2fa/totp/activate/"},
        follow=True,
    )
    assert page.status_code == 200
    secret = page.context["form"].secret

    def code() -> str:
        return format_hotp_value(hotp_value(secret, int(time.time()) // 30))

    assert ours.post("/accounts/2fa/totp/activate/", {"code": code()}).status_code == 302
    assert "on</span>" in ours.get("/accounts/me/").content.decode()
    assert ours.get("/accounts/2fa/recovery-codes/").status_code == 200
    recovery = Authenticator.objects.get(user=annotator, type="recovery_codes")
    spare = recovery.wrap().get_unused_codes()[0]

    ours.post("/accounts/logout/")
    assert sign_in(ours, "anna")["location"].startswith("/accounts/2fa/authenticate/")
    assert not signed_in(ours)
    ours.post("/accounts/2fa/authenticate/", {"code": spare})
    assert signed_in(ours)


# --- guesses --------------------------------------------------------------------------------------
def guess(client: Client, name: str, times: int) -> None:
    for _ in range(times):
        sign_in(client, name, "not that")


def test_wrong_passwords_from_elsewhere_lock_nobody_out(annotator: User) -> None:
    thief, owner_of_it = Client(REMOTE_ADDR="192.0.2.1"), Client(REMOTE_ADDR="192.0.2.2")
    guess(thief, "anna", 5)
    assert "Too many wrong attempts" in sign_in(thief, "ANNA").content.decode()
    assert not signed_in(thief)
    sign_in(owner_of_it, "anna")
    assert signed_in(owner_of_it)


def test_where_one_has_signed_in_before_others_guesses_do_not_count(
    ours: Client, annotator: User
) -> None:
    ours.post("/accounts/logout/")
    neighbour = Client()  # behind the same address
    guess(neighbour, "anna", 6)
    for number in range(50):
        sign_in(Client(REMOTE_ADDR=f"198.51.100.{number}"), "anna", "not that")
    far = Client(REMOTE_ADDR="192.0.2.7")
    assert "guessing this account" in sign_in(far, "anna").content.decode()
    sign_in(ours, "anna")
    assert signed_in(ours)


def test_another_accounts_device_is_none_of_this_one(ours: Client, other_annotator: User) -> None:
    ours.post("/accounts/logout/")
    guess(Client(), other_annotator.username, 5)
    assert "Too many" in sign_in(ours, other_annotator.username).content.decode()


def test_guesses_are_one_count_over_all_doors(ours: Client, annotator: User) -> None:
    for _ in range(5):
        ours.post("/accounts/me/close/", {"password": "not that"})
    assert "Too many" in ours.post("/accounts/me/close/", {"password": PASSWORD}).content.decode()
    new = {
        "oldpassword": PASSWORD,
        "password1": "another long one",
        "password2": "another long one",
    }
    assert "Too many" in ours.post("/accounts/password/change/", new).content.decode()
    assert "Too many" in (
        ours.post("/accounts/reauthenticate/", {"password": PASSWORD}).content.decode()
    )
    ours.post("/accounts/logout/")
    assert "Too many" in sign_in(ours, "anna").content.decode()
