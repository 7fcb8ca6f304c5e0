"""What board pages cost when a task is large: `python -m benchmarks.boards [--sizes N…]`.

Each size has a fresh SQLite database with 5,000 authors, two rounds, ten labels, and 2.5 votes a
claimed fooling; all is written by SQL. A page is asked for in this process through every
middleware: first when nothing is remembered, then again.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from statistics import median
from typing import Any

AUTHORS = 5_000
PAGES = ("leaderboard/", "rounds/2/", "compare/", "rounds/2/funnel.svg")
AGAIN = 15


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sizes", type=int, nargs="+", default=[10_000, 1_000_000])
    parser.add_argument("--one", type=int, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.one:
        print(json.dumps(measure(asked.one)))
        return
    found = {}
    for size in asked.sizes:
        with tempfile.TemporaryDirectory() as folder:
            done = subprocess.run(
                [sys.executable, "-m", "benchmarks.boards", "--one", str(size)],
                env={**os.environ, "DADC_DATA": folder, "DADC_LIMITS": "off"},
                stdout=subprocess.PIPE, check=True,
            )  # fmt: skip
            found[size] = json.loads(done.stdout.splitlines()[-1])
    print("| page | examples | first, CPU ms | again, CPU ms |")
    print("|---|---|---|---|")
    for page in PAGES:
        for size, pages in found.items():
            first, again = pages[page]
            print(f"| {page} | {size:,} | {first:.0f} | {again:.1f} |")


def measure(size: int) -> dict[str, tuple[float, float]]:
    """By page: CPU milliseconds when nothing is remembered, and the median of later ones."""
    os.environ["DJANGO_SETTINGS_MODULE"] = "dadc_server.settings"
    import django

    django.setup()
    from django.core.cache import cache
    from django.core.management import call_command
    from django.test import Client

    from dadc_server import prepare

    call_command("migrate", verbosity=0)
    _fill(size)
    prepare.collect_static([])
    client = Client(headers={"Host": "localhost"})
    client.get("/tasks/large/rounds/1/nothing.svg")  # what is imported on the way
    found: dict[str, tuple[float, float]] = {}
    for page in PAGES:
        cache.clear()
        first = _timed(client, page)
        again = median(_timed(client, page) for _ in range(AGAIN))
        found[page] = first, again
    return found


def _timed(client: Any, page: str) -> float:
    began = time.process_time()
    response = client.get(f"/tasks/large/{page}")
    assert response.status_code == 200, (page, response.status_code, response.content[:300])
    return 1000 * (time.process_time() - began)


def _fill(size: int) -> None:
    from django.db import connection
    from django.utils import timezone

    from accounts.models import User
    from annotate.models import Round
    from tests import cast

    task = cast.digits_task(slug="large")
    second = Round.objects.create(task=task, number=2, status="closed", closed_at=timezone.now())
    first = task.rounds.get(number=1)
    model = first.targets.get()
    second.targets.add(model)
    User.objects.bulk_create(
        [User(username=f"a{n}", pseudonym=f"p-{n}", password="!") for n in range(AUTHORS)]
    )
    base = User.objects.get(username="a0").pk
    with connection.cursor() as cursor:
        columns = (
            "uid, task_id, config_id, round_id, model_id, author_id, sandbox, external_id, input, "
            "input_hash, label, prediction, fooled, explanation, probes, tries, seconds, "
            "created_at, queued, status, settled_at, adjudicated"
        )
        # A third fools, half of these are verified; authors differ, and few send much.
        cursor.execute(
            f"""
            WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i + 1 < {size}),
            e AS (SELECT i, (i * 7919 + i / 13) % {AUTHORS} % (1 + i % {AUTHORS}) AS a,
                         (i * 31 + i / 7) % 100 AS luck FROM n)
            INSERT INTO annotate_example ({columns})
            SELECT lower(hex(randomblob(16))), {task.pk}, {task.config_id},
                   CASE WHEN i % 2 THEN {first.pk} ELSE {second.pk} END, {model.pk}, {base} + a, 0,
                   'x' || i, '{{"text": "x"}}', 'x' || i, '"' || (i % 10) || '"',
                   '"' || ((i + (luck < 20 + a % 25)) % 10) || '"', luck < 20 + a % 25, '', i % 7,
                   1 + i % 9, 5.0 + i % 50, '2026-11-01', luck < 20 + a % 25,
                   CASE WHEN luck >= 20 + a % 25 OR luck > 40 THEN 'open'
                        WHEN luck % 2 THEN 'verified' ELSE 'rejected' END,
                   CASE WHEN luck >= 20 + a % 25 OR luck > 40 THEN NULL ELSE '2026-11-02' END, 0
            FROM e
            """
        )
        for place in range(3):
            half = "AND e.id % 2" if place == 2 else ""
            cursor.execute(
                f"""
                INSERT INTO validate_vote (example_id, validator_id, author_id, label, flag, reason,
                    purpose, surplus, dropped, hasty, close, fast, created_at)
                SELECT e.id, {base} + (e.author_id - {base} + {place + 1}) % {AUTHORS}, e.author_id,
                    e.label, '', '', 'verdict', 0, 0, 0, 0, 0, '2026-11-02'
                FROM annotate_example e WHERE e.fooled {half}
                """
            )
        fate = "SUM(fooled AND status = '{}')"
        cursor.execute(
            f"""
            INSERT INTO scoring_tally (round_id, author_id, submitted, fooled, pending, verified,
                rejected, relabelled, ambiguous, flagged, withdrawn)
            SELECT round_id, author_id, COUNT(*), SUM(fooled), {fate.format("open")},
                {fate.format("verified")}, {fate.format("rejected")}, 0, 0, 0, 0
            FROM annotate_example GROUP BY round_id, author_id
            """
        )


if __name__ == "__main__":
    main()
