"""What stands before all pages and calls: nothing is kept for others, and no refusal is silent."""

from __future__ import annotations

from typing import Any

import pytest
from django.test import Client

from accounts.models import Event, User
from annotate.models import Task
from tests import cast


@pytest.fixture
def strict(annotator: User) -> Client:
    """A signed-in browser whose page is of the session before."""
    client = Client(enforce_csrf_checks=True)
    client.force_login(annotator)
    return client


@pytest.mark.parametrize(
    "address",
    ["/", "/tasks/digits/", "/me/work/", "/accounts/me/", "/me/work/data.jsonl", "/nowhere/",
     "/api/v1/examples/", "/api/v1/tasks/digits/", "/api/v1/schema/"],
)  # fmt: skip
def test_nothing_that_was_answered_is_kept(task: Task, strict: Client, address: str) -> None:
    assert strict.get(address)["Cache-Control"] == "private, no-store"


def test_a_page_of_the_session_before_is_told_so(task: Task, strict: Client) -> None:
    body: dict[str, Any] = {"input": cast.drawing(1)}

    for address in ("/api/v1/tasks/digits/predictions/", "/tasks/digits/inbox/decide/"):
        answer = strict.post(
            address, body, content_type="application/json", headers={"accept": "application/json"}
        )
        assert answer.status_code == 403
        assert answer.json()["error"]["code"] == "page_out_of_date"
    page = strict.post("/accounts/me/preferences/")
    assert "You signed in or out in another tab" in page.content.decode()


@pytest.mark.parametrize(
    ("address", "cookie", "status", "words"),
    [
        ("/tasks/digits/?round=%00", "", 400, "Something in the address"),
        ("/me/work/", r'sessionid="a\000"', 400, "Something in the address"),
        ("/api/v1/examples/?task=%00", "", 400, '"code": "bad_request"'),
        ("/tasks/digits/inbox/decide/", "", 405, "does not take what was sent"),
        ("/api/v1/schema/?format=other", "", 404, '"code": "not_found"'),
    ],
)
def test_a_refusal_has_words(
    task: Task, client: Client, address: str, cookie: str, status: int, words: str
) -> None:
    answer = client.get(address, headers={"cookie": cookie})
    assert answer.status_code == status
    assert words in answer.content.decode()


def test_an_explanation_leaves_an_event_with_what_it_was(
    task: Task, client: Client, annotator: User
) -> None:
    example = cast.submission(task, annotator, explanation="Thin.")
    client.force_login(annotator)
    for text in ("An open 9.", "An open 9."):
        client.post(
            f"/api/v1/examples/{example.uid}/explain/", {"explanation": text}, "application/json"
        )

    (event,) = Event.objects.filter(verb="explained")
    assert (event.actor, event.object_id, event.data) == (
        annotator,
        str(example.pk),
        {"from": "Thin.", "salt": event.data["salt"]},
    )
