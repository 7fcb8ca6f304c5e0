"""The owner's inbox: what is in it, what an owner decides there, and how that is taken back."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from typing import Any

import pytest
from django.test import Client

from accounts.models import Event, User
from annotate.models import Example, Task
from core.errors import Conflict, Refused
from scoring.models import Tally
from scoring.recount import check
from tests import cast
from tests.pins import Pins
from validate import inbox
from validate.acts import adjudicate
from validate.models import QueueItem, Review

Ambiguous = Callable[..., Example]


@pytest.fixture
def ambiguous(
    task: Task,
    annotator: User,
    validator: User,
    other_validator: User,
    third_validator: User,
) -> Ambiguous:
    """Make an example on which three validators say three things."""

    def make(seed: int = 1) -> Example:
        example = cast.submission(task, annotator, seed)
        others = [digit for digit in cast.DIGITS if digit != example.label]
        cast.answer(validator, task, example.label)
        cast.answer(other_validator, task, others[0])
        return cast.answer(third_validator, task, others[1])

    return make


def waiting(task: Task, **only: Any) -> list[Example]:
    found, _ = inbox.cases(inbox.open_reviews(task, **only))
    return [case.example for case in found]


def decide(owner: User, example: Example, act: str, **more: Any) -> Example:
    fields = {"reason": "Looked at it.", **more}
    adjudicate.decide(actor=owner, task=example.task, uid=example.uid, act=act, **fields)
    example.refresh_from_db()
    return example


def take_back(owner: User, example: Example) -> Example:
    adjudicate.take_back(actor=owner, task=example.task, uid=example.uid, reason="A slip.")
    example.refresh_from_db()
    return example


def fates(task: Task) -> dict[str, int]:
    tally = Tally.objects.get(round__task=task)
    return {name: getattr(tally, name) for name in ("verified", "rejected", "relabelled",
                                                    "ambiguous", "flagged", "withdrawn")
            if getattr(tally, name)}  # fmt: skip


def test_what_votes_left_unclear_waits_with_all_that_was_said(
    task: Task, annotator: User, ambiguous: Ambiguous
) -> None:
    cast.submission(task, annotator, 2)  # nobody has voted: not the owner's business
    example = ambiguous()
    found, more = inbox.cases(inbox.open_reviews(task))
    assert [case.example for case in found] == [example]
    assert [review.kind for review in found[0].reviews] == ["ambiguous"]
    assert [vote.validator.username for vote in found[0].votes] == ["vera", "wim", "xena"]
    assert more is None
    assert waiting(task, kind="flagged") == waiting(task, round_number=2) == []
    assert waiting(task, kind="ambiguous", round_number=1) == [example]


@pytest.mark.parametrize(
    ("act", "status"),
    [("verify", "verified"), ("reject", "rejected"), ("relabel", "relabelled"), ("hide", None)],
)
def test_a_decision_counts_at_once_and_undo_restores_what_was(
    task: Task, owner: User, ambiguous: Ambiguous, act: str, status: str | None
) -> None:
    example = ambiguous()
    was = (example.status, example.final_label, example.adjudicated, example.hidden_at)
    other = next(digit for digit in cast.DIGITS if digit != example.label)
    assert fates(task) == {"ambiguous": 1}

    decide(owner, example, act, label=other if act == "relabel" else None)
    assert waiting(task) == []
    assert fates(task) == {status or "withdrawn": 1}
    if act == "relabel":
        assert example.final_label == other
    event = Event.objects.filter(object_id=str(example.pk)).latest("id")
    assert event.actor == owner
    assert event.data["reason"] == "Looked at it."

    take_back(owner, example)
    assert (example.status, example.final_label, example.adjudicated, example.hidden_at) == was
    assert fates(task) == {"ambiguous": 1}
    assert waiting(task) == [example]
    assert Event.objects.filter(object_id=str(example.pk)).latest("id").actor == owner
    assert check().agrees


def test_relabelling_with_the_authors_own_label_verifies(owner: User, ambiguous: Ambiguous) -> None:
    example = ambiguous()
    decide(owner, example, "relabel", label=example.label)
    assert (example.status, example.final_label) == ("verified", example.label)


def test_deciding_twice_and_undoing_twice_is_refused(owner: User, ambiguous: Ambiguous) -> None:
    example = ambiguous()
    decide(owner, example, "verify")
    with pytest.raises(Conflict, match="meanwhile"):
        decide(owner, example, "reject")
    take_back(owner, example)
    with pytest.raises(Conflict, match="no decision"):
        take_back(owner, example)
    assert decide(owner, example, "reject").status == "rejected"
    assert take_back(owner, example).status == "ambiguous"


def test_an_audit_is_asked_again_when_its_answer_is_taken_back(
    task: Task, owner: User, annotator: User, validator: User, other_validator: User
) -> None:
    example = cast.submission(task, annotator)
    cast.answer(validator, task)
    example = cast.answer(other_validator, task)
    settled_at = example.settled_at
    assert settled_at is not None
    Review.objects.create(example=example, task=task, kind="audit", reason="Probably a 4.")
    assert decide(owner, example, "reject").status == "rejected"
    take_back(owner, example)
    assert (example.status, example.final_label) == ("verified", example.label)
    assert example.settled_at is not None
    assert abs((example.settled_at - settled_at).total_seconds()) < 1
    (review,) = Review.objects.filter(example=example, closed_at=None)
    assert (review.kind, review.reason) == ("audit", "Probably a 4.")
    assert not QueueItem.objects.exists()
    assert check().agrees


def test_what_two_people_flag_waits_with_their_reasons(
    task: Task, owner: User, annotator: User, validator: User, other_validator: User
) -> None:
    cast.submission(task, annotator)
    cast.answer(validator, task, flag="spam")
    example = cast.answer(other_validator, task, flag="unreadable")
    assert waiting(task, kind="flagged") == [example]
    decide(owner, example, "hide")
    assert take_back(owner, example).status == "flagged"
    assert waiting(task, kind="flagged") == [example]


@pytest.mark.django_db(transaction=True)
def test_what_was_hidden_comes_back_with_its_question_or_not_at_all(
    task: Task, owner: User, ambiguous: Ambiguous, monkeypatch: pytest.MonkeyPatch
) -> None:
    example = ambiguous()
    decide(owner, example, "hide")

    def broken(*_: object) -> None:
        raise RuntimeError("The power went.")

    monkeypatch.setattr(adjudicate, "_open_again", broken)
    with pytest.raises(RuntimeError):
        take_back(owner, example)
    example.refresh_from_db()
    assert example.hidden_at is not None
    assert waiting(task) == []


def test_only_an_owner_of_the_task_decides_and_takes_back(
    validator: User, owner: User, ambiguous: Ambiguous
) -> None:
    example = ambiguous()
    with pytest.raises(Refused, match="Only an owner"):
        decide(validator, example, "verify")
    decide(owner, example, "verify")
    with pytest.raises(Refused, match="Only an owner"):
        take_back(validator, example)


def test_nothing_is_decided_without_a_reason_or_a_label(owner: User, ambiguous: Ambiguous) -> None:
    example = ambiguous()
    for act, more in (
        ("verify", {"reason": " "}),
        ("verify", {"reason": "x" * 1001}),
        ("relabel", {}),
        ("relabel", {"label": "eleven"}),
        ("delete", {}),
    ):
        with pytest.raises(Refused):
            decide(owner, example, act, **more)
    assert Example.objects.get().status == "ambiguous"


def test_many_at_once_say_which_could_not_be(task: Task, owner: User, ambiguous: Ambiguous) -> None:
    one, two = ambiguous(1), ambiguous(2)
    decide(owner, one, "verify")
    stranger = uuid.uuid4()
    outcome = adjudicate.decide_all(
        actor=owner,
        task=task,
        uids=[one.uid, two.uid, stranger, two.uid],
        act="reject",
        reason="A scribble.",
    )
    assert outcome.done == (two.uid,)
    assert outcome.refused.keys() == {one.uid, stranger}
    with pytest.raises(Refused, match="at least one"):
        adjudicate.decide_all(actor=owner, task=task, uids=[], act="verify", reason="So.")
    with pytest.raises(Refused, match="at most"):
        adjudicate.take_back_all(
            actor=owner, task=task, uids=[uuid.uuid4() for _ in range(101)], reason="So."
        )


# --- pages ----------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("act", "status", "hidden"),
    [
        ("verify", "verified", False),
        ("reject", "rejected", False),
        ("label:3", "relabelled", False),
        ("hide", "open", True),
    ],
)
def test_any_example_is_decided_and_taken_back_on_a_page_of_its_own(
    client: Client, task: Task, owner: User, annotator: User, act: str, status: str, hidden: bool
) -> None:
    """Nobody has voted on it, so that it waits in no inbox."""
    example = cast.submission(task, annotator)
    client.force_login(owner)
    page = f"/tasks/digits/inbox/{example.uid}/"
    assert "It does not wait in your inbox" in client.get(page).content.decode()
    assert "Say why" in client.post(page, {"act": act}, follow=True).content.decode()

    said = client.post(page, {"act": act, "reason": "Seen."}, follow=True).content.decode()
    assert "Done." in said
    example.refresh_from_db()
    assert (example.status, example.hidden_at is not None) == (status, hidden)
    again = "restore" if hidden else "reopen"
    for undo in ({"act": "take-back"}, {"act": act, "reason": "Seen."}, {"act": again}):
        client.post(page, {"reason": "Seen again.", **undo})
    example.refresh_from_db()
    assert (example.status, example.hidden_at) == ("open", None)
    assert not QueueItem.objects.get(pk=example.pk).withdrawn
    assert check().agrees


def test_only_owners_and_admins_get_in(client: Client, owner: User, ambiguous: Ambiguous) -> None:
    example = ambiguous()
    people = [
        (None, 404),
        (cast.person("ann"), 404),
        (cast.person("val", "validator"), 404),
        (cast.person("other-owner", "owner"), 404),
        (owner, 200),
        (cast.person("ada", "admin"), 200),
    ]
    for person, status in people:
        client.logout()
        if person is not None:
            client.force_login(person)
        for path in ("", f"{example.uid}/similar/"):
            assert client.get(f"/tasks/digits/inbox/{path}").status_code == status, person
        if status == 404:
            form = {"example": example.uid, "act": "verify", "reason": "Mine."}
            assert client.post("/tasks/digits/inbox/decide/", form).status_code == 404
            assert client.post("/tasks/digits/inbox/take-back/", form).status_code == 404
    assert Example.objects.get().status == "ambiguous"


def test_the_page_shows_a_case_and_its_filters(
    client: Client, owner: User, ambiguous: Ambiguous
) -> None:
    example = ambiguous()
    client.force_login(owner)
    text = client.get("/tasks/digits/inbox/").content.decode()
    assert "anna says" in text
    assert "Validators could not agree." in text
    assert str(example.uid) in text
    assert "Ambiguous (1)" in text
    for query in ("?kind=flagged", "?round=7"):
        assert "Nothing like that" in client.get(f"/tasks/digits/inbox/{query}").content.decode()
    # What is no filter is none.
    assert (
        "anna says" in client.get("/tasks/digits/inbox/?kind=x&round=²&after=-1").content.decode()
    )
    decide(owner, example, "hide")
    assert "Nothing waits for you" in client.get("/tasks/digits/inbox/").content.decode()


def test_a_full_page_costs_as_many_queries_as_one_case(
    client: Client, task: Task, owner: User, ambiguous: Ambiguous, pinned: Pins
) -> None:
    client.force_login(owner)
    for seed in range(14):
        ambiguous(seed)
    with pinned.queries("page inbox/, full"):
        first = client.get("/tasks/digits/inbox/")
    assert len(first.context["cards"]) == inbox.PAGE_SIZE
    rest = client.get(f"/tasks/digits/inbox/{first.context['older']}")
    assert len(rest.context["cards"]) == 2


def test_it_works_without_a_script(client: Client, owner: User, ambiguous: Ambiguous) -> None:
    example = ambiguous()
    client.force_login(owner)
    form = {"example": str(example.uid), "act": "label:3", "reason": "Plainly a 3."}
    said = client.post("/tasks/digits/inbox/decide/", form, follow=True).content.decode()
    assert "Decided: 1." in said
    example.refresh_from_db()
    assert example.final_label == "3"
    again = client.post("/tasks/digits/inbox/decide/", form, follow=True).content.decode()
    assert "Somebody has decided this one meanwhile." in again
    said = client.post("/tasks/digits/inbox/take-back/", form, follow=True).content.decode()
    assert "Taken back: 1." in said
    for broken in ({**form, "example": "x"}, {**form, "reason": ""}, {**form, "act": ""}):
        answer = client.post("/tasks/digits/inbox/decide/", broken, follow=True)
        assert answer.status_code == 200
        assert "notice--bad" in answer.content.decode()


def test_scripts_of_the_page_get_json(client: Client, owner: User, ambiguous: Ambiguous) -> None:
    example = ambiguous()
    client.force_login(owner)
    form = {"example": str(example.uid), "act": "reject", "reason": "A scribble."}
    headers = {"Accept": "application/json"}
    address = "/tasks/digits/inbox/decide/"
    done = {"done": [str(example.uid)], "refused": []}
    assert client.post(address, form, headers=headers).json() == done
    late = client.post(address, form, headers=headers).json()
    assert late["refused"][0]["id"] == str(example.uid)
    refused = client.post(address, {**form, "reason": " "}, headers=headers)
    assert refused.json()["refused"][0]["message"].startswith("Say why")


def test_similar_ones_are_settled_drawings_of_the_same_label(
    client: Client, task: Task, owner: User, annotator: User, ambiguous: Ambiguous
) -> None:
    example = ambiguous(1)
    client.force_login(owner)
    address = f"/tasks/digits/inbox/{example.uid}/similar/"
    assert "Nothing settled looks like it" in client.get(address).content.decode()
    twin = ambiguous(2)
    Example.objects.filter(pk=twin.pk).update(label=example.label, status="verified")
    cast.submission(task, annotator, 3)  # open: not to be compared with
    assert client.get(address).content.decode().count("<img") == 1
