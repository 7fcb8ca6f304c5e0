"""The leaderboard page: what it shows, to whom, and that it updates only when something changed."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import time_machine
from django.core.cache import cache
from django.test import Client
from django.urls import get_script_prefix, reverse, set_script_prefix
from django.utils import timezone

from accounts.models import User
from annotate import rounds
from annotate.config import parse_task_file
from annotate.models import Example, Round, Task
from scoring import kept, views
from scoring.models import Tally
from tests import cast
from tests.pins import Pins

BOARD = "/tasks/digits/leaderboard/"


def did(author: User, task: Task, submitted: int, verified: int = 0) -> None:
    Tally.objects.create(
        round=Round.objects.get(task=task, status=Round.Status.OPEN),
        author=author,
        submitted=submitted,
        fooled=verified,
        verified=verified,
    )


def own_address(html: str) -> str:
    """What the boards ask for to update themselves."""
    found = re.search(r'hx-get="([^"]+)"', html)
    assert found
    return found[1].replace("&amp;", "&")


def test_everybody_sees_the_board_of_a_public_task(
    client: Client, task: Task, annotator: User
) -> None:
    did(annotator, task, 25, 5)

    html = client.get(BOARD).content.decode()

    assert "anna" in html
    assert "Verified rate 20 %, from 9 to 39 %" in html
    assert "digits-1" in html


def test_a_hidden_task_has_no_board_for_others(client: Client, owner: User) -> None:
    cast.digits_task(owner, public=False)
    assert client.get(BOARD).status_code == 404
    client.force_login(owner)
    assert client.get(BOARD).status_code == 200


def test_ones_own_row_is_marked(client: Client, task: Task, annotator: User) -> None:
    did(annotator, task, 25, 5)
    assert 'aria-current="true"' not in client.get(BOARD).content.decode()
    client.force_login(annotator)
    assert 'aria-current="true"' in client.get(BOARD).content.decode()


def test_those_below_the_threshold_are_told_how_much_is_missing(
    client: Client, task: Task, annotator: User
) -> None:
    did(annotator, task, 13, 13)
    html = client.get(BOARD).content.decode()
    assert "Not ranked yet: a rank takes 20 submissions" in html
    assert "7 more<" in html


def test_the_boards_are_sent_again_only_when_they_changed(
    client: Client, task: Task, annotator: User
) -> None:
    did(annotator, task, 25, 5)
    again = own_address(client.get(BOARD).content.decode())

    assert client.get(again, headers={"HX-Request": "true"}).status_code == 204

    Tally.objects.update(verified=4)
    response = client.get(again, headers={"HX-Request": "true"})
    html = response.content.decode()
    assert response.status_code == 200
    assert "<html" not in html
    assert own_address(html) != again
    assert "no-store" in response["Cache-Control"]


def test_a_round_can_be_chosen_and_stays_chosen(
    client: Client, task: Task, annotator: User
) -> None:
    did(annotator, task, 25, 5)

    html = client.get(BOARD, {"round": "1"}).content.decode()

    assert "People in round 1" in html
    assert "round=1" in own_address(html)


@pytest.mark.parametrize("number", ["2", "0", "-1", "one", "1.0", "²", "9" * 40])
def test_a_round_that_is_none_is_not_found(client: Client, task: Task, number: str) -> None:
    assert client.get(BOARD, {"round": number}).status_code == 404


def test_every_round_is_chosen_from_the_board_of_rounds_and_a_scheduled_one_by_nobody(
    client: Client, task: Task, annotator: User
) -> None:
    did(annotator, task, 25, 9)
    for number in range(2, 9):
        Round.objects.create(task=task, number=number, status=Round.Status.CLOSED)
    later = timezone.now() + timedelta(days=1)
    Round.objects.create(task=task, number=9, status=Round.Status.DRAFT, opens_at=later)
    html = client.get("/tasks/digits/leaderboard/").content.decode()
    assert 'id="round-1"' not in html
    assert 'href="?round=1"' in html
    html = client.get("/tasks/digits/leaderboard/?round=1").content.decode()
    assert "People in round 1" in html
    assert html.count('aria-current="page">Earlier…') == 1
    for address in ("/tasks/digits/leaderboard/", "/api/v1/tasks/digits/leaderboard/"):
        assert client.get(f"{address}?round=9").status_code == 404


def test_a_round_that_opens_is_on_the_board_at_once(
    client: Client, task: Task, annotator: User, settings: Any
) -> None:
    settings.BOARD_SECONDS = 60
    board = "/tasks/digits/leaderboard/"
    assert 'id="round-page-2"' not in client.get(board).content.decode()
    Round.objects.create(task=task, number=2, status=Round.Status.CLOSED)
    assert 'id="round-page-2"' in client.get(board).content.decode()


def test_an_empty_board_says_what_to_do(client: Client, task: Task) -> None:
    assert "The first place is free" in client.get(BOARD).content.decode()
    Round.objects.all().delete()
    assert "No round has begun" in client.get(BOARD).content.decode()


def test_names_are_text(client: Client, task: Task, annotator: User) -> None:
    User.objects.filter(pk=annotator.pk).update(username="<b>anna</b>")
    annotator.refresh_from_db()
    did(annotator, task, 25, 5)
    assert "&lt;b&gt;anna&lt;/b&gt;" in client.get(BOARD).content.decode()


def test_a_long_board_is_cut_but_never_before_ones_own_row(
    client: Client, task: Task, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(views, "SHOWN_PEOPLE", 2)
    people = [cast.person(f"person-{number}") for number in range(5)]
    for number, author in enumerate(people):
        did(author, task, 30, 10 - number)
    client.force_login(people[4])

    html = client.get(BOARD).content.decode()

    assert [f"person-{number}" in html for number in range(4)] == [True, True, False, False]
    assert 'aria-current="true"' in html
    assert "And 2 more" in html


def test_the_page_costs_the_same_however_long_it_is(
    client: Client, task: Task, pinned: Pins
) -> None:
    for number in range(6):
        did(cast.person(f"person-{number}"), task, 30, number)
    with pinned.queries("page leaderboard/ of six people"):
        client.get(BOARD)


def test_the_reader_is_told_of_days_in_a_row_by_their_own_calendar(
    client: Client, task: Task, annotator: User
) -> None:
    """On Kiritimati, 14 hours ahead, a third day has begun while it is the second in UTC."""
    days = [(25, 9), (26, 9), (26, 11)]
    for seed, (day, hour) in enumerate(days, start=1):
        one = cast.submission(task, annotator, seed)
        at = datetime(2026, 11, day, hour, tzinfo=UTC)
        Example.objects.filter(pk=one.pk).update(created_at=at)
    client.force_login(annotator)
    with time_machine.travel(datetime(2026, 11, 26, 12, tzinfo=UTC), tick=False):
        assert "2 days in a row" in client.get(BOARD).content.decode()
        client.cookies["zone"] = "Pacific/Kiritimati"
        assert "3 days in a row" in client.get(BOARD).content.decode()
        client.cookies["zone"] = "../../etc/passwd"
        assert "2 days in a row" in client.get(BOARD).content.decode()
        assert "in a row" not in Client().get(BOARD).content.decode()
    with time_machine.travel(datetime(2026, 11, 28, 0, 1, tzinfo=UTC), tick=False):
        html = client.get(BOARD).content.decode()
        assert "in a row" not in html, "a whole day is missing"
        assert "first verified fooling" not in html

    verified = Tally.objects.get()
    Tally.objects.filter(pk=verified.pk).update(verified=12, submitted=20, fooled=12)
    cache.clear()
    assert "10 verified foolings" in client.get(BOARD).content.decode()
    rounds.load_task(file=parse_task_file(cast.task_file(awards=[])))
    html = client.get(BOARD).content.decode()
    assert "verified foolings</span>" not in html, "the task wants none"
    assert 'href="#you"' in html
    assert html.count('id="you"') == 1


def test_what_is_made_outside_of_a_request_links_below_the_server_s_path(
    task: Task, settings: Any
) -> None:
    settings.BASE_PATH = "/a/dadc"
    tallies, below = kept.Tallies("", (), frozenset(), timezone.now()), get_script_prefix()

    def make() -> str:
        return tallies.once("a link", lambda _: reverse("leaderboard", args=["digits"]))

    try:
        assert make() == "/a/dadc/tasks/digits/leaderboard/"
    finally:
        set_script_prefix(below)
