"""What people read and whether they take warnings: the queue leaves the rest out."""

from __future__ import annotations

from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from accounts.languages import canonical, reads
from accounts.models import Event, User
from accounts.services import set_preferences
from annotate.config import parse_task_file
from annotate.models import Task, TaskConfig
from annotate.rounds import load_task
from core.strict_yaml import NotYaml
from tests import acts, cast
from validate.queries import progress_of, waiting_by_task

WARNING = "Some of these drawings show weapons."


@pytest.mark.parametrize(
    ("written", "tag"),
    [("DE", "de"), ("en-gb", "en-GB"), ("zh-hant-tw", "zh-Hant-TW"), ("es-419", "es-419")],
)
def test_tags_are_kept_in_one_spelling(written: str, tag: str) -> None:
    assert canonical(written) == tag


@pytest.mark.parametrize("written", ["", "english", "e", "en_GB", "de-", "en-GB-oed", "ı"])
def test_what_is_no_tag_is_refused(written: str) -> None:
    with pytest.raises(ValueError, match="no language tag"):
        canonical(written)
    with pytest.raises(NotYaml, match="no language tag"):
        parse_task_file(cast.task_file(language=written))


MATCHES = [
    ([], "de", True),
    (["en"], "", True),
    (["en"], "de", False),
    (["en", "de"], "de", True),
    (["en"], "en-GB", True),
    (["en-GB"], "en", True),
    (["en-US"], "en-GB", False),
    (["zh-Hant"], "zh-Hans", False),
    (["zh-Hant-TW"], "zh-Hant", True),
    (["e", "d"], "de", False),
]


@pytest.mark.parametrize(("languages", "tag", "read"), MATCHES)
def test_the_database_finds_the_tasks_that_a_person_reads(
    task: Task, validator: User, languages: list[str], tag: str, read: bool
) -> None:
    Task.objects.update(language=tag)
    task.refresh_from_db()
    validator.languages = languages
    assert Task.objects.suiting(validator).exists() == read
    assert (task.set_aside_for(validator) == "") == read
    assert reads(languages, tag) == read or not tag


@pytest.fixture
def warned(owner: User, annotator: User) -> Task:
    task = cast.digits_task(owner, language="de", content_warning=WARNING)
    cast.submission(task, annotator)
    return task


@pytest.mark.parametrize(
    ("preferences", "reason"),
    [
        ({"languages": ["en"], "takes_warned": True}, "language"),
        ({"languages": [], "takes_warned": False}, "content_warning"),
    ],
)
def test_what_a_person_does_not_want_waits_for_others(
    warned: Task, validator: User, other_validator: User, client: Client,
    preferences: dict[str, Any], reason: str,
) -> None:  # fmt: skip
    client.force_login(validator)
    set_preferences(user=validator, **preferences)
    validator.refresh_from_db()

    assert waiting_by_task(validator) == {}
    assert progress_of(validator, warned)["waiting"] == "none"
    response = client.post("/api/v1/tasks/digits/validations/next/")
    assert (response.status_code, response["X-Set-Aside-By"]) == (204, reason)
    page = client.get("/validate/digits/").content.decode()
    assert "You are not asked about this task" in page
    assert (WARNING in page) == (reason == "content_warning")
    assert "set aside by your preferences" in client.get("/validate/").content.decode()
    assert acts.next_item(validator=other_validator, task=warned) is not None

    set_preferences(user=validator, languages=[], takes_warned=True)
    assert client.post("/api/v1/tasks/digits/validations/next/").status_code == 200


def test_preferences_cost_the_queue_no_query(warned: Task, validator: User) -> None:
    validator.languages, validator.takes_warned = ["de", "en"], True
    acts.next_item(validator=validator, task=warned)  # makes the person's own row
    counts = []
    for languages in ([], ["de", "en"]):
        validator.languages = languages
        lease = acts.next_item(validator=validator, task=warned)
        assert lease is not None
        acts.release(validator=validator, lease_id=lease.pk)
        with CaptureQueriesContext(connection) as asked:
            assert acts.next_item(validator=validator, task=warned)
        counts.append(len(asked))
    assert counts[0] == counts[1]


def test_tasks_show_their_language_and_their_warning(warned: Task, client: Client) -> None:
    for path in ("/", "/tasks/digits/"):
        assert WARNING in client.get(path).content.decode()
    assert "German" in client.get("/").content.decode()
    told = client.get("/api/v1/tasks/digits/").json()
    assert (told["language"], told["content_warning"]) == ("de", WARNING)


def test_a_task_file_that_says_nothing_new_makes_no_version(owner: User, task: Task) -> None:
    assert task.config is not None
    before = {**task.config.data}
    del before["language"], before["content_warning"]
    TaskConfig.objects.update(data=before)
    assert load_task(file=parse_task_file(cast.task_file()), actor=owner)[1] is False


def test_preferences_are_kept_on_the_account_page(client: Client, validator: User) -> None:
    client.force_login(validator)
    said = {"languages": "EN, zh-hant", "takes_warned": ""}
    assert client.post("/accounts/me/preferences/", said)["location"] == "/accounts/me/"

    validator.refresh_from_db()
    assert (validator.languages, validator.takes_warned) == (["en", "zh-Hant"], False)
    assert Event.objects.filter(verb="set_preferences", actor=validator).count() == 1
    assert 'value="en, zh-Hant"' in client.get("/accounts/me/").content.decode()

    page = client.post("/accounts/me/preferences/", {"languages": "klingon, en"})
    assert "“klingon” is no language tag" in page.content.decode()
    validator.refresh_from_db()
    assert validator.languages == ["en", "zh-Hant"]
