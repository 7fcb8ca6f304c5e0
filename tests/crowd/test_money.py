"""What is owed, planned, sent and told: every cent by what earned it, nothing twice."""

from __future__ import annotations

import csv
import html
import io
import json
import re
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.core.files.uploadedfile import SimpleUploadedFile
from django.core.management import CommandError, call_command
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from accounts.models import Event, User
from annotate.models import ContentKey, Example, Task
from core.errors import Refused
from core.strict_yaml import NotYaml
from crowd import by_api, by_file, campaigns, earned, ledger, money, services
from crowd.campaign_file import CampaignFile, read_campaign_file
from crowd.erasure import forget
from crowd.models import Campaign, Due, Payment, Step, Visit, Worker
from crowd.platforms import platform_named
from crowd.platforms.hit import submit_address
from releases import ledger as record
from scoring.models import Tally
from scoring.recount import check
from tests import cast, races
from tests.crowd import world
from tests.crowd.world import come
from validate.models import Vote

LEAST = "{slug: pilot, task: digits, platform: hit, places: 2"


@pytest.mark.parametrize(
    "text", ["$0.10", "abc", "", "0,10", "-1", " 1", "1e2", "0.101", "1.", 0.1]
)
def test_what_is_no_amount(text: object) -> None:
    with pytest.raises(ValueError, match="write an amount in USD"):
        money.parse(text, "USD")


def test_amounts_are_integers_of_the_smallest_unit() -> None:
    for text, currency, units in (
        ("0.10", "USD", 10),
        ("0.1", "USD", 10),
        ("12", "USD", 1200),
        ("15", "JPY", 15),
        ("1.234", "KWD", 1234),
    ):
        assert money.parse(text, currency) == units
        assert money.parse(money.plain(units, currency), currency) == units


BAD_FILES = [
    (f"{LEAST}, visit: {{examples: 2, minutes: 3}}}}", "either examples or minutes"),
    (f"{LEAST}, pay: {{base: 0.10}}}}", "write an amount"),
    (f'{LEAST}, pay: {{base: "1.00", budget: "1.99"}}}}', "more than the budget"),
    (f'{LEAST}, visit: {{minutes: 9}}, pay: {{per_verified: "0.1"}}}}', "say a cap"),
    (f'{LEAST}, frame: "https://a.example; script-src *"}}', "is no https address"),
    (f'{LEAST}, return_to: "http://a.example"}}', "is no https address"),
    (f"{LEAST}, platform: mturk}}", "there twice"),
    ("{slug: a, task: digits, platform: mturk, places: 1}", "choose one of"),
    (f"{LEAST}, debug: true}}", "Extra inputs"),
    (f"{LEAST}, until: 9999-12-31T23:59:59-12:00}}", "of the years 1 to 9999 in UTC"),
]


@pytest.mark.parametrize(("text", "why"), BAD_FILES)
def test_a_bad_file_gets_a_sentence(text: str, why: str) -> None:
    with pytest.raises(NotYaml, match=why):
        read_campaign_file(text)


def test_a_campaign_file_s_plan() -> None:
    file = read_campaign_file(
        f'{LEAST}, visit: {{minutes: 20}}, pay: {{base: "4.00", minimum_hourly: "12.00"}}}}'
    )
    plan = file.plan()
    assert (plan.at_most, plan.hourly, plan.minutes) == (800, 1200, 20)
    # What is expected does not shorten the minutes that are asked for.
    hasty = CampaignFile.model_validate({**file.model_dump(), "expected": {"minutes": 5}})
    assert hasty.plan() == plan
    wide = CampaignFile.model_validate(
        {**file.model_dump(), "visit": {"examples": 4}, "pay": {"base": "1", "per_verified": "0.5"}}
    )
    assert (wide.plan().visit_at_most, wide.plan().expected) == (300, 280)


SUBMITS = [
    ("https://work.example.org", "https://work.example.org/mturk/externalSubmit"),
    ("https://work.example.org/", "https://work.example.org/mturk/externalSubmit"),
    ("", "https://work.example.org/mturk/externalSubmit"),
    ("https://evil.example", "https://work.example.org/mturk/externalSubmit"),
    ("https://work.example.org.evil.example/", "https://work.example.org/mturk/externalSubmit"),
    ("https://own.example:8443/x?y", "https://own.example:8443/done"),
    ("https://[", "https://work.example.org/mturk/externalSubmit"),
]


@pytest.mark.parametrize(("said", "goes_to"), SUBMITS)
def test_where_a_hit_s_form_goes(said: str, goes_to: str) -> None:
    allowed = ("https://work.example.org", "https://own.example:8443/done")
    assert submit_address(said, allowed) == goes_to
    assert submit_address(said, ()) == ""


def test_connect_never_pays_whole_for_a_part() -> None:
    addresses = [
        "https://connect.cloudresearch.com/whole",
        "https://connect.cloudresearch.com/part",
    ]
    file = CampaignFile.model_validate(
        {"slug": "c", "task": "d", "platform": "connect", "places": 1, "return_to": addresses}
    )
    connect = platform_named("connect")
    assert connect.way_back(file, {}, "X").action == addresses[0]
    assert connect.way_back(file, {}, "X", screened_out=True).action == addresses[1]


# --- the ledger -----------------------------------------------------------------------------------
@pytest.fixture
def folder(settings: Any, tmp_path: Path) -> Path:
    settings.DATA_DIR = tmp_path
    return tmp_path


def _finished(
    task: Task, campaign: Campaign, judges: list[User], worker: str = "W1", seed: int = 1
) -> Visit:
    """A visit with two foolings, of which validators confirm the first."""
    came = come(campaign, worker)
    token, _ = world.work(came, task, (seed, seed + 1))
    came.act("finish", token)
    for judge in judges:
        cast.answer(judge, task)
    return Visit.objects.get(worker__name=worker)


@pytest.mark.django_db(transaction=True)
def test_from_work_to_a_confirmed_payment(
    task: Task, validator: User, other_validator: User, folder: Path, capsys: Any
) -> None:
    campaign = world.campaign(task)
    visit = _finished(task, campaign, [validator, other_validator])
    assert visit.seconds > 0, "up to its last act"
    assert ledger.plan(campaign) == [], "nothing before the platform's word"
    results = folder / "results.csv"
    results.write_text(
        "AssignmentId,WorkerId,AssignmentStatus\nA-W1,W1,Approved\nA-X,W9,Approved\n"
    )
    with pytest.raises(CommandError, match="1 lines"):
        call_command("pay", "pilot", results=results, dry_run=False)
    for no_csv in ("code\n" + "x" * 140_000, "code\na\0b"):
        with pytest.raises(Refused, match="This is no CSV file"):
            by_file.read_results(campaign, no_csv)
    told = by_file.read_results(campaign, "payment,state\n\x1b[2J,paid\n").refused
    assert told == ["line 2: there is no payment \ufffd[2J."]
    assert Visit.objects.get().state == "confirmed"
    payments = Payment.objects.order_by("amount")
    assert [(one.kind, one.amount, one.state) for one in payments] == [
        ("bonus", 25, "sent"),
        ("reward", 100, "sent"),
    ]
    (file,) = (folder / "pay" / "pilot").glob("*.csv")
    rows = list(csv.DictReader(io.StringIO(file.read_text())))
    assert {(row["WorkerId"], row["amount"]) for row in rows} == {("W1", "0.25"), ("W1", "1.00")}
    # The page gives the same by the ledger, until somebody has said of all of it that it is paid.
    before = file.read_text()
    assert by_file.pay_file(campaign, file.stem) == before.replace("\n", "\r\n")
    assert by_file.unpaid_files(campaign) == [(file.stem, 2, 125)]
    # Whom a payer who was killed wrote a file for, the next one names it, and plans nothing.
    file.rename(file.with_name(f".{file.name}"))
    capsys.readouterr()
    call_command("pay", "pilot", json=True)
    assert file.read_text() == before
    said = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert [said[name] for name in ("payments", "planned", "sent", "confirmed")] == [0, 0, 125, 0]
    # One that was taken away to be paid is not there to be paid again.
    file.unlink()
    assert by_api.send(campaign) == []
    assert not file.exists()

    answer = "payment,state\n" + "".join(
        f"{one.pk},{state}\n" for one, state in zip(payments, ("failed", "confirmed"), strict=True)
    )
    for changed in (2, 0):
        done = by_file.read_results(campaign, answer)
        assert (done.payments, done.refused) == (changed, [])
    assert ledger.plan_failed_again(campaign) == 1
    by_api.send(campaign)
    again = payments[0]
    assert [one.state for one in again.steps.order_by("number")] == [
        "planned", "sent", "failed", "planned", "sent",
    ]  # fmt: skip
    # The second fooling is confirmed later: only it is owed.
    for judge in (validator, other_validator):
        cast.answer(judge, task)
    call_command("pay", "pilot", dry_run=True, json=True)
    said = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert (said["payments"], said["amount"]) == (1, 25)
    assert ledger.plan(campaign)
    told = list(csv.DictReader(io.StringIO(ledger.statement(campaign))))
    assert sorted(row["earned by"].split()[0] for row in told) == [visit.code, "example", "example"]
    with pytest.raises(Refused, match="under way"):
        forget(visit=visit)
    by_api.send(campaign)
    (first, *_), (second, *_) = by_file.unpaid_files(campaign)
    assert [by_file.say_paid(campaign, one, validator) for one in (first, second, first)] == [
        1, 1, 0,
    ]  # fmt: skip
    assert by_file.pay_file(campaign, first) == ""
    assert ledger.sums(campaign)["confirmed"] == 150


@pytest.mark.django_db(transaction=True)
def test_a_line_of_results_says_whose_work_it_was_and_when(task: Task, owner: User) -> None:
    campaign = world.campaign(task)
    visit = _finished(task, campaign, [])
    began = visit.started_at
    hour = timedelta(hours=1)

    def read(of: Campaign, **fields: object) -> list[str]:
        said = {**fields, "AssignmentStatus": "Approved"}
        return by_file.read_results(of, ledger.as_csv([*said], [[*said.values()]]), owner).refused

    both = {"AssignmentId": "A-W1", "WorkerId": "W1"}
    amazon = f"{began - hour:%a %b %d %H:%M:%S PST %Y}"
    for fields, why in (
        ({"WorkerId": "W1"}, "name both AssignmentId and WorkerId"),
        ({"AssignmentId": "A-W1"}, "name both AssignmentId and WorkerId"),
        ({"code": visit.code}, "name both AssignmentId and WorkerId"),
        ({**both, "WorkerId": "W2"}, "no visit here is of this worker"),
        ({**both, "code": "ANOTHERCODE"}, "no visit here is of this worker"),
        ({**both, "AcceptTime": (began + hour).isoformat()}, "was over before it was accepted"),
        ({**both, "AcceptTime": amazon}, "was over before it was accepted"),
        ({**both, "SubmitTime": (began - hour).isoformat()}, "began after it was sent"),
        ({**both, "SubmitTime": "yesterday"}, "SubmitTime is no time"),
        ({**both, "SubmitTime": "2026-11-29T00:00:00"}, "SubmitTime is no time"),
    ):
        (line,) = read(campaign, **fields)
        assert why in line, fields
    assert Visit.objects.get().state == "finished"
    Visit.objects.update(started_at=began - hour)  # it was returned, and accepted anew
    times = {"AcceptTime": began.isoformat(), "SubmitTime": (began + hour).isoformat()}
    assert read(campaign, **both, **times, code=visit.code) == []
    assert Visit.objects.get().state == "confirmed"
    # Where the platform names no assignments the code says which visit it was, the worker does not.
    generic = world.campaign(task, slug="generic", platform="generic", return_to=[])
    came = come(generic, slot=1, assignmentId="")
    came.act("finish", world.work(came, task, (3, 4))[0])
    (line,) = read(generic, WorkerId="W1")
    assert "name the code, or both AssignmentId and WorkerId" in line
    assert read(generic, code=generic.visits.get().code) == []
    assert generic.visits.get().state == "confirmed"


@pytest.mark.django_db(transaction=True)
def test_two_payers_at_once_plan_nothing_twice(
    task: Task, validator: User, other_validator: User, folder: Path
) -> None:
    campaign = world.campaign(task)
    visit = _finished(task, campaign, [validator, other_validator])
    services.settle(visit=visit, confirmed=True, actor=None)
    races.at_once([lambda: ledger.plan(campaign)] * 3)
    assert Payment.objects.count() == Due.objects.count() == 2
    came = races.at_once([lambda: by_api.send(campaign)] * 3)
    assert not [one for one in came if isinstance(one, Exception)], came
    assert Step.objects.count() == 4
    lines = [file.read_text().count("\n") - 1 for file in (folder / "pay/pilot").glob("*.csv")]
    assert sum(lines) == 2
    # What was written stays as it was written.
    for rows in (Step.objects.all(), Due.objects.all(), visit.dues.all()):
        for act in (
            lambda rows=rows: rows.update(amount=1),
            rows.delete,
            rows[0].delete,
            rows[0].save,
        ):
            with pytest.raises(TypeError, match="ledger"):
                act()


@pytest.mark.django_db(transaction=True)
def test_words_that_come_twice_at_once_confirm_and_move_money_once(
    task: Task, owner: User, validator: User, other_validator: User, folder: Path
) -> None:
    campaign = world.campaign(task)
    visit = _finished(task, campaign, [validator, other_validator])
    results = "AssignmentId,WorkerId,AssignmentStatus\nA-W1,W1,Approved\n"

    def read() -> object:
        return by_file.read_results(campaign, results, owner)

    def confirm() -> None:
        services.settle(visit=visit, confirmed=True, actor=owner)

    came = races.at_once([read, read, confirm, services.let_count])
    assert not [one for one in came if isinstance(one, Exception)], came
    assert Event.objects.filter(verb="visit_confirmed").count() == 1
    assert check().agrees
    assert Tally.objects.get(author=visit.worker.user).submitted == 2

    def pay() -> object:
        ledger.plan(campaign)
        return by_api.send(campaign)

    came = races.at_once([pay] * 3)
    assert not [one for one in came if isinstance(one, Exception)], came
    (first, second) = Payment.objects.order_by("amount")
    paid = f"payment,state\n{first.pk},failed\n{second.pk},confirmed\n"
    (batch,) = {first.batch, second.batch}
    came = races.at_once(
        [lambda: by_file.read_results(campaign, paid)] * 2
        + [lambda: by_file.say_paid(campaign, batch, owner)]
    )
    assert not [one for one in came if isinstance(one, Exception)], came
    for payment in (first, second):
        steps = [*payment.steps.order_by("number").values_list("state", flat=True)]
        assert steps.count("confirmed") <= 1, steps


@pytest.mark.django_db(transaction=True)
def test_what_is_sent_again_stands_in_one_file(
    task: Task, validator: User, other_validator: User, folder: Path
) -> None:
    campaign = world.campaign(task)
    visit = _finished(task, campaign, [validator, other_validator])
    services.settle(visit=visit, confirmed=True, actor=None)
    ledger.plan(campaign)
    (first,) = by_api.send(campaign)
    failed = Payment.objects.get(kind="bonus")
    by_file.read_results(campaign, f"payment,state\n{failed.pk},failed\n")
    ledger.plan_failed_again(campaign)
    (second,) = by_api.send(campaign)
    lines = [
        [row["kind"] for row in csv.DictReader(io.StringIO(file.read_text()))]
        for file in (first, second)
    ]
    assert lines == [["reward"], ["bonus"]]


@pytest.mark.django_db(transaction=True)
def test_screened_out_capped_and_over_budget(
    task: Task, validator: User, other_validator: User, folder: Path
) -> None:
    check = [{"question": "?", "choices": ["a", "b"], "answer": "a"}]
    pay = {**world.PAY, "cap": "1.10"}
    campaign = world.campaign(task, check=check, pay=pay)
    came = come(campaign, "W0")
    token = came.begin()
    for _ in range(2):
        page = came.act("check", token, q0="b")
    assert "externalSubmit" not in page.content.decode(), "that would be paid as a whole"
    came = come(campaign, "W1")
    token = came.begin()
    came.act("check", token, q0="a")
    for seed in (1, 2):
        world.submit(token, task, seed)
    came.act("finish", token)
    for _ in range(2):
        for judge in (validator, other_validator):
            cast.answer(judge, task)
    services.settle(visit=Visit.objects.get(worker__name="W1"), confirmed=True, actor=None)
    found = [(one.payment.kind, one.payment.amount) for one in ledger.plan(campaign, write=False)]
    assert found == [("reward", 100), ("bonus", 10)]
    # Also who was screened out is owed by the platform's word, and never the whole reward.
    by_file.read_results(campaign, "AssignmentId,WorkerId,AssignmentStatus\nA-W0,W0,Returned\n")
    assert Visit.objects.get(worker__name="W0").state == "screened_out"
    found = [(one.payment.kind, one.payment.amount) for one in ledger.plan(campaign, write=False)]
    assert found == [("bonus", 10), ("reward", 100), ("bonus", 10)]
    # In whatever order verdicts come, what was paid counts towards the cap.
    assert sum(one.payment.amount for one in ledger.plan(campaign)) == 120
    bonus = Due.objects.get(earned_by="fooling")
    Example.objects.filter(pk=bonus.example_id).update(hidden_at=timezone.now())
    assert ledger.plan(campaign, write=False) == [], "the other one finds nothing left"
    Campaign.objects.update(data={**campaign.data, "pay": {**pay, "budget": "1.19"}})
    with pytest.raises(ValueError, match="budget"):
        ledger.plan(Campaign.objects.get())


@pytest.mark.django_db(transaction=True)
def test_a_budget_goes_on_holding_all_who_may_be_owed(task: Task) -> None:
    more: dict[str, Any] = {
        "places": 1, "check": [{"question": "?", "choices": ["a", "b"], "answer": "a"}]
    }  # fmt: skip
    campaign = world.campaign(task, pay={**world.PAY, "budget": "9.00"}, **more)
    for name in ("W1", "W2", "W3"):
        came = come(campaign, name)
        token = came.begin()
        for _ in range(2):
            came.act("check", token, q0="b")
    come(campaign, "W4").begin()
    for budget in ("1.79", None):
        with pytest.raises(Refused, match="may be owed by now to those who came"):
            world.campaign(task, pay={**world.PAY, "budget": budget}, **more)
    world.campaign(task, pay={**world.PAY, "budget": "1.80"}, **more)


@pytest.mark.django_db(transaction=True)
def test_pages_ask_as_much_about_many_as_about_few(task: Task, owner: User, client: Client) -> None:
    client.force_login(owner)
    pages = [reverse("campaigns", args=[task.slug]), reverse("campaign", args=[task.slug, "pilot"])]
    asked = []
    for n, slug in enumerate(("pilot", "more")):
        world.campaign(task, work="both", slug=slug)
        for seed, campaign in enumerate(Campaign.objects.all(), start=1 + 10 * n):
            world.work(come(campaign, f"W{seed}"), task, (seed,))
        now = timezone.now()
        Visit.objects.update(state="confirmed", finished_at=now, settled_at=now)
        with CaptureQueriesContext(connection) as sent:
            shown = [client.get(page) for page in pages]
        asked.append(len(sent))
        Visit.objects.update(signals={"paste": 1, "away": 2, "burst": 3})
    assert asked[0] == asked[1]
    assert "1, 2, 3" in world.words(shown[1])
    assert "Answers" in world.words(shown[1])
    assert "2 of 3" in world.words(shown[0]), "free places"


def test_what_a_vote_said_is_compared_as_people_read_it(db: None) -> None:
    config = cast.text_task(input="text_multilabel", labels=["a", "b"]).config
    example = Example(config=config, status="verified", label=["a", "b"])
    assert earned.is_correct(Vote(example=example, label=["b", "a"], purpose="verdict"))


def test_statements_hold_no_formulas() -> None:
    text = ledger.as_csv(["a"], [["=1+1"], ["+1"], ["-1"], ["@x"], ["\t="], ["plain"]])
    assert text.splitlines()[1:] == ["'=1+1", "'+1", "'-1", "'@x", "'\t=", "plain"]


@pytest.mark.django_db(transaction=True)
def test_signals_are_shown_with_how_often_they_are_wrong(
    task: Task, owner: User, client: Client
) -> None:
    campaign = world.campaign(task, places=8)
    # What validators made of each visit's foolings, whether it is confirmed, and its pastes.
    told = [
        (["verified", "verified"], "confirmed", 2),
        (["verified"], "confirmed", 0),
        (["verified"], "finished", 5),
        (["verified", "open"], "confirmed", 1),
        (["rejected", "relabelled"], "confirmed", 1),
        (["rejected"], "rejected", 1),
        (["verified", "rejected"], "confirmed", 1),
    ]
    client.force_login(owner)
    page = reverse("campaign", args=[task.slug, "pilot"])
    for n, (verdicts, state, pastes) in enumerate(told):
        token = come(campaign, f"W{n}").begin()
        if not n:
            assert "once validators have judged" in world.words(client.get(page))
        for seed, verdict in enumerate(verdicts, start=10 * n):
            made = world.submit(token, task, seed)
            settled_at = None if verdict == "open" else timezone.now()
            Example.objects.filter(pk=made.pk).update(status=verdict, settled_at=settled_at)
        signals = {"paste": pastes, "away": 3} if pastes else {}
        Visit.objects.filter(worker__name=f"W{n}").update(
            state=state, finished_at=timezone.now(), signals=signals
        )
    shown = world.words(client.get(page))
    assert "All confirmed (2 visits)" in shown
    assert "None confirmed (2 visits)" in shown
    assert "Pastes 1 of 2, 50 % (9.5 % to 91 %) 2 of 2, 100 % (34 % to 100 %)" in shown
    assert "Bursts 0 of 2, 0 % (0 % to 66 %) 0 of 2" in shown
    # Of who was forgotten no signals are known.
    Worker.objects.filter(name="W0").update(name="forgotten x", forgotten_at=timezone.now())
    assert "Pastes 0 of 1," in world.words(client.get(page))


@pytest.mark.django_db(transaction=True)
def test_the_admin_site_leads_to_campaigns_and_loads_one(
    task: Task, owner: User, client: Client
) -> None:
    cast.digits_task(cast.person("otto", "owner"), slug="others", name="Others")
    client.force_login(owner)
    there = "/admin/crowd/campaign/"
    assert f"{there}load/" in client.get(there).content.decode()

    def load(text: str) -> Any:
        upload = SimpleUploadedFile("pilot.yaml", text.encode())
        return client.post(f"{there}load/", {"file": upload})

    for text, why in (
        (LEAST.replace("task: digits", "task: others") + "}", "no task others of yours"),
        ("slug: [", "not YAML"),
    ):
        assert why in load(text).context["form"].errors["file"][0]
    answer = load(LEAST + "}")
    campaign = Campaign.objects.get()
    page = reverse("campaign", args=["digits", campaign.slug])
    assert answer["Location"] == page
    for shown in (there, f"{there}{campaign.pk}/change/"):
        assert f'href="{page}"' in client.get(shown).content.decode()
    # Those of others are theirs.
    client.force_login(User.objects.get(username="otto"))
    assert campaign.slug not in client.get(there).content.decode()
    assert client.get(f"{there}{campaign.pk}/change/").status_code == 302
    client.force_login(cast.person("anna"))
    assert load(LEAST + "}").status_code == 302


@pytest.mark.django_db(transaction=True)
def test_terms_hold_and_the_floor_is_kept(task: Task, owner: User) -> None:
    with pytest.raises(Refused, match="less than the floor"):
        world.campaign(task, pay={**world.PAY, "minimum_hourly": "20.01"})
    campaign = world.campaign(task)
    come(campaign).begin()
    with pytest.raises(Refused, match="under the pay"):
        world.campaign(task, pay={**world.PAY, "base": "0.50"})
    assert world.campaign(task, places=5).file.places == 5
    # By what is stored, not by what this page knew.
    assert campaigns.extend(campaign=campaign, places=2, actor=owner).slots.count() == 7
    for change in (
        {"return_to": "https://elsewhere.example"},
        {"frame": "https://elsewhere.example"},
        {"time_limit": 60},
        {"consent": {"text": "I agree.", "keep": False}},
        {"consent": {"text": "All is yours.", "version": campaign.file.consent.version}},
        {"parameters": {"worker": "pid"}},
        {"check": [{"question": "?", "choices": ["a", "b"], "answer": "a"}]},
    ):
        with pytest.raises(Refused, match="People have begun under the"):
            world.campaign(task, places=7, **change)
    more = ["https://work.example.org/mended", "https://also.example"]
    world.campaign(task, places=7, time_limit=180, consent="I agree again.", return_to=more)
    bound = world.campaign(task, slug="bound", pay={**world.PAY, "budget": "5.00"})
    with pytest.raises(Refused, match="more than the budget"):
        campaigns.extend(campaign=bound, places=1, actor=owner)
    assert Campaign.objects.get(pk=bound.pk).file.budget == 500
    panel: dict[str, Any] = {"slug": "p", "platform": "panel", "return_to": []}
    people = world.campaign(task, people=["ann", "ben"], places=2, **panel)
    come(people, slot=1).begin()
    with pytest.raises(Refused, match="under the people"):
        world.campaign(task, people=["ben", "ann"], places=2, **panel)
    wider = world.campaign(task, people=["ann", "ben", "cay"], places=3, **panel)
    assert "Welcome back" in world.words(come(wider, slot=1).page)
    # The floor is one of real minutes too, also where nothing is annotated.
    slow = world.campaign(
        task, slug="slow", platform="panel", work="validate", return_to=[],
        pay={"base": "1.00", "minimum_hourly": "12.00"},
    )  # fmt: skip
    come(slow, slot=1).begin()
    now = timezone.now()
    slow.visits.update(state="finished", finished_at=now, seconds=301)
    with pytest.raises(Refused, match="as the visits so far took"):
        campaigns.extend(campaign=slow, places=1, actor=owner)
    # Of whoever asks for the same it is known by then what that means.
    next_one = world.campaign(
        task, slug="next", platform="panel", work="validate", return_to=[], pay={"base": "2.00"}
    )
    told = campaigns.costs_in_words(next_one).replace("\xa0", " ")
    assert "As the visits of slow went (5.0 minutes): 6.00 USD; 23.92 USD an hour sure" in told
    campaigns.set_state(campaign=campaign, state="ended", actor=owner)
    with pytest.raises(Refused, match="ended"):
        campaigns.set_state(campaign=campaign, state="open", actor=owner)
    with pytest.raises(Refused, match="ended"):
        campaigns.extend(campaign=campaign, places=1, actor=owner)


@pytest.mark.django_db(transaction=True)
def test_a_campaign_is_its_task_s_owners(task: Task) -> None:
    campaign = world.campaign(task, places=1, platform="panel", people=["ann"], return_to=[])
    theirs = cast.text_task(slug="theirs")
    other_owner = cast.person("oscar", "owner")
    theirs.owners.add(other_owner)
    file = world.file(theirs, places=9, pay={**world.PAY, "base": "9.00"})
    with pytest.raises(Refused, match="choose another slug"):
        campaigns.load_campaign(file=file, actor=other_owner)
    assert Campaign.objects.get().data == campaign.data
    # Nor is their "ann" the one of this task.
    other = world.campaign(
        theirs, slug="mine", places=1, platform="panel", people=["ann"], return_to=[]
    )
    for one in (campaign, other):
        come(one, slot=1).begin()
    assert Worker.objects.filter(name="ann").count() == 2


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("keep", [True, False])
def test_data_and_forgetting_by_the_same_link(
    task: Task, validator: User, other_validator: User, folder: Path, keep: bool
) -> None:
    campaign = world.campaign(task, consent={"text": "I agree.", "keep": keep})
    visit = _finished(task, campaign, [validator, other_validator])
    came = come(campaign)
    rows = [json.loads(line) for line in came.act("data").content.decode().splitlines()]
    assert [row["kind"] for row in rows] == ["person", "example", "example", "visit"]
    assert (rows[-1]["name"], rows[-1]["code"]) == ("W1", visit.code)
    assert "would be lost" in world.words(came.act("forget"))
    services.settle(visit=visit, confirmed=False, actor=validator, reason="Hers was hasty.")
    services.settle(visit=visit, confirmed=True, actor=validator)  # who was wrong about it
    ledger.plan(campaign)
    (file,) = by_api.send(campaign)
    assert "W1" in file.read_text()
    assert "under way" in world.words(came.act("forget", gives_up="on"))
    Payment.objects.update(state="failed")
    assert "would be lost" in world.words(came.act("forget"))
    before, points = visit.worker.user.pseudonym, record.chain_of(task, [])
    assert "You are forgotten" in world.words(came.act("forget", gives_up="on"))
    (rejected,) = Event.objects.filter(verb="visit_rejected").values_list("id", flat=True)
    assert record.repeat(task, points) == [rejected], "all else of it is still proven"
    worker = Worker.objects.get()
    assert "W1" not in worker.name
    assert worker.user.closed_at is not None
    assert worker.user.pseudonym != before
    assert Visit.objects.get().code != visit.code, "the platform's results have it beside a name"
    kept = worker.user.examples.filter(retracted_at=None).exclude(input={})
    assert kept.count() == (2 if keep else 0)
    assert ContentKey.objects.exists() == keep
    assert worker.user.examples.count() == 2
    # Nor does what we gave out, or kept, lead from their name to what they made.
    assert "W1" not in file.read_text()
    told = list(csv.DictReader(io.StringIO(ledger.statement(campaign))))
    assert {(row["payment"], row["person"], row["code"]) for row in told} == {("", "forgotten", "")}
    assert "hasty" not in str(list(Event.objects.values_list("data", flat=True)))
    agreed = {"consent": campaign.file.agreement}
    back = come(campaign, "W1", assignmentId="another").act("begin", **agreed)
    assert "forgotten here, and that is for good" in world.words(back)
    assert Worker.objects.count() == 1
    # Nothing more goes to nobody: neither what failed nor what is confirmed later.
    if keep:
        for judge in (validator, other_validator):
            cast.answer(judge, task)
    assert (ledger.plan_failed_again(campaign), ledger.plan(campaign)) == (0, [])


def test_the_files_that_page_and_docs_show_are_some(
    task: Task, owner: User, client: Client
) -> None:
    docs = Path(settings.BASE_DIR, "docs/crowd.md").read_text()
    written = re.search(r"```yaml\n(.*?)```", docs, re.DOTALL)
    assert written
    pilot = campaigns.load_campaign(file=read_campaign_file(written[1]), actor=owner)[0]
    assert (pilot.slug, pilot.slots.count()) == ("pilot", 20)
    Campaign.objects.all().delete()
    client.force_login(owner)
    address = reverse("campaigns", args=[task.slug])
    shown = re.search(r"<code>(slug: .*?)</code>", client.get(address).content.decode(), re.DOTALL)
    assert shown
    upload = SimpleUploadedFile("pilot.yaml", html.unescape(shown[1]).encode())
    assert client.post(address, {"file": upload}).status_code == 302
