"""What a script sees of each command: its exit status, its last line, where its errors go."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.core.management import get_commands

from accounts.models import User
from annotate.models import Task
from scoring.models import Tally
from tests import cast
from tests.contract.conftest import Done
from tests.pins import Pins, shape

Manage = Callable[..., Done]

# Pinned where there is what they need: a model to train, another database, a terminal to stop at.
ELSEWHERE = {"bootstrap", "discover", "judge", "rehearse", "restore", "retrain", "worker"}


@pytest.fixture
def paths(tmp_path: Path) -> dict[str, Path]:
    files = {
        "task.yaml": "{slug: nli, name: NLI, input: text_pair, labels: [e, n]}",
        "texts.yaml": "{slug: texts, name: Texts, input: text, labels: ['yes', 'no']}",
        "bad.yaml": "{slug: nli}",
        "log.jsonl": json.dumps(
            {
                "kind": "example",
                "id": "x1",
                "round": 1,
                "author": "p-1",
                "input": cast.drawing(9),
                "label": "1",
                "prediction": "2",
                "model": "m",
            }
        ),
        "bad.jsonl": "{\n",
        "model.yaml": "{name: coin, backend: null}",
        "campaign.yaml": "{slug: pilot, task: digits, platform: hit, places: 2}",
        "results.csv": "AssignmentId,AssignmentStatus\nnobody,Approved\n",
        "contexts.jsonl": '{"text": "It rains."}',
        "gold.jsonl": json.dumps({"input": cast.drawing(8), "answer": "8"}),
    }
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    (tmp_path / "published").mkdir()
    (tmp_path / "published" / "Dynamically Generated Hate.csv").write_text(
        "acl.id,text,label,round.base,annotator\nacl1,Rain again,nothate,1,QQ1\n"
    )
    (tmp_path / "clean").mkdir()
    (tmp_path / "clean" / "train.tsv").write_text("".join(f"word{n}\t{n % 2}\n" for n in range(20)))
    return {
        name: tmp_path / name
        for name in [*files, "clean", "published", "backup.tar", "released", "none"]
    }


@pytest.fixture
def world(task: Task, owner: User, annotator: User, validator: User, other_validator: User) -> Task:
    """A task with a verified fooling and one that waits."""
    cast.submission(task, annotator, 1)
    for person in (validator, other_validator):
        cast.answer(person, task)
    cast.submission(task, annotator, 2)
    return task


GRANTED = [
    "load_task task.yaml --owner olive",
    "load_task task.yaml",
    "import_log digits log.jsonl",
    "load_gold digits gold.jsonl",
    "load_contexts nli contexts.jsonl",
    "audit_votes digits",
    "audit_board digits",
    "nightly --now",
    "nightly",
    "simulate digits --items 20 --repetitions 1",
    "recompute --check",
    "recompute",
    "freeze digits",
    "evaluate digits",
    "register_model digits model.yaml --open-round",
    "open_round digits --opens-at 2999-01-01T00:00:00Z --submissions-each 20",
    "load_task texts.yaml",
    "train_model texts clean --labels 0=yes 1=no --open-round",
    "release digits --out released --version 1.0.0",
    "verify released",
    "replay released",
    "import_set dynahate published",
    "backup backup.tar",
    "load_campaign campaign.yaml",
    "pay pilot --dry-run",
    "pay pilot",
]
REFUSED = [
    "load_task bad.yaml",
    "load_task none",
    "load_task task.yaml --owner nobody",
    "import_log digits bad.jsonl",
    "import_log digits none",
    "import_log chess log.jsonl",
    "export_log chess",
    "load_gold digits bad.jsonl",
    "load_gold digits none",
    "load_contexts digits contexts.jsonl",
    "load_contexts digits none",
    "audit_votes chess",
    "audit_board digits --colluding 2",
    "simulate digits --spammers 7",
    "freeze chess",
    "evaluate chess",
    "discover digits",
    "discover digits --model nobody",
    "discover digits --seed -1",
    "discover chess",
    "judge digits --model nobody",
    "judge digits --model digits-1",
    "judge chess --model digits-1",
    "retrain digits",
    "rehearse chess bad.yaml",
    "rehearse digits none",
    "rehearse digits bad.yaml",
    "release chess --out released-2",
    "release digits --out released-2 --version 1",
    "verify none",
    "replay none",
    "import_set gahd none",
    "backup none/backup.tar",
    "restore none",
    "register_model digits none",
    "register_model chess model.yaml",
    "train_model digits none",
    "train_model digits clean --labels 0",
    "train_model chess clean",
    "create_user anna",
    "open_round chess",
    "open_round digits --model nobody",
    "open_round digits --submissions 0",
    "load_campaign bad.yaml",
    "load_campaign none",
    "load_campaign campaign.yaml --owner nobody",
    "pay chess",
]


@pytest.mark.django_db(transaction=True)  # a backup is of what is committed
def test_each_command_ends_with_its_summary(
    world: Task, manage: Manage, paths: dict[str, Path], pinned: Pins
) -> None:
    for line in GRANTED:
        name, *arguments = (str(paths.get(word, word)) for word in line.split())
        done = manage(name, *arguments, "--json")

        assert (done.status, done.errors) == (0, ""), line
        pinned.same("commands", line, shape(done.summary))
        assert len(done.output.splitlines()) > 1, "a sentence for people stands before it"


def test_an_account_is_made_and_told(world: Task, manage: Manage, pinned: Pins) -> None:
    for line in ("create_user max", "create_user mia --role owner --password pw-9-pw-9 --token"):
        done = manage(*line.split())

        assert (done.status, done.errors) == (0, "")
        pinned.same("commands", line, shape(done.summary))


def test_what_cannot_be_done_is_one_sentence_and_the_status_1(
    world: Task, manage: Manage, paths: dict[str, Path]
) -> None:
    for line in REFUSED:
        name, *arguments = (str(paths.get(word, word)) for word in line.split())
        wants_json = ["--json"] if name not in ("export_log", "create_user") else []
        done = manage(name, *arguments, *wants_json)

        assert done.status == 1, line
        assert done.errors.startswith("CommandError: "), line
        if line == "import_log digits bad.jsonl":
            assert done.summary["refused_lines"] == 1, "what was taken is summed up all the same"


def test_a_check_that_fails_has_the_status_1(
    world: Task, annotator: User, manage: Manage, pinned: Pins
) -> None:
    Tally.objects.filter(author=annotator).update(verified=5)

    done = manage("recompute", "--check", "--json")

    assert (done.status, done.errors != "") == (1, True)
    pinned.same("commands", "recompute --check (differs)", shape(done.summary))


def test_every_command_is_among_them() -> None:
    ours = {name for name, app in get_commands().items() if _is_ours(app)}
    tried = {line.split()[0] for line in GRANTED}

    assert ours - ELSEWHERE == tried | {"create_user", "export_log"}


def _is_ours(app: Any) -> bool:
    return isinstance(app, str) and (Path(settings.BASE_DIR) / app.partition(".")[0]).is_dir()
