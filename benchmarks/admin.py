"""How fast the admin site's lists are at 100,000 examples: `python -m benchmarks.admin`.

Fills a database of its own (a temporary SQLite file, or the empty one that DATABASE_URL names),
then opens each page several times as an admin and as the owner of a small task, through Django
without a network, and prints the median milliseconds and the number of queries.
"""

from __future__ import annotations

import argparse
import base64
import json
import os
import random
import statistics
import tempfile
import time
import uuid
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

PASSES = 7
TASKS = (("digits", 0.80), ("letters", 0.19), ("small", 0.01))
FATES = (("open", 0.70), ("verified", 0.20), ("rejected", 0.08), ("ambiguous", 0.02))


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--examples", type=int, default=100_000)
    arguments.add_argument("--people", type=int, default=2_000)
    arguments.add_argument("--data", help="a folder to keep the data in, for another run")
    wanted = arguments.parse_args()
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "dadc_server.settings")
    with tempfile.TemporaryDirectory() as folder:
        os.environ["DADC_DATA"] = wanted.data or folder
        os.environ["DADC_ALLOWED_HOSTS"] = "testserver"
        import django

        django.setup()
        from django.core.management import call_command

        call_command("migrate", verbosity=0)
        call_command("collectstatic", verbosity=0, interactive=False)

        from annotate.models import Example

        if not Example.objects.exists():
            fill(wanted.examples, wanted.people)
        show(list(measure()))


def fill(examples: int, people: int) -> None:
    """Insert tasks, people, examples, votes and events, all from one seed."""
    from django.contrib.auth.hashers import make_password
    from django.db import connection
    from django.utils import timezone

    from accounts.models import Event, User
    from annotate.config import parse_task_file
    from annotate.models import Example, ModelVersion, Round
    from annotate.rounds import load_task
    from validate.models import Vote

    began = time.perf_counter()
    rng = random.Random(0)
    unusable = make_password(None)
    User.objects.bulk_create(User(username=f"person{n}", password=unusable) for n in range(people))
    User.objects.create(username="ada", role="admin", is_staff=True, is_superuser=True)
    olive = User.objects.create(username="olive", role="owner", is_staff=True)
    authors = list(User.objects.filter(role="annotator").values_list("pk", flat=True))
    targets = []
    for slug, _ in TASKS:
        labels = [str(digit) for digit in range(10)]
        file = parse_task_file({"slug": slug, "name": slug, "input": "image", "labels": labels})
        task, _new = load_task(file=file, actor=olive if slug == "small" else None)
        model = ModelVersion.objects.create(task=task, number=1, name=f"{slug}-1")
        round_ = Round.objects.create(task=task, number=1, status="open")
        targets.append((task, model, round_))
    shares = [share for _, share in TASKS]
    now = timezone.now()

    def example(n: int) -> Example:
        task, model, round_ = rng.choices(targets, shares)[0]
        fate = rng.choices(*zip(*FATES, strict=True))[0]
        label, prediction = rng.sample("0123456789", 2)
        fooled = rng.random() < 0.3
        return Example(
            task=task,
            config_id=task.config_id,
            round=round_,
            model=model,
            author_id=rng.choice(authors),
            input={"png": base64.b64encode(rng.randbytes(700)).decode()},
            input_hash=f"{n:064x}",
            external_id=f"log-{n}" if n % 10 == 0 else None,
            label=label,
            prediction=prediction if fooled else label,
            probabilities={str(digit): 0.1 for digit in range(10)},
            fooled=fooled,
            status=fate,
            settled_at=None if fate == "open" else now,
            hidden_at=now if n % 1_000 == 0 else None,
            created_at=now - timedelta(seconds=examples - n),
            uid=uuid.UUID(int=rng.getrandbits(128), version=4),
        )

    for first in range(0, examples, 5_000):
        Example.objects.bulk_create(
            [example(n) for n in range(first, min(first + 5_000, examples))], batch_size=500
        )
    settled = Example.objects.exclude(status="open").values_list("pk", "author_id", "label")
    Vote.objects.bulk_create(
        (
            Vote(example_id=pk, validator_id=validator, author_id=author, label=label)
            for pk, author, label in settled
            for validator in rng.sample(authors, 2)
            if validator != author
        ),
        batch_size=2_000,
    )
    Event.objects.bulk_create(
        (
            Event(verb="submitted", object_type="example", object_id=str(pk), scope=slug)
            for pk, slug in Example.objects.values_list("pk", "task__slug")
        ),
        batch_size=2_000,
    )
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute("ANALYZE")
    print(
        f"{connection.vendor}: {Example.objects.count():,} examples, {Vote.objects.count():,} "
        f"votes, {people:,} people in {time.perf_counter() - began:.0f} s"
    )


def addresses() -> Iterator[tuple[str, str]]:
    """The pages, named in words."""
    from annotate.models import Example

    some = Example.objects.filter(task__slug="small", external_id__isnull=False)[0]
    examples = "/admin/annotate/example/"
    yield "examples", examples
    yield "page 15", f"{examples}?p=15"
    for standing in ("hidden", "retracted"):
        yield standing, f"{examples}?standing={standing}"
    for verdict in ("open", "verified", "ambiguous", "flagged"):
        yield f"digits, {verdict}", f"{examples}?task=digits&standing={verdict}"
    for claim in ("fooled", "not", "sandbox"):
        yield claim, f"{examples}?claim={claim}"
    yield "small task", f"{examples}?task=small"
    yield "small task, ambiguous", f"{examples}?task=small&standing=ambiguous"
    yield "digits, ambiguous, fooled", f"{examples}?task=digits&standing=ambiguous&claim=fooled"
    yield "search: whole id", f"{examples}?q={some.uid}"
    yield "search: id's beginning", f"{examples}?q={str(some.uid)[:8]}"
    yield "search: id in a log", f"{examples}?q={some.external_id}"
    yield "search: author", f"{examples}?q=person123"
    yield "search: nothing", f"{examples}?q=nobody-like-this"
    yield "one example", f"{examples}{some.pk}/change/"
    yield "people", "/admin/accounts/user/"
    yield "people: search", "/admin/accounts/user/?q=person19"
    yield "votes", "/admin/validate/vote/"
    yield "events", "/admin/accounts/event/"
    yield "events of a task", "/admin/accounts/event/?task=small"
    yield "models", "/admin/annotate/modelversion/"


def measure() -> Iterator[dict[str, Any]]:
    from django.db import connection
    from django.test import Client
    from django.test.utils import CaptureQueriesContext

    from accounts.models import User

    for name in ("ada", "olive"):
        client = Client()
        client.force_login(User.objects.get(username=name))
        for title, address in addresses():
            answer = client.get(address)  # once unmeasured: plans and templates are cached
            assert answer.status_code == 200, (name, address, answer.status_code)
            took = []
            for _ in range(PASSES):
                began = time.perf_counter()
                client.get(address)
                took.append((time.perf_counter() - began) * 1_000)
            with CaptureQueriesContext(connection) as captured:
                client.get(address)
            slowest = max(captured.captured_queries, key=lambda query: float(query["time"]))
            yield {
                "role": User.objects.get(username=name).role,
                "page": title,
                "ms": round(statistics.median(took), 1),
                "queries": len(captured),
                "slowest_query_ms": round(float(slowest["time"]) * 1_000),
            }


def show(rows: list[dict[str, Any]]) -> None:
    print(f"{'role':<7} {'page':<26} {'ms':>8} {'queries':>8} {'slowest query ms':>17}")
    for row in rows:
        print(
            f"{row['role']:<7} {row['page']:<26} {row['ms']:>8} {row['queries']:>8} "
            f"{row['slowest_query_ms']:>17}"
        )
    print(json.dumps(rows))


if __name__ == "__main__":
    main()
