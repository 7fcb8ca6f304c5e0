"""What is written out in SQL for a submission says what the query sets say."""

from __future__ import annotations

import itertools
import uuid
from functools import partial
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from accounts.models import User
from accounts.services import guest_session
from annotate import services, statements, submissions
from annotate.models import Example, Task
from annotate.queries import Participant, open_target
from annotate.rounds import open_next_round
from core.transactions import durable
from tests import cast


@pytest.fixture
def many(task: Task, annotator: User, other_annotator: User, owner: User) -> list[Participant]:
    """Examples of every fate by three people, in two tasks and in two rounds of one."""
    people = [
        Participant(user=annotator),
        Participant(user=other_annotator),
        Participant(session=guest_session(uuid.uuid4())),
    ]
    other = cast.digits_task(owner, slug="other")
    seeds = itertools.count()

    def submit(person: Participant, where: Task) -> Example:
        done = submissions.submit(
            participant=person,
            task_id=where.pk,
            client_id=uuid.uuid4(),
            input=cast.drawing(seed := next(seeds)),
            label=str(seed % 4),
        )
        return done.example

    made = []
    for where in (task, other, task):
        made += [submit(person, where) for _ in range(5) for person in people]
        if where is other:
            model = cast.fixed_model(task, seed=3)
            with durable():
                open_next_round(task=task, models=[model])
    for number, example in enumerate(made):
        Example.objects.filter(pk=example.pk).update(fooled=(fooled := number % 5 not in (0, 3)))
        if fooled and number % 2:
            Example.objects.filter(pk=example.pk).update(
                status=Example.Status.VERIFIED, settled_at=timezone.now()
            )
        if number % 7 == 0:
            Example.objects.filter(pk=example.pk).update(retracted_at=timezone.now())
    return people


def progress_in_words(mine: Any) -> statements.Progress:
    last_miss = mine.filter(fooled=False).order_by("-id").first()
    streak = mine.filter(id__gt=last_miss.id) if last_miss else mine
    fooled = mine.filter(fooled=True)
    return statements.Progress(
        mine.count(), fooled.count(), fooled.filter(status="verified").count(), streak.count()
    )


def test_how_somebody_does_and_what_they_follow(many: list[Participant], task: Task) -> None:
    rounds = list(task.rounds.all())
    assert len(rounds) == 2
    for person in many:
        mine = person.examples().filter(task=task)
        progress = statements.progress(**person.ids, task_id=task.pk)
        assert progress == progress_in_words(mine)
        for round_, example in itertools.product(rounds, Example.objects.all()):
            before = partial(statements.before, **person.ids, task_id=task.pk, round_id=round_.pk)
            again = before(client_id=example.client_id)
            assert again.is_there == mine.filter(pk=example.pk).exists()
            came = before(client_id=uuid.uuid4())
            assert not came.is_there
            assert came.tries == services.tries_at_next(mine.filter(round=round_))
            assert came.progress == again.progress == progress
            if person.user is not None:
                each = statements.before_each(
                    task_id=task.pk,
                    round_id=round_.pk,
                    sent={
                        0: None,  # nobody
                        **{one.user.pk: uuid.uuid4() for one in many if one.user is not None},
                    },
                )
                assert each[person.user.pk] == came
                assert each[0] == statements.Before(
                    1, is_there=False, progress=statements.Progress(0, 0, 0, 0)
                )


def test_what_is_told_with_a_submission_is_what_is_counted(task: Task, annotator: User) -> None:
    person = Participant(user=annotator)
    for seed, label in enumerate("3443"):
        done = submissions.submit(
            participant=person,
            task_id=task.pk,
            client_id=(client_id := uuid.uuid4()),
            input=cast.drawing(seed),
            label=label,
        )
        assert done.progress == statements.progress(**person.ids, task_id=task.pk)
        assert done.progress.tries == seed + 1
    again = submissions.submit(
        participant=person,
        task_id=task.pk,
        client_id=client_id,
        input=cast.drawing(seed),
        label=label,
    )
    assert again == (done.example, False, None)


def test_a_submission_takes_few_statements(task: Task, annotator: User) -> None:
    """The locks, what came before, what is like it, the example, what it is found by, its event and
    its author's tally."""
    cast.submission(task, annotator, 1, fooled=False)
    target, label = open_target(task.pk), cast.prediction(task, cast.drawing(2))
    with CaptureQueriesContext(connection) as seen:
        submissions.submit(
            participant=Participant(user=annotator),
            task_id=task.pk,
            client_id=uuid.uuid4(),
            input=cast.drawing(2),
            label=label,
            target=target,
        )
    said = [query["sql"] for query in seen]
    said = [one for one in said if "SAVEPOINT" not in one]
    assert len(said) == 7, said
