"""What a model must show before it may judge anybody; imports no Django."""

from __future__ import annotations

import time
from collections.abc import Sequence
from math import isclose
from typing import Any, Final

from kinds import Prepared
from ml.artifacts import ArtifactError
from ml.backends import Answer, Backend

TOLERANCE: Final = 1e-6  # between an answer alone and in company
SUM_TOLERANCE: Final = 1e-4


def check(backend: Backend, probes: Sequence[Prepared], labels: Sequence[str]) -> dict[str, Any]:
    """Try a model on the probes of its kind; the report, or ArtifactError with what to do.

    `labels` are the task's, empty where answers are free.
    """
    _require_same_labels(backend.labels, labels)
    alone = [_one(backend, probe) for probe in probes]
    began = time.perf_counter()
    together = backend.answer([*probes, *probes])
    seconds = (time.perf_counter() - began) / len(together)
    for answer, in_company in zip([*alone, *alone], together, strict=True):
        _require_sound(answer, labels)
        if not _alike(answer, in_company):
            raise ArtifactError(
                "The model answers an input differently when others are asked beside it, so that a "
                "person's score would hang on strangers: export it without batch-dependent parts."
            )
    return {
        "labels": list(backend.labels),
        "probabilities": alone[0].probabilities is not None,
        "tells_probes_apart": len({str(answer) for answer in alone}) == len(alone),
        "ms": round(seconds * 1000, 3),
    }


def _require_same_labels(own: Sequence[str], labels: Sequence[str]) -> None:
    if len(set(own)) != len(own):
        raise ArtifactError("Two labels of the model have the same name.")
    missing, unknown = sorted(set(labels) - set(own)), sorted(set(own) - set(labels))
    if labels and (missing or unknown):
        parts = [f"lacks {', '.join(missing)}"] * bool(missing)
        parts += [f"has {', '.join(unknown)}, which the task has not"] * bool(unknown)
        raise ArtifactError(
            f"The model {' and '.join(parts)}: name each of its labels under `labels:`, with the "
            "task's label that it stands for."
        )


def _one(backend: Backend, probe: Prepared) -> Answer:
    try:
        (answer,) = backend.answer([probe])
    except ValueError as error:
        raise ArtifactError(f"The model does not take this task's inputs: {error}.") from error
    return answer


def _require_sound(answer: Answer, labels: Sequence[str]) -> None:
    shares = answer.probabilities
    several = isinstance(answer.label, list)
    if several and shares is None:
        raise ArtifactError("The model must give every label a probability: export it with them.")
    if labels and not several and answer.label not in labels:
        raise ArtifactError(f"The model answers {answer.label!r}, which is no label of the task.")
    if shares is None:
        return
    if any(not 0 <= share <= 1 for share in shares.values()):
        raise ArtifactError(
            "A probability of the model is not between 0 and 1: export it with them."
        )
    if not several and not isclose(sum(shares.values()), 1, abs_tol=SUM_TOLERANCE):
        raise ArtifactError("The model's probabilities do not sum to 1: export it with a softmax.")


def _alike(one: Answer, other: Answer) -> bool:
    if one.label != other.label:
        return False
    ours, theirs = one.probabilities or {}, other.probabilities or {}
    # Rounded to six digits, two that differ by less can be one step apart.
    return all(abs(share - theirs.get(name, 2)) <= 2 * TOLERANCE for name, share in ours.items())
