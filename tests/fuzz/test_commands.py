"""Arguments and files of bytes where a command expects text: a sentence and an exit code."""

from __future__ import annotations

import io
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from random import Random

import pytest
from django.db import connections

import manage
from annotate.models import Task
from tests import cast
from tests.fuzz import hostile
from tests.fuzz.test_calls import CALLS, TAKES_LONG
from tests.fuzz.world import CSRF

# A file argument is FILE; a number that a command would really count to is not asked for.
CALLED = (
    "create_user NAME --role annotator",
    "create_user anna --role NAME",
    "create_user NAME --role annotator --password NAME",
    "load_task FILE",
    "load_task FILE --owner NAME",
    "import_log digits FILE --json",
    "import_log NAME FILE",
    "export_log NAME",
    "load_gold digits FILE --owner NAME",
    "load_gold digits FILE",
    "register_model digits FILE",
    "register_model NAME FILE",
    "simulate digits --items NAME",
    "simulate digits --spammers NAME --items 2 --repetitions 1",
    "simulate digits --author-right NAME --items 2 --repetitions 1",
    "simulate digits --seed NAME --items 2 --repetitions 1",
    "recompute --task NAME",
    "retrain NAME",
    "freeze NAME",
    "audit_votes NAME",
    "restore FILE",
    "backup NAME/x.tar",
)
GOOD = {
    "load_task": "slug: nli\nname: NLI\ninput: text\nlabels: [e, n]\n",
    "register_model": "name: guesser\nbackend: 'null'\n",
    "import_log": '{"kind": "vote", "example": "e", "validator": "v", "label": "1"}\n',
    "load_gold": '{"input": {"text": "a"}, "answer": "1"}\n',
}


def _spoilt(rng: Random, good: str) -> bytes:
    """A good file with hostile bytes somewhere, most often where a value was."""
    at = rng.choice([place for place, char in enumerate(good) if char in ' :"\n']) if good else 0
    value = (
        hostile.some_bytes(rng) if rng.random() < 0.5 else hostile.json_of(rng, hostile.value(rng))
    )
    return good[: at + 1].encode() + value + good[at + rng.choice((1, 4)) :].encode()


def _argument(rng: Random) -> str:
    """As the operating system hands it over: bytes that are no UTF-8 become half surrogates."""
    text = hostile.some_bytes(rng).replace(b"\0", b"").decode("utf-8", "surrogateescape")
    # A number that is one would be believed: a million items are nobody's mistake but the caller's.
    return text if not text.strip().isdigit() or len(text) > 4_000 else "-1"


@TAKES_LONG
def test_no_command_ends_in_a_traceback(
    task: Task, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections, "close_all", lambda: None)
    cast.submission(task, cast.person(CSRF[:5]), 1)
    rng = Random(14)
    file = tmp_path / "file"
    for number in range(CALLS // 10):
        name, *words = CALLED[number % len(CALLED)].split()
        file.write_bytes(_spoilt(rng, GOOD.get(name, "")))
        given = [word.replace("FILE", str(file)).replace("NAME", _argument(rng)) for word in words]
        said, status = io.StringIO(), 0
        with redirect_stdout(said), redirect_stderr(said):
            try:
                manage.main(["manage.py", name, "--skip-checks", *given])
            except SystemExit as ended:
                status = ended.code if isinstance(ended.code, int) else 1
                print("" if isinstance(ended.code, int) else ended.code)
        assert status in (0, 1, 2), (name, given)
        assert status == 0 or said.getvalue().strip(), (name, given)
