"""Texts with one label: hashed n-grams, learned over the score of a word list that stays as it is.

It starts as good as the word list, and learns from the first text that fooled it. Clean data is a
folder: `train.tsv` and `dev.tsv` with a text, a tab and its label a line, either of which may be
missing, and `words.txt`, a word list (ml/learners/texts/lexicon.py); without it VADER reads the
moods where the labels are negative and positive.
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from core.errors import Refused
from kinds import kind_named
from ml.artifacts import ArtifactError, LoadedArtifact
from ml.learners import BadSource, Base, Checkpoint, Item, Progress, Settings, Trained
from ml.learners.texts import model as models
from ml.learners.texts.lexicon import Lexicon, read_words

NAME: Final = "texts"
HEADERS: Final = {"label", "labels"}
HELD_OUT: Final = 5  # every so manieth text, by its hash, where nothing else is held out
VADERS: Final = {"negative", "positive"}


class FineTuning(Settings):
    """How it learns from texts that fooled it: all of them and the clean ones anew, each time."""

    emphasis: float = Field(
        default=0.3,
        ge=0,
        le=1,
        description="What fooled counts: text by text (0), or as much as all that is clean (1).",
    )
    strength: float = Field(
        default=1.0,
        gt=0,
        le=1_000,
        description="How strongly the weights are held at 0; lower learns a text faster.",
    )


@dataclass(frozen=True, slots=True)
class Texts(Base):
    """Clean texts, and the word list that came with them."""

    lexicon: Lexicon | None = None


class TextLearner:
    """The learner."""

    kind = "text"
    fields: tuple[str, ...] = ("text",)
    backend = "lexicon"
    settings: type[Settings] = FineTuning
    sources: tuple[str, ...] = ()

    def load_base(self, source: str) -> Base:
        folder = Path(source)
        train, dev, words = (folder / name for name in ("train.tsv", "dev.tsv", "words.txt"))
        if not any(path.is_file() for path in (train, dev, words)):
            raise BadSource(f"{folder} has neither train.tsv nor dev.tsv nor words.txt.")
        lexicon = None
        if words.is_file():
            try:
                lexicon = read_words(words.read_text())
            except (ValueError, OSError) as error:
                raise BadSource(f"{words} cannot be read: {error}.") from error
        learned, held_out = self._read(train), self._read(dev)
        if not held_out:
            held_out = [item for item in learned if _is_held_out(item)]
            learned = [item for item in learned if not _is_held_out(item)]
        return Texts(learned, held_out, f"texts in {folder.resolve().name}", lexicon)

    def pack(self, base: Base) -> bytes:
        lexicon = _lexicon_of(base)
        told = {
            "source": base.source,
            "train": [self._row(item) for item in base.train],
            "held_out": [self._row(item) for item in base.held_out],
            "lexicon": lexicon and lexicon.as_json(),
        }
        return gzip.compress(json.dumps(told, ensure_ascii=False).encode(), mtime=0)

    def unpack(self, data: bytes) -> Base:
        try:
            told = json.loads(gzip.decompress(data))
            train, held_out = (
                [self._item(row) for row in told[part]] for part in ("train", "held_out")
            )
            lexicon = Lexicon(**told["lexicon"]) if told["lexicon"] else None
            return Texts(train, held_out, told["source"], lexicon)
        except (OSError, EOFError, KeyError, TypeError, ValueError, Refused) as error:
            raise ValueError(str(error)) from error

    def train(
        self,
        base: Base,
        *,
        labels: Sequence[str],
        seed: int,
        progress: Progress | None = None,
        checkpoint: Checkpoint | None = None,
    ) -> Trained:
        lexicon = _lexicon_of(base)
        if lexicon is None and set(labels) == VADERS:
            lexicon = Lexicon("positive")
        if lexicon is not None and (len(labels) != 2 or lexicon.label not in labels):
            raise ArtifactError("A word list speaks for one of two labels, which it names.")
        settings = FineTuning()
        return _trained(labels, lexicon, base.train, [], settings, seed, progress)

    def fine_tune(
        self,
        parent: LoadedArtifact,
        base: Base,
        verified: Sequence[Item],
        *,
        seed: int,
        settings: Mapping[str, Any],
        progress: Progress | None = None,
        checkpoint: Checkpoint | None = None,
    ) -> Trained:
        """All that is known, fitted anew: what was learned last depends on no order."""
        if not verified:
            raise ValueError("there are no verified examples to learn from")
        old, how = models.read(parent), FineTuning.model_validate(settings)
        return _trained(old.labels, old.lexicon, base.train, verified, how, seed, progress)

    def export(self, trained: Trained) -> Mapping[str, bytes]:
        return models.members_of(trained.model)

    def _read(self, path: Path) -> list[Item]:
        """What a file has; a first line that names its columns is none."""
        if not path.is_file():
            return []
        try:
            lines = path.read_text(encoding="utf-8").removesuffix("\n").split("\n")
        except (OSError, UnicodeDecodeError) as error:
            raise BadSource(f"{path} cannot be read: {error}") from error
        items = []
        for number, line in enumerate(lines, start=1):
            row = [cell.strip() for cell in line.rsplit("\t", len(self.fields))]
            if len(row) <= len(self.fields) or not all(row):
                columns = f"{', tab, '.join(self.fields)}, tab and label"
                raise BadSource(f"{path.name}, line {number}: it is no {columns}.")
            if number > 1 or row[-1].lower() not in HEADERS:
                items.append(self._item(row))
        return items

    def _row(self, item: Item) -> list[str]:
        return [*(item.prepared.features[field] for field in self.fields), item.label]

    def _item(self, row: Sequence[str]) -> Item:
        *texts, label = row
        return Item(kind_named(self.kind).parse(dict(zip(self.fields, texts, strict=True))), label)

    def weights(self, artifact: LoadedArtifact) -> Mapping[str, NDArray[np.float32]]:
        """(65537, K), most of it 0: the n-grams' places, and the bias last."""
        return {"weights": models.read(artifact).weights}


def _trained(
    labels: Sequence[str],
    lexicon: Lexicon | None,
    clean: Sequence[Item],
    verified: Sequence[Item],
    settings: FineTuning,
    seed: int,
    progress: Progress | None,
) -> Trained:
    items = [*clean, *verified]
    if unknown := {str(item.label) for item in items} - set(labels):
        raise ArtifactError(
            f"The data have the label {', '.join(sorted(unknown))}, which the task has not."
        )
    model = models.blank(labels, lexicon)
    if items:
        from ml.learners.texts.fit import fitted

        weights = weights_of(clean, verified, settings)
        model = fitted(model, items, weights, strength=settings.strength, progress=progress)
    config = {
        "net": NAME,
        "lexicon": None if lexicon is None else "VADER" if lexicon.words is None else "words",
        "features": models.FEATURES,
        "clean_texts": len(clean),
        "verified_texts": len(verified),
        "strength": settings.strength,
        "emphasis": settings.emphasis,
        "seed": seed,
    }
    return Trained(NAME, tuple(labels), model, config)


def weights_of(
    clean: Sequence[Item], verified: Sequence[Item], settings: FineTuning
) -> NDArray[np.float64]:
    """How much each of the clean ones and then of the others counts."""
    weights = np.ones(len(clean) + len(verified))
    if verified:
        weights[len(clean) :] = max(1.0, len(clean) / len(verified)) ** settings.emphasis
    return weights


def _lexicon_of(base: Base) -> Lexicon | None:
    return base.lexicon if isinstance(base, Texts) else None


def _is_held_out(item: Item) -> bool:
    return sha256(item.prepared.key.encode()).digest()[0] % HELD_OUT == 0


LEARNER: Final = TextLearner()
