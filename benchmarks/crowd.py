"""Crowds by link: `python -m benchmarks.crowd visits|pages|places|ledger [--times N]`.

`visits`: that many people open a link, agree and see a first prediction, within a minute, within
ten seconds and at one moment, on PostgreSQL with a web process for each of two cores. `pages`: what
each page takes of a processor, one after the other. `places`: one place's link opened by two at the
same moment. `ledger`: the payer is killed while a platform answers late, with 500, or not at all,
having paid or not.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import re
import signal
import statistics
import tempfile
import time
import uuid
from collections import Counter
from pathlib import Path
from typing import Any

import aiohttp

from benchmarks.drawings import take
from benchmarks.servers import World, databases, ours

CAMPAIGN = "{slug: bench, task: digits, platform: hit, places: %d, pay: {base: '1.00'}}"
SECONDS = (60.0, 10.0, 0.0)


# --- visits ---------------------------------------------------------------------------------------
def visits(times: int) -> None:
    for over in SECONDS:
        with ours("postgresql", workers=2) as world:
            file = Path(world.data) / "campaign.yaml"
            file.write_text(CAMPAIGN % times)
            done = world.manage("load_campaign", str(file))
            assert not done.returncode, done.stderr
            before = world.server.cpu()
            took = asyncio.run(_all_come(world, times, over))
            cpu = ", ".join(
                f"{part} {1000 * (seconds - before[part]) / times:.0f}"
                for part, seconds in world.server.cpu().items()
            )
            print(f"{times} visits within {over:.0f} s: {took.pop('lost')} lost; load", end=" ")
            print(f"{os.getloadavg()[0]:.1f}; ms of a processor a visit: {cpu}", flush=True)
            for page, seconds in took.items():
                cut = statistics.quantiles([1000 * one for one in seconds], n=20)
                print(f"  {page}: p50 {cut[9]:.0f} ms, p95 {cut[18]:.0f} ms")


async def _all_come(world: World, times: int, over: float) -> dict[str, Any]:
    pages = ("a guest's page", "link", "agreed", "first prediction")
    took: dict[str, Any] = {**{page: [] for page in pages}, "lost": 0}
    png = next(iter(take(0, 1)))[1]
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(connector=connector, cookie_jar=aiohttp.DummyCookieJar()) as s:

        async def visit(number: int) -> None:
            await asyncio.sleep(over * number / times)
            address = f"{world.server.url}/hit/bench/"
            query = {"workerId": f"W{number}", "assignmentId": f"A{number}", "hitId": "H"}
            # The page that guests get, as a yardstick for this machine at this moment.
            await timed("a guest's page", s.get(f"{world.server.url}/tasks/digits/"))
            page = await timed("link", s.get(address, params=query))
            consent = re.search(r'name="consent" value="([^"]+)"', page)
            body = {"act": "begin", "consent": consent[1] if consent else ""}
            page = await timed("agreed", s.post(address, params=query, data=body))
            ticket = re.search(r'"ticket": "([^"]+)"', page)
            if ticket is None:
                took["lost"] += 1
                return
            began = time.perf_counter()
            socket_address = f"{world.server.url}/ws/tasks/digits/?ticket={ticket[1]}"
            async with s.ws_connect(socket_address) as socket:
                frame = {"type": "predict", "seq": 1, "input": {"png": png}}
                await socket.send_str(json.dumps(frame))
                while json.loads(await socket.receive_str())["type"] != "prediction":
                    pass
            took["first prediction"].append(time.perf_counter() - began)

        async def timed(name: str, call: Any) -> str:
            began = time.perf_counter()
            async with call as answer:
                text: str = await answer.text()
            took[name].append(time.perf_counter() - began)
            return text

        await asyncio.gather(*map(visit, range(times)))
    return took


# --- in this process ------------------------------------------------------------------------------
def _world(places: int, platform: str) -> Any:
    """A task with a campaign of so many places, on the database that the environment names."""
    import django

    django.setup()
    from django.conf import settings
    from django.core.management import call_command

    from tests import cast
    from tests.crowd import world

    call_command("migrate", verbosity=0, interactive=False)
    settings.ARTIFACT_DIR.mkdir(exist_ok=True)
    return world.campaign(
        cast.digits_task(),
        slug="bench",
        platform=platform,
        places=places,
        return_to=[],
        codes={"complete": "C1"},
    )


def pages(times: int) -> None:
    """Milliseconds of this process and queries of each page, beside a guest's."""
    with tempfile.TemporaryDirectory() as folder, databases("postgresql") as (addresses, _):
        os.environ |= {"DADC_DATA": folder, "DADC_LIMITS": "off", "DADC_ALLOWED_HOSTS": "*"}
        os.environ |= addresses
        campaign = _world(times + 2, "hit")
        from django.core.management import call_command
        from django.db import connection
        from django.test.utils import CaptureQueriesContext

        from tests.crowd.world import browser, call, come, token_in

        call_command("collectstatic", verbosity=0, interactive=False)
        consent, tokens = campaign.file.agreement, []

        def agree(n: int) -> None:
            tokens.append(token_in(come(campaign, f"W{n}").act("begin", consent=consent)))

        for page, look in {
            "a guest's page": lambda _: browser().get("/tasks/digits/"),
            "link": lambda n: come(campaign, f"W{n}").page,
            "agreed": agree,
            "ticket": lambda n: call(tokens[n], "visits/this/ticket/"),
            "at work": lambda n: call(tokens[n], "visits/this/"),
        }.items():
            look(0)
            with CaptureQueriesContext(connection) as asked:
                look(1)
            queries = len(asked)  # they are forgotten with the next request
            began = time.process_time()
            for n in range(2, times + 2):
                look(n)
            cpu = 1000 * (time.process_time() - began) / times
            print(f"{page}: {cpu:.1f} ms, {queries} queries", flush=True)


def places(times: int) -> None:
    with tempfile.TemporaryDirectory() as folder, databases("postgresql") as (addresses, _):
        os.environ |= {"DADC_DATA": folder, **addresses}
        campaign = _world(times, "generic")
        from core.errors import Refused
        from crowd import entering
        from crowd.models import Visit
        from crowd.platforms import Arrival
        from tests.races import at_once

        def come(worker: str, slot: int) -> Any:
            return lambda: entering.begin(
                campaign=campaign,
                arrival=Arrival(worker, f"A-{worker}", "generic", slot),
                consent=campaign.file.agreement,
            )

        seen: Counter[str] = Counter()
        for slot in range(1, times + 1):
            came = at_once([come(f"{who}{slot}", slot) for who in "ab"])
            lost = [one.code for one in came if isinstance(one, Refused)]
            other = [one for one in came if isinstance(one, Exception)]
            seen["one won, the other was told"] += lost == ["slot_taken"] and len(other) == 1
        held = Visit.objects.filter(state="open").values_list("slot", flat=True)
        seen["double"] = len(held) - len(set(held))
        print(f"{times} places, each opened by two: {dict(seen)}")


def ledger(times: int) -> None:
    """Kill the payer so many times; then let all be settled, and compare it with the truth."""
    with tempfile.TemporaryDirectory() as folder:
        os.environ |= {"DADC_DATA": folder, "DATABASE_URL": "", "REDIS_URL": ""}
        os.environ["DADC_PROLIFIC_TOKEN"] = "key"
        campaign = _world(times * 2, "prolific")
        from datetime import timedelta

        from django.conf import settings
        from django.db import connections

        from crowd import by_api, by_file
        from crowd import ledger as book
        from crowd.models import Payment
        from crowd.platforms import prolific
        from tests.crowd.stand_in import StandIn

        rng = random.Random(5)
        moods = ("ok", "late", "500 paid", "500", "silent paid", "silent")
        stand_in = StandIn(lambda _: rng.choice(moods), pause=0.3)
        settings.CROWD = {**settings.CROWD, "prolific_url": stand_in.url}
        prolific.SECONDS, by_api.LATE = 0.2, timedelta()  # type: ignore[misc]
        _visits_that_earn(campaign, times * 2)
        book.plan(campaign)
        kills = 0
        while kills < times:
            before = len(stand_in.prepared) + sum(stand_in.approved.values())
            connections.close_all()
            child = os.fork()
            if not child:
                try:
                    by_api.send(campaign)
                finally:
                    os._exit(0)
            until = time.monotonic() + 20
            while time.monotonic() < until:
                if len(stand_in.prepared) + sum(stand_in.approved.values()) > before:
                    break
                time.sleep(0.002)
            time.sleep(rng.uniform(0, 0.25))
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
            kills += 1
            if kills % 20 == 0:
                print(f"  {kills} kills, {book.sums(campaign)}", flush=True)
        stand_in.mood = lambda _: "ok"
        for _ in range(4):
            by_api.send(campaign)
            # What the platform does not show was not paid: its owner says so in a file.
            unknown = Payment.objects.filter(state="unknown").values_list("pk", flat=True)
            rows = "".join(f"{pk},failed\n" for pk in unknown)
            by_file.read_results(campaign, f"payment,state\n{rows}")
            book.plan_failed_again(campaign)
        by_api.send(campaign)
        sums = book.sums(campaign)
        paid = sum(map(sum, stand_in.bonuses.values()))
        bonus = sum(Payment.objects.filter(kind="bonus").values_list("amount", flat=True))
        print(
            f"{kills} kills: {sums}\n"
            f"approved twice {sum(n > 1 for n in stand_in.approved.values())}, "
            f"bonuses paid twice {sum(len(b) > 1 for b in stand_in.bonuses.values())}, "
            f"approved {sum(stand_in.approved.values())} of {times * 2}, "
            f"bonuses {paid} of {bonus}, in the ledger {sums['confirmed']} of "
            f"{sum(Payment.objects.values_list('amount', flat=True))}"
        )
        stand_in.close()


def _visits_that_earn(campaign: Any, number: int) -> None:
    """Confirmed visits, each with one verified fooling."""
    from django.utils import timezone

    from annotate.models import Example
    from crowd import entering
    from crowd.models import Visit
    from crowd.platforms import Arrival

    task = campaign.task
    round_ = task.rounds.get(status="open")
    for n in range(number):
        visit, _ = entering.begin(
            campaign=campaign,
            arrival=Arrival(f"W{n}", f"A-W{n}", "prolific"),
            consent=campaign.file.agreement,
        )
        Example.objects.create(
            task=task,
            config=task.config,
            round=round_,
            model=round_.targets.get(),
            author=visit.worker.user,
            session=visit.session,
            client_id=uuid.uuid4(),
            input={},
            input_hash=str(n),
            label="1",
            prediction="2",
            fooled=True,
            status="verified",
            final_label="1",
            settled_at=timezone.now(),
        )
    Visit.objects.update(state="confirmed", finished_at=timezone.now(), settled_at=timezone.now())


if __name__ == "__main__":
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "dadc_server.settings")
    parser = argparse.ArgumentParser(prog="python -m benchmarks.crowd", description=__doc__)
    subjects = {
        "visits": (visits, 200), "pages": (pages, 200), "places": (places, 500),
        "ledger": (ledger, 100),
    }  # fmt: skip
    parser.add_argument("subject", choices=subjects)
    parser.add_argument("--times", type=int)
    asked = parser.parse_args()
    run, usual = subjects[asked.subject]
    run(asked.times or usual)
