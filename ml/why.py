"""What of an input spoke for an answer, in three ways; imports no Django.

All tell of the log odds between the answer and what the model held next likeliest. An encoder's
words get integrated gradients by captum, whose sum is compared with what they are to add up to;
words of a text that is cheap to ask are left out, one at a time; an array's numbers are moved.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from itertools import groupby, islice
from typing import TYPE_CHECKING, Any, Final, Protocol

import numpy as np
from numpy.typing import NDArray

from kinds import Prepared
from ml.artifacts import ArtifactError
from ml.passes import Batch, OfArrays

if TYPE_CHECKING:
    from ml.encoders import Encoder

STEPS: Final = 50
AT_ONCE: Final = 5  # of them: each holds all that it went through
MOST_WORDS: Final = 200
MOST_NUMBERS: Final = 4_096
STEP: Final = 0.003
LEAST: Final = 1e-6  # what a rounded probability of 0 may be
_WORD: Final = re.compile(r"\S+")


@dataclass(frozen=True, slots=True)
class Piece:
    """A word of a text: in which field, from which character to which, and how much it spoke."""

    field: str
    start: int
    end: int
    weight: float


@dataclass(frozen=True, slots=True)
class Why:
    """Weights above 0 spoke for `label`, those below for `rather_than` ("": against it)."""

    label: str
    rather_than: str
    method: str
    pieces: tuple[Piece, ...] = ()
    grid: tuple[tuple[float, ...], ...] = ()
    """The same of an array's numbers, row by row."""
    off: float | None = None
    """Where weights are to add up to something: by what share of it they do not."""


class _Model(Protocol):
    @property
    def labels(self) -> tuple[str, ...]: ...

    def answer(self, inputs: Sequence[Prepared], /) -> Sequence[Any]: ...


def next_likeliest(shares: Mapping[str, float], label: str) -> str:
    """What a model held likeliest beside this label."""
    return max((name for name in shares if name != label), key=lambda name: shares[name])


def by_omission(model: _Model, one: Prepared, label: str) -> Why:
    """Each word left out, the first 200 of them: by how much the log odds fall."""
    texts = {name: text for name, text in one.features.items() if isinstance(text, str)}
    words = list(
        islice(
            (
                (name, found.start(), found.end())
                for name, text in texts.items()
                for found in _WORD.finditer(text)
            ),
            MOST_WORDS,
        )
    )
    without = [
        Prepared("", {**one.features, name: texts[name][:start] + texts[name][end:]})
        for name, start, end in words
    ]
    whole, *rest = (told.probabilities or {} for told in model.answer([one, *without]))
    other = next_likeliest(whole, label)

    def odds(shares: Mapping[str, float]) -> float:
        return float(np.log(max(shares[label], LEAST) / max(shares[other], LEAST)))

    pieces = tuple(
        Piece(*word, weight=round(odds(whole) - odds(shares), 4))
        for word, shares in zip(words, rest, strict=True)
    )
    return Why(label, other, "each word left out", pieces)


def by_differences(model: OfArrays, features: Batch, label: str) -> Why:
    """The slope of the log odds along each number of an array of two sides, by moving it.

    Through whatever serves: probabilities as float32 are exact enough near 0, and torch, which
    could tell a gradient, is not loaded where a graph serves. Where a net has a kink, as on blank
    ground, it is the mean of both sides.
    """
    if features.ndim != 2 or features.size > MOST_NUMBERS:
        raise ValueError("only small arrays of two sides can be explained")
    shares = dict(zip(model.labels, model.probabilities([features])[0].tolist(), strict=True))
    other = next_likeliest(shares, label)
    this, that = model.labels.index(label), model.labels.index(other)
    moves = STEP * np.eye(features.size, dtype=np.float32).reshape(-1, *features.shape)

    def odds(batch: Batch) -> NDArray[np.float64]:
        found = np.maximum(model.probabilities(list(batch)), np.finfo(np.float32).tiny)
        return np.log(found[:, this], dtype=np.float64) - np.log(found[:, that], dtype=np.float64)

    slope = (odds(features + moves) - odds(features - moves)) / (2 * STEP)
    rows: Any = slope.reshape(features.shape).round(4).tolist()
    return Why(
        label,
        other,
        "what a little more or less at each point would change",
        grid=tuple(tuple(row) for row in rows),
    )


def by_path(
    encoder: Encoder,
    read: Any,
    odds: Callable[[Any], Any],
    *,
    fields: Sequence[str],
    label: str,
    rather_than: str,
) -> Why:
    """Integrated gradients from a text of nothing but blanks to this one, by captum.

    `read` is what `Encoder.words` made of the fields' texts, `odds` turns what the net says of n
    texts into n numbers. One at a time in a process: it hooks into the net.
    """
    if find_spec("captum") is None:
        raise ArtifactError(
            "This server has no captum, which tells why: start it with `bin/serve --with captum`."
        )
    import torch

    from ml.backends.torch import one_torch_thread

    arrays = {name: torch.from_numpy(one) for name, one in encoder.arrays(read).items()}
    ids = arrays.pop("input_ids")
    fixed = torch.tensor([read.special_tokens_mask], dtype=torch.bool)
    blank = torch.where(fixed, ids, encoder.found.blank)

    def asked(some: Any) -> Any:
        rest = {name: one.expand(len(some), -1) for name, one in arrays.items()}
        return odds(encoder.net(input_ids=some, **rest))

    with one_torch_thread():
        weights, off = along_the_path(asked, encoder.net.get_input_embeddings(), ids, blank)
    tokens = zip(read.sequence_ids, read.word_ids, read.offsets, weights, strict=True)
    pieces = []
    for (field, word), group in groupby(tokens, key=lambda token: token[:2]):
        parts = list(group)
        if field is not None and word is not None:
            weight = round(sum(part[3] for part in parts), 4)
            pieces.append(Piece(fields[field], parts[0][2][0], parts[-1][2][1], weight))
    method = f"integrated gradients, {STEPS} steps"
    return Why(label, rather_than, method, tuple(pieces), off=off)


def along_the_path(
    asked: Callable[[Any], Any], embeddings: Any, ids: Any, blank: Any
) -> tuple[list[float], float]:
    """A weight for each of the ids (1, length), and by what share of the difference between both
    answers they do not add up to it."""
    import torch
    from captum.attr import LayerIntegratedGradients

    found, missed = LayerIntegratedGradients(asked, embeddings).attribute(
        ids,
        baselines=blank,
        n_steps=STEPS,
        internal_batch_size=AT_ONCE,
        return_convergence_delta=True,
    )
    with torch.inference_mode():
        difference = abs(float(asked(ids) - asked(blank)))
    weights: list[float] = found.sum(dim=-1)[0].tolist()
    return weights, round(abs(float(missed)) / max(difference, LEAST), 4)
