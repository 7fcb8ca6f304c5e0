"""Queues for the validators of the browser's server: `python -m tests.browser.judging_world`.

A task for each test, so that none meets what another has answered.
"""

from __future__ import annotations

import json
import tempfile
from typing import Any

import django

ITEMS = {
    "judge-keys": 6,
    "judge-lost": 2,
    "judge-late": 2,
    "judge-offline": 3,
    "judge-leave": 2,
    "judge-phone": 2,
    "judge-board": 1,
    "judge-frame": 4,
    "judge-busy": 3,
    "judge-alone": 3,
    "judge-work": 2,
    "judge-slow": 3,
    "judge-warned": 2,
    "judge-journey": 0,
    "judge-thirty": 26,
    "judge-test": 2,
}
GOLD = {"judge-thirty": 4, "judge-test": 3}
VALIDATION: dict[str, dict[str, Any]] = {
    "judge-thirty": {"gold_first": 0.5, "gold_later": 0.5},
    "judge-test": {"qualification": {"items": 3, "minimum": 0.6}},
    "judge-work": {"lease_seconds": 60},
}
WARNINGS = {"judge-warned": "Some of these drawings are rude."}
SOMEBODY = "<img src=x onerror=document.title='run'>"  # a log may name its people as it likes
TEXTS: dict[str, dict[str, Any]] = {
    "judge-pairs": {
        "file": {"input": "text_pair", "labels": ["follows", "neither", "contradicts"]},
        "line": {
            "input": {
                "context": "It has rained since the morning.",
                "hypothesis": "The street is wet.",
            },
            "label": "follows",
            "prediction": "neither",
        },
    },
    "judge-topics": {
        "file": {
            "input": "text_multilabel",
            "labels": ["food", "money", "sport"],
            "comparator": {"rule": "label_set"},
        },
        "line": {
            "input": {"text": "A tax on beetroot."},
            "label": ["food", "money"],
            "prediction": ["food"],
        },
    },
}


def main() -> None:
    from accounts.models import User
    from tests import cast
    from validate.acts.gold import load_gold

    anna, olive = (User.objects.get(username=name) for name in ("anna", "olive"))
    for slug, items in ITEMS.items():
        rules = {"policy": "two_plus_one", "sample": 0, **VALIDATION.get(slug, {})}
        warning = WARNINGS.get(slug)
        task = cast.digits_task(
            olive, net=True, slug=slug, name=slug, validation=rules, content_warning=warning
        )
        for seed in range(items):
            cast.submission(task, anna, seed)
        known = range(900, 900 + GOLD.get(slug, 0))
        lines = [{"input": cast.drawing(seed), "answer": "4"} for seed in known]
        load_gold(actor=olive, task=task, lines=[json.dumps(line).encode() for line in lines])
    for slug, text in TEXTS.items():
        add_text(slug, text["file"], text["line"])


def add_text(slug: str, file: dict[str, Any], line: dict[str, Any]) -> None:
    """A task with one text that fooled a model elsewhere."""
    from django.core.management import call_command

    from annotate import rounds
    from annotate.config import parse_task_file

    whole = {"slug": slug, "name": slug, "validation": {"policy": "two_plus_one"}, **file}
    rounds.load_task(file=parse_task_file(whole))
    known = {"kind": "example", "id": slug, "round": 1, "author": SOMEBODY, "model": "a model"}
    with tempfile.NamedTemporaryFile("w", suffix=".jsonl") as log:
        log.write(json.dumps({**known, **line}) + "\n")
        log.flush()
        call_command("import_log", slug, log.name)


if __name__ == "__main__":
    django.setup()
    main()
