"""What board pages cost when a task is large: `python -m benchmarks.boards [--postgresql]`.

Each size has a fresh database with 5,000 authors, two rounds, ten labels and 2.5 votes an example,
written by SQL past the services, and twenty models that were evaluated on the same three sets and
two suites. A hundred people have a rank and a hundred none at any size, so that pages show equally
many lines. A page is asked for in this process through every middleware:
when nothing is remembered, again, and when a minute is over, while a thread makes the next numbers.
At last some are read while facts change: an owner's word before each read, and each read finds
numbers that are older than a minute.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from statistics import median
from typing import Any, Final

from tests.services import private_services

AUTHORS, BUSY, MODELS = 5_000, 100, 20
CHANGE: Final = "change "
AGAIN = 25
PAGES: Final = (
    "leaderboard/", "leaderboard/?round=2", "leaderboard/?days=30", "rounds/2/", "compare/",
    "models/1/", "agreement/", "rounds/2/labels.svg", "rounds/2/funnel.csv", "rounds/2/foolings/",
)  # fmt: skip
BUSILY: Final = ("leaderboard/", "rounds/2/", "rounds/2/foolings/")  # read while facts change


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sizes", type=int, nargs="+", default=[10_000, 1_000_000])
    parser.add_argument("--postgresql", action="store_true")
    parser.add_argument("--one", type=int, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.one:
        measure(asked.one)
        return
    pictures: list[str] = []
    columns = ("queries", "first", "again", "cpu", "minute", "behind", "kB")
    print(
        "| page | examples | queries | first, ms | again, ms | of it CPU | a minute later, ms |",
        end="",
    )
    print(" made behind it, s | kB |\n|---|---|---|---|---|---|---|---|---|")
    with ExitStack() as stack:
        there = {
            size: stack.enter_context(_process(size, asked.postgresql)) for size in asked.sizes
        }
        found = {size: json.loads(process.stdout.readline()) for size, process in there.items()}
        for size, figures in found.items():
            made, kept = figures["a picture"].values()
            pictures.append(f"{made:.1f} and {kept:.2f} ms of {size:,} examples")
        for page in PAGES:
            again = _in_turns(there, page)
            for size in there:
                ms, cpu = (median(figures) for figures in zip(*again[size], strict=True))
                figures = found[size][page] | {"again": ms, "cpu": cpu}
                told = " | ".join(f"{figures[name]:.1f}" for name in columns)
                print(f"| {page} | {size:,} | {told} |", flush=True)
        print("\n| while facts change | examples | ms | of it CPU |\n|---|---|---|---|")
        for page in BUSILY:
            busy = _in_turns(there, f"{CHANGE}{page}")
            for size in there:
                ms, cpu = (median(figures) for figures in zip(*busy[size], strict=True))
                print(f"| {page} | {size:,} | {ms:.1f} | {cpu:.1f} |", flush=True)
    print(f"\nA picture by itself, made and kept: {', '.join(pictures)}")


@contextmanager
def _process(size: int, postgresql: bool) -> Iterator[Any]:
    """One that has filled its database, and answers how long a page takes for each one named."""
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        told = {
            **os.environ, "DADC_DATA": folder, "DADC_LIMITS": "off", "DADC_BOARD_SECONDS": "3600",
        }  # fmt: skip
        if postgresql:
            there = stack.enter_context(private_services())
            told |= {name.removeprefix("TEST_"): address for name, address in there.items()}
        process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.boards", "--one", str(size)],
            env=told, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1,
        )  # fmt: skip
        try:
            yield process
        finally:
            process.communicate()


def _in_turns(there: dict[int, Any], page: str) -> dict[int, list[tuple[float, float]]]:
    """Whatever else the machine does meanwhile is shared by all sizes."""
    again: dict[int, list[tuple[float, float]]] = {size: [] for size in there}
    for _ in range(1 + AGAIN):
        for size, process in there.items():
            process.stdin.write(f"{page}\n")
            again[size].append(json.loads(process.stdout.readline()))
    return {size: figures[1:] for size, figures in again.items()}


def measure(size: int) -> None:
    """Print what each page costs when nothing is remembered and once a minute is over, then what
    those cost that are asked for."""
    os.environ["DJANGO_SETTINGS_MODULE"] = "dadc_server.settings"
    import django

    django.setup()
    from django.core.cache import cache
    from django.core.management import call_command
    from django.db import connection
    from django.test import Client

    from dadc_server import prepare
    from scoring import kept
    from scoring.plots import warm_up
    from tests import cast

    call_command("migrate", verbosity=0)
    owner = cast.person("olive", "owner")
    _fill(size, owner)
    prepare.collect_static([])
    client = Client(headers={"Host": "localhost"})
    client.force_login(owner)
    warm_up()
    found: dict[str, dict[str, float]] = {}
    for page in PAGES:
        cache.clear()
        kept.forget()
        first = _timed(client, page)[0]
        queries = Counter[str]()
        with connection.execute_wrapper(partial(_count, queries)):
            told = client.get(f"/tasks/large/{page}").content
        cache.delete_many(cache_keys())
        began = time.perf_counter()
        minute = _timed(client, page)[0]
        for lock in kept._making.values():
            with lock:
                behind = time.perf_counter() - began
        found[page] = {
            "queries": queries.total(), "first": first, "minute": minute, "behind": behind,
            "kB": len(told) / 1000,
        }  # fmt: skip
    found["a picture"] = _picture()
    print(json.dumps(found), flush=True)
    change = _changes(owner)
    for line in sys.stdin:
        page = line.strip()
        if page.startswith(CHANGE):
            next(change)
            cache.delete_many(cache_keys())
        print(json.dumps(_timed(client, page.removeprefix(CHANGE))), flush=True)


def _changes(owner: Any) -> Iterator[None]:
    """One verdict after the other, by an owner's word."""
    from annotate.models import Example
    from tests import acts

    claims = Example.objects.filter(round__number=2, fooled=True).order_by("id")
    for pk in list(claims.values_list("pk", flat=True)[: 10 * AGAIN]):
        for status in ("rejected", "verified"):
            acts.adjudicate(actor=owner, example_id=pk, status=status, reason="So it is.")
            yield


def _picture() -> dict[str, float]:
    """Milliseconds for a round's picture by its numbers: made, and found again in the cache."""
    from django.core.cache import cache

    from annotate.models import Task
    from scoring.kept import read_tallies
    from scoring.round_views import _plots

    task = Task.objects.select_related("config").get(slug="large")
    plot = _plots(task, 2, read_tallies(task))["labels"]
    made, kept = [], []
    for _ in range(AGAIN):
        cache.delete(f"plot-{plot.digest}")
        for figures in (made, kept):
            began = time.perf_counter()
            assert plot.svg
            figures.append(1000 * (time.perf_counter() - began))
    return {"made": median(made), "kept": median(kept)}


def _count(queries: Counter[str], execute: Any, sql: str, *more: Any) -> Any:
    queries[sql] += 1
    return execute(sql, *more)


def cache_keys() -> list[str]:
    """What ends after a minute."""
    from annotate.models import Task

    pks = list(Task.objects.values_list("pk", flat=True))
    return [f"{name}-{pk}" for name in ("tallies", "votes") for pk in pks]


def _timed(client: Any, page: str) -> tuple[float, float]:
    """Milliseconds by the clock, and of this thread's CPU."""
    began, cpu = time.perf_counter(), time.thread_time()
    response = client.get(f"/tasks/large/{page}")
    assert response.status_code == 200, (page, response.status_code, response.content[:300])
    return 1000 * (time.perf_counter() - began), 1000 * (time.thread_time() - cpu)


# --- rows -----------------------------------------------------------------------------------------
def _fill(size: int, owner: Any) -> None:
    from django.db import connection
    from django.utils import timezone

    from accounts.models import User
    from annotate.models import Context, Round
    from tests import cast

    task = cast.digits_task(owner, slug="large")
    second = Round.objects.create(
        task=task, number=2, status="closed", opened_at=timezone.now(), closed_at=timezone.now()
    )
    first = task.rounds.get(number=1)
    model = first.targets.get()
    second.targets.add(model)
    User.objects.bulk_create(
        [User(username=f"a{n}", pseudonym=f"p-{n}", password="!") for n in range(AUTHORS)]
    )
    base = User.objects.get(username="a0").pk
    for number in range(10):
        Context.objects.create(
            task=task,
            data={"text": f"{number}"},
            sha256=f"{number}",
            source=f"source {number % 5}",
            tags=[f"tag {number % 3}", "all"],
        )
    _evaluate(task)
    about = Context.objects.earliest("pk").pk
    postgresql = connection.vendor == "postgresql"
    uid, json_of, ago = (
        ("gen_random_uuid()", "CAST({} AS jsonb)", "now() - (i % 86400) * interval '1 minute'")
        if postgresql else
        ("lower(hex(randomblob(16)))", "{}", "datetime('now', '-' || (i % 86400) || ' minutes')")
    )  # fmt: skip
    label = "(i % 10)"
    said = "((i + CASE WHEN fooled THEN 1 + i / 3 % 3 ELSE 0 END) % 10)"
    label, said = (json_of.format(f"""'"' || {number} || '"'""") for number in (label, said))
    sure = json_of.format("""'{"0": 0.' || (40 + i % 60) || '}'""")
    numbers = (
        f"n AS (SELECT generate_series(0::bigint, {size - 1}) AS i)" if postgresql else
        f"n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i + 1 < {size})"
    )  # fmt: skip
    settled = "CAST('2026-11-02' AS timestamptz)" if postgresql else "'2026-11-02 00:00:00'"
    with connection.cursor() as cursor:
        later = _without_indexes(cursor, postgresql)
        # A third fools, half of these are verified. Half is by a hundred people; two hundred have
        # ten examples at any size, and the others the rest.
        cursor.execute(
            f"""
            WITH RECURSIVE {numbers}, a AS (
                SELECT i, (i * 31 + i / 7) % 100 AS luck,
                    CASE WHEN i % 2 = 0 THEN (i / 2) % {BUSY}
                         WHEN i < 4000 THEN {AUTHORS - 200} + (i / 2) % 200
                         ELSE {BUSY} + (i * 7919) % {AUTHORS - BUSY - 200} END AS author
                FROM n
            ), e AS (SELECT i, author, luck, luck < 20 + author % 25 AS fooled FROM a)
            INSERT INTO annotate_example (uid, task_id, config_id, round_id, model_id, context_id,
                author_id, sandbox, provisional, external_id, input, input_hash, label, prediction,
                probabilities, fooled, explanation, probes, tries, seconds, created_at, queued,
                status, settled_at, adjudicated)
            SELECT {uid}, {task.pk}, {task.config_id},
                CASE WHEN i / 2 % 2 = 0 THEN {first.pk} ELSE {second.pk} END, {model.pk},
                {about} + (i % 10), {base} + author, false, false, 'x' || i, '{{"text": "x"}}',
                'x' || i, {label}, {said}, {sure}, fooled, '', i % 7, 1 + i % 9, 5.0 + i % 50,
                {ago}, fooled,
                CASE WHEN NOT fooled OR luck > 40 THEN 'open'
                     WHEN luck % 2 = 1 THEN 'verified' ELSE 'rejected' END,
                CASE WHEN NOT fooled OR luck > 40 THEN NULL ELSE {settled} END, false
            FROM e
            """
        )
        for place in range(3):
            half = "AND e.id % 2 = 0" if place == 2 else ""
            cursor.execute(
                f"""
                INSERT INTO validate_vote (example_id, validator_id, author_id, label, flag, reason,
                    purpose, surplus, dropped, hasty, close, fast, automatic,
                    created_at)
                SELECT e.id, {base} + (e.author_id - {base} + {place + 1}) % {AUTHORS}, e.author_id,
                    e.label, '', '', 'verdict', false, false, false, false, false, false, {settled}
                FROM annotate_example e WHERE true {half}
                """
            )
        for statement in later:
            cursor.execute(statement)
        fate = "COUNT(*) FILTER (WHERE fooled AND status = '{}')"
        cursor.execute(
            f"""
            INSERT INTO scoring_tally (round_id, author_id, submitted, fooled, pending, verified,
                rejected, relabelled, ambiguous, flagged, withdrawn)
            SELECT round_id, author_id, COUNT(*), COUNT(*) FILTER (WHERE fooled),
                {fate.format("open")}, {fate.format("verified")}, {fate.format("rejected")},
                0, 0, 0, 0
            FROM annotate_example GROUP BY round_id, author_id
            """
        )
        cursor.execute("ANALYZE")


def _evaluate(task: Any) -> None:
    """Twenty models, each with its answers to the same sets, as `manage.py evaluate` keeps them."""
    from uuid import uuid4

    from tests import cast
    from training.models import Evaluation

    models = [task.models.get(), *(cast.fixed_model(task, seed) for seed in range(1, MODELS))]
    run, rows = uuid4(), []
    for place, model in enumerate(models):
        for number, name in enumerate(("clean", "round 1", "round 2")):
            items, right = 1_000, 900 - 20 * place - 100 * number
            rows.append((model, name, items, right, _figures(items, right)))
        for name in ("corruptions", "wordings"):
            changes = {f"change {n}": [90 - n - place, 100] for n in range(15)}
            told = {"about": "robustness", "low": 0.8, "high": 0.9, "by_change": changes}
            rows.append((model, f"{Evaluation.STRESS}{name}", 1_500, 1_275, told))
        told = {"per_second": 100.0 + 7 * place, "memory_gb": 0.1 + place / 50}
        rows.append((model, Evaluation.SPEED, 200, 0, told))
    Evaluation.objects.bulk_create(
        Evaluation(
            task=task, model=model, data=name, data_sha256=name, items=items, right=right,
            figures=figures, run=run,
        )
        for model, name, items, right, figures in rows
    )  # fmt: skip


def _figures(items: int, right: int) -> dict[str, Any]:
    part = [right // 10, items // 10]
    return {
        "unanswered": 0, "sliced_by": "0" * 12, "f1": right / items,
        "f1_interval": [right / items - 0.02, right / items + 0.02],
        "expected_calibration_error": 0.05,
        "slices": {
            "label": {str(label): part for label in range(10)},
            "source": {f"source {n}": part for n in range(5)},
        },
        "selective": [[right, items]] * 5,
        "sets": {
            "threshold": 0.1, "held": [right, items], "size": 1.5, "size_interval": [1.4, 1.6],
            "by_label": {str(label): part for label in range(10)},
        },
        "sets_from": "clean",
    }  # fmt: skip


def _without_indexes(cursor: Any, postgresql: bool) -> list[str]:
    """Drop what can be made again faster than kept, and say how; look after no foreign key."""
    tables = "('annotate_example', 'validate_vote')"
    if postgresql:
        cursor.execute("SET session_replication_role = replica")
        cursor.execute(
            f"""SELECT indexname, indexdef FROM pg_indexes WHERE tablename IN {tables}
            AND indexname NOT IN (SELECT conname FROM pg_constraint)"""
        )
    else:
        cursor.execute("PRAGMA synchronous = OFF")
        cursor.execute("PRAGMA cache_size = -500000")
        cursor.execute(
            f"""SELECT name, sql FROM sqlite_master
            WHERE type = 'index' AND sql IS NOT NULL AND tbl_name IN {tables}"""
        )
    found = cursor.fetchall()
    for name, _ in found:
        cursor.execute(f'DROP INDEX "{name}"')
    return [made for _, made in found]


if __name__ == "__main__":
    main()
