"""One measurement: a load process against a server, and what each of the server's parts paid."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from benchmarks.servers import PROJECT, Server

Row = dict[str, Any]


class LoadFailed(RuntimeError):
    """The load process ended without a result; the message is what it said."""


def measure(server: Server, load: str, **orders: Any) -> Row:
    """Let a load process carry out the orders; what it saw, with CPU and memory of each part."""
    orders = {"load": load, "url": server.url, "first": server.cursor, **orders}
    process = subprocess.Popen(
        [sys.executable, "-m", "benchmarks.load"],
        cwd=PROJECT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {"DADC_DATA": "/nonexistent"},
    )
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(json.dumps(orders))
    process.stdin.close()
    result: Row = {}
    before: dict[str, float] = {}
    for line in process.stdout:
        message = json.loads(line)
        if message["event"] == "begin":
            before = server.cpu()
        else:
            result = message["result"]
            after, memory = server.cpu(), server.memory()
    process.wait()
    process.stdout.close()
    if not result:
        raise LoadFailed(f"the load {load} ended with exit status {process.returncode}")
    server.cursor += result["used"]
    done = sum(times["count"] for times in result["latency_ms"].values())
    rate = done / result["seconds"]
    return {
        "server": server.name,
        "load": load,
        "operations": done,
        "rate": rate,
        "cpu_ms": {part: 1000 * (after[part] - before[part]) / max(done, 1) for part in after},
        "client_cpu_ms": 1000 * result["client_cpu"] / max(done, 1),
        "client_cores": result["client_cpu"] / result["seconds"],
        "memory_mib": memory,
        "load_average": os.getloadavg()[0],
        **{name: result[name] for name in ("seconds", "latency_ms", "counts", "kept")},
    }


# --- tables ---------------------------------------------------------------------------------------
def middle(rows: Sequence[Row], path: str) -> float:
    """The median of a figure over repetitions; `path` is "latency_ms.predict.p95"."""
    return statistics.median(_figures(rows, path))


def spread_of(rows: Sequence[Row], path: str, digits: int = 0) -> str:
    """`median (min to max)` of a figure over repetitions."""
    figures = _figures(rows, path)
    low, mid, high = min(figures), statistics.median(figures), max(figures)
    if len(figures) == 1:
        return f"{mid:,.{digits}f}"
    return f"{mid:,.{digits}f} ({low:,.{digits}f} to {high:,.{digits}f})"


def _figures(rows: Sequence[Row], path: str) -> list[float]:
    figures = []
    for row in rows:
        value: Any = row
        for name in path.split("."):
            value = value[name]
        figures.append(float(value))
    return figures


def ratios(ours: Sequence[float], theirs: Sequence[float]) -> str:
    """Ours to theirs, pair by pair as they were measured: `median (min to max)`."""
    pairs = [mine / other for mine, other in zip(ours, theirs, strict=False) if other]
    if not pairs:
        return "–"
    return f"{statistics.median(pairs):.2f} ({min(pairs):.2f} to {max(pairs):.2f})"


def rates(rows: Sequence[Row]) -> list[float]:
    return [row["rate"] for row in rows]


def trouble(rows: Sequence[Row]) -> str:
    """What was counted that is no answer, added up."""
    counts: dict[str, int] = {}
    for row in rows:
        for name, number in row["counts"].items():
            if number:
                counts[name] = counts.get(name, 0) + number
    return ", ".join(f"{name} {number}" for name, number in sorted(counts.items())) or "none"


def show_table(title: str, head: Sequence[str], body: Iterable[Sequence[object]]) -> None:
    """Print a Markdown table: it can be pasted into docs/performance.md as it is."""
    print(f"\n{title}\n")
    print("| " + " | ".join(head) + " |")
    print("|" + "---|" * len(head))
    for cells in body:
        print("| " + " | ".join(str(cell) for cell in cells) + " |", flush=True)


def cpu_of(rows: Sequence[Row]) -> str:
    """CPU milliseconds an operation of each part of the server, medians."""
    parts: Mapping[str, float] = rows[0]["cpu_ms"]
    costs = {part: middle(rows, f"cpu_ms.{part}") for part in parts}
    return ", ".join(f"{part} {cost:.2f}" for part, cost in costs.items() if cost >= 0.005)
