"""The validator's pages: who gets in, what waits, and that nothing gives an answer away."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from django.http import HttpResponse
from django.test import Client

from accounts.models import User
from annotate.models import Task
from tests import acts, cast
from tests.pins import Pins
from validate import views
from validate.models import Lease
from validate.policies import FLAG_REASONS


def page_data(response: HttpResponse) -> dict[str, Any]:
    found = re.search(r'<script id="page-data"[^>]*>(.*?)</script>', response.content.decode())
    assert found
    data: dict[str, Any] = json.loads(found[1])
    return data


@pytest.mark.parametrize("path", ["/validate/", "/validate/digits/"])
def test_guests_are_asked_to_sign_in(client: Client, task: Task, path: str) -> None:
    response = client.get(path)
    assert response.status_code == 302
    assert response["Location"].endswith(f"?next={path}")


def test_an_annotator_is_told_how_to_become_a_validator(
    client: Client, task: Task, annotator: User
) -> None:
    client.force_login(annotator)

    for path, status in (("/validate/", 200), ("/validate/digits/", 403)):
        response = client.get(path)
        assert response.status_code == status
        assert "This is for validators" in response.content.decode()


def test_an_annotator_gets_in_where_the_task_says_so(
    client: Client, owner: User, annotator: User, other_annotator: User
) -> None:
    task = cast.digits_task(owner, validation={"policy": "two_plus_one", "open_to": "annotator"})
    cast.submission(task, other_annotator)
    client.force_login(annotator)

    assert client.get("/validate/digits/").status_code == 200
    assert "a few wait for you" in client.get("/validate/").content.decode()


def test_the_tasks_are_listed_with_what_waits(
    client: Client, task: Task, annotator: User, validator: User
) -> None:
    client.force_login(validator)
    assert "nothing waits" in client.get("/validate/").content.decode()
    for seed in range(3):
        cast.submission(task, annotator, seed)
    cast.answer(validator, task)

    assert "a few wait for you" in client.get("/validate/").content.decode()


def test_the_list_costs_the_same_for_any_number_of_tasks(
    client: Client, owner: User, validator: User, pinned: Pins
) -> None:
    for number in range(5):
        cast.digits_task(owner, slug=f"digits-{number}")
    client.force_login(validator)

    with pinned.queries("page validate/ of six tasks"):
        assert client.get("/validate/").status_code == 200


def test_looking_at_the_page_takes_no_lease_and_tells_nothing(
    client: Client, task: Task, annotator: User, validator: User
) -> None:
    example = cast.submission(task, annotator)
    client.force_login(validator)

    response = client.get("/validate/digits/")

    assert not Lease.objects.exists()
    assert page_data(response).keys() == {
        "slug",
        "person",
        "none",
        "viewer",
        "api",
        "csrfToken",
        "leaseSeconds",
        "now",
        "qualification",
        "restMinutes",
    }
    assert str(example.uid) not in response.content.decode()


def test_a_hidden_task_is_not_there(client: Client, owner: User, validator: User) -> None:
    cast.digits_task(owner, public=False)
    client.force_login(validator)
    assert client.get("/validate/digits/").status_code == 404
    assert client.post("/validate/digits/look-again/").status_code == 404


def test_what_was_skipped_is_asked_again(
    client: Client, task: Task, annotator: User, validator: User
) -> None:
    cast.submission(task, annotator)
    lease = acts.next_item(validator=validator, task=task)
    assert lease is not None
    acts.release(validator=validator, lease_id=lease.pk, skip=True)
    client.force_login(validator)

    assert client.get("/validate/digits/look-again/").status_code == 405
    assert acts.next_item(validator=validator, task=task) is None
    response = client.post("/validate/digits/look-again/")

    assert response["Location"] == "/validate/digits/"
    assert acts.next_item(validator=validator, task=task) is not None


def test_every_reason_for_a_flag_has_words(client: Client, task: Task, validator: User) -> None:
    assert tuple(views.REASONS) == FLAG_REASONS
    client.force_login(validator)
    words = client.get("/validate/digits/").content.decode()
    assert views.REASONS["personal_data"] in words
    assert views.REASONS["not_in_language"] not in words  # a drawing has no language
