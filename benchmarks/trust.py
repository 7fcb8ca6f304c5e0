"""What hostile people reach: strokes beside sockets that do their worst, and what tells gold."""

from __future__ import annotations

import argparse
import asyncio
import base64
import http.client
import io
import json
import random
import re
import sqlite3
import statistics
import time
import urllib.parse
import urllib.request
import uuid
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import cycle
from multiprocessing import Pipe, Process
from multiprocessing.connection import Connection
from typing import Any

from benchmarks.measure import measure, show_table, trouble
from benchmarks.predict import CLASS, HEAD, QUIET, STROKES, _line
from benchmarks.servers import PROJECT, World, ours

HOSTILE = 20
LARGEST = 1120  # pixels a side
PIPELINED = 32  # submissions of one socket under way (annotate.consumers)
PICTURES = 25  # of each: to make one takes as long as to read it
ITEMS = 1_000
KNOWN = 400
SHARE = 0.25
UNDONE = 0.2


# --- sockets that send the largest pictures -------------------------------------------------------
def hostile(asked: argparse.Namespace) -> dict[str, Any]:
    """A class that draws, alone and beside 20 people who draw and submit large empty pictures."""
    orders = {"sockets": CLASS, "rate": STROKES, "drawings": int(asked.seconds * 400) + 1000}
    rows: dict[str, list[Any]] = {}
    pictures = [_large_picture(seed) for seed in range(HOSTILE * PICTURES)]
    settings = {"DADC_LIMITS": "", "DADC_PROXY": "1"}
    off = {"DJANGO_SETTINGS_MODULE": "benchmarks.undefended", "PYTHONPATH": str(PROJECT)}
    for rules, changes in (("", {}), (", rules off", off)):
        alone, beside = rows[f"alone{rules}"], rows[f"beside{rules}"] = [], []
        with ours(annotators=CLASS + HOSTILE, task=QUIET, settings=settings | changes) as world:
            people = world.sessions["annotator"]
            say = {"cookies": people[:CLASS], "seconds": asked.seconds, **orders}
            for _ in range(asked.rounds):
                alone.append(measure(world.server, "strokes", **say))
                with _hostile_sockets(world.server.url, people[CLASS:], pictures) as answered:
                    beside.append(measure(world.server, "strokes", **say))
                beside[-1]["hostile"] = dict(answered)
    show_table(
        f"{CLASS} people, {STROKES} strokes a second each; then beside {HOSTILE} hostile sockets",
        ("", *HEAD),
        [(name, *_line(found, CLASS, "stroke")) for name, found in rows.items()],
    )
    for name, found in rows.items():
        hostile = (
            f"; the hostile were told {found[-1]['hostile']}" if "hostile" in found[-1] else ""
        )
        print(f"\n{name}: anything but answers: {trouble(found)}{hostile}")
    return rows


@contextmanager
def _hostile_sockets(url: str, cookies: list[str], pictures: list[str]) -> Iterator[dict[str, int]]:
    """Yields what they were told how often, which is known when they have ended."""
    told: dict[str, int] = {}
    mine, theirs = Pipe()
    process = Process(target=_be_hostile, args=(url, cookies, pictures, theirs), daemon=True)
    process.start()
    time.sleep(2)
    try:
        yield told
    finally:
        mine.send("enough")
        told |= mine.recv() if mine.poll(30) else {"nothing": 1}
        process.kill()
        process.join()


def _be_hostile(url: str, cookies: list[str], pictures: list[str], orders: Connection) -> None:
    asyncio.run(_all_hostile(url, cookies, pictures, orders))


async def _all_hostile(
    url: str, cookies: list[str], pictures: list[str], orders: Connection
) -> None:
    told: Counter[str] = Counter()
    at_work = asyncio.gather(
        *(
            _one_hostile(url, number, cookie, pictures[number :: len(cookies)], told)
            for number, cookie in enumerate(cookies)
        )
    )
    await asyncio.to_thread(orders.recv)
    at_work.cancel()
    orders.send(dict(told))


async def _one_hostile(
    url: str, number: int, cookie: str, pictures: list[str], told: Counter[str]
) -> None:
    """Each from an address of its own, as fast as it is let, with pictures of its own.

    A prediction and as many submissions at once as a socket is read for, the next of each as soon
    as one is answered, or when it is told to come again.
    """
    import aiohttp

    headers = {"X-Forwarded-For": f"198.51.100.{number}", "Cookie": cookie}
    address = url.replace("http", "ws") + "/ws/tasks/digits/"
    mine = cycle(pictures)
    async with (
        aiohttp.ClientSession(headers=headers, cookie_jar=aiohttp.DummyCookieJar()) as session,
        session.ws_connect(address, origin=url) as socket,
    ):
        await socket.receive()

        async def send(kind: str) -> None:
            body = {"type": kind, "input": {"png": next(mine)}}
            if kind == "predict":
                await socket.send_json({**body, "seq": 1})
            else:
                await socket.send_json({**body, "client_id": str(uuid.uuid4()), "label": "3"})

        async def send_later(kind: str, seconds: float) -> None:
            await asyncio.sleep(seconds)
            await send(kind)

        waiting: set[asyncio.Task[None]] = set()
        await send("predict")
        for _ in range(PIPELINED):
            await send("submit")
        while True:
            said = await socket.receive_json()
            if "seq" not in said and "client_id" not in said:
                continue
            kind = "predict" if "seq" in said else "submit"
            told[f"{kind}: {said.get('code', said['type'])}"] += 1
            waiting.add(asyncio.create_task(send_later(kind, said.get("retry_ms", 0) / 1000)))
            waiting = {one for one in waiting if not one.done()}


def _large_picture(seed: int) -> str:
    from PIL import Image

    chance, picture = random.Random(seed), Image.new("RGBA", (LARGEST, LARGEST), "white")
    for _ in range(5):
        x, y = chance.randrange(LARGEST - 300), chance.randrange(LARGEST - 300)
        size = chance.randrange(20, 300), chance.randrange(20, 300)
        picture.paste((0, 0, 0, 255), (x, y, x + size[0], y + size[1]))
    stream = io.BytesIO()
    picture.save(stream, "PNG", compress_level=1)
    return base64.b64encode(stream.getvalue()).decode()


# --- what an informed validator can tell ----------------------------------------------------------
def gold(asked: argparse.Namespace) -> dict[str, Any]:
    """What all reads around 1,000 answers tell of which items were gold."""
    rows: dict[str, list[dict[str, Any]]] = {}
    # One walk's chance alone is .5 give or take .02: several tell more.
    for name, seconds, walks in (
        ("as it is", "60", asked.rounds),
        ("control: boards without delay", "0", 1),
    ):
        rows[name] = []
        for _ in range(walks):
            rows[name].append(_walked(seconds))
            print(name, rows[name][-1], flush=True)
    show_table(
        f"{ITEMS} answers in each walk, all reads before and after each",
        ("", "walks", "gold", "balanced accuracy of telling gold, mean (least to most)"),
        [
            (name, len(row), sum(walk["gold"] for walk in row), _mean(row))
            for name, row in rows.items()
        ],
    )
    return rows


def _mean(walks: list[dict[str, Any]]) -> str:
    told = [walk["balanced_accuracy"] for walk in walks]
    return f"{statistics.fmean(told):.3f} ({min(told):.3f} to {max(told):.3f})"


def _walked(board_seconds: str) -> dict[str, Any]:
    validation = {"policy": "two_plus_one", "gold_first": SHARE, "gold_later": SHARE}
    with ours(
        settings={"DADC_LIMITS": "off", "DADC_BOARD_SECONDS": board_seconds},
        validators=2,
        waiting=2 * ITEMS,
        gold=KNOWN,
        task={**QUIET, "validation": validation},
    ) as world:
        informed, other = world.sessions["validator"]
        me = _Person(world.server.url, informed, visit=_visit_of("validator-0", world))
        seen = _judge(me, _Person(world.server.url, other), world.truth, ITEMS)
        database = sqlite3.connect(world.data / "db.sqlite3")
        known = {
            lease.replace("-", "")
            for (lease,) in database.execute("SELECT id FROM validate_lease WHERE gold")
        }
        database.close()
    truth = [lease.replace("-", "") in known for lease, _ in seen]
    return {
        "items": len(seen),
        "gold": sum(truth),
        "balanced_accuracy": _told(truth, [features for _, features in seen]),
    }


class _Person:
    """A validator's script with a connection of its own, on a visit, too, or on none."""

    def __init__(self, url: str, cookies: str, visit: str = "") -> None:
        self.visit = visit
        self._connection = http.client.HTTPConnection(url.removeprefix("http://"))
        token = cookies.rpartition("csrftoken=")[2]
        self._headers = {"Cookie": cookies, "X-CSRFToken": token, "Origin": url}

    def call(self, method: str, path: str, body: Any = None) -> tuple[int, Any, float]:
        headers = {**self._headers, "Content-Type": "application/json"}
        if path.startswith("/api/v1/visits/"):
            headers = {**headers, "Authorization": f"Visit {self.visit}"}
        started = time.perf_counter()
        self._connection.request(method, path, json.dumps(body) if body else None, headers)
        answer = self._connection.getresponse()
        content = answer.read()
        seconds = time.perf_counter() - started
        is_json = "json" in answer.headers.get("Content-Type", "")
        return answer.status, json.loads(content) if is_json and content else content, seconds


def _visit_of(username: str, world: World) -> str:
    """The token of a visit that somebody is on, by a link that pays for both kinds of work."""
    file = {
        "slug": "pilot",
        "task": "digits",
        "platform": "hit",
        "places": 1,
        "work": ["annotate", "validate"],
        "visit": {"examples": 500},  # of each work, as many as one may ask
        "pay": {"base": "1.00", "per_verified": "0.25", "per_validation": "0.05"},
        "consent": "I agree.",
    }
    path = world.data / "pilot.yaml"
    path.write_text(json.dumps(file))
    loaded = world.manage("load_campaign", str(path))
    assert loaded.returncode == 0, loaded.stderr
    address = f"{world.server.url}/hit/pilot/?workerId=W1&assignmentId=A1"
    with urllib.request.urlopen(address) as page:
        (consent,) = re.findall(r'name="consent" value="([^"]+)"', page.read().decode())
    begun = urllib.parse.urlencode({"act": "begin", "consent": consent}).encode()
    with urllib.request.urlopen(address, begun) as page:
        token = re.findall(r'"token": "([^"]+)"', page.read().decode())[0]
    with sqlite3.connect(world.data / "db.sqlite3") as database:
        database.execute(
            "UPDATE crowd_worker SET user_id = (SELECT id FROM accounts_user WHERE username = ?)",
            [username],
        )
    database.close()
    return str(token)


def _judge(
    me: _Person, they: _Person, truth: dict[str, str], items: int
) -> list[tuple[str, list[float]]]:
    """Each lease that the informed one answered, with all that could be seen around it."""
    drawn = random.Random(7)
    here = "/api/v1/tasks/digits/"
    seen = []
    item = they_hold = None
    for _ in range(items):
        # Somebody else judges beside them, so that about half of the answers settle something.
        if they_hold is None:
            _, they_hold, _ = they.call("POST", f"{here}validations/next/")
        label = truth.get(they_hold["example"], "1") if they_hold else "1"
        if they_hold:
            vote = f"/api/v1/validations/{they_hold['lease']}/vote/"
            they_hold = they.call("POST", vote, {"label": label})[1]["next"]
        asked_in = 0.0
        if item is None:
            _, item, asked_in = me.call("POST", f"{here}validations/next/")
        lease = item["lease"]
        before = _looked(me, here)
        beat, _, beat_in = me.call("POST", f"/api/v1/validations/{lease}/heartbeat/")
        right = truth.get(item["example"], "1")
        vote = f"/api/v1/validations/{lease}/vote/"
        status, said, voted_in = me.call("POST", vote, {"label": right})
        after = _looked(me, here)
        undone = -1.0
        if drawn.random() < UNDONE and said["next"]:
            undone, back, _ = me.call("POST", f"{here}validations/undo/?answer={lease}")
            if undone == 200:
                again = f"/api/v1/validations/{back['lease']}/vote/"
                _, said, _ = me.call("POST", again, {"label": right})
        changed = [new - old for old, new in zip(before, after, strict=True)]
        seen.append(
            (lease, [beat, beat_in, status, voted_in, asked_in, undone, *before, *after, *changed])
        )
        item = said["next"]
    return seen


_WORDS = {"none": 0.0, "few": 1.0, "many": 2.0}


def _looked(person: _Person, here: str) -> list[float]:
    """All that can be read, as numbers: progress, the board, the rounds, the list of tasks, how far
    one's visit is."""
    progress = person.call("GET", f"{here}validations/progress/")[1]
    board = person.call("GET", f"{here}leaderboard/")[1]["authors"]
    rounds = person.call("GET", f"{here}rounds/")[1]["rounds"]
    listed = person.call("GET", "/validate/")[1]
    counts = [row["counts"] for row in (*board, *rounds)]
    settled = [sum(row[name] for row in counts) for name in ("pending", "verified", "rejected")]
    amount = b"many wait" in listed
    score = progress["score"] or {"seen": 0, "right": 0}
    waiting = _WORDS.get(progress["waiting"], -1.0)
    visit = person.call("POST", "/api/v1/visits/this/", {"paste": 0})[1]
    left = int(re.sub(r"\D", "", visit["left"]) or 0)
    told = [waiting, progress["skipped"], score["seen"], score["right"], amount]
    told += [left, len(visit["earned"]), visit["may_finish"]]
    return list(map(float, (*told, *settled)))


def _told(truth: list[bool], features: list[list[float]]) -> float:
    """How well trees that were shown other items' truth tell this one's, .5 being chance."""
    from sklearn.ensemble import RandomForestClassifier
    from sklearn.metrics import balanced_accuracy_score
    from sklearn.model_selection import StratifiedKFold, cross_val_predict

    found = []
    for seed in range(5):
        trees = RandomForestClassifier(
            300, class_weight="balanced", min_samples_leaf=5, random_state=seed
        )
        folds = StratifiedKFold(5, shuffle=True, random_state=seed)
        guessed = cross_val_predict(trees, features, truth, cv=folds)
        found.append(balanced_accuracy_score(truth, guessed))
    return statistics.mean(found)
