"""Stress suites: the same copies each time, parameters recorded, and answers that stay."""

from __future__ import annotations

import json
from collections import defaultdict

import numpy as np
import pytest

from kinds import Prepared, kind_named
from ml.backends import open_model, source_of
from ml.learners import learner_named, read_base
from ml.stress import suite_named, suites_for
from tests import cast

pytestmark = pytest.mark.once

TEXTS = (
    "I do not really like it because the little room was cold until we left.",
    "The government believes that people receive too much, which is probably right.",
    "A beautiful surprise: their friends came together tomorrow evening, didn't they?",
)


def changed(suite: str, text: str) -> dict[str, str]:
    one = kind_named("text").parse({"text": text})
    return {name: copy.features["text"] for name, copy in suite_named(suite).copies(one, "text")}


def test_what_comes_of_an_input_hangs_on_it_and_on_nothing_beside_it() -> None:
    rng = np.random.default_rng(1)
    some = [Prepared("", rng.random((8, 8), dtype=np.float32)) for _ in range(3)]
    (suite,) = suites_for(some[0].features)

    def made(one: Prepared) -> list[tuple[str, bytes]]:
        return [(name, copy.features.tobytes()) for name, copy in suite.copies(one)]

    assert made(some[1]) == made(Prepared("another key", some[1].features.copy()))
    assert made(some[0]) != made(some[1]), "inputs without a key are told apart"
    for name, copy in suite.copies(some[0]):
        assert copy.features.dtype == np.float32, name
        assert 0 <= copy.features.min() <= copy.features.max() <= 1, name
    recorded = json.loads(json.dumps(suite.recorded))
    assert recorded["changes"]["rotate"] == {"radians": 0.4}


def test_a_sound_model_reads_most_copies_of_validated_items_as_before() -> None:
    """Else a change would not leave the label: this net is right on 98 % of what they copy."""
    made = json.loads((cast.SHIPPED / "model.json").read_text())
    model = open_model("onnx", source_of(made, cast.SHIPPED))
    base = read_base(learner_named("digits"), made["config"]["base"], cast.SHIPPED)
    right = defaultdict(list)
    for item in base.held_out[:40]:
        names, copies = zip(*suite_named("corruptions").copies(item.prepared), strict=True)
        for name, answer in zip(names, model.answer(copies), strict=True):
            right[name].append(answer.label == item.label)
    assert len(right) == 15
    shares = {name: np.mean(answers) for name, answers in right.items()}
    assert min(shares.values()) >= 0.5, shares
    assert np.mean(list(shares.values())) >= 0.8


def test_texts_say_the_same_otherwise() -> None:
    found = changed("wordings", "I do not really like it.")
    assert found["upper case"] == "I DO NOT REALLY LIKE IT."
    assert found["contractions"] == "I don't really like it."
    assert found["misspellings"] == "I do not realy like it."
    assert found["split words"].replace(" ", "") == "Idonotreallylikeit."
    assert found["zero width"].replace("\u200b", "") == "I do not really like it."
    assert found["white space"].split() == ["I", "do", "not", "really", "like", "it."]
    assert len(found) == 9
    assert set(changed("wordings", "12")) <= {"punctuation", "white space"}, "no letters"


def test_a_copy_that_a_reader_cannot_read_back_is_asked_of_nobody() -> None:
    """Seen through are case, marks, gaps, look-alikes and contractions; a slip weighs by length."""
    suite = suite_named("wordings")
    for told in TEXTS:
        assert {"typing slips", "misspellings", "split words"} <= changed("wordings", told).keys()
    assert changed("wordings", "We do not.")["contractions"] == "We don't."
    assert {"upper case", "look-alikes"} <= changed("wordings", "No exit").keys()
    assert "typing slips" not in changed("wordings", "No exit"), "one letter of six is another"
    assert suite.recorded["legible"] == 0.9


def test_persons_are_others_and_a_text_without_any_is_left_out() -> None:
    found = changed("persons", "Emily saw her and told Greg: his wife, Emily, is a lady.")
    gender = found["the other gender"]
    assert gender == "Emily saw his and told Greg: her husband, Emily, is a gentleman."
    first, second = (
        found["names of another group"].split(" saw ")[0],
        found["names of another group"].split("wife, ")[1].split(",")[0],
    )
    assert first == second != "Emily", "one person keeps one name"
    assert changed("persons", "He met her.")["the other gender"] == "She met him."
    assert changed("persons", "It rained.") == {}
