"""Crashes under load: what was acknowledged is there, once, and counted.

Kills with SIGKILL, again and again, while people submit and validate: a web process, everything
that bin/serve started, or the job worker in the middle of a training. The people ask again until
they are answered; in the end what they were told is compared with what the database holds.
"""

from __future__ import annotations

import argparse
import json
import random
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from typing import Any

import psutil
import psycopg2

from benchmarks.measure import show_table
from benchmarks.servers import PROJECT, World, is_answering, ours

VICTIMS = ("web", "server", "jobs")
ANNOTATORS, VALIDATORS = 8, 4
PATIENCE = 300.0  # seconds for a run to begin, or for the last one to end
LOSSES = (
    "submissions lost",
    "submissions double",
    "submissions unannounced",
    "votes lost",
    "votes double",
)


class Broken(AssertionError):
    """Something that was acknowledged is missing, double or counted wrongly."""


def crash(asked: argparse.Namespace) -> dict[str, Any]:
    """kill -9 of a web process, of the whole server and of the job worker, under load."""
    found: dict[str, Any] = {}
    for kind in asked.databases:
        for victim in asked.victims:
            found[f"{kind}, {victim}"] = survive(kind, [victim] * asked.times)
    names = list(next(iter(found.values())))
    show_table(
        f"After {asked.times} kills each",
        ("database, victim", *names),
        ([name, *(row[column] for column in names)] for name, row in found.items()),
    )
    return found


def survive(
    kind: str, victims: Sequence[str], *, drawings: int = 10_000, pause: float = 0, **spec: Any
) -> dict[str, Any]:
    """Kill one after the other under load; what was found, or Broken when anything is wrong.

    `pause`: seconds that people wait between two acts.
    """
    trains = "jobs" in victims
    world_spec = {
        "annotators": ANNOTATORS,
        "validators": VALIDATORS,
        "waiting": 4000 if trains else 1000,
        "task": {} if trains else {"retraining": {"trigger": None}},
        **spec,
    }
    workers = 2 if kind == "postgresql" else 1
    killers: dict[str, Callable[[World], None]] = {
        "web": _kill_web_process,
        "server": _kill_server,
        "jobs": JobKiller(),
    }
    with ours(kind, workers=workers, **world_spec) as world:
        with _people(world, drawings, pause=2.0 if trains else pause) as told:
            for number, victim in enumerate(victims):
                killers[victim](world)
                _say(f"{kind}, {victim}: {number + 1} of {len(victims)}")
            _wait_for(lambda: is_answering(world.server.url + "/healthz"))
            time.sleep(1)
        if trains:  # nobody votes any more, so that no further run begins
            _wait_for(lambda: _newest_run(world)[0] not in ("queued", "running"))
        found = _compared(world, told)
    for name in LOSSES:
        if found[name]:
            raise Broken(f"{kind}: {name}: {found[name]}")
    return found


# --- people ---------------------------------------------------------------------------------------
@contextmanager
def _people(world: World, drawings: int, *, pause: float) -> Iterator[dict[str, Any]]:
    """People at work until the block ends; then the mapping holds what they were told."""
    stop = world.data / "stop"
    orders = {
        "load": "survive",
        "url": world.server.url,
        "cookies": world.sessions["annotator"],
        "validators": world.sessions["validator"],
        "truth": world.truth,
        "first": world.server.cursor,
        "drawings": drawings,
        "stop": str(stop),
        "pause": pause,
    }
    process = subprocess.Popen(
        [sys.executable, "-m", "benchmarks.load"],
        cwd=PROJECT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    told: dict[str, Any] = {}
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        process.stdin.write(json.dumps(orders))
        process.stdin.close()
        process.stdout.readline()  # they have begun
        time.sleep(1)
        yield told
        stop.touch()
        told |= json.loads(process.stdout.readline())["result"]
    finally:
        if process.poll() is None and not told:
            process.kill()
        process.wait()
        process.stdout.close()
        stop.unlink(missing_ok=True)


def _compared(world: World, told: dict[str, Any]) -> dict[str, Any]:
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.proof"],
        cwd=PROJECT,
        env=world.environment,
        input=json.dumps(told["kept"]),
        capture_output=True,
        text=True,
        check=True,
    )
    found: dict[str, Any] = json.loads(done.stdout)
    if told["counts"].get("never answered"):
        raise Broken("A submission was never answered, though the server was back.")
    counted = world.manage("recompute", "--check")
    if counted.returncode:
        raise Broken(f"recompute --check found a difference:\n{counted.stdout}{counted.stderr}")
    return found | {"connections lost": told["counts"].get("connections lost", 0)}


# --- victims --------------------------------------------------------------------------------------
def _kill_web_process(world: World) -> None:
    """Kill any of them, a moment after somebody was served."""
    _wait_for(lambda: is_answering(world.server.url + "/healthz"))
    time.sleep(random.uniform(0.5, 2))
    with suppress(psutil.NoSuchProcess):
        random.choice(world.server.roots["web"].children()).kill()


def _kill_server(world: World) -> None:
    time.sleep(random.uniform(0.5, 2))
    world.served.kill()
    world.served.start()


class JobKiller:
    """Kills the job worker a moment after a training has begun, or begun again."""

    def __init__(self) -> None:
        self._broken_off: str | None = None  # the claim of the attempt that was killed last

    def __call__(self, world: World) -> None:
        _wait_for(lambda: self._is_under_way(*_newest_run(world)))
        time.sleep(random.uniform(0.2, 2))
        self._broken_off = _newest_run(world)[1]
        for process in world.served.supervisor.children():
            with suppress(psutil.NoSuchProcess):
                if process.cmdline()[-1:] == ["worker"]:
                    process.kill()

    def _is_under_way(self, status: str | None, claim: str | None) -> bool:
        return status == "running" and claim != self._broken_off


def _newest_run(world: World) -> tuple[str | None, str | None]:
    """Status and claim of the newest training run, read past the server."""
    query = "SELECT status, claim FROM training_trainingrun ORDER BY id DESC LIMIT 1"
    if address := world.environment.get("DATABASE_URL"):
        connection: Any = psycopg2.connect(address)
    else:
        connection = sqlite3.connect(world.data / "db.sqlite3", timeout=20)
    with closing(connection), closing(connection.cursor()) as cursor:
        cursor.execute(query)
        row = cursor.fetchone()
    return (row[0], str(row[1])) if row else (None, None)


def _wait_for(condition: Callable[[], Any]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not condition():
        if time.monotonic() > deadline:
            raise Broken("What should begin again by itself did not.")
        time.sleep(0.1)


def _say(line: str) -> None:
    print(f"   {line}", file=sys.stderr, flush=True)
