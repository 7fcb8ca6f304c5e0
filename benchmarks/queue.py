"""How long the next item takes as the queue grows, and how many votes come too late.

`python -m benchmarks.queue` starts its own PostgreSQL (see tests/services.py), fills a task with
generated rows and measures `next_item` and `vote`, each alone; then several validators at once with
random delays count the surplus.
"""

from __future__ import annotations

import argparse
import os
import random
import statistics
import threading
import time
from typing import Any

from tests.services import private_services

SIZES = (10_000, 1_000_000)
ASKED = 300


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sizes", type=int, nargs="+", default=SIZES)
    parser.add_argument("--validators", type=int, default=16)
    parser.add_argument("--items", type=int, default=300, help="for the validators at once")
    asked = parser.parse_args()
    with private_services() as addresses:
        os.environ["DATABASE_URL"] = addresses["TEST_DATABASE_URL"]
        os.environ.setdefault("DJANGO_SETTINGS_MODULE", "dadc_server.settings")
        import django

        django.setup()
        from django.core.management import call_command
        from django.db import connection

        call_command("migrate", verbosity=0)
        medians = []
        for size in asked.sizes:
            task = _task(f"queue-{size}")
            _fill(task, size)
            medians.append(_latency(task, size))
        print(f"ratio of medians, largest to smallest: {medians[-1] / medians[0]:.2f}")
        _at_once(asked.validators, asked.items)
        connection.close()


def _task(slug: str) -> Any:
    from annotate.config import parse_task_file
    from annotate.rounds import load_task, open_next_round, register_model
    from core.transactions import durable

    file = {
        "slug": slug,
        "name": slug,
        "input": "text",
        "labels": ["a", "b", "c"],
        "validation": {"policy": "bayes", "gold_first": 0, "gold_later": 0},
    }
    task, _ = load_task(file=parse_task_file(file))
    with durable():
        open_next_round(task=task, models=[register_model(task=task)])
    return task


def _fill(task: Any, size: int) -> None:
    """Insert `size` open examples of 100 authors, and their queue entries, by SQL alone."""
    from django.db import connection

    from accounts.models import User
    from annotate.models import Example
    from validate.models import QueueItem

    authors = [User.objects.create(username=f"{task.slug}-author-{n}") for n in range(100)]
    round_ = task.rounds.get()
    model = round_.targets.get()
    example = Example(
        task=task,
        config=task.config,
        round=round_,
        model=model,
        author=authors[0],
        input={"text": "one"},
        input_hash="0" * 64,
        label="a",
        prediction="b",
        fooled=True,
        queued=True,
    )
    example.save()
    item = QueueItem.objects.create(
        example=example, task=task, author=authors[0], priority=0, votes_wanted=2, urgency=0.6
    )
    began = time.perf_counter()
    with connection.cursor() as cursor:
        _copies(cursor, example, {"uid": "gen_random_uuid()", "author_id": _AUTHOR}, size, authors)
        chosen = {
            "example_id": "e.id",
            "author_id": "e.author_id",
            "priority": "(e.id %% 10 = 0)::int",
        }
        columns = [field.column for field in QueueItem._meta.concrete_fields]
        picked = ", ".join(chosen.get(column, f"q.{column}") for column in columns)
        cursor.execute(
            f"INSERT INTO validate_queueitem ({', '.join(columns)}) SELECT {picked} "
            "FROM validate_queueitem q, annotate_example e "
            "WHERE q.example_id = %s AND e.task_id = %s AND e.id <> %s",
            [item.pk, task.pk, item.pk],
        )
        cursor.execute("VACUUM ANALYZE annotate_example")
        cursor.execute("VACUUM ANALYZE validate_queueitem")
    print(f"{size:9,} items generated in {time.perf_counter() - began:.0f} s", flush=True)


_AUTHOR = "%(first)s + n %% 100"


def _copies(cursor: Any, row: Any, other: dict[str, str], size: int, authors: list[Any]) -> None:
    fields = [field for field in row._meta.concrete_fields if not field.primary_key]
    columns = [field.column for field in fields]
    picked = ", ".join(other.get(column, column) for column in columns)
    cursor.execute(
        f"INSERT INTO {row._meta.db_table} ({', '.join(columns)}) SELECT {picked} "
        f"FROM {row._meta.db_table}, generate_series(2, %(size)s) n WHERE id = %(id)s",
        {"size": size, "id": row.pk, "first": authors[0].pk},
    )


def _latency(task: Any, size: int) -> float:
    """Let one validator answer item after item; returns the median of `next_item` in ms."""
    from accounts.models import Role, User
    from validate.acts.lease import next_item
    from validate.acts.vote import vote
    from validate.queries import progress_of

    person = User.objects.create(username=f"{task.slug}-validator", role=Role.VALIDATOR)
    asking, voting, looking = [], [], []
    for _ in range(ASKED):
        began = time.perf_counter()
        lease = next_item(validator=person, task=task)
        asked = time.perf_counter()
        assert lease is not None
        vote(validator=person, lease_id=lease.pk, label="a")
        voted = time.perf_counter()
        progress_of(person, task)
        asking.append(1000 * (asked - began))
        voting.append(1000 * (voted - asked))
        looking.append(1000 * (time.perf_counter() - voted))
    median = statistics.median(asking)
    print(
        f"{size:9,} items: next {median:.1f} ms (p95 {statistics.quantiles(asking, n=20)[18]:.1f}),"
        f" vote {statistics.median(voting):.1f} ms, progress {statistics.median(looking):.1f} ms",
        flush=True,
    )
    return median


def _at_once(people: int, items: int) -> None:
    """Several validators, right four times in five, who take up to 0.2 s for each item."""
    from django.db import connections

    from accounts.models import Role, User
    from scoring.recount import repair
    from validate.acts.lease import next_item
    from validate.acts.vote import vote
    from validate.models import Vote

    task = _task("queue-at-once")
    _fill(task, items)
    repair()  # the rows were inserted past the tallies
    validators = [
        User.objects.create(username=f"at-once-{n}", role=Role.VALIDATOR) for n in range(people)
    ]

    def work(person: Any) -> None:
        draw = random.Random(person.pk)
        while lease := next_item(validator=person, task=task):
            time.sleep(draw.random() / 5)
            label = "a" if draw.random() < 0.8 else draw.choice("bc")
            vote(validator=person, lease_id=lease.pk, label=label)
        connections.close_all()

    threads = [threading.Thread(target=work, args=(person,)) for person in validators]
    began = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    seconds = time.perf_counter() - began
    votes = Vote.objects.filter(example__task=task)
    surplus = votes.filter(surplus=True).count()
    print(
        f"{people} validators at once: {votes.count()} votes in {seconds:.0f} s, {surplus} surplus "
        f"({surplus / votes.count():.2%}), {task.examples.filter(status='open').count()} left open"
    )


if __name__ == "__main__":
    main()
