"""Models behind an address: a real server of another process, asked, killed and started anew."""

from __future__ import annotations

import asyncio
import json
import os
import re
import socket
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import pytest
import yaml
from asgiref.sync import sync_to_async
from django.core.management import CommandError, call_command
from django.db import connections
from rest_framework.test import APIClient

from accounts.models import User
from annotate import rounds
from annotate.config import parse_task_file
from annotate.models import Example, ModelVersion, Task
from annotate.seals import seal, unseal
from core.doors import OFF
from ml.artifacts import ArtifactError
from ml.backends import Source
from ml.backends.chat import Chat, ChatOptions, _caps_of, label_in
from ml.backends.open_inference import OpenInference
from ml.batcher import Busy
from ml.measure import measure
from ml.remote import Down, Failed
from ml.streams import Streaming
from scoring.model_board import record_of
from tests import cast
from tests.annotate.test_consumer import page

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.once]

KEY = "a-key-of-ours"
SCRIPT = Path(__file__).resolve().parents[1] / "model_server.py"


class Server:
    """The process, on a port that stays its own."""

    def __init__(self) -> None:
        with closing(socket.socket()) as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.start()

    def start(self, *how: str) -> None:
        self._process = subprocess.Popen([sys.executable, str(SCRIPT), str(self.port), *how])
        until(self._listens, "the model's server did not start")

    def _listens(self) -> bool:
        with suppress(OSError), closing(socket.create_connection(("127.0.0.1", self.port), 1)):
            return True
        return False

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()

    @property
    def url(self) -> str:
        return f"http://localhost:{self.port}"

    def asked(self) -> Any:
        return self._get("asked")

    def let_go(self) -> Any:
        """Answer those whose text has it wait."""
        return self._get("let_go")

    def _get(self, what: str) -> Any:
        with urlopen(f"http://127.0.0.1:{self.port}/{what}", timeout=cast.PATIENCE) as answer:
            return json.load(answer)


def until(is_so: Callable[[], bool], otherwise: str) -> None:
    """Wait for a state, however long a busy machine takes to come to it."""
    ends = time.monotonic() + cast.PATIENCE
    while not is_so():
        assert time.monotonic() < ends, otherwise
        time.sleep(0.02)


@pytest.fixture(scope="module")
def running() -> Iterator[Server]:
    server = Server()
    yield server
    server.kill()


@pytest.fixture
def server(running: Server, settings: Any) -> Server:
    settings.MODEL_HOSTS = [f"localhost:{running.port}"]
    settings.LIMITS = OFF
    _caps_of.cache_clear()
    return running


@pytest.fixture
def moods(owner: User) -> Task:
    file = {"slug": "moods", "name": "Moods", "input": "text", "labels": ["negative", "positive"]}
    task, _ = rounds.load_task(file=parse_task_file(file), actor=owner)
    return task


def inference(server: Server, **changes: Any) -> dict[str, Any]:
    return {
        "name": "mood",
        "backend": "open_inference",
        "url": server.url,
        "model": "mood",
        "probabilities": "shares",
        "labels": ["negative", "positive"],
        **changes,
    }


def chat(server: Server, **changes: Any) -> dict[str, Any]:
    return {
        "name": "talker",
        "backend": "chat",
        "url": f"{server.url}/v1",
        "model": "small",
        "key": KEY,
        "prompt": "Is this {labels}? {text}",
        **changes,
    }


def register(file: dict[str, Any], folder: Path, capsys: Any = None) -> Any:
    (folder / "model.yaml").write_text(yaml.safe_dump(file))
    call_command("register_model", "moods", str(folder / "model.yaml"), "--open-round", "--json")
    return json.loads(capsys.readouterr().out.splitlines()[-1]) if capsys else None


def submitting(client: APIClient, text: str, label: str = "negative", **more: Any) -> Any:
    sent = {"client_id": str(uuid.uuid4()), "input": {"text": text}, "label": label, **more}
    return client.post("/api/v1/tasks/moods/examples/", sent, format="json")


def test_both_kinds_of_servers_are_played_against(
    moods: Task, annotator: User, server: Server, tmp_path: Path, capsys: Any
) -> None:
    client = APIClient()
    client.force_login(annotator)
    report = register(inference(server), tmp_path, capsys)["check"]
    assert report["probabilities"]
    assert report["tells_probes_apart"]
    sent = submitting(client, "A good day.").json()
    assert (sent["prediction"], sent["probabilities"]) == (
        "positive",
        {"negative": 0.1, "positive": 0.9},
    )
    assert sent["fooled"] is True
    asked = server.asked()
    again = client.post(
        "/api/v1/tasks/moods/predictions/", {"input": {"text": "A good day."}}, format="json"
    )
    assert again.json()["prediction"] == "positive"
    assert server.asked()["asked"] == asked["asked"], "what it has just said is not asked again"

    register(inference(server, name="said", probabilities=None, label="said"), tmp_path)
    assert submitting(client, "A bad day.").json()["prediction"] == "negative"

    report = register(chat(server), tmp_path, capsys)["check"]
    assert not report["probabilities"]
    assert any("no probabilities" in remark for remark in report["remarks"])
    sent = submitting(client, "Another good day.").json()
    assert (sent["prediction"], sent["probabilities"], sent["fooled"]) == ("positive", None, True)
    model = ModelVersion.objects.get(name="talker")
    assert KEY not in json.dumps(model.config), "the key is sealed"
    assert KEY.encode() not in client.get(f"/api/v1/models/{model.pk}/").content


def test_the_recipes_of_servers_run_as_written(
    moods: Task, annotator: User, server: Server, tmp_path: Path
) -> None:
    """But for the address, which is this server's, and the key."""
    page = (Path(__file__).resolve().parents[2] / "docs" / "models.md").read_text(encoding="utf-8")
    recipes = re.findall(r"^```yaml\n(.*?)^```", page, flags=re.MULTILINE | re.DOTALL)
    ran = []
    for text in recipes:
        here = re.sub(r"https?://[\w.]+example\.org(:\d+)?", server.url, text)
        file = yaml.safe_load(here.replace("sk-…", KEY))
        if file["backend"] in ("open_inference", "chat"):
            ran.append(file["backend"])
            register(file, tmp_path)
            client = APIClient()
            client.force_login(annotator)
            sent = submitting(client, f"A good day with {file['backend']} and all its friends.")
            assert (sent.status_code, sent.json()["prediction"]) == (201, "positive")
    assert ran == ["open_inference", "chat"]


def test_a_cap_is_said_at_registration_and_is_no_crowd_to_people(
    moods: Task, annotator: User, server: Server, tmp_path: Path
) -> None:
    with pytest.raises(CommandError, match="raise `per_minute`, `tokens_per_day`"):
        register(chat(server, tokens_per_day=7), tmp_path)
    register(chat(server, per_minute=6, price=1000), tmp_path)
    _caps_of.cache_clear()  # as the command is a process of its own
    client = APIClient()
    client.force_login(annotator)
    said = [submitting(client, f"A good day, the {place}th in all") for place in range(4, 11)]
    assert [answer.status_code for answer in said] == [201] * 6 + [503]
    assert said[-1].json()["error"]["code"] == "model_unavailable"
    model = ModelVersion.objects.get()
    # Seven tokens each, at a thousand a million.
    assert record_of(model).cost == {"tokens": 42, "money": pytest.approx(0.042)}
    page = APIClient()
    page.force_login(moods.owners.get())
    assert "some 42 tokens" in page.get("/tasks/moods/models/1/").content.decode()


def test_its_speed_is_measured_where_it_is_and_its_memory_is_not(server: Server) -> None:
    config = {"url": f"{server.url}/v1", "model": "small", "key": seal(KEY)}
    source = Source(None, "", {**config, "labels": ["negative", "positive"]})
    asked = server.asked()["asked"]
    texts = [{"text": f"good {number}"} for number in range(9)]
    found = measure("chat", source, "text", texts)
    assert found["per_second"] is not None
    assert found["memory_gb"] is None
    assert server.asked()["asked"] == asked + 5, "somebody may pay for each"


def test_what_is_no_answer_fools_nobody(
    moods: Task, annotator: User, server: Server, tmp_path: Path
) -> None:
    client = APIClient()
    client.force_login(annotator)
    register(chat(server), tmp_path)
    no_answers = "nonsense", "denied", "a cut sentence", "a cut off label", "a good, unsaid end"
    talked = [submitting(client, words) for words in no_answers]
    asked = {"input": {"text": "A whole sentence."}}
    said = client.post("/api/v1/tasks/moods/predictions/", asked, format="json").json()
    assert said["prediction"] == "positive"
    register(inference(server), tmp_path)
    for refused in (
        *talked,
        *(submitting(client, text) for text in ("boom", "three", "mixed answers", "not a number")),
    ):
        assert refused.status_code == 503
        assert refused.json()["error"]["code"] == "no_answer"
    assert not Example.objects.exists()
    assert submitting(client, "A good day, after all.").status_code == 201, "the circuit is closed"


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"url": "http://127.0.0.1:9"}, "list it in DADC_MODEL_HOSTS"),
        ({"url": "ftp://localhost"}, "give an address such as"),
        ({"label": "said"}, "name one of its outputs"),
        ({"model": "gone"}, "HTTP 404"),
        ({"url": "{url}/elsewhere"}, "HTTP 302"),
        ({"probabilities": "missing"}, "without an output missing"),
        ({"labels": ["a", "b", "c"]}, "2 values, not 3|lacks negative"),
        ({"temperature": 1}, "temperature"),
    ],
)
def test_what_cannot_be_asked_is_refused_with_what_to_do(
    moods: Task, server: Server, tmp_path: Path, changes: dict[str, Any], sentence: str
) -> None:
    given = {
        name: value.replace("{url}", server.url) if isinstance(value, str) else value
        for name, value in changes.items()
    }
    with pytest.raises(CommandError, match=sentence):
        register(inference(server, **given), tmp_path)
    assert not ModelVersion.objects.exists()


HATE = ("hateful", "not hateful")


@pytest.mark.parametrize(
    ("said", "label"),
    [
        ("hateful", "hateful"), ("**Not hateful.**", "not hateful"), ("Label: hateful", "hateful"),
        ("The text is not hateful.", "not hateful"), ("I would say it's hateful", "hateful"),
        ("This text is non-hateful.", None), ("This cannot be called hateful.", None),
        ("It is hateful, not neutral", None), ("Is it hateful?", None), ("un hateful", None),
        ("hateful or not hateful", None), ("hateful hateful", None), ("", None),
    ],
)  # fmt: skip
def test_only_a_label_alone_is_one(said: str, label: str | None) -> None:
    """Whoever is told "not hateful" rightly must not fool a model that meant the same."""
    if label:
        assert label_in(said, HATE) == label
        return
    with pytest.raises(Failed, match="none of its labels"):
        label_in(said, HATE)


async def test_a_name_is_looked_up_once(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    remote = Streaming(OpenInference(url=server.url, model="mood", label="said"))

    def rebound(*_: Any, **__: Any) -> Any:
        raise AssertionError("looked up again")

    real = socket.getaddrinfo
    monkeypatch.setattr(
        socket,
        "getaddrinfo",
        lambda host, *rest, **how: real(host, *rest, **how) if host == "127.0.0.1" else rebound(),
    )
    asked = {"id": "1", "inputs": [{"data": ["good"]}]}
    assert remote.post("/v2/models/mood/infer", asked)["outputs"]
    lines: list[bytes] = []
    await remote.lines("/v2/models/mood/infer", asked, lines.append)
    assert json.loads(lines[0])["outputs"]
    with pytest.raises(Failed, match="HTTP 302"):
        await remote.lines("/elsewhere/v2/models/mood/infer", asked, lines.append)


async def test_a_conversation_comes_piece_by_piece_and_half_of_one_is_none(server: Server) -> None:
    options: dict[str, Any] = {"url": f"{server.url}/v1", "model": "small", "key": seal(KEY)}
    talk = Chat(ChatOptions(**options))
    heard: list[str] = []
    turn = await talk.aloud([{"role": "user", "content": "good?"}], heard.append)
    assert (turn.content, turn.finish_reason, turn.tokens) == ("Positive.", "stop", 7)
    assert heard == ["Pos", "itive."]
    whole = await talk.aloud([{"role": "user", "content": "good, at once"}], heard.append)
    assert (whole, heard[2:]) == (turn, ["Positive."]), "of a server that knows no streams"
    with pytest.raises(Failed, match="broke off"):
        await talk.aloud([{"role": "user", "content": "break off"}], heard.append)
    with pytest.raises(Failed, match="The context is too long") as failed:
        await talk.aloud([{"role": "user", "content": "much too long"}], heard.append)
    assert not isinstance(failed.value, Down), "others are answered"
    asked = server.asked()["asked"]
    assert talk.turn([{"role": "user", "content": "busy at first"}]).content == "negative"
    assert server.asked()["asked"] == asked + 3, "and again, a little later each time"
    quick = Chat(ChatOptions(**options, seconds=0.5))
    with pytest.raises(Failed, match="takes too long"):
        await quick.aloud([{"role": "user", "content": "endless"}], heard.append)
    with pytest.raises(Down, match="does not answer"):
        await quick.aloud([{"role": "user", "content": "silent"}], heard.append)
    with pytest.raises(Down, match="takes longer than"):
        quick.turn([{"role": "user", "content": "drop by drop"}])
    with pytest.raises(Down, match="HTTP 401"):
        await Chat(ChatOptions(**{**options, "key": seal("wrong")})).aloud(
            [{"role": "user", "content": "?"}], heard.append
        )
    capped = Chat(ChatOptions(**options, per_minute=1))
    assert capped.turn([{"role": "user", "content": "bad"}]).content == "negative"
    again = Chat(ChatOptions(**options, per_minute=1))  # as a judge is, each time that it is asked
    with pytest.raises(Busy) as busy:
        again.turn([{"role": "user", "content": "bad"}])
    assert 0 < busy.value.retry_ms <= 60_001
    dear = Chat(ChatOptions(**options, tokens_per_day=7))
    dear.turn([{"role": "user", "content": "bad"}])
    with pytest.raises(Busy):
        await dear.aloud([{"role": "user", "content": "bad"}], heard.append)
    with pytest.raises(ValueError, match="takes a price"):
        ChatOptions(**options, cost_per_day=1)
    for tokens, most in ((None, 250_000), (7, 7), (300_000, 250_000)):
        caps = {"price": 4, "cost_per_day": 1, "tokens_per_day": tokens}
        assert ChatOptions(**options, **caps).most_tokens == most
    penniless = Chat(ChatOptions(**options, price=1, cost_per_day=6e-6))
    penniless.turn([{"role": "user", "content": "bad"}])
    with pytest.raises(Busy):
        penniless.turn([{"role": "user", "content": "bad"}])


def test_a_key_sealed_with_another_secret_is_said_so(settings: Any) -> None:
    sealed = seal(KEY)
    assert unseal(sealed) == KEY
    before, settings.SECRET_KEY = settings.SECRET_KEY, "another"
    with pytest.raises(ArtifactError, match="register the model again"):
        unseal(sealed)
    settings.SECRET_KEY_FALLBACKS = ["older", before]
    assert unseal(sealed) == KEY
    settings.SECRET_KEY_FALLBACKS = []
    assert unseal(seal(KEY)) == KEY


async def test_a_slow_chat_holds_up_nobody_else(
    moods: Task, owner: User, annotator: User, server: Server, tmp_path: Path
) -> None:
    """More submissions than there are database threads wait for it; a digit is read meanwhile."""
    digits = await sync_to_async(cast.digits_task)(owner)
    await sync_to_async(register)(chat(server, lanes=2, seconds=120), tmp_path)
    async with page(moods, annotator) as slow, page(digits, annotator) as quick:
        for opened in (slow, quick):
            await opened.receive("ready")
        await slow.send(type="predict", seq=1, input={"text": "good, to open it"})
        assert (await slow.receive("prediction"))["prediction"] == "positive"
        ids = [str(uuid.uuid4()) for _ in range(10)]
        for number, client_id in enumerate(ids):
            text = f"slow number {number} of {client_id}"
            await slow.send(
                type="submit", client_id=client_id, input={"text": text}, label="positive"
            )
        sent = {"client_id": str(uuid.uuid4()), "input": cast.drawing(1), "label": "3"}
        await quick.send(type="submit", **sent)
        assert (await quick.receive("accepted"))["client_id"] == sent["client_id"]
        assert await slow.socket.receive_nothing(), "all of them wait"
        await asyncio.to_thread(server.let_go)
        assert {(await slow.receive("accepted"))["client_id"] for _ in ids} == set(ids)


@pytest.mark.parametrize(("file", "kills"), [(inference, 3), (chat, 1)])
def test_killed_and_started_anew_under_load_nothing_is_lost_or_doubled_or_wrong(
    moods: Task, server: Server, tmp_path: Path, file: Any, kills: int
) -> None:
    register(file(server), tmp_path)
    people = [cast.person(f"writer-{n}") for n in range(3)]
    stop, refusals, done = threading.Event(), [], []

    def write(person: User) -> None:
        client = APIClient()
        client.force_login(person)
        number = 0
        while not stop.is_set():
            number += 1
            mood = "good" if number % 2 else "bad"
            text = f"A {mood} day, number {number} of {person.username} {'abcdefghij'[number % 10]}"
            sent = {"client_id": str(uuid.uuid4()), "explanation": mood}
            while True:
                answer = submitting(client, text, "negative", **sent)
                if answer.status_code in (200, 201):
                    break
                refusals.append(answer.json()["error"]["code"])
                time.sleep(0.05)
            done.append(answer.json()["id"])
        connections.close_all()

    writers = [threading.Thread(target=write, args=(person,)) for person in people]
    for writer in writers:
        writer.start()

    def kill() -> None:
        refused = refusals.count("model_unavailable")
        server.kill()
        until(lambda: refusals.count("model_unavailable") > refused, "nobody met the dead server")
        before = len(done)
        server.start()
        until(lambda: len(done) >= before + 4, "the circuit did not close")

    for _ in range(int(os.environ.get("DADC_KILLS", kills))):
        kill()
    stop.set()
    for writer in writers:
        writer.join(cast.PATIENCE)
    stored = {str(example.uid): example for example in Example.objects.all()}
    assert sorted(stored) == sorted(done)
    for example in stored.values():
        assert example.prediction == ("positive" if example.explanation == "good" else "negative")
        assert example.fooled == (example.explanation == "good")
