"""What hostile people reach: strokes beside sockets that do their worst, and what tells gold."""

from __future__ import annotations

import argparse
import asyncio
import base64
import http.client
import io
import json
import random
import sqlite3
import statistics
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing import Process
from typing import Any

from benchmarks.measure import measure, show_table, trouble
from benchmarks.predict import CLASS, HEAD, QUIET, STROKES, _line
from benchmarks.servers import ours

HOSTILE = 20
LARGEST = 1120  # pixels a side
ITEMS = 1_000
KNOWN = 400
SHARE = 0.25
UNDONE = 0.2


# --- sockets that send the largest pictures -------------------------------------------------------
def hostile(asked: argparse.Namespace) -> dict[str, Any]:
    """A class that draws, alone and beside 20 sockets that send large empty pictures."""
    orders = {"sockets": CLASS, "rate": STROKES, "drawings": int(asked.seconds * 400) + 1000}
    rows: dict[str, list[Any]] = {"alone": [], "beside": []}
    settings = {"DADC_LIMITS": "", "DADC_PROXY": "1"}
    with ours(annotators=CLASS, task=QUIET, settings=settings) as world:
        say = {"cookies": world.sessions["annotator"], "seconds": asked.seconds, **orders}
        for _ in range(asked.rounds):
            rows["alone"].append(measure(world.server, "strokes", **say))
            with _hostile_sockets(world.server.url):
                rows["beside"].append(measure(world.server, "strokes", **say))
    show_table(
        f"{CLASS} people, {STROKES} strokes a second each; then beside {HOSTILE} hostile sockets",
        ("", *HEAD),
        [(name, *_line(found, CLASS, "stroke")) for name, found in rows.items()],
    )
    print(f"\nanything but answers: {trouble(rows['alone'])}; beside: {trouble(rows['beside'])}")
    return rows


@contextmanager
def _hostile_sockets(url: str) -> Iterator[None]:
    process = Process(target=_be_hostile, args=(url,), daemon=True)
    process.start()
    time.sleep(2)
    try:
        yield
    finally:
        process.kill()
        process.join()


def _be_hostile(url: str) -> None:
    asyncio.run(_all_hostile(url))


async def _all_hostile(url: str) -> None:
    await asyncio.gather(*(_one_hostile(url, number) for number in range(HOSTILE)))


async def _one_hostile(url: str, number: int) -> None:
    """Each from an address of its own, as fast as it is let, and never the same picture twice."""
    import aiohttp

    headers = {"X-Forwarded-For": f"198.51.100.{number}"}
    address = url.replace("http", "ws") + "/ws/tasks/digits/"
    async with (
        aiohttp.ClientSession(headers=headers) as session,
        session.ws_connect(address, origin=url) as socket,
    ):
        await socket.receive()
        for seq in range(sys.maxsize):
            picture = {"png": _large_picture(number * 1_000 + seq)}
            await socket.send_json({"type": "predict", "seq": seq, "input": picture})
            said = await socket.receive_json()
            if said["type"] == "busy":
                await asyncio.sleep(said["retry_ms"] / 1000)


def _large_picture(seed: int) -> str:
    from PIL import Image

    picture = Image.new("RGBA", (LARGEST, LARGEST), (255, 255, 255, 255))
    at = seed % (LARGEST - 40)
    picture.paste((0, 0, 0, 255), (at, 500, at + 30, 620))
    stream = io.BytesIO()
    picture.save(stream, "PNG", compress_level=1)
    return base64.b64encode(stream.getvalue()).decode()


# --- what an informed validator can tell ----------------------------------------------------------
def gold(_: argparse.Namespace) -> dict[str, Any]:
    """What all reads around 1,000 answers tell of which items were gold."""
    rows = {}
    for name, seconds in (("as it is", "60"), ("control: boards without delay", "0")):
        validation = {
            "policy": "two_plus_one",
            "gold_first": SHARE,
            "gold_later": SHARE,
        }
        with ours(
            settings={"DADC_LIMITS": "off", "DADC_BOARD_SECONDS": seconds},
            validators=2,
            waiting=2 * ITEMS,
            gold=KNOWN,
            task={**QUIET, "validation": validation},
        ) as world:
            informed, other = world.sessions["validator"]
            seen = _judge(world.server.url, informed, other, world.truth, ITEMS)
            database = sqlite3.connect(world.data / "db.sqlite3")
            known = {
                lease.replace("-", "")
                for (lease,) in database.execute("SELECT id FROM validate_lease WHERE gold")
            }
            database.close()
        truth = [lease.replace("-", "") in known for lease, _ in seen]
        rows[name] = {
            "items": len(seen),
            "gold": sum(truth),
            "balanced_accuracy": _told(truth, [features for _, features in seen]),
        }
    show_table(
        f"{ITEMS} answers, all reads before and after each",
        ("", "items", "gold", "balanced accuracy of telling gold"),
        [
            (name, row["items"], row["gold"], f"{row['balanced_accuracy']:.3f}")
            for name, row in rows.items()
        ],
    )
    return rows


class _Person:
    """A validator's script with a connection of its own."""

    def __init__(self, url: str, cookies: str) -> None:
        self._connection = http.client.HTTPConnection(url.removeprefix("http://"))
        token = cookies.rpartition("csrftoken=")[2]
        self._headers = {"Cookie": cookies, "X-CSRFToken": token, "Origin": url}

    def call(self, method: str, path: str, body: Any = None) -> tuple[int, Any, float]:
        headers = {**self._headers, "Content-Type": "application/json"}
        started = time.perf_counter()
        self._connection.request(method, path, json.dumps(body) if body else None, headers)
        answer = self._connection.getresponse()
        content = answer.read()
        seconds = time.perf_counter() - started
        is_json = "json" in answer.headers.get("Content-Type", "")
        return answer.status, json.loads(content) if is_json and content else content, seconds


def _judge(
    url: str, informed: str, other: str, truth: dict[str, str], items: int
) -> list[tuple[str, list[float]]]:
    """Each lease that the informed one answered, with all that could be seen around it."""
    me, they, drawn = _Person(url, informed), _Person(url, other), random.Random(7)
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
    """All that can be read, as numbers: progress, the board, the rounds, the list of tasks."""
    progress = person.call("GET", f"{here}validations/progress/")[1]
    board = person.call("GET", f"{here}leaderboard/")[1]["authors"]
    rounds = person.call("GET", f"{here}rounds/")[1]["rounds"]
    listed = person.call("GET", "/validate/")[1]
    counts = [row["counts"] for row in (*board, *rounds)]
    settled = [sum(row[name] for row in counts) for name in ("pending", "verified", "rejected")]
    amount = b"many wait" in listed
    score = progress["score"] or {"seen": 0, "right": 0}
    waiting = _WORDS.get(progress["waiting"], -1.0)
    told = [waiting, progress["skipped"], score["seen"], score["right"], amount]
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
