"""Every address of the server, asked by everybody: a new address without a row fails."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from copy import deepcopy
from io import StringIO
from pathlib import Path
from typing import Any, NamedTuple
from uuid import UUID

import pytest
from django.conf import settings
from django.contrib.auth import get_user_model
from django.core.management import call_command
from django.db import transaction
from django.test import Client
from django.urls import URLPattern, URLResolver, get_resolver, reverse
from django.utils import timezone

from annotate.models import Task
from core import doors
from crowd.models import Payment, Visit
from releases.models import Release
from tests import acts, cast
from tests.crowd import world
from training.models import Discovery, Region, TrainingRun
from validate.models import Judge

# Somebody not signed in; the author of the example; another annotator; the validator who holds the
# lease; the owner of both tasks; the owner of another task; an admin; somebody banned since they
# signed in.
ROLES = ("guest", "author", "annotator", "validator", "owner", "stranger", "admin", "banned")


class Row(NamedTuple):
    """One request, and the status that each of ROLES gets."""

    name: str
    expected: str
    method: str = "get"
    arguments: dict[str, str] = {}
    body: dict[str, Any] | None = None


DIGITS, SECRET, TEXTS = {"slug": "digits"}, {"slug": "secret"}, {"slug": "texts"}
ROUND = {**DIGITS, "number": "1"}
THIS = {"uid": "EXAMPLE"}
HELD = {"lease": "LEASE"}
TALKS, CHAT = {"slug": "chats"}, {"chat": "CHAT"}
OF_ALL = {**DIGITS, "version": "1.0.0"}
PIECE = {"upload": str(UUID(int=1)), "offset": 0, "piece": "AAAA"}
OF_OWNERS = {**DIGITS, "version": "1.1.0"}
DRAWING = cast.drawing(77)
FOR_ALL = "200 200 200 200 200 200 200 200"
SIGNED_IN = "302 200 200 200 200 200 200 302"
SIGNED_OUT = "200 302 302 302 302 302 302 200"
HIDDEN = "404 404 404 404 200 404 200 404"
MISSING = "404 404 404 404 404 404 404 404"
ELSEWHERE = "302 302 302 302 302 302 302 302"  # to sign in, to give the password again, or back
NO_PASS = "401 401 401 401 401 401 401 401"
WITH_ACCOUNT = "401 200 200 200 200 200 200 401"

ROWS = [
    Row("alive", FOR_ALL),
    Row("ready", FOR_ALL),
    Row("metrics", FOR_ALL),  # from this machine: tests/test_metrics.py
    # --- the annotator's pages
    Row("home", FOR_ALL),
    Row("task", FOR_ALL, arguments=DIGITS),
    Row("task", HIDDEN, arguments=SECRET),
    Row("my_work", SIGNED_IN),
    Row("my_data", SIGNED_IN),
    Row("retract", "302 200 404 404 404 404 404 302", arguments=THIS),
    Row("retract", "302 302 404 404 404 404 404 302", "post", THIS),
    # --- the validator's
    Row("validate-home", SIGNED_IN),
    Row("validate", "302 403 403 200 200 200 200 302", arguments=DIGITS),
    Row("validate", "302 404 404 404 200 404 200 302", arguments=SECRET),
    Row("validate-look-again", ELSEWHERE, "post", DIGITS),
    Row("validate-look-again", "302 404 404 404 302 404 302 302", "post", SECRET),
    # --- boards
    Row("leaderboard", FOR_ALL, arguments=DIGITS),
    Row("leaderboard", HIDDEN, arguments=SECRET),
    Row("round", FOR_ALL, arguments=ROUND),
    Row("round", HIDDEN, arguments={**ROUND, **SECRET}),
    Row("round-plot", FOR_ALL, arguments={**ROUND, "name": "funnel", "form": "svg"}),
    Row("round-plot", HIDDEN, arguments={**ROUND, **SECRET, "name": "funnel", "form": "csv"}),
    Row("comparison", FOR_ALL, arguments=DIGITS),
    Row("comparison", HIDDEN, arguments=SECRET),
    Row("comparison-plot", MISSING, arguments={**DIGITS, "name": "pareto", "form": "svg"}),
    # --- the owner's
    Row("evaluate", "404 404 404 404 302 404 302 404", "post", DIGITS),
    Row("changed", HIDDEN, arguments=DIGITS),
    Row("round-foolings", HIDDEN, arguments=ROUND),
    Row("task-file", HIDDEN, arguments=DIGITS),
    Row("training", HIDDEN, arguments=DIGITS),
    Row("training_live", HIDDEN, arguments=DIGITS),
    Row("training_start", "404 404 404 404 302 404 302 404", "post", DIGITS),
    Row("training_stop", "404 404 404 404 302 404 302 404", "post", DIGITS),
    Row("training_serve", HIDDEN, arguments={**DIGITS, "number": "1"}),
    Row(
        "training_serve",
        "404 404 404 404 302 404 302 404",
        "post",
        {**DIGITS, "number": "2"},
        {"reason": "It is better."},
    ),
    Row("training_round", HIDDEN, arguments=ROUND),
    Row(
        "training_round",
        "404 404 404 404 302 404 302 404",
        "post",
        ROUND,
        {"retraction": "never", "reason": "A shared task."},
    ),
    Row("training_run", HIDDEN, arguments={**DIGITS, "number": "RUN"}),
    Row("training_run", MISSING, arguments={**SECRET, "number": "RUN"}),
    Row(
        "training_choose",
        "404 404 404 404 302 404 302 404",
        "post",
        {**DIGITS, "number": "RUN"},
        {"recipe": "0"},
    ),
    Row("rehearsals", HIDDEN, arguments=DIGITS),
    Row("rehearsal", MISSING, arguments={**DIGITS, "number": "1"}),
    Row("rehearsal-plot", MISSING, arguments={**ROUND, "name": "rounds", "form": "svg"}),
    Row("regions", HIDDEN, arguments=DIGITS),
    Row("coverage", HIDDEN, arguments=DIGITS),
    Row("regions_find", "404 404 404 404 302 404 302 404", "post", DIGITS),
    Row("regions_ask", "404 404 404 404 302 404 302 404", "post", DIGITS),
    Row("region_hints", "404 404 404 404 302 404 302 404", "post", DIGITS, {"remove": "0"}),
    Row(
        "region_name",
        "404 404 404 404 302 404 302 404",
        "post",
        {**DIGITS, "region": "REGION"},
        {"name": "open fours"},
    ),
    Row("region_name", MISSING, "post", {**SECRET, "region": "REGION"}, {"name": "another's"}),
    Row("robustness", FOR_ALL, arguments={**DIGITS, "number": "1"}),
    Row("robustness", HIDDEN, arguments={**DIGITS, "number": "2"}),
    Row("robustness-file", FOR_ALL, arguments={**DIGITS, "number": "1"}),
    Row("robustness-file", HIDDEN, arguments={**SECRET, "number": "1"}),
    Row("judges", HIDDEN, arguments=DIGITS),
    Row("judge_add", "404 404 404 404 302 404 302 404", "post", DIGITS),
    Row("judges_ask", "404 404 404 404 302 404 302 404", "post", DIGITS),
    Row("judge_test", "404 404 404 404 302 404 302 404", "post", {**DIGITS, "number": "2"}),
    Row(
        "judge_demote",
        "404 404 404 404 302 404 302 404",
        "post",
        {**DIGITS, "number": "2"},
        {"reason": "It drifts."},
    ),
    Row("judge_demote", MISSING, "post", {**DIGITS, "number": "1"}, {"reason": "It drifts."}),
    Row("contexts", HIDDEN, arguments=TEXTS),
    Row("contexts", MISSING, arguments=DIGITS),
    Row("contexts-offer", "404 404 404 404 302 404 302 404", "post", TEXTS),
    Row("inbox", HIDDEN, arguments=DIGITS),
    Row("inbox-case", HIDDEN, arguments={**DIGITS, **THIS}),
    Row("inbox-case", "404 404 404 404 302 404 302 404", "post", {**DIGITS, **THIS}),
    Row("inbox-similar", HIDDEN, arguments={**DIGITS, **THIS}),
    Row("inbox-decide", "404 404 404 404 302 404 302 404", "post", DIGITS),
    Row("inbox-take-back", "404 404 404 404 302 404 302 404", "post", DIGITS),
    Row("agreement", HIDDEN, arguments=DIGITS),
    Row("models", HIDDEN, arguments=DIGITS),
    Row("models", HIDDEN.replace("200", "400"), "post", DIGITS, {"file": "name: x"}),
    Row("model", HIDDEN, arguments={**DIGITS, "number": "1"}),
    Row("model", HIDDEN, arguments={**DIGITS, "number": "2"}),
    Row(
        "model_retire",
        "404 404 404 404 302 404 302 404",
        "post",
        {**DIGITS, "number": "2"},
        {"reason": "Old."},
    ),
    Row("releases", HIDDEN, arguments=DIGITS),
    Row("releases-theirs", HIDDEN, arguments=DIGITS),
    Row("releases-live", HIDDEN, arguments=DIGITS),
    Row("releases-start", "404 404 404 404 302 404 302 404", "post", DIGITS),
    Row("releases-personal", "404 404 404 404 302 404 302 404", "post", DIGITS),
    Row("release-open", "404 404 404 404 302 404 302 404", "post", OF_OWNERS),
    Row("release", HIDDEN, arguments=OF_OWNERS),
    Row("release", FOR_ALL, arguments=OF_ALL),
    Row("release-file", HIDDEN, arguments={**OF_OWNERS, "name": "README.md"}),
    Row("release-file", FOR_ALL, arguments={**OF_ALL, "name": "log.jsonl"}),
    Row("release-file", MISSING, arguments={**OF_ALL, "name": "../1.1.0/README.md"}),
    Row("campaigns", HIDDEN, arguments=DIGITS),
    Row("campaign", HIDDEN, arguments={**DIGITS, "name": "pilot"}),
    Row("campaign", "404 404 404 404 302 404 302 404", "post", {**DIGITS, "name": "pilot"}),
    Row("campaign-statement", HIDDEN, arguments={**DIGITS, "name": "pilot"}),
    Row("campaign-pay-file", HIDDEN, arguments={**DIGITS, "name": "pilot", "batch": "b1"}),
    # --- by a link, where an account says nothing
    Row("crowd-link", "400 400 400 400 400 400 400 400", arguments={"slug": "pilot"}),
    Row("crowd-event", "403 403 403 403 403 403 403 403", "post"),
    Row("api-visit", NO_PASS, "post", {}, {}),
    Row("api-visit-ticket", NO_PASS, "post", {}, {}),
    # --- REST
    Row("api-tasks", FOR_ALL),
    Row("api-task-file-schema", FOR_ALL),
    Row("api-task", FOR_ALL, arguments=DIGITS),
    Row("api-task", HIDDEN, arguments=SECRET),
    Row("api-predictions", FOR_ALL, "post", DIGITS, {"input": DRAWING}),
    Row("api-predictions", HIDDEN, "post", SECRET, {"input": DRAWING}),
    Row(
        "api-submissions",
        "401 201 201 201 201 201 201 401",
        "post",
        DIGITS,
        {"client_id": str(uuid.uuid4()), "input": DRAWING, "label": "3"},
    ),
    Row(
        "api-submissions",
        "404 404 404 404 201 404 201 404",
        "post",
        SECRET,
        {"client_id": str(uuid.uuid4()), "input": DRAWING, "label": "3"},
    ),
    Row("api-examples", WITH_ACCOUNT),
    Row("api-example", "401 200 404 404 200 404 200 401", arguments=THIS),
    Row("api-retract", "401 200 404 404 404 404 404 401", "post", THIS),
    Row("api-explain", "401 200 404 404 404 404 404 401", "post", THIS, {"explanation": "Thin."}),
    Row("api-why", "401 409 404 404 409 404 409 401", arguments=THIS),
    Row("api-context", "401 204 204 204 204 204 204 401", "post", DIGITS),
    Row("api-context", HIDDEN.replace("200", "204"), "post", SECRET),
    Row("api-chats", "401 400 400 400 400 400 400 401", "post", DIGITS),
    Row("api-chats", "401 201 201 201 201 201 201 401", "post", TALKS),
    Row("api-chat", "401 200 404 404 404 404 404 401", arguments=CHAT),
    Row("api-turns", "401 200 404 404 404 404 404 401", "post", CHAT, {"content": "Hello"}),
    Row("api-next", "401 403 403 200 200 200 200 401", "post", DIGITS),
    Row("api-next", "401 404 404 404 204 404 204 401", "post", SECRET),
    Row("api-undo", "401 403 403 409 409 409 409 401", "post", DIGITS),
    Row("api-undo", "401 404 404 404 409 404 409 401", "post", SECRET),
    Row("api-progress", WITH_ACCOUNT, arguments=DIGITS),
    Row("api-progress", "401 404 404 404 200 404 200 401", arguments=SECRET),
    Row("api-vote", "401 409 409 200 409 409 409 401", "post", HELD, {"label": "3"}),
    Row("api-heartbeat", "401 409 409 200 409 409 409 401", "post", HELD),
    Row("api-release", "401 409 409 204 409 409 409 401", "post", HELD),
    Row("api-leaderboard", FOR_ALL, arguments=DIGITS),
    Row("api-leaderboard", HIDDEN, arguments=SECRET),
    Row("api-rounds", FOR_ALL, arguments=DIGITS),
    Row("api-rounds", HIDDEN, arguments=SECRET),
    Row(
        "api-rounds",
        "401 403 403 403 201 403 201 401",
        "post",
        DIGITS,
        {"model": "digits-2", "reason": "It is better."},
    ),
    Row("api-releases", FOR_ALL, arguments=DIGITS),
    Row("api-releases", HIDDEN, arguments=SECRET),
    Row("api-release-file", HIDDEN, arguments={**OF_OWNERS, "name": "README.md"}),
    Row("api-release-file", FOR_ALL, arguments={**OF_ALL, "name": "README.md"}),
    Row("api-round", FOR_ALL, arguments=ROUND),
    Row("api-round", HIDDEN, arguments={**ROUND, **SECRET}),
    Row("api-round", "401 403 403 403 200 403 200 401", "patch", ROUND, {"reason": "No change."}),
    Row("api-comparison", FOR_ALL, arguments=DIGITS),
    Row("api-comparison", HIDDEN, arguments=SECRET),
    Row("api-comparison", "404 404 404 404 202 404 202 404", "post", DIGITS),
    Row("api-robustness", FOR_ALL, arguments={"id": "SERVED"}),
    Row("api-robustness", HIDDEN, arguments={"id": "UNRELEASED"}),
    Row("api-agreement", HIDDEN, arguments=DIGITS),
    Row("api-runs", HIDDEN, arguments=DIGITS),
    Row("api-runs", "404 404 404 404 409 404 409 404", "post", DIGITS),
    Row("api-run", HIDDEN, arguments={**DIGITS, "uid": "RUN_UID"}),
    Row("api-run", MISSING, arguments={**SECRET, "uid": "RUN_UID"}),
    Row("api-run-stop", "404 404 404 404 409 404 409 404", "post", {**DIGITS, "uid": "RUN_UID"}),
    Row(
        "api-run-choose",
        "404 404 404 404 409 404 409 404",
        "post",
        {**DIGITS, "uid": "RUN_UID"},
        {"recipe": 0},
    ),
    Row("api-judges", HIDDEN, arguments=DIGITS),
    Row("api-judges", "404 404 404 404 201 404 201 404", "post", DIGITS, {"model": "digits-2"}),
    Row("api-models", FOR_ALL, arguments=DIGITS),
    Row("api-models", HIDDEN, arguments=SECRET),
    Row("api-model-uploads", "401 403 403 403 200 403 200 401", "post", DIGITS, PIECE),
    Row("api-model", FOR_ALL, arguments={"id": "SERVED"}),
    Row("api-model", HIDDEN, arguments={"id": "UNRELEASED"}),
    Row("api-schema", FOR_ALL),
    Row("api-docs", FOR_ALL),
    Row("api-nothing", MISSING),
    Row("^api/", MISSING),
    # --- people: one's own account only, so there is nobody else's to ask for
    Row("account", SIGNED_IN),
    Row("create_token", ELSEWHERE, "post"),
    Row("revoke_token", ELSEWHERE, "post", {"token_key": "none"}),
    Row("set_preferences", ELSEWHERE, "post"),
    Row("sign_out_everywhere", ELSEWHERE, "post"),
    Row("close_account", SIGNED_IN),
    Row("accounts/email/", ELSEWHERE),
    Row("accounts/password/reset/", FOR_ALL),
    Row("account_login", SIGNED_OUT),
    Row("account_signup", SIGNED_OUT),
    Row("account_logout", "302 200 200 200 200 200 200 302"),
    Row("account_inactive", FOR_ALL),
    Row("account_reauthenticate", "302 200 200 200 200 200 200 302"),
    Row("account_email", ELSEWHERE),
    Row("account_email_verification_sent", FOR_ALL),
    Row("account_change_password", SIGNED_IN),
    Row("account_set_password", ELSEWHERE),
    Row("account_reset_password", FOR_ALL),
    Row("account_confirm_login_code", ELSEWHERE),
    Row("account_confirm_email", FOR_ALL, arguments={"key": "none"}),
    Row("account_reset_password_from_key_done", FOR_ALL),
    Row("account_reset_password_from_key", FOR_ALL, arguments={"uidb36": "1", "key": "none"}),
    Row("account_reset_password_done", FOR_ALL),
    Row("mfa_index", SIGNED_IN),
    Row("mfa_authenticate", ELSEWHERE),
    Row("mfa_reauthenticate", ELSEWHERE),
    Row("mfa_activate_totp", ELSEWHERE),
    Row("mfa_deactivate_totp", "302 404 404 404 404 404 404 302"),
    Row("mfa_view_recovery_codes", "302 404 404 404 404 404 404 302"),
    Row("mfa_generate_recovery_codes", ELSEWHERE),
    Row("mfa_download_recovery_codes", "302 404 404 404 404 404 404 302"),
]


def routes(patterns: list[Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    """Name (or pattern, where it has none) and pattern of every address but the admin site's."""
    for entry in patterns:
        pattern = prefix + str(entry.pattern)
        if isinstance(entry, URLResolver) and entry.namespace != "admin":
            yield from routes(entry.url_patterns, pattern)
        elif isinstance(entry, URLPattern):
            yield entry.name or pattern, pattern


def test_every_address_has_a_row() -> None:
    assert {name for name, _ in routes(get_resolver().url_patterns)} == {row.name for row in ROWS}


@pytest.fixture
def clients(
    task: Task, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> tuple[dict[str, Client], dict[str, str]]:
    """A signed-in client for each role, and the ids of the example and the lease."""
    monkeypatch.setattr(settings, "LIMITS", doors.OFF)
    olive = get_user_model().objects.get(username="olive")
    cast.digits_task(olive, slug="secret", public=False)
    cast.text_task().owners.add(olive)
    unreleased = cast.fixed_model(task, seed=1)
    world.come(world.campaign(task)).begin()
    Payment.objects.create(visit=Visit.objects.get(), amount=1, state="sent", batch="b1")
    people = {
        "author": cast.person("anna"),
        "annotator": cast.person("bert"),
        "validator": cast.person("vera", "validator"),
        "owner": olive,
        "stranger": cast.person("otto", "owner"),
        "admin": cast.person("ada", "admin"),
        "banned": cast.person("bea"),
    }
    cast.digits_task(people["stranger"], slug="others")
    example = cast.submission(task, people["author"])
    chat = cast.chatted(cast.chat_task(), people["author"], "Good day")
    for version in ("1.0.0", "1.1.0"):
        call_command(
            "release", "digits", out=tmp_path / version, version=version, stdout=StringIO()
        )
    Release.objects.filter(version="1.0.0").update(public=True)
    lease = acts.next_item(validator=people["validator"], task=task)
    assert lease is not None
    look = Discovery.objects.create(task=task, model=example.model, status=Discovery.Status.DONE)
    region = Region.objects.create(discovery=look, number=1, label="4", answer="9")
    Judge.objects.create(task=task, model=unreleased)
    run = TrainingRun.objects.create(
        task=task, round=example.round, parent=example.model, status=TrainingRun.Status.FAILED
    )
    signed_in = {role: Client() for role in ROLES}
    for role, person in people.items():
        signed_in[role].force_login(person)
    get_user_model().objects.filter(username="bea").update(banned_at=timezone.now())
    return signed_in, {
        "EXAMPLE": str(example.uid),
        "LEASE": str(lease.pk),
        "CHAT": str(chat.uid),
        "REGION": str(region.pk),
        "RUN": str(run.pk),
        "RUN_UID": str(run.uid),
        "SERVED": str(example.model_id),
        "UNRELEASED": str(unreleased.pk),
    }


def ask(client: Client, row: Row, ids: dict[str, str]) -> str:
    """The status of one request, of which neither database nor client then knows."""
    arguments = {name: ids.get(value, value) for name, value in row.arguments.items()}
    if row.name == "api-nothing":
        address = "/api/v1/nothing/"
    elif "/" in row.name:
        address = f"/{row.name.lstrip('^')}"
    else:
        address = reverse(row.name, kwargs=arguments)
    content_type = "application/json" if "/api/" in address else None
    options: dict[str, Any] = {"content_type": content_type} if content_type else {}
    if row.method == "get":
        options = {}
    cookies = deepcopy(client.cookies)  # some answers sign the client out
    block = transaction.atomic()
    block._from_testcase = True  # type: ignore[attr-defined]  # as TestCase does for durable blocks
    with block:
        response = getattr(client, row.method)(address, row.body, **options)
        transaction.set_rollback(True)
    client.cookies = cookies
    return str(response.status_code)


@pytest.mark.slow
@pytest.mark.once
def test_everybody_gets_what_their_role_may(
    clients: tuple[dict[str, Client], dict[str, str]],
) -> None:
    signed_in, ids = clients
    surprises = []
    for row in ROWS:
        answers = " ".join(ask(signed_in[role], row, ids) for role in ROLES)
        if answers != row.expected:
            surprises.append(f"{row.method} {row.name} {row.arguments}: {answers}")
    assert not surprises, "\n".join(surprises)


def test_the_admin_site_is_closed_to_all_but_owners_and_admins(
    clients: tuple[dict[str, Client], dict[str, str]],
) -> None:
    """What owners see there is shown in tests/admin."""
    signed_in, _ = clients
    index = reverse("admin:index")

    assert {role: client.get(index).status_code for role, client in signed_in.items()} == {
        role: 200 if role in ("owner", "stranger", "admin") else 302 for role in ROLES
    }
