"""A checkpoint is tuned, retrained on what fooled it, judged and promoted, as any other model."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from django.conf import settings

from accounts.models import User
from annotate import rounds
from annotate.config import parse_task_file
from tests import cast
from tests.training.test_commands import run_command
from tests.training.world import LENIENT, let_every_other_fail, serving, verified
from training import services
from training.retraining import carry_out

pytestmark = [pytest.mark.once, pytest.mark.slow]
pytest.importorskip("transformers")

from tests.ml.test_transformers import save as save_checkpoint  # noqa: E402

FAST = {"epochs": 20, "learning_rate": 0.01, "epoch_items": 16, "batch_size": 8}


def test_pairs_are_learned_by_a_checkpoint(
    owner: User,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    django_capture_on_commit_callbacks: Any,
) -> None:
    let_every_other_fail(monkeypatch)
    section = {"trigger": None, "promote": "automatic", "gates": LENIENT, "seeds": 2, **FAST}
    file = {
        "slug": "pairs", "name": "Pairs", "input": "text_pair", "labels": ["e", "c"],
        "validation": {"policy": "two_plus_one"}, "retraining": section,
    }  # fmt: skip
    task, _ = rounds.load_task(file=parse_task_file(file), actor=owner)
    rows = "".join(
        f"{about}\t{one}\t{label}\n"
        for about in ("a man sleeps", "ann met bob", "this is a text", "bob was in rome")
        for one, label in (("somebody rests", "e"), ("he runs", "c"), ("they met", "e"))
    )
    (tmp_path / "train.tsv").write_text(rows * 2)
    (tmp_path / "dev.tsv").write_text(rows)
    save_checkpoint(tmp_path / "checkpoint", "Model", initializer_range=0.1)
    told = run_command("train_model", "pairs", str(tmp_path), "--open-round", "--json")
    assert "registered" in told[-2]
    first = serving(task)
    assert (first.backend, first.config["learner"]) == ("transformers", "tuned_pairs")
    people = [cast.person(name) for name in ("ann", "ben", "cleo")]
    words = ("was", "met", "runs", "rests", "text", "common", "wonderful", "dreadful")
    for number, word in enumerate(words):
        pair = {"context": f"this is {word}", "hypothesis": f"they and {word} {word}"}
        label = "e" if cast.prediction(task, pair) == "c" else "c"
        sent = cast.submission(task, people[number % 3], input=pair, label=label, fooled=False)
        verified(sent, owner)
    with django_capture_on_commit_callbacks(execute=True):
        run = carry_out(*services.begin_here(task=task))
    assert run.status == "promoted", run.reason
    assert serving(task).parent == first
    assert run.candidate is not None
    assert run.candidate.config["transformers"]
    assert cast.prediction(task, pair) in ("e", "c")
    unpacked = Path(settings.ARTIFACT_DIR).parent / "unpacked"
    assert {one.name for one in unpacked.iterdir()} == {first.sha256, run.candidate.sha256}
