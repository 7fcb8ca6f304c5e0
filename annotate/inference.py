"""Live models in this process: opened once, batched on the event loop, answered from a cache.

A model is found by its ModelVersion, so a new version is picked up with the next request that meets
the new round, while requests that are under way finish on the old one.
"""

from __future__ import annotations

import asyncio
import random
import threading
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import structlog
from django.conf import settings

from annotate.models import ModelVersion
from core.errors import Refused
from core.limits import Passage
from core.metrics import BATCH_SIZE, QUEUE_DEPTH
from kinds import Kind, Prepared
from ml.artifacts import ArtifactError
from ml.backends import Answer, Backend, Down, Failed, Heard, Source, Talker, Turn, open_model
from ml.batcher import MAX_RETRY_MS, Busy, Late, PredictionCache
from ml.breaker import FIRST_PAUSE, Breaker, Unavailable

DEADLINE = 5.0
# A submission follows its prediction by seconds, so that minutes are enough to remember.
CACHED_PREDICTIONS = 5_000
OPEN_MODELS = 8
MOST_AT_ONCE = 64
MOST_WAITING = 1_024
REMOTE_WAITING = 16  # for each question under way
UNANSWERED = (Busy, Unavailable, Failed, Late)
REMOTE_PAUSE = 0.5  # seconds: a server that is started anew is soon back


class LiveModel:
    """One opened model, safe to use from any thread and event loop."""

    def __init__(self, backend: Backend, kind: Kind, identity: str) -> None:
        self.backend = backend
        self.kind = kind
        self.identity = identity
        self._queue_depth = QUEUE_DEPTH.labels(identity[:8])
        self.remote = bool(getattr(backend, "remote", False))
        lanes = getattr(backend, "lanes", 1)
        # Whoever asks a remote one has its own time limit, and ends a little sooner.
        self._deadline = getattr(backend, "seconds", DEADLINE - 1) + 1 if self.remote else DEADLINE
        if kind.talks:  # which may begin to speak at the end of its time, and then be cut off
            self._deadline *= 2
        self._breaker: Breaker[object, Any] = Breaker(
            self._answer_batch,
            hang_after=self._deadline,
            first_pause=REMOTE_PAUSE if self.remote else FIRST_PAUSE,
            away=Down,
            lanes=lanes,
            # What answers one by one takes long: another task's people do not wait for it.
            behind=getattr(backend, "at_once", MOST_AT_ONCE) == 1,
            max_batch=getattr(backend, "at_once", MOST_AT_ONCE),
            max_queue=MOST_WAITING if not self.remote else REMOTE_WAITING * lanes,
            name=identity[:8],
        )

    def predict_one(self, prepared: Prepared) -> Answer:
        """The model's answer to one input, for a thread without an event loop; as `predict`.

        No pass when it has just been asked the same. Otherwise it joins the batches: a model that
        hangs must not hold the threads that speak with the database.
        """
        if (known := self.known(prepared)) is not None:
            return known
        self._require_predicts()
        answer: Answer = self._ask(prepared)
        return answer

    def answer_to(self, messages: Sequence[Mapping[str, str]]) -> Turn:
        """The next turn of a model that talks, for a thread without an event loop; as `turn`."""
        turn: Turn = self._ask(lambda talker: talker.turn(messages))
        return turn

    def _ask(self, input: object) -> Any:
        # The rest of these threads stay free for what has nothing to do with this model.
        if self.remote and not _may_wait.acquire(blocking=False):
            raise TooBusy(BUSY_RETRY_MS, self.kind)
        try:
            return self._breaker.ask(input, timeout=self._deadline)
        except UNANSWERED as error:
            raise self._in_words(error) from error
        finally:
            if self.remote:
                _may_wait.release()

    @property
    def patience(self) -> float:
        """Seconds after which nobody waits for an answer any more."""
        return self._deadline + 1

    def known(self, prepared: Prepared) -> Answer | None:
        """What it has just answered to this input."""
        return _cache.get((self.identity, prepared.key))

    async def turn(self, messages: Sequence[Mapping[str, str]], heard: Heard) -> Turn:
        """What a model that talks says next, `heard` piece by piece; Refused as by `predict`."""
        loop = asyncio.get_running_loop()

        def read_by_the_loop(talker: Talker) -> Turn:  # while one of the model's lanes waits
            reading = asyncio.run_coroutine_threadsafe(talker.aloud(messages, heard), loop)
            try:
                return reading.result(self._deadline)
            finally:
                reading.cancel()

        try:
            turn: Turn = await self._breaker.submit(read_by_the_loop, timeout=self._deadline)
        except UNANSWERED as error:
            raise self._in_words(error) from error
        return turn

    async def predict(self, input: object) -> Answer:
        """Answer a raw or prepared input in a batch with everybody else's, off the event loop.

        Refused with code "busy" (and `retry_ms`) when too many wait, "late" past the deadline,
        "model_unavailable" (and `retry_ms`) at once while the model hangs or is away,
        "no_answer" when it had none to this input.
        """
        self._require_predicts()
        try:
            answer: Answer = await self._breaker.submit(input, timeout=self._deadline)
        except UNANSWERED as error:
            raise self._in_words(error) from error
        return answer

    def _require_predicts(self) -> None:
        if self.kind.talks:
            raise Refused("no_prediction", "Nothing is predicted in a chat: talk with the model.")

    def _in_words(self, error: Exception) -> Refused:
        """Whatever keeps an answer from coming, one of UNANSWERED, as people are told it."""
        if isinstance(error, Busy):
            if self.kind.talks and error.retry_ms > LONG_MS:
                words = "This model may be asked no more today: come back tomorrow (UTC)."
                return Refused("used_up", words, status=503)
            if error.retry_ms > MAX_RETRY_MS:  # no crowd, but the model's own cap
                return ModelUnavailable(error.retry_ms)
            return TooBusy(error.retry_ms, self.kind)
        if isinstance(error, Unavailable):
            return ModelUnavailable(error.retry_ms)
        if isinstance(error, Down):
            log.warning("model_down", model=self.identity[:8], reason=str(error))
            return ModelUnavailable(BUSY_RETRY_MS)
        if isinstance(error, Late):
            return Refused("late", "The model did not answer in time: try again.", status=503)
        log.warning("model_failed", model=self.identity[:8], reason=str(error))
        words = "The model had no answer to this: change it, or try again."
        return Refused("no_answer", words, status=503)

    def _answer_batch(self, inputs: Sequence[Any]) -> list[Any]:
        """One pass for the inputs that can be read; an error in one fails that one alone."""
        if self.kind.talks:
            return [ask(self.backend) for ask in inputs]
        BATCH_SIZE.observe(len(inputs))
        self._queue_depth.set(self._breaker.waiting)
        read: list[Prepared | Exception] = []
        for input in inputs:
            try:
                read.append(input if isinstance(input, Prepared) else self.kind.parse(input))
            except Refused as refused:
                read.append(refused)
        answers = self._answers([item for item in read if isinstance(item, Prepared)])
        return [item if isinstance(item, Exception) else answers[item.key] for item in read]

    def _answers(self, inputs: Sequence[Prepared]) -> dict[str, Answer]:
        """The answers by the inputs' keys; those that were just given are not asked for again."""
        answers: dict[str, Answer] = {}
        missing: dict[str, Prepared] = {}
        for one in inputs:
            if (known := _cache.get((self.identity, one.key))) is not None:
                answers[one.key] = known
            else:
                missing[one.key] = one
        if missing:
            found = self.backend.answer(list(missing.values()))
            for key, answer in zip(missing, found, strict=True):
                _cache.put((self.identity, key), answer)
                answers[key] = answer
        return answers


BUSY_RETRY_MS = 1_000
HEAVY_RETRY_MS = 100, 400  # reading one takes 20; chance keeps what waits from coming as one
LONG_MS = 61_000  # a cap on a minute's questions has nobody wait longer, one on a day's tokens may
_chance = random.SystemRandom()
_may_wait = threading.BoundedSemaphore(max(1, settings.DATABASE_THREADS // 2))
_reader = ThreadPoolExecutor(1, thread_name_prefix="heavy-inputs")


def read_apart(kind: Kind, input: object, passage: Passage) -> Future[Prepared]:
    """Read an input that may take long, and charge whoever sent it for the work.

    One at a time: they wait for each other and nobody waits for them. BeingRead while another of
    the same person, or a few of their address, wait or are read.
    """
    if not passage.begin():
        raise BeingRead
    reading = _reader.submit(_read_and_charge, kind, input, passage)
    reading.add_done_callback(lambda _: passage.end())  # also when its page is gone meanwhile
    return reading


def _read_and_charge(kind: Kind, input: object, passage: Passage) -> Prepared:
    started = time.thread_time()
    try:
        return kind.parse(input)
    finally:
        passage.charge(time.thread_time() - started)


class TooBusy(Refused):
    """Too many predictions wait; try again in `retry_ms`."""

    def __init__(self, retry_ms: int, kind: Kind) -> None:
        acting = kind.words.acting.lower()
        super().__init__("busy", f"Many people are {acting} right now: trying again.", status=503)
        self.retry_ms = retry_ms


class BeingRead(TooBusy):
    """Something large of the same sender waits or is read; try again in `retry_ms`."""

    def __init__(self) -> None:
        words = "Something large from you, or from your address, is being read: trying again."
        Refused.__init__(self, "busy", words, status=429)
        self.retry_ms = _chance.randint(*HEAVY_RETRY_MS)


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

_cache: PredictionCache[tuple[str, str], Answer] = PredictionCache(CACHED_PREDICTIONS)
_opening: dict[str, threading.Lock] = {}
_open: dict[str, LiveModel] = {}


def live_model(model: ModelVersion, kind: Kind) -> LiveModel:
    """The opened model of a version; the first call in a process loads and warms it.

    That takes tens of milliseconds: on the event loop ask `already_open` first.
    """
    if not model.backend:
        raise Refused(
            "no_live_model", f"The model {model.name} is known from a log only.", status=409
        )
    # Two requests that meet a new model together load it once, and nobody waits for another model.
    with _opening.setdefault(model.identity, threading.Lock()):
        if (live := _open.get(model.identity)) is None:
            live = LiveModel(_backend_of(model), kind, model.identity)
            _open[model.identity] = live
            if len(_open) > OPEN_MODELS:
                _open.pop(next(iter([*_open])), None)
        return live


def _backend_of(model: ModelVersion) -> Backend:
    folder = Path(settings.ARTIFACT_DIR)
    try:
        path = folder / model.artifact if model.artifact else None
        return open_model(model.backend, Source(path, model.sha256, model.config))
    except ArtifactError as error:
        log.error("model_file_unusable", model=model.name, folder=str(folder), reason=str(error))  # noqa: TRY400
        raise Refused(
            "model_unusable",
            "This server does not have the live model's file: its operator must see to it.",
            status=503,
        ) from error


def already_open(model: ModelVersion) -> LiveModel | None:
    """The model if this process has opened it; never waits."""
    return _open.get(model.identity)


def forget_models() -> None:
    """Close what is open in this process (tests that make models anew)."""
    _open.clear()
