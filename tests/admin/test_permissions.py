"""Who sees what in the admin site: each role at each list, and each owner at each thing."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib import admin
from django.test import Client
from django.urls import reverse

from accounts.models import User
from annotate.models import Example, Task
from tests.cast import answer, digits_task, person, submission
from validate.models import Gold

pytestmark = pytest.mark.once

ADMINS_ONLY = {"worksession"}
SHOWN = {
    "worksession", "event", "user",
    "task", "taskconfig", "modelversion", "round", "example",
    "queueitem", "lease", "vote", "gold", "reliability", "authorshare", "review", "tally",
    "trainingrun", "snapshot", "campaign",
}  # fmt: skip


def pages() -> dict[str, str]:
    """The list of each model that the site shows."""
    return {
        model._meta.model_name or "": reverse(
            f"admin:{model._meta.app_label}_{model._meta.model_name}_changelist"
        )
        for model in admin.site._registry
    }


def test_only_pages_made_for_curation_are_shown() -> None:
    assert set(pages()) == SHOWN


@pytest.mark.parametrize("role", ["guest", "annotator", "validator", "owner", "admin"])
def test_each_role_at_each_list(client: Client, db: None, role: str) -> None:
    if role != "guest":
        client.force_login(person("somebody", role))
    for name, address in pages().items():
        expected = {"admin": 200, "owner": 403 if name in ADMINS_ONLY else 200}.get(role, 302)
        assert client.get(address).status_code == expected, name
        assert client.get(f"{address}add/").status_code in (302, 403), name


@pytest.fixture
def validated(task: Task, annotator: User, validator: User) -> Example:
    """An example of `owner`'s task with a vote, a lease, a tally and events."""
    submission(task, annotator)
    return answer(validator, task)


@pytest.fixture
def others(validated: Example) -> Task:
    """The task of another owner, with an example by somebody else."""
    task = digits_task(person("otto", "owner"), slug="others", name="Others")
    submission(task, person("cleo"), seed=9)
    return task


def shown(client: Client, name: str) -> list[Any]:
    rows: list[Any] = list(client.get(pages()[name]).context["cl"].result_list)
    return rows


def test_an_owner_sees_their_own_tasks_and_what_belongs_to_them(
    client: Client, owner: User, validated: Example, others: Task
) -> None:
    client.force_login(owner)
    assert [task.slug for task in shown(client, "task")] == ["digits"]
    assert shown(client, "example") == [validated]
    for name in ("taskconfig", "modelversion", "round", "queueitem", "lease", "vote", "tally"):
        assert len(shown(client, name)) == 1, name
    assert {event.scope for event in shown(client, "event")} == {"digits"}
    assert {user.username for user in shown(client, "user")} == {"anna", "vera"}

    client.force_login(person("ada", "admin"))
    assert len(shown(client, "task")) == 2
    assert len(shown(client, "example")) == 2


def test_an_owner_cannot_open_what_belongs_to_others(
    client: Client, owner: User, others: Task
) -> None:
    theirs = Example.objects.get(task=others)
    client.force_login(owner)
    page = reverse("admin:annotate_example_change", args=[theirs.pk])
    assert client.get(page).status_code == 302  # told that there is none, and sent to the index
    gold = {
        "action": "make_gold",
        "_selected_action": theirs.pk,
        "confirmed": "yes",
        "reason": "mine now",
    }
    client.post(pages()["example"], gold)
    assert not Gold.objects.exists()


def test_nothing_is_edited_or_deleted_by_hand(client: Client, validated: Example) -> None:
    client.force_login(person("ada", "admin"))
    page = reverse("admin:annotate_example_change", args=[validated.pk])
    assert client.post(page, {"label": "3"}).status_code == 403
    assert client.post(page.replace("change", "delete"), {"post": "yes"}).status_code == 403
    client.post(pages()["example"], {"action": "delete_selected", "_selected_action": validated.pk})
    assert Example.objects.filter(pk=validated.pk, label=validated.label).exists()


def test_the_admin_sign_in_is_the_sites_own(client: Client, annotator: User) -> None:
    answer = client.get("/admin/", follow=True)
    assert answer.redirect_chain[-1][0].startswith("/accounts/login/?next=/admin/")
    client.force_login(annotator)
    assert client.get("/admin/", follow=True).redirect_chain[-1][0] == "/"


def test_every_page_of_a_thing_opens(client: Client, validated: Example, others: Task) -> None:
    client.force_login(person("ada", "admin"))
    for model, page in admin.site._registry.items():
        for thing in model._default_manager.all()[:2]:
            name = f"admin:{model._meta.app_label}_{model._meta.model_name}_change"
            opened = client.get(reverse(name, args=[thing.pk]))
            assert opened.status_code == 200, (page, thing)
            assert "style=" not in opened.content.decode()
            assert "<script>" not in opened.content.decode()
