"""Chats with a real server of another process, which dies while it speaks."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from asgiref.sync import sync_to_async
from django.core.management import CommandError, call_command
from rest_framework.test import APIClient

from accounts.models import User
from annotate.models import ChatTurn, Example, Task
from tests import cast
from tests.annotate.test_consumer import Page, page
from tests.outages.test_remote_models import Server, chat, running, server
from training.evaluations import opened

__all__ = ["running", "server"]

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.once]


@pytest.fixture
def talks(owner: User, server: Server, tmp_path: Path) -> Task:
    task = cast.chat_task(owner)
    said = {"system": "Be kind.", "seed": 7, "top_p": 0.9, "prompt": None}
    register(tmp_path, **chat(server, **said))
    return task


def register(folder: Path, **file: Any) -> None:
    (folder / "model.yaml").write_text(yaml.safe_dump(file))
    call_command("register_model", "chats", str(folder / "model.yaml"), "--open-round", "--json")


async def open_chat(client: APIClient) -> str:
    answer = await sync_to_async(client.post)("/api/v1/tasks/chats/chats/")
    return str(answer.json()["chat"])


async def heard(there: Page) -> list[dict[str, Any]]:
    """The frames until the turn has come, or an error."""
    frames = []
    while not frames or frames[-1]["type"] not in ("turn", "error", "busy"):
        event = await there.socket.receive_output(timeout=cast.PATIENCE)
        frames.append(json.loads(event["text"]))
    return frames


async def test_a_turn_is_streamed_and_asked_again_where_the_server_died_in_its_middle(
    talks: Task, annotator: User, server: Server
) -> None:
    client = APIClient()
    await sync_to_async(client.force_login)(annotator)
    uid = await open_chat(client)
    server.kill()
    await asyncio.to_thread(server.start, "mortal")
    async with page(talks, annotator) as there:
        await there.receive("ready")
        await there.send(type="say", chat=uid, turn=1, content="how many?")
        asked, *pieces, turn = await heard(there)
        assert (asked["type"], asked["turn"]) == ("asked", 1)
        assert "".join(piece["text"] for piece in pieces) == turn["content"] == "2 messages"
        assert (turn["finish_reason"], turn["tokens"], turn["outcome"]) == ("stop", 7, None)

        await there.send(type="say", chat=uid, turn=2, content="drop dead, good one")
        frames = await heard(there)
        assert [frame["type"] for frame in frames] == ["asked", "piece", "error"]
        assert (frames[1]["text"], frames[2]["code"]) == ("Pos", "model_unavailable")
        assert (frames[2]["chat"], frames[2]["turn"]) == (uid, 2)
        assert await ChatTurn.objects.filter(answer=None).acount() == 1, "it is kept"
        server.kill()
        await asyncio.to_thread(server.start)
        while frames[-1]["type"] != "turn":
            await asyncio.sleep(frames[-1].get("retry_ms", 500) / 1000)
            await there.send(type="say", chat=uid, turn=2, content="drop dead, good one")
            frames = await heard(there)
        assert frames[-1]["content"] == "Positive."
        said = await sync_to_async(client.post)(
            f"/api/v1/chats/{uid}/turns/", {"content": "And how many now?"}, format="json"
        )
        assert said.json()["content"] == "6 messages", "the system's, and what was said before"
        asked_before = (await asyncio.to_thread(server.asked))["asked"]
        await there.send(type="say", chat=uid, turn=2, content="drop dead, good one")
        assert await heard(there) == [frames[-1]], "answered once"
        assert (await asyncio.to_thread(server.asked))["asked"] == asked_before
        server.kill()
        ended = {"client_id": uid, "input": {"chat": uid}, "label": "harmful"}
        await there.send(type="submit", **ended)
        assert (await there.receive("accepted"))["fooled"], "its model is asked nothing"
        await asyncio.to_thread(server.start)

    turns = (await Example.objects.aget()).input["turns"]
    assert [turn["content"] for turn in turns] == [
        "how many?", "2 messages", "drop dead, good one", "Positive.", "And how many now?",
        "6 messages",
    ]  # fmt: skip
    assert turns[1] == {
        "role": "assistant", "content": "2 messages", "tokens": 7, "finish_reason": "stop"
    }  # fmt: skip


def test_what_cannot_talk_is_not_registered(owner: User, server: Server, tmp_path: Path) -> None:
    cast.chat_task(owner)
    for file, sentence in (
        (chat(server), "has no prompt"),
        (chat(server, prompt=None, key="wrong"), "HTTP 401"),
        ({"name": "moods", "backend": "lexicon"}, "talks|labels"),
    ):
        with pytest.raises(CommandError, match=sentence):
            register(tmp_path, **file)


def test_a_long_answer_of_a_slow_server_has_time(talks: Task) -> None:
    """As many tokens as an answer may have, of a server that says nine of them a second."""
    (model,) = talks.rounds.get(status="open").targets.all()
    assert model.config["max_tokens"] / model.config["seconds"] < 9
    assert opened(model).seconds == 120
