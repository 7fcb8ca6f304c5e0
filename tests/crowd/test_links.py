"""A worker's way: a link, consent, a check, the work, the end, and all that stands in between."""

from __future__ import annotations

import json
import re
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from asgiref.sync import sync_to_async
from asgiref.testing import ApplicationCommunicator
from django.core import signing
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from accounts.models import User
from annotate import inference, judged
from annotate.config import parse_task_file
from annotate.context_files import Row
from annotate.contexts import load_contexts
from annotate.models import Barred, Chat, Context, Example, Round, Task
from annotate.rounds import load_task
from core.errors import Refused
from crowd import by_file, campaigns, earned, entering, ledger, passes, queries, services
from crowd.models import Campaign, Visit, Worker
from crowd.platforms import Arrival
from dadc_server.web.sockets import websocket
from releases.rows import with_reasons
from scoring.agreement import vote_counts
from scoring.models import Tally
from scoring.recount import check
from tests import cast, races
from tests.crowd import world
from tests.crowd.world import Came, call, come, submit, token_in, words
from validate.models import Gold, Reliability, Vote
from validate.queries import are_apart
from validate.statements import unseen_gold

pytestmark = pytest.mark.django_db(transaction=True)

CHECK = [{"question": "What do you do?", "choices": ["Sleep", "Fool it"], "answer": "Fool it"}]


def test_a_worker_s_whole_way(task: Task, validator: User, other_validator: User) -> None:
    campaign = world.campaign(task, check=CHECK, frame="https://work.example.org")
    unpaid = world.campaign(task, slug="unpaid", check=CHECK, pay={"base": "1.00"})
    assert "Who misses them twice is paid nothing" in words(come(unpaid).page)
    came = come(campaign)
    page = came.page
    assert "paid nothing" not in words(page)
    assert "1.00\xa0USD" in page.content.decode()
    assert "At most 1.50\xa0USD" in page.content.decode()
    assert Visit.objects.count() == Worker.objects.count() == 0

    token = came.begin()
    refused = call(token, "tasks/digits/examples/", {"client_id": "x", "input": 1, "label": "1"})
    assert refused.status_code in (400, 403)
    assert "last time" in words(came.act("check", token, q0="Sleep"))
    page = came.act("check", token, q0="Fool it")
    assert "2 items left" in words(page)
    assert "data-annotate" in page.content.decode()
    for out in ("/accounts/", "/me/work/", "/leaderboard/"):
        assert out not in page.content.decode(), "nothing leads out of the frame"

    first = submit(token, task, 1)
    assert first.provisional
    assert "There is something left" in words(came.act("finish", token))
    back = come(campaign)
    assert "Welcome back" in words(back.page)
    newer = token_in(back.act("open"))
    answer = call(token, "visits/this/")
    assert (answer.status_code, answer.json()["error"]["code"]) == (409, "opened_elsewhere")
    assert "another window" in words(came.act("finish", token))
    submit(newer, task, 2)
    assert call(newer, "visits/this/").json()["may_finish"]
    page = came.act("finish", newer)
    visit = Visit.objects.get()
    for sent in ('action="https://work.example.org/mturk/externalSubmit"', visit.code, "A-W1"):
        assert sent in page.content.decode()
    assert call(newer, "visits/this/").json()["error"]["code"] == "visit_over"
    assert "Thank you" in words(came.page)

    assert came.client.cookies == back.client.cookies == {}, "none is needed, so none is set"
    # Validated, and counted nowhere until the platform has confirmed it.
    for person in (validator, other_validator):
        cast.answer(person, task)
    first.refresh_from_db()
    assert first.status == "verified"
    author = first.author
    assert not Tally.objects.filter(author=author).exists()
    assert not vote_counts(task).answers
    assert check().agrees
    left_out = with_reasons(task, waiting=True).values_list("why", flat=True)
    assert [*left_out] == ["made on visits that no platform has confirmed"] * 2
    services.settle(visit=visit, confirmed=True, actor=None)
    assert check().agrees
    tally = Tally.objects.get(author=author)
    assert (tally.submitted, tally.verified, tally.pending) == (2, 1, 1)
    assert vote_counts(task).answers
    services.settle(visit=visit, confirmed=True, actor=None)
    assert services.let_count() == 0


def test_a_preview_writes_nothing_and_asks_no_model(
    task: Task, monkeypatch: pytest.MonkeyPatch
) -> None:
    campaign = world.campaign(task)
    monkeypatch.setattr(inference, "live_model", None)
    preview = come(campaign, workerId="", assignmentId="ASSIGNMENT_ID_NOT_AVAILABLE")
    with CaptureQueriesContext(
        connection,
    ) as queries:
        assert "This is a preview" in words(preview.page)
        assert "This is a preview" in words(preview.act("begin", consent="x"))
    writes = [q["sql"] for q in queries if not q["sql"].lstrip().startswith("SELECT")]
    assert not [sql for sql in writes if re.match(r"\s*(INSERT|UPDATE|DELETE)", sql)]
    assert preview.client.cookies == {}


def test_a_preview_says_when_there_is_nothing_to_accept(task: Task) -> None:
    campaign = world.campaign(task, let_in={"only": ["W1"]})
    look = come(campaign, workerId="", assignmentId="ASSIGNMENT_ID_NOT_AVAILABLE")
    assert "This is a preview" in words(look.page)
    for state, sentence in (("paused", "try the same link again"), ("ended", "This has ended")):
        campaigns.set_state(campaign=campaign, state=state, actor=None)
        assert sentence in words(look.page)


def test_contexts_that_run_out_keep_nobody_from_finishing(annotator: User) -> None:
    task = cast.text_task(slug="stories", input="text_pair", labels=["yes", "no"])
    rows = [Row(n, {"text": f"Story {n}."}) for n in range(2)]
    assert load_contexts(task=task, rows=rows).mistakes == []
    campaign = world.campaign(task, visit={"examples": 3})
    token = come(campaign).begin()
    for n, may_finish in enumerate((False, True)):
        given = call(token, "tasks/stories/contexts/next/").json()["context"]
        said = {"client_id": str(uuid4()), "context": given, "label": "yes"}
        said["input"] = {"hypothesis": f"It rains on {n}."}
        assert call(token, "tasks/stories/examples/", said).status_code == 201
        assert call(token, "visits/this/").json()["may_finish"] == may_finish
    assert load_contexts(task=task, rows=[Row(1, {"text": "Another."})]).mistakes == []
    assert not call(token, "visits/this/").json()["may_finish"]
    call(token, "tasks/stories/contexts/next/")
    assert not call(token, "visits/this/").json()["may_finish"], "they hold one"
    Context.objects.update(offered=False)
    assert not call(token, "visits/this/").json()["may_finish"], "it goes on without"


@pytest.mark.parametrize("state", ["paused", "ended"])
def test_who_was_taken_for_returned_goes_on_in_what_takes_nobody_new(
    task: Task, state: str
) -> None:
    campaign = world.campaign(task)
    came = come(campaign)
    world.work(came, task, (1,))
    come(campaign, assignmentId="invented").begin()
    campaigns.set_state(campaign=campaign, state=state, actor=None)
    campaign.refresh_from_db()
    assert "goes on here" in words(came.page)
    token = came.begin()
    submit(token, task, 2)
    assert "Thank you" in words(came.act("finish", token))
    fresh = come(campaign, "W2").act("begin", consent=campaign.file.agreement)
    assert "I agree" not in words(fresh)
    assert not Worker.objects.filter(name="W2").exists()


def test_nobody_is_asked_for_work_that_is_not_there(task: Task) -> None:
    campaign = world.campaign(task)
    came = come(campaign)
    Round.objects.update(status="closed", closed_at=timezone.now())
    told = came.act("begin", consent=campaign.file.agreement)
    assert "No round of this task is open" in words(told)
    assert not Worker.objects.exists()
    Round.objects.update(status="open", closed_at=None)
    token = came.begin()
    Round.objects.update(status="closed", closed_at=timezone.now())
    assert not call(token, "visits/this/").json()["may_finish"], "there is nothing to be paid"
    assert "Return it on the platform" in words(came.act("leave", token))
    agreed = {"consent": campaign.file.agreement}
    assert "Finish" in words(came.act("begin", **agreed)), "what was begun goes on"


WRONG: list[tuple[dict[str, str], str, int]] = [
    ({"workerId": "${workerId}"}, "did not fill in who you are", 400),
    ({"workerId": "a b"}, "Something in this link", 400),
    ({"PROLIFIC_PID": "x", "workerId": "", "assignmentId": ""}, "people who come from", 400),
]  # fmt: skip


@pytest.mark.parametrize(("said", "sentence", "status"), WRONG)
def test_links_that_are_not_whole(
    task: Task, said: dict[str, str], sentence: str, status: int
) -> None:
    page = come(world.campaign(task), **said).page
    assert (page.status_code, sentence in words(page)) == (status, True)


def test_late_full_paused_ended_and_missed_twice(task: Task) -> None:
    campaign = world.campaign(task, places=1, check=CHECK)
    came = come(campaign)
    token = came.begin()
    assert "All places are taken" in words(come(campaign, "W2").page)
    came.act("check", token, q0="Sleep")
    assert "You are paid 0.10" in words(came.act("check", token, q0="Sleep"))
    assert "This was not for you" in words(came.page)
    second = come(campaign, "W2")
    second.begin()
    later = timezone.now() + timedelta(minutes=121)
    assert services.time_out(later) == 1
    assert Visit.objects.get(worker__name="W2").state == "timed_out"
    for sentence in ("The time for this ran out", "I agree, begin"):
        assert sentence in words(second.page), "where there is a place"
    for state, sentence in (("paused", "try the same link again"), ("ended", "This has ended")):
        campaigns.set_state(campaign=campaign, state=state, actor=None)
        assert sentence in words(come(campaign, "W3").page)
        theirs = words(come(campaign, "W2").page)
        assert "The time for this ran out" in theirs, "who was here finds their data"
        assert sentence in theirs
        assert "Get my data" in theirs
    assert come(campaign, "W3").client.get("/hit/nothing/").status_code == 404
    # Nor does the end of the time take a code from whoever has done it all, ours or a platform's.
    done = world.campaign(task, slug="done", places=1)
    came = come(done, assignmentId="A2")
    world.work(came, task, (1, 2))
    assert services.time_out(later) == 1
    visit = done.visits.get()
    assert visit.state == "finished"
    services.leave(visit=visit, state=Visit.State.TIMED_OUT)
    for page in (came.page, came.act("begin")):
        assert "give your code all the same" in words(page)
        assert visit.code in words(page)


def test_attempts_are_a_person_s_and_screening_out_stays_within_the_budget(
    task: Task, owner: User, client: Client
) -> None:
    campaign = world.campaign(task, places=1, check=CHECK)
    came = come(campaign)
    assert "last time" in words(came.act("check", came.begin(), q0="Sleep"))
    assert services.time_out(timezone.now() + timedelta(minutes=121)) == 1
    assert "You are paid 0.10" in words(came.act("check", came.begin(), q0="Sleep"))
    assert campaign.visits.count() == 2
    # 1.50 and 0.10 are its budget: another one who is kept out could be paid, and nobody after.
    second = come(campaign, "W2")
    token = second.begin()
    for _ in range(2):
        second.act("check", token, q0="Sleep")
    third = come(campaign, "W3")
    agreed = {"consent": campaign.file.agreement}
    for page in (third.page, third.act("begin", **agreed)):
        assert "All places are taken" in words(page)
    client.force_login(owner)
    told = client.get(reverse("campaign", args=[task.slug, campaign.slug]))
    assert "Nobody more is let in" in words(told)
    services.settle(
        visit=Visit.objects.get(worker__name="W2"), confirmed=False, actor=None, reason="Invented."
    )
    third.begin()


def test_a_name_that_nobody_vouched_for_is_kept_out_by_nobody(task: Task) -> None:
    campaign = world.campaign(task)
    forged = come(campaign, assignmentId="made-up")
    forged.begin()
    assert "You are forgotten" in words(forged.act("forget"))
    come(campaign).begin()
    assert sorted(campaign.visits.values_list("state", flat=True)) == ["open", "returned"]


def test_a_returned_assignment_goes_to_another_worker(task: Task) -> None:
    campaign = world.campaign(task, places=1)
    first = come(campaign)
    token, made = world.work(first, task, (1,))
    second = come(campaign, "W2", assignmentId="A-W1")
    second.begin()
    assert call(token, "visits/this/").status_code == 409
    visit = Visit.objects.get(worker__name="W1")
    assert visit.state == "returned"
    made[0].refresh_from_db()
    assert made[0].provisional, "it stays, and counts nowhere"
    # Who held the same place may be the same person.
    assert are_apart(Worker.objects.get(name="W2").user_id, made[0].author_id)
    done = by_file.read_results(campaign, "AssignmentId,WorkerId,status\nA-W1,W3,Approved\n")
    assert "no visit here is of this worker" in done.refused[0]
    # It was a guess: the platform's word stands, as soon as there is a place.
    with pytest.raises(Refused, match="add one first"):
        services.settle(visit=visit, confirmed=True, actor=None)
    campaigns.extend(campaign=campaign, places=1, actor=None)
    services.settle(visit=visit, confirmed=True, actor=None)
    made[0].refresh_from_db()
    assert not made[0].provisional
    # Who gets no place has sent nobody away.
    third = _begin(campaigns.extend(campaign=campaign, places=1, actor=None), "W3", None)()[0]
    with pytest.raises(Refused, match="took part in this already"):
        _begin(campaign, "W1", None, "A-W3")()
    third.refresh_from_db()
    assert third.state == "open"


def test_a_link_leads_to_what_began_by_it(task: Task) -> None:
    campaign = world.campaign(task, platform="generic", places=2, return_to=[])
    come(campaign, "x", slot=1).begin()
    same = {"assignmentId": "", "assignment": "x:1"}
    for other in (come(campaign, "x", slot=2), come(campaign, "x", slot=2, **same)):
        assert "I agree, begin" in words(other.page)
        for act in ("data", "forget", "open"):
            assert "I agree, begin" in words(other.act(act, gives_up="on"))
        agreed = {"consent": campaign.file.agreement}
        assert "open the link of that time" in words(other.act("begin", **agreed))
    # Where links are not signed, a name alone proves nothing about what else is under it.
    first = world.campaign(task, slug="first")
    second = world.campaign(task, slug="second", work="both")
    came = come(first)
    token, made = world.work(came, task, (1, 2))
    forged = come(second, assignmentId="made-up")
    agreed = {"consent": second.file.agreement}
    assert "at work on another" in words(forged.act("begin", **agreed))
    came.act("finish", token)
    invented = forged.begin()
    (row,) = forged.act("data").content.splitlines()
    assert json.loads(row)["assignment"] == "made-up", "what was done by this link"
    assert json.loads(row)["code"] is None, "not before the end"
    services.settle(visit=Visit.objects.get(campaign=first), confirmed=True, actor=None)
    _reaches_nothing_else(invented, task, made[0])
    assert len(came.act("data").content.splitlines()) == 7
    assert "There is more under this name" in words(forged.act("forget"))
    made[0].refresh_from_db()
    assert made[0].input
    assert Chat.objects.exists()
    # A worker who comes with another assignment has returned the one before, or somebody invented
    # that: by the link of before it goes on where it was.
    own = come(second, assignmentId="A2")
    submit(own.begin(), task, 3)
    assert sorted(second.visits.values_list("state", flat=True)) == ["open", "returned"]
    mine = second.visits.get(state="open")
    other = come(second, assignmentId="invented")
    submit(other.begin(), task, 4)
    Vote.objects.update(created_at=timezone.now())
    assert "goes on here" in words(own.page)
    token = own.begin()
    assert second.visits.get(state="open") == mine
    submit(token, task, 5)
    found = earned.made_on(list(second.visits.all()))
    assert len(found[mine.pk][0]) == 2
    assert sum(len(votes) for _, votes in found.values()) == 1, "a vote is of one visit"


def _reaches_nothing_else(token: str, task: Task, made: Example) -> None:
    """By a visit one reads and changes what was done on it, whatever else is under its name."""
    assert made.author is not None
    chat = Chat.objects.create(
        round=made.round,
        model=made.model,
        author=made.author,
        created_at=made.created_at,
    )
    other = cast.submission(task, cast.person("other"), 7)
    Vote.objects.create(
        example=other,
        validator=made.author,
        author=other.author,
        label="1",
        created_at=made.created_at,
    )
    headers = {"Authorization": f"Visit {token}"}
    browser = world.browser()
    assert browser.get("/api/v1/examples/?mine=1", headers=headers).json()["results"] == []
    for path in (f"examples/{made.uid}/", f"examples/{made.uid}/why/", f"chats/{chat.uid}/"):
        assert browser.get(f"/api/v1/{path}", headers=headers).status_code == 404, path
    for path in (f"examples/{made.uid}/retract/", f"examples/{made.uid}/explain/"):
        assert call(token, path, {"explanation": "Mine."}).status_code == 404, path
    assert call(token, f"chats/{chat.uid}/turns/", {"content": "?"}).status_code == 404
    undone = call(token, f"tasks/{task.slug}/validations/undo/")
    assert undone.json()["error"]["code"] == "nothing_to_undo"
    made.refresh_from_db()
    assert (made.retracted_at, made.explanation) == (None, "")


def test_only_the_campaign_s_origins_frame_its_pages(task: Task) -> None:
    campaign = world.campaign(task, frame="https://work.example.org")
    whole, bare = come(campaign), come(campaign, workerId="", assignmentId="")
    for response in (whole.page, bare.page, whole.act("begin", consent="old")):
        assert "X-Frame-Options" not in response
        policy = response["Content-Security-Policy"]
        assert "frame-ancestors https://work.example.org;" in f"{policy};"
        assert "form-action 'self' https://work.example.org;" in f"{policy};"
    usual = come(world.campaign(task, slug="usual")).page["Content-Security-Policy"]
    assert "frame-ancestors https://work.example.org;" in f"{usual};", "where its form goes to"
    for path in (f"/hit/{world.campaign(task, slug='closed', return_to=[]).slug}/", "/", "/hit/x/"):
        response = whole.client.get(path)
        assert response["X-Frame-Options"] == "DENY"
        assert "frame-ancestors 'none'" in response["Content-Security-Policy"]


def test_who_comes_from_one_address_does_not_judge_each_other(task: Task) -> None:
    campaign = world.campaign(task, places=9)
    for worker, address in (
        ("a", "8.8.8.8"),
        ("b", "8.8.8.8"),
        ("c", "9.9.9.9"),
        ("d", "10.0.0.1"),
    ):
        came = come(campaign, worker)
        consent = campaign.file.agreement
        came.client.post(came.address, {"act": "begin", "consent": consent}, REMOTE_ADDR=address)
    users = {one.name: one.user_id for one in Worker.objects.all()}
    pairs = [(one, two) for one in users for two in users if are_apart(users[one], users[two])]
    assert sorted(pairs) == [("a", "b"), ("b", "a")]
    token = token_in(come(campaign, "b").act("open"))
    made = submit(token, task, 3)
    validating = world.campaign(task, slug="judges", work="validate", places=9)
    for worker, status in (("a", 204), ("c", 200)):
        services.leave(visit=Visit.objects.get(worker__name=worker), state="returned")
        theirs = come(validating, worker).begin()
        item = call(theirs, "tasks/digits/validations/next/")
        assert (worker, item.status_code) == (worker, status)
        may_finish = call(theirs, "visits/this/").json()["may_finish"]
        assert may_finish == (status == 204), "nobody waits for what does not come"
    assert made.author_id == users["b"]
    # Nor are they asked about it as a known answer.
    Gold.objects.create(example=made, task=task, answer=made.label)
    for worker, asked in (("a", False), ("d", True)):
        row = Reliability(task=task, validator_id=users[worker])
        assert bool(unseen_gold(row)) == asked


def test_signed_places(task: Task) -> None:
    campaign = world.campaign(task, platform="generic", places=2, return_to=[])
    other = world.campaign(task, slug="other", platform="generic", return_to=[])
    forged = come(campaign, "x", k="WyJwaWxvdCIsMV0:forged")
    assert "not whole" in words(forged.page)
    assert "not whole" in words(come(campaign, "x", k=campaigns.sign(other, 1)).page)
    agreed = {"consent": campaign.file.agreement}
    assert "no such place" in words(come(campaign, "x", slot=9).act("begin", **agreed))
    come(campaign, "x", slot=1).begin()
    assert "Somebody else has this place" in words(come(campaign, "y", slot=1).page)
    come(campaign, "y", slot=2).begin()


def test_a_link_promises_what_is_paid_and_until_when(task: Task) -> None:
    end = timezone.now() + timedelta(days=2)
    file: dict[str, Any] = {"platform": "panel", "return_to": [], "people": ["ann", "ben"]}
    campaign = world.campaign(task, places=2, until=end.isoformat(), **file)
    given = come(campaign, slot=1)
    assert f"begin until {end:%-d %B %Y at %H:%M} UTC" in words(given.page)
    old = Came(f"/hit/pilot/?k={signing.dumps(['pilot', 1], salt=campaigns.SALT)}", given.client)
    # Nobody has begun: all may be changed, and no link means something else than it did.
    agreed = {"consent": campaign.file.agreement}
    for change in (
        {"pay": {**world.PAY, "base": "0.50"}},
        {"pay": {**world.PAY, "per_verified": "0.20"}},
        {"visit": {"examples": 3}},
        {"people": ["ben", "ann"]},
    ):
        world.campaign(task, places=2, **{**file, **change})
        for page in (given.page, given.act("begin", **agreed)):
            assert "changed since this link was made: ask for a new one" in words(page), change
        assert "I agree, begin" in words(old.page), "links of before said nothing of it"
    told: list[dict[str, Any]] = [
        {"pay": {**world.PAY, "base": "0.50"}}, {"time_limit": 60}, {"check": CHECK}
    ]  # fmt: skip
    for one in told:
        world.campaign(task, places=2, **{**file, **one})
        assert "has changed meanwhile" in words(old.act("begin", **agreed)), one
    # What is only asked of the owner may change, and an earlier end is for new links.
    soon = timezone.now() - timedelta(minutes=1)
    pay = {**world.PAY, "base": "1.0", "budget": "90.00", "minimum_hourly": "1.00"}
    earlier = world.campaign(task, places=2, until=soon.isoformat(), **{**file, "pay": pay})
    for shown in ("I agree, begin", f"One can begin until {end:%-d %B %Y at %H:%M} UTC"):
        assert shown in words(given.page), "what its link promises"
    for late in (come(earlier, slot=2), old):
        assert f"begin until {soon:%-d %B %Y at %H:%M} UTC" in words(late.page)
        assert "could begin" in words(late.act("begin", consent=earlier.file.agreement))
    given.begin()
    # A later end is for all of them, and the way back has none.
    world.campaign(task, places=2, **{**file, "pay": pay})
    come(earlier, slot=2).begin()
    world.campaign(task, places=2, until=soon.isoformat(), **{**file, "pay": pay})
    for came in (given, come(earlier, slot=2)):
        assert "Welcome back" in words(came.page)


def test_a_new_secret_key_keeps_links_visits_and_who_was_forgotten(
    task: Task, settings: Any
) -> None:
    campaign = world.campaign(task, platform="generic", places=4, return_to=[])
    at_work, fresh, gone = [come(campaign, f"W{slot}", slot=slot) for slot in (1, 2, 3)]
    token = at_work.begin()
    gone.act("finish", world.work(gone, task, (1, 2))[0])
    services.settle(visit=Visit.objects.get(worker__name="W3"), confirmed=True, actor=None)
    assert "You are forgotten" in words(gone.act("forget", gives_up="on"))
    before = settings.SECRET_KEY
    settings.SECRET_KEY, settings.SECRET_KEY_FALLBACKS = "another", ["older", before]
    assert "Welcome back" in words(at_work.page)
    assert call(token, "visits/this/").status_code == 200
    fresh.begin()
    agreed = {"consent": campaign.file.agreement}
    back = come(campaign, "W3", slot=4).act("begin", **agreed)
    assert "forgotten here, and that is for good" in words(back)
    # Without the key before, links are printed anew and lead to the same work.
    settings.SECRET_KEY_FALLBACKS = []
    assert "This link is not whole" in words(at_work.page)
    assert call(token, "visits/this/").status_code == 200
    assert "Welcome back" in words(come(campaign, "W1", slot=1).page)


def test_validators_by_link(task: Task, annotator: User) -> None:
    campaign = world.campaign(
        task, platform="panel", places=2, work="validate", visit={"examples": 1},
        pay={"base": "1.00", "per_validation": "0.05"},
    )  # fmt: skip
    # Nothing is there to validate: they may finish, and somebody must say whether that is paid.
    idle = come(campaign, slot=2)
    idle.act("finish", idle.begin())
    assert Visit.objects.get().state == "finished"
    assert ledger.plan(campaign) == []
    cast.submission(task, annotator, 1)
    came = come(campaign, slot=1)
    token = came.begin()
    item = call(token, "tasks/digits/validations/next/").json()
    assert call(token, "tasks/digits/examples/", {}).status_code in (400, 403)
    voted = call(
        token, f"validations/{item['lease']}/vote/", {"label": item["choices"][0]["value"]}
    )
    assert voted.status_code == 200
    came.act("finish", token)
    done = Visit.objects.get(slot__number=1)
    assert done.state == "confirmed", "a panel's people are known"
    # It was a known answer, and right: money that came now, as for no other, would tell so.
    Vote.objects.update(purpose=Vote.Purpose.GOLD, credit=1)

    def owed() -> list[int]:
        return sorted(one.payment.amount for one in ledger.plan(campaign, write=False))

    assert owed() == [100]
    assert "would be lost" in words(came.act("forget"))
    ended = Campaign.objects.filter(pk=campaign.pk)
    ended.update(state="ended")
    campaign.refresh_from_db()
    assert owed() == [5, 100]
    ended.update(state="open")
    campaign.refresh_from_db()
    week = timezone.now() - earned.VOTES_AFTER
    Visit.objects.filter(pk=done.pk).update(started_at=week - timedelta(hours=1), finished_at=week)
    Vote.objects.update(created_at=week)
    assert owed() == [5, 100]


def test_a_round_that_closes_keeps_nobody_from_finishing(task: Task, owner: User) -> None:
    campaign = world.campaign(task)
    came = come(campaign)
    token, _ = world.work(came, task, (1,))
    assert not call(token, "visits/this/").json()["may_finish"]
    Round.objects.update(status="closed", closed_at=timezone.now())
    assert call(token, "visits/this/").json()["may_finish"]
    assert "decide whether it is paid" in words(came.act("finish", token))
    visit = Visit.objects.get()
    assert (visit.state, earned.is_whole(visit)) == ("finished", False), "an owner decides"


@pytest.mark.parametrize(
    "rule",
    [{"rounds": {"submissions_each": 1}}, {"rounds": {"submissions": 1}}, {"daily": 1}],
    ids=str,
)
def test_a_quota_keeps_nobody_from_finishing(owner: User, rule: dict[str, Any]) -> None:
    task = cast.digits_task(owner)
    campaign = world.campaign(task)
    other = world.campaign(task, slug="other")
    load_task(file=parse_task_file(cast.task_file(**rule)), actor=owner)
    Round.objects.update(rules=rule.get("rounds", {}))
    if rule != {"rounds": {"submissions": 1}}:
        with pytest.raises(Refused, match="asks for 2 examples, and the task takes 1 of a person"):
            world.campaign(task, slug="third")
    came = come(campaign)
    token, _ = world.work(came, task, (1,))
    body = {"client_id": str(uuid4()), "input": cast.drawing(2), "label": "3"}
    assert call(token, "tasks/digits/examples/", body).status_code == 409
    done = call(token, "visits/this/").json()
    assert (done["left"], done["may_finish"]) == ("1 item left, but no more can be done now", True)
    assert "1.00 USD for the visit" in words(came.act("work", token))
    over = words(came.act("finish", token))
    assert "those who asked for it decide whether it is paid" in over
    assert "Your code" in over
    visit = Visit.objects.get()
    assert (visit.state, earned.is_whole(visit)) == ("finished", False)
    # Nobody begins again what they could not do.
    again = come(other, assignmentId="A-2").act("begin", consent=other.file.agreement)
    assert re.search("as one person may|has its 1 submissions", words(again)), words(again)
    assert not other.visits.exists()
    services.settle(visit=visit, confirmed=True, actor=owner)
    assert [one.payment.amount for one in ledger.plan(campaign, write=False)] == [100]


@pytest.mark.parametrize("by", ["owner", "admin"])
def test_who_is_kept_out_takes_no_place(task: Task, owner: User, by: str) -> None:
    campaign = world.campaign(task, places=1)
    came = come(campaign)
    token = came.begin()
    person = Worker.objects.get().user
    if by == "owner":
        Barred.objects.create(task=task, person=person)
    else:
        User.objects.filter(pk=person.pk).update(banned_at=timezone.now())
    body = {"client_id": str(uuid4()), "input": cast.drawing(5), "label": "1"}
    assert call(token, "tasks/digits/examples/", body).status_code in (401, 403)
    came.act("leave", token)
    agreed = {"consent": campaign.file.agreement}
    assert "You are kept out" in words(came.act("begin", **agreed))
    assert not Visit.objects.filter(state="open").exists()
    come(campaign, "W2").begin()


@pytest.mark.parametrize("done", [0, 1])
def test_what_somebody_made_who_is_kept_out_since_is_the_owners_to_pay(
    task: Task, owner: User, done: int
) -> None:
    """A ban is no rejection: the visit ends, whole or not, and its money waits for a person."""
    campaign = world.campaign(task, platform="panel", places=1, visit={"examples": 1})
    came = come(campaign, slot=1)
    token = came.begin()
    for seed in range(done):
        submit(token, task, seed)
    Barred.objects.create(task=task, person=Worker.objects.get().user)
    end = came.act("finish", token) if done else came.act("open")
    visit = Visit.objects.get()
    assert "those who asked for it decide whether it is paid" in words(end)
    assert visit.code in words(end)
    assert (visit.state, visit.settled_at, ledger.plan(campaign)) == ("finished", None, [])
    services.settle(visit=queries.visits().get(), confirmed=True, actor=owner)
    assert [one.payment.amount for one in ledger.plan(campaign)] == [100]


def test_the_model_does_not_tell_a_visit_about_what_it_judges(task: Task, annotator: User) -> None:
    """Whoever validates by a link and makes examples, too, has a page to ask the model from."""
    judged.forget()
    example = cast.submission(task, annotator, 1)
    both = world.campaign(task, work=["annotate", "validate"])
    token = come(both).begin()
    lease = call(token, "tasks/digits/validations/next/").json()["lease"]
    other = come(both, "W2").begin()
    asked = {"input": example.input}
    for who in (token, other):
        answer = call(who, "tasks/digits/predictions/", asked)
        assert answer.json()["error"]["code"] == "being_judged"
    call(token, f"validations/{lease}/release/", {"skip": True})
    judged.forget()  # as after a second
    assert call(token, "tasks/digits/predictions/", asked).status_code == 409
    assert call(other, "tasks/digits/predictions/", asked).status_code == 200
    come(both).act("leave", token)
    alone = come(world.campaign(task, slug="alone", work="annotate")).begin()
    assert call(alone, "tasks/digits/predictions/", asked).status_code == 409


async def test_a_ticket_opens_one_socket(task: Task, monkeypatch: pytest.MonkeyPatch) -> None:
    campaign = await sync_to_async(world.campaign)(task)
    came = come(campaign)
    await sync_to_async(came.begin)()
    page = words(await sync_to_async(came.act)("open"), tags=True)
    ticket = re.search(r'"ticket": "([^"]+)"', page)
    assert ticket
    scope = {
        "type": "websocket",
        "path": "/ws/tasks/digits/",
        "query_string": f"ticket={ticket[1]}".encode(),
        "headers": [(b"host", b"localhost"), (b"origin", b"http://localhost")],
        "client": ("127.0.0.1", 4711),
        "scheme": "ws",
    }
    first, second = [ApplicationCommunicator(websocket, scope) for _ in range(2)]
    for socket in (first, second):
        await socket.send_input({"type": "websocket.connect"})
    assert (await first.receive_output(30))["type"] == "websocket.accept"
    ready = json.loads((await first.receive_output(30))["text"])
    assert (ready["type"], ready["sandbox"]) == ("ready", False)
    assert (await second.receive_output(30))["type"] == "websocket.close"
    body = {"client_id": str(uuid4()), "input": cast.drawing(5), "label": "1"}
    await first.send_input(
        {"type": "websocket.receive", "text": json.dumps({"type": "submit", **body})}
    )
    assert json.loads((await first.receive_output(30))["text"])["type"] == "accepted"
    example = await Example.objects.select_related("session").aget()
    assert example.provisional
    assert example.session.kind == "link"
    # It ends with the visit: at once for what is submitted, soon for all else.
    visit = await Visit.objects.aget()
    await sync_to_async(services.leave)(visit=visit, state="returned")
    body = {"client_id": str(uuid4()), "input": cast.drawing(6), "label": "1"}
    frame = {"type": "websocket.receive", "text": json.dumps({"type": "submit", **body})}
    await first.send_input(frame)
    assert json.loads((await first.receive_output(30))["text"])["code"] == "visit_over"
    monkeypatch.setattr(passes, "LOOK_EVERY", 0)
    await first.send_input(frame)
    assert await first.receive_output(30) == {"type": "websocket.close", "code": 4401}
    await first.send_input({"type": "websocket.disconnect", "code": 1000})
    await first.wait()


# --- races ----------------------------------------------------------------------------------------
def _begin(campaign: Campaign, worker: str, slot: int | None, assignment: str = "") -> Any:
    realm = campaign.platform.realm(campaign.file)
    return lambda: entering.begin(
        campaign=campaign,
        arrival=Arrival(worker, assignment or f"A-{worker}", realm, slot),
        consent=campaign.file.agreement,
    )


def test_of_two_at_one_place_exactly_one_gets_it(task: Task) -> None:
    campaign = world.campaign(task, platform="generic", places=8, return_to=[])
    for slot in range(1, 9):
        came = races.at_once([_begin(campaign, f"{who}{slot}", slot) for who in "ab"])
        lost = [one for one in came if isinstance(one, Refused)]
        assert [one.code for one in lost] == ["slot_taken"], came
    with races.without(Visit, "one_visit_holds_a_slot"):
        task = cast.digits_task()
        campaign = world.campaign(task, slug="bare", platform="generic", return_to=[])
        came = races.at_once([_begin(campaign, "a", 1), _begin(campaign, "b", 1)])
        assert not [one for one in came if isinstance(one, Refused)], "the constraint decides"


def test_places_without_links_are_given_once_each(task: Task) -> None:
    campaign = world.campaign(task, places=4)
    came = races.at_once([_begin(campaign, f"w{n}", None) for n in range(6)])
    lost = [one for one in came if isinstance(one, Refused)]
    assert len(lost) == 2, came
    held = Visit.objects.filter(state="open").values_list("slot", flat=True)
    assert len(set(held)) == len(held) == 4
    # The same person twice at once is one visit.
    more = world.campaign(task, slug="more", places=4)
    races.at_once([_begin(more, "same", None)] * 3)
    assert more.visits.count() == 1
    # And twice at once in two campaigns is one: a vote, and an hour, are one visit's.
    two = [world.campaign(task, slug=slug, places=4) for slug in ("one", "two")]
    realm = more.platform.realm(more.file)
    for name in ("busy", "busier"):  # known here: at their first visit they take turns anyway
        Worker.objects.create(realm=realm, name=name, user=cast.person(name))
    races.at_once([_begin(one, "busy", None, one.slug) for one in two])
    assert Visit.objects.filter(worker__name="busy").count() == 1
    with races.without(Visit, "one_open_visit_a_worker"):
        task = cast.digits_task()
        two = [world.campaign(task, slug=slug, places=4) for slug in ("three", "four")]
        races.at_once([_begin(one, "busier", None, one.slug) for one in two])
        assert Visit.objects.filter(worker__name="busier").count() == 2, "the constraint decides"


def test_nobody_begins_under_a_file_that_is_changed_meanwhile(task: Task) -> None:
    campaign = world.campaign(task)
    begin = _begin(campaign, "W1", None)
    world.campaign(task, pay={**world.PAY, "base": "0.50"})
    with pytest.raises(Refused, match="again to read it"):
        begin()
    assert not campaign.visits.exists()
