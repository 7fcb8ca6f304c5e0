"""How fast a release is made and proven: `python -m benchmarks.releases --examples 100000`.

Fills a fresh SQLite with examples, three votes on each and their events, then measures
`manage.py release` and `manage.py verify` in processes of their own: seconds, rows a second (an
example is a row, and so is a vote), and the most memory that the process held. `--peer`: the same
number of tasks with three annotations each, exported by Label Studio's own command in the same run.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks import peers

PROJECT = Path(__file__).resolve().parents[1]
STEP = 2_000
AUTHORS, VALIDATORS, ROUNDS = 500, 100, 3


def fill(examples: int) -> None:
    """Rows as the services leave them, in bulk: only reading is measured."""
    import django

    django.setup()
    from datetime import timedelta

    from django.core.management import call_command
    from django.utils import timezone

    from accounts.models import Event, User
    from annotate import rounds
    from annotate.config import parse_task_file
    from annotate.models import Example, Round
    from core.transactions import durable
    from validate.models import Vote

    call_command("migrate", verbosity=0)
    names = [f"p{number:05}" for number in range(AUTHORS + VALIDATORS)]
    people = [User(username=n, pseudonym=n, imported=True, looks=n) for n in names]
    User.objects.bulk_create(people)
    file = {
        "slug": "large",
        "name": "Large",
        "input": "text_pair",
        "labels": ["e", "n", "c"],
        "validation": {"policy": "two_plus_one"},
    }
    task, _ = rounds.load_task(file=parse_task_file(file))
    with durable():
        model = rounds.register_model(task=task, name="reader")
    numbered = [
        Round.objects.create(task=task, number=n, status="closed") for n in range(1, ROUNDS + 1)
    ]
    start = timezone.now() - timedelta(days=30)
    for first in range(0, examples, STEP):
        some = [
            Example(
                task=task,
                config=task.config,
                round=numbered[place * ROUNDS // examples],
                model=model,
                author=people[place % AUTHORS],
                input={
                    "context": f"Passage {place % 997} says that it rained in Rome all day. " * 3,
                    "hypothesis": f"On day {place} it was dry in Rome, as {place % 991} say.",
                },
                input_hash=f"{place:064}",
                label="n",
                prediction="c",
                probabilities={"e": 0.1, "n": 0.2, "c": 0.7},
                fooled=True,
                seconds=20.0 + place % 40,
                created_at=start + timedelta(seconds=place),
                status="verified",
                final_label="n",
                settled_at=start + timedelta(seconds=place + 3600),
            )
            for place in range(first, min(first + STEP, examples))
        ]
        Example.objects.bulk_create(some)
        votes = [
            Vote(
                example=example,
                validator=people[AUTHORS + (example.pk * 3 + turn) % VALIDATORS],
                author=example.author,
                label="n" if turn != 1 else "e",
                reliability=0.8,
                seconds=5.0 + turn,
                created_at=example.created_at + timedelta(minutes=10 + turn),
            )
            for example in some
            for turn in range(3)
        ]
        Vote.objects.bulk_create(votes)
        acts: list[tuple[str, Any]] = [("submitted", one) for one in some]
        acts += [("voted", vote.example) for vote in votes]
        acts += [("settled", one) for one in some]
        Event.objects.bulk_create(
            Event(
                verb=verb,
                object_type="example",
                object_id=str(one.pk),
                scope="large",
                data={"fooled": True},
            )
            for verb, one in acts
        )


def measured(*command: str, **env: str) -> tuple[float, float, float]:
    """Seconds, CPU seconds, and MiB at the most."""
    began = time.perf_counter()
    process = subprocess.Popen(command, env=os.environ | env, cwd=PROJECT)
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        raise SystemExit(f"{command} failed.")
    cpu = usage.ru_utime + usage.ru_stime
    return time.perf_counter() - began, cpu, usage.ru_maxrss / 1024


def tell(name: str, rows: int, figures: tuple[float, float, float]) -> None:
    wall, cpu, mib = figures
    print(
        f"{name}: {rows:,} rows in {wall:.1f} s ({cpu:.1f} s of CPU), "
        f"{rows / wall:,.0f} rows a second ({rows / cpu:,.0f} a CPU second), "
        f"{mib:.0f} MiB at the most",
        flush=True,
    )


def peer(examples: int, scratch: Path) -> float:
    """Label Studio on SQLite, as its own command exports a project; its seconds."""
    python = peers.environment("label-studio", "label-studio", "gunicorn")
    env = {
        "LABEL_STUDIO_BASE_DATA_DIR": str(scratch),
        "LATEST_VERSION_CHECK": "false",
        "COLLECT_ANALYTICS": "false",
        "DJANGO_DB": "sqlite",
    }
    made = subprocess.run(
        [str(python), "-P", str(PROJECT / "benchmarks" / "label_studio_rows.py"), str(examples)],
        env=os.environ | env,
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    project, out = made.stdout.split()[-1], scratch / "export.json"
    name = f"Label Studio {peers.version(python, 'label-studio')} export"
    command = [str(python.with_name("label-studio")), "export", project, "JSON"]
    figures = measured(*command, "--export-path", str(out), **env)
    if not out.exists():
        raise SystemExit("Label Studio wrote nothing.")
    tell(name, 4 * examples, figures)
    print(f"{out.stat().st_size / 2**20:.0f} MiB written")
    return figures[0]


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.releases", description=__doc__)
    parser.add_argument("--examples", type=int, default=100_000)
    parser.add_argument("--peer", action="store_true", help="Label Studio's export beside it")
    parser.add_argument("--fill", action="store_true", help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.fill:
        fill(asked.examples)
        return
    with tempfile.TemporaryDirectory(prefix="dadc-releases-") as name:
        scratch = Path(name)
        folder = scratch / "out"
        env = {
            "DADC_DATA": str(scratch / "data"),
            "DJANGO_SETTINGS_MODULE": "dadc_server.settings",
        }
        again = [sys.executable, "-m", "benchmarks.releases", "--fill"]
        subprocess.run(
            [*again, "--examples", str(asked.examples)],
            env=os.environ | env,
            cwd=PROJECT,
            check=True,
        )
        manage = (sys.executable, str(PROJECT / "manage.py"))
        took = {}
        for command in (["release", "large", "--out", str(folder)], ["verify", str(folder)]):
            figures = measured(*manage, *command, **env)
            tell(command[0], 4 * asked.examples, figures)
            took[command[0]] = figures[0]
        size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) / 2**20
        print(f"{size:.0f} MiB written", flush=True)
        if asked.peer:
            theirs = peer(asked.examples, scratch)
            print(f"{theirs / took['release']:.1f} times as long as ours")


if __name__ == "__main__":
    main()
