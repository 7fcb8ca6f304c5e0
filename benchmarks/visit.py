"""A first visit: what travels, how long the server takes, and what the web process then holds."""

from __future__ import annotations

import argparse
import http.client
import os
import shutil
import statistics
import time
from typing import Any
from urllib.parse import urlsplit

from playwright.sync_api import Browser, sync_playwright

from benchmarks.measure import show_table
from benchmarks.servers import Server, ours

PAGES = ("/", "/tasks/digits/", "/tasks/digits/leaderboard/")
REQUESTS = 200
HEAD = ("page", "who", "p50 ms", "p95 ms", "web CPU ms", "requests", "kB on the wire")


def visit(_: argparse.Namespace) -> dict[str, Any]:
    """Pages one after the other on one connection, and in Chromium with an empty cache."""
    found: dict[str, Any] = {}
    body: list[list[object]] = []
    with ours(annotators=1, waiting=200) as world, sync_playwright() as playwright:
        chromium = playwright.chromium.launch(
            executable_path=os.environ.get("CHROMIUM")
            or shutil.which("chromium-headless-shell")
            or shutil.which("chromium"),
            args=["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"],
        )
        for who, cookie in (("guest", ""), ("annotator", world.sessions["annotator"][0])):
            for page in PAGES:
                row = _timed(world.server, page, cookie)
                if who == "guest":
                    row |= _weighed(chromium, world.server.url, page)
                found[f"{page} {who}"] = row
                body.append(_line(page, who, row))
        chromium.close()
        found["memory_mib"] = world.server.memory()
    show_table("A first visit", HEAD, body)
    print(f"\nMiB: {found['memory_mib']}")
    return found


def _line(page: str, who: str, row: dict[str, Any]) -> list[object]:
    weight = f"{row['bytes'] / 1000:.0f}" if "bytes" in row else ""
    times = [f"{row[name]:.1f}" for name in ("p50_ms", "p95_ms", "cpu_ms")]
    return [f"`{page}`", who, *times, row.get("requests", ""), weight]


def _timed(server: Server, page: str, cookie: str) -> dict[str, Any]:
    """From the request to the last byte, as a client on the same machine sees it."""
    address = urlsplit(server.url)
    connection = http.client.HTTPConnection(address.hostname or "", address.port)
    headers = {"Cookie": cookie} if cookie else {}
    took = []
    for number in range(REQUESTS + 10):
        if number == 10:
            before = server.cpu()["web"]
        began = time.perf_counter()
        connection.request("GET", page, headers=headers)
        answer = connection.getresponse()
        answer.read()
        took.append(1000 * (time.perf_counter() - began))
        assert answer.status == 200, f"{page}: {answer.status}"
    connection.close()
    times = statistics.quantiles(took[10:], n=20)
    cpu = 1000 * (server.cpu()["web"] - before) / REQUESTS
    return {"p50_ms": times[9], "p95_ms": times[18], "cpu_ms": cpu}


def _weighed(chromium: Browser, url: str, page: str) -> dict[str, Any]:
    """Every answer's bytes on the wire, heads included; the websocket's frames aside."""
    context = chromium.new_context(base_url=url)
    tab = context.new_page()
    network = context.new_cdp_session(tab)
    sizes: list[float] = []
    network.on("Network.loadingFinished", lambda event: sizes.append(event["encodedDataLength"]))
    network.send("Network.enable")
    tab.goto(page, wait_until="networkidle")
    context.close()
    return {"requests": len(sizes), "bytes": sum(sizes)}
