"""The process of a run is killed in each of its phases, or loses its database: nothing is half."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from typing import Any

import pytest
from django.db import InterfaceError, OperationalError, connection, connections

from accounts.models import User
from annotate.models import ModelVersion, Task
from tests.training import fake_learner
from tests.training.test_runs import silence
from tests.training.world import serving, trained_task, verified_foolings
from training import regions, services, snapshots, tasks
from training.models import Snapshot, TrainingRun

pytestmark = pytest.mark.django_db(transaction=True)

RECIPES = {"slow": {"pace": 2}, "fast": {"pace": 3}}


@pytest.fixture
def task(owner: User, annotator: User, other_annotator: User) -> Task:
    task = trained_task(owner, recipes=RECIPES)
    verified_foolings(task, [annotator, other_annotator], owner, 2)
    return task


def die(*_: object, **__: object) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def after(act: Callable[..., Any]) -> Callable[..., Any]:
    """The act, and then the end."""

    def act_and_die(*args: Any, **how: Any) -> None:
        act(*args, **how)
        die()

    return act_and_die


def carried_out_until(run: TrainingRun, module: Any, name: str, words: str = "") -> int:
    """Carry a queued run out in a process of its own, which dies there; by which signal it did."""
    connections.close_all()  # a socket of two processes would confuse both
    child = os.fork()
    if child == 0:
        try:
            act = getattr(module, name)

            def strike(*args: Any, **how: Any) -> Any:
                if words and words not in str(how.get("stage")):
                    return act(*args, **how)
                return after(act)(*args, **how)

            setattr(module, name, strike)
            tasks.run_training.call(str(run.uid))
        finally:
            os._exit(0)
    _, status = os.waitpid(child, 0)
    return os.WTERMSIG(status) if os.WIFSIGNALED(status) else 0


def test_a_run_that_is_killed_in_any_phase_is_carried_out_once(
    task: Task, owner: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, first = services.request_run(actor=owner, task=task), serving(task)
    for module, name, words in [
        (services, "report", "Freezing"),
        (snapshots, "digest_of", ""),  # within its transaction
        (services, "report", "Training on"),
        (services, "report", "Testing"),
        (services, "report", "Keeping"),  # of the first recipe
        (services, "report", "2 of 2 (slow 0): Judging"),
        (services, "open_next_round", ""),  # within the transaction that promotes
    ]:
        assert carried_out_until(run, module, name, words) == signal.SIGKILL, (name, words)
        assert (serving(task), ModelVersion.objects.count()) == (first, 1), (name, words)
        assert Snapshot.objects.count() <= 1
        silence(run)
        assert tasks.resume_interrupted() == [run]
    # What two recipes came to is kept: nothing is trained again.
    monkeypatch.setattr(fake_learner.FakeLearner, "fine_tune", die)
    assert carried_out_until(run, regions, "follow") == signal.SIGKILL  # the verdict is told
    run.refresh_from_db()
    assert run.status == "promoted"
    assert run.candidate == serving(task)
    assert (ModelVersion.objects.count(), task.rounds.count()) == (2, 2)
    assert tasks.resume_interrupted() == []
    assert tasks.run_training.call(str(run.uid)) == "not to be had"


def test_a_run_whose_connection_is_cut_is_given_back(
    task: Task, owner: User, on_postgres: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = services.request_run(actor=owner, task=task)
    trained = fake_learner.FakeLearner.fine_tune

    def cut(*args: Any, **how: Any) -> Any:
        if not on_postgres:
            raise OperationalError("disk I/O error")
        with pytest.raises(OperationalError), connection.cursor() as cursor:
            cursor.execute("SELECT pg_terminate_backend(pg_backend_pid())")
        return trained(*args, **how)

    with monkeypatch.context() as patch:
        patch.setattr(fake_learner.FakeLearner, "fine_tune", cut)
        with pytest.raises((OperationalError, InterfaceError)):
            tasks.run_training.call(str(run.uid))
    run.refresh_from_db()
    assert (run.status, run.claim) == ("queued", None)
    assert tasks.run_training.call(str(run.uid)) == "promoted"
