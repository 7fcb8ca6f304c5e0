"""What is counted of one's latest answers is what a recount finds, whatever was done before."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta

import pytest
import time_machine
from django.utils import timezone

from accounts.models import User
from annotate.models import Task
from core.errors import Refused
from tests import acts, cast
from validate.acts import lease as leases
from validate.acts.gold import mark_gold
from validate.models import Lease, Reliability, Vote
from validate.people.quarantine import lift_quarantine
from validate.people.recount import repair
from validate.people.reliability import recount_today

pytestmark = pytest.mark.django_db
EVENING = datetime(2026, 3, 14, 22, 0, tzinfo=UTC)


def answer(person: User, task: Task) -> None:
    lease = acts.next_item(validator=person, task=task)
    if lease is not None:
        acts.vote(validator=person, lease_id=lease.pk, label="3")


@pytest.fixture
def with_gold(owner: User, task: Task, annotator: User) -> Task:
    for seed in range(40):
        example = cast.submission(task, annotator, seed)
        if seed % 4 == 0:
            mark_gold(actor=owner, example_id=example.pk, answer="3")
    return task


@pytest.mark.parametrize("seed", [1, 2])
def test_answers_gold_and_undos_over_midnight(
    with_gold: Task, validator: User, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    drawn = random.Random(seed)
    monkeypatch.setattr(leases, "is_gold_turn", lambda *_: drawn.random() < 0.5)
    with time_machine.travel(EVENING, tick=False) as clock:
        for step in range(90):
            clock.move_to(EVENING + timedelta(minutes=3 * step))
            try:
                if drawn.random() < 0.3:
                    acts.undo(validator=validator, task=with_gold)
                else:
                    answer(validator, with_gold)
            except Refused:
                continue
            row = Reliability.objects.get(validator=validator)
            assert row.answered == Vote.objects.filter(validator=validator).count()
            assert not recount_today(row)
    assert row.answered > 25


def test_a_recount_puts_right_what_is_wrong(with_gold: Task, validator: User) -> None:
    for _ in range(6):
        answer(validator, with_gold)
    right = Reliability.objects.values("answered_today").get()
    wrong = {"answered_today": 0}

    Reliability.objects.update(**wrong)
    assert not repair(with_gold).agrees
    assert Reliability.objects.values("answered_today").get() == right
    assert repair(with_gold).agrees


def test_gold_from_before_a_lifted_quarantine_is_taken_back(
    owner: User, with_gold: Task, validator: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was taken out of the counts when these began anew."""
    monkeypatch.setattr(leases, "is_gold_turn", lambda *_: True)
    answer(validator, with_gold)
    Reliability.objects.update(quarantined_at=timezone.now())
    lift_quarantine(actor=owner, task=with_gold, validator=validator, reason="A test.")

    lease = acts.undo(validator=validator, task=with_gold)

    row = Reliability.objects.get()
    assert (row.scored, row.gold_seen, row.answered) == (0, 0, 0)
    assert Lease.objects.get(ended_at=None) == lease
