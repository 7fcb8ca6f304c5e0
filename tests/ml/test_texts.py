"""The learner of texts and the baselines: they start as their word lists, and learn over them."""

from __future__ import annotations

import json
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from kinds import Prepared, kind_named
from ml import artifacts, learners
from ml.artifacts import ArtifactError
from ml.backends import Backend, Source, open_model, source_of
from ml.learners import BadSource, Base, Checkpoint, Item, learner_named, read_base, store_base

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


def test_a_text_is_learned_as_people_share_its_labels(data: Path) -> None:
    one, shares = text("The box stands there."), {"negative": 0.75, "positive": 0.25}
    _, backend = made(
        TEXTS.load_base(str(data)), data, verified=[Item(one, "negative", shares=shares)] * 400
    )
    (answer,) = backend.answer([one])
    assert answer.probabilities == pytest.approx(shares, abs=0.05)


def test_what_fooled_may_count_as_much_as_all_that_is_clean(tmp_path: Path) -> None:
    (tmp_path / "train.tsv").write_text("a blue box\tone\na red box\ttwo\n" * 30)
    base = TEXTS.load_base(str(tmp_path))
    made_first = learners.save(TEXTS.train(base, labels=("one", "two"), seed=0), tmp_path)
    parent = artifacts.load(tmp_path / made_first["artifact"], made_first["sha256"])
    fooling = [Item(text("a blue box there"), "two")]
    for emphasis, expected in ((1, "two"), (0, "one")):
        how = {"emphasis": emphasis}
        after = TEXTS.fine_tune(parent, base, fooling, seed=0, settings=how)
        saved = learners.save(after, tmp_path)
        backend = open_model(saved["backend"], source_of(saved, tmp_path))
        assert said(backend, "a blue box there", "a red box") == [expected, "two"]


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


def test_numbers_of_scikit_learn_answer_as_it_does(tmp_path: Path) -> None:
    from sklearn.feature_extraction.text import CountVectorizer
    from sklearn.linear_model import LogisticRegression

    texts = ["red tea", "brown bread", "blue fish", "more tea", "old bread", "fried fish"]
    truth = ["tea", "bread", "fish"] * 2
    words, linear = CountVectorizer(ngram_range=(1, 2)), LogisticRegression()
    linear.fit(words.fit_transform(texts), truth)
    # As libraries leave it in memory, column by column, which a file of the array would scramble.
    linear.coef_ = np.asfortranarray(linear.coef_)
    told = {
        "classes": linear.classes_.tolist(),
        "coef": linear.coef_.tolist(),
        "intercept": linear.intercept_.tolist(),
        "vectoriser": {
            "params": {"ngram_range": [1, 2]},
            "vocabulary": {word: int(place) for word, place in words.vocabulary_.items()},
        },
    }

    def opened(**changes: Any) -> Backend:
        data = json.dumps({**told, **changes}).encode()
        path = artifacts.keep(data, tmp_path, ".json")
        return open_model("sklearn", Source(path, path.stem, {}))

    asked = ["old fish", "tea", "red bread and more"]
    expected = linear.predict_proba(words.transform(asked))
    for answer, row in zip(opened().answer([text(one) for one in asked]), expected, strict=True):
        assert answer.probabilities == pytest.approx(
            dict(zip(linear.classes_, row, strict=True)), abs=1e-5
        )
    why = opened().why(text("old fish"), "fish")  # type: ignore[attr-defined]
    assert max(why.pieces, key=lambda piece: piece.weight).start == len("old ")
    for changes, sentence in [
        ({"classes": ["tea", "bread"]}, "2 classes need as many rows"),
        ({"coef": "pickled"}, "is no such model"),
        (
            {"vectoriser": {"params": {"tokenizer": "split"}, "vocabulary": {}}},
            "leave out tokenizer",
        ),
    ]:
        with pytest.raises(ArtifactError, match=sentence):
            opened(**changes)
    path = artifacts.keep(pickle.dumps(linear), tmp_path, ".json")
    with pytest.raises(ArtifactError, match="is no such model"):
        open_model("sklearn", Source(path, path.stem, {}))


def test_a_head_over_embeddings_learns_and_needs_its_encoder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of an encoder that a test can have; the real one is an extra."""
    from ml.learners import vectors

    def vector_of(words: str) -> Any:
        return np.array(["good" in words, "bad" in words, 0.5], np.float32)

    monkeypatch.setattr(vectors, "vector_of", vector_of)
    monkeypatch.setattr("ml.backends.vectors.vector_of", vector_of)
    monkeypatch.setattr("ml.backends.vectors.encoder", lambda: None)
    learner = learner_named("vectors")
    (tmp_path / "train.tsv").write_text("a good day\tpositive\na bad day\tnegative\n" * 4)
    (tmp_path / "dev.tsv").write_text("good\tpositive\n")
    base = learner.load_base(str(tmp_path))
    trained = learner.train(base, labels=MOODS, seed=0)
    assert trained.model.flags.c_contiguous
    saved = learners.save(trained, tmp_path)
    backend = open_model(saved["backend"], source_of(saved, tmp_path))
    assert said(backend, "good", "bad") == ["positive", "negative"]
    parent = artifacts.load(tmp_path / saved["artifact"], saved["sha256"])
    read: list[str] = []

    def broken_off(words: str) -> Any:
        read.append(words)
        if len(read) == 6:
            raise KeyboardInterrupt
        return vector_of(words)

    monkeypatch.setattr(vectors, "KEPT_EVERY", 2)
    checkpoint = Checkpoint(tmp_path / "run-0.part")
    monkeypatch.setattr(vectors, "vector_of", broken_off)
    with pytest.raises(KeyboardInterrupt):
        learner.train(base, labels=MOODS, seed=0, checkpoint=checkpoint)
    again = learner.train(base, labels=MOODS, seed=0, checkpoint=checkpoint)
    assert len(read) == 6 + 4, "what was kept is not read again"
    assert np.array_equal(again.model, trained.model)
    foolings = [Item(text("so good"), "negative")] * 40
    after = learner.fine_tune(parent, base, foolings, seed=0, settings={})
    assert after.config["verified_texts"] == 40
    saved = learners.save(after, tmp_path)
    assert said(open_model(saved["backend"], source_of(saved, tmp_path)), "good") == ["negative"]
    shared = Item(text("none"), "negative", shares={"negative": 0.75, "positive": 0.25})
    after = learner.fine_tune(parent, base, [shared] * 400, seed=0, settings={})
    saved = learners.save(after, tmp_path)
    (answer,) = open_model(saved["backend"], source_of(saved, tmp_path)).answer([text("none")])
    assert answer.probabilities == pytest.approx(shared.shares, abs=0.05)
    with pytest.raises(ArtifactError, match="needs clean texts of each"):
        learner.train(base, labels=("negative", "positive", "mixed"), seed=0)
    monkeypatch.setattr(vectors, "_installed", lambda: "2.0")
    with pytest.raises(ArtifactError, match="bin/serve --with minilm"):
        open_model(saved["backend"], source_of(saved, tmp_path))


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
