"""A retraining at full size beside people who draw: how long it takes, and what they notice."""

from __future__ import annotations

import argparse
import json
import time
import urllib.request
from collections.abc import Sequence
from datetime import datetime
from statistics import median
from typing import Any

from benchmarks.measure import Row, measure, middle, show_table, spread_of, trouble
from benchmarks.predict import CLASS, HEAD, STROKES, _line
from benchmarks.servers import World, ours

FOOLINGS = 500
WITHIN, TIMES = 30.0, 1.5  # seconds, and of the p95 of strokes alone
SETTINGS = {"retraining": {"trigger": None, "promote": "by_owner"}}


def retrain(asked: argparse.Namespace) -> dict[str, Any]:
    """Digits from 10,000 clean ones and 500 verified foolings, alone and beside a class of 32."""
    if not asked.mnist:
        print("\nName a folder with MNIST's 10,000 test images (IDX, gzip): --mnist DIR\n")
        return {"missing": "mnist"}
    spec = {"task": SETTINGS, "base": str(asked.mnist), "foolings": FOOLINGS, "owners": 1}
    alone: list[Row] = []
    beside: list[Row] = []
    took: dict[str, list[tuple[float, float]]] = {"nobody draws": [], "32 draw": []}
    with ours(annotators=CLASS, **spec) as world:
        for _ in range(asked.rounds):
            alone.append(_strokes(world, asked.seconds))
            run, cpu = _call(world, "post"), world.server.cpu()["jobs"]
            while (told := _call(world, "get", run))["finished_at"] is None:
                time.sleep(0.2)
            took["nobody draws"].append((_seconds(told), world.server.cpu()["jobs"] - cpu))
            run, cpu = _call(world, "post"), world.server.cpu()["jobs"]
            while True:
                row = _strokes(world, asked.seconds)
                if (told := _call(world, "get", run))["finished_at"] is not None:
                    break  # of this one a part was alone
                beside.append(row)
            took["32 draw"].append((_seconds(told), world.server.cpu()["jobs"] - cpu))
            alone.append(_strokes(world, asked.seconds))
    p95 = "latency_ms.stroke.p95"
    times = middle(beside, p95) / middle(alone, p95) if beside else float("nan")
    for row, name in [*((row, "alone") for row in alone), *((row, "beside") for row in beside)]:
        row["server"] = f"strokes {name}"
    show_table(
        f"{CLASS} people, {STROKES} strokes a second each, beside a retraining", HEAD,
        [_line(rows, CLASS, "stroke") for rows in (alone, beside) if rows],
    )  # fmt: skip
    show_table(
        f"From claim to verdict, {FOOLINGS} foolings, MNIST's 10,000 test images as clean data",
        ("", "seconds", "of the worker's CPU", f"within {WITHIN:g}"),
        [
            (name, _spread(times), _spread(cpu), "yes" if max(times) <= WITHIN else "no")
            for name, each in took.items()
            for times, cpu in [tuple(zip(*each, strict=True))]
        ],
    )
    load = spread_of([*alone, *beside], "load_average", 1)
    print(f"\np95 beside to alone: {times:.2f}, {TIMES:g} asked; load {load}; "
          f"ended {told['status']}; anything but answers: {trouble(alone + beside)}")  # fmt: skip
    return {"alone": alone, "beside": beside, "seconds": took, "times": times}


def _strokes(world: World, seconds: float) -> Row:
    cookies = world.sessions["annotator"]
    drawings = int(seconds * 400) + 1000
    return measure(
        world.server, "strokes",
        cookies=cookies, seconds=seconds, sockets=CLASS, rate=STROKES, drawings=drawings,
    )  # fmt: skip


def _call(world: World, method: str, run: str = "") -> Any:
    """What the API says of a run; of one that is begun its id."""
    cookie = world.sessions["owner"][0]
    address = f"{world.server.url}/api/v1/tasks/digits/runs/{run and f'{run}/'}"
    headers = {"Cookie": cookie, "X-CSRFToken": cookie.rpartition("csrftoken=")[2]}
    request = urllib.request.Request(address, headers=headers, method=method.upper())
    with urllib.request.urlopen(request, timeout=60) as answer:
        told = json.load(answer)
    return told if run else told["run"]


def _spread(seconds: Sequence[float]) -> str:
    return f"{median(seconds):.1f} ({min(seconds):.1f} to {max(seconds):.1f})"


def _seconds(told: dict[str, Any]) -> float:
    began, ended = (datetime.fromisoformat(told[name]) for name in ("started_at", "finished_at"))
    return (ended - began).total_seconds()
