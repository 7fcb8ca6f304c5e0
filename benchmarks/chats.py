"""What a streamed piece of a chat costs: `python -m benchmarks.chats [--streams 200 --pieces 400]`.

A model's server of its own process speaks into all chats at once, ten pieces a second each; each is
somebody's open socket. First everybody's turn is answered in one piece, then another in many: the
difference is what pieces cost, the first what turns do. One line of JSON.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import time
from typing import Any

from websockets.asyncio.client import connect

from benchmarks.servers import NO_LIMITS, World, ours, program
from tests.services import free_port

EVERY = 0.1  # seconds between two pieces of a stream
SAID = {1: "Begin.", 2: "Go."}
OPEN = """
import json
from accounts.models import User
from annotate.chats import open_chat
from annotate.models import Task
from annotate.queries import Participant
task = Task.objects.get(slug="chats")
people = User.objects.filter(username__startswith="annotator-").order_by("id")
print(json.dumps([str(open_chat(participant=Participant(user=u), task=task).uid) for u in people]))
"""
TASK = "{slug: chats, name: Chats, input: chat, labels: [fine, broken], claim: fine}"
MODEL = "{{name: m, backend: chat, url: 'http://127.0.0.1:{port}{path}', model: {model}, {how}}}"


def chats_of(world: World, port: int, *, path: str = "", model: str = "m", how: str) -> list[str]:
    """Load a task with a model behind that port, and open everybody's chat with it."""
    of_model = MODEL.format(port=port, path=path, model=json.dumps(model), how=how)
    for command, name, text in (
        ("load_task", "task.yaml", TASK),
        ("register_model", "model.yaml", of_model),
    ):
        file = world.data / name
        file.write_text(text)
        more = ["chats"] if command == "register_model" else []
        done = world.manage(command, *more, str(file), *["--open-round"] * len(more))
        if done.returncode:
            raise SystemExit(done.stderr)
    told = world.manage("shell", "-v", "0", "-c", OPEN).stdout
    opened: list[str] = json.loads(told.splitlines()[-1])
    return opened


async def speak(port: int, pieces: int) -> None:
    """A server of chat completions that says so many pieces to "Go.", and else one."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                if b"content-length: " not in head.lower():  # somebody looks whether it is there
                    writer.write(b"HTTP/1.1 404 No\r\nContent-Length: 0\r\n\r\n")
                    continue
                length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
                body = json.loads(await reader.readexactly(length))
                some = pieces if body["messages"][-1]["content"] == "Go." else 1
                writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
                for number in range(some):
                    _put(writer, {"choices": [{"delta": {"content": f" word{number % 10}"}}]})
                    await asyncio.sleep(EVERY)
                _put(writer, {"choices": [{"delta": {}, "finish_reason": "stop"}]})
                writer.write(b"0\r\n\r\n")
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()

    async with await asyncio.start_server(answer, "127.0.0.1", port) as server:
        await server.serve_forever()


def _put(writer: asyncio.StreamWriter, event: Any) -> None:
    data = f"data: {json.dumps(event)}\n\n".encode()
    writer.write(b"%x\r\n%s\r\n" % (len(data), data))


async def listen(address: str, turn: int, cookie: str, chat: str) -> int:
    """Say one turn and hear it to its end; returns the frames that came."""
    frames = 0
    async with connect(address, additional_headers={"Cookie": cookie}, max_queue=None) as socket:
        await socket.recv()
        say = {"type": "say", "chat": chat, "turn": turn, "content": SAID[turn]}
        await socket.send(json.dumps(say))
        async for text in socket:
            frame = json.loads(text)
            frames += frame["type"] == "piece"
            if frame["type"] == "turn":
                return frames
            if frame["type"] in ("error", "busy"):
                raise SystemExit(str(frame))
    raise SystemExit("a socket was closed")


async def all_at_once(world: World, turn: int, chats: list[str]) -> int:
    address = world.server.url.replace("http", "ws") + "/ws/tasks/chats/"
    people = zip(world.sessions["annotator"], chats, strict=True)
    return sum(await asyncio.gather(*(listen(address, turn, *person) for person in people)))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--streams", type=int, default=200)
    parser.add_argument("--pieces", type=int, default=400)
    asked = parser.parse_args()
    port = free_port()
    own = [sys.executable, "-c", "import sys,asyncio;from benchmarks.chats import speak;"]
    own[-1] += f"asyncio.run(speak({port},{asked.pieces}))"
    hosts = {"DADC_MODEL_HOSTS": f"127.0.0.1:{port}"}
    settings = {**NO_LIMITS, **hosts}
    with (
        program("model", own, port=port),
        ours(settings=settings, annotators=asked.streams) as world,
    ):
        chats = chats_of(world, port, how=f"lanes: {asked.streams}, seconds: 120")
        before = world.server.cpu()["web"]
        asyncio.run(all_at_once(world, 1, chats))
        turns, began = world.server.cpu()["web"] - before, time.monotonic()
        frames = asyncio.run(all_at_once(world, 2, chats))
        used = world.server.cpu()["web"] - before - turns
    pieces = asked.streams * asked.pieces
    print(json.dumps({
        "streams": asked.streams,
        "pieces": pieces,
        "frames": frames,
        "seconds": round(time.monotonic() - began, 1),
        "cpu_us_a_piece": round(1e6 * (used - turns) / (pieces - asked.streams)),
        "cpu_us_a_piece_with_its_turn": round(1e6 * used / pieces),
        "cpu_ms_a_turn_of_one_piece": round(1e3 * turns / asked.streams, 1),
    }))  # fmt: skip


if __name__ == "__main__":
    main()
