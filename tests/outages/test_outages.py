"""A working server while what it stands on goes away: Redis, PostgreSQL, its own processes.

Nothing here is replaced: bin/serve's processes, PostgreSQL and Redis, people on real websockets who
behave as the page does and send a submission again, under its UUID, until it is accepted.
"""

from __future__ import annotations

import asyncio
import json
import random
import signal
import subprocess
import time
import uuid
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, closing, suppress
from itertools import count
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import urlsplit

import aiohttp
import psutil
import psycopg2
import pytest

from benchmarks.servers import World, ours
from dadc_server.serve import tied_to_this_process
from tests import cast, migrated
from tests.services import redis_command

pytestmark = [pytest.mark.timeout(240), pytest.mark.slow]

PEOPLE = 4
AWAY_SECONDS = 3.0
PATIENCE = 30.0
_drawn = count()  # a drawing that somebody submits twice is refused
GONE = (aiohttp.ClientError, ConnectionError, TimeoutError, TypeError)


@pytest.fixture(scope="module")
def world() -> Iterator[World]:
    with ours("postgresql", workers=2, annotators=PEOPLE, begin=migrated.world) as world:
        yield world
        checked = world.manage("recompute", "--check")
        assert checked.returncode == 0, checked.stdout + checked.stderr
        for service in Service.started_again:
            service.send_signal(signal.SIGINT)
            service.wait(20)


class Person:
    """Draws and submits all the time; comes back by themselves when the connection is lost."""

    def __init__(self, world: World, number: int, session: aiohttp.ClientSession) -> None:
        self.url = world.server.url
        self.cookie = world.sessions["annotator"][number]
        self.session = session
        self.submission: dict[str, Any] = {}
        self.seen: Counter[str] = Counter()
        self.accepted: set[str] = set()
        self.opened = 0
        self.closed: set[int | None] = set()

    async def work(self, stop: asyncio.Event) -> None:
        while not stop.is_set():
            with suppress(*GONE):
                await self._visit(stop)
            await asyncio.sleep(random.uniform(0.1, 0.4))

    async def _visit(self, stop: asyncio.Event) -> None:
        address = self.url.replace("http", "ws", 1) + "/ws/tasks/digits/"
        headers = {"Origin": self.url, "Cookie": self.cookie}
        async with self.session.ws_connect(address, headers=headers) as socket:
            try:
                await self._answer(socket, "ready")
                self.opened += 1
                while not stop.is_set():
                    if not self.submission:
                        await self._draw(socket)
                    await self._submit(socket)
            finally:
                self.closed.add(socket.close_code)

    async def _draw(self, socket: Any) -> None:
        label, png = random.choice(cast.DIGITS), cast.drawing(next(_drawn))["png"]
        await socket.send_json({"type": "predict", "seq": 1, "input": {"png": png}})
        await self._answer(socket, "prediction")
        client_id = str(uuid.uuid4())
        self.submission = {"client_id": client_id, "input": {"png": png}, "label": label}

    async def _submit(self, socket: Any) -> None:
        """Send what is not accepted yet; it is kept when the connection is lost."""
        await socket.send_json({"type": "submit", **self.submission})
        frame = await self._answer(socket, "accepted")
        if frame["type"] == "accepted":
            self.accepted.add(frame["client_id"])
            self.submission = {}
        await asyncio.sleep(0.2)

    async def _answer(self, socket: Any, kind: str) -> dict[str, Any]:
        while True:
            frame: dict[str, Any] = await socket.receive_json(timeout=PATIENCE)
            if frame["type"] == "round_changed":
                continue
            told = frame["type"] if frame["type"] == kind else f"{kind}: {frame.get('code')}"
            self.seen[told] += 1
            return frame


@asynccontextmanager
async def crowd(world: World) -> AsyncIterator[list[Person]]:
    """People at work until the block ends."""
    stop = asyncio.Event()
    async with aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar()) as session:
        people = [Person(world, number, session) for number in range(PEOPLE)]
        working = [asyncio.create_task(person.work(stop)) for person in people]
        try:
            await until(lambda: all(person.accepted for person in people))
            yield people
        finally:
            stop.set()
            await asyncio.wait_for(asyncio.gather(*working), PATIENCE)


async def until(is_so: Callable[[], bool]) -> None:
    async with asyncio.timeout(PATIENCE):
        while not is_so():  # noqa: ASYNC110 (another process)
            await asyncio.sleep(0.05)


def total(people: list[Person], told: str) -> int:
    return sum(person.seen[told] for person in people)


def codes_of(people: list[Person]) -> set[int]:
    """What sockets were closed with, but for those that noticed it by writing to them."""
    return {code for person in people for code in person.closed if code is not None}


async def everybody_submits_again(people: list[Person]) -> None:
    before = [len(person.accepted) for person in people]
    await until(lambda: all(len(p.accepted) > b + 1 for p, b in zip(people, before, strict=True)))


def asked(world: World, sql: str) -> list[Any]:
    """The first column of what PostgreSQL answers; a process of Django's would take seconds."""
    database = psycopg2.connect(world.environment["DATABASE_URL"])
    with closing(database), database.cursor() as cursor:
        cursor.execute(sql)
        return [value for value, *_ in cursor.fetchall()]


def examples_in(world: World) -> Counter[str]:
    """How often each submission is in the database."""
    return Counter(asked(world, "SELECT client_id::text FROM annotate_example"))


def check_nothing_is_lost(world: World, people: list[Person]) -> None:
    stored = examples_in(world)
    for person in people:
        assert person.accepted <= stored.keys()
    assert max(stored.values()) == 1


# --- what goes away and comes back ----------------------------------------------------------------
class Service:
    """A service of the world, to stop and to start again as it was."""

    started_again: ClassVar[list[subprocess.Popen[bytes]]] = []

    def __init__(self, world: World, name: str) -> None:
        self._roots, self._name = world.server.roots, name
        process = self._roots[name]
        self._command, self._folder = process.cmdline(), process.cwd()
        if name == "redis":  # it changes what its command line says
            port = urlsplit(world.environment["REDIS_URL"]).port
            assert port
            self._command = redis_command(port, Path(self._folder))
        self._user, self._group = process.uids().real, process.gids().real

    def stop(self, how: signal.Signals) -> None:
        self._roots[self._name].send_signal(how)
        self._roots[self._name].wait(20)

    def start(self) -> None:
        again = subprocess.Popen(
            self._command,
            cwd=self._folder,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            user=self._user,
            group=self._group,
            extra_groups=[],
            preexec_fn=tied_to_this_process(),
        )
        self.started_again.append(again)
        self._roots[self._name] = psutil.Process(again.pid)


async def page(world: World, path: str) -> tuple[int, str]:
    async with (
        aiohttp.ClientSession() as session,
        session.get(world.server.url + path) as response,
    ):
        return response.status, await response.text()


async def test_without_redis_people_draw_and_submit(world: World) -> None:
    redis = Service(world, "redis")
    async with crowd(world) as people:
        await asyncio.to_thread(redis.stop, signal.SIGKILL)
        gone_at = time.monotonic()
        await everybody_submits_again(people)
        assert (await page(world, "/"))[0] == 200
        assert (await page(world, "/accounts/login/"))[0] == 200
        async with crowd(world) as newcomers:  # pages that are opened while it is away
            await everybody_submits_again(newcomers)
        await asyncio.sleep(AWAY_SECONDS - (time.monotonic() - gone_at))
        redis.start()
        await everybody_submits_again(people)
        assert {person.opened for person in people} == {1}
    check_nothing_is_lost(world, people + newcomers)


async def test_without_postgresql_people_draw_on_and_lose_nothing(world: World) -> None:
    database = Service(world, "postgresql")
    async with crowd(world) as people:
        await asyncio.to_thread(database.stop, signal.SIGINT)
        await until(lambda: total(people, "accepted: submission_failed") >= PEOPLE)
        status, text = await page(world, "/")
        assert (status, "The database does not answer" in text) == (503, True)
        status, text = await page(world, "/api/v1/tasks/")
        assert (status, json.loads(text)["error"]["code"]) == (503, "unavailable")
        assert (await page(world, "/healthz"))[0] == 200
        assert (await page(world, "/readyz"))[0] == 503

        database.start()
        await everybody_submits_again(people)
        assert (await page(world, "/"))[0] == 200
        await until_ready(world)
        assert {person.opened for person in people} == {1}
        assert not total(people, "prediction: prediction_failed")
    check_nothing_is_lost(world, people)


async def until_ready(world: World) -> None:
    async with asyncio.timeout(PATIENCE):
        while (await page(world, "/readyz"))[0] != 200:  # noqa: ASYNC110 (another process)
            await asyncio.sleep(0.2)


async def test_requests_share_kept_connections(world: World) -> None:
    """A thread and a connection for each request would cost more than the request."""
    before = connections_made(world)
    for _ in range(10):
        await asyncio.gather(*(page(world, "/api/v1/tasks/") for _ in range(10)))
    # Two processes with 8 threads each, the job worker, a probe of each, and who asks.
    assert connections_made(world) - before <= 2 * (8 + 2)


def connections_made(world: World) -> int:
    """Sessions that PostgreSQL has opened for its database so far."""
    sql = "SELECT sessions FROM pg_stat_database WHERE datname = current_database()"
    return int(asked(world, sql)[0])


OPEN_TWO_ROUNDS = """
import time
from core.transactions import durable
from annotate import rounds
from annotate.models import Task
from tests import cast, migrated
task = Task.objects.get(slug="digits")
for seed in (101, 102):
    model = cast.fixed_model(task, seed=seed)
    with durable():
        rounds.open_next_round(task=task, models=[model])
    time.sleep(1)
print(model.name)
"""
DRAWERS = 8


async def draw_on(world: World, stop: asyncio.Event, frames: list[dict[str, Any]]) -> None:
    """One stroke after the other on one connection, whose every frame is kept."""
    address = world.server.url.replace("http", "ws", 1) + "/ws/tasks/digits/"
    drawings = [cast.drawing(next(_drawn)) for _ in range(20)]
    async with aiohttp.ClientSession() as session, session.ws_connect(address) as socket:
        for seq in count():
            while True:
                frames.append(await socket.receive_json(timeout=PATIENCE))
                if frames[-1]["type"] != "round_changed":
                    break
            if stop.is_set():
                return
            drawing = drawings[seq % len(drawings)]
            await socket.send_json({"type": "predict", "seq": seq, "input": drawing})
            await asyncio.sleep(0.05)


async def test_new_models_take_over_under_load_without_a_failed_request(world: World) -> None:
    """Every web process answers with the new model, and none refuses a stroke meanwhile."""
    stop = asyncio.Event()
    heard: list[list[dict[str, Any]]] = [[] for _ in range(DRAWERS)]
    async with crowd(world) as people:
        drawing = [asyncio.create_task(draw_on(world, stop, frames)) for frames in heard]
        printed = await asyncio.to_thread(
            world.manage, "shell", "--no-imports", "-c", OPEN_TWO_ROUNDS
        )
        assert printed.returncode == 0, printed.stderr
        newest = printed.stdout.split()[-1]
        await until(lambda: all(frames[-1].get("model") == newest for frames in heard))
        processes = world.server.roots["web"].children()
        connections = [child.net_connections("tcp") for child in processes]
        await everybody_submits_again(people)
        stop.set()
        await asyncio.gather(*drawing)

    assert len(connections) == 2
    assert all(any(c.status == psutil.CONN_ESTABLISHED for c in these) for these in connections)
    told = Counter(frame["type"] for frames in heard for frame in frames)
    assert told.keys() == {"ready", "prediction", "round_changed"}
    assert told["ready"] == DRAWERS, "nobody was sent away"
    # Who submits as a round begins is shown the new model's answer first; the page sends it again.
    seen = {kind for person in people for kind in person.seen}
    assert seen <= {"ready", "prediction", "accepted", "accepted: round_changed"}
    assert all(person.opened == 1 for person in people)
    check_nothing_is_lost(world, people)


async def test_new_web_processes_take_over_without_a_loss(world: World) -> None:
    """A rolling restart: gunicorn starts new workers, and the old ones send their sockets away."""
    async with crowd(world) as people:
        web = world.server.roots["web"]
        before = {child.pid for child in web.children()}
        web.send_signal(signal.SIGHUP)
        await until(lambda: before.isdisjoint(child.pid for child in web.children()))
        await everybody_submits_again(people)
        assert all(person.opened == 2 for person in people)
        assert codes_of(people) <= {1012}
    check_nothing_is_lost(world, people)


async def test_a_server_that_is_stopped_finishes_what_is_under_way(world: World) -> None:
    async with crowd(world) as people:
        await asyncio.to_thread(world.served.stop)
        world.served.start()  # by this thread: when a thread ends, so do the processes it started
        await everybody_submits_again(people)
        assert codes_of(people) <= {1012}
    check_nothing_is_lost(world, people)
