"""Gold: drawn at random places, treated as any other item, and never decides anything."""

import json
from collections import Counter
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
import time_machine
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from accounts.models import Event, User
from annotate import services as annotation
from annotate import submissions
from annotate.context_files import Row
from annotate.contexts import load_contexts, next_context
from annotate.models import Example, Task
from annotate.queries import Participant
from core.errors import Conflict, Refused
from tests import acts, cast
from validate import known_answers
from validate.acts import gold
from validate.acts import lease as leases
from validate.acts import undo as undoing
from validate.config import ValidationSettings
from validate.models import Gold, Lease, QueueItem, Reliability, Vote
from validate.queries import progress_of


def gold_lines(*answers: str) -> list[bytes]:
    return [
        json.dumps({"input": cast.drawing(1_000 + seed), "answer": answer}).encode()
        for seed, answer in enumerate(answers)
    ]


@pytest.fixture
def always_gold(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every item but the first is gold's turn."""
    monkeypatch.setattr(leases, "is_gold_turn", lambda _, answered: answered > 0)


@pytest.fixture
def with_gold(task: Task, owner: User) -> Task:
    gold.load_gold(actor=owner, task=task, lines=gold_lines("1", "2", "3"))
    return task


def reach_gold(person: User, task: Task, author: User) -> Lease:
    """Answer one item, so that gold comes next."""
    for seed in (1, 2, 3):
        cast.submission(task, author, seed)
    cast.answer(person, task)
    lease = cast.lease_for(person, task)
    assert lease.gold
    return lease


def test_uploaded_gold_counts_nowhere(with_gold: Task, owner: User) -> None:
    assert Gold.objects.count() == 3
    assert Example.objects.counted().count() == 0
    assert not QueueItem.objects.exists()
    again = gold.load_gold(actor=owner, task=with_gold, lines=gold_lines("1", "2", "4"))
    assert (again.new, again.known) == (0, 3)
    assert sorted(Gold.objects.values_list("answer", flat=True)) == ["1", "2", "4"]


def test_lines_that_are_no_gold_are_refused_with_their_number(task: Task, owner: User) -> None:
    lines = [b"{", b"", *gold_lines("eleven"), *gold_lines("3")]
    outcome = gold.load_gold(actor=owner, task=task, lines=lines)
    assert (outcome.new, len(outcome.refused)) == (1, 2)
    assert outcome.mistakes[1].startswith("line 3: ")


def test_only_owners_make_gold(task: Task, annotator: User, validator: User) -> None:
    example = cast.submission(task, annotator)
    with pytest.raises(Refused):
        gold.mark_gold(actor=validator, example_id=example.pk, answer="1")
    with pytest.raises(Refused):
        gold.load_gold(actor=validator, task=task, lines=gold_lines("1"))


def test_an_open_example_made_gold_is_settled_and_reopening_it_retires_the_gold(
    task: Task, annotator: User, owner: User
) -> None:
    example = cast.submission(task, annotator)
    gold.mark_gold(actor=owner, example_id=example.pk, answer=example.label)
    example.refresh_from_db()
    assert (example.status, example.adjudicated) == (Example.Status.VERIFIED, True)
    assert not QueueItem.objects.exists()

    acts.adjudicate(actor=owner, example_id=example.pk, status="open", reason="unsure after all")
    assert Gold.objects.get().retired_at is not None
    assert QueueItem.objects.get().leases_active == 0


def test_gold_is_never_first_and_its_vote_moves_reliability_alone(
    with_gold: Task, annotator: User, validator: User, always_gold: None
) -> None:
    lease = reach_gold(validator, with_gold, annotator)
    answer = Gold.objects.get(pk=lease.example_id).answer

    vote = acts.vote(validator=validator, lease_id=lease.pk, label=answer)

    assert (vote.purpose, vote.credit, vote.surplus) == (Vote.Purpose.GOLD, 1, False)
    row = Reliability.objects.get(validator=validator)
    assert (row.alpha, row.beta, row.scored) == (9, 2, 1)
    assert (row.gold_seen, row.gold_right, row.answered) == (1, 1, 2)
    lease.example.refresh_from_db()
    assert lease.example.status == Example.Status.OPEN


def test_no_gold_twice_and_none_of_ones_own(
    with_gold: Task, annotator: User, validator: User, owner: User, always_gold: None
) -> None:
    seen = [reach_gold(validator, with_gold, annotator)]
    for _ in range(2):
        acts.vote(validator=validator, lease_id=seen[-1].pk, label="1")
        seen.append(cast.lease_for(validator, with_gold))
    assert len({lease.example_id for lease in seen}) == 3
    acts.vote(validator=validator, lease_id=seen[-1].pk, label="1")
    assert not cast.lease_for(validator, with_gold).gold
    cast.answer(owner, with_gold)
    assert not cast.lease_for(owner, with_gold).gold


def test_an_empty_queue_stays_empty_with_gold_left(
    with_gold: Task, annotator: User, validator: User, always_gold: None
) -> None:
    cast.submission(with_gold, annotator)
    cast.answer(validator, with_gold)
    assert acts.next_item(validator=validator, task=with_gold) is None


def test_gold_that_was_given_back_or_ran_out_comes_again(
    with_gold: Task, annotator: User, validator: User, always_gold: None,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    """As any other item does: otherwise giving back would tell the two apart."""
    lease = reach_gold(validator, with_gold, annotator)
    monkeypatch.setattr(leases, "is_gold_turn", lambda *_: False)
    acts.release(validator=validator, lease_id=lease.pk)
    again = cast.lease_for(validator, with_gold)
    assert again.example_id == lease.example_id
    with time_machine.travel(timezone.now() + timedelta(minutes=5), tick=False):
        with pytest.raises(Conflict):
            acts.vote(validator=validator, lease_id=again.pk, label="1")
        assert cast.lease_for(validator, with_gold).example_id == lease.example_id


def test_skipped_gold_is_counted_and_comes_back_as_any_item(
    with_gold: Task, annotator: User, validator: User, always_gold: None
) -> None:
    lease = reach_gold(validator, with_gold, annotator)
    acts.release(validator=validator, lease_id=lease.pk, skip=True)
    assert progress_of(validator, with_gold)["skipped"] == 1
    assert cast.lease_for(validator, with_gold).example_id != lease.example_id
    assert acts.unskip(validator=validator, task=with_gold) == 1


def test_an_answer_to_gold_can_be_taken_back(
    with_gold: Task, annotator: User, validator: User, always_gold: None
) -> None:
    lease = reach_gold(validator, with_gold, annotator)
    acts.vote(validator=validator, lease_id=lease.pk, label="9")

    again = acts.undo(validator=validator, task=with_gold)

    assert (again.example_id, again.gold) == (lease.example_id, True)
    row = Reliability.objects.get(validator=validator)
    assert (row.alpha, row.beta, row.scored, row.gold_seen, row.answered) == (8, 2, 0, 0, 1)


def hide(lease: Lease, owner: User) -> None:
    acts.set_hidden(example_id=lease.example_id, actor=owner, hidden=True, reason="personal")


def test_an_answer_to_gold_that_was_hidden_or_retired_stands(
    with_gold: Task, annotator: User, validator: User, owner: User, always_gold: None
) -> None:
    lease = reach_gold(validator, with_gold, annotator)
    acts.vote(validator=validator, lease_id=lease.pk, label="9")
    hide(lease, owner)
    with pytest.raises(Conflict) as refused:
        acts.undo(validator=validator, task=with_gold)
    assert refused.value.code == "withdrawn"
    gold.retire_gold(actor=owner, example_id=lease.example_id)
    with pytest.raises(Conflict) as refused:
        acts.undo(validator=validator, task=with_gold)
    assert refused.value.code == "settled"
    assert Vote.objects.filter(example=lease.example_id).exists()


def test_gold_that_is_hidden_is_held_by_nobody(
    with_gold: Task, annotator: User, validator: User, owner: User, always_gold: None
) -> None:
    lease = reach_gold(validator, with_gold, annotator)
    hide(lease, owner)
    assert cast.lease_for(validator, with_gold).example_id != lease.example_id


def test_retracted_gold_is_asked_of_nobody(
    task: Task, annotator: User, validator: User, owner: User, always_gold: None
) -> None:
    known = cast.submission(task, annotator, 9)
    gold.mark_gold(actor=owner, example_id=known.pk, answer=known.label)
    annotation.retract(participant=Participant(user=annotator), uid=known.uid)
    for seed in (1, 2):
        cast.submission(task, annotator, seed)
    cast.answer(validator, task)
    assert not cast.lease_for(validator, task).gold


def test_two_gold_items_in_a_row_are_both_to_be_answered(
    with_gold: Task, annotator: User, validator: User, always_gold: None,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    first = reach_gold(validator, with_gold, annotator)
    second = acts.next_item(validator=validator, task=with_gold, after=first.pk)
    assert second is not None
    assert second.gold
    acts.vote(validator=validator, lease_id=first.pk, label="1")
    acts.release(validator=validator, lease_id=second.pk)
    monkeypatch.setattr(leases, "is_gold_turn", lambda *_: False)
    assert cast.lease_for(validator, with_gold).example_id == second.example_id


@pytest.mark.parametrize(("flag", "scored"), [("unsure", 0), ("spam", 1)])
def test_accusing_gold_is_wrong_and_being_unsure_is_not(
    with_gold: Task, annotator: User, validator: User, always_gold: None, flag: str, scored: int
) -> None:
    lease = reach_gold(validator, with_gold, annotator)
    acts.vote(validator=validator, lease_id=lease.pk, flag=flag)
    row = Reliability.objects.get(validator=validator)
    assert (row.scored, row.gold_right) == (scored, 0)


def test_shares_are_ten_percent_of_the_first_fifty_and_then_five() -> None:
    settings = ValidationSettings()
    assert [settings.gold_share(n) for n in (0, 1, 49, 50, 5_000)] == [0, 0.1, 0.1, 0.05, 0.05]
    turns = Counter(known_answers.is_gold_turn(settings, 10) for _ in range(5_000))
    assert 0.075 < turns[True] / 5_000 < 0.125  # six deviations


# --- invisible ------------------------------------------------------------------------------------
def ask(client: Client, task: Task) -> tuple[dict[str, Any], int]:
    with CaptureQueriesContext(
        connection,
    ) as queries:
        response = client.post(f"/api/v1/tasks/{task.slug}/validations/next/")
    assert response.status_code == 200
    return response.json(), len(queries)


def answer(client: Client, lease: str) -> tuple[dict[str, Any], int]:
    with CaptureQueriesContext(connection) as queries:
        response = client.post(
            f"/api/v1/validations/{lease}/vote/", {"label": "1"}, content_type="application/json"
        )
    assert response.status_code == 200, response.content
    return response.json(), len(queries)


def test_gold_looks_and_costs_like_any_other_item(
    with_gold: Task, annotator: User, validator: User, client: Client,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    for seed in range(8):
        cast.submission(with_gold, annotator, seed)
    client.force_login(validator)
    turn = {"gold": False}
    monkeypatch.setattr(leases, "is_gold_turn", lambda *_: turn["gold"])
    first, _ = ask(client, with_gold)
    answer(client, first["lease"])
    acts.release(validator=validator, lease_id=Lease.objects.get(ended_at=None).pk)

    plain, plain_queries = ask(client, with_gold)
    acts.release(validator=validator, lease_id=plain["lease"])
    turn["gold"] = True
    golden, gold_queries = ask(client, with_gold)

    assert Lease.objects.get(pk=golden["lease"]).gold
    assert golden.keys() == plain.keys()
    assert golden["progress"] == plain["progress"]
    assert golden["choices"] == plain["choices"]
    assert abs(gold_queries - plain_queries) <= 1, (gold_queries, plain_queries)

    turn["gold"] = False
    after_gold, gold_cost = answer(client, golden["lease"])
    after_plain, plain_cost = answer(client, after_gold["next"]["lease"])
    assert after_gold.keys() == after_plain.keys()
    assert after_gold["progress"]["waiting"] == after_plain["progress"]["waiting"] == "few"
    assert abs(gold_cost - plain_cost) <= 1, (gold_cost, plain_cost)


def test_being_refused_an_undo_does_not_tell_that_an_item_was_no_gold(
    with_gold: Task, annotator: User, validator: User, other_validator: User, always_gold: None,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    """What settles an example cannot be taken back; so as many answers to gold cannot either."""
    lease = reach_gold(validator, with_gold, annotator)
    acts.vote(validator=validator, lease_id=lease.pk, label="1")
    Vote.objects.update(hasty=False)  # what is hasty settles nothing
    monkeypatch.setattr(undoing, "_share_that_settles", lambda _: 1.0)
    with pytest.raises(Conflict, match="it stands"):
        acts.undo(validator=validator, task=with_gold)
    monkeypatch.setattr(undoing, "_share_that_settles", lambda _: 0.0)
    assert acts.undo(validator=validator, task=with_gold).example_id == lease.example_id


def test_who_always_comes_second_is_refused_as_often_on_gold_as_on_the_rest(
    task: Task, annotator: User, validator: User, other_validator: User
) -> None:
    for seed in range(12):
        cast.submission(task, annotator, seed)
    for _ in range(12):
        first = cast.lease_for(other_validator, task)
        acts.vote(validator=other_validator, lease_id=first.pk, label=first.example.label)
        cast.answer(validator, task)
    Vote.objects.update(hasty=False, dropped=False)
    assert Example.objects.exclude(status=Example.Status.OPEN).count() == 12

    quick, second = (
        undoing._share_that_settles(Vote.objects.filter(validator=one).latest("id"))
        for one in (other_validator, validator)
    )
    assert (quick, second) == (0, 1), "who only begins can take back every ordinary answer"


# --- qualification --------------------------------------------------------------------------------
@pytest.fixture
def qualifying_task(owner: User, annotator: User) -> Task:
    task = cast.digits_task(
        owner,
        validation={"policy": "two_plus_one", "gold_first": 0, "qualification": {"items": 2}},
    )
    gold.load_gold(actor=owner, task=task, lines=gold_lines("1", "1", "1"))
    cast.submission(task, annotator)
    return task


def test_first_items_qualify_with_feedback(
    qualifying_task: Task, validator: User, client: Client
) -> None:
    client.force_login(validator)
    item, _ = ask(client, qualifying_task)
    body, _ = answer(client, item["lease"])
    assert body["feedback"] == {
        "right": True,
        "answer": "1",
        "qualification": {"seen": 1, "right": 1, "items": 2, "needed": 2, "passed": False},
    }
    with pytest.raises(Conflict):
        acts.undo(validator=validator, task=qualifying_task)
    body, _ = answer(client, body["next"]["lease"])
    assert Reliability.objects.get(validator=validator).qualified_at is not None
    assert not Lease.objects.get(pk=body["next"]["lease"]).gold
    assert Event.objects.filter(verb="qualified").count() == 1
    assert "feedback" not in answer(client, body["next"]["lease"])[0]


def test_a_test_answer_is_not_taken_back(owner: User, annotator: User, validator: User) -> None:
    """Not even when its example was reopened, so that votes on it count."""
    task = cast.digits_task(
        owner, validation={"policy": "two_plus_one", "qualification": {"items": 1, "minimum": 0}}
    )
    known = cast.submission(task, annotator)
    gold.mark_gold(actor=owner, example_id=known.pk, answer=known.label)
    cast.answer(validator, task)
    acts.adjudicate(actor=owner, example_id=known.pk, status="open", reason="unclear")
    with pytest.raises(Conflict):
        acts.undo(validator=validator, task=task)


def test_below_the_minimum_nobody_validates(
    qualifying_task: Task, validator: User, client: Client
) -> None:
    client.force_login(validator)
    lease: Lease | None = cast.lease_for(validator, qualifying_task)
    for _ in range(2):
        assert lease is not None
        last = {"validator": validator, "lease_id": lease.pk, "label": "2"}
        vote, lease, _ = acts.vote_and_go_on(**last)
        assert vote.purpose == Vote.Purpose.QUALIFICATION
    assert lease is None
    assert Vote.objects.filter(validator=validator).count() == 2  # the last one counts all the same
    assert acts.vote_and_go_on(**last)[:2] == (vote, None)
    with pytest.raises(Refused) as refused:
        acts.next_item(validator=validator, task=qualifying_task)
    assert refused.value.code == "not_qualified"
    assert "0 of the 2" in refused.value.message


def texts_about_contexts(owner: User) -> Task:
    task = cast.text_task(validation={"policy": "two_plus_one", "sample": 0})
    task.owners.add(owner)
    row = {"text": "It rained on Sunday.", "title": "The week", "answer": "no"}
    load_contexts(task=task, rows=[Row(1, row)])
    return task


def test_gold_is_about_a_context_of_the_task_as_all_else_is(owner: User) -> None:
    task = texts_about_contexts(owner)
    lines = [
        {"input": {"text": "I got wet."}, "answer": "yes"},
        {"input": {"text": "I got wet."}, "context": "It rained on Sunday.", "answer": "yes"},
        {"input": {"text": "I stayed dry."}, "context": "Something else.", "answer": "no"},
    ]
    outcome = gold.load_gold(
        actor=owner, task=task, lines=[json.dumps(line).encode() for line in lines]
    )
    assert outcome.new == 2
    assert 'Say in "context" what it is about' in str(outcome.mistakes)
    first, second = Gold.objects.select_related("example__context").order_by("pk")
    assert first.example.context == task.contexts.get(offered=True)
    assert second.example.context is not None
    assert second.example.context.data == "Something else."


def test_validators_are_told_the_title_and_text_of_a_context(
    owner: User, annotator: User, validator: User
) -> None:
    """Another column of it may be the answer."""
    task = texts_about_contexts(owner)
    given = next_context(participant=Participant(user=annotator), task=task)
    assert given is not None
    text = {"text": "I got wet."}
    label = "no" if cast.prediction(task, text) == "yes" else "yes"
    submissions.submit(
        participant=Participant(user=annotator),
        task_id=task.pk,
        client_id=uuid4(),
        input=text,
        label=label,
        context=str(given.context.uid),
    )
    client = Client()
    client.force_login(validator)
    item = client.post(f"/api/v1/tasks/{task.slug}/validations/next/").json()
    assert item["context"] == {"title": "The week", "context": "It rained on Sunday."}
