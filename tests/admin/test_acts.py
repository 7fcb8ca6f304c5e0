"""Curation in the admin site: each act asks why, goes through its service and leaves an event."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib import admin
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from django.urls import reverse

from accounts.models import Event, User
from annotate.models import Barred, Example, Round, Task
from core.errors import Refused
from tests.cast import (
    PASSWORD,
    answer,
    digits_task,
    fixed_model,
    lease_for,
    person,
    submission,
    task_file,
)
from validate.models import Gold, QueueItem, Vote
from validate.recount import queue_differences

EXAMPLES = "/admin/annotate/example/"
PEOPLE = "/admin/accounts/user/"
MODELS = "/admin/annotate/modelversion/"


@pytest.fixture
def ours(client: Client, owner: User) -> Client:
    client.force_login(owner)
    return client


def do(client: Client, page: str, action: str, *things: Any, **fields: str) -> list[str]:
    """Carry out an act with a reason and return the messages."""
    answer = client.post(
        page,
        {
            "action": action,
            "_selected_action": [thing.pk for thing in things],
            "confirmed": "yes",
            "reason": "I looked at it",
            **fields,
        },
        follow=True,
    )
    return [str(message) for message in answer.context["messages"]]


def test_an_act_asks_for_a_reason_first(ours: Client, task: Task, annotator: User) -> None:
    example = submission(task, annotator)
    page = ours.get(f"{EXAMPLES}{example.pk}/change/")
    names = [name for name, _ in page.context["acts"]]
    assert names == ["make_gold"]
    decide = reverse("inbox-case", args=[task.slug, example.uid])
    assert decide in page.content.decode()

    chosen = {"action": "make_gold", "_selected_action": example.pk, "index": "0"}
    asked = ours.post(EXAMPLES, chosen)
    assert "Its label is known to be right" in asked.content.decode()
    for empty in ({}, {"reason": "  "}):
        again = ours.post(EXAMPLES, {**chosen, "confirmed": "yes", **empty})
        assert again.context["form"].errors["reason"]
    assert not Gold.objects.exists()


def test_making_gold(ours: Client, task: Task, owner: User, annotator: User) -> None:
    two = submission(task, annotator, seed=1), submission(task, annotator, seed=2)
    assert do(ours, EXAMPLES, "make_gold", *two) == ["Make gold: done for 2."]
    for example in Example.objects.all():
        assert example.status == "verified"
        event = Event.objects.get(verb="made_gold", object_id=str(example.pk))
        assert event.actor == owner
        assert event.data["reason"] == "I looked at it"
    page = ours.get(f"{EXAMPLES}{example.pk}/change/").content.decode()
    assert page.count("I looked at it") == 2  # it was settled by that, too
    assert "data:image/png;base64," in page


def test_going_back_to_where_the_act_began(ours: Client, task: Task, annotator: User) -> None:
    example = submission(task, annotator)
    fields = {
        "action": "make_gold",
        "_selected_action": example.pk,
        "confirmed": "yes",
        "reason": "x",
    }
    page = f"{EXAMPLES}{example.pk}/change/"
    assert ours.post(EXAMPLES, {**fields, "back": page})["location"] == page
    elsewhere = ours.post(EXAMPLES, {**fields, "back": "https://example.org/"})["location"]
    assert "example.org" not in elsewhere


def test_keeping_somebody_out_of_ones_tasks_reaches_no_others(
    ours: Client, task: Task, owner: User, annotator: User
) -> None:
    elsewhere = digits_task(person("otto", "owner"), slug="others")
    example, other = submission(task, annotator), submission(elsewhere, annotator)
    done = do(ours, PEOPLE, "keep_out", annotator)
    assert done == ["Keep out of my tasks: done for 1."]
    withdrawn = QueueItem.objects.filter(withdrawn=True)
    assert list(withdrawn.values_list("pk", flat=True)) == [example.pk]
    annotator.refresh_from_db()
    assert annotator.may_sign_in
    with pytest.raises(Refused, match="may not submit here"):
        submission(task, annotator, seed=3)
    submission(elsewhere, annotator, seed=3)
    assert not QueueItem.objects.get(pk=other.pk).withdrawn

    do(ours, PEOPLE, "let_back_in", annotator)
    assert not QueueItem.objects.filter(withdrawn=True).exists()
    submission(task, annotator, seed=4)


def test_who_owns_one_of_the_tasks_too_is_kept_out_of_the_others(
    ours: Client, task: Task, owner: User
) -> None:
    otto = person("otto", "owner")
    tasks = [task, digits_task(owner, slug="shared", name="Ours"), digits_task(owner, slug="third")]
    submission(tasks[2], otto)
    tasks[1].owners.add(otto)
    told = do(ours, PEOPLE, "keep_out", otto)
    assert told == [
        "otto: not kept out of Ours, which they own, too.", "Keep out of my tasks: done for 1."
    ]  # fmt: skip
    assert set(Barred.objects.values_list("task", flat=True)) == {tasks[0].pk, tasks[2].pk}


def test_who_owns_no_task_keeps_nobody_out(client: Client, task: Task, annotator: User) -> None:
    client.force_login(person("ada", "admin"))
    for act in ("keep_out", "let_back_in"):
        told = do(client, PEOPLE, act, annotator)
        assert told == ["anna: You own no task: only a task's owners keep somebody out of it."]


def test_a_validator_who_is_kept_out_is_asked_no_more_and_their_votes_do_not_weigh(
    ours: Client, task: Task, owner: User, annotator: User, validator: User
) -> None:
    submission(task, annotator)
    example = answer(validator, task)
    submission(task, annotator, seed=2)
    lease = lease_for(validator, task)
    do(ours, PEOPLE, "keep_out", validator)
    assert Vote.objects.get(example=example).dropped
    lease.refresh_from_db()
    assert lease.end == "superseded"
    theirs = Client()
    theirs.force_login(validator)
    refused = theirs.post("/api/v1/tasks/digits/validations/next/")
    assert (refused.status_code, refused.json()["error"]["code"]) == (403, "banned")
    assert list(queue_differences()) == []
    do(ours, PEOPLE, "let_back_in", validator)
    assert not Vote.objects.get(example=example).dropped


def test_banning_is_for_admins_and_so_is_lifting_it(
    ours: Client, task: Task, owner: User, annotator: User
) -> None:
    example = submission(task, annotator)
    do(ours, PEOPLE, "ban", annotator)
    assert not User.objects.filter(banned_at__isnull=False).exists()
    admin, theirs = person("ada", "admin"), Client()
    theirs.force_login(admin)
    assert do(theirs, PEOPLE, "ban", annotator) == ["Ban: done for 1."]
    annotator.refresh_from_db()
    assert annotator.ban_reason == "I looked at it"
    assert QueueItem.objects.get(pk=example.pk).withdrawn
    do(ours, PEOPLE, "unban", annotator)
    assert User.objects.filter(banned_at__isnull=False).exists()
    assert do(theirs, PEOPLE, "ban", admin) == ["ada: Nobody bans themselves."]
    do(theirs, PEOPLE, "unban", annotator)
    assert not QueueItem.objects.get(pk=example.pk).withdrawn


def test_no_owner_is_kept_out_of_their_own_task(ours: Client, task: Task, owner: User) -> None:
    submission(task, owner)
    told = do(ours, PEOPLE, "keep_out", owner)
    assert told == ["olive: An owner of the task is not kept out of it."]


def test_roles_and_passwords_are_for_admins(
    client: Client, task: Task, owner: User, annotator: User
) -> None:
    submission(task, annotator)
    client.force_login(owner)
    do(client, PEOPLE, "change_role", annotator, role="admin")
    do(client, PEOPLE, "new_password", annotator)
    annotator.refresh_from_db()
    assert annotator.role == "annotator"
    assert annotator.check_password(PASSWORD)

    client.force_login(person("ada", "admin"))
    do(client, PEOPLE, "change_role", annotator, role="validator")
    said = do(client, PEOPLE, "new_password", annotator)
    annotator.refresh_from_db()
    assert annotator.role == "validator"
    password = said[0].removeprefix("The new password of anna: ")
    assert annotator.check_password(password)
    assert not Event.objects.filter(data__icontains=password).exists()
    assert do(client, PEOPLE, "remove_second_factor", annotator) == [
        "anna: anna has no second factor."
    ]


def test_promoting_and_rolling_back(ours: Client, task: Task) -> None:
    first = task.models.get()
    second = fixed_model(task, seed=1)
    do(ours, MODELS, "serve", second)
    do(ours, MODELS, "serve", first)
    rounds = Round.objects.filter(task=task).order_by("number")
    assert [(each.status, each.targets.get()) for each in rounds] == [
        ("closed", first), ("closed", second), ("open", first),
    ]  # fmt: skip
    assert do(ours, MODELS, "serve", first) == [
        f"{first.name}: {first.name} already serves the open round."
    ]


def upload(client: Client, text: str) -> Any:
    file = SimpleUploadedFile("task.yaml", text.encode())
    return client.post("/admin/annotate/task/load/", {"file": file}, follow=True)


def test_loading_a_task_file(ours: Client, owner: User) -> None:
    minimal = "slug: my-nli\nname: My NLI study\ninput: text_pair\nlabels: [e, n, c]\n"
    assert "version 1" in upload(ours, minimal).content.decode()
    task = Task.objects.get(slug="my-nli")
    assert task.is_owned_by(owner)
    assert "nothing changed" in upload(ours, minimal).content.decode()
    assert "version 2" in upload(ours, minimal.replace("My NLI", "Our NLI")).content.decode()
    assert task.configs.count() == 2


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("slug: [", "This is not YAML"),
        ("- a list", "A task file is a mapping"),
        ("[" * 5_000, "nested too deep"),
        ("slug: x\nname: X\ninput: smell\nlabels: [a, b]", "input"),
        ("x" * 300_000, "at most 200 kB"),
    ],
)
def test_a_bad_task_file_is_refused_with_a_sentence(ours: Client, text: str, sentence: str) -> None:
    page = upload(ours, text)
    assert sentence in page.context["form"].errors["file"][0]
    assert not Task.objects.exists()


def test_nobody_loads_a_file_over_the_task_of_another(ours: Client, db: None) -> None:
    digits_task(person("otto", "owner"))
    page = upload(ours, "slug: digits\nname: Mine\ninput: image\nlabels: [a, b]")
    assert "somebody else" in page.context["form"].errors["file"][0]
    assert Task.objects.get().name == task_file()["name"]


def test_every_act_has_its_words() -> None:
    for page in admin.site._registry.values():
        for name in page.actions or ():
            assert getattr(page, str(name)).short_description, reverse("admin:index")


def test_an_admin_gives_away_a_task_that_nobody_owns(client: Client, owner: User) -> None:
    task = digits_task()
    person("anna")
    client.force_login(person("ada", "admin"))

    for name in ("anna", "nobody"):
        (refusal,) = do(client, "/admin/annotate/task/", "give", task, owner=name)
        assert f"{name} is nobody with the role owner." in refusal
    do(client, "/admin/annotate/task/", "give", task, owner="Olive")

    assert task.is_owned_by(owner)
    event = Event.objects.get(verb="gave_task")
    assert event.data == {"owner": owner.pseudonym, "reason": "I looked at it"}
    client.force_login(owner)
    assert "give" not in client.get("/admin/annotate/task/").content.decode().split("<select")[-1]
