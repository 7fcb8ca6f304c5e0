"""A model's server dies while it speaks: `python -m benchmarks.chat_kills --transformers VENV`.

VENV has transformers[serving]==5.24.0, whose server speaks chat completions and knows nothing of
us; it has a tiny chat model of made-up weights. Our whole server stands before it, with people who
chat at once. In every turn, as soon as one of them hears the model, its server is killed and
started anew. They do as the page does: the same turn again, until it is answered. What they were
told, what is stored and what is submitted in the end must be the same. Ends with one line of JSON.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import subprocess
import tempfile
import time
import urllib.request
from pathlib import Path
from typing import Any

from websockets.asyncio.client import connect

from benchmarks.chats import chats_of
from benchmarks.model_servers import CHAT, READY
from benchmarks.servers import NO_LIMITS, World, is_answering, ours
from tests.services import free_port

HOW = "lanes: 8, seconds: 60, max_tokens: 300"


class Speaker:
    """transformers' own server, on a port that stays its own."""

    def __init__(self, venv: Path, folder: Path) -> None:
        self.port, self.model = free_port(), str(folder / "chat")
        python = str(venv / "bin/python")
        subprocess.run([python, "-c", CHAT, self.model], check=True, stderr=subprocess.DEVNULL)
        self._command = [str(venv / "bin/transformers"), "serve", "--host", "127.0.0.1"]
        self._command += ["--port", str(self.port), self.model]
        self._log = (folder / "speaker.log").open("w")
        self.start()

    def start(self) -> None:
        self._process = subprocess.Popen(self._command, stdout=self._log, stderr=subprocess.STDOUT)
        ends = time.monotonic() + READY
        while not is_answering(f"http://127.0.0.1:{self.port}/health"):
            if self._process.poll() is not None or time.monotonic() > ends:
                raise SystemExit(Path(self._log.name).read_text()[-2_000:])
            time.sleep(0.2)

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()


class Talks:
    """What became of everybody's turns."""

    def __init__(self, world: World, turns: int) -> None:
        self.world, self.turns = world, turns
        self.speaking = [asyncio.Event() for _ in range(turns)]
        self.told: dict[str, list[str]] = {}
        self.refused = self.half = self.pieces = 0

    async def talk(self, cookie: str, chat: str) -> None:
        """Say every turn until it is answered, then submit."""
        address = self.world.server.url.replace("http", "ws") + "/ws/tasks/chats/"
        told = self.told[chat] = []
        async with connect(address, additional_headers={"Cookie": cookie}) as socket:
            await socket.recv()
            for turn in range(1, self.turns + 1):
                say = {
                    "type": "say",
                    "chat": chat,
                    "turn": turn,
                    "content": f"a good day {turn} {chat}",
                }
                while (answer := await self._said(socket, say)) is None:
                    pass
                told.append(answer)
            end = {"client_id": chat, "input": {"chat": chat}, "label": "broken"}
            await socket.send(json.dumps({"type": "submit", **end}))
            frame = json.loads(await socket.recv())
            assert frame["type"] == "accepted", frame

    async def _said(self, socket: Any, say: dict[str, Any]) -> str | None:
        """The answer to a turn, or None after the pause that was asked for."""
        await socket.send(json.dumps(say))
        heard = 0
        while True:
            frame = json.loads(await socket.recv())
            if frame["type"] == "piece":
                heard += 1
                self.speaking[say["turn"] - 1].set()
            elif frame["type"] == "turn":
                self.pieces += heard
                return str(frame["content"])
            elif frame["type"] in ("error", "busy"):
                self.refused += 1
                self.half += heard > 0
                await asyncio.sleep(frame.get("retry_ms", 500) / 1000)
                return None

    async def kill(self, speaker: Speaker) -> None:
        """Once in every turn, while it speaks."""
        for speaking in self.speaking:
            await speaking.wait()
            await asyncio.to_thread(speaker.kill)
            await asyncio.to_thread(speaker.start)

    def check(self, people: list[tuple[str, str]]) -> None:
        """What is stored and submitted is what everybody was told; SystemExit otherwise."""
        for cookie, chat in people:
            told = self.told[chat]
            stored = [turn["content"] for turn in self._get(f"chats/{chat}/", cookie)["turns"]]
            (mine,) = self._get("examples/?mine=1", cookie)["results"]
            sent = [turn["content"] for turn in mine["input"]["turns"][1::2]]
            if not told == stored == sent:
                raise SystemExit(f"{chat}: told {told}, stored {stored}, submitted {sent}")

    def _get(self, path: str, cookie: str) -> Any:
        address = f"{self.world.server.url}/api/v1/{path}"
        asked = urllib.request.Request(address, headers={"Cookie": cookie})
        with urllib.request.urlopen(asked, timeout=30) as answer:
            return json.load(answer)


async def _all(talks: Talks, speaker: Speaker, people: list[tuple[str, str]]) -> None:
    killing = asyncio.create_task(talks.kill(speaker))
    await asyncio.gather(*(talks.talk(cookie, chat) for cookie, chat in people))
    await killing


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--transformers", type=Path, metavar="VENV", required=True)
    parser.add_argument("--people", type=int, default=4)
    parser.add_argument("--turns", type=int, default=3)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        speaker = Speaker(asked.transformers, Path(scratch))
        settings = {**NO_LIMITS, "DADC_MODEL_HOSTS": f"127.0.0.1:{speaker.port}"}
        try:
            with ours(settings=settings, annotators=asked.people) as world:
                chats = chats_of(world, speaker.port, path="/v1", model=speaker.model, how=HOW)
                talks = Talks(world, asked.turns)
                people = list(zip(world.sessions["annotator"], chats, strict=True))
                asyncio.run(_all(talks, speaker, people))
                talks.check(people)
        finally:
            speaker.kill()
    print(json.dumps({
        "people": asked.people,
        "turns": sum(map(len, talks.told.values())),
        "kills": asked.turns,
        "half_answers": talks.half,
        "refusals": talks.refused,
        "pieces": talks.pieces,
    }))  # fmt: skip


if __name__ == "__main__":
    main()
