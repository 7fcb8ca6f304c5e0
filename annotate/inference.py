"""Live models in this process: opened once, batched on the event loop, answered from a cache.

A model is found by its ModelVersion, so a new version is picked up with the next request that meets
the new round, while requests that are under way finish on the old one.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import structlog
from django.conf import settings
from numpy.typing import NDArray

from annotate.inputs import Prepared, image_key, read_image
from annotate.models import ModelVersion
from core.errors import Refused
from core.metrics import BATCH_SIZE, QUEUE_DEPTH
from ml.artifacts import ArtifactError
from ml.backends import Backend, open_backend
from ml.batcher import Busy, Late, PredictionCache
from ml.breaker import Breaker, Unavailable

DEADLINE = 5.0
# A submission follows its prediction by seconds, so that minutes are enough to remember.
CACHED_PREDICTIONS = 5_000
OPEN_MODELS = 8


@dataclass(frozen=True)
class Answer:
    """What a model said: its label, and a probability for every label."""

    label: str
    probabilities: dict[str, float]


class LiveModel:
    """One opened model, safe to use from any thread and event loop."""

    def __init__(self, backend: Backend, sha256: str) -> None:
        self.backend = backend
        self.sha256 = sha256
        self._queue_depth = QUEUE_DEPTH.labels(sha256[:8])
        self._breaker: Breaker[object, Answer] = Breaker(
            self._answer_batch, hang_after=DEADLINE, name=sha256[:8]
        )

    def predict_one(self, prepared: Prepared) -> Answer:
        """The model's answer to one input, for a thread without an event loop; as `predict`.

        No pass when it has just been asked the same. Otherwise it joins the batches: a model that
        hangs must not hold the threads that speak with the database.
        """
        assert prepared.array is not None
        if (row := _cache.get(self.sha256, prepared.key)) is not None:
            return self._answers([row])[0]
        asked = self._ask(prepared.array)
        loop = _home
        if loop is None or not loop.is_running():
            return asyncio.run(asked)
        # Longer than its own deadline: only a loop that ended meanwhile never answers.
        return asyncio.run_coroutine_threadsafe(asked, loop).result(DEADLINE + 1)

    async def predict(self, input: object) -> Answer:
        """Answer a raw or decoded input in a batch with everybody else's, off the event loop.

        Refused with code "busy" (and `retry_ms`) when too many wait, "late" past the deadline,
        "model_unavailable" (and `retry_ms`) at once while the model hangs.
        """
        return await self._ask(input)

    async def _ask(self, input: object) -> Answer:
        try:
            return await self._breaker.submit(input, timeout=DEADLINE)
        except Busy as busy:
            raise TooBusy(busy.retry_ms) from busy
        except Unavailable as unavailable:
            raise ModelUnavailable(unavailable.retry_ms) from unavailable
        except Late as late:
            raise Refused(
                "late", "The model did not answer in time: try again.", status=503
            ) from late

    def _answer_batch(self, inputs: Sequence[object]) -> list[Answer | Exception]:
        """One pass for the inputs that can be read; an error in one fails that one alone."""
        BATCH_SIZE.observe(len(inputs))
        self._queue_depth.set(self._breaker.waiting)
        read: list[NDArray[np.float32] | Exception] = []
        for input in inputs:
            try:
                read.append(input if isinstance(input, np.ndarray) else read_image(input))
            except Refused as refused:
                read.append(refused)
        answers = iter(self._predict([item for item in read if isinstance(item, np.ndarray)]))
        return [item if isinstance(item, Exception) else next(answers) for item in read]

    def _predict(self, arrays: Sequence[NDArray[np.float32]]) -> list[Answer]:
        keys = [image_key(array) for array in arrays]
        known = [_cache.get(self.sha256, key) for key in keys]
        missing = [index for index, row in enumerate(known) if row is None]
        if missing:
            rows = self.backend.predict(np.stack([arrays[index] for index in missing]))
            for index, row in zip(missing, rows, strict=True):
                _cache.put(self.sha256, keys[index], row)
                known[index] = row
        return self._answers([row for row in known if row is not None])

    def _answers(self, rows: Sequence[NDArray[np.float32]]) -> list[Answer]:
        """Rounded together, which takes an eighth of the time: to the same digits as `round`.

        The product of a float32 and a million is exact in 64 bits, and so is its half way.
        """
        if not rows:
            return []
        labels, table = self.backend.labels, np.stack(rows)
        rounded = np.rint(table.astype(np.float64) * 1e6) / 1e6
        best = table.argmax(axis=1).tolist()
        return [
            Answer(labels[index], dict(zip(labels, probabilities, strict=True)))
            for index, probabilities in zip(best, rounded.tolist(), strict=True)
        ]


class TooBusy(Refused):
    """Too many predictions wait; try again in `retry_ms`."""

    def __init__(self, retry_ms: int) -> None:
        super().__init__("busy", "Many people are drawing right now: trying again.", status=503)
        self.retry_ms = retry_ms


class ModelUnavailable(Refused):
    """The model hangs; it is tried again in `retry_ms`."""

    def __init__(self, retry_ms: int) -> None:
        super().__init__(
            "model_unavailable",
            "The model does not answer at the moment. Your work is kept, and it is asked again.",
            status=503,
        )
        self.retry_ms = retry_ms


log = structlog.get_logger(__name__)

_cache = PredictionCache(CACHED_PREDICTIONS)
_opening = threading.Lock()
_open: dict[str, LiveModel] = {}
_home: asyncio.AbstractEventLoop | None = None


def answer_threads_here() -> None:
    """Let what other threads ask join the batches of this event loop.

    A loop made for one answer costs more than the answer.
    """
    global _home
    _home = asyncio.get_running_loop()


def live_model(model: ModelVersion) -> LiveModel:
    """The opened model of a version; the first call in a process loads and warms it.

    That takes tens of milliseconds: on the event loop ask `already_open` first.
    """
    if not model.artifact:
        raise Refused(
            "no_live_model", f"The model {model.name} is known from a log only.", status=409
        )
    with _opening:  # two requests that meet a new model together load it once
        if model.sha256 not in _open:
            _open[model.sha256] = LiveModel(_backend_of(model), model.sha256)
            if len(_open) > OPEN_MODELS:
                del _open[next(iter(_open))]
        return _open[model.sha256]


def _backend_of(model: ModelVersion) -> Backend:
    folder = Path(settings.ARTIFACT_DIR)
    try:
        return open_backend(folder / model.artifact, model.sha256)
    except ArtifactError as error:
        log.error("model_file_unusable", model=model.name, folder=str(folder), reason=str(error))  # noqa: TRY400
        raise Refused(
            "model_unusable",
            "This server does not have the live model's file: its operator must see to it.",
            status=503,
        ) from error


def already_open(model: ModelVersion) -> LiveModel | None:
    """The model if this process has opened it; never waits."""
    return _open.get(model.sha256)


def forget_models() -> None:
    """Close what is open in this process (tests that make models anew)."""
    _open.clear()
