"""The whole loop with real digits: `python -m benchmarks.closed_loop [--mnist DIR] [--data DIR]`.

Starts bin/serve on a free port with an empty data folder. Eight annotators at once submit 300 real
digits over the websocket, most of them shifted, turned, shrunk, thickened or thinned; three
validators answer over REST by the true labels; the retraining that this triggers runs in the
background worker. Then it prints what the new model gained on a held-out warped set and lost on
clean digits, whether the stored counters equal the recounted ones, and whether the log of it all
survives an export and an import.

With --mnist the drawings are MNIST test digits, a population that the base model never met;
without, scikit-learn's digits that the base model was not trained on.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from websockets.asyncio.client import connect

from kinds.image.pixels import png_of
from kinds.image.warps import warp
from ml.backends import Source, open_model
from ml.learners.digits.data import Images, load_idx, load_sklearn, split_clean

PROJECT = Path(__file__).resolve().parent.parent
ANNOTATORS = 8
VALIDATORS = 3
DRAWINGS = 300
WARPED_SHARE = 0.7
PATIENCE = 300  # seconds for the retraining
SEED = 20


def main() -> None:
    arguments = _arguments()
    with tempfile.TemporaryDirectory(prefix="dadc-loop-") as folder:
        data = Path(arguments.data or folder)
        drawings, labels, exam, clean = _material(arguments.mnist)
        with serving(data) as url:
            tokens = _people(data)
            started = time.perf_counter()
            truth, fooled = asyncio.run(_annotate(url, tokens["annotator"], drawings, labels))
            submitted = time.perf_counter() - started
            votes = asyncio.run(_validate(url, tokens["validator"], truth))
            validated = time.perf_counter() - started - submitted
            _show(submissions=len(truth), seconds=round(submitted, 1), fooled=fooled)
            _show(votes=votes, seconds=round(validated, 1))
            rounds = _wait_for_retraining(data)
        _manage(data, "recompute", "--check")
        _show(recompute="stored counters equal the recounted ones")
        for name, images in (("clean", clean), ("warped", exam)):
            before, after = (_accuracy(data, number, images) for number in (1, rounds))
            _show(
                set=name,
                items=len(images),
                before=f"{before:.2%}",
                after=f"{after:.2%}",
                difference=f"{100 * (after - before):+.2f} points",
            )
        _show(round_trip=_round_trip(data, Path(folder)))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--mnist", metavar="DIR", help="IDX files of the MNIST test set")
    parser.add_argument("--data", metavar="DIR", help="keep the server's data here")
    return parser.parse_args()


def _show(**facts: object) -> None:
    print("  ".join(f"{name} {value}" for name, value in facts.items()), flush=True)


# --- material -------------------------------------------------------------------------------------
def _material(mnist: str | None) -> tuple[np.ndarray, list[str], Images, Images]:
    """Drawings with their labels, a warped exam and a clean one; no image is in two of them."""
    rng = np.random.default_rng(SEED)
    _, clean = split_clean(load_sklearn(), seed=0)
    source = load_idx(mnist) if mnist else clean
    order = rng.permutation(len(source))
    drawn = source.take(order[:DRAWINGS] if mnist else order[: len(order) * 5 // 6])
    rest = source.take(order[DRAWINGS : DRAWINGS + 2000] if mnist else order[len(drawn) :])
    images = drawn.x.copy()
    warped = rng.random(len(drawn)) < WARPED_SHARE
    images[warped] = warp(images[warped], rng)
    labels = [str(label) for label in drawn.y]
    exam = Images(x=warp(rest.x, rng), y=rest.y, source=f"{rest.source}, warped")
    return images, labels, exam, rest


# --- server ---------------------------------------------------------------------------------------
@contextmanager
def serving(data: Path) -> Iterator[str]:
    """bin/serve on a free port until the block ends; yields its address."""
    process = subprocess.Popen(
        [str(PROJECT / "bin" / "serve"), "--port", "0", "--data", str(data)],
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert process.stdout is not None
    try:
        url = ""
        for line in process.stdout:
            print("   |", line.rstrip(), flush=True)
            if "DADC Server is ready" in line:
                url = line.split(": ", 1)[1].strip()
                break
        if not url:
            raise SystemExit("The server did not start.")
        yield url
    finally:
        os.killpg(process.pid, signal.SIGINT)
        process.wait(60)


def _manage(data: Path, *arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, str(PROJECT / "manage.py"), *arguments],
        env={**os.environ, "DADC_DATA": str(data)},
        capture_output=True,
        text=True,
    )
    if done.returncode:
        raise SystemExit(f"{' '.join(arguments)} failed:\n{done.stdout}{done.stderr}")
    return done.stdout


def _people(data: Path) -> dict[str, list[str]]:
    """Tokens of the people of each role."""
    tokens: dict[str, list[str]] = {}
    for role, number in (("annotator", ANNOTATORS), ("validator", VALIDATORS)):
        for n in range(number):
            made = _manage(data, "create_user", f"{role}{n}", "--role", role, "--token")
            tokens.setdefault(role, []).append(json.loads(made)["token"])
    return tokens


def _call(url: str, path: str, token: str, body: object | None = None) -> Any:
    request = urllib.request.Request(
        f"{url}api/v1/{path}",
        data=None if body is None else json.dumps(body).encode(),
        headers={"Authorization": f"Token {token}", "Content-Type": "application/json"},
    )
    while True:
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:
                text = answer.read()
                return json.loads(text) if text else None
        except urllib.error.HTTPError as error:
            if error.code != 429:
                raise SystemExit(f"{path}: {error.code} {error.read().decode()}") from error
            time.sleep(float(error.headers.get("Retry-After", 1)))


# --- people ---------------------------------------------------------------------------------------
async def _annotate(
    url: str, tokens: list[str], drawings: np.ndarray, labels: list[str]
) -> tuple[dict[str, str], int]:
    """All annotators at once; returns the true label of each accepted example, and the foolings."""
    shares = [range(person, len(drawings), len(tokens)) for person in range(len(tokens))]
    results = await asyncio.gather(
        *(
            _draw(url, token, [(drawings[i], labels[i]) for i in share])
            for token, share in zip(tokens, shares, strict=True)
        )
    )
    truth = {example: label for accepted, _ in results for example, label in accepted.items()}
    return truth, sum(fooled for _, fooled in results)


async def _draw(
    url: str, token: str, work: list[tuple[np.ndarray, str]]
) -> tuple[dict[str, str], int]:
    """One person: look at the live answer, then submit, again and again."""
    accepted: dict[str, str] = {}
    fooled = 0
    address = url.replace("http", "ws", 1) + "ws/tasks/digits/"
    headers = {"Authorization": f"Token {token}", "Origin": url.rstrip("/")}
    async with connect(address, additional_headers=headers, max_size=2**21) as socket:
        assert json.loads(await socket.recv())["type"] == "ready"
        for seq, (drawing, label) in enumerate(work):
            input = {"png": base64.b64encode(png_of(drawing)).decode()}
            await socket.send(json.dumps({"type": "predict", "seq": seq, "input": input}))
            await _answer(socket, "prediction")
            frame = {"type": "submit", "client_id": str(uuid.uuid4())}
            answer = {"type": "busy", "retry_ms": 0}
            while answer["type"] == "busy":  # more submissions a second than a person makes
                await asyncio.sleep(answer["retry_ms"] / 1000)
                await socket.send(json.dumps({**frame, "input": input, "label": label}))
                answer = await _answer(socket, "accepted", "busy")
            accepted[answer["id"]] = label
            fooled += answer["fooled"]
    return accepted, fooled


async def _answer(socket: Any, *kinds: str) -> dict[str, Any]:
    while (frame := json.loads(await socket.recv()))["type"] == "round_changed":
        pass
    assert frame["type"] in kinds, frame
    return dict(frame)


async def _validate(url: str, tokens: list[str], truth: dict[str, str]) -> int:
    """All validators at once, each by the true label, until nothing waits; returns the votes."""
    counts = await asyncio.gather(
        *(asyncio.to_thread(_vote_on_all, url, token, truth) for token in tokens)
    )
    return sum(counts)


def _vote_on_all(url: str, token: str, truth: dict[str, str]) -> int:
    votes = 0
    item = _call(url, "tasks/digits/validations/next/", token, {})
    while item is not None:
        vote = {"label": truth[item["example"]]}
        item = _call(url, f"validations/{item['lease']}/vote/", token, vote)["next"]
        votes += 1
    return votes


# --- results --------------------------------------------------------------------------------------
def _wait_for_retraining(data: Path) -> int:
    """Wait until no training run is active or due; returns the number of the open round."""
    started = time.perf_counter()
    while time.perf_counter() - started < PATIENCE:
        runs = _ask(
            data,
            "from training.models import TrainingRun as R; "
            "print(*R.objects.order_by('pk').values_list('status', flat=True))",
        )
        if runs and not {"queued", "running"} & set(runs):
            _show(runs=", ".join(runs), seconds=round(time.perf_counter() - started, 1))
            break
        time.sleep(3)
    else:
        raise SystemExit("The retraining did not end: look at the training page.")
    script = (
        "from annotate.models import Round; "
        "print(Round.objects.get(task__slug='digits', status='open').number)"
    )
    return int(_ask(data, script)[-1])


def _ask(data: Path, script: str) -> list[str]:
    """The words that a line of Python prints in the project's shell."""
    return _manage(data, "shell", "-v", "0", "-c", script).split()


def _accuracy(data: Path, number: int, images: Images) -> float:
    """Accuracy of the model that serves the round of this number."""
    script = (
        "from annotate.models import Round; "
        f"m = Round.objects.get(task__slug='digits', number={number}).targets.get(); "
        "print(m.artifact, m.sha256)"
    )
    artifact, sha256 = _ask(data, script)[-2:]
    backend = open_model("onnx", Source(data / "artifacts" / artifact, sha256, {}))
    rows = np.concatenate([backend.probabilities(part) for part in np.array_split(images.x, 8)])
    return float((rows.argmax(axis=1) == images.y).mean())


def _round_trip(data: Path, folder: Path) -> str:
    """Export, import into an empty database, export again, compare."""
    first = _manage(data, "export_log", "digits")
    log, other = folder / "log.jsonl", folder / "other"
    log.write_text(first)
    (folder / "digits.yaml").write_text(
        (PROJECT / "dadc_server" / "library" / "digits.yaml").read_text()
    )
    _manage(other, "migrate", "-v", "0")
    _manage(other, "load_task", str(folder / "digits.yaml"))
    summary = _manage(other, "import_log", "digits", str(log), "--json").strip().splitlines()[-1]
    same = _manage(other, "export_log", "digits") == first
    return f"{'the same log' if same else 'ANOTHER LOG'} after export and import: {summary}"


if __name__ == "__main__":
    main()
