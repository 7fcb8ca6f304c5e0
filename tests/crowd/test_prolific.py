"""Prolific by its API, against a stand-in that answers as documented, wrongly or not at all."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import threading
import time
from collections.abc import Iterator
from datetime import timedelta
from functools import partial
from itertools import cycle
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, generate_private_key
from cryptography.hazmat.primitives.hashes import SHA256
from django.core.management import CommandError, call_command
from django.test import Client
from django.urls import reverse
from django.utils import timezone
from django_tasks_db.models import DBTaskResult

from accounts.models import User
from annotate.models import Task
from core.errors import Refused
from crowd import by_api, by_file, ledger, tasks
from crowd.models import Campaign, Payment, Visit
from crowd.platforms import prolific
from releases.pay import pay_of
from tests import cast, races
from tests.crowd import world
from tests.crowd.stand_in import StandIn
from tests.crowd.world import come, words

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def stand_in(settings: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[StandIn]:
    here = StandIn()
    settings.CROWD = {
        "prolific_url": here.url,
        "prolific_token": "key",
        "prolific_secret": "secret",
    }
    monkeypatch.setattr(prolific, "SECONDS", 0.3)
    yield here
    here.close()


def _campaign(task: Task, **more: Any) -> Campaign:
    return world.campaign(
        task,
        platform="prolific",
        return_to=[],
        study="S1",
        **{"codes": {"complete": "C123"}, **more},
    )


def _come(campaign: Campaign, worker: str) -> world.Came:
    return come(campaign, PROLIFIC_PID=worker, STUDY_ID="S1", SESSION_ID=f"A-{worker}")


def _visit(campaign: Campaign, task: Task, worker: str, seed: int) -> Visit:
    came = _come(campaign, worker)
    token = came.begin()
    if campaign.file.check:
        came.act("check", token, q0=campaign.file.check[0].answer)
    for one in (seed, seed + 1):
        world.submit(token, task, one)
    page = came.act("finish", token)
    assert "https://app.prolific.com/submissions/complete?cc=C123" in page.content.decode()
    return Visit.objects.get(worker__name=worker)


def test_links_of_prolific(task: Task) -> None:
    campaign = _campaign(task)
    literal = {"PROLIFIC_PID": "{{%PROLIFIC_PID%}}", "STUDY_ID": "S1", "SESSION_ID": "x"}
    assert "did not fill in" in words(come(campaign, **literal).page)
    other = {**literal, "PROLIFIC_PID": "p1", "STUDY_ID": "S2"}
    assert "another study" in words(come(campaign, **other).page)
    assert "come from Prolific" in words(come(campaign).page)
    policy = come(campaign).page["Content-Security-Policy"]
    assert "frame-ancestors https://app.prolific.com" in policy


def test_a_file_fits_its_study(task: Task, stand_in: StandIn) -> None:
    usual = dict(stand_in.study)
    for change, why in (
        ({"reward": 150}, "its reward is 1.50"),
        ({"presentment_currency_code": "GBP"}, "it pays in GBP"),
        ({"completion_codes": [{"code": "X"}]}, "it has no code C123"),
    ):
        stand_in.study = {**usual, **change}
        with pytest.raises(Refused, match=why):
            _campaign(task)
    stand_in.study = {}
    with pytest.raises(Refused, match="cannot be asked"):
        _campaign(task)
    misfits: list[tuple[dict[str, Any], str]] = [
        ({"codes": {}}, "name the study's completion code"),
        ({"pay": {**world.PAY, "currency": "EUR"}}, "in GBP or USD"),
    ]
    for misfit, why in misfits:
        with pytest.raises(Refused, match=why):
            _campaign(task, **misfit)


def test_confirmed_approved_and_paid_by_the_api(
    task: Task,
    validator: User,
    other_validator: User,
    stand_in: StandIn,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    campaign = _campaign(task)
    _visit(campaign, task, "P1", 1)
    other = _visit(campaign, task, "P2", 10)
    stand_in.status["A-P2"] = "TIMED-OUT"
    for judge in (validator, other_validator):
        cast.answer(judge, task)
    by_api.send(campaign)
    assert dict(Visit.objects.values_list("worker__name", "state")) == {
        "P1": "confirmed",
        "P2": "timed_out",
    }
    stand_in.status["A-P2"] = "AWAITING REVIEW"  # completed late, with a code
    by_api.follow(campaign, by_api.remote_of(campaign))
    assert Visit.objects.get(pk=other.pk).state == "confirmed"
    # 500 though it was done, no answer though it was done, no answer and nothing done.
    moods = cycle(["500 paid", "silent paid", "silent"])
    stand_in.mood = lambda _: next(moods)
    assert [one.payment.amount for one in ledger.plan(campaign)] == [100, 25, 100]
    by_api.send(campaign)
    assert ledger.sums(campaign)["confirmed"] == 125
    assert ledger.sums(campaign)["unknown"] == 100, "it may only be slow"
    monkeypatch.setattr(by_api, "LATE", timedelta())
    by_api.send(campaign)
    failed = Payment.objects.get(state="failed")
    assert (failed.kind, stand_in.approved["A-P2"]) == ("reward", 0), "an approval can be seen"
    stand_in.mood = lambda _: "ok"
    ledger.plan_failed_again(campaign)
    by_api.send(campaign)
    by_api.send(campaign)
    assert ledger.sums(campaign)["confirmed"] == 225
    assert dict(stand_in.approved) == {"A-P1": 1, "A-P2": 1}
    assert stand_in.bonuses["A-P1"] == [25]
    assert list(stand_in.paid.values()) == [1]
    (told,) = pay_of(task)  # as a release's card has it
    assert told["hours"] >= 0
    assert (told["paid"], told["currency"]) == ("2.25", campaign.file.pay.currency)
    assert (told["people"], told["visits"]) == (2, 2)


def test_what_cannot_be_set_up_keeps_no_other_waiting(
    task: Task, validator: User, other_validator: User, stand_in: StandIn
) -> None:
    check = [{"question": "?", "choices": ["a", "b"], "answer": "a"}]
    campaign = _campaign(task, check=check)
    for seed, worker in ((1, "P1"), (10, "P2")):
        _visit(campaign, task, worker, seed)
    out = _come(campaign, "P3")
    token = out.begin()
    for _ in range(2):
        page = out.act("check", token, q0="b")
    assert "Return it on the platform" in words(page), "a code would have it paid as a whole"
    assert "app.prolific.com/submissions" not in page.content.decode()
    for _ in range(4):
        for judge in (validator, other_validator):
            cast.answer(judge, task)
    by_api.send(campaign)
    ledger.plan(campaign)
    stand_in.refuses.add("A-P1")
    by_api.send(campaign)
    paid = Payment.objects.values_list("visit__worker__name", "kind", "amount", "state")
    assert sorted(paid) == [
        ("P1", "bonus", 50, "failed"),
        ("P1", "reward", 100, "confirmed"),
        ("P2", "bonus", 50, "confirmed"),
        ("P2", "reward", 100, "confirmed"),
        ("P3", "bonus", 10, "confirmed"),
    ]
    assert not stand_in.approved["A-P3"], "the whole reward is not for whom the check kept out"


ODD = [
    b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n[]",
    b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{}",
    b'HTTP/1.1 200 OK\r\nContent-Length: 24\r\n\r\n{"bonus_payments":["$1"]}',
    b'HTTP/1.1 200 OK\r\nContent-Length: 20\r\n\r\n{"bonus_payments":7 }',
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
    b"HTTP/1.1 500 No\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
    b"SMTP 220\r\n\r\n",
    b"",
]


def test_odd_answers_leave_things_as_they_are(task: Task, stand_in: StandIn) -> None:
    campaign = _campaign(task)
    visit = _visit(campaign, task, "P1", 1)
    for stand_in.odd in ODD:
        by_api.send(campaign)
        assert Visit.objects.get().state == "finished", stand_in.odd
    stand_in.odd = None
    # What is no name of Prolific's leads to no other address of its API.
    Visit.objects.filter(pk=visit.pk).update(assignment="x/../A-P1")
    by_api.send(campaign)
    assert Visit.objects.get().state == "finished"
    # A rejection may be turned over.
    Visit.objects.filter(pk=visit.pk).update(assignment="A-P1")
    for stand_in.status["A-P1"], state in (
        ("REJECTED", "rejected"),
        ("AWAITING REVIEW", "rejected"),
        ("APPROVED", "confirmed"),
    ):
        by_api.send(campaign)
        assert Visit.objects.get().state == state


def _work_off_jobs() -> None:
    for job in DBTaskResult.objects.all():
        job.task.call(*job.args_kwargs["args"])
    DBTaskResult.objects.all().delete()


def test_a_bonus_that_never_shows_is_unknown_until_somebody_knows(
    task: Task,
    owner: User,
    client: Client,
    validator: User,
    other_validator: User,
    stand_in: StandIn,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    campaign = _campaign(task)
    _visit(campaign, task, "P1", 1)
    for judge in (validator, other_validator):
        cast.answer(judge, task)
    by_api.send(campaign)
    page = reverse("campaign", args=[task.slug, campaign.slug])
    client.force_login(owner)
    client.post(page, {"act": "pay"})
    assert ledger.sums(campaign)["planned"] == 125, "and the worker sends it"
    moods = {"pay": "500", "transition": "silent"}
    stand_in.mood = lambda what: moods[what]
    _work_off_jobs()
    monkeypatch.setattr(by_api, "LATE", timedelta())
    for _ in range(2):
        by_api.send(campaign)
    assert Payment.objects.get(kind="reward").state == "failed"
    assert "Send again what has failed" in words(client.get(page))
    stand_in.approved["A-P1"] += 1  # it took its time
    tasks.enqueue_due()
    _work_off_jobs()
    assert Payment.objects.get(kind="reward").state == "confirmed"
    bonus = Payment.objects.get(kind="bonus")
    assert (bonus.state, len(stand_in.paid)) == ("unknown", 0), "it is not asked for again"
    by_file.read_results(campaign, f"payment,state\n{bonus.pk},failed\n")
    stand_in.mood = lambda _: "ok"
    client.post(page, {"act": "again"})
    _work_off_jobs()
    bonus.refresh_from_db()
    assert (bonus.state, list(stand_in.paid.values())) == ("confirmed", [1])


def test_two_payers_never_ask_at_the_same_time(task: Task, stand_in: StandIn) -> None:
    both = campaign, other = _campaign(task), _campaign(task, slug="other")
    for seed, worker in ((1, "P1"), (10, "P2"), (20, "P3")):
        _visit(other if worker == "P3" else campaign, task, worker, seed)
    for one in both:
        by_api.send(one)
        ledger.plan(one)
    under_way = threading.Event()
    stand_in.mood, stand_in.pause = lambda _: under_way.set() or "late", 0.2  # type: ignore[func-returns-value]

    def second(one: Campaign) -> object:
        under_way.wait(10)  # the first payer's request
        return by_api.send(one)

    came = races.at_once([lambda: by_api.send(campaign), *(partial(second, one) for one in both)])
    assert came == [[], [], []]
    tasks.enqueue_due()  # what the others found another payer at
    _work_off_jobs()
    assert stand_in.most_at_once == 1, "bonuses may not be asked for at the same time"
    assert dict(stand_in.approved) == {"A-P1": 1, "A-P2": 1, "A-P3": 1}
    assert [ledger.sums(one)["confirmed"] for one in both] == [200, 100]


def _paid_bonuses(campaign: Campaign, task: Task, judges: list[User]) -> list[Payment]:
    """Two bonuses of one sum for one visit, each planned when its fooling was confirmed."""
    _visit(campaign, task, "P1", 1)
    by_api.send(campaign)
    for _ in range(2):
        for judge in judges:
            cast.answer(judge, task)
        ledger.plan(campaign)
    return list(Payment.objects.filter(kind="bonus").order_by("created_at"))


def test_of_two_bonuses_of_one_sum_one_that_is_paid_is_booked_once(
    task: Task,
    validator: User,
    other_validator: User,
    stand_in: StandIn,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    campaign = _campaign(task)
    both = _paid_bonuses(campaign, task, [validator, other_validator])
    assert [one.amount for one in both] == [25, 25]
    stand_in.mood = lambda _: "500"
    by_api.send(campaign)
    for one in both:
        one.refresh_from_db()
    assert [one.state for one in both] == ["unknown", "unknown"]
    stand_in.bonuses["A-P1"].append(25)  # one of them came after all
    remote = by_api.remote_of(campaign)
    assert remote
    monkeypatch.setattr(by_api, "_is_paid", races.meeting_once(2, by_api._is_paid))
    came = races.at_once([partial(by_api._ask, one, remote) for one in both])
    assert sorted(came) == ["confirmed", "unknown"]
    assert ledger.sums(campaign)["confirmed"] == 25


def test_a_bonus_that_came_after_all_is_not_sent_again(
    task: Task, validator: User, other_validator: User, stand_in: StandIn
) -> None:
    campaign = _campaign(task)
    both = _paid_bonuses(campaign, task, [validator, other_validator])
    stand_in.mood = lambda what: "500" if what == "pay" else "ok"
    by_api.send(campaign)
    rows = "".join(f"{one.pk},failed\n" for one in both)
    assert by_file.read_results(campaign, f"payment,state\n{rows}").payments == 2
    stand_in.bonuses["A-P1"].append(25)
    ledger.plan_failed_again(campaign)
    stand_in.mood = lambda _: "ok"
    stand_in.odd = b""  # nobody knows
    by_api.send(campaign)
    assert ledger.sums(campaign)["planned"] == 50
    stand_in.odd = None
    for _ in range(2):
        by_api.send(campaign)
    assert (stand_in.bonuses["A-P1"], list(stand_in.paid.values())) == ([25, 25], [1])
    assert ledger.sums(campaign)["confirmed"] == 150


def test_nothing_is_planned_for_a_study_that_pays_another_sum(
    task: Task, owner: User, client: Client, stand_in: StandIn
) -> None:
    campaign = _campaign(task)
    _visit(campaign, task, "P1", 1)
    by_api.send(campaign)
    stand_in.study = {**stand_in.study, "reward": 150}
    client.force_login(owner)
    page = reverse("campaign", args=[task.slug, campaign.slug])
    assert "its reward is 1.50" in words(client.post(page, {"act": "pay"}, follow=True))
    with pytest.raises(CommandError, match="its reward is"):
        call_command("pay", "pilot")
    assert not Payment.objects.exists()
    call_command("pay", "pilot", dry_run=True)


def test_what_was_paid_in_part_is_no_whole_sum(task: Task, stand_in: StandIn) -> None:
    campaign = _campaign(task)
    _visit(campaign, task, "P1", 1)
    stand_in.status["A-P1"] = "PARTIALLY-APPROVED"
    by_api.send(campaign)
    assert Visit.objects.get().state == "confirmed", "what was made counts"
    ledger.plan(campaign)
    for _ in range(2):
        by_api.send(campaign)
        assert Payment.objects.get().state == "unknown", "how much that was an owner says"


def test_a_submission_is_paid_in_one_campaign(task: Task, stand_in: StandIn) -> None:
    campaign, other = _campaign(task), _campaign(task, slug="other")
    _visit(campaign, task, "P1", 1)
    again = _come(other, "P1")
    agreed = {"consent": other.file.agreement}
    assert "brought you to another one here" in words(again.act("begin", **agreed))
    again = come(other, PROLIFIC_PID="P1", STUDY_ID="S1", SESSION_ID="A2")
    again.begin()
    again = _come(_campaign(task, slug="third"), "P1")
    assert "brought you to another" in words(again.act("begin", consent=other.file.agreement))


# --- signed links ---------------------------------------------------------------------------------
def _text(number_or_claims: Any) -> str:
    if isinstance(number_or_claims, int):
        raw = number_or_claims.to_bytes((number_or_claims.bit_length() + 7) // 8, "big")
    else:
        raw = json.dumps(number_or_claims).encode()
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")


def _signed(key: RSAPrivateKey, header: dict[str, Any], claims: dict[str, Any]) -> str:
    body = f"{_text(header)}.{_text(claims)}"
    signature = key.sign(body.encode(), PKCS1v15(), SHA256())
    return f"{body}.{base64.urlsafe_b64encode(signature).decode().rstrip('=')}"


FOR_US = {"PROLIFIC_PID": "P1", "STUDY_ID": "S1", "SESSION_ID": "A-P1", "workspace_id": "w"}
GONE = object()
FORGED: list[tuple[str, dict[str, Any], dict[str, Any]]] = [
    ("no audience", {}, {"aud": GONE}),
    ("another's audience", {}, {"aud": "https://testserver.example"}),
    ("another issuer", {}, {"iss": "https://prolific.example"}),
    ("no end", {}, {"exp": GONE}),
    ("an end that is no number", {}, {"exp": "2099"}),
    ("another study", {}, {"prolific": {**FOR_US, "STUDY_ID": "S2"}}),
    ("another person", {}, {"prolific": {**FOR_US, "PROLIFIC_PID": "P2"}}),
    ("nobody", {}, {"prolific": {}}),
    ("a key that is not there", {"kid": "other"}, {}),
    ("no algorithm", {"alg": "none"}, {}),
    ("a secret for a key", {"alg": "HS256"}, {}),
    ("what must be understood", {"crit": ["b64"]}, {}),
]


def test_a_signed_link_says_who_comes(
    task: Task, stand_in: StandIn, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = generate_private_key(65537, 2048)
    public = key.public_key().public_numbers()
    stand_in.keys = [{"kty": "RSA", "kid": "k1", "n": _text(public.n), "e": _text(public.e)}]
    campaign = _campaign(task, secured=True)
    now = time.time()
    header = {"alg": "RS256", "kid": "k1"}
    claims = {
        "iss": "https://www.prolific.com",
        "aud": "https://testserver/hit/pilot/",
        "exp": now + 300,
        "prolific": FOR_US,
    }

    def by(token: str, **said: str) -> world.Came:
        ids = {"PROLIFIC_PID": "P1", "STUDY_ID": "S1", "SESSION_ID": "A-P1", **said}
        return come(campaign, prolific_token=token, **ids)

    for why, head, claim in FORGED:
        said = {name: text for name, text in {**claims, **claim}.items() if text is not GONE}
        page = by(_signed(key, {**header, **head}, said)).page
        assert "did not sign this link" in words(page), why
    good = _signed(key, header, claims)
    bad = [good[:-8] + "AAAAAAAA", good.replace(".", "", 1), f"{good}.x", "", "é.é.é"]
    other = generate_private_key(65537, 2048)
    for token in (*bad, _signed(other, header, claims)):
        assert "did not sign this link" in words(by(token).page), token
    assert "did not sign this link" in words(by(good, PROLIFIC_PID="P2").page)
    assert not Visit.objects.exists()
    # The names may stand in the token alone. It is for a while, the way back by it is not.
    old = _signed(key, header, {**claims, "exp": now - 1})
    assert "open it from its own page anew" in words(by(old).page)
    came = come(campaign, prolific_token=good)
    came.begin()
    assert Visit.objects.get().worker.name == "P1"
    assert "Welcome back" in words(by(old).page)
    settings.CROWD = {**settings.CROWD, "prolific_url": "http://127.0.0.1:1"}
    assert "try again soon" in words(by(good).page)
    monkeypatch.setattr(prolific, "_ask", None)  # nor does the next look wait for it
    assert "try again soon" in words(by(good).page)


def test_events_are_hints(task: Task, stand_in: StandIn) -> None:
    campaign = _campaign(task)
    _visit(campaign, task, "P1", 1)

    def event(secret: str = "secret") -> int:
        body = json.dumps({"resource_id": "A-P1", "status": "REJECTED"}).encode()
        digest = hmac.new(secret.encode(), b"1" + body, hashlib.sha256).digest()
        answer = world.browser().post(
            "/hit/hooks/prolific/",
            body,
            content_type="application/json",
            headers={
                "X-Prolific-Request-Timestamp": "1",
                "X-Prolific-Request-Signature": base64.b64encode(digest).decode(),
            },
        )
        return answer.status_code

    assert event("wrong") == 403
    assert not DBTaskResult.objects.exists()
    assert [event(), event()] == [200, 200]
    for job in DBTaskResult.objects.all():
        job.task.call(*job.args_kwargs["args"])
    assert Visit.objects.get().state == "confirmed", "what it said is not what is true"


def test_what_prolific_approves_by_itself_after_21_days(task: Task, stand_in: StandIn) -> None:
    campaign = _campaign(task)
    _visit(campaign, task, "P1", 1)
    late = _visit(campaign, task, "P2", 10)
    Visit.objects.update(finished_at=timezone.now() - timedelta(days=21, hours=1))
    stand_in.approved["A-P1"], stand_in.status["A-P2"] = 1, "RETURNED"
    tasks.enqueue_due()
    (job,) = DBTaskResult.objects.all()
    job.task.call(*job.args_kwargs["args"])
    assert Visit.objects.get(worker__name="P1").state == "confirmed"
    late.refresh_from_db()
    assert late.state == "returned"
    ledger.plan(campaign)
    tasks.follow_campaign.call(campaign.pk)
    assert ledger.sums(campaign)["confirmed"] == 100, "approving it again was declined"
    assert stand_in.approved["A-P1"] == 1
