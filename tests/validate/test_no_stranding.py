"""Whatever people do, in whatever order: through the services, no example waits for ever."""

from __future__ import annotations

from contextlib import suppress
from datetime import timedelta
from itertools import count

import pytest
from django.utils import timezone
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from accounts.models import User
from annotate.models import Example, Task
from core.errors import Refused
from tests import acts, cast
from validate.models import Lease, QueueItem, Reliability, Vote
from validate.people.recount import repair
from validate.policies import UNSURE
from validate.recount import queue_differences

POLICIES = ("two_plus_one", "k_matching", "k_of_n", "bayes")
PEOPLE = 4
CLOSER = 2  # votes more, where people of standing look closely at who is new
ANSWERS = ("author", "author", "model", "0", UNSURE, "spam")
DEEDS = (
    "submit",
    "skip",
    "unskip",
    "release",
    "take",
    "run out",
    "undo",
    "twice",
    "stop",
    "return",
)
deeds = st.tuples(st.integers(0, PEOPLE - 1), st.sampled_from(ANSWERS * 2 + DEEDS))
seeds = count()


@pytest.mark.slow
@settings(
    max_examples=12,
    deadline=None,
    phases=(Phase.reuse, Phase.generate),  # to shrink what takes a second each takes minutes
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(
    policy=st.sampled_from(POLICIES),
    deeds=st.lists(deeds, min_size=4, max_size=16),
    settled_in=st.booleans(),
)
def test_nothing_that_people_do_strands_an_example(
    db: None, owner: User, annotator: User, policy: str, deeds: list[tuple[int, str]],
    settled_in: bool,
) -> None:  # fmt: skip
    """Nor leaves somebody new without work; `settled_in`: where others have standing."""
    task = _task(owner, f"{policy}-settled" if settled_in else policy, policy)
    people = _people("v", PEOPLE)
    for known in [*people[:1], *_people("known", 3)] if settled_in else ():
        standing = {"gold_seen": 5, "gold_right": 5, "answered_at": timezone.now()}
        Reliability.objects.update_or_create(standing, task=task, validator=known)
    cast.submission(task, annotator, next(seeds))
    settled = task.examples.exclude(status=Example.Status.OPEN)  # in a case before this one
    decided = {example.pk: (example.status, example.final_label) for example in settled}
    for place, deed in deeds:
        people[place].refresh_from_db()  # as each request reads who asks
        with suppress(Refused):  # nothing to take back, or no lease: that is an answer too
            _do(deed, people[place], task, annotator, owner)
        _check(task, decided)

    cast.submission(task, annotator, next(seeds))
    (newcomer,) = _people("newcomer", 1)
    assert acts.next_item(validator=newcomer, task=task)

    # Who went away loses their claim, and there are enough others for every policy's cap.
    Lease.objects.filter(ended_at=None).update(expires_at="2020-01-01T00:00:00Z")
    # Those of standing are away, too: after a week nobody waits for them.
    of_standing = Reliability.objects.filter(task=task, gold_seen=5)
    of_standing.update(answered_at=timezone.now() - timedelta(days=8))
    for fresh in _people("fresh", 7):
        for answer in ("author", "model", "0", UNSURE, "author", "spam"):
            if not _vote(fresh, task, answer):
                break
            _check(task, decided)

    assert not task.examples.filter(status=Example.Status.OPEN).exists()
    assert not QueueItem.objects.filter(task=task).exists()
    assert not list(queue_differences())
    found = repair(task)
    # Weights follow after the commit, which a test's transaction never has.
    given = 4 if settled_in else 0  # rows of people whose standing no vote bears out
    assert (found.credits, found.reliabilities, found.shares) == (0, given, 0)


def _do(deed: str, person: User, task: Task, author: User, owner: User) -> None:
    match deed:
        case "submit":
            cast.submission(task, author, next(seeds))
        case "undo":
            acts.undo(validator=person, task=task)
        case "unskip":
            acts.unskip(validator=person, task=task)
        case "stop" | "return":
            acts.set_banned(actor=owner, user=person, banned=deed == "stop", reason="a test")
        case "skip" | "release" | "take" | "run out":
            lease = acts.next_item(validator=person, task=task)
            if lease is None or deed == "take":
                return
            if deed == "run out":
                Lease.objects.filter(pk=lease.pk).update(expires_at="2020-01-01T00:00:00Z")
                acts.vote(validator=person, lease_id=lease.pk, label="0")
            acts.release(validator=person, lease_id=lease.pk, skip=deed == "skip")
        case "twice":
            if last := Vote.objects.filter(validator=person, lease__isnull=False).last():
                acts.vote(validator=person, lease_id=last.lease_id, label="0")
        case answer:
            _vote(person, task, answer)


def _vote(person: User, task: Task, answer: str) -> bool:
    lease = acts.next_item(validator=person, task=task)
    if lease is None:
        return False
    example = lease.example
    said = {"author": example.label, "model": example.prediction}.get(answer, answer)
    how = {"flag": said} if answer in (UNSURE, "spam") else {"label": said}
    acts.vote(validator=person, lease_id=lease.pk, **how)
    return True


def _check(task: Task, decided: dict[int, tuple[str, object]]) -> None:
    """A verdict stands whatever follows, and no example takes more votes than its cap."""
    assert task.config is not None
    cap = task.config.file.section("validation").rule.cap + CLOSER
    for example in task.examples.all():
        verdict = (example.status, example.final_label)
        if example.pk in decided:  # votes that come back with their voter change nothing any more
            assert decided[example.pk] == verdict
        else:
            assert Vote.objects.counted().filter(example=example).count() <= cap
        if example.status != Example.Status.OPEN:
            decided[example.pk] = verdict
        item = QueueItem.objects.filter(pk=example.pk).first()
        held = Lease.objects.filter(example=example, ended_at=None, gold=False).count()
        assert item is None or held == item.leases_active <= item.votes_wanted


def _people(kind: str, number: int) -> list[User]:
    """The same people each time, none of them banned any more."""
    names = [f"{kind}{place}" for place in range(number)]
    User.objects.filter(username__in=names).update(banned_at=None)
    return [
        User.objects.filter(username=name).first() or cast.person(name, "validator")
        for name in names
    ]


def _task(owner: User, name: str, policy: str) -> Task:
    slug = name.replace("_", "-")
    known = Task.objects.filter(slug=slug).first()
    rules = {"policy": policy, "sample": 0, "share_cap": 1, "gold_first": 0, "gold_later": 0}
    rules["picked"] = 1_000  # no lot decides who has work
    return known or cast.digits_task(owner, slug=slug, name=name, validation=rules)
