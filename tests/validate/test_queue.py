"""The queue: leases, votes, the latched verdict, undo, adjudication, bans."""

import json
from datetime import timedelta

import pytest
import time_machine
from django.db import IntegrityError, transaction
from django.utils import timezone

from accounts.models import Event, User
from annotate import services as annotation
from annotate.models import Example, Task
from annotate.queries import Participant
from core.errors import Conflict, Refused
from scoring.models import Tally
from tests import acts, cast
from validate.logs import import_log
from validate.models import AuthorShare, Lease, QueueItem, Vote


def test_two_agreeing_validators_verify(
    task: Task, annotator: User, validator: User, other_validator: User
) -> None:
    example = cast.submission(task, annotator)

    assert cast.answer(validator, task).status == Example.Status.OPEN
    assert cast.answer(other_validator, task).status == Example.Status.VERIFIED

    example.refresh_from_db()
    assert example.final_label == example.label
    assert not QueueItem.objects.exists()
    assert Tally.objects.get(author=annotator).verified == 1
    assert Event.objects.filter(verb="settled", object_id=example.pk).count() == 1


def test_a_third_is_asked_only_when_the_first_two_differ(
    task: Task, annotator: User, validator: User, other_validator: User, third_validator: User
) -> None:
    example = cast.submission(task, annotator)
    cast.answer(validator, task)
    cast.answer(other_validator, task, label=example.prediction)
    assert cast.answer(third_validator, task).status == Example.Status.VERIFIED


def test_nobody_is_asked_about_their_own(task: Task, validator: User) -> None:
    cast.submission(task, validator)
    assert acts.next_item(validator=validator, task=task) is None


def test_nobody_is_asked_twice(
    task: Task, annotator: User, validator: User, other_validator: User
) -> None:
    cast.submission(task, annotator)
    cast.answer(validator, task)
    assert acts.next_item(validator=validator, task=task) is None


def test_asking_again_gives_the_lease_that_is_held(
    task: Task, annotator: User, validator: User
) -> None:
    cast.submission(task, annotator, 1)
    cast.submission(task, annotator, 2)
    first = acts.next_item(validator=validator, task=task)
    assert acts.next_item(validator=validator, task=task) == first


def test_claimed_foolings_come_first(owner: User, annotator: User, validator: User) -> None:
    task = cast.digits_task(owner, validation={"policy": "two_plus_one", "sample": 1})
    cast.submission(task, annotator, 1, fooled=False)
    fooling = cast.submission(task, annotator, 2)

    lease = acts.next_item(validator=validator, task=task)

    assert lease is not None
    assert lease.example == fooling


def test_never_more_leases_than_useful_votes(
    task: Task, annotator: User, validator: User, other_validator: User, third_validator: User
) -> None:
    cast.submission(task, annotator)
    assert acts.next_item(validator=validator, task=task)
    assert acts.next_item(validator=other_validator, task=task)
    assert acts.next_item(validator=third_validator, task=task) is None
    with pytest.raises(IntegrityError), transaction.atomic():
        QueueItem.objects.update(leases_active=3)


def test_an_expired_lease_frees_its_place_and_its_vote_is_refused(
    task: Task, annotator: User, validator: User, other_validator: User, third_validator: User
) -> None:
    cast.submission(task, annotator)
    lost = acts.next_item(validator=validator, task=task)
    acts.next_item(validator=other_validator, task=task)
    assert lost is not None

    with time_machine.travel(timezone.now() + timedelta(minutes=5), tick=False):
        assert acts.next_item(validator=third_validator, task=task)
        with pytest.raises(Conflict) as refused:
            acts.vote(validator=validator, lease_id=lost.pk, label="3")

    assert refused.value.code == "lease_lost"
    assert not Vote.objects.exists()


def test_a_lease_of_somebody_else_is_no_licence(
    task: Task, annotator: User, validator: User, other_validator: User
) -> None:
    cast.submission(task, annotator)
    lease = acts.next_item(validator=validator, task=task)
    assert lease is not None
    with pytest.raises(Conflict):
        acts.vote(validator=other_validator, lease_id=lease.pk, label="3")


def test_the_same_vote_sent_again_is_one_vote(task: Task, annotator: User, validator: User) -> None:
    cast.submission(task, annotator)
    lease = acts.next_item(validator=validator, task=task)
    assert lease is not None

    first = acts.vote(validator=validator, lease_id=lease.pk, label="3")
    again = acts.vote(validator=validator, lease_id=lease.pk, label="3")

    assert first == again
    with pytest.raises(Conflict) as refused:
        acts.vote(validator=validator, lease_id=lease.pk, label="4")
    assert refused.value.code == "already_voted"
    assert Vote.objects.count() == 1


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        ({"label": "eleven"}, "unknown_label"),
        ({"flag": "boring"}, "unknown_flag"),
        ({}, "bad_vote"),
        ({"label": "3", "flag": "spam"}, "bad_vote"),
    ],
)
def test_a_bad_answer_keeps_the_lease(
    task: Task, annotator: User, validator: User, answer: dict[str, str], code: str
) -> None:
    cast.submission(task, annotator)
    lease = acts.next_item(validator=validator, task=task)
    assert lease is not None

    with pytest.raises(Refused) as refused:
        acts.vote(validator=validator, lease_id=lease.pk, **answer)

    assert refused.value.code == code
    assert not Vote.objects.exists()
    assert acts.next_item(validator=validator, task=task) == lease


def test_the_database_refuses_a_vote_on_ones_own_and_a_second_vote(
    task: Task, annotator: User, validator: User
) -> None:
    example = cast.submission(task, annotator)
    with pytest.raises(IntegrityError), transaction.atomic():
        Vote.objects.create(example=example, validator=annotator, author=annotator, label="3")
    Vote.objects.create(example=example, validator=validator, author=annotator, label="3")
    with pytest.raises(IntegrityError), transaction.atomic():
        Vote.objects.create(example=example, validator=validator, author=annotator, label="4")


def test_a_lease_on_ones_own_example_cannot_be_voted(task: Task, validator: User) -> None:
    example = cast.submission(task, validator)
    lease = Lease.objects.create(
        example=example, validator=validator, expires_at=timezone.now() + timedelta(minutes=1)
    )
    with pytest.raises(Refused) as refused:
        acts.vote(validator=validator, lease_id=lease.pk, label="3")
    assert (refused.value.code, refused.value.status) == ("own_example", 403)


def test_a_skipped_item_comes_back_only_when_asked_for(
    task: Task, annotator: User, validator: User
) -> None:
    cast.submission(task, annotator)
    lease = acts.next_item(validator=validator, task=task)
    assert lease is not None

    acts.release(validator=validator, lease_id=lease.pk, skip=True)
    assert acts.next_item(validator=validator, task=task) is None

    assert acts.unskip(validator=validator, task=task) == 1
    assert acts.next_item(validator=validator, task=task) is not None


def test_undo_takes_the_vote_back_and_asks_again(
    task: Task, annotator: User, validator: User, other_validator: User
) -> None:
    example = cast.submission(task, annotator)
    cast.answer(validator, task, label=example.prediction)

    lease = acts.undo(validator=validator, task=task)

    assert lease.example == example
    assert not Vote.objects.exists()
    acts.vote(validator=validator, lease_id=lease.pk, label=example.label)
    assert cast.answer(other_validator, task).status == Example.Status.VERIFIED


def test_undo_that_is_sent_again_takes_one_answer_back(
    task: Task, annotator: User, validator: User
) -> None:
    """As a page does that never heard the answer."""
    leases = []
    for seed in (1, 2, 3):
        cast.submission(task, annotator, seed)
        leases.append(cast.lease_for(validator, task))
        acts.vote(validator=validator, lease_id=leases[-1].pk, label="1")
    with pytest.raises(Conflict) as refused:
        acts.undo(validator=validator, task=task, answer=leases[1].pk)
    assert refused.value.code == "not_the_last"
    undone = acts.undo(validator=validator, task=task, answer=leases[2].pk)
    assert acts.undo(validator=validator, task=task, answer=leases[2].pk) == undone
    assert Vote.objects.count() == 2
    assert acts.undo(validator=validator, task=task, answer=leases[1].pk) != undone
    assert Vote.objects.count() == 1


def test_a_settled_example_cannot_be_undone(
    task: Task, annotator: User, validator: User, other_validator: User
) -> None:
    cast.submission(task, annotator)
    cast.answer(validator, task)
    cast.answer(other_validator, task)
    with pytest.raises(Conflict) as refused:
        acts.undo(validator=other_validator, task=task)
    assert refused.value.code == "settled"


def test_a_vote_after_the_verdict_is_surplus(
    task: Task, annotator: User, validator: User, owner: User
) -> None:
    example = cast.submission(task, annotator)
    lease = acts.next_item(validator=validator, task=task)
    assert lease is not None
    acts.adjudicate(actor=owner, example_id=example.pk, status="rejected", reason="illegible")

    vote = acts.vote(validator=validator, lease_id=lease.pk, label=example.label)

    assert vote.surplus
    example.refresh_from_db()
    assert example.status == Example.Status.REJECTED


def test_an_adjudication_needs_a_reason_and_an_owner(
    task: Task, annotator: User, validator: User, owner: User
) -> None:
    example = cast.submission(task, annotator)
    with pytest.raises(Refused) as no_reason:
        acts.adjudicate(actor=owner, example_id=example.pk, status="verified", reason=" ")
    with pytest.raises(Refused) as no_owner:
        acts.adjudicate(actor=validator, example_id=example.pk, status="verified", reason="x")
    assert (no_reason.value.code, no_owner.value.code) == ("reason_missing", "not_an_owner")


def test_statistics_follow_an_adjudication_by_the_difference(
    task: Task, annotator: User, owner: User, validator: User, other_validator: User
) -> None:
    example = cast.submission(task, annotator)
    cast.answer(validator, task)
    cast.answer(other_validator, task)

    acts.adjudicate(actor=owner, example_id=example.pk, status="rejected", reason="a scribble")
    tally = Tally.objects.get(author=annotator)
    assert (tally.verified, tally.rejected, tally.pending) == (0, 1, 0)

    acts.adjudicate(actor=owner, example_id=example.pk, status="open", reason="hasty")
    example.refresh_from_db()
    # The votes speak again, and had already decided.
    assert (example.status, example.adjudicated) == (Example.Status.VERIFIED, False)


def test_a_ban_takes_waiting_items_out_and_lifting_it_brings_them_back(
    task: Task, annotator: User, validator: User, owner: User
) -> None:
    cast.submission(task, annotator)

    acts.set_banned(actor=owner, user=annotator, banned=True, reason="spam")
    assert acts.next_item(validator=validator, task=task) is None

    acts.set_banned(actor=owner, user=annotator, banned=False, reason="a mistake")
    assert acts.next_item(validator=validator, task=task) is not None


def test_annotators_do_not_validate(task: Task, annotator: User, other_annotator: User) -> None:
    cast.submission(task, annotator)
    with pytest.raises(Refused) as refused:
        acts.next_item(validator=other_annotator, task=task)
    assert refused.value.status == 403


def test_a_task_may_open_its_queue_to_annotators(
    owner: User, annotator: User, other_annotator: User
) -> None:
    task = cast.digits_task(owner, validation={"policy": "two_plus_one", "open_to": "annotator"})
    cast.submission(task, annotator)
    assert acts.next_item(validator=other_annotator, task=task) is not None


def test_an_admin_is_not_banned_but_first_given_another_role(task: Task, owner: User) -> None:
    admin = cast.person("ada", "admin")
    with pytest.raises(Refused) as refused:
        acts.set_banned(actor=owner, user=admin, banned=True, reason="a quarrel")
    assert refused.value.code == "is_admin"


def test_only_an_owner_of_the_task_hides(task: Task, annotator: User) -> None:
    example = cast.submission(task, annotator)
    stranger = cast.person("otto", "owner")
    with pytest.raises(Refused) as refused:
        acts.set_hidden(actor=stranger, example_id=example.pk, hidden=True, reason="not mine")
    assert refused.value.code == "not_an_owner"


def test_what_an_owner_reopens_may_still_be_answered_by_who_holds_it(
    task: Task, annotator: User, validator: User, other_validator: User, owner: User
) -> None:
    example = cast.submission(task, annotator)
    lease = acts.next_item(validator=validator, task=task)
    assert lease is not None
    for status in ("rejected", "open"):
        acts.adjudicate(actor=owner, example_id=example.pk, status=status, reason="hasty")
    assert QueueItem.objects.get().leases_active == 1

    assert not acts.vote(validator=validator, lease_id=lease.pk, label=example.label).surplus
    assert cast.answer(other_validator, task).status == Example.Status.VERIFIED


def test_a_lease_on_what_an_owner_reopened_runs_out_like_any_other(
    task: Task, annotator: User, validator: User, other_validator: User, owner: User
) -> None:
    example = cast.submission(task, annotator)
    assert acts.next_item(validator=validator, task=task) is not None
    for status in ("rejected", "open"):
        acts.adjudicate(actor=owner, example_id=example.pk, status=status, reason="hasty")

    with time_machine.travel(timezone.now() + timedelta(hours=1)):
        assert acts.next_item(validator=other_validator, task=task) is not None
    assert QueueItem.objects.get().leases_active == 1


def test_a_surplus_vote_stays_surplus_when_an_owner_reopens_its_example(
    task: Task, annotator: User, validator: User, other_validator: User, third_validator: User,
    owner: User,
) -> None:  # fmt: skip
    """It was never weighed, and an owner who reopens asks for votes, not for what lies about."""
    example = cast.submission(task, annotator)
    leases = [cast.lease_for(person, task) for person in (validator, other_validator)]
    acts.adjudicate(actor=owner, example_id=example.pk, status="rejected", reason="hasty")
    late = acts.vote(validator=validator, lease_id=leases[0].pk, label=example.label)
    assert late.surplus

    acts.adjudicate(actor=owner, example_id=example.pk, status="open", reason="too hasty")

    late.refresh_from_db()
    assert late.surplus
    assert QueueItem.objects.get().votes_wanted == 2
    assert acts.next_item(validator=validator, task=task) is None
    acts.vote(validator=other_validator, lease_id=leases[1].pk, label=example.label)
    assert cast.answer(third_validator, task).status == Example.Status.VERIFIED


@pytest.mark.parametrize("by", ["author", "owner who hides it", "owner who settles it"])
def test_what_nobody_is_asked_about_any_more_is_not_shown_again(
    task: Task, annotator: User, validator: User, owner: User, by: str
) -> None:
    example = cast.submission(task, annotator)
    lease = acts.next_item(validator=validator, task=task)
    assert lease is not None
    match by:
        case "author":
            annotation.retract(participant=Participant(user=annotator), uid=example.uid)
        case "owner who hides it":
            acts.set_hidden(actor=owner, example_id=example.pk, hidden=True, reason="rude")
        case _:
            acts.adjudicate(actor=owner, example_id=example.pk, status="rejected", reason="x")

    assert acts.next_item(validator=validator, task=task) is None
    assert acts.vote(validator=validator, lease_id=lease.pk, label=example.label).surplus


def test_an_answer_on_what_was_hidden_is_not_taken_back(
    task: Task, annotator: User, validator: User, owner: User
) -> None:
    example = cast.submission(task, annotator)
    cast.answer(validator, task)
    acts.set_hidden(actor=owner, example_id=example.pk, hidden=True, reason="rude")

    with pytest.raises(Conflict) as refused:
        acts.undo(validator=validator, task=task)

    assert refused.value.code == "withdrawn"
    assert Vote.objects.count() == 1


def test_a_vote_of_a_log_takes_a_place_from_who_came_last(
    task: Task, annotator: User, validator: User, other_validator: User
) -> None:
    example = cast.submission(task, annotator)
    first = acts.next_item(validator=validator, task=task)
    second = acts.next_item(validator=other_validator, task=task)
    assert first is not None
    assert second is not None
    line = {"kind": "vote", "example": str(example.uid), "validator": "v9", "label": example.label}

    outcome = import_log(task, lambda: [json.dumps(line).encode()])

    assert (outcome.summary.new_votes, outcome.mistakes) == (1, [])
    assert QueueItem.objects.values_list("votes_wanted", "leases_active").get() == (1, 1)
    with pytest.raises(Conflict) as lost:
        acts.vote(validator=other_validator, lease_id=second.pk, label=example.label)
    assert lost.value.code == "lease_lost"
    acts.vote(validator=validator, lease_id=first.pk, label=example.label)
    example.refresh_from_db()
    assert example.status == Example.Status.VERIFIED


def test_a_set_of_labels_is_the_same_in_any_order(owner: User) -> None:
    task = cast.digits_task(
        owner,
        slug="topics",
        input="text_multilabel",
        comparator={"rule": "label_set"},
        validation={"policy": "k_matching", "n": 2},
    )
    lines = [
        {
            "kind": "example", "id": "1", "round": 1, "author": "ada", "model": "m",
            "input": {"text": "A tax on beetroot."}, "label": ["1", "2"], "prediction": ["1"],
        },
        {"kind": "vote", "example": "1", "validator": "bob", "label": ["2", "1"]},
        {"kind": "vote", "example": "1", "validator": "eve", "label": ["1", "2", "1"]},
    ]  # fmt: skip
    import_log(task, lambda: [json.dumps(line).encode() for line in lines])
    assert Example.objects.get(task=task).status == Example.Status.VERIFIED
    assert {share.agreed for share in AuthorShare.objects.all()} == {1}
