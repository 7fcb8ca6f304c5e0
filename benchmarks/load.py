"""A process that only makes load: `python -m benchmarks.load`, with its orders on standard input.

The orders are JSON: which load, against what, as whom, for how long. When everybody is connected
and warm it says `begin`, and after the last answer `end` with what it saw, a JSON line each: the
one who gave the orders reads the servers' costs at these two moments.
"""

from __future__ import annotations

import asyncio
import base64
import json
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from io import BytesIO
from typing import Any

import numpy as np
from PIL import Image

from benchmarks.drawings import take

# Drawings a load keeps ready; past these it begins again.
READY_DRAWINGS = 20_000


class Orders:
    """What to do, and what became of it."""

    def __init__(self, given: dict[str, Any]) -> None:
        self.given = given
        self.url: str = given["url"]
        self.cookies: list[str] = given.get("cookies", [])
        self.seconds: float = given.get("seconds", 5)
        self.latencies: dict[str, list[float]] = {}
        self.counts: Counter[str] = Counter()
        self.kept: dict[str, Any] = {}
        self.used = 0
        self._drawings = take(given.get("first", 0), min(READY_DRAWINGS, given.get("drawings", 1)))
        self._texts: list[str] = given.get("texts", [])
        self._pixels: dict[str, bytes] = {}
        if given.get("pixels"):
            for _, png in self._drawings:
                self.pixels(png)
        self._began = self._cpu = 0.0
        self.deadline = 0.0

    def drawing(self) -> tuple[str, str]:
        """The next drawing that the server has not seen: label and base64 PNG."""
        self.used += 1
        return self._drawings[self.used % len(self._drawings)]

    def text(self) -> str:
        """The next text that the server has not seen, of one to twenty words."""
        self.used += 1
        first = self.given.get("first", 0)
        return f"{self._texts[self.used % len(self._texts)]} {first + self.used}"

    def pixels(self, png: str) -> bytes:
        """A drawing as the 784 bytes that the net reads; made once for each."""
        if png not in self._pixels:
            image = Image.open(BytesIO(base64.b64decode(png))).convert("L").resize((28, 28))
            self._pixels[png] = image.tobytes()
        return self._pixels[png]

    def begin(self) -> None:
        """From now on it is measured."""
        print(json.dumps({"event": "begin"}), flush=True)
        self.latencies.clear()
        self.counts.clear()
        self._began, self._cpu = time.perf_counter(), time.process_time()
        self.deadline = self._began + self.seconds

    def done(self, what: str, started: float) -> None:
        """Something that began at `started` (perf_counter) is done now."""
        self.latencies.setdefault(what, []).append(time.perf_counter() - started)

    def end(self) -> None:
        seconds = time.perf_counter() - self._began
        cpu = time.process_time() - self._cpu
        result = {
            "seconds": seconds,
            "client_cpu": cpu,
            "used": self.used,
            "counts": dict(self.counts),
            "latency_ms": {what: spread(times) for what, times in self.latencies.items()},
            "kept": self.kept,
        }
        print(json.dumps({"event": "end", "result": result}), flush=True)


def spread(seconds: list[float]) -> dict[str, float]:
    """How often, and how long in milliseconds."""
    times = np.array(seconds) * 1000
    p50, p95, p99 = np.percentile(times, (50, 95, 99))
    return {
        "count": len(times),
        "p50": round(float(p50), 2),
        "p95": round(float(p95), 2),
        "p99": round(float(p99), 2),
        "max": round(float(times.max()), 2),
    }


def loads() -> Iterator[tuple[str, Any]]:
    """Every load by its name."""
    from benchmarks import annotators, guests, survivors, validators

    for module in (annotators, validators, guests, survivors):
        for load in module.LOADS:
            yield load.__name__, load


def main() -> None:
    orders = Orders(json.load(sys.stdin))
    load = dict(loads())[orders.given["load"]]
    with suppress(ImportError):
        import uvloop

        uvloop.install()
    asyncio.run(load(orders))


if __name__ == "__main__":
    main()
