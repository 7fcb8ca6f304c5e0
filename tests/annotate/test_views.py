"""The annotator's pages: who sees what, in which words, and under which policy."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any
from uuid import uuid4

import pytest
from asgiref.sync import async_to_sync
from django.test import AsyncClient, Client
from django.urls import reverse
from django.utils import timezone

from accounts.models import User
from accounts.services import set_role
from annotate import services
from annotate.models import Example, Task
from annotate.own_work import PAGE_SIZE, work_item
from annotate.queries import Participant
from core.transactions import durable
from tests import cast
from tests.pins import Pins

pytestmark = pytest.mark.django_db

TASK_PAGE = "/tasks/digits/"


@pytest.fixture
def signed_in(client: Client, annotator: User) -> Client:
    client.force_login(annotator)
    return client


def page_data(html: str) -> dict[str, Any]:
    found = re.search(r'<script id="page-data"[^>]*>(.*?)</script>', html, re.DOTALL)
    assert found
    return dict(json.loads(found[1]))


# --- home and the drawing page --------------------------------------------------------------------
def test_home_leads_a_guest_to_the_task(client: Client, task: Task) -> None:
    html = client.get("/").content.decode()
    assert task.name in html
    assert "round 1 is open" in html
    assert f'href="{TASK_PAGE}"' in html


def test_home_asks_as_much_for_many_tasks_as_for_one(
    client: Client, task: Task, pinned: Pins
) -> None:
    for number in range(3):
        cast.digits_task(slug=f"more-{number}")
    with pinned.queries("page / of four tasks"):
        client.get("/")


def test_home_without_tasks_says_what_to_do(client: Client, db: None) -> None:
    assert "No task yet" in client.get("/").content.decode()


def test_a_hidden_task_is_for_its_owner_alone(client: Client, owner: User, task: Task) -> None:
    Task.objects.filter(pk=task.pk).update(public=False)
    assert task.name not in client.get("/").content.decode()
    missing = client.get(TASK_PAGE)
    assert missing.status_code == 404
    assert "Nothing is here" in missing.content.decode()
    client.force_login(owner)
    assert client.get(TASK_PAGE).status_code == 200


def test_a_guest_draws_in_the_sandbox_and_keeps_one_identity(client: Client, task: Task) -> None:
    html = client.get(TASK_PAGE).content.decode()
    data = page_data(html)
    assert data["sandbox"] is True
    assert "Sandbox: not counted" in html
    assert data["person"] == f"guest-{client.session['guest']}"
    assert page_data(client.get(TASK_PAGE).content.decode())["person"] == data["person"]


def test_a_person_draws_for_real(signed_in: Client, annotator: User, task: Task) -> None:
    html = signed_in.get(TASK_PAGE).content.decode()
    data = page_data(html)
    assert data["sandbox"] is False
    assert data["person"] == f"user-{annotator.pk}"
    assert [label["value"] for label in data["labels"]] == cast.DIGITS
    assert data["socket"] == "/ws/tasks/digits/"
    assert "Sandbox" not in html


def test_the_session_strip_counts_what_was_done(
    signed_in: Client, annotator: User, task: Task
) -> None:
    cast.submission(task, annotator, 1, fooled=True)
    cast.submission(task, annotator, 2, fooled=False)
    cast.submission(task, annotator, 3, fooled=True)
    html = signed_in.get(TASK_PAGE).content.decode()
    counts = dict(re.findall(r'data-session="(\w+)">(\d+)<', html))
    assert counts == {"tries": "3", "fooled": "2", "verified": "0", "streak": "1"}


def test_without_a_sandbox_a_guest_is_asked_to_sign_in(client: Client, owner: User) -> None:
    cast.digits_task(owner, sandbox=False)
    response = client.get(TASK_PAGE)
    assert response.status_code == 302
    assert response["Location"] == f"{reverse('account_login')}?next={TASK_PAGE}"


def test_a_kind_without_a_page_says_so(
    client: Client, task: Task, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(vars(task.kind), "has_page", False)
    assert "open to scripts only" in client.get(TASK_PAGE).content.decode()


def test_pages_hold_to_the_content_security_policy(signed_in: Client, task: Task) -> None:
    for address in ("/", TASK_PAGE, "/me/work/"):
        response = signed_in.get(address)
        html = response.content.decode()
        policy = response["Content-Security-Policy"]
        assert "script-src 'self'" in policy
        assert "unsafe" not in policy
        assert not re.search(r"\sstyle=", html)
        assert not re.search(r"\son\w+=", html)
        for attributes in re.findall(r"<script\b([^>]*)>", html):
            assert "src=" in attributes or 'type="application/json"' in attributes


# --- own work -------------------------------------------------------------------------------------
def test_own_work_is_for_people_with_an_account(client: Client, db: None) -> None:
    for address in ("/me/work/", "/me/work/data.jsonl", f"/me/work/{uuid4()}/retract/"):
        response = client.get(address)
        assert response.status_code == 302
        assert response["Location"].startswith(reverse("account_login"))


def test_own_work_shows_own_examples_only(
    signed_in: Client, annotator: User, other_annotator: User, task: Task
) -> None:
    mine = cast.submission(task, annotator, 1, explanation="a long tail")
    other = cast.submission(task, other_annotator, 2)
    html = signed_in.get("/me/work/").content.decode()
    assert str(mine.uid) in html
    assert "a long tail" in html
    assert str(other.uid) not in html


def test_own_work_says_what_to_do_when_there_is_none(signed_in: Client) -> None:
    assert "Nothing yet" in signed_in.get("/me/work/").content.decode()
    filtered = signed_in.get("/me/work/?fooled=yes").content.decode()
    assert "None of your examples fits" in filtered


def settled(status: str, label: str | None = None) -> Callable[[Example], None]:
    def settle(example: Example) -> None:
        with durable():
            verdict = services.Verdict(status, label, settled_at=timezone.now())
            services.latch(services.lock_example(example.pk), verdict, verb="settled", data={})

    return settle


def taken_back(example: Example) -> None:
    services.retract(participant=Participant(user=example.author), uid=example.uid)


@pytest.mark.parametrize(
    ("happens", "words", "fate"),
    [
        (lambda example: None, "waits for validators", "waiting"),
        (settled("verified"), "confirmed", "confirmed"),
        (settled("rejected"), "not confirmed", "not_confirmed"),
        (settled("relabelled", "4"), "others say 4", "not_confirmed"),
        (settled("ambiguous"), "others could not agree", "not_confirmed"),
        (settled("flagged"), "flagged, for the owner to judge", "not_confirmed"),
        (taken_back, "taken back", "taken_back"),
    ],
)
def test_each_fate_has_its_words_and_its_filter(
    signed_in: Client,
    annotator: User,
    task: Task,
    happens: Callable[[Example], None],
    words: str,
    fate: str,
) -> None:
    example = cast.submission(task, annotator)
    happens(example)
    assert work_item(Example.objects.get(pk=example.pk)).words == words
    for name in ("waiting", "confirmed", "not_confirmed", "taken_back"):
        html = signed_in.get("/me/work/", {"fate": name}).content.decode()
        assert ("work__item" in html) == (name == fate)


def test_filters_by_task_and_by_fooling(signed_in: Client, annotator: User, task: Task) -> None:
    fooled = cast.submission(task, annotator, 1, fooled=True)
    read = cast.submission(task, annotator, 2, fooled=False)

    def shown(**query: str) -> str:
        return signed_in.get("/me/work/", query).content.decode()

    assert str(read.uid) not in shown(fooled="yes")
    assert str(fooled.uid) not in shown(fooled="no")
    assert str(fooled.uid) in shown(task="digits")
    assert str(fooled.uid) in shown(task="no-such-task"), "a choice that is none is no choice"


@pytest.mark.parametrize("before", ["x", "-1", "9" * 30, "9" * 5_000])
def test_a_page_that_is_none_is_the_first(
    signed_in: Client, annotator: User, task: Task, before: str
) -> None:
    made = cast.submission(task, annotator)
    assert str(made.uid) in signed_in.get("/me/work/", {"before": before}).content.decode()


def test_pages_follow_each_other_without_gap(
    signed_in: Client, annotator: User, task: Task, pinned: Pins
) -> None:
    made = [cast.submission(task, annotator, seed) for seed in range(PAGE_SIZE + 3)]
    with pinned.queries("page me/work/, full"):
        first = signed_in.get("/me/work/?fooled=yes").content.decode()
    older = re.search(r'rel="next" href="([^"]+)"', first)
    assert older
    second = signed_in.get("/me/work/" + older[1].replace("&amp;", "&")).content.decode()
    uids = [re.findall(r"/me/work/([0-9a-f-]{36})/retract/", page) for page in (first, second)]
    assert uids[0] + uids[1] == [str(example.uid) for example in reversed(made)]
    assert 'rel="prev"' in second
    assert 'rel="next"' not in second


def test_the_download_holds_own_data_and_no_others(
    annotator: User, other_annotator: User, owner: User, task: Task
) -> None:
    mine = cast.submission(task, annotator, 1, explanation="größer")
    theirs = cast.submission(task, other_annotator, 2)
    set_role(user=annotator, role="validator", actor=owner)
    cast.answer(User.objects.get(pk=annotator.pk), task)

    async def download() -> tuple[str, str]:
        client = AsyncClient()
        await client.aforce_login(annotator)
        response = await client.get("/me/work/data.jsonl")
        parts = [part async for part in response]
        return response["Content-Disposition"], b"".join(parts).decode()

    disposition, text = async_to_sync(download)()
    person, *examples, vote = [json.loads(line) for line in text.splitlines()]
    assert disposition.startswith("attachment")
    assert person["username"] == annotator.username
    assert [example["id"] for example in examples] == [str(mine.uid)]
    assert examples[0]["explanation"] == "größer"
    assert examples[0]["input"] == mine.input
    assert (vote["kind"], vote["example"]) == ("vote", str(theirs.uid))
    assert "input" not in vote


def test_taking_back_asks_first(signed_in: Client, annotator: User, task: Task) -> None:
    example = cast.submission(task, annotator)
    address = f"/me/work/{example.uid}/retract/"
    assert "Take this back?" in signed_in.get(address).content.decode()
    example.refresh_from_db()
    assert example.retracted_at is None
    html = signed_in.post(address, follow=True).content.decode()
    example.refresh_from_db()
    assert example.retracted_at is not None
    assert "Taken back" in html
    assert "taken back" in html


def test_nobody_takes_back_what_is_not_theirs(
    signed_in: Client, other_annotator: User, task: Task
) -> None:
    example = cast.submission(task, other_annotator)
    address = f"/me/work/{example.uid}/retract/"
    assert signed_in.get(address).status_code == 404
    assert signed_in.post(address).status_code == 404
    example.refresh_from_db()
    assert example.retracted_at is None


@pytest.mark.parametrize("address", ["/", "/tasks/digits/", "/tasks/digits/leaderboard/"])
def test_a_monitor_may_ask_for_the_head_alone(client: Client, task: Task, address: str) -> None:
    assert client.head(address).status_code == 200
