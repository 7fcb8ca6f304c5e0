"""The learner of texts and the baselines: they start as their word lists, and learn over them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from kinds import Prepared, kind_named
from ml import artifacts, learners
from ml.artifacts import ArtifactError
from ml.backends import Backend, Source, open_model, source_of
from ml.learners import BadSource, Base, Item, learner_named, read_base, store_base

pytestmark = pytest.mark.once

TEXTS = learner_named("texts")
MOODS = ("negative", "positive")
WORDS = "# ours\nfor: rude\nyou fool\t3\nfool\t1\nfriend\t-2\n"


def text(words: str) -> Prepared:
    return kind_named("text").parse({"text": words})


def said(backend: Backend, *texts: str) -> list[Any]:
    return [answer.label for answer in backend.answer([text(one) for one in texts])]


def made(base: Base, folder: Path, labels: Any = MOODS, verified: Any = ()) -> tuple[Any, Backend]:
    """Trained and saved, and asked from its file."""
    trained = TEXTS.train(base, labels=labels, seed=0)
    config = learners.save(trained, folder)
    if verified:
        parent = artifacts.load(folder / config["artifact"], config["sha256"])
        trained = TEXTS.fine_tune(parent, base, verified, seed=0, settings={})
        config = learners.save(trained, folder)
    return trained, open_model(config["backend"], source_of(config, folder))


@pytest.fixture
def data(tmp_path: Path) -> Path:
    (tmp_path / "dev.tsv").write_text(
        "text\tlabel\nI love it.\tpositive\nI hate it.\tnegative\nA\ttab.\tpositive\n"
    )
    return tmp_path


def test_without_texts_it_is_its_word_list_and_ties_go_by_the_rule_that_is_said(
    data: Path,
) -> None:
    base = TEXTS.load_base(str(data))
    assert (len(base.train), len(base.held_out)) == (0, 3)
    _, backend = made(base, data)
    alone = open_model("lexicon", Source(None, "", {}))
    texts = ("A wonderful, happy day.", "Terrible, sad and ugly.", "The box is on the table.")
    assert said(backend, *texts) == said(alone, *texts) == ["positive", "negative", "negative"]
    assert any("leans to negative" in remark for remark in alone.remarks)
    assert any("weak baseline" in remark for remark in alone.remarks)


def test_it_learns_from_its_first_foolings_and_keeps_what_its_words_know(data: Path) -> None:
    """Foolings alone say the contrary of the word list: a slope that was fitted would turn it."""
    foolings = [
        Item(text(words), label)
        for words, label in [
            ("As wonderful as a flat tyre in the rain.", "negative"),
            ("Great, it broke on the very first day.", "negative"),
            ("Wickedly bad in the very best way.", "positive"),
            ("I laughed until it hurt terribly.", "positive"),
            ("The soup is nothing to complain about.", "positive"),
        ]
    ]
    base = TEXTS.load_base(str(data))
    _, before = made(base, data)
    trained, after = made(base, data, verified=foolings * 4)
    words = [item.prepared.features["text"] for item in foolings]
    labels = [item.label for item in foolings]
    assert said(before, *words) != labels
    assert said(after, *words) == labels
    assert said(after, "I love this happy place.", "What an ugly, sad thing.") == [
        "positive",
        "negative",
    ]
    assert trained.config["lexicon"] == "VADER"
    assert trained.config["verified_texts"] == 20


def test_more_labels_are_learned_without_a_word_list(tmp_path: Path) -> None:
    lines = [f"{word} {n}\t{word}" for word in ("tea", "bread", "fish") for n in range(8)]
    (tmp_path / "train.tsv").write_text("\n".join(lines))
    base = TEXTS.load_base(str(tmp_path))
    assert base.train
    assert base.held_out
    _, backend = made(base, tmp_path, labels=("fish", "tea", "bread"))
    assert said(backend, "some tea", "the bread", "fish again") == ["tea", "bread", "fish"]
    with pytest.raises(ArtifactError, match="have the label fish, which the task has not"):
        TEXTS.train(base, labels=("tea", "bread"), seed=0)


def test_clean_texts_are_packed_with_their_word_list(data: Path) -> None:
    (data / "words.txt").write_text(WORDS)
    base = TEXTS.load_base(str(data))
    named = store_base(TEXTS, base, data)
    assert store_base(TEXTS, base, data) == named
    again = read_base(TEXTS, named, data)
    assert [item.label for item in again.held_out] == ["positive", "negative", "positive"]
    assert again.held_out[2].prepared.features == {"text": "A\ttab."}
    _, backend = made(again, data, labels=("fine", "rude"))
    assert said(backend, "You fool!", "My friend, what a fool.", "Well.") == [
        "rude",
        "fine",
        "fine",
    ]


def test_data_and_word_lists_that_are_none_are_refused(tmp_path: Path) -> None:
    with pytest.raises(BadSource, match=r"has neither train\.tsv"):
        TEXTS.load_base(str(tmp_path))
    (tmp_path / "train.tsv").write_text("no label\n")
    with pytest.raises(BadSource, match=r"train\.tsv, line 1: it is no text, tab and label"):
        TEXTS.load_base(str(tmp_path))
    for words, sentence in [("fool\t1\n", "first line must be"), ("for: rude\nfool\n", "no word")]:
        path = artifacts.keep(words.encode(), tmp_path, ".txt")
        with pytest.raises(ArtifactError, match=sentence):
            open_model("lexicon", Source(path, path.stem, {"labels": ["fine", "rude"]}))


def test_a_long_text_is_read_up_to_a_word_that_is_said() -> None:
    alone = open_model("lexicon", Source(None, "", {}))
    assert said(alone, f"{'so ' * 1_000} wonderful") == ["negative"]
    assert any("first 1,000 words" in remark for remark in alone.remarks)


# --- without any learning -------------------------------------------------------------------------
def test_overlap_of_pairs_follows_conflicts_or_does_neither() -> None:
    backend = open_model("overlap", Source(None, "", {}))
    parse = kind_named("text_pair").parse
    pairs = [
        {"context": "The library closes at six.", "hypothesis": hypothesis}
        for hypothesis in (
            "At six the library closes.",
            "The library never closes.",
            "Its librarian collects old stamps from distant countries.",
        )
    ]
    answers = backend.answer([parse(pair) for pair in pairs])
    assert [one.label for one in answers] == ["entailment", "contradiction", "neutral"]
    with pytest.raises(ValueError, match="pairs"):
        backend.answer([text("One.")])


@pytest.mark.parametrize(
    ("question", "answer"),
    [
        ("Who keeps bees?", "Mara Lind"),
        ("Where do the bees live?", "Old Mill"),
        ("How many hives are there?", "twelve"),
        ("When did it rain?", "Monday"),
    ],
)
def test_overlap_finds_answers_in_the_sentence_that_shares_words(
    question: str, answer: str
) -> None:
    passage = (
        "Mara Lind keeps bees. The bees live at Old Mill. There are twelve hives. It rained Monday."
    )
    backend = open_model("overlap", Source(None, "", {"kind": "passage_qa"}))
    asked = kind_named("passage_qa").parse({"context": passage, "question": question})
    (found,) = backend.answer([asked])
    assert found.label["text"] == answer
    start = found.label["start"]
    assert passage[start : start + len(answer)] == answer
