"""Contexts: who is given which, also at the same moment, and what may be written about one."""

from __future__ import annotations

import uuid
from collections import Counter
from contextlib import nullcontext
from datetime import timedelta
from functools import partial
from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from django.urls import reverse

from accounts.models import Event, User
from accounts.services import guest_session
from annotate import contexts, statements, submissions
from annotate.context_files import Row
from annotate.contexts import Given, load_contexts, next_context
from annotate.models import Context, Example, Task
from annotate.queries import Participant, open_target
from core.errors import Refused
from core.sql import prepared
from dadc_server import bootstrap
from tests import cast
from tests.races import at_once

PAIRS = {"input": "text_pair", "labels": ["yes", "no", "maybe"]}
ASKING = 12  # at the same moment


def task_with(number: int, source: str = "", **changes: Any) -> Task:
    task = cast.text_task(**PAIRS, **changes)
    load(task, number, source)
    return task


def load(task: Task, number: int, source: str = "") -> None:
    rows = [Row(n, {"text": f"Story {n}, {source}."}) for n in range(number)]
    assert load_contexts(task=task, rows=rows, source=source).mistakes == []


def people(number: int) -> list[Participant]:
    made = User.objects.bulk_create(
        User(username=f"w{n}", pseudonym=f"w{n}") for n in range(number)
    )
    return [Participant(user=user) for user in made]


def uses() -> list[int]:
    """How often each context was given, the rarest first."""
    return sorted(context.leases.count() for context in Context.objects.all())


def write(task: Task, participant: Participant, given: Given, text: str, **more: Any) -> Example:
    return submissions.submit(
        participant=participant,
        task_id=task.pk,
        client_id=uuid.uuid4(),
        context=str(given.context.uid),
        **{"input": {"hypothesis": text}, "label": given.goal or "yes", **more},
    ).example


@pytest.mark.django_db(transaction=True)
def test_those_who_ask_at_once_spread_evenly(on_postgres: bool, settings: Any) -> None:
    task = task_with(5)
    for wave in range(4):
        made = User.objects.bulk_create(
            User(username=f"{wave}-{n}", pseudonym=f"{wave}-{n}") for n in range(ASKING)
        )
        calls = [
            partial(next_context, participant=Participant(user=one), task=task) for one in made
        ]
        answers = at_once(calls)
        assert not [one for one in answers if not isinstance(one, Given)], answers
        assert uses()[-1] - uses()[0] <= 1


@pytest.mark.django_db(transaction=True)
def test_they_would_not_without_the_lock(
    on_postgres: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not on_postgres:
        pytest.skip("SQLite has one writer at a time, whatever is locked")
    task = task_with(5)
    monkeypatch.setattr(statements, "lock_contexts", lambda _: None)
    calls = [partial(next_context, participant=one, task=task) for one in people(40)]
    at_once(calls)
    assert uses()[-1] - uses()[0] > 1


def test_a_hundred_people_over_forty_contexts(db: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prepared, "RUNS_BEFORE", 5)
    task = task_with(40)
    for one in people(100):
        given = next_context(participant=one, task=task)
        assert given is not None
        write(task, one, given, f"{uuid.uuid4()} is what I say.")
    assert Counter(uses()) == {2: 20, 3: 20}


def test_one_holds_a_context_until_they_wrote_about_it_or_skip_it(
    db: None, annotator: User
) -> None:
    task, me = task_with(3), Participant(user=annotator)
    first = next_context(participant=me, task=task)
    assert first is not None
    assert next_context(participant=me, task=task) == first, "a page that is loaded anew"
    second = next_context(participant=me, task=task, skip=str(first.context.uid))
    assert second is not None
    write(task, me, second, "It is so.")
    third = next_context(participant=me, task=task)
    assert third is not None
    assert {first.context, second.context, third.context} == set(Context.objects.all())
    assert next_context(participant=me, task=task, skip=str(third.context.uid)) is None
    with pytest.raises(Refused, match="name the id of one"):
        next_context(participant=me, task=task, skip="none")
    write(task, me, second, "It is not so.")  # as often as one likes


def test_what_somebody_left_or_skipped_is_as_good_as_not_given(
    db: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    task = task_with(2)
    ann, bob, cyd, guest = *people(3), Participant(session=guest_session(uuid.uuid4()))
    assert next_context(participant=guest, task=task), "guests count among themselves"
    left = next_context(participant=ann, task=task)
    assert left is not None
    other = next_context(participant=bob, task=task)
    assert other is not None
    assert other.context != left.context
    write(task, bob, other, "It is so.")
    monkeypatch.setattr(contexts, "HOLD", timedelta(0))
    assert next_context(participant=ann, task=task) == left  # hers, and out of time by now
    assert next_context(participant=cyd, task=task) == left


def test_tries_are_counted_as_they_are_written(db: None, annotator: User) -> None:
    task, me = task_with(1, contexts={"tries": 2}), Participant(user=annotator)
    guest = Participant(session=guest_session(uuid.uuid4()))
    for one in (me, guest):
        given = next_context(participant=one, task=task)
        assert given is not None
        assert given.tries_left == 2
        first = write(task, one, given, "One.")
        write(task, one, given, "Two.")
        with pytest.raises(Refused, match="You have used your 2 tries here") as refused:
            write(task, one, given, "Three.")
        assert refused.value.code == "no_tries_left"
        again = submissions.submit(  # sent twice is tried once
            participant=one,
            task_id=task.pk,
            client_id=first.client_id,
            input={"hypothesis": "One."},
            label="yes",
            context=str(given.context.uid),
        )
        assert not again.is_new
    assert Example.objects.count() == 4


def test_goals_are_in_balance_and_binding(db: None, annotator: User) -> None:
    task = task_with(4, contexts={"goal": "balanced"})
    goals = []
    for one in people(9):
        given = next_context(participant=one, task=task)
        assert given is not None
        goals.append(given.goal)
        assert write(task, one, given, f"{uuid.uuid4()} it is.").label == given.goal
        other = next(label for label in PAIRS["labels"] if label != given.goal)
        with pytest.raises(Refused, match=f"You were asked to write for {given.goal}"):
            write(task, one, given, "It is not so.", label=other)
    assert Counter(goals) == {"yes": 3, "no": 3, "maybe": 3}
    with pytest.raises(Refused, match="Ask for a context first"):
        write(task, Participant(user=annotator), given, "It is so.")


@pytest.mark.parametrize("policy", ["uniform", "least_fooled", "stratified"])
def test_other_policies(db: None, policy: str) -> None:
    task = task_with(1, "a", contexts={"policy": policy})
    load(task, 6, "b")
    for one in people(14):
        given = next_context(participant=one, task=task)
        assert given is not None
        text = f"{uuid.uuid4()} am I."
        said = cast.prediction(task, {**given.context.data, "hypothesis": text})
        write(task, one, given, text, label={"yes": "no"}.get(said, "yes"))  # each one fools it
    if policy == "stratified":
        assert Counter(one.context.source for one in examples()) == {"a": 7, "b": 7}  # type: ignore[union-attr]
    if policy == "least_fooled":
        assert set(Counter(one.context_id for one in examples()).values()) == {2}


def examples() -> list[Example]:
    return list(Example.objects.select_related("context"))


def test_an_input_says_nothing_else_than_its_context(db: None, annotator: User) -> None:
    task, me = task_with(1), Participant(user=annotator)
    given = next_context(participant=me, task=task)
    assert given is not None
    with pytest.raises(Refused, match="has another context: leave it out"):
        write(task, me, given, "", input={"context": "Mine.", "hypothesis": "It is so."})


def test_who_is_kept_out_is_given_nothing(db: None, annotator: User) -> None:
    task = task_with(1)
    task.barred.create(person=annotator)
    with pytest.raises(Refused, match="may not submit here"):
        next_context(participant=Participant(user=annotator), task=task)


def test_the_library_has_something_to_write_about(db: None, settings: Any) -> None:
    for new in (True, False):
        loaded = {task.slug: made for task, made in bootstrap.load_library()}
        assert (loaded["nli"], loaded["qa"]) == (new, new)
        for slug in ("nli", "qa"):
            task = Task.objects.get(slug=slug)
            assert task.contexts.filter(offered=True).count() >= 40
            assert task.config is not None
            assert task.config.file.sandbox
            guest = Participant(session=guest_session(uuid.uuid4()))
            assert next_context(participant=guest, task=task)
            assert open_target(task.pk) is not None


def uploaded(text: str, name: str = "stories.jsonl") -> dict[str, Any]:
    return {"file": SimpleUploadedFile(name, text.encode()), "source": "mine"}


def test_an_owner_looks_after_contexts_in_pages(db: None, client: Client, owner: User) -> None:
    task = cast.text_task(**PAIRS)
    task.owners.add(owner)
    client.force_login(owner)
    address = reverse("contexts", args=[task.slug])
    assert b"Nothing to write about yet" in client.get(address).content
    rows = '{"text": "It rains."}\n{"text": 7}\n'

    page = client.post(address, {**uploaded(rows), "check": ""}).content.decode()
    assert "1 new context would be; 0 were there already. These rows are left out:" in page
    assert "line 2: a row needs its text" in page
    assert not task.contexts.exists()

    client.post(address, uploaded(rows))
    assert client.post(address, uploaded('{"text": "It snows."}\n')).status_code == 302
    page = client.get(address).content.decode()
    assert "1 new context loaded; 0 were there already." in page
    assert "It rains." in page
    assert Event.objects.filter(verb="loaded_contexts", actor=owner).count() == 2

    for again, kept in (({}, 0), ({"again": ""}, 2)):
        client.post(reverse("contexts-offer", args=[task.slug]), {"source": "mine", **again})
        assert task.contexts.filter(offered=True).count() == kept

    refused = client.post(address, uploaded("x", "stories.txt")).content.decode()
    assert "stories.txt must be a .jsonl, .csv, .parquet file." in refused


def test_a_file_with_a_source_for_each_row_has_a_page_that_ends(
    db: None, client: Client, owner: User
) -> None:
    task = cast.text_task(**PAIRS)
    task.owners.add(owner)
    rows = [Row(n, {"text": f"Story {n}.", "source": f"example.org/{n:03}"}) for n in range(60)]
    load_contexts(task=task, rows=rows)
    client.force_login(owner)
    address = reverse("contexts", args=[task.slug])
    page = client.get(address).content.decode()
    assert "50 of 60 sources: look for others by their names." in page
    assert page.count("Give out no more") == 50
    page = client.get(address, {"source": "/059"}).content.decode()
    assert "1 of 1 source with “/059” in the name." in page
    assert page.count("Give out no more") == 1
    assert "0 of 0 sources" in client.get(address, {"source": "none"}).content.decode()


@pytest.mark.parametrize("own", [True, False])
def test_others_have_no_page_of_contexts(db: None, client: Client, own: bool, owner: User) -> None:
    """Neither the owner of a task that has none, nor who curates another one."""
    task = cast.digits_task(owner) if own else cast.text_task(**PAIRS)
    client.force_login(owner)
    for name in ("contexts", "contexts-offer"):
        assert client.post(reverse(name, args=[task.slug])).status_code == 404


@pytest.mark.parametrize("words", ["Story 0, here.", "A tale that nobody told before."])
def test_a_text_about_a_context_may_not_copy_it(db: None, annotator: User, words: str) -> None:
    """It does not say itself what it is about, as a pair does."""
    task = cast.text_task(quality={"max_copied": 0.6})
    load(task, 1, "here")
    given = next_context(participant=Participant(user=annotator), task=task)
    assert given is not None
    copied = words.startswith("Story")
    told = pytest.raises(Refused, match="100% of it stands in the text above")
    with told if copied else nullcontext():
        write(task, Participant(user=annotator), given, "", input={"text": words})
    assert Example.objects.exists() != copied


def test_a_context_s_id_in_capitals_is_the_same_when_sent_again(db: None, annotator: User) -> None:
    task, me, sent = task_with(1), Participant(user=annotator), uuid.uuid4()
    given = next_context(participant=me, task=task)
    assert given is not None
    made = [
        submissions.submit(
            participant=me,
            task_id=task.pk,
            client_id=sent,
            context=str(given.context.uid).upper(),
            input={"hypothesis": "It is so."},
            label="yes",
        )
        for _ in range(2)
    ]
    assert [one.is_new for one in made] == [True, False]
