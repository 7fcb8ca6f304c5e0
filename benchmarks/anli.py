"""Replay ANLI's published votes through the real queue: `python -m benchmarks.anli`.

Loads the minimal task of three labels, imports round 1 of the development set with its verifiers'
votes by `import_log`, and prints what came out and how fast: lines a second over all of it, and
votes a second over the votes' own pass, with the wall time and this process's CPU seconds. The
data (CC BY-NC 4.0, not part of the project) are read from ../shared/data/anli.
"""

from __future__ import annotations

import csv
import json
import os
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).resolve().parents[2] / "shared" / "data" / "anli"


def log_lines(author_says: str = "gold_label", folder: Path = FOLDER) -> Iterator[dict[str, Any]]:
    """Round 1 as a log: 1,000 examples and their 2,298 votes.

    `author_says` names the column taken for the author's label; "adversary_pred" makes the negative
    control, in which every author claims what the model said.
    """
    with (folder / "verifier_labels_R1-3.jsonl").open() as lines:
        votes = {row["uid"]: row["verifier labels"] for row in map(json.loads, lines)}
    with (folder / "r1_dev.csv").open(newline="") as file:
        for row in csv.DictReader(file):
            yield {
                "kind": "example",
                "id": row["uid"],
                "round": 1,
                "author": "anli-annotators",
                "input": {"context": row["context"], "hypothesis": row["statement"]},
                "label": row[author_says],
                "prediction": row["adversary_pred"],
                "model": "anli-r1",
            }
            for place, label in enumerate(votes[row["uid"]], start=1):
                yield {
                    "kind": "vote",
                    "example": row["uid"],
                    "validator": f"verifier-{place}",
                    "label": label,
                }


POLICIES: dict[str, dict[str, Any]] = {
    "two_plus_one": {"policy": "two_plus_one"},
    "bayes .827": {"policy": "bayes", "fixed_reliability": 0.827},
}


def main() -> None:
    if not FOLDER.exists():
        sys.exit(f"There is no {FOLDER}.")
    data = tempfile.mkdtemp(prefix="dadc-anli-")
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "dadc_server.settings")
    os.environ["DADC_DATA"] = data
    import django

    django.setup()
    from django.core.management import call_command
    from django.db import connection

    call_command("migrate", verbosity=0)
    print(f"{connection.vendor}; data in {data}")
    for policy, validation in POLICIES.items():
        for column in ("gold_label", "adversary_pred"):
            _replay(f"{policy}, {column}", validation, list(log_lines(column)))


def _replay(name: str, validation: dict[str, Any], lines: list[dict[str, Any]]) -> None:
    from annotate.config import parse_task_file
    from annotate.rounds import load_task
    from validate.logs import import_log

    slug = "".join(letter if letter.isalnum() else "-" for letter in name)
    file = {
        "slug": slug.replace("_", "-"),
        "name": name,
        "input": "text_pair",
        "labels": ["e", "n", "c"],
        "validation": validation,
    }
    task, _ = load_task(file=parse_task_file(file))
    log = [json.dumps(line).encode() for line in lines]
    passes: list[float] = []  # when the log was read for examples, and when for votes

    def read() -> list[bytes]:
        passes.append(time.perf_counter())
        return log

    cpu = time.process_time()
    numbers = import_log(task, read).as_json()
    cpu, now = time.process_time() - cpu, time.perf_counter()
    seconds, voting = now - passes[0], now - passes[1]
    again = import_log(task, lambda: log).as_json()
    unchanged = {**again, "new_examples": 1000, "new_votes": 2298} == numbers
    rate = (numbers["new_votes"] + numbers["new_examples"]) / seconds
    print(
        f"{name:28} {seconds:5.1f} s ({cpu:.1f} s of CPU), {rate:4.0f} lines/s, "
        f"{numbers['new_votes'] / voting:4.0f} votes/s; {numbers['verified']} verified, "
        f"{numbers['rejected']} rejected, {numbers['relabelled']} relabelled, "
        f"{numbers['used']} votes used, {numbers['third_requests']} third requests; "
        f"twice is once: {unchanged}"
    )


if __name__ == "__main__":
    main()
