"""One content is one fooling: whoever sends it, under whatever label, in whatever round."""

from __future__ import annotations

import base64
import json
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import import_module
from io import BytesIO
from typing import Any

import numpy as np
import pytest
from django.apps import apps
from django.core.management import call_command
from django.test import Client
from PIL import Image

from accounts.models import Event, User
from annotate import contents, services, submissions
from annotate.models import ContentKey, Example, Task
from annotate.queries import Participant
from core.errors import Refused
from kinds.image.pixels import png_of
from tests import cast
from tests.races import at_once, meeting_once, without
from validate.acts.gold import load_gold
from validate.models import QueueItem, Review

SAME = cast.scribble(1)


def png(picture: Any) -> dict[str, str]:
    return {"png": base64.b64encode(png_of(picture)).decode()}


def faint_pixel() -> Any:
    picture = SAME.copy()
    picture[1, 1] = 0.3
    return picture


def moved() -> Any:
    return np.roll(np.pad(SAME, 20), (9, -13), axis=(0, 1))


def scaled() -> Any:
    large = Image.fromarray((SAME * 255).astype(np.uint8)).resize(
        (112, 112), Image.Resampling.BICUBIC
    )
    return np.asarray(large) / 255


def as_jpeg() -> dict[str, str]:
    stream = BytesIO()
    Image.fromarray((SAME * 255).astype(np.uint8)).save(stream, "JPEG", quality=60)
    return {"png": base64.b64encode(stream.getvalue()).decode()}


COPIES: dict[str, Callable[[], dict[str, str]]] = {
    "the same": lambda: png(SAME),
    "a faint pixel": lambda: png(faint_pixel()),
    "moved": lambda: png(moved()),
    "scaled": lambda: png(scaled()),
    "dark on light": lambda: png(1 - SAME),
    "recompressed": as_jpeg,
}


def send(task: Task, user: User, input: object, label: object = "3", **more: Any) -> Example:
    return submissions.submit(
        participant=Participant(user=user),
        task_id=task.pk,
        client_id=uuid.uuid4(),
        input=input,
        label=label,
        **more,
    ).example


@contextmanager
def refused_as_copy(whose: str) -> Iterator[None]:
    there = Example.objects.count()
    with pytest.raises(Refused, match=f"{whose} sent this") as refused:
        yield
    assert (refused.value.code, refused.value.status) == ("duplicate", 409)
    assert Example.objects.count() == there


@pytest.mark.parametrize("copy", COPIES)
def test_a_copy_by_anybody_under_any_label_is_refused(
    task: Task, annotator: User, other_annotator: User, copy: str
) -> None:
    first = send(task, annotator, png(SAME))

    with refused_as_copy("You have"):
        send(task, annotator, COPIES[copy](), label="5")
    with refused_as_copy("Somebody has"):
        send(task, other_annotator, COPIES[copy](), label="7")

    tried = Event.objects.filter(verb="sent_a_copy", object_id=str(first.pk), scope=task.slug)
    assert list(tried.order_by("id").values_list("actor__username", "data")) == [
        ("anna", {"own": True}),
        ("bert", {"own": False}),
    ]


def test_owners_see_who_tries(
    client: Client, task: Task, owner: User, annotator: User, other_annotator: User
) -> None:
    send(task, annotator, png(SAME))
    with refused_as_copy("Somebody has"):
        send(task, other_annotator, png(SAME))
    client.force_login(owner)
    page = client.get("/admin/accounts/event/", {"attempt": "sent_a_copy"}).content.decode()
    assert other_annotator.username in page
    assert annotator.username not in page


def test_another_drawing_of_the_same_digit_is_none(task: Task, annotator: User) -> None:
    send(task, annotator, png(SAME))
    further = SAME.copy()
    further[40:52, 10:14] = 1
    send(task, annotator, png(further))


def test_what_was_retracted_and_what_an_earlier_round_had_is_known(
    task: Task, annotator: User, other_annotator: User
) -> None:
    first = send(task, annotator, png(SAME))
    services.retract(participant=Participant(user=annotator), uid=first.uid)
    cast.opened(task, cast.fixed_model(task, seed=3))

    with refused_as_copy("You have"):
        send(task, annotator, png(SAME))
    with refused_as_copy("Somebody has"):
        send(task, other_annotator, png(SAME))


def test_another_task_knows_nothing_of_it(task: Task, owner: User, annotator: User) -> None:
    send(task, annotator, png(SAME))
    send(cast.digits_task(owner, slug="other"), annotator, png(SAME))


# --- texts ----------------------------------------------------------------------------------------
GOOD = "The film was surprisingly good, and I would watch it again with all of my friends."
BAD = GOOD.replace("good", "poor")


def text(words: str) -> dict[str, str]:
    return {"text": words}


def test_a_text_is_the_same_in_other_letters_and_spaces(
    db: None, annotator: User, other_annotator: User
) -> None:
    texts = cast.text_task()
    send(texts, annotator, text(GOOD), "yes")
    for again in (
        GOOD.upper(),
        f"  {GOOD.replace(' ', '  ')}\n",
        GOOD.replace("film", "fi\u200blm"),
    ):
        with refused_as_copy("You have"):
            send(texts, annotator, text(again), "no")
        with refused_as_copy("Somebody has"):
            send(texts, other_annotator, text(again), "yes")


def test_an_authors_small_change_counts_with_another_label_only(db: None, annotator: User) -> None:
    texts = cast.text_task()
    send(texts, annotator, text(GOOD), "yes")
    with refused_as_copy("You have"):
        send(texts, annotator, text(BAD), "yes")
    contrast = send(texts, annotator, text(BAD), "no")
    assert contrast.copy_of is None


def test_what_is_nearly_anothers_waits_for_the_owner(
    db: None, annotator: User, other_annotator: User
) -> None:
    texts = cast.text_task(validation={"sample": 1})
    first = send(texts, annotator, text(GOOD), "yes")
    nearly = send(texts, other_annotator, text(GOOD.replace(".", "!")), "yes")
    less = send(texts, other_annotator, text(BAD), "yes")

    assert nearly.copy_of_id == first.pk
    assert not nearly.queued
    assert Review.objects.get().example_id == nearly.pk
    assert Review.objects.get().kind == Review.Kind.COPY
    assert set(QueueItem.objects.values_list("pk", flat=True)) == {first.pk, less.pk}


def test_the_same_words_about_something_else_are_another_content(db: None, annotator: User) -> None:
    pairs = cast.text_task(slug="pairs", input="text_pair")
    texts = cast.text_task()
    for task, words, field in ((pairs, GOOD, "hypothesis"), (texts, GOOD, "text")):
        rain, snow = (services.context_of(task.pk, {"context": it}) for it in ("Rain.", "Snow."))
        send(task, annotator, {field: words}, "yes", context=str(rain.uid))
        send(task, annotator, {field: words}, "yes", context=str(snow.uid))
        with refused_as_copy("You have"):
            send(task, annotator, {field: words.lower()}, "no", context=str(snow.uid))
    with refused_as_copy("You have"):
        send(pairs, annotator, {"context": "rain.", "hypothesis": GOOD}, "no")


# --- what came otherwise --------------------------------------------------------------------------
def line(number: int, author: str, picture: dict[str, str]) -> str:
    return json.dumps(
        {
            "kind": "example", "id": f"e{number}", "round": 1, "author": author, "input": picture,
            "label": "3", "prediction": "8", "model": "m",
        }
    )  # fmt: skip


def test_a_log_keeps_its_copies_and_they_are_known(
    task: Task, annotator: User, tmp_path: Any
) -> None:
    log = tmp_path / "log.jsonl"
    pictures = [png(SAME), png(scaled()), cast.drawing(5), png(SAME)]
    log.write_text("\n".join(line(n, f"p{n}", one) for n, one in enumerate(pictures)))
    call_command("import_log", task.slug, str(log), verbosity=0)

    first, *others = Example.objects.order_by("id")
    assert [one.copy_of_id for one in (first, *others)] == [None, first.pk, None, first.pk]
    assert QueueItem.objects.count() == 4
    with refused_as_copy("Somebody has"):
        send(task, annotator, png(moved()))
    call_command("recompute", "--check", verbosity=0)


def test_gold_is_known_as_everything_is(task: Task, owner: User, annotator: User) -> None:
    """Or what is not refused would be gold to whoever was asked about it."""
    load_gold(
        actor=owner, task=task, lines=[json.dumps({"input": png(SAME), "answer": "3"}).encode()]
    )
    with refused_as_copy("Somebody has"):
        send(task, annotator, png(SAME))


def test_what_nobody_would_find_is_noticed_and_mended(task: Task, annotator: User) -> None:
    send(task, annotator, png(SAME))
    ContentKey.objects.all().delete()
    with pytest.raises(Exception, match="not what the facts say"):
        call_command("recompute", "--check", verbosity=0)
    call_command("recompute", verbosity=0)
    call_command("recompute", "--check", verbosity=0)
    with refused_as_copy("You have"):
        send(task, annotator, png(SAME))


def test_what_was_there_before_this_was_known_is_known_after_migrating(
    task: Task, annotator: User, tmp_path: Any
) -> None:
    log = tmp_path / "log.jsonl"
    log.write_text("\n".join(line(n, f"p{n}", cast.drawing(n % 3)) for n in range(5)))
    call_command("import_log", task.slug, str(log), verbosity=0)

    def known() -> tuple[Any, Any]:
        keys = ContentKey.objects.values_list("task", "example", "key", "name")
        return set(keys), dict(Example.objects.values_list("pk", "copy_of"))

    before = known()
    ContentKey.objects.all().delete()
    Example.objects.update(copy_of=None)
    migration = import_module("annotate.migrations.0006_known_contents")
    migration.know_contents(apps, None)
    assert known() == before


# --- at one moment --------------------------------------------------------------------------------
@pytest.mark.django_db(transaction=True)
def test_of_two_in_one_batch_one_is_taken(
    task: Task, annotator: User, other_annotator: User
) -> None:
    outcomes = at_once(
        [lambda who=who: send(task, who, png(SAME)) for who in (annotator, other_annotator)]
    )
    assert sorted(isinstance(one, Example) for one in outcomes) == [False, True]
    assert Example.objects.count() == 1


@pytest.fixture
def two_writers(on_postgres: bool) -> None:
    if not on_postgres:
        pytest.skip("on SQLite one transaction writes at a time: who comes second sees the first's")


def in_two_processes(task: Task, people: list[User], monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Each has looked for copies before the other inserts."""
    met = meeting_once(len(people), contents.copies)
    with monkeypatch.context() as patch:
        patch.setattr(contents, "copies", met)
        patch.setattr(submissions._together, "write", lambda new: None)
        return at_once([lambda who=who: send(task, who, png(SAME)) for who in people])


@pytest.mark.usefixtures("two_writers")
@pytest.mark.django_db(transaction=True)
def test_of_two_in_two_processes_one_is_taken(
    task: Task, annotator: User, other_annotator: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    outcomes = in_two_processes(task, [annotator, other_annotator], monkeypatch)
    (refused,) = [one for one in outcomes if not isinstance(one, Example)]
    assert isinstance(refused, Refused), refused
    assert refused.code == "duplicate"
    assert Example.objects.count() == 1
    assert Event.objects.filter(verb="sent_a_copy").count() == 1


@pytest.mark.usefixtures("two_writers")
@pytest.mark.django_db(transaction=True)
def test_without_the_constraint_both_are(
    task: Task, annotator: User, other_annotator: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    with without(ContentKey, "content_once_per_task"):
        in_two_processes(task, [annotator, other_annotator], monkeypatch)
        assert Example.objects.count() == 2
        later = Example.objects.order_by("id").last()
        contents.find_copies(Example.objects.all())
        assert later is not None
        later.refresh_from_db()
        assert later.copy_of is not None
