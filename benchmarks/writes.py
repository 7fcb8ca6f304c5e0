"""What is stored: submissions, votes beside Label Studio, a mixed day, and pages around them."""

from __future__ import annotations

import argparse
from contextlib import ExitStack
from typing import Any

from benchmarks import peers
from benchmarks.measure import (
    Row,
    cpu_of,
    measure,
    rates,
    ratios,
    show_table,
    spread_of,
    trouble,
)
from benchmarks.predict import QUIET
from benchmarks.servers import World, ours

CLIENTS = 32
VOTES_A_SECOND = 400  # at most: so many items wait for every second of votes
# Seconds that go unmeasured: statements are prepared after some hundred runs, and plots warm up.
WARM_UP = 6.0
HEAD = ("server", "what", "a second", "p50 ms", "p95 ms", "p99 ms", "CPU ms each", "beside answers")


def _lines(rows: list[Row]) -> list[list[object]]:
    """A line for each kind of thing that was done."""
    kinds = sorted(rows[0]["latency_ms"])
    body: list[list[object]] = []
    for place, kind in enumerate(kinds):
        counts = [row["latency_ms"][kind]["count"] / row["seconds"] for row in rows]
        times = f"latency_ms.{kind}"
        spread = [spread_of(rows, f"{times}.{share}", 1) for share in ("p50", "p95", "p99")]
        rate = f"{sorted(counts)[len(counts) // 2]:,.0f}" if len(kinds) > 1 else ""
        body.append(
            [
                rows[0]["server"],
                kind,
                rate or spread_of(rows, "rate"),
                *spread,
                "" if place else cpu_of(rows),
                "" if place else trouble(rows),
            ]
        )
    return body


def _workers(kind: str, asked: argparse.Namespace) -> int:
    return int(asked.workers) if kind == "postgresql" else 1


def submit(asked: argparse.Namespace) -> dict[str, Any]:
    """Durable submissions by 32 people over sockets, each as soon as the one before is kept."""
    found: dict[str, list[Row]] = {kind: [] for kind in asked.databases}
    for kind in asked.databases:
        with ours(kind, workers=_workers(kind, asked), annotators=CLIENTS, task=QUIET) as world:
            cookies = world.sessions["annotator"]
            for seconds in (WARM_UP, *[asked.seconds] * asked.rounds):
                found[kind].append(
                    measure(
                        world.server,
                        "submit",
                        cookies=cookies,
                        sockets=CLIENTS,
                        seconds=seconds,
                        drawings=int(seconds * 1000) + 500,
                    )
                )
            del found[kind][0]
            _same_counters(world)
    show_table(
        f"Submissions, {CLIENTS} people",
        HEAD,
        [line for kind in found for line in _lines(found[kind])],
    )
    return found


def validate(asked: argparse.Namespace) -> dict[str, Any]:
    """32 validators, a vote that brings the next item; beside Label Studio's two calls for it."""
    waiting = int((WARM_UP + asked.seconds * asked.rounds) * VOTES_A_SECOND)
    found: dict[str, list[Row]] = {}
    pairs: dict[str, str] = {}
    for kind in asked.databases:
        with ExitStack() as stack:
            world = stack.enter_context(
                ours(
                    kind,
                    workers=_workers(kind, asked),
                    validators=CLIENTS,
                    waiting=waiting,
                    task=QUIET,
                )
            )
            world.server.name = f"ours, {kind}"
            other = None
            try:
                other = stack.enter_context(peers.label_studio(kind, people=CLIENTS, tasks=2000))
            except peers.NotInstalled as missing:
                print(f"\n{missing}\n")
            mine: list[Row] = []
            theirs: list[Row] = []
            for seconds in (WARM_UP, *[asked.seconds] * asked.rounds):
                mine.append(_votes(world, seconds))
                if other is not None:
                    theirs.append(_label_studio_votes(other, seconds))
            del mine[0], theirs[:1]
            _same_counters(world)
            found[world.server.name] = mine
            if other is not None:
                found[other.server.name] = theirs
                pairs[kind] = ratios(rates(mine), rates(theirs))
    show_table(
        f"Validate cycles, {CLIENTS} people",
        HEAD,
        [line for rows in found.values() for line in _lines(rows)],
    )
    if pairs:
        named = peers.version(peers.environment("label-studio"), "label-studio")
        show_table(f"Ours to Label Studio {named}", ("database", "times as many"), pairs.items())
    return {"rows": found, "ratios": pairs}


def _votes(world: World, seconds: float) -> Row:
    cookies = world.sessions["validator"]
    return measure(world.server, "validate", cookies=cookies, seconds=seconds, truth=world.truth)


def _label_studio_votes(other: peers.LabelStudio, seconds: float) -> Row:
    return measure(
        other.server,
        "label_studio",
        seconds=seconds,
        project=other.project,
        tokens=other.tokens,
    )


def mixed(asked: argparse.Namespace) -> dict[str, Any]:
    """A mixed day of 64 people: of all they do 80 % is drawing, 15 % submitting, 5 % judging."""
    found: dict[str, list[Row]] = {}
    for kind in asked.databases:
        with ours(
            kind,
            workers=_workers(kind, asked),
            annotators=56,
            validators=8,
            waiting=int(asked.seconds * asked.rounds * 60),
            task=QUIET,
        ) as world:
            rows = [
                measure(
                    world.server,
                    "mixed",
                    cookies=world.sessions["annotator"],
                    validators=world.sessions["validator"],
                    truth=world.truth,
                    seconds=asked.seconds,
                    drawings=int(asked.seconds * 2500) + 1000,
                )
                for _ in range(asked.rounds)
            ]
            _same_counters(world)
            found[kind] = rows
    show_table(
        "Mixed day, 64 people", HEAD, [line for kind in found for line in _lines(found[kind])]
    )
    return found


def pages(asked: argparse.Namespace) -> dict[str, Any]:
    """Page loads by 16 people with sessions: the HTML alone, on kept connections."""
    found: dict[str, list[Row]] = {}
    for kind in asked.databases:
        with ours(
            kind, workers=_workers(kind, asked), validators=16, waiting=500, task=QUIET
        ) as world:
            cookies = world.sessions["validator"]
            rows = [
                measure(world.server, "pages", cookies=cookies, seconds=asked.seconds)
                for _ in range(asked.rounds)
            ]
            found[kind] = rows
    show_table("Pages, 16 people", HEAD, [line for kind in found for line in _lines(found[kind])])
    return found


def _same_counters(world: World) -> None:
    """Prove that what was counted under load is what a recount finds."""
    done = world.manage("recompute", "--check")
    if done.returncode:
        raise SystemExit(f"recompute --check found a difference:\n{done.stdout}{done.stderr}")
