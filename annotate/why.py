"""Why a model answered an example as it did: told after the answer, to whom it tells nothing new.

Its author knows the answer and never judges it. Others who may see it, the task's owners, are told
once validators are not asked about it any more: what a model looked at hints at what it said.
"""

from __future__ import annotations

import threading
import uuid
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final

import numpy as np
from django.contrib.auth.models import AnonymousUser

from annotate.inference import BUSY_RETRY_MS, TooBusy, live_model
from annotate.models import Example
from annotate.queries import Participant, with_configs
from core.errors import Conflict, Refused
from kinds import Kind, Prepared
from ml.artifacts import ArtifactError
from ml.batcher import PredictionCache, yield_to_others
from ml.why import Why

MOST_WAITING: Final = 3  # each holds a thread that others want as well
PATIENCE: Final = 60.0
KEPT: Final = 500


def why(participant: Participant, uid: uuid.UUID) -> dict[str, Any]:
    """What spoke for the model's answer to an example that this person may ask about.

    Takes seconds where an encoder is asked, and then once. Refused when it cannot be said.
    """
    example = _askable(participant, uid)
    kind = example.config.file.kind
    label = _label(example)
    if kind.talks or label is None:
        raise cannot()
    prepared = kind.parse(example.whole_input)
    told = _told(example, kind, prepared, label)
    return {
        "label": told.label,
        "rather_than": told.rather_than or None,
        "method": told.method,
        "off": told.off,
        "texts": {one.field: prepared.features[one.field] for one in told.pieces},
        "pieces": [
            {"field": one.field, "start": one.start, "end": one.end, "weight": one.weight}
            for one in told.pieces
        ],
        "grid": [list(row) for row in told.grid],
        "read": np.round(prepared.features, 2).tolist() if told.grid else [],
    }


def cannot() -> Refused:
    return Refused("cannot_say", "This model cannot say why it answered so.", status=409)


def _askable(participant: Participant, uid: uuid.UUID) -> Example:
    found = Example.objects.select_related("task", "context", "model").filter(uid=uid)
    own = found.filter(pk__in=participant.examples().filter(uid=uid).values("pk")).first()
    if own is not None:
        return with_configs(own)
    seen = Example.objects.visible_to(participant.user or AnonymousUser())
    example = found.filter(pk__in=seen.values("pk")).first()
    if example is None:
        raise Refused("not_found", "There is no such example.", status=404)
    if example.queued and example.status == Example.Status.OPEN:
        raise Conflict(
            "still_judged", "Validators are asked about this: it is told once they have decided."
        )
    return with_configs(example)


def _label(example: Example) -> str | None:
    """The label to be explained: of a set the likeliest; None where an answer is no label."""
    said, shares = example.prediction, example.shares or {}
    if isinstance(said, list):
        return max(said or shares, key=lambda name: shares.get(name, 0), default=None)
    return said if isinstance(said, str) and said in example.config.file.label_values else None


def _told(example: Example, kind: Kind, prepared: Prepared, label: str) -> Why:
    engine = live_model(example.model, kind)
    backend: Any = getattr(engine.backend, "itself", engine.backend)
    if not hasattr(backend, "why"):
        raise cannot()
    key = (engine.identity, prepared.key, label)
    if (known := _kept.get(key)) is not None:
        return known
    if not _may_wait.acquire(blocking=False):
        raise TooBusy(BUSY_RETRY_MS, kind)
    try:
        told: Why = _one_by_one.submit(backend.why, prepared, label).result(PATIENCE)
    except (ArtifactError, ValueError) as error:
        raise Refused("cannot_say", str(error), status=409) from error
    except TimeoutError as error:
        raise Refused("late", "It took too long: try again.", status=503) from error
    finally:
        _may_wait.release()
    _kept.put(key, told)
    return told


_kept: PredictionCache[tuple[str, str, str], Why] = PredictionCache(KEPT)
_may_wait = threading.BoundedSemaphore(MOST_WAITING)
_one_by_one = ThreadPoolExecutor(1, thread_name_prefix="why", initializer=yield_to_others)
