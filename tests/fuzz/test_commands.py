"""Arguments and files of bytes where a command expects text: a sentence and an exit code."""

from __future__ import annotations

import io
import re
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from random import Random

import pytest
from django.core.management import call_command
from django.db import connections

import manage
from annotate.models import Task
from tests import cast
from tests.crowd import world as crowd
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
    "rehearse digits FILE",
    "freeze NAME",
    "audit_votes NAME",
    "restore FILE",
    "backup NAME/x.tar",
    "load_campaign FILE",
    "load_campaign FILE --base NAME --owner NAME",
    "pay NAME",
    "pay pilot --results FILE",
    "load_contexts nli FILE.jsonl --source NAME",
    "load_contexts nli FILE.csv",
    "load_contexts nli FILE.parquet",
    "load_contexts NAME FILE.jsonl",
    "discover NAME",
    "discover digits --model NAME",
    "judge NAME --model NAME",
    "judge digits --model NAME --test",
    "import_set NAME FILE",
    "import_set gahd SET",
    "evaluate NAME",
    "evaluate digits --model NAME",
    "train_model NAME FILE",
    "audit_board NAME",
    "audit_board digits --colluding NAME",
    "release NAME --out FILE",
    "release digits --out RELEASE/x --version NAME",
    "verify FILE",
    "verify RELEASE --key NAME",
    "verify SPOILT",
    "replay SPOILT",
    "replay FILE --times NAME",
)
GOOD = {
    "rehearse": "rounds: 1\nfoolings: 5\npay: {vote: 0.05}\n",
    "load_task": "slug: nli\nname: NLI\ninput: text\nlabels: [e, n]\n",
    "register_model": "name: guesser\nbackend: 'null'\n",
    "import_log": '{"kind": "vote", "example": "e", "validator": "v", "label": "1"}\n',
    "load_gold": '{"input": {"text": "a"}, "answer": "1"}\n',
    "load_campaign": (
        "slug: another\ntask: digits\nplatform: hit\nplaces: 2\nvisit: {examples: 1}\n"
        "pay: {base: '1.00', currency: USD}\nconsent: I agree.\n"
        "return_to: https://work.example.org\n"
    ),
    "pay": "AssignmentId,WorkerId,AssignmentStatus\nA-W1,W1,Approved\n",
    "load_contexts": '{"text": "A man sleeps."}\n',
    "import_set": (
        "gahd_id,text,label,round,annotator_id,annotator_labels,model_prediction\n"
        "7,Ein Satz.,1,r2,3,1/0/1,0.0\n"
    ),
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


def _filled(rng: Random, word: str, places: dict[str, str]) -> str:
    return re.sub("FILE|RELEASE|NAME|SET", lambda it: places.get(it[0]) or _argument(rng), word)


@TAKES_LONG
def test_no_command_ends_in_a_traceback(
    task: Task, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections, "close_all", lambda: None)
    cast.submission(task, cast.person(CSRF[:5]), 1)
    cast.text_task(slug="nli", input="text_pair")
    crowd.come(crowd.campaign(task)).begin()
    rng = Random(14)
    file, release, published = tmp_path / "file", tmp_path / "1.0.0", tmp_path / "set"
    published.mkdir()
    call_command("release", "digits", out=release, stdout=io.StringIO())
    parts = sorted(path for path in release.rglob("*") if path.is_file())
    for number in range(CALLS // 10):
        name, *words = CALLED[number % len(CALLED)].split()
        for ending in ("", ".jsonl", ".csv", ".parquet"):
            file.with_name(f"file{ending}").write_bytes(_spoilt(rng, GOOD.get(name, "")))
        theirs = _spoilt(rng, GOOD["import_set"])
        (published / "gahd_disaggregated.csv").write_bytes(theirs)
        part = rng.choice(parts)
        whole = part.read_bytes()
        if "SPOILT" in words:
            part.write_bytes(_spoilt(rng, whole.decode("latin1")))
        words = [word.replace("SPOILT", "RELEASE") for word in words]
        places = {"FILE": str(file), "RELEASE": str(release), "SET": str(published)}
        given = [_filled(rng, word, places) for word in words]
        said, status = io.StringIO(), 0
        with redirect_stdout(said), redirect_stderr(said):
            try:
                manage.main(["manage.py", name, "--skip-checks", *given])
            except SystemExit as ended:
                status = ended.code if isinstance(ended.code, int) else 1
                print("" if isinstance(ended.code, int) else ended.code)
        part.write_bytes(whole)
        assert status in (0, 1, 2), (name, given)
        assert status == 0 or said.getvalue().strip(), (name, given)
        if "NAME" not in CALLED[number % len(CALLED)]:  # what a file brings steers no terminal
            odd = {char for char in said.getvalue() if not char.isprintable()} - {"\n", "\xa0"}
            assert not odd, (name, odd, said.getvalue()[:500])
