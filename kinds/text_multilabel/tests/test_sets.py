"""Models that answer with sets of labels, and what fools them."""

from __future__ import annotations

import uuid
from hashlib import sha256
from typing import Any

import pytest

from annotate.config import parse_task_file
from annotate.registry import ModelFile, register
from annotate.rounds import load_task
from core.errors import Refused
from kinds import Prepared
from kinds.comparators import LabelSet
from ml.backends import Answer, null
from tests import cast

LABELS = ["food", "money", "sport"]
pytestmark = [pytest.mark.django_db, pytest.mark.once]


@pytest.fixture
def topics() -> Any:
    file = {"slug": "topics", "name": "T", "input": "text_multilabel", "labels": LABELS}
    return load_task(file=parse_task_file(file))[0]


def test_a_model_answers_with_every_label_that_is_likely(topics: Any, client: Any) -> None:
    coin = ModelFile(
        name="coin", backend="null", labels={"eat": "food", "pay": "money", "run": "sport"}
    )
    register(task=topics, file=coin, open_round=True)
    client.force_login(cast.person("anna"))

    def post(what: str, content: dict[str, Any]) -> Any:
        path = f"/api/v1/tasks/topics/{what}/"
        return client.post(path, content, content_type="application/json").json()

    texts: dict[int, list[tuple[str, list[str]]]] = {count: [] for count in range(4)}
    for number in range(48):
        text = sha256(bytes([number])).hexdigest()  # none is like another
        said = post("predictions", {"input": {"text": text}})
        shares = said["probabilities"]
        assert said["prediction"] == [label for label in LABELS if shares[label] >= 0.5]
        texts[len(said["prediction"])].append((text, said["prediction"]))

    for count, ((text, read), (other, _), *_) in texts.items():  # from none of them to all
        another = LABELS if count == 0 else []
        for written, label, fooled in ((text, read[::-1], False), (other, another, True)):
            sent = {"client_id": str(uuid.uuid4()), "input": {"text": written}, "label": label}
            assert post("examples", sent)["fooled"] == fooled


def test_what_fools_is_said_in_words() -> None:
    assert "misses one of your labels" in LabelSet().words
    assert "fewer than 50% of all labels" in LabelSet(threshold=0.5).words


def test_a_model_that_gives_no_probabilities_is_refused(
    topics: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def answer(self: null.NullBackend, inputs: list[Prepared]) -> list[Answer]:
        return [Answer("food") for _ in inputs]

    monkeypatch.setattr(null.NullBackend, "answer", answer)
    with pytest.raises(Refused, match="every label a probability"):
        register(task=topics, file=ModelFile(name="coin", backend="null"))
