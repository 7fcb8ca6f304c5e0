"""Loads against the peers: over the HTTP that their own pages speak."""

from __future__ import annotations

import asyncio
import base64
import json
import random
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp

from benchmarks.load import Orders


@asynccontextmanager
async def _client() -> AsyncIterator[aiohttp.ClientSession]:
    connector = aiohttp.TCPConnector(limit=0)
    timeout = aiohttp.ClientTimeout(total=120)
    async with aiohttp.ClientSession(connector=connector, timeout=timeout) as session:
        yield session


# --- Gradio ---------------------------------------------------------------------------------------
async def gradio(orders: Orders) -> None:
    """`sockets` people ask a Gradio app again and again, through its queue or past it."""
    api = f"{orders.url}/gradio_api"
    as_text, queued = orders.given["input"] == "text", orders.given["queue"]

    async def data(session: aiohttp.ClientSession) -> list[Any]:
        _, png = orders.drawing()
        if as_text:
            return [png]
        form = aiohttp.FormData()
        form.add_field("files", base64.b64decode(png), filename="drawing.png")
        async with session.post(f"{api}/upload", data=form) as answer:
            path = (await answer.json())[0]
        file = {"path": path, "meta": {"_type": "gradio.FileData"}}
        return [{"background": None, "layers": [], "composite": file}]

    async def ask(session: aiohttp.ClientSession) -> None:
        started = time.perf_counter()
        body = {"data": await data(session)}
        if not queued:
            async with session.post(f"{api}/run/predict", json=body) as answer:
                assert answer.status == 200, await answer.text()
                label = (await answer.json())["data"][0]["label"]
        else:
            async with session.post(f"{api}/call/predict", json=body) as answer:
                assert answer.status == 200, await answer.text()
                event = (await answer.json())["event_id"]
            async with session.get(f"{api}/call/predict/{event}") as answer:
                said = (await answer.text()).strip().rpartition("\n")
                assert "complete" in said[0], said
                label = json.loads(said[2].removeprefix("data: "))[0]["label"]
        assert label is not None
        orders.done("predict", started)

    async def person(session: aiohttp.ClientSession) -> None:
        while time.perf_counter() < orders.deadline:
            await ask(session)

    async with _client() as session:
        await asyncio.gather(*(ask(session) for _ in range(orders.given["sockets"])))
        orders.begin()
        await asyncio.gather(*(person(session) for _ in range(orders.given["sockets"])))
        orders.end()


# --- Label Studio ---------------------------------------------------------------------------------
async def label_studio(orders: Orders) -> None:
    """Everybody with a token asks for the next task and submits an annotation, again and again."""
    api, project = f"{orders.url}/api", orders.given["project"]
    answered: Counter[int] = Counter()

    async def cycle(session: aiohttp.ClientSession, token: str) -> None:
        started = time.perf_counter()
        headers = {"Authorization": f"Token {token}"}
        async with session.get(f"{api}/projects/{project}/next", headers=headers) as answer:
            if answer.status != 200:
                orders.counts[f"next {answer.status}"] += 1
                return
            task = (await answer.json())["id"]
        choice = {"from_name": "digit", "to_name": "image", "type": "choices"}
        result = [{**choice, "value": {"choices": [str(random.randrange(10))]}}]
        body = {"result": result, "lead_time": 1}
        async with session.post(
            f"{api}/tasks/{task}/annotations/", json=body, headers=headers
        ) as answer:
            if answer.status != 201:
                orders.counts[f"annotation {answer.status}"] += 1
                return
        answered[task] += 1
        orders.done("vote", started)

    async def person(session: aiohttp.ClientSession, token: str) -> None:
        while time.perf_counter() < orders.deadline:
            await cycle(session, token)

    async with _client() as session:
        for token in orders.given["tokens"][:2]:
            await cycle(session, token)
        orders.begin()
        await asyncio.gather(*(person(session, token) for token in orders.given["tokens"]))
        twice = sum(number > 1 for number in answered.values())
        orders.counts["tasks of overlap 1 answered twice"] += twice
        orders.end()


LOADS = (gradio, label_studio)
