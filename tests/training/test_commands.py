"""retrain, freeze and worker on the command line."""

from __future__ import annotations

import json
import threading
from io import StringIO

import pytest
from django.core.management import CommandError, call_command
from django.db import OperationalError, ProgrammingError
from django_tasks_db.models import DBTaskResult

from accounts.models import User
from annotate.models import Task
from dadc_server.jobs import housekeeping
from dadc_server.management.commands import worker
from tests.pins import Pins, shape
from tests.training.world import serving, verified_fooling, verified_foolings
from training import services
from training.models import Snapshot, SnapshotItem, TrainingRun
from training.queries import waiting_foolings


def run_command(name: str, *arguments: str) -> list[str]:
    out = StringIO()
    call_command(name, *arguments, stdout=out)
    return out.getvalue().splitlines()


def test_retrain_ends_with_its_summary(
    trained: Task, owner: User, annotator: User, other_annotator: User, pinned: Pins
) -> None:
    verified_foolings(trained, [annotator, other_annotator], owner, 2)
    lines = run_command("retrain", "digits", "--json")
    summary = json.loads(lines[-1])
    pinned.same("commands", "retrain digits", shape(summary))
    assert (summary["status"], summary["candidate"]) == ("promoted", "digits-2")
    assert summary["gates"]["new round"] is True
    assert summary["snapshot"] == Snapshot.objects.get().sha256
    assert lines[-2] == "digits-2 passed every gate and serves round 2."
    assert serving(trained).name == "digits-2"
    run = TrainingRun.objects.get()
    assert (run.origin, run.requested_by) == ("command", None)
    assert not DBTaskResult.objects.exists()


def test_retrain_refuses_with_a_sentence(trained: Task, owner: User, annotator: User) -> None:
    with pytest.raises(CommandError, match="no verified fooling"):
        run_command("retrain", "digits")
    with pytest.raises(CommandError, match="There is no task letters"):
        run_command("retrain", "letters")
    verified_fooling(trained, annotator, owner, 1)
    services.request_run(actor=owner, task=trained)
    with pytest.raises(CommandError, match="already active"):
        run_command("retrain", "digits")


def test_retrain_that_is_stopped_at_the_terminal_ends_its_run(
    trained: Task, owner: User, annotator: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    verified_fooling(trained, annotator, owner, 1)

    def interrupted(*_: object) -> TrainingRun:
        raise KeyboardInterrupt

    monkeypatch.setattr("training.management.commands.retrain.carry_out", interrupted)
    with pytest.raises(CommandError, match="nothing was promoted"):
        run_command("retrain", "digits")
    assert TrainingRun.objects.get().reason == "It was stopped at the terminal."


def test_freeze_prints_counts_and_hash_and_uses_nothing_up(
    trained: Task, owner: User, annotator: User, other_annotator: User
) -> None:
    with pytest.raises(CommandError, match="no verified fooling"):
        run_command("freeze", "digits")
    verified_foolings(trained, [annotator, other_annotator], owner, 3)
    first = json.loads(run_command("freeze", "digits", "--json")[-1])
    second = json.loads(run_command("freeze", "digits", "--json")[-1])
    assert (first["items"], first["train"], first["held_out"]) == (6, 3, 3)
    assert first == second, "what is frozen already is not frozen again"
    assert (Snapshot.objects.count(), SnapshotItem.objects.count()) == (1, 6)
    assert waiting_foolings(trained.pk).count() == 6


@pytest.mark.django_db(transaction=True)
def test_the_worker_carries_out_what_waits(
    owner: User, annotator: User, other_annotator: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tests.training.world import trained_task

    monkeypatch.setattr(worker.os, "nice", lambda by: 0)
    monkeypatch.setattr(worker.Command, "configure_logging", lambda *_: None)
    monkeypatch.setattr("signal.signal", lambda *_: None)
    task = trained_task(owner)
    verified_foolings(task, [annotator, other_annotator], owner, 1)
    services.request_run(actor=owner, task=task)
    call_command("worker", "--batch")
    assert TrainingRun.objects.get().status == "promoted"
    assert DBTaskResult.objects.get().status == "SUCCESSFUL"


def test_housekeeping_that_is_told_to_stop_begins_no_other_chore(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """With the database away each may take five seconds."""
    done, begun = threading.Event(), []

    def stop() -> None:
        begun.append("one")
        done.set()

    monkeypatch.setattr(housekeeping, "EACH_LOOK", [stop, lambda: begun.append("another")])
    monkeypatch.setattr(housekeeping, "EACH_MINUTE", [])
    monkeypatch.setattr(housekeeping, "SELDOM", [])
    thread = threading.Thread(target=housekeeping.keep_house, args=(done,))
    thread.start()
    thread.join(20)
    assert begun == ["one"]


def test_housekeeping_tries_no_other_chore_while_the_database_is_away(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    done, tried = threading.Event(), []

    def away() -> None:
        tried.append("once")
        if tried.count("once") >= 2:
            done.set()
        raise OperationalError("It is away.")

    monkeypatch.setattr(housekeeping, "LOOK_EVERY", 0)
    monkeypatch.setattr(housekeeping, "EACH_LOOK", [away, lambda: tried.append("again")])
    monkeypatch.setattr(housekeeping, "EACH_MINUTE", [])
    monkeypatch.setattr(housekeeping, "SELDOM", [])
    thread = threading.Thread(target=housekeeping.keep_house, args=(done,))  # with no connection
    thread.start()
    thread.join(20)
    assert tried == ["once", "once"]


@pytest.mark.parametrize("error", [ProgrammingError("no such column"), KeyError("a mistake")])
def test_housekeeping_survives_what_goes_wrong(
    error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:

    done, looks = threading.Event(), 0

    def away() -> None:
        nonlocal looks
        looks += 1
        if looks == 2:
            done.set()
        raise error

    after: list[int] = []
    monkeypatch.setattr(housekeeping, "LOOK_EVERY", 0)
    monkeypatch.setattr(housekeeping, "EACH_LOOK", [away, lambda: after.append(looks)])
    monkeypatch.setattr(housekeeping, "EACH_MINUTE", [])
    monkeypatch.setattr(housekeeping, "SELDOM", [])
    thread = threading.Thread(target=housekeeping.keep_house, args=(done,))
    thread.start()
    thread.join(30)
    assert (looks, after) == (2, [1])
