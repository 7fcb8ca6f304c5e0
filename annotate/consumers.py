"""The annotator's websocket: live predictions, submissions, and news of the round."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from typing import Any
from uuid import UUID

import structlog
from channels.consumer import get_handler_name
from channels.exceptions import StopConsumer
from channels.generic.websocket import AsyncWebsocketConsumer
from django.conf import settings
from structlog.contextvars import bind_contextvars

from accounts.models import User, WorkSession
from accounts.receivers import SESSION_KEY
from accounts.services import guest_session
from annotate import chats, judged, live, protocol, submissions
from annotate.body import answer_body, example_body
from annotate.inference import (
    ModelUnavailable,
    TooBusy,
    already_open,
    live_model,
    read_apart,
)
from annotate.models import ChatTurn, Context, Task
from annotate.queries import (
    Participant,
    Target,
    no_open_round,
    participant_key,
    progress_of,
    require_company,
    visible_task,
)
from annotate.services import note_visit
from annotate.standing import require_sandbox, require_standing
from core import metrics
from core.addresses import address_of
from core.bridge import in_database_thread
from core.errors import Refused
from core.limits import Meter, Passage, wait_for
from core.outages import is_outage, outage_words
from kinds import Prepared
from ml.backends import Heard

log = structlog.get_logger(__name__)

NOT_FOUND = 4404
MOST_SUBMISSIONS = 32  # of one socket under way at once; it is read no further meanwhile
LONGEST_THOUGHT = 3600.0  # seconds between two submissions that still count as time spent


class AnnotateConsumer(AsyncWebsocketConsumer):
    """One open page: at most one prediction is under way, and only the newest one waits."""

    # Hints reach the process, which tells its pages (annotate.live): a subscription for each socket
    # would cost a round trip at every opening, and refuse it while Redis is away.
    channel_layer = None
    task: Task | None = None

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Handle each message as it comes, on the event loop, which holds no database connection.

        Channels would make a task of each, and hop to a thread before it to look after connections:
        a third of what a prediction costs.
        """
        self.scope, self.base_send = scope, send
        try:
            with suppress(StopConsumer):
                while True:
                    message = await receive()
                    if message["type"] == "websocket.receive":
                        await self.receive(message.get("text"), message.get("bytes"))
                    else:
                        await getattr(self, get_handler_name(message))(message)
        finally:  # also when a mistake of ours ended it: nobody must be told of rounds for ever
            if self.task is not None:
                live.page_closed(self.task, self)

    async def connect(self) -> None:
        self._waiting: protocol.Predict | None = None
        self._predictor: asyncio.Task[None] | None = None
        self._submissions: set[asyncio.Task[None]] = set()
        self._round: int | None = None
        self._given: Context | None = None
        self._probes = 0
        self._since = time.monotonic()
        user = self.scope["user"]
        slug = self.scope["url_route"]["kwargs"]["slug"]
        self.user: User | None = user if user.is_authenticated else None
        self.guest: str | None = self.scope["session"].get("guest")
        visit = self.scope["session"].get(SESSION_KEY)
        self._visit = WorkSession(pk=UUID(visit)) if self.user and visit else None
        if self.user is not None and self.user.by_link is not None:
            self._visit = self.user.by_link.session
        self._person_key = participant_key(self.user, self.guest)
        self._address = address_of(self.scope)
        self._to_predict = Passage(
            "predict" if self.user else "sandbox-predict",
            # A script without a cookie has nothing but its address.
            person=self._person_key if self.user or self.guest else f"address-{self._address}",
            address=self._address,
        )
        self._frames = Meter(settings.LIMITS["frame"].person)
        self.task = await in_database_thread(visible_task, user, slug)
        if self.task is not None and self.task.config is not None:
            self._kind = self.task.config.file.kind
        await self.accept()
        if self.task is None:
            await self._error(Refused("not_found", "There is no such task."))
            await self.close(NOT_FOUND)
            return
        await self._ready(self.task)
        live.page_opened(self.task, self)

    async def disconnect(self, code: int) -> None:
        if self._predictor is not None:
            self._predictor.cancel()
        # What was submitted is finished: the client asks again under the same UUID.
        if self._submissions:
            await asyncio.wait(self._submissions, timeout=10)

    async def receive(self, text_data: str | None = None, bytes_data: bytes | None = None) -> None:
        # While this waits nothing more is read from the connection: a flood slows itself down.
        if pause := self._frames.count():
            await asyncio.sleep(pause)
        if len(self._submissions) >= MOST_SUBMISSIONS:
            await asyncio.wait(self._submissions, return_when=asyncio.FIRST_COMPLETED)
        try:
            if text_data is None:
                raise protocol.BadFrame("Frames are texts.")
            frame = protocol.parse(text_data)
        except protocol.BadFrame as bad:
            metrics.BAD_FRAMES.inc()
            await self._error(bad, **bad.reply_to)
            return
        if isinstance(frame, protocol.Predict):
            metrics.PREDICT_FRAMES.inc()
            self._predict_soon(frame)
            return
        if isinstance(frame, protocol.Submit):
            metrics.SUBMIT_FRAMES.inc()
            submission = asyncio.create_task(self._submit(frame))
        else:
            submission = asyncio.create_task(self._say(frame))
        self._submissions.add(submission)
        submission.add_done_callback(self._submissions.discard)

    # --- predictions ------------------------------------------------------------------------------
    def _predict_soon(self, frame: protocol.Predict) -> None:
        """Put the frame in place of one that still waits, which is never answered then."""
        self._waiting = frame
        if self._predictor is None or self._predictor.done():
            self._predictor = asyncio.create_task(self._predict_waiting())

    async def _predict_waiting(self) -> None:
        while (frame := self._waiting) is not None:
            self._waiting = None
            await self._predict(frame)

    async def _predict(self, frame: protocol.Predict) -> None:
        assert self.task is not None
        started = time.perf_counter()
        try:
            target = await live.target_of(self.task.pk)
            if target is None:
                raise await in_database_thread(no_open_round, self.task.pk)
            if self.user is None:
                require_sandbox(target.config.file)
            require_company(target, self.user)
            if wait := self._to_predict.wait():
                raise TooBusy(int(wait * 1000) + 1, target.config.file.kind)
            kind = target.config.file.kind
            given = await self._context_of(frame, target)
            input = submissions.about(kind, frame.input, given)
            if kind.heavy(input):
                read = await asyncio.wrap_future(read_apart(kind, input, self._to_predict))
                input = read
            if await judged.catch_up(self.task.pk, self.user):
                input = await asyncio.to_thread(self._may_be_asked, input)
            models = target.models_for(str(given.uid) if given else self._person_key)
            engines = []
            for one in models:
                engine = already_open(one)
                if engine is None:
                    engine = await asyncio.to_thread(live_model, one, kind)
                engines.append(engine)
            if len(engines) == 1:  # without a task of its own: everybody's frames come by here
                answers = [await engines[0].predict(input)]
            else:
                answers = await asyncio.gather(*(engine.predict(input) for engine in engines))
        except TooBusy as busy:
            await self._busy(busy, seq=frame.seq)
        except Refused as refused:
            await self._error(refused, seq=frame.seq)
            if isinstance(refused, judged.BeingJudged):
                await in_database_thread(judged.record, refused, self.user)
        except Exception:
            log.exception("prediction_failed", task=self.task.slug, frame=frame.seq)
            await self._error(
                Refused("prediction_failed", "The model could not answer: try again."),
                seq=frame.seq,
            )
        else:
            self._probes += 1
            body = answer_body(list(zip(models, answers, strict=True)), target.round)
            seconds = time.perf_counter() - started
            metrics.PREDICT_SECONDS.observe(seconds)
            await self._send("prediction", seq=frame.seq, ms=round(seconds * 1000, 2), **body)

    def _may_be_asked(self, input: object) -> Prepared:
        assert self.task is not None
        prepared = input if isinstance(input, Prepared) else self._kind.parse(input)
        judged.require_not_judged(
            self._kind, prepared, task_id=self.task.pk, user=self.user, catch_up=False
        )
        return prepared

    async def _context_of(
        self, frame: protocol.Predict | protocol.Submit, target: Target
    ) -> Context | None:
        """The context that a frame names; read when it is another than the last frame's."""
        if frame.context is None:
            return None
        if self._given is None or str(self._given.uid) != frame.context:
            read = submissions.given_context
            self._given = await in_database_thread(read, target, frame.context)
        return self._given

    # --- submissions ------------------------------------------------------------------------------
    async def _submit(self, frame: protocol.Submit) -> None:
        assert self.task is not None
        client_id = str(frame.client_id)
        bind_contextvars(frame=client_id)  # of this submission's own task
        probes, seconds = self._probes, min(time.monotonic() - self._since, LONGEST_THOUGHT)
        try:
            if self._kind.heavy(frame.input):  # reading it is work, which predictions count
                if wait := self._to_predict.wait():
                    raise TooBusy(int(wait * 1000) + 1, self._kind)
                reading = read_apart(self._kind, frame.input, self._to_predict)
                read = await asyncio.wrap_future(reading)
                frame = replace(frame, input=await asyncio.to_thread(getattr, read, "stored"))
            target = await live.target_of(self.task.pk)
            if target is not None:
                await self._answered_first(frame, target)
            body, progress = await in_database_thread(
                self._submit_now, self.task.pk, target, frame, probes, seconds
            )
        except TooBusy as busy:
            await self._busy(busy, client_id=client_id)
        except Refused as refused:
            if refused.code == "round_changed":
                live.forget_target(self.task.pk)  # what was known of it was too old
            await self._error(refused, client_id=client_id)
        except Exception as error:
            # While the database is away this is everybody's: a line each, not a traceback.
            away = is_outage(error)
            log.exception("submission_failed", task=self.task.slug, exc_info=not away)
            words = outage_words(error) if away else "It could not be saved: try again."
            await self._error(Refused("submission_failed", words), client_id=client_id)
        else:
            self._probes, self._since = 0, time.monotonic()
            await self._send("accepted", client_id=client_id, session=progress, **body)

    async def _answered_first(self, frame: protocol.Submit, target: Target) -> None:
        """Wait here for a model that is asked elsewhere: in a database thread others would, too."""
        if self._kind.talks:
            return  # it is asked nothing
        if self.user is None:  # who may not submit has nothing asked: each question may cost money
            require_sandbox(target.config.file)
        else:
            require_standing(self.user)
        models = target.models_for(str(frame.context or self._person_key))
        remote = [one for one in map(already_open, models) if one is not None and one.remote]
        if not remote:
            return
        given = await self._context_of(frame, target)
        prepared = self._kind.parse(submissions.about(self._kind, frame.input, given))
        asked = [engine for engine in remote if engine.known(prepared) is None]
        if not asked:
            return
        if wait := self._to_predict.wait():
            raise TooBusy(int(wait * 1000) + 1, self._kind)
        # What was sent before is answered without the model, also while that is away.
        with suppress(ModelUnavailable):
            await asyncio.gather(*(engine.predict(prepared) for engine in asked))

    def _submit_now(
        self,
        task_id: int,
        target: Target | None,
        frame: protocol.Submit,
        probes: int,
        seconds: float,
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        participant = self._participant()
        door = "sandbox-submit" if participant.sandbox else "submit"
        if wait := wait_for(door, person=participant.key, address=self._address):
            raise TooBusy(int(wait * 1000) + 1, self._kind)
        done = submissions.submit(
            participant=participant,
            task_id=task_id,
            client_id=frame.client_id,
            input=frame.input,
            label=frame.label,
            context=frame.context,
            explanation=frame.explanation,
            probes=probes,
            seconds=seconds,
            target=target,
        )
        body = example_body(done.example)
        if done.progress is None:
            return body, progress_of(participant, task_id)
        return body, done.progress._asdict()

    # --- chats ------------------------------------------------------------------------------------
    async def _say(self, frame: protocol.Say) -> None:
        """Ask for a turn, and pass on what the model says as it comes, and the whole at the end."""
        reply_to = {"chat": frame.chat, "turn": frame.turn}
        try:
            async with self._aloud(reply_to) as heard:
                begun = await in_database_thread(self._begin_turn, frame)
                if isinstance(begun, chats.Asked):
                    await self._send("asked", **reply_to)
                    begun = await chats.ask_aloud(begun, heard)
                body = await in_database_thread(chats.answer_body, begun)
        except TooBusy as busy:
            await self._busy(busy, **reply_to)
        except Refused as refused:
            await self._error(refused, **reply_to)
        except Exception as error:
            away = is_outage(error)
            log.exception("turn_failed", exc_info=not away)
            words = outage_words(error) if away else "It could not be sent: try again."
            await self._error(Refused("turn_failed", words), **reply_to)
        else:
            await self._send("turn", chat=frame.chat, **body)

    @asynccontextmanager
    async def _aloud(self, reply_to: dict[str, Any]) -> AsyncIterator[Heard]:
        """Something to be heard by; what comes while a piece is sent goes out as one.

        Who reads slowly holds up no model: what it says is kept, and stored.
        """
        pieces = asyncio.Queue[str | None]()

        async def pass_on() -> None:
            some: list[str | None] = [""]
            while some[-1] is not None:
                some = [await pieces.get()]
                while not pieces.empty():
                    some.append(pieces.get_nowait())
                if text := "".join(filter(None, some)):
                    await self._send("piece", text=text, **reply_to)

        passing = asyncio.create_task(pass_on())
        try:
            yield pieces.put_nowait
        finally:
            pieces.put_nowait(None)
            await passing

    def _begin_turn(self, frame: protocol.Say) -> chats.Asked | ChatTurn:
        participant = self._participant()
        door = "sandbox-turn" if participant.sandbox else "turn"
        if wait := wait_for(door, person=participant.key, address=self._address):
            raise TooBusy(int(wait * 1000) + 1, self._kind)
        return chats.begin_turn(
            participant=participant, uid=frame.chat, content=frame.content, number=frame.turn
        )

    def _participant(self) -> Participant:
        """Who submits; whether the account is still in good standing is asked under its lock."""
        if self.user is not None:
            return Participant(user=self.user, session=self._visit)
        if self.guest is None:
            raise Refused("sign_in", "Open the task's page first, or sign in.", status=403)
        return Participant(session=guest_session(UUID(self.guest)))

    # --- news -------------------------------------------------------------------------------------
    async def round_changed(self, round: int, model: str) -> None:
        """A round is open: told once, and not to a page that began with it or knows a later one."""
        if round > (self._round or 0):
            self._round = round
            await self._send("round_changed", round=round, model=model)

    async def _ready(self, task: Task) -> None:
        assert task.config is not None
        target = await live.target_of(task.pk)
        self._round = target.round.number if target else None
        await self._send(
            "ready",
            version=protocol.VERSION,
            task=task.slug,
            labels=task.config.file.label_values,
            round=self._round,
            model=target.against if target else None,
            person=self._person_key if self.user or self.guest else None,
            sandbox=self.user is None,
            session=await in_database_thread(self._progress, task.pk, target),
        )

    def _progress(self, task_id: int, target: Target | None) -> dict[str, Any]:
        if target is not None and self._visit is not None:
            note_visit(target.round, self._visit)
        if self.user is None and self.guest is None:
            return {"tries": 0, "fooled": 0, "verified": 0, "streak": 0}
        if self.user is not None:
            return progress_of(Participant(user=self.user), task_id)
        return progress_of(Participant(session=guest_session(UUID(str(self.guest)))), task_id)

    async def _busy(self, busy: TooBusy, **reply_to: Any) -> None:
        metrics.REFUSALS.labels("socket", busy.code).inc()
        await self._send("busy", retry_ms=busy.retry_ms, **reply_to)

    async def _error(self, refused: Refused, **reply_to: Any) -> None:
        if retry_ms := getattr(refused, "retry_ms", None):
            reply_to["retry_ms"] = retry_ms
        metrics.REFUSALS.labels("socket", refused.code).inc()
        await self._send("error", **refused.as_json(), **reply_to)

    async def _send(self, kind: str, /, **body: Any) -> None:
        # The page may have gone meanwhile: it asks again under the same UUID when it is back.
        with suppress(OSError):
            text = json.dumps({"type": kind, **body})
            await self.base_send({"type": "websocket.send", "text": text})
