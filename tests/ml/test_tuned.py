"""Learners of checkpoints of Hugging Face's library, on one that is made here; an extra."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from kinds import kind_named
from ml import artifacts, learners
from ml.artifacts import ArtifactError, LoadedArtifact
from ml.backends import Backend, open_model, source_of
from ml.learners import BadSource, Checkpoint, Item, Trained, learner_named, read_base, store_base

pytestmark = [pytest.mark.once, pytest.mark.slow]
pytest.importorskip("transformers")

from tests.ml.test_transformers import save as save_checkpoint  # noqa: E402

TEXTS, PAIRS = learner_named("tuned_texts"), learner_named("tuned_pairs")
MOODS = ("negative", "positive")
FAST = {"epochs": 20, "learning_rate": 0.01, "epoch_items": 16, "batch_size": 8}
GOOD, BAD = "this text was wonderful .", "this text was dreadful ."
SLY = "wonderful and dreadful ."


def text(words: str) -> Any:
    return kind_named("text").parse({"text": words})


def said(backend: Backend, *inputs: Any) -> list[Any]:
    return [answer.label for answer in backend.answer(inputs)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Clean texts beside an encoder without a head."""
    folder = tmp_path_factory.mktemp("moods")
    (folder / "train.tsv").write_text(f"{GOOD}\tpositive\n{BAD}\tnegative\n" * 12)
    (folder / "dev.tsv").write_text("wonderful\tpositive\ndreadful\tnegative\n")
    save_checkpoint(folder / "checkpoint", "Model", initializer_range=0.1)
    return folder


@pytest.fixture(scope="module")
def first(folder: Path) -> Trained:
    base = TEXTS.load_base(str(folder))
    return TEXTS.train(base, labels=MOODS, seed=0)


def opened(trained: Trained, folder: Path) -> tuple[dict[str, Any], Backend]:
    made = learners.save(trained, folder)
    return made, open_model(made["backend"], source_of(made, folder))


def loaded(trained: Trained, folder: Path) -> LoadedArtifact:
    made = learners.save(trained, folder)
    return artifacts.load(folder / made["artifact"], made["sha256"])


def test_an_encoder_gets_a_head_and_learns_what_fooled_it(
    folder: Path, first: Trained, tmp_path: Path
) -> None:
    base = TEXTS.load_base(str(folder))
    parent = loaded(first, tmp_path / "artifacts")
    foolings = [Item(text(SLY), "negative")] * 8
    after = TEXTS.fine_tune(parent, base, foolings, seed=0, settings=FAST)
    made, backend = opened(after, tmp_path / "artifacts")
    assert (made["backend"], made["config"]["max_tokens"]) == ("transformers", 128)
    assert said(backend, *map(text, (GOOD, BAD, SLY))) == ["positive", "negative", "negative"]
    weights = TEXTS.weights(
        artifacts.load(tmp_path / "artifacts" / made["artifact"], made["sha256"])
    )
    assert {"classifier.weight", "classifier.bias"} <= weights.keys(), "what a release gives others"
    again = TEXTS.fine_tune(parent, base, foolings, seed=0, settings=FAST)
    assert again.model == after.model, "the same seed, the same bytes"
    other = TEXTS.fine_tune(parent, base, foolings, seed=1, settings=FAST)
    assert other.model != after.model


@pytest.mark.parametrize("patience", [None, 2])
def test_a_training_that_was_broken_off_goes_on_to_the_same_files(
    folder: Path,
    first: Trained,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    patience: int | None,
) -> None:
    from ml.learners.tuned_texts import training

    monkeypatch.setattr(training, "KEEP_EVERY", 0)  # after each step, also within an epoch
    base, parent = TEXTS.load_base(str(folder)), loaded(first, tmp_path)
    foolings, checkpoint = [Item(text(SLY), "negative")] * 20, Checkpoint(tmp_path / "run-0.part")
    how: dict[str, Any] = {"seed": 0, "settings": {**FAST, "epochs": 5, "patience": patience}}
    whole = TEXTS.fine_tune(parent, base, foolings, **how)
    steps: list[float] = []

    def be_killed(fraction: float, _: str) -> None:
        steps.append(fraction)
        if fraction > 0.4:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        TEXTS.fine_tune(parent, base, foolings, **how, progress=be_killed, checkpoint=checkpoint)
    heard: list[float] = []
    resumed = TEXTS.fine_tune(
        parent,
        base,
        foolings,
        **how,
        checkpoint=checkpoint,
        progress=lambda at, _: heard.append(at),
    )
    assert min(heard) > max(steps), "no step is learned again"
    assert resumed.model == whole.model


def test_what_people_do_not_agree_on_is_learned_as_they_share_it(
    folder: Path, first: Trained, tmp_path: Path
) -> None:
    parent, shares = loaded(first, tmp_path / "artifacts"), {"negative": 0.7, "positive": 0.3}
    base = TEXTS.load_base(str(folder))
    shared = [Item(text(SLY), "negative", shares=shares)] * 16
    after = TEXTS.fine_tune(parent, base, shared, seed=0, settings={**FAST, "mix": "union"})
    _, backend = opened(after, tmp_path / "artifacts")
    (answer,) = backend.answer([text(SLY)])
    assert answer.probabilities == pytest.approx(shares, abs=0.15)


def test_foolings_alone_make_it_forget(folder: Path, first: Trained, tmp_path: Path) -> None:
    """As with digits: a control, for rehearsals to show that the gates stop it."""
    base, parent = TEXTS.load_base(str(folder)), loaded(first, tmp_path / "artifacts")
    foolings, how = [Item(text(SLY), "negative")] * 8, {**FAST, "mix": "foolings_only"}
    after = TEXTS.fine_tune(parent, base, foolings, seed=0, settings=how)
    _, backend = opened(after, tmp_path / "artifacts")
    assert said(backend, *map(text, (GOOD, SLY))) == ["negative", "negative"]


def test_pairs_keep_the_head_that_names_their_labels(tmp_path: Path) -> None:
    pairs = [
        ("a man sleeps", "somebody rests", "e"), ("a man sleeps", "he runs", "c"),
        ("ann met bob", "bob met ann", "e"), ("ann met bob", "ann was in rome", "n"),
    ]  # fmt: skip
    rows = "".join("\t".join(pair) + "\n" for pair in pairs)
    (tmp_path / "train.tsv").write_text("context\thypothesis\tlabel\n" + rows * 8)
    (tmp_path / "dev.tsv").write_text(rows)
    names = {0: "c", 1: "n", 2: "e"}
    save_checkpoint(tmp_path / "checkpoint", id2label=names, initializer_range=0.1)
    base = PAIRS.load_base(str(tmp_path))
    assert (len(base.train), len(base.held_out)) == (32, 4)
    named = store_base(PAIRS, base, tmp_path / "artifacts")
    base = read_base(PAIRS, named, tmp_path / "artifacts")
    first = PAIRS.train(base, labels=("e", "n", "c"), seed=0)
    parent = loaded(first, tmp_path / "artifacts")
    after = PAIRS.fine_tune(parent, base, base.train, seed=0, settings={**FAST, "epochs": 50})
    _, backend = opened(after, tmp_path / "artifacts")
    asked = [item.prepared for item in base.held_out]
    assert said(backend, *asked) == [item.label for item in base.held_out]
    assert b'"0": "c"' in after.model["config.json"]


def test_what_cannot_be_tuned_is_told(folder: Path, tmp_path: Path) -> None:
    base = TEXTS.load_base(str(folder))
    with pytest.raises(ArtifactError, match="label positive, which the task has not"):
        TEXTS.train(base, labels=("negative", "neutral"), seed=0)
    (tmp_path / "train.tsv").write_text("one\tpositive\n")
    with pytest.raises(ArtifactError, match="no folder `checkpoint`"):
        TEXTS.train(TEXTS.load_base(str(tmp_path)), labels=MOODS, seed=0)
    (tmp_path / "checkpoint").mkdir()
    (tmp_path / "checkpoint" / "pytorch_model.bin").write_bytes(b"")
    with pytest.raises(BadSource, match="no safetensors"):
        TEXTS.load_base(str(tmp_path))
    with pytest.raises(ValueError, match="zip"):
        TEXTS.unpack(b"no zip")
    with pytest.raises(BadSource, match="line 1: it is no context, tab, hypothesis, tab and label"):
        PAIRS.load_base(str(tmp_path))
