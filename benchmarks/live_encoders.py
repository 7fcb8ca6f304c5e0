"""An encoder in the loop: `python -m benchmarks.live_encoders [--rounds 2 --strokes 6]`.

With `bin/serve --with transformers` done before. One web process on SQLite. Three things are told:

* how long it takes from `register_model --open-round` with a checkpoint of 20 MB to the first live
  answer on a socket;
* how many answers a second 32 writers get of a MiniLM-sized encoder, as it is served and from a
  batcher that takes all that waits and pads it to the longest, in turns on one server;
* the p95 of a class's strokes in `digits`, alone and while the 32 write.

Ends with one line of JSON.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import resource
import statistics
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import yaml
from websockets.asyncio.client import connect

from benchmarks.encoders import WORDS, checkpoint
from benchmarks.measure import measure
from benchmarks.predict import CLASS, QUIET, STROKES
from benchmarks.servers import NO_LIMITS, World, ours

WRITERS = 32
LATE = {"late", "model_unavailable"}  # after five seconds; it is no answer
PADDED = 500  # `max_tokens` of the model that is asked greedily: of a text there are 200
TASK = {"slug": "moods", "name": "Moods", "input": "text", "labels": ["negative", "positive"]}
# The same model asked as a greedy batcher would: the server loads this beside its own code.
GREEDY = f"""
import importlib.abc, importlib.util, sys

def patched(module):
    import numpy as np
    whole = module.Classifier.__init__

    def init(self, encoder, config):
        whole(self, encoder, config)
        if encoder.max_tokens == {PADDED}:
            self.at_once, self.answer = 64, lambda inputs: padded(self, inputs)

    def padded(self, inputs):
        encoder = self._encoder
        read = [encoder.arrays(encoder.words.of(one.features["text"])) for one in inputs]
        longest = max(one["input_ids"].shape[1] for one in read)
        batch = {{
            name: np.concatenate([np.pad(one[name], ((0, 0), (0, longest - one[name].shape[1])))
                                  for one in read])
            for name in read[0]
        }}
        rows = np.stack([module.softmax(row) for row in encoder._run(batch)[0]])
        return module.answers_of(self.labels, rows.astype(np.float32))

    module.Classifier.__init__ = init

class Finder(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name != "ml.backends.transformers":
            return None
        sys.meta_path.remove(self)
        spec = importlib.util.find_spec(name)
        load = spec.loader.exec_module
        spec.loader.exec_module = lambda module: (load(module), patched(module))
        return spec

sys.meta_path.insert(0, Finder())
"""
OPEN = """
from annotate.models import ModelVersion, Task
from annotate.rounds import open_next_round
from core.transactions import durable
task = Task.objects.get(slug="moods")
with durable():
    open_next_round(task=task, models=[task.models.get(name="{name}")])
"""


def text(rng: random.Random) -> str:
    return " ".join(rng.choices(WORDS, k=rng.randrange(3, 199)))


async def _answer(socket: Any) -> Any:
    while True:
        frame = json.loads(await socket.recv())
        if frame["type"] != "round_changed":
            return frame


class Writers:
    """People who write on when the model has answered, in a thread until it is told to end."""

    def __init__(self, world: World, seed: int) -> None:
        self._address = world.server.url.replace("http", "ws") + "/ws/tasks/moods/"
        self._cookies = world.sessions["annotator"][-WRITERS:]
        self._seed = seed
        self._ended = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._all()))
        self.times: list[float] = []
        self.late = 0

    def __enter__(self) -> Writers:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()

    async def _all(self) -> None:
        people = (self._write(cookie, n) for n, cookie in enumerate(self._cookies))
        await asyncio.gather(*people)

    async def _write(self, cookie: str, number: int) -> None:
        rng = random.Random(1_000 * self._seed + number)
        async with connect(self._address, additional_headers={"Cookie": cookie}) as socket:
            await socket.recv()
            seq = 0
            while not self._ended.is_set():
                seq += 1
                ask = {"type": "predict", "seq": seq, "input": {"text": text(rng)}}
                await socket.send(json.dumps(ask))
                frame = await _answer(socket)
                if frame["type"] == "prediction":
                    self.times.append(time.monotonic())
                elif frame.get("code") in LATE:
                    self.late += 1
                    await asyncio.sleep(0.2)
                else:
                    raise SystemExit(str(frame))

    def rate(self, seconds: float) -> float:
        """Answers a second while somebody waits so long, after all are at work."""
        time.sleep(2)
        began = time.monotonic()
        time.sleep(seconds)
        ended = time.monotonic()
        return sum(began < moment <= ended for moment in list(self.times)) / (ended - began)


def register(world: World, name: str, folder: Path, **more: Any) -> float:
    """Register and open a round; seconds from the command to the first answer on a socket."""
    file = world.data / f"{name}.yaml"
    file.write_text(
        yaml.safe_dump({"name": name, "backend": "transformers", "path": str(folder), **more})
    )
    began, cpu, web = time.monotonic(), _waited_for(), world.server.cpu()["web"]
    done = world.manage("register_model", "moods", str(file), "--open-round", "--json")
    if done.returncode:
        raise SystemExit(done.stderr)
    command, cpu = time.monotonic() - began, _waited_for() - cpu
    asyncio.run(_first(world, name))
    web = world.server.cpu()["web"] - web
    print(f"{name}: the command {command:.1f} s ({cpu:.1f} of CPU), then {web:.1f} s of the web's")
    return time.monotonic() - began


def _waited_for() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


async def _first(world: World, name: str) -> None:
    address = world.server.url.replace("http", "ws") + "/ws/tasks/moods/"
    headers = {"Cookie": world.sessions["annotator"][0]}
    async with connect(address, additional_headers=headers) as socket:
        await socket.recv()
        while True:  # each web process looks for a new round every second or two
            ask = {"type": "predict", "seq": 1, "input": {"text": f"word1 {time.monotonic()}"}}
            await socket.send(json.dumps(ask))
            frame = await _answer(socket)
            if frame["type"] == "prediction" and frame["model"] == name:
                return
            await asyncio.sleep(0.05)


def strokes(world: World, seconds: float) -> float:
    orders = {"sockets": CLASS, "rate": STROKES, "drawings": int(seconds * 400) + 1000}
    people = world.sessions["annotator"][:CLASS]
    row = measure(world.server, "strokes", cookies=people, seconds=seconds, **orders)
    found: float = row["latency_ms"]["stroke"]["p95"]
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=12)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--strokes", type=int, default=6, help="measured in so many turns")
    asked = parser.parse_args()
    report: dict[str, Any] = {"first_answer_s": [], "greedy": [], "ours": [], "ratio": []}
    report["late"] = {"greedy": 0, "ours": 0}
    report |= {"stroke_p95_alone_ms": [], "stroke_p95_beside_ms": [], "stroke_ratio": []}
    with tempfile.TemporaryDirectory() as scratch:
        (Path(scratch) / "sitecustomize.py").write_text(GREEDY)
        os.environ["PYTHONPATH"] = os.pathsep.join(
            filter(None, [scratch, os.environ.get("PYTHONPATH")])
        )
        small = checkpoint(Path(scratch) / "small", vocab=8_000, width=256, layers=4)
        size = (small / "model.safetensors").stat().st_size / 1e6
        whole = checkpoint(Path(scratch) / "whole")
        with ours(settings=NO_LIMITS, annotators=CLASS + WRITERS, task=QUIET) as world:
            (world.data / "task.yaml").write_text(yaml.safe_dump(TASK))
            if (done := world.manage("load_task", str(world.data / "task.yaml"))).returncode:
                raise SystemExit(done.stderr)
            report["first_answer_s"] = [round(register(world, "small", small), 1)]
            report["checkpoint_mb"] = round(size, 1)
            if asked.rounds:
                register(world, "greedy", whole, max_tokens=PADDED)
            register(world, "ours", whole)
            for turn in range(asked.rounds):
                for name in ("greedy", "ours"):
                    world.manage("shell", "-v", "0", "-c", OPEN.format(name=name))
                    asyncio.run(_first(world, name))
                    with Writers(world, seed=10 * turn + len(name)) as writers:
                        report[name].append(round(writers.rate(asked.seconds), 1))
                        report["late"][name] += writers.late
                # The greedy one may answer nobody in time.
                greedy = max(report["greedy"][-1], 1 / asked.seconds)
                report["ratio"].append(round(report["ours"][-1] / greedy, 2))
            for turn in range(asked.strokes):
                alone = strokes(world, asked.seconds)
                with Writers(world, seed=99 + turn) as writers:
                    time.sleep(2)
                    beside = strokes(world, asked.seconds)
                report["stroke_p95_alone_ms"].append(alone)
                report["stroke_p95_beside_ms"].append(beside)
                report["stroke_ratio"].append(round(beside / alone, 2))
                print(json.dumps(report), flush=True)
            report["stroke_ratio_median"] = statistics.median(report["stroke_ratio"])
            report["load"] = round(os.getloadavg()[0], 1)
    print(json.dumps(report))


if __name__ == "__main__":
    main()
