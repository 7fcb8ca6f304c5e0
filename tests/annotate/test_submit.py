"""Submitting: the server decides, once, and acknowledges only what is committed."""

import uuid

import pytest
from django.db import IntegrityError, transaction

from accounts.models import Event, User
from accounts.services import guest_session
from annotate import rounds, services, submissions
from annotate.config import parse_task_file
from annotate.explanations import explain
from annotate.models import Example, Task
from annotate.queries import Participant, progress_of
from core.errors import Conflict, Refused
from core.strict_yaml import NotYaml
from kinds import kind_named
from tests import cast
from validate.models import QueueItem


def submit(task: Task, author: User, **changes: object) -> tuple[Example, bool]:
    values = {"client_id": uuid.uuid4(), "input": cast.drawing(1), "label": "3", **changes}
    done = submissions.submit(participant=Participant(user=author), task_id=task.pk, **values)
    return done.example, done.is_new


def test_the_server_predicts_compares_and_records(task: Task, annotator: User) -> None:
    example = cast.submission(task, annotator, fooled=True)

    example.refresh_from_db()
    assert example.fooled
    assert example.prediction == cast.prediction(task, cast.drawing(1))
    assert sum(example.probabilities.values()) == pytest.approx(1, abs=1e-4)
    assert Event.objects.filter(verb="submitted", object_id=example.pk).count() == 1


def test_the_same_client_id_again_is_the_same_example(task: Task, annotator: User) -> None:
    client_id = uuid.uuid4()

    first, new = submit(task, annotator, client_id=client_id)
    second, new_again = submit(task, annotator, client_id=client_id)

    assert (new, new_again) == (True, False)
    assert first.pk == second.pk
    assert Example.objects.count() == 1


@pytest.mark.parametrize(
    "change", [{"label": "4"}, {"input": cast.drawing(2)}, {"context": {"prompt": "a four"}}]
)
def test_a_client_id_with_another_body_is_refused(
    task: Task, annotator: User, change: dict[str, object]
) -> None:
    client_id = uuid.uuid4()
    submit(task, annotator, client_id=client_id)

    with pytest.raises(Conflict) as refused:
        submit(task, annotator, client_id=client_id, **change)

    assert refused.value.code == "client_id_reused"
    assert Example.objects.count() == 1


def test_the_same_client_id_is_answered_when_the_round_has_closed(
    task: Task, annotator: User
) -> None:
    example = cast.submission(task, annotator, client_id=(client_id := uuid.uuid4()))
    task.rounds.update(status="closed")

    again, new = submit(
        task, annotator, client_id=client_id, input=cast.drawing(1), label=example.label
    )

    assert (again, new) == (example, False)


def test_a_client_id_of_another_task_is_refused(task: Task, owner: User, annotator: User) -> None:
    example = cast.submission(task, annotator, client_id=(client_id := uuid.uuid4()))
    other = cast.digits_task(owner, slug="other")

    with pytest.raises(Conflict):
        submit(other, annotator, client_id=client_id, input=cast.drawing(1), label=example.label)


def test_two_people_may_make_the_same_client_id(
    task: Task, annotator: User, other_annotator: User
) -> None:
    client_id = uuid.uuid4()

    first, _ = submit(task, annotator, client_id=client_id)
    second, new = submit(task, other_annotator, client_id=client_id, input=cast.drawing(2))

    assert new
    assert first.pk != second.pk


def test_an_unknown_label_is_refused_with_the_known_ones(task: Task, annotator: User) -> None:
    with pytest.raises(Refused, match="must be one of 0, 1, 2") as refused:
        submit(task, annotator, label="ten")

    assert refused.value.code == "unknown_label"
    assert not Example.objects.exists()


def test_no_open_round_says_so(owner: User, annotator: User) -> None:
    task, _ = rounds.load_task(file=parse_task_file(cast.task_file()))
    with pytest.raises(Refused) as refused:
        submit(task, annotator)
    assert refused.value.code == "no_open_round"


def test_guests_count_nowhere(task: Task) -> None:
    guest = Participant(session=guest_session(uuid.uuid4()))

    example, _, _ = submissions.submit(
        participant=guest,
        task_id=task.pk,
        client_id=uuid.uuid4(),
        input=cast.drawing(1),
        label="3",
    )

    assert example.sandbox
    assert not Example.objects.counted().exists()
    assert not QueueItem.objects.exists()
    assert progress_of(guest, task.pk)["tries"] == 1


def test_a_banned_person_cannot_submit(task: Task, annotator: User, owner: User) -> None:
    from validate.acts.ban import set_banned

    set_banned(actor=owner, user=annotator, banned=True, reason="spam")
    annotator.refresh_from_db()

    with pytest.raises(Refused) as refused:
        submit(task, annotator)
    assert refused.value.code == "banned"


def test_a_ban_that_comes_while_the_model_answers_is_heeded(
    task: Task, annotator: User, owner: User
) -> None:
    from validate.acts.ban import set_banned

    as_it_was = User.objects.get(pk=annotator.pk)
    set_banned(actor=owner, user=annotator, banned=True, reason="spam")

    with pytest.raises(Refused) as refused:
        submit(task, as_it_was)

    assert refused.value.code == "banned"
    assert not Example.objects.exists()


def test_tries_count_from_the_last_fooling(task: Task, annotator: User) -> None:
    tries = [
        cast.submission(task, annotator, seed, fooled=fooled).tries
        for seed, fooled in enumerate([False, False, True, False, True], start=1)
    ]
    assert tries == [1, 2, 3, 1, 2]


def test_the_streak_is_of_foolings_in_a_row(task: Task, annotator: User) -> None:
    for seed, fooled in enumerate([True, False, True, True], start=1):
        cast.submission(task, annotator, seed, fooled=fooled)

    progress = progress_of(Participant(user=annotator), task.pk)

    assert progress == {"tries": 4, "fooled": 3, "verified": 0, "streak": 2}


def test_only_the_author_explains_and_retracts(
    task: Task, annotator: User, other_annotator: User
) -> None:
    example = cast.submission(task, annotator)

    explain(
        participant=Participant(user=annotator), uid=example.uid, explanation=" the loop is open "
    )
    with pytest.raises(Refused):
        services.retract(participant=Participant(user=other_annotator), uid=example.uid)
    services.retract(participant=Participant(user=annotator), uid=example.uid)

    example.refresh_from_db()
    assert example.explanation == "the loop is open"
    assert example.retracted_at is not None
    assert QueueItem.objects.get(example=example).withdrawn


def test_the_database_refuses_a_counted_example_without_an_author(
    task: Task, annotator: User
) -> None:
    example = cast.submission(task, annotator)
    with pytest.raises(IntegrityError), transaction.atomic():
        Example.objects.filter(pk=example.pk).update(author=None)


def test_a_stored_picture_carries_no_metadata(task: Task, annotator: User) -> None:
    import base64
    import io

    from PIL import Image

    picture = Image.fromarray((cast.scribble(5) * 255).astype("uint8"))
    exif = Image.Exif()
    exif[0x010E] = "taken at home"
    data = io.BytesIO()
    picture.save(data, "JPEG", exif=exif, quality=95)

    example, _ = submit(task, annotator, input={"png": base64.b64encode(data.getvalue()).decode()})

    stored = base64.b64decode(example.input["png"])
    assert b"taken at home" not in stored
    assert stored.startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("kind", "input"),
    [
        ("text", {"text": "so good"}),
        ("text_pair", {"context": "It rains.", "hypothesis": "It is wet."}),
        ("passage_qa", {"context": "Ann left.", "question": "Who?", "answer": {"text": "Ann"}}),
    ],
)
def test_a_text_is_kept_without_what_else_was_sent(kind: str, input: dict[str, object]) -> None:
    sent = kind_named(kind).parse({**input, "label": "look, it is this one"})
    assert sent.stored == input
    assert sent.key == kind_named(kind).parse(input).key


def test_a_drawing_brings_no_context_along(task: Task, annotator: User) -> None:
    with pytest.raises(Refused) as refused:
        submit(task, annotator, context="psst: it is a 3")
    assert refused.value.code == "no_context"
    assert not Example.objects.exists()


QUALITY = {"min_characters": 12, "max_characters": 40, "min_words": 3, "max_copied": 0.6}


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        ("He  is \u200b    ill.", "Write 12 characters or more: it has 10."),
        ("Undoubtedly unwell.", "Write 3 words or more: it has 2."),
        ("He is ill, and so is everybody whom he has met.", "Write 40 characters at most"),
        ("A man sleeps on it.", "of it stands in the text above"),
        ("Somebody is at rest.", ""),
    ],
)
def test_a_text_that_breaks_a_rule_of_the_task_is_refused(
    db: None, annotator: User, words: str, complaint: str
) -> None:
    task = cast.text_task(input="text_pair", quality=QUALITY)
    pair = {"context": "A man sleeps on a bench.", "hypothesis": words}
    if not complaint:
        assert submit(task, annotator, input=pair, label="yes")[1]
        return
    with pytest.raises(Refused, match=complaint) as refused:
        submit(task, annotator, input=pair, label="yes")
    assert refused.value.code == "quality"


def test_a_text_in_another_language_is_refused_where_one_can_tell(
    db: None, annotator: User
) -> None:
    task = cast.text_task(language="en-GB", quality={"language": True})
    with pytest.raises(Refused, match="looks like German: write it in British English"):
        submit(task, annotator, input={"text": "Der Film war leider viel zu lang."}, label="yes")
    for text in ("The film was much too long, alas.", "Zu lang!", "xqzv 123 " * 5):
        submit(task, annotator, input={"text": text}, label="yes")
    for language in (None, "tlh"):
        with pytest.raises(NotYaml, match="name the task's `language`"):
            cast.text_task(language=language, quality={"language": True})


def test_pictures_have_no_words_to_count() -> None:
    with pytest.raises(NotYaml, match="image tasks are no texts"):
        parse_task_file(cast.task_file(quality={"min_words": 2}))
