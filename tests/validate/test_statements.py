"""What is written out in SQL says the same as the query sets."""

from django.utils import timezone

from accounts.models import User
from annotate.models import Task
from tests import acts, cast
from validate import statements
from validate.queries import waiting_by_task


def test_both_ways_of_saying_what_waits_for_somebody_agree(
    owner: User, task: Task, annotator: User, validator: User, other_validator: User
) -> None:
    """In SQL for one task, by query sets for all: own, answered, leased, skipped, hidden ones."""
    author = cast.person("vic", "validator")
    other_task = cast.digits_task(owner, slug="others")
    examples = [cast.submission(task, annotator, seed) for seed in range(6)]
    cast.submission(task, author, 6)
    cast.submission(other_task, annotator, 7)
    cast.answer(validator, task)
    skipped = cast.lease_for(validator, task)
    acts.release(validator=validator, lease_id=skipped.pk, skip=True)
    cast.lease_for(validator, task)
    cast.lease_for(other_validator, task)
    acts.set_hidden(actor=owner, example_id=examples[5].pk, hidden=True, reason="a test")

    counted = {}
    for person in (validator, other_validator, author):
        found = statements.counts(task.pk, person.pk, midnight=timezone.now())
        assert found.waiting == waiting_by_task(person)[task.pk]
        counted[person.username] = found.waiting
    assert counted == {validator.username: 4, other_validator.username: 6, "vic": 5}
