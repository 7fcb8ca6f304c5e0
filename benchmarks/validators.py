"""Loads by people who judge or only look: over HTTP, as their pages do, each with a session."""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp

from benchmarks.annotators import Page
from benchmarks.annotators import pages as page_of
from benchmarks.load import Orders

RIGHT = 0.95  # share of answers that are the true label
PAGES = ("/", "/tasks/digits/", "/validate/digits/", "/tasks/digits/leaderboard/")


class Desk:
    """One person's browser."""

    def __init__(self, orders: Orders, session: aiohttp.ClientSession, cookies: str) -> None:
        self.orders = orders
        self.session = session
        self.truth: dict[str, str] = orders.given.get("truth", {})
        csrf = cookies.rpartition("csrftoken=")[2]
        self.headers = {"Cookie": cookies, "X-CSRFToken": csrf, "Origin": orders.url}

    async def post(self, path: str, body: Any) -> Any:
        """The answer's JSON, None where there is none or it is no success (which is counted)."""
        url = f"{self.orders.url}/api/v1/{path}"
        async with self.session.post(url, json=body, headers=self.headers) as answer:
            if answer.status == 204:
                return None
            said = await answer.json()
            if answer.status < 300:
                return said
            self.orders.counts[said["error"]["code"]] += 1
            if retry := answer.headers.get("Retry-After"):
                await asyncio.sleep(float(retry))
            return None

    async def next(self) -> Any:
        return await self.post("tasks/digits/validations/next/", {})

    async def vote(self, item: Any) -> Any:
        """Answer an item mostly by its true label; the next item."""
        started = time.perf_counter()
        label = self.truth.get(item["example"])
        if label is None or random.random() > RIGHT:
            label = random.choice(item["choices"])["value"]
        said = await self.post(f"validations/{item['lease']}/vote/", {"label": label})
        if said is None:
            return await self.next()
        self.orders.done("vote", started)
        return said["next"]

    async def look(self, path: str) -> None:
        """Open a page and read all of its HTML."""
        started = time.perf_counter()
        headers = {**self.headers, "Accept-Encoding": "gzip"}
        async with self.session.get(self.orders.url + path, headers=headers) as answer:
            await answer.read()
            if answer.status != 200:
                self.orders.counts[f"{path} {answer.status}"] += 1
        self.orders.done(path, started)


@asynccontextmanager
async def desks(orders: Orders, cookies: list[str]) -> AsyncIterator[list[Desk]]:
    """A browser for each of these people, with connections that are kept."""
    connector = aiohttp.TCPConnector(limit=0)
    jar = aiohttp.DummyCookieJar()
    timeout = aiohttp.ClientTimeout(total=60)
    async with aiohttp.ClientSession(
        connector=connector, cookie_jar=jar, timeout=timeout
    ) as session:
        yield [Desk(orders, session, cookie) for cookie in cookies]


async def validate(orders: Orders) -> None:
    """Everybody answers the item before them as soon as it is there: a vote brings the next."""

    async def person(desk: Desk, item: Any) -> None:
        while time.perf_counter() < orders.deadline:
            if item is None:
                orders.counts["nothing waits"] += 1
                await asyncio.sleep(0.2)
                item = await desk.next()
            else:
                item = await desk.vote(item)

    async with desks(orders, orders.cookies) as opened:
        items = await asyncio.gather(*(desk.next() for desk in opened))
        orders.begin()
        await asyncio.gather(*map(person, opened, items))
        orders.end()


async def pages(orders: Orders) -> None:
    """Everybody opens one page after the other."""

    async def person(desk: Desk, number: int) -> None:
        while time.perf_counter() < orders.deadline:
            await desk.look(PAGES[number % len(PAGES)])
            number += 1

    async with desks(orders, orders.cookies) as opened:
        await asyncio.gather(*(desk.look("/") for desk in opened))
        orders.begin()
        await asyncio.gather(*(person(desk, n) for n, desk in enumerate(opened)))
        orders.end()


async def mixed(orders: Orders) -> None:
    """A day in seconds: 80 % predictions, 15 % submissions, 5 % votes, whoever makes them.

    Of all that has been done, whoever is free does what is most behind its share.
    """
    shares = {"predict": 0.80, "submit": 0.15, "vote": 0.05}
    done: Counter[str] = Counter()
    pause = orders.given.get("pause", 0)  # seconds between two acts of a person, on average

    async def annotator(page: Page) -> None:
        while time.perf_counter() < orders.deadline:
            behind = done["submit"] * shares["predict"] < done["predict"] * shares["submit"]
            done["submit" if behind else "predict"] += 1
            await (page.submit() if behind else page.predict())
            if pause:
                await asyncio.sleep(random.uniform(0, 2 * pause))

    async def validator(desk: Desk) -> None:
        item = await desk.next()
        while time.perf_counter() < orders.deadline:
            if done["vote"] * shares["predict"] > done["predict"] * shares["vote"] or item is None:
                await asyncio.sleep(0.05)
                item = item or await desk.next()
                continue
            done["vote"] += 1
            item = await desk.vote(item)

    judges = orders.given["validators"]
    async with page_of(orders, len(orders.cookies)) as drawers, desks(orders, judges) as opened:
        await asyncio.gather(*(page.predict() for page in drawers))
        orders.begin()
        await asyncio.gather(*map(annotator, drawers), *map(validator, opened))
        orders.end()


LOADS = (validate, pages, mixed)
