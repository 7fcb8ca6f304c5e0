"""Models that judge in shadow: asked, tested against people, watched; no voter sees them."""

from __future__ import annotations

import json
import random
import re
import threading
from collections.abc import Sequence
from contextlib import suppress
from functools import partial
from hashlib import sha256
from io import StringIO
from types import SimpleNamespace
from typing import Any

import pytest
from django.core.management import call_command
from django.db import IntegrityError, transaction
from django.db.models import QuerySet
from django.test import Client
from django.utils import timezone
from django_tasks_db.models import DBTaskResult

from accounts.imported import person_of_a_log
from accounts.models import User
from annotate.models import ModelVersion, Task
from annotate.rounds import register_model
from core.errors import Refused
from core.transactions import durable
from kinds import kind_named
from ml.backends import Answer, Down, Failed
from scoring.agreement import vote_counts
from tests import acts, cast
from tests.pins import Pins, shape
from tests.races import at_once
from training import judges, tasks
from training.judge_board import judges_of, row_of
from validate.acts import vote as votes
from validate.decisions import decision_on
from validate.hearing import hear
from validate.logs import import_log, log_lines
from validate.models import AuthorShare, Gold, Judge, JudgeAnswer, Reliability, Review, Vote
from validate.people.quarantine import follow_quarantines
from validate.policies import Outcome
from validate.verdicts import queue_for_votes

PAGE = "/tasks/texts/judges/"
OTHER = {"yes": "no", "no": "yes"}


def text_of(number: int) -> str:
    """One that is no copy of another."""
    made_up = sha256(str(number).encode()).hexdigest()
    return f"{made_up[:12]} {made_up[12:30]} {made_up[30:]} {number}"


def said_by(model: ModelVersion, text: str) -> str:
    from training.evaluations import opened

    (answer,) = opened(model).answer([kind_named("text").parse({"text": text})])
    return str(answer.label)


def bring(
    task: Task, judge: ModelVersion, numbers: Sequence[int], *, people: int = 3, wrong: float = 0.1
) -> None:
    """Claims about which people say what the judge says, but for so many; none votes: they wait."""
    rng, lines = random.Random(numbers[0]), []
    for number in numbers:
        right = said_by(judge, text_of(number))
        label = right if number % 4 else OTHER[right]
        lines.append(
            {"kind": "example", "id": f"e{number}", "round": 1, "author": f"w{number % 5}",
             "input": {"text": text_of(number)}, "label": label,
             "prediction": OTHER[label], "model": "reader"}
        )  # fmt: skip
        for person in range(people):
            vote = OTHER[right] if rng.random() < wrong else right
            lines.append(
                {"kind": "vote", "example": f"e{number}", "validator": f"v{person}", "label": vote}
            )
    done = import_log(task, lambda: [json.dumps(line).encode() for line in lines])
    assert not done.refused


@pytest.fixture
def world(owner: User) -> tuple[Task, ModelVersion, ModelVersion]:
    """Sixty claims that three people settled as one model says, a few otherwise; and two models."""
    task = cast.text_task(validation={"policy": "k_of_n", "n": 3, "k": 2})
    task.owners.add(owner)
    able, coin = cast.fixed_model(task, 1), cast.fixed_model(task, 2)
    bring(task, able, range(60))
    return task, able, coin


def run_job() -> dict[str, Any]:
    job = DBTaskResult.objects.filter(status="READY").latest("enqueued_at")
    found = tasks.run_judges.call(*job.args_kwargs["args"])
    DBTaskResult.objects.update(status="SUCCESSFUL")
    return dict(found)


def test_a_judge_earns_its_standing_and_loses_it_when_it_drifts(
    world: tuple[Task, ModelVersion, ModelVersion], client: Client, owner: User, pinned: Pins
) -> None:
    task, able, coin = world
    client.force_login(owner)
    assert "No judge yet" in client.get(PAGE).content.decode()
    serving = task.models.get(rounds__status="open")
    refused = client.post(f"{PAGE}add/", {"model": serving.name}, follow=True)
    assert "what people try to fool now" in refused.content.decode()
    made = {name: getattr(serving, name) for name in ("backend", "sha256", "config")}
    with durable():
        register_model(task=task, name="its twin", **made)
    refused = client.post(f"{PAGE}add/", {"model": "its twin"}, follow=True)
    assert "what people try to fool now" in refused.content.decode()

    # --- in shadow: asked by a worker, and nothing of it counts or is shown
    for model in (able, coin):
        client.post(f"{PAGE}add/", {"model": model.name})
    page = client.get(PAGE).content.decode()
    assert "A worker asks them" in page
    assert run_job() == {able.name: 60, coin.name: 60}
    assert run_job_again(task) == {able.name: 0, coin.name: 0}, "each is asked once"
    row = row_of(Judge.objects.get(model=able))
    assert (row.asked, row.unanswered, row.standing, row.turned) == (60, 0, "shadow", None)
    assert row.since.count / row.since.of > 0.9
    before = list(task.examples.values_list("status", "final_label"))

    # --- the test, with its why
    passed = client.post(f"{PAGE}{able.number}/test/", follow=True).content.decode()
    assert f"{able.name} passed: it is admitted" in passed
    failed = client.post(f"{PAGE}{coin.number}/test/", follow=True).content.decode()
    assert "one judge at a time" in failed
    row = row_of(Judge.objects.get(model=able))
    assert row.test is not None
    assert (row.standing, row.test.passed, row.test.winning_rate) == ("admitted", True, 1.0)
    assert {one.name for one in row.test.people} == {"v0", "v1", "v2"}
    assert row.ready == 0, "an item serves one test"
    assert before == list(task.examples.values_list("status", "final_label"))
    with pinned.queries("page judges/"):
        client.get(PAGE)

    # --- what waits, corrected for its errors
    bring(task, able, range(100, 140), people=0)
    tasks.ask_admitted_judges()
    run_job()
    row = row_of(Judge.objects.get(model=able))
    assert (row.waiting.count, row.waiting.of) == (30, 40)
    assert row.expected is not None
    assert row.expected.interval.low < 0.75 < row.expected.interval.high
    assert "people would confirm about" in client.get(PAGE).content.decode()
    tasks.ask_admitted_judges()
    assert not DBTaskResult.objects.filter(status="READY").exists(), "nothing came since"

    # --- what people settle otherwise from now on takes its standing away, though nothing is new
    bring(task, able, range(200, 230), people=0)
    tasks.ask_admitted_judges()
    assert run_job()[able.name] == 30
    bring(task, able, range(200, 230), wrong=1.0)
    tasks.ask_admitted_judges()
    assert not DBTaskResult.objects.filter(status="READY").exists()
    judge = Judge.objects.get(model=able)
    assert judge.standing == "demoted"
    assert "It agrees with people on 0 of 30 items" in judge.reason
    assert judge.reason in client.get(PAGE).content.decode()


def run_job_again(task: Task) -> dict[str, Any]:
    assert tasks.ask_judges(task)
    assert not tasks.ask_judges(task), "it waits already"
    return run_job()


def test_whoever_guesses_stays_in_shadow_and_is_not_tested_until_it_passes(
    world: tuple[Task, ModelVersion, ModelVersion],
    owner: User,
    capsys: Any,
    pinned: Pins,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    task, able, coin = world
    capsys.readouterr()
    call_command("judge", "texts", "--model", coin.name, "--test", "--json")
    summary = json.loads(capsys.readouterr().out.splitlines()[-1])
    pinned.same("commands", "judge texts", shape(summary))
    assert (summary["standing"], summary["tests"][0]["passed"]) == ("shadow", False)
    judge = Judge.objects.get()
    with pytest.raises(Refused, match="0 items so far"):
        judges.put_to_test(judge=judge)
    assert judges_of(task)[0].test is not None
    # Nor is another one with the same items, and what none can answer is asked once.
    other = judges.register_judge(task=task, name=able.name)
    judges.ask(other)
    with pytest.raises(Refused, match="0 items so far"):
        judges.put_to_test(judge=other)
    mute = judges.register_judge(task=task, name=cast.fixed_model(task, 4).name)
    monkeypatch.setattr(judges, "opened", lambda _: Mute(Down("Come back later.")))
    with pytest.raises(Down):
        judges.ask(mute)
    monkeypatch.setattr(judges, "opened", lambda _: Mute(Failed("Too long.")))
    assert [judges.ask(mute), judges.ask(mute)] == [60, 0]
    assert row_of(mute).unanswered == 60

    # --- an owner's word, and what the database refuses
    judge.standing, judge.voter = Judge.Standing.ADMITTED, cast.person("stand-in")
    judge.save()
    with pytest.raises(Refused, match="Say why"):
        judges.demote(judge=judge, reason=" ", actor=owner)
    voter = cast.person("another")
    other = Judge(task=task, model=cast.fixed_model(task, 3), standing="admitted", voter=voter)
    with pytest.raises(IntegrityError), transaction.atomic():
        other.save()
    JudgeAnswer.objects.all().delete()
    itself = {"judge": judge, "example": task.examples.first(), "asked": coin, "target": coin}
    with pytest.raises(IntegrityError), transaction.atomic():
        JudgeAnswer.objects.create(**itself)
    judges.demote(judge=judge, reason="It costs too much.", actor=owner)
    assert judge.standing == "demoted"


class Mute:
    """It answers nothing."""

    labels = ("yes", "no")

    def __init__(self, error: Exception) -> None:
        self._error = error

    def answer(self, inputs: Sequence[Any]) -> list[Answer]:
        raise self._error


class Swayed:
    """It says the label that it is told first, and of every third text what it reads."""

    is_told_labels = True

    def __init__(self, labels: Sequence[str]) -> None:
        self.labels = tuple(labels)

    def answer(self, inputs: Sequence[Any]) -> list[Answer]:
        read = [int(one.features["text"].split()[-1]) for one in inputs]
        return [Answer("yes" if number % 3 == 0 else self.labels[0]) for number in read]


def test_who_says_otherwise_when_the_labels_are_turned_round_has_said_nothing(
    world: tuple[Task, ModelVersion, ModelVersion], monkeypatch: pytest.MonkeyPatch
) -> None:
    task, able, _ = world
    monkeypatch.setattr(judges, "opened", lambda model: Swayed(model.config["labels"]))
    monkeypatch.setattr(judges, "open_model", lambda _, source: Swayed(source.config["labels"]))
    # It is not asked about known answers, nor about what it learned from.
    known, learned, *_ = task.examples.order_by("pk")[1:]
    Gold.objects.create(example=known, task=task, answer="yes")
    monkeypatch.setattr(judges, "taught_to", lambda _: {learned.pk})
    judges.ask(judges.register_judge(task=task, name=able.name))
    (row,) = judges_of(task)
    assert row.turned is not None
    assert (row.turned.count, row.turned.of, row.unanswered) == (38, 58, 0)
    assert row.upheld.of + row.refused.of == 20


def test_its_vote_follows_a_persons_within_its_share_and_is_undone_when_it_is_demoted(
    owner: User, annotator: User, validator: User, other_validator: User, tmp_path: Any
) -> None:
    validation = {"policy": "two_plus_one", "judge_share": 0.25}
    task = cast.text_task(validation=validation)
    task.owners.add(owner)
    able, people = cast.fixed_model(task, 1), (validator, other_validator)
    judge = Judge.objects.create(
        task=task, model=able, standing="admitted", voter=person_of_a_log("judge texts")
    )
    told = {"epsilon": 0.1, "items": 60, "winning_rate": 1, "advantage": 1, "left_out": 0}
    judge.tests.create(passed=True, report={**told, "people": [], "right": 60, "of": 60})
    for number in range(16):
        text = {"text": text_of(number)}
        label = said_by(able, text["text"])
        example = cast.submission(task, annotator, fooled=False, input=text, label=label)
        if not example.queued:  # one that did not fool
            with durable():
                queue_for_votes(hear(example.pk))
    judges.ask(judge)
    automatic = Vote.objects.filter(automatic=True, example__task=task)

    # --- each person in turn: never first, never above its share, and people are asked less
    asked, place = 0, 0
    while (lease := acts.next_item(validator=people[place % 2], task=task)) is not None:
        assert not automatic.filter(example=lease.example).exists() or (
            lease.example.votes.filter(automatic=False).exists()
        )
        acts.vote(validator=people[place % 2], lease_id=lease.pk, label=lease.example.label)
        asked, place = asked + 1, place + 1
        assert automatic.count() <= 0.25 * Vote.objects.count()
    for person in people:
        while (lease := acts.next_item(validator=person, task=task)) is not None:
            acts.vote(validator=person, lease_id=lease.pk, label=lease.example.label)
            asked += 1
    assert set(task.examples.values_list("status", flat=True)) == {"verified"}
    assert automatic.count() == 8
    assert asked == 24, "without it 32"
    assert {vote.validator for vote in automatic} == {judge.voter}
    assert not judges.settled_answers(judge).filter(example__in=automatic.values("example"))
    assert sum(vote_counts(task).answers.values()) == 24, "no part of how people agree"

    row = row_of(judge)
    assert (row.votes, row.ready) == (8, 8)
    claims = task.examples.filter(fooled=True)
    assert row.upheld.of == claims.exclude(votes__automatic=True).count() < claims.count()

    # --- a log says so, too: elsewhere they are no person's either
    names = {one.pseudonym: f"w{n}" for n, one in enumerate((annotator, *people))}
    lines = [re.sub("|".join(names), lambda it: names[it[0]], line) for line in log_lines(task)]
    there = cast.text_task(slug="there", name="There", validation=validation)
    more = {"kind": "vote", "example": str(automatic[0].example.uid), "validator": "judge-two"}
    read = [line.encode() for line in (*lines, json.dumps(more | {"label": "yes"}))]
    ((_, refused),) = import_log(there, lambda: read).refused
    assert "Another judge has voted" in refused
    assert there.examples.filter(votes__automatic=True).count() == 8
    assert list(log_lines(there)) == lines

    # --- a release says whose they are, and proves what they led to
    call_command("release", "texts", out=tmp_path / "out", version="1.0.0", stdout=StringIO())
    assert "24 votes" not in (tmp_path / "out" / "README.md").read_text()
    assert "8 of them, by models" in (tmp_path / "out" / "README.md").read_text()
    call_command("verify", str(tmp_path / "out"), stdout=StringIO())

    # --- demoted, its votes weigh nothing: what rests on them is the owner's to look at
    judges.demote(judge=judge, reason="It drifts.", actor=owner)
    assert follow_quarantines(task) == 1, "as it is done after the commit"
    assert not automatic.filter(dropped=False).exists()
    assert Review.objects.filter(kind=Review.Kind.QUARANTINE).count() == 8
    call_command("recompute", check=True, stdout=StringIO())
    copy = automatic.first()
    assert copy is not None
    copy.pk, copy.validator = None, owner
    with pytest.raises(IntegrityError), transaction.atomic():
        copy.save(force_insert=True)


def test_its_vote_is_looked_at_as_closely_as_a_persons_and_goes_with_the_one_that_it_followed(
    annotator: User, validator: User, other_validator: User
) -> None:
    task = cast.text_task(validation={"policy": "two_plus_one", "judge_share": 0.5, "sample": 1})
    able = cast.fixed_model(task, 1)
    judge = Judge.objects.create(task=task, model=able)
    text = {"text": "Not my cup of tea."}
    label = said_by(able, text["text"])
    example = cast.submission(task, annotator, fooled=False, input=text, label=label)
    judges.ask(judge)
    Judge.objects.update(standing="admitted", voter=person_of_a_log("judge texts"))
    # An author whom somebody of standing knows well, and enough people for a closer look.
    now = timezone.now()
    Reliability.objects.create(
        task=task, validator=other_validator, gold_seen=9, gold_right=9, answered_at=now
    )
    AuthorShare.objects.create(
        task=task, author=annotator, validator=other_validator, votes=99, agreed=99
    )
    for number in range(6):
        person = cast.person(f"crowd{number}", "validator")
        Reliability.objects.create(task=task, validator=person, answered_at=now)

    lease = cast.lease_for(validator, task)
    acts.vote(validator=validator, lease_id=lease.pk, label=label)
    example.refresh_from_db()
    assert Vote.objects.filter(automatic=True).count() == 1
    assert example.status == "open", "two who are right with .94 together are followed by one more"

    back = acts.undo(validator=validator, task=task)
    assert not Vote.objects.exists(), "a judge is never first"
    acts.vote(validator=validator, lease_id=back.pk, label=label)
    assert cast.answer(cast.person("xena", "validator"), task).status == "verified"
    assert AuthorShare.objects.get(validator__imported=True).votes == 1


def test_its_vote_follows_nobodys_who_has_no_standing(
    annotator: User, validator: User, other_validator: User
) -> None:
    """Who fools the judge would verify alone with an account of whom nothing is known."""
    rules = {"policy": "two_plus_one", "judge_share": 0.5, "sample": 1, "close_look": 0}
    task = cast.text_task(validation=rules)
    able = cast.fixed_model(task, 1)
    judge = Judge.objects.create(task=task, model=able)
    text = {"text": "Not my cup of tea."}
    label = said_by(able, text["text"])
    example = cast.submission(task, annotator, fooled=False, input=text, label=label)
    judges.ask(judge)
    Judge.objects.update(standing="admitted", voter=person_of_a_log("judge texts"))
    known = [other_validator, *(cast.person(f"known{number}", "validator") for number in range(3))]
    right = {"gold_seen": 9, "gold_right": 9, "answered_at": timezone.now()}
    for person in known:
        Reliability.objects.create(task=task, validator=person, **right)
    # An author whom these know: else the judge would give more than its share.
    AuthorShare.objects.create(
        task=task, author=annotator, validator=known[-1], votes=99, agreed=99
    )

    assert cast.answer(validator, task) == example
    assert not Vote.objects.filter(automatic=True).exists()
    example.refresh_from_db()
    assert example.status == "open"

    other = {"text": "Nor is it mine, or anybody's."}
    label = said_by(able, other["text"])
    second = cast.submission(task, annotator, fooled=False, input=other, label=label)
    judges.ask(judge)
    while second.status == "open":
        cast.answer(known[0], task)
        second.refresh_from_db()
    assert Vote.objects.get(automatic=True).example == second
    assert second.status == "verified"


def test_a_judges_vote_alone_decides_nothing(owner: User, annotator: User) -> None:
    task = cast.text_task(validation={"policy": "k_matching", "n": 1, "cap": 3})
    text = {"text": "Not my cup of tea."}
    example = cast.submission(task, annotator, fooled=False, input=text, label="no")
    alone = Vote(validator=owner, label="no", automatic=True)
    beside = Vote(validator=annotator, label="no")
    assert decision_on(example, [alone]).outcome is Outcome.PENDING
    assert decision_on(example, [beside, alone]).outcome is Outcome.VERIFIED
    beside.dropped = True
    assert decision_on(example, [beside, alone]).outcome is Outcome.PENDING


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("locked", [True, False])
def test_who_demotes_a_judge_waits_for_its_vote(
    owner: User, annotator: User, validator: User, monkeypatch: pytest.MonkeyPatch,
    on_postgres: bool, *, locked: bool,
) -> None:  # fmt: skip
    """Without the lock a vote that is under way keeps its weight for ever."""
    if not on_postgres:
        pytest.skip("SQLite has one writer at a time, whatever is locked")
    task = cast.text_task(validation={"policy": "two_plus_one", "judge_share": 0.5, "sample": 1})
    able = cast.fixed_model(task, 1)
    judge = Judge.objects.create(task=task, model=able)
    text = {"text": "Not my cup of tea."}
    cast.submission(task, annotator, fooled=False, input=text, label=said_by(able, text["text"]))
    judges.ask(judge)
    Judge.objects.update(standing="admitted", voter=cast.person("stand-in"))
    if not locked:
        monkeypatch.setattr(QuerySet, "select_for_update", lambda self, **_: self)
    voted, demoted, insert = threading.Event(), threading.Event(), votes._insert

    def insert_slowly(made: Vote, example: Any) -> None:
        insert(made, example)
        if made.automatic:
            voted.set()
            demoted.wait(0.5 if locked else cast.PATIENCE)

    def demote() -> None:
        voted.wait(cast.PATIENCE)
        judges.demote(judge=judge, reason="It drifts.", actor=owner)
        demoted.set()

    monkeypatch.setattr(votes, "_insert", insert_slowly)
    lease = cast.lease_for(validator, task)

    def vote() -> Vote:
        return acts.vote(validator=validator, lease_id=lease.pk, label=lease.example.label)

    outcomes = at_once([vote, demote])
    assert not [one for one in outcomes if isinstance(one, Exception)], outcomes
    assert Vote.objects.get(automatic=True).dropped == locked


@pytest.mark.django_db(transaction=True)
def test_of_two_that_pass_at_once_one_is_admitted_and_the_other_told(
    monkeypatch: pytest.MonkeyPatch, on_postgres: bool
) -> None:
    if not on_postgres:
        pytest.skip("SQLite has one writer at a time")
    task = cast.text_task()
    both = [
        Judge.objects.create(task=task, model=cast.fixed_model(task, number)) for number in (1, 2)
    ]
    told = {"epsilon": 0.1, "winning_rate": 1, "advantage": 1, "people": (), "left_out": ()}
    meet = threading.Barrier(2)

    def passes(*_: Any) -> Any:
        with suppress(threading.BrokenBarrierError):
            meet.wait(0.5)
        return SimpleNamespace(passed=True, items=60, **told)

    monkeypatch.setattr(judges, "alternative_test", passes)
    outcomes = at_once([partial(judges.put_to_test, judge=judge) for judge in both])
    (refused,) = [one for one in outcomes if isinstance(one, Exception)]
    assert isinstance(refused, Refused), refused
    assert refused.code == "another_judge"
