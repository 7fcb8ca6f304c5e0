"""One round's page, its REST twin, its pictures: the same numbers, and what may be concluded."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import time_machine
from django.core.cache import cache
from django.core.management import call_command
from django.test import Client
from django.utils import timezone

from accounts.models import User, WorkSession
from annotate.models import Context, Example, RoundVisit, Task
from dadc_server.web import process
from scoring import kept, plots, warming
from scoring import round_report as round_report_module
from scoring.queries import model_board
from scoring.round_report import round_report
from scoring.statistics import clustered
from tests import acts, cast
from tests.pins import Pins
from validate.acts.ban import set_barred

PAGE = "/tasks/nli/rounds/2/"


def lines() -> Iterator[dict[str, object]]:
    """Two rounds of three authors about two sources: in each the second round does better, but it
    has more of the source that is harder."""
    plan = {(1, "wiki"): (8, 1), (1, "news"): (2, 1), (2, "wiki"): (2, 1), (2, "news"): (8, 5)}
    votes = []
    for (number, source), (all_, right) in plan.items():
        for author in range(3):
            for place in range(all_):
                name = f"{number}-{source}-{author}-{place}"
                yield {
                    "kind": "example",
                    "id": name,
                    "round": number,
                    "author": f"p-{author}",
                    "input": {"context": f"{source} {place}", "hypothesis": name},
                    "context": {"context": f"{source} {place}"},
                    "label": "e",
                    "prediction": "n" if place % 2 else "c",
                    "probabilities": {"e": 0.1, "n": 0.6, "c": 0.3},
                    "model": f"reader-{number}",
                }
                said = "e" if place < right else "n"
                votes += [
                    {"kind": "vote", "example": name, "validator": f"v-{one}", "label": said}
                    for one in range(2 if place or number == 1 else 1)
                ]
    yield from votes


@pytest.fixture
def nli(owner: User, tmp_path: Path) -> Task:
    task = cast.digits_task(
        owner, slug="nli", input="text_pair", labels=["e", "n", "c"],
        validation={"policy": "two_plus_one"},
    )  # fmt: skip
    file = tmp_path / "log.jsonl"
    file.write_text("".join(f"{json.dumps(line)}\n" for line in lines()))
    call_command("import_log", "nli", str(file), "--json")
    for context in Context.objects.all():
        context.source = context.data["context"].split()[0]
        context.tags = ["numbers"] if context.data["context"].endswith("1") else []
        context.save(update_fields=["source", "tags"])
    return task


def test_a_round_says_its_rates_parts_cost_and_what_may_be_concluded(
    nli: Task, client: Client, owner: User, pinned: Pins
) -> None:
    report = round_report(nli, 2)
    assert report is not None
    counts = report.row.counts
    # Each of three authors: 10 sent, 6 to be confirmed, two of which still wait for a second vote.
    assert (counts.submitted, counts.fooled, counts.verified, counts.pending) == (30, 30, 12, 6)
    assert report.row.vmer.interval == clustered([4, 4, 4], [10, 10, 10])
    assert (report.decided, report.verified_of_decided.value) == (24, 0.5)
    assert report.verified_of_decided.interval == clustered([4, 4, 4], [8, 8, 8])
    assert report.at_most == 18 / 30
    assert [(part.name, part.submitted, part.verified) for part in report.by_source] == [
        ("news", 24, 12), ("wiki", 6, 0),
    ]  # fmt: skip
    assert [(part.name, part.submitted) for part in report.by_tag] == [("numbers", 6)]
    assert [part.name for part in report.by_label] == ["e"]
    assert report.cost.submissions == 30 / 12
    assert report.cost.seconds.median is None, "a log has no times"
    assert dict(report.funnel)["decided"] == 24
    (mistakes,) = [row for row in report.mistakes if row.votes]
    assert {cell.said: cell.count for cell in mistakes.cells if cell.count} == {"n": 6, "c": 6}
    (bin_,) = report.bins
    assert (bin_.sure, bin_.items, bin_.right) == (pytest.approx(0.6), 30, 0)
    (other,) = report.compared
    assert (other.number, other.strata) == (1, "sources")
    assert other.raw.value == pytest.approx(12 / 30 - 6 / 30)
    assert other.within is not None
    assert (other.within.share_now, other.within.strata) == (1, 2)
    assert "undecided" in other.words

    html = client.get(PAGE).content.decode()
    assert other.words in html
    assert "If all were confirmed the verified rate would be 60 %" in html
    body = client.get("/api/v1/tasks/nli/rounds/2/").json()
    assert body["round"]["vmer"]["value"] == report.row.vmer.value
    assert body["compared"][0]["words"] == other.words
    assert body["compared"][0]["within"]["difference"]["low"] == (
        other.within.difference.interval.low
    )
    assert body["intervals"]["Anytime"][0] < body["intervals"]["Wilson"][0]
    with pinned.queries("page round/ while nothing changed"):
        client.get(PAGE)

    # Pictures in the page's colours, with their numbers as files.
    names = set(
        re.findall(r'class="plot__picture"[^>]*aria-labelledby="plot-([a-z]+)-title"', html)
    )
    assert names == {"funnel", "rounds", "sources", "surety"}
    inside = "".join(re.findall(r"<svg.*?</svg>", html, flags=re.DOTALL))
    assert "var(--accent)" in inside
    assert "style" not in inside, "the page's policy forbids it"
    ids = re.findall(r'\bid="([^"]+)"', html)
    assert len(ids) == len(set(ids))

    drawn = client.get(f"{PAGE}sources.svg")
    assert drawn["Content-Type"] == "image/svg+xml"
    assert "attachment" in drawn["Content-Disposition"]
    assert "var(" not in drawn.content.decode()
    told = client.get(f"{PAGE}sources.csv").content.decode().splitlines()
    assert told[0] == (
        "source,rate,low,high,verified,submitted,MER,pending share,tries,seconds,"
        "submissions each,votes each"
    )
    assert told[1].startswith("news,0.5,")
    assert told[1].endswith(",12,24,1.0,0.125,1.0,,2.0,3.5")
    for missing in ("labels.svg", "nothing.csv", "sources.png"):
        assert client.get(f"{PAGE}{missing}").status_code == 404

    # Owners look at the verified foolings.
    assert client.get(f"{PAGE}foolings/").status_code == 404, "gold may be among them"
    client.force_login(owner)
    with pinned.queries("page foolings/"):
        html = client.get(f"{PAGE}foolings/").content.decode()
    assert html.count("Its author says") == 12
    for query, wanted in (
        ("prediction=n", 6),
        ("source=news", 12),
        ("tag=numbers", 3),
        ("label=bad&before=x", 12),
    ):
        found = client.get(f"{PAGE}foolings/?{query}").content.decode()
        assert found.count("Its author says") == wanted, query
    assert client.get("/tasks/nli/rounds/9/foolings/").status_code == 404


@pytest.mark.parametrize("where", ["server", "task"])
def test_who_is_banned_counts_nowhere_until_the_ban_is_lifted(
    nli: Task, client: Client, owner: User, where: str
) -> None:
    def told() -> list[Any]:
        report, board = round_report(nli, 2), model_board(nli)
        assert report is not None
        pages = [client.get(f"{PAGE}{name}").content for name in ("sources.csv", "foolings/")]
        models = [client.get(f"/api/v1/models/{row.id}/").json()["record"] for row in board]
        days = client.get("/api/v1/tasks/nli/leaderboard/?days=30").json()
        return [report, board, pages, models, days]

    client.force_login(owner)
    idle = cast.person("idle")
    session = WorkSession.objects.create(kind="local", user=idle)
    RoundVisit.objects.create(round=nli.rounds.get(number=2), session=session)
    before = told()
    assert dict(before[0].funnel)["visits"] == 1
    ban = {"actor": owner, "user": idle}
    if where == "server":
        acts.set_banned(**ban, banned=True, reason="scripts")
    else:
        set_barred(**ban, task=nli, barred=True, reason="scripts")
    cache.clear()
    before = told()
    assert "visits" not in dict(before[0].funnel), "who submitted nothing is out, too"
    for banned in (True, False):
        ban = {"actor": owner, "user": User.objects.get(username__startswith="p-0")}
        if where == "server":
            acts.set_banned(**ban, banned=banned, reason="spam, or not")
        else:
            set_barred(**ban, task=nli, barred=banned, reason="spam, or not")
        report, board, pages, models, days = told()
        if banned:
            assert (report.row.authors, report.row.counts.submitted) == (2, 20)
            assert sum(part.submitted for part in report.by_source) == 20
            assert sum(row.votes for row in report.mistakes) == report.row.counts.verified == 8
            assert [one.items for one in report.bins] == [20]
            assert report.cost.votes == 32 / 8
            assert [row.mer.of for row in board] == [20, 20]
            assert pages[1].count(b"Its author says") == 8
            assert models[0]["submitted"] == 20
            assert len(days["authors"]) == 2
        call_command("recompute", "--check")
    assert told()[:2] == before[:2]


def test_parts_tell_what_a_verified_fooling_takes_there_and_how_many_are_not_shown(
    nli: Task, client: Client, owner: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(round_report_module, "SHOWN", 2)
    Context.objects.filter(data__context="wiki 1").update(source="web")
    verified = Example.objects.filter(round__number=2, status="verified")
    timed = verified.order_by("id").values_list("pk", flat=True)[:3]
    Example.objects.filter(pk__in=list(timed)).update(seconds=60, probes=3, tries=4)
    report = round_report(nli, 2)
    assert report is not None
    # Of three of thirty the time is known: that of the others is taken to be like theirs.
    assert (report.cost.author_seconds, report.cost.timed) == (60 * 30 / 12, 3)
    assert report.cost.probes == 3
    news, _ = report.by_source
    assert (news.name, news.tries, news.seconds) == ("news", 1, 60)
    assert (news.submissions_each, news.votes_each) == (24 / 12, 42 / 12)
    assert (news.mer.value, news.pending) == (1, 3)
    assert (report.sources, report.left_out["by_source"]) == (("news", "web", "wiki"), 1)
    html = client.get(PAGE).content.decode()
    assert "known of 3 of 30" in html
    assert "And 1 more" in html
    client.force_login(owner)
    assert 'value="wiki"' in client.get(f"{PAGE}foolings/").content.decode()
    told = client.get("/api/v1/tasks/nli/rounds/2/").json()
    assert told["left_out"] == {"by_source": 1, "by_tag": 0}
    assert (told["by_source"][0]["seconds"], told["cost"]["timed"]) == (60, 3)


def test_what_is_shared_is_told_of_the_whole_rounds(nli: Task) -> None:
    Context.objects.filter(source="news").update(source="")
    report = round_report(nli, 2)
    assert report is not None
    within = report.compared[0].within
    assert within is not None
    assert (within.share_now, within.share_before) == (6 / 30, 24 / 30)


def test_what_is_kept_is_read_anew_when_a_verdict_changes_and_names_are_text(
    nli: Task, client: Client, owner: User
) -> None:
    before = round_report(nli, 2)
    Context.objects.filter(source="news").update(source="=1+1 <script>$x$")
    example = Example.objects.filter(round__number=2, status="verified").first()
    assert example is not None
    acts.adjudicate(actor=owner, example_id=example.pk, status="rejected", reason="It is not.")
    after = round_report(nli, 2)
    assert before is not None
    assert after is not None
    assert before.by_source[0].verified - after.by_source[0].verified == 1

    html = client.get(PAGE).content.decode()
    assert "<script>$x$" not in html
    assert "=1+1 &lt;script&gt;$x$" in html
    assert "\n'=1+1 <script>$x$," in client.get(f"{PAGE}sources.csv").content.decode()


@pytest.mark.once
def test_people_see_the_last_numbers_while_the_next_are_made_and_programs_wait_for_these(
    nli: Task, client: Client, owner: User, settings: Any, monkeypatch: pytest.MonkeyPatch,
    pinned: Pins,
) -> None:  # fmt: skip
    settings.BOARD_SECONDS = 60
    aside: list[Callable[[], None]] = []
    monkeypatch.setattr(kept, "_aside", aside.append)
    monkeypatch.setattr(kept, "A_MOMENT", 0.0)  # as if making them took long
    monkeypatch.setattr(kept, "BUSY", 0)  # but not as if it took longer still
    monkeypatch.setattr(plots, "warm_up", lambda: None)
    began = timezone.now()

    def verified(after: int, path: str = PAGE, **headers: str) -> str:
        with time_machine.travel(began + timedelta(seconds=after), tick=False):
            response = client.get(path, headers=headers)
        html = response.content.decode()
        return html if response.status_code == 200 else str(response.status_code)

    def reject() -> None:
        example = Example.objects.filter(round__number=2, status="verified").first()
        assert example is not None
        acts.adjudicate(actor=owner, example_id=example.pk, status="rejected", reason="It is not.")

    with time_machine.travel(began, tick=False):
        warming.warm_up()
    html = verified(1)
    assert "12 of 30" in html
    (again,) = re.findall(r'hx-get="([^"]+)"', html)
    reject()
    assert verified(59, again, **{"HX-Request": "true"}) == "204"
    assert not aside
    assert "12 of 30" in verified(61), "nobody waits"
    (make_next,) = aside
    with time_machine.travel(began + timedelta(seconds=62), tick=False):
        make_next()
        with pinned.queries("page round/, made before"):
            client.get(PAGE)
        with pinned.queries("a round's picture, made before"):
            client.get(f"{PAGE}sources.svg")
    html = verified(63, again, **{"HX-Request": "true"})
    assert "11 of 30" in html
    assert "<html" not in html

    reject()
    rest = "/api/v1/tasks/nli/rounds/2/"
    assert json.loads(verified(124, rest))["round"]["counts"]["verified"] == 11
    assert json.loads(verified(185, rest))["round"]["counts"]["verified"] == 10, "it waits"
    assert "10 of 30" in verified(186), "the same numbers"
    reject()
    assert "9 of 30" in verified(185 + 3_700), "after an hour a page waits, too"


def test_a_round_that_is_none_and_one_in_which_nothing_was_sent(task: Task, client: Client) -> None:
    for number in ("2", "9" * 40):
        assert client.get(f"/tasks/digits/rounds/{number}/").status_code == 404
        assert client.get(f"/api/v1/tasks/digits/rounds/{number}/").status_code == 404
    assert "Nothing submitted yet" in client.get("/tasks/digits/rounds/1/").content.decode()


def test_a_web_process_loads_what_pictures_need_before_somebody_waits_for_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    warm = threading.Event()
    real = plots.warm_up

    def warmed() -> None:
        real()
        warm.set()

    monkeypatch.setattr(plots, "warm_up", warmed)
    monkeypatch.setattr(process, "WARM_AFTER", 0)
    monkeypatch.setattr(process.UvicornWorker, "load_wsgi", lambda self: None)
    monkeypatch.setattr(process.gc, "freeze", lambda: None)
    process.Worker.load_wsgi(object.__new__(process.Worker))
    assert warm.wait(cast.PATIENCE)
