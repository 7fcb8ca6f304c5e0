"""Lists that cost the same at any size, and searches that find one example among many."""

from __future__ import annotations

import re

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from accounts.curation import COUNTED, BoundedPaginator
from accounts.models import User
from annotate.models import Example, Task
from tests.cast import digits_task, person, submission
from validate.models import Vote

EXAMPLES = "/admin/annotate/example/"


@pytest.fixture
def admin_client(client: Client, db: None) -> Client:
    client.force_login(person("ada", "admin"))
    return client


def queries(client: Client, address: str) -> list[str]:
    client.get(address)
    with CaptureQueriesContext(connection) as captured:
        assert client.get(address).status_code == 200
    return [query["sql"] for query in captured.captured_queries]


@pytest.mark.parametrize(
    "address",
    [
        EXAMPLES,
        f"{EXAMPLES}?task=digits&standing=open&claim=fooled",
        f"{EXAMPLES}?standing=hidden",
        f"{EXAMPLES}?q=anna",
        "/admin/accounts/user/",
        "/admin/accounts/event/",
        "/admin/validate/vote/",
        "/admin/annotate/modelversion/",
    ],
)
@pytest.mark.parametrize("role", ["owner", "admin"])
def test_a_list_costs_as_many_queries_with_more_rows(
    client: Client, owner: User, task: Task, annotator: User, address: str, role: str
) -> None:
    def grow(seeds: range) -> None:
        for seed in seeds:
            example = submission(task, annotator, seed)
            voter = person(f"voter{seed}", "validator")
            Vote.objects.create(
                example=example, author=annotator, validator=voter, label="1", surplus=True
            )

    client.force_login(owner if role == "owner" else person("ada", "admin"))
    grow(range(1, 3))
    few = queries(client, address)
    grow(range(3, 9))
    many = queries(client, address)
    assert len(few) == len(many) <= 10
    counts = [sql for sql in many if re.search(r"COUNT\(", sql)]
    assert counts
    assert all(re.search(rf"LIMIT {COUNTED}\b", sql) for sql in counts)


def test_a_list_says_that_it_shows_the_newest_only(
    admin_client: Client, task: Task, annotator: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    for seed in range(1, 4):
        submission(task, annotator, seed)
    assert "3 examples" in admin_client.get(EXAMPLES).content.decode()
    monkeypatch.setattr("accounts.curation.COUNTED", 2)
    assert "the newest 2 examples" in admin_client.get(EXAMPLES).content.decode()
    assert BoundedPaginator(Example.objects.order_by("id"), 10).count == 2


def test_searching_examples(admin_client: Client, task: Task, annotator: User) -> None:
    wanted = submission(task, annotator)
    other = submission(task, person("bertha"), seed=2)
    Example.objects.filter(pk=wanted.pk).update(external_id="log/17")

    def found(term: str) -> set[Example]:
        return set(admin_client.get(EXAMPLES, {"q": term}).context["cl"].result_list)

    assert found(str(wanted.uid)) == found(str(wanted.uid)[:8]) == found("log/17") == {wanted}
    assert found("ANNA") == found(annotator.pseudonym) == {wanted}
    assert found("bert") == {other}
    assert found("nobody") == found("log/1") == set()
    assert found("") == {wanted, other}


def test_filtering_examples(admin_client: Client, task: Task, annotator: User) -> None:
    fooling = submission(task, annotator)
    miss = submission(task, annotator, seed=2, fooled=False)
    elsewhere = submission(digits_task(slug="others"), annotator, seed=3)
    Example.objects.filter(pk=miss.pk).update(hidden_at=miss.created_at)

    def found(query: str) -> set[Example]:
        return set(admin_client.get(f"{EXAMPLES}?{query}").context["cl"].result_list)

    assert found("task=digits") == {fooling, miss}
    assert found("task=others") == {elsewhere}
    assert found("task=unknown") == set()
    assert found("standing=hidden") == found("claim=not") == {miss}
    assert found("task=digits&standing=open&claim=fooled") == {fooling}
    assert found("standing=retracted") == found("claim=sandbox") == set()

    # A verdict is offered as a filter within one task: over all of them no index would find it.
    page = admin_client.get(EXAMPLES).content.decode()
    assert "standing=hidden" in page
    assert "standing=verified" not in page
    assert "standing=verified" in admin_client.get(f"{EXAMPLES}?task=digits").content.decode()


def test_searching_people_and_events(
    admin_client: Client, task: Task, annotator: User, other_annotator: User
) -> None:
    example = submission(task, annotator)
    people = admin_client.get("/admin/accounts/user/?q=ann").context["cl"].result_list
    assert list(people) == [annotator]
    events = admin_client.get(f"/admin/accounts/event/?q={example.pk}").context["cl"].result_list
    assert {event.verb for event in events if event.object_type == "example"} == {"submitted"}


@pytest.mark.parametrize("page", ["annotate/example", "validate/queueitem", "accounts/event"])
@pytest.mark.parametrize("pk", ["9" * 30, "x", "-1"])
def test_an_id_that_is_none_finds_nothing(admin_client: Client, page: str, pk: str) -> None:
    assert admin_client.get(f"/admin/{page}/{pk}/change/").status_code == 302  # back, with a word


@pytest.mark.parametrize(
    "page", ["annotate/example", "annotate/task", "accounts/user", "accounts/event"]
)
@pytest.mark.parametrize("query", [f"q={'9' * 3_000}", "task=x", "standing=x", "p=99"])
def test_a_search_for_nonsense_is_no_error(admin_client: Client, page: str, query: str) -> None:
    assert admin_client.get(f"/admin/{page}/?{query}").status_code in (200, 302)
