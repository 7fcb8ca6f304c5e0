"""When a run begins by itself, and that only one is ever active."""

from __future__ import annotations

import pytest
from django.db import IntegrityError, transaction
from django_tasks_db.models import DBTaskResult

from accounts.models import User
from annotate.config import TaskFile
from annotate.models import Example, Task
from annotate.queries import Participant
from annotate.services import retract
from core.errors import Conflict, Refused
from core.strict_json import dumps
from core.transactions import durable
from tests import cast
from tests.acts import adjudicate, set_hidden
from tests.races import at_once, meeting, without
from tests.training.world import trained_task, verified_fooling, verified_foolings
from training import services
from training.models import TrainingRun
from training.queries import settings_of, waiting_foolings
from training.retraining import carry_out
from training.snapshots import freeze
from validate.inbox import open_review
from validate.logs import import_log
from validate.models import Review


def test_the_last_fooling_that_was_needed_queues_a_run_with_its_job(
    owner: User, annotator: User
) -> None:
    task = trained_task(owner, trigger=3)
    verified_foolings(task, [annotator], owner, 2)
    assert not TrainingRun.objects.exists()
    verified_fooling(task, annotator, owner, 9)
    run = TrainingRun.objects.get()
    assert (run.status, run.origin, run.requested_by) == ("queued", "trigger", None)
    job = DBTaskResult.objects.get()
    assert job.args_kwargs["args"] == [str(run.uid)]
    verified_fooling(task, annotator, owner, 10)
    assert TrainingRun.objects.count() == 1


def test_votes_of_validators_trigger_it_too(
    owner: User, annotator: User, validator: User, other_validator: User
) -> None:
    task = trained_task(owner, trigger=1)
    cast.submission(task, annotator)
    cast.answer(validator, task)
    assert not TrainingRun.objects.exists()
    cast.answer(other_validator, task)
    assert TrainingRun.objects.count() == 1


def test_only_verified_foolings_that_may_be_used_count(owner: User, annotator: User) -> None:
    task = trained_task(owner, trigger=2)
    first = verified_fooling(task, annotator, owner, 1)
    read_right = cast.submission(task, annotator, 2, fooled=False)
    rejected = cast.submission(task, annotator, 3)
    for example, status in [(read_right, "verified"), (rejected, "rejected")]:
        adjudicate(actor=owner, example_id=example.pk, status=status, reason="So it is.")
    retract(participant=Participant(user=annotator), uid=first.uid)
    hidden = verified_fooling(task, annotator, owner, 5)
    set_hidden(actor=owner, example_id=hidden.pk, hidden=True, reason="A scribble.")
    doubted = verified_fooling(task, annotator, owner, 4)
    assert waiting_foolings(task.pk).count() == 1
    assert not TrainingRun.objects.exists()
    open_review(doubted, Review.Kind.QUARANTINE, "A vote that mattered has lost its weight.")
    verified_fooling(task, annotator, owner, 6)
    assert waiting_foolings(task.pk).count() == 1
    assert not TrainingRun.objects.exists()


def test_without_a_trigger_or_a_trained_model_nothing_begins(owner: User, annotator: User) -> None:
    by_hand = trained_task(owner, trigger=None)
    untrained = cast.digits_task(owner, slug="untrained", retraining={"trigger": 1})
    for task in (by_hand, untrained):
        verified_fooling(task, annotator, owner, 1)
    assert not TrainingRun.objects.exists()


def test_a_refused_run_does_not_begin_again_on_the_same_foolings(
    owner: User, annotator: User
) -> None:
    task = trained_task(owner, trigger=2, gates={"min_verified": 100})
    verified_foolings(task, [annotator], owner, 2)
    claimed = services.claim_run(TrainingRun.objects.get().uid)
    assert claimed is not None
    assert carry_out(*claimed).status == "refused"
    assert waiting_foolings(task.pk).count() == 0
    verified_fooling(task, annotator, owner, 50)
    assert TrainingRun.objects.count() == 1
    verified_fooling(task, annotator, owner, 51)
    assert TrainingRun.objects.count() == 2


def test_foolings_verified_while_a_run_was_active_begin_the_next(
    owner: User, annotator: User
) -> None:
    task = trained_task(owner, trigger=2)
    late = [cast.submission(task, annotator, seed) for seed in (60, 61)]
    verified_foolings(task, [annotator], owner, 2)
    claimed = services.claim_run(TrainingRun.objects.get().uid)
    assert claimed is not None
    snapshot_taken = False

    def confirm_late_ones(fraction: float, _: str) -> None:
        nonlocal snapshot_taken
        if fraction > 0.5 and not snapshot_taken:
            snapshot_taken = True
            for example in late:
                adjudicate(
                    actor=owner,
                    example_id=example.pk,
                    status=Example.Status.VERIFIED,
                    reason="It is one.",
                )

    carry_out(*claimed, confirm_late_ones)
    assert [run.status for run in TrainingRun.objects.order_by("id")][1:] == ["queued"]


def test_a_failed_run_used_nothing_up(trained: Task, owner: User, annotator: User) -> None:
    verified_fooling(trained, annotator, owner, 1)
    run, claim = services.begin_here(task=trained)
    services.fail(run, claim, reason="The disk is full.")
    assert waiting_foolings(trained.pk).count() == 1


def test_retraining_twice_at_once_is_refused(trained: Task, owner: User, annotator: User) -> None:
    verified_fooling(trained, annotator, owner, 1)
    services.request_run(actor=owner, task=trained)
    with pytest.raises(Conflict, match="already active"):
        services.request_run(actor=owner, task=trained)
    with pytest.raises(Conflict, match="already active"):
        services.begin_here(task=trained)


def test_the_database_itself_keeps_one_active_run(
    trained: Task, owner: User, annotator: User
) -> None:
    verified_fooling(trained, annotator, owner, 1)
    run = services.request_run(actor=owner, task=trained)
    with pytest.raises(IntegrityError), transaction.atomic():
        TrainingRun.objects.create(task=trained, round=run.round, parent=run.parent)


def test_a_run_is_refused_with_a_sentence(
    trained: Task, owner: User, annotator: User, other_annotator: User
) -> None:
    with pytest.raises(Refused, match="no verified fooling"):
        services.request_run(actor=owner, task=trained)
    with pytest.raises(Refused, match="Only an owner"):
        services.request_run(actor=annotator, task=trained)
    untrained = cast.digits_task(owner, slug="untrained")
    with pytest.raises(Refused, match="was not trained here"):
        services.begin_here(task=untrained)


def let_one_be_enough(task: Task) -> None:
    """From now on, and for this instance alone, so that nothing has begun before."""
    assert task.config is not None
    retraining = {**task.config.data["retraining"], "trigger": 1}
    task.config.file = TaskFile.model_validate({**task.config.data, "retraining": retraining})


@pytest.mark.django_db(transaction=True)
def test_two_triggers_at_once_begin_one_run(owner: User, annotator: User) -> None:
    task = trained_task(owner, trigger=None)
    verified_fooling(task, annotator, owner, 1)
    let_one_be_enough(task)

    def fire() -> TrainingRun | None:
        with durable():
            return services.start_if_due(task)

    begun = at_once([fire] * 4)
    assert not [outcome for outcome in begun if isinstance(outcome, Exception)]
    assert len([run for run in begun if run is not None]) == 1
    assert TrainingRun.objects.count() == 1
    assert DBTaskResult.objects.count() == 1


@pytest.mark.django_db(transaction=True)
def test_without_its_constraint_two_triggers_begin_two_runs(
    owner: User, annotator: User, monkeypatch: pytest.MonkeyPatch, on_postgres: bool
) -> None:
    """The control: both have found no run that is under way."""
    if not on_postgres:
        pytest.skip("SQLite has one writer at a time")
    task = trained_task(owner, trigger=None)
    verified_fooling(task, annotator, owner, 1)
    let_one_be_enough(task)
    monkeypatch.setattr(services, "_begin", meeting(2, services._begin))

    def fire() -> None:
        with durable():
            services.start_if_due(task)

    with without(TrainingRun, "one_active_training_run_per_task"):
        assert at_once([fire, fire]) == [None, None]
        assert TrainingRun.objects.count() == 2


def test_what_an_error_stopped_is_not_tried_for_ever(owner: User, annotator: User) -> None:
    task = trained_task(owner, trigger=1)
    verified_fooling(task, annotator, owner, 1)
    claimed = services.claim_run(TrainingRun.objects.get().uid)
    assert claimed is not None
    services.fail(*claimed, reason="The disk is full.")

    assert services.start_all_due() == []
    verified_fooling(task, annotator, owner, 2)
    assert TrainingRun.objects.filter(status="queued").count() == 1


def test_what_a_race_left_undone_is_caught_up_with(
    owner: User, annotator: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    task = trained_task(owner, trigger=1)
    monkeypatch.setattr("training.receivers.start_if_due", lambda task: None)
    verified_fooling(task, annotator, owner, 1)
    assert [run.task for run in services.start_all_due()] == [task]
    assert services.start_all_due() == []


def test_a_content_counts_once_and_its_authors_are_on_one_side(owner: User) -> None:
    """A log holds one drawing nine times, by as many people, and one more; all are confirmed."""
    task = trained_task(owner, trigger=3)
    said = {"kind": "example", "round": 1, "label": "3", "prediction": "8", "model": "m"}
    lines = [
        dumps({**said, "id": f"e{n}", "author": f"p{n}", "input": cast.drawing(n // 9)}).encode()
        for n in range(10)
    ]
    import_log(task, lambda: lines)
    first, *_, other = Example.objects.order_by("id")
    for example in Example.objects.all():
        adjudicate(actor=owner, example_id=example.pk, status="verified", reason="It is one.")

    assert list(waiting_foolings(task.pk).order_by("pk")) == [first, other]
    assert not TrainingRun.objects.exists()
    frozen = freeze(task=task, round_=task.rounds.get(status="open"), settings=settings_of(task))
    assert {item.example_id for item in frozen.items.all()} == {first.pk, other.pk}
    assert {item.split for item in frozen.items.all()} == {"train", "held_out"}
