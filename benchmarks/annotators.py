"""Loads by people who draw: over real websockets, each with the session of another person."""

from __future__ import annotations

import asyncio
import json
import time
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp

from benchmarks.load import Orders

PATIENCE = 30  # seconds for one answer
AT_ONCE = 32  # handshakes under way


class Page:
    """One person's open page."""

    def __init__(self, orders: Orders, socket: aiohttp.ClientWebSocketResponse) -> None:
        self.orders = orders
        self.socket = socket
        self.seq = 0

    async def send_predict(self) -> int:
        """Send the next input; its seq."""
        self.seq += 1
        if self.orders.given.get("texts"):
            ask = {"type": "predict", "seq": self.seq, "input": {"text": self.orders.text()}}
            await self.socket.send_str(json.dumps(ask))
            return self.seq
        _, png = self.orders.drawing()
        if self.orders.given.get("pixels"):
            await self.socket.send_bytes(self.seq.to_bytes(4) + self.orders.pixels(png))
            return self.seq
        await self.socket.send_str(
            f'{{"type": "predict", "seq": {self.seq}, "input": {{"png": "{png}"}}}}'
        )
        return self.seq

    async def frame(self) -> dict[str, Any]:
        """The next frame that is no news."""
        while True:
            text = await asyncio.wait_for(self.socket.receive_str(), PATIENCE)
            frame: dict[str, Any] = json.loads(text)
            if frame["type"] != "round_changed":
                return frame
            self.orders.counts["round_changed"] += 1

    async def answered(self, kind: str) -> dict[str, Any] | None:
        """The answer of this kind; None, and counted, when it was another one."""
        frame = await self.frame()
        if frame["type"] == kind:
            return frame
        self.orders.counts[frame["type"] + ":" + frame.get("code", "")] += 1
        if frame["type"] == "busy":
            await asyncio.sleep(frame["retry_ms"] / 1000)
        return None

    async def predict(self) -> None:
        """Draw on and wait for the bars."""
        started = time.perf_counter()
        await self.send_predict()
        while await self.answered("prediction") is None:
            await self.send_predict()
        self.orders.done("predict", started)

    async def submit(self) -> str | None:
        """Submit the next drawing under one UUID until it is accepted; the example's id."""
        started = time.perf_counter()
        label, png = self.orders.drawing()
        frame = {"type": "submit", "client_id": str(uuid.uuid4()), "label": label}
        text = json.dumps({**frame, "input": {"png": png}})
        refused = self.orders.counts["error:duplicate"]
        for _ in range(100):
            await self.socket.send_str(text)
            answer = await self.answered("accepted")
            if answer is not None:
                self.orders.done("submit", started)
                return str(answer["id"])
            if self.orders.counts["error:duplicate"] > refused:  # another drawing is the next try
                return None
        return None


@asynccontextmanager
async def pages(orders: Orders, count: int) -> AsyncIterator[list[Page]]:
    """That many open pages, each of another person, all told `ready`."""
    path = orders.given.get("path", "/ws/tasks/digits/")
    address = orders.url.replace("http", "ws", 1) + path
    slots = asyncio.Semaphore(AT_ONCE)
    connector = aiohttp.TCPConnector(limit=0)
    jar = aiohttp.DummyCookieJar()
    async with aiohttp.ClientSession(connector=connector, cookie_jar=jar) as session:

        async def opened(number: int) -> Page:
            headers = {"Origin": orders.url}
            if orders.cookies:
                headers["Cookie"] = orders.cookies[number % len(orders.cookies)]
            async with slots:
                socket = await session.ws_connect(address, headers=headers, max_msg_size=0)
                page = Page(orders, socket)
                ready = await page.frame()
                if ready["type"] != "ready":
                    raise RuntimeError(f"The page was not opened: {ready}")
                return page

        yield await asyncio.gather(*map(opened, range(count)))


async def predict(orders: Orders) -> None:
    """Everybody draws on as soon as the bars have moved."""

    async def person(page: Page) -> None:
        while time.perf_counter() < orders.deadline:
            await page.predict()

    async with pages(orders, orders.given["sockets"]) as opened:
        for _ in range(3):
            await asyncio.gather(*(page.predict() for page in opened))
        orders.begin()
        await asyncio.gather(*map(person, opened))
        orders.end()


async def strokes(orders: Orders) -> None:
    """Everybody draws `rate` strokes a second, whether the bars have moved or not.

    A stroke's time runs from when it was due, so that a stalled server cannot hide behind a stalled
    client, until the bars show it or a later stroke of the same drawing.
    """
    people, rate = orders.given["sockets"], orders.given["rate"]

    async def person(page: Page, number: int) -> None:
        first = orders.deadline - orders.seconds + number / people / rate
        due: dict[int, float] = {}

        async def draw() -> None:
            for stroke in range(int(orders.seconds * rate)):
                moment = first + stroke / rate
                await asyncio.sleep(max(0.0, moment - time.perf_counter()))
                due[page.seq + 1] = moment
                await page.send_predict()

        async def watch() -> None:
            while (frame := await page.frame()) is not None:
                if frame["type"] != "prediction":
                    orders.counts[frame["type"] + ":" + frame.get("code", "")] += 1
                    continue
                for seq in [seq for seq in due if seq <= frame["seq"]]:
                    orders.counts["coalesced"] += seq != frame["seq"]
                    orders.done("stroke", due.pop(seq))

        watching = asyncio.create_task(watch())
        await draw()
        for _ in range(100):  # the last bars may be under way
            if not due:
                break
            await asyncio.sleep(0.02)
        watching.cancel()
        orders.counts["unanswered"] += len(due)

    async with pages(orders, people) as opened:
        await asyncio.gather(*(page.predict() for page in opened))
        orders.begin()
        await asyncio.gather(*(person(page, n) for n, page in enumerate(opened)))
        orders.end()


async def submit(orders: Orders) -> None:
    """Everybody submits as soon as the one before is acknowledged."""

    async def person(page: Page) -> None:
        while time.perf_counter() < orders.deadline:
            await page.submit()

    async with pages(orders, orders.given["sockets"]) as opened:
        await asyncio.gather(*(page.submit() for page in opened))
        orders.begin()
        await asyncio.gather(*map(person, opened))
        orders.end()


LOADS = (predict, strokes, submit)
