"""What limits, metrics and log lines cost: `python -m benchmarks.overheads`, µs of CPU each.

Without Redis; beside one: `python -m tests.services python -m benchmarks.overheads`.
"""

from __future__ import annotations

import io
import logging
import os
import tempfile
import time
from collections.abc import Callable

_folder = tempfile.TemporaryDirectory(prefix="dadc-overheads-")
os.environ |= {
    "DJANGO_SETTINGS_MODULE": "dadc_server.settings",
    "DADC_DATA": _folder.name,
    "PROMETHEUS_MULTIPROC_DIR": _folder.name,  # as bin/serve has it
    "REDIS_URL": os.environ.get("TEST_REDIS_URL", ""),
    "DADC_LIMITS": "off",
}

import django  # noqa: E402

django.setup()

import structlog  # noqa: E402

from core import limits, metrics  # noqa: E402
from core.doors import Rate  # noqa: E402

REPETITIONS = 5
TIMES = 10_000


def best(act: Callable[[], None], times: int = TIMES) -> tuple[float, float]:
    """The least CPU and wall time of an act in µs: what others do on the machine adds to both."""
    results = []
    for _ in range(REPETITIONS):
        cpu, wall = time.process_time(), time.perf_counter()
        for _ in range(times):
            act()
        spent = (time.process_time() - cpu, time.perf_counter() - wall)
        results.append(tuple(seconds / times * 1e6 for seconds in spent))
    return min(cpu for cpu, _ in results), min(wall for _, wall in results)


def count_stroke() -> None:
    metrics.PREDICT_FRAMES.inc()
    metrics.PREDICT_SECONDS.observe(0.004)


def count_batch() -> None:
    metrics.BATCH_SIZE.observe(3)
    _depth.set(0)


def main() -> None:
    root = logging.getLogger()
    root.handlers[0].setStream(io.StringIO())  # type: ignore[attr-defined]
    log = structlog.get_logger("benchmark")
    passage = limits.Passage("predict", person="user-1", address="192.0.2.7")
    meter = limits.Meter(Rate(1e9, 1e9))
    rows = {
        "limits of a stroke": best(lambda: assert_open(passage.wait())),
        "limits of a vote": best(
            lambda: assert_open(limits.wait_for("vote", person="user-1", address="192.0.2.7")), 1000
        ),
        "a frame's share of its socket": best(lambda: assert_open(meter.count())),
        "metrics of a stroke": best(count_stroke),
        "metrics of a batch": best(count_batch),
        "a line in the log": best(
            lambda: log.info("request", method="GET", route="tasks/", status=200, ms=1.5), 1000
        ),
    }
    print(f"{'with Redis' if os.environ['REDIS_URL'] else 'without Redis'}, µs    CPU   wall")
    for name, (cpu, wall) in rows.items():
        print(f"{name:32} {cpu:7.2f} {wall:6.2f}")


def assert_open(wait: float) -> None:
    assert not wait


_depth = metrics.QUEUE_DEPTH.labels("abcd1234")

if __name__ == "__main__":
    main()
