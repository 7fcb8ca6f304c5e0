"""The load of a crash test: people who give nothing up, and remember what they were told.

Each submission is sent under its UUID, and each answer under its lease, until the server says that
it has it, whatever becomes of connections meanwhile: as the product's own pages do.
"""

from __future__ import annotations

import asyncio
import json
import random
import time
import uuid
from pathlib import Path
from typing import Any

import aiohttp

from benchmarks.load import Orders
from benchmarks.validators import RIGHT

PATIENCE = 10  # seconds for an answer before it is asked for again
BREATH = 0.1  # seconds until the next attempt to connect
LAST_ANSWERS = 90  # seconds after the end for what is still under way
DRAWN_BEFORE = "duplicate"
AWAY = (aiohttp.ClientError, OSError, TimeoutError)


class Life:
    """How long it goes on, and what was acknowledged meanwhile."""

    def __init__(self, orders: Orders) -> None:
        self.orders = orders
        self.pause: float = orders.given.get("pause", 0.0)
        self.accepted: dict[str, str] = {}
        self.votes: dict[str, str] = {}
        self._stop = Path(orders.given["stop"])

    @property
    def is_over(self) -> bool:
        return self._stop.exists()


async def survive(orders: Orders) -> None:
    """Submit and validate until the file `stop` appears; keeps what was acknowledged."""
    life = Life(orders)
    judges = orders.given.get("validators", [])
    timeout = aiohttp.ClientTimeout(total=PATIENCE)
    jar = aiohttp.DummyCookieJar()
    connector = aiohttp.TCPConnector(limit=0, force_close=True)
    async with aiohttp.ClientSession(
        connector=connector, cookie_jar=jar, timeout=timeout
    ) as session:
        orders.begin()
        people = [_annotator(life, session, cookie) for cookie in orders.cookies]
        people += [_validator(life, session, cookie) for cookie in judges]
        await asyncio.gather(*people)
        orders.kept = {"accepted": life.accepted, "votes": life.votes}
        orders.end()


# --- annotators -----------------------------------------------------------------------------------
async def _annotator(life: Life, session: aiohttp.ClientSession, cookie: str) -> None:
    address = life.orders.url.replace("http", "ws", 1) + "/ws/tasks/digits/"
    headers = {"Origin": life.orders.url, "Cookie": cookie}
    waiting: dict[str, Any] | None = None
    since = time.perf_counter()
    given_up, attempts = None, 0
    while not (life.is_over and waiting is None):
        given_up = given_up or (time.monotonic() + LAST_ANSWERS if life.is_over else None)
        if given_up and time.monotonic() > given_up:
            life.orders.counts["never answered"] += 1
            return
        try:
            async with session.ws_connect(address, headers=headers) as socket:
                await socket.receive_json(timeout=PATIENCE)
                while not (life.is_over and waiting is None):
                    if waiting is None:
                        label, png = life.orders.drawing()
                        key = {"client_id": str(uuid.uuid4()), "label": label}
                        waiting = {"type": "submit", **key, "input": {"png": png}}
                        since = time.perf_counter()
                        attempts = 0
                    attempts += 1
                    await socket.send_json(waiting)
                    known = await _accepted(life, socket, waiting["client_id"])
                    if known == DRAWN_BEFORE:
                        # Not so when it was sent before: that one was kept, and must be said to be.
                        life.orders.counts["never answered"] += attempts > 1
                        waiting = None
                    elif known is not None:
                        life.accepted[waiting["client_id"]] = known
                        life.orders.done("submit", since)
                        waiting = None
                        await asyncio.sleep(life.pause)
        except (*AWAY, TypeError, json.JSONDecodeError):  # TypeError: the socket was closed
            life.orders.counts["connections lost"] += 1
            await asyncio.sleep(BREATH)


async def _accepted(
    life: Life, socket: aiohttp.ClientWebSocketResponse, client_id: str
) -> str | None:
    """The id that a submission was given; None when it has to be sent again, DRAWN_BEFORE when
    there is no use in that: on a quick machine the drawings may run out."""
    while True:
        frame = await socket.receive_json(timeout=PATIENCE)
        if frame.get("client_id") != client_id:
            continue
        if frame["type"] == "accepted":
            return str(frame["id"])
        life.orders.counts[f"{frame['type']}:{frame.get('code', '')}"] += 1
        if frame.get("code") == DRAWN_BEFORE:
            return DRAWN_BEFORE
        await asyncio.sleep(frame.get("retry_ms", 50) / 1000)
        return None


# --- validators -----------------------------------------------------------------------------------
async def _validator(life: Life, session: aiohttp.ClientSession, cookie: str) -> None:
    item: Any = None
    label = ""
    since = time.perf_counter()
    while not life.is_over:
        try:
            if item is None:
                item = await _post(life, session, cookie, "tasks/digits/validations/next/", {})
                if item is None:
                    await asyncio.sleep(0.5)
                    continue
                truth = life.orders.given["truth"].get(item["example"])
                choice = random.choice(item["choices"])["value"]
                label = truth if truth is not None and random.random() < RIGHT else choice
                since = time.perf_counter()
            path = f"validations/{item['lease']}/vote/"
            said = await _post(life, session, cookie, path, {"label": label})
            if said is not None:
                life.votes[item["lease"]] = label
                life.orders.done("vote", since)
                await asyncio.sleep(life.pause)
            item = said["next"] if said is not None else None
        except AWAY:
            life.orders.counts["connections lost"] += 1
            await asyncio.sleep(BREATH)


async def _post(
    life: Life, session: aiohttp.ClientSession, cookie: str, path: str, body: Any
) -> Any:
    """The answer, None when the server says no or has nothing; raises when nobody knows."""
    csrf = cookie.rpartition("csrftoken=")[2]
    headers = {"Cookie": cookie, "X-CSRFToken": csrf, "Origin": life.orders.url}
    url = f"{life.orders.url}/api/v1/{path}"
    async with session.post(url, json=body, headers=headers) as answer:
        if answer.status == 204:
            return None
        if answer.status >= 500:
            life.orders.counts[f"status {answer.status}"] += 1
            raise aiohttp.ClientError
        said = await answer.json()
        if answer.status < 300:
            return said
        life.orders.counts[said["error"]["code"]] += 1
        return None


LOADS = (survive,)
