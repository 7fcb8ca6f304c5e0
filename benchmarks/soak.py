"""A long mixed day: nothing may go wrong, nothing may grow, nothing may slow down."""

from __future__ import annotations

import argparse
from typing import Any

from benchmarks.measure import Row, measure, show_table
from benchmarks.predict import QUIET
from benchmarks.servers import ours

PEOPLE, JUDGES = 56, 8
PAUSE = 1.0  # seconds that a person looks at what came, on average
HEAD = ("minute", "done", "predict p95 ms", "submit p95 ms", "vote p95 ms", "web PSS MiB", "load")


def soak(asked: argparse.Namespace) -> dict[str, Any]:
    """64 people for ten minutes, a mixed day: no error but busy, no growth, no slower end."""
    found: dict[str, Any] = {}
    for kind in asked.databases:
        workers = int(asked.workers) if kind == "postgresql" else 1
        with ours(
            kind,
            workers=workers,
            annotators=PEOPLE,
            validators=JUDGES,
            waiting=int(asked.minutes * 400),
            task=QUIET,
        ) as world:
            minutes = [
                measure(
                    world.server,
                    "mixed",
                    cookies=world.sessions["annotator"],
                    validators=world.sessions["validator"],
                    truth=world.truth,
                    seconds=60 * min(1.0, asked.minutes - minute),
                    drawings=6_000,
                    pause=PAUSE,
                )
                for minute in range(int(asked.minutes + 0.999))
            ]
            same = world.manage("recompute", "--check").returncode == 0
        show_table(f"Soak, {kind}", HEAD, (_line(n + 1, row) for n, row in enumerate(minutes)))
        found[kind] = {"minutes": minutes, "counters": same, **_verdict(minutes)}
        print({name: value for name, value in found[kind].items() if name != "minutes"})
    return found


def _line(number: int, row: Row) -> list[object]:
    times = row["latency_ms"]
    p95 = [f"{times[kind]['p95']:.1f}" for kind in ("predict", "submit", "vote")]
    pss = row["memory_mib"]["web"]["all_pss"]
    return [number, row["operations"], *p95, pss, f"{row['load_average']:.1f}"]


def _verdict(minutes: list[Row]) -> dict[str, Any]:
    """What the soak is for: memory after the first minute, the last p95 to the second's, errors."""
    second, last = minutes[min(1, len(minutes) - 1)], minutes[-1]
    pss = [row["memory_mib"]["web"]["all_pss"] for row in minutes]
    errors = {
        name: number
        for row in minutes
        for name, number in row["counts"].items()
        if number and not name.startswith(("busy", "round_changed"))
    }
    return {
        "web_pss_after_first_minute": pss[0],
        "web_pss_at_the_end": pss[-1],
        "p95_last_to_second": {
            kind: round(last["latency_ms"][kind]["p95"] / second["latency_ms"][kind]["p95"], 2)
            for kind in second["latency_ms"]
        },
        "errors": errors,
    }
