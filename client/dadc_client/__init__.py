"""A client of DADC Server: one object, the calls of its REST API, releases as data.

What fails on the way is tried again by itself, and nothing is done twice: an example's id follows
from its content, a model's name from its bytes, and a vote is its lease's only one.
"""

from __future__ import annotations

import base64
import hashlib
import io
import json
import uuid
import zipfile
from collections.abc import Callable, Collection, Iterator
from email.utils import parsedate_to_datetime
from pathlib import Path
from time import sleep, time
from typing import Any

import requests

from dadc_client.releases import Release

__all__ = ["Client", "DadcError", "Release"]

Json = Any
PIECE = 2 * 2**20  # bytes of a model's file that are sent at once
AGAIN = frozenset({429, 502, 503, 504})
UNSCORED = (
    "it has no score yet: there is nothing to ask it about (clean data, verified foolings), or its "
    "task's owners have not had models evaluated (`client.evaluate`)"
)
# What a server takes from afar, by its name.
BACKENDS = {
    ".onnx": "onnx", ".txt": "lexicon", ".json": "sklearn", ".folder": "transformers"
}  # fmt: skip


class DadcError(Exception):
    """The server said no: `code` for programs, the message for people, `status` of HTTP."""

    def __init__(self, code: str, message: str, status: int, fields: dict[str, str]) -> None:
        super().__init__(message)
        self.code, self.status, self.fields = code, status, fields


class Client:
    """Somebody's way to a server; without a key, a guest's."""

    def __init__(
        self, url: str, api_key: str = "", *, retries: int = 5, timeout: float = 60
    ) -> None:
        self._home = url.rstrip("/")
        self._retries, self._timeout = retries, timeout
        self._whose = hashlib.sha256(api_key.encode()).hexdigest()
        self._session = requests.Session()
        if api_key:
            self._session.headers["Authorization"] = f"Token {api_key}"

    # --- tasks and examples -----------------------------------------------------------------------
    def tasks(self) -> list[dict[str, Json]]:
        """Every task that you may see."""
        return list(self._pages("tasks/"))

    def task(self, task: str) -> dict[str, Json]:
        return self._get(f"tasks/{task}/")

    def predict(self, task: str, input: Json, *, context: str | None = None) -> dict[str, Json]:
        """What the live model says; nothing is kept."""
        return self._post(f"tasks/{task}/predictions/", _without_none(input=input, context=context))

    def submit(
        self,
        task: str,
        input: Json,
        label: Json,
        *,
        context: str | None = None,
        explanation: str | None = None,
    ) -> dict[str, Json]:
        """Submit an example; the same one again is the same one."""
        body = _without_none(input=input, label=label, context=context, explanation=explanation)
        name = f"{self._home}|{self._whose}|{task}|{json.dumps(body, sort_keys=True)}"
        body["client_id"] = str(uuid.uuid5(uuid.NAMESPACE_URL, name))
        return self._post(f"tasks/{task}/examples/", body)

    def examples(self, **query: Json) -> Iterator[dict[str, Json]]:
        """Your examples, newest first, or a task's that you own: `task`, `status`, `mine`."""
        return self._pages("examples/", query)

    def example(self, id: str) -> dict[str, Json]:
        return self._get(f"examples/{id}/")

    def explain(self, id: str, explanation: str) -> dict[str, Json]:
        return self._post(f"examples/{id}/explain/", {"explanation": explanation})

    def retract(self, id: str) -> dict[str, Json]:
        return self._post(f"examples/{id}/retract/", {})

    def next_context(self, task: str) -> dict[str, Json] | None:
        """What to write about next; None when nothing is left."""
        return self._post(f"tasks/{task}/contexts/next/", {}) or None

    def open_chat(self, task: str) -> str:
        """Begin a chat with the round's model; submit it as `{"chat": id}`."""
        return str(self._post(f"tasks/{task}/chats/", {})["chat"])

    def say(self, chat: str, turn: int, content: str) -> dict[str, Json]:
        """Say something under its number, from 1, and wait for the model's `content`; the same
        again is the same turn."""
        return self._post(f"chats/{chat}/turns/", {"turn": turn, "content": content})

    # --- validations ------------------------------------------------------------------------------
    def next_validation(self, task: str) -> dict[str, Json] | None:
        """The next item to judge, leased to you; None when nothing waits."""
        return self._post(f"tasks/{task}/validations/next/", {}) or None

    def vote(
        self, lease: str, *, label: Json = None, flag: str | None = None, reason: str = ""
    ) -> dict[str, Json] | None:
        """Answer a leased item with a label or a flag; returns the next item."""
        body = {"label": label} if flag is None else {"flag": flag, "reason": reason}
        return self._post(f"validations/{lease}/vote/", body).get("next")

    def validate(self, task: str, judge: Callable[[dict[str, Json]], Json]) -> int:
        """Let `judge` answer each item that waits for you; returns how many it answered."""
        answered, item = 0, self.next_validation(task)
        while item is not None:
            item, answered = self.vote(item["lease"], label=judge(item)), answered + 1
        return answered

    # --- boards and models ------------------------------------------------------------------------
    def leaderboard(self, task: str, round: int | None = None) -> dict[str, Json]:
        return self._get(f"tasks/{task}/leaderboard/", _without_none(round=round))

    def rounds(self, task: str) -> list[dict[str, Json]]:
        return list(self._get(f"tasks/{task}/rounds/")["rounds"])

    def models(self, task: str) -> list[dict[str, Json]]:
        return list(self._get(f"tasks/{task}/models/")["models"])

    def submit_model(
        self,
        path: str | Path,
        task: str,
        description: str = "",
        *,
        backend: str | None = None,
        name: str | None = None,
        labels: Json = None,
        open_round: bool = False,
        beside: bool = False,
        needed: int | None = None,
    ) -> str:
        """Register a model's file or folder; returns the id that `get_results` takes.

        With `open_round` a round begins against it, `beside` the models that serve, of all of which
        so many must be fooled if `needed` says so. The server tries it first. Its name follows from
        its bytes, so that sending it again changes nothing; `labels` are the model's names in its
        order, where they are not the task's.
        """
        file = Path(path)
        suffix, content = _sendable(file)
        own = f"{file.stem[:60]}-{hashlib.sha256(content).hexdigest()[:8]}"
        body = _without_none(
            name=name or own,
            backend=backend or BACKENDS.get(suffix, "onnx"),
            upload=self._upload(task, content),
            labels=labels,
            open_round=open_round,
            beside=beside,
            needed=needed,
            card={"description": description} if description else None,
        )
        try:
            self._post(f"tasks/{task}/models/", body)
        except DadcError as error:
            if error.code != "name_taken" or name is not None:
                raise
        return f"{task}/{body['name']}"

    def _upload(self, task: str, content: bytes) -> str:
        """Send a file in pieces, for a request holds a few MiB; the name under which it waits."""
        upload, offset = str(uuid.uuid4()), 0
        while offset < len(content):
            piece = base64.b64encode(content[offset : offset + PIECE]).decode()
            body = {"upload": upload, "offset": offset, "piece": piece}
            offset = self._post(f"tasks/{task}/models/uploads/", body)["received"]
        return upload

    def get_results(self, model_id: str, *, wait: float = 120) -> dict[str, Json]:
        """What is known of a model: `dynascore` (None: `reason` says why), and `round1_acc`, its
        accuracy on the frozen test of round 1; so for each round, and `clean_acc`.

        Models that their owners register are evaluated by themselves: while that is under way this
        waits, for as many seconds at most.
        """
        task, _, name = model_id.partition("/")
        end = time() + wait
        while True:
            results, evaluating = self._results(task, name)
            if not evaluating or time() >= end:
                return results
            sleep(1)

    def evaluate(self, task: str) -> bool:
        """Have the models of a task that you own evaluated on what is new; False of chats, which
        are not held again."""
        return bool(self._post(f"tasks/{task}/comparison/", {})["evaluating"])

    def _results(self, task: str, name: str) -> tuple[dict[str, Json], bool]:
        """What is known by now, and whether the server is at more."""
        results: dict[str, Json] = {"model": name, "task": task, "dynascore": None, "reason": ""}
        served = next((one for one in self.models(task) if one["name"] == name), None)
        results["metrics"] = served["metrics"] if served else {}
        results["rounds"] = served["rounds"] if served else []
        results["mer"] = served["mer"] if served else None
        compared = self._comparison(task)
        results |= {"clean_acc": None, "round1_acc": None}
        if compared is None:
            return results | {"reason": "this server compares no models"}, False
        row = next((one for one in compared["models"] if one["name"] == name), None)
        evaluating = bool(compared.get("evaluating"))
        if row is None:
            return results | {"reason": "it never served: its task's owners see it"}, evaluating
        cells = {cell["on"].replace(" ", ""): cell["accuracy"] for cell in row["cells"]}
        found = {f"{on}_acc": share and share["value"] for on, share in cells.items()}
        scored = any(value is not None for value in found.values())
        reason = row["reason"] if scored or evaluating else UNSCORED
        return results | found | {"dynascore": row["dynascore"], "reason": reason}, evaluating

    def _comparison(self, task: str) -> dict[str, Json] | None:
        try:
            return self._get(f"tasks/{task}/comparison/")
        except DadcError as error:
            if error.status == requests.codes.not_found:
                return None
            raise

    # --- releases ---------------------------------------------------------------------------------
    def releases(self, task: str) -> list[dict[str, Json]]:
        """The versions of a task's data, newest first."""
        return list(self._get(f"tasks/{task}/releases/")["releases"])

    def release(
        self,
        task: str,
        version: str = "",
        *,
        rounds: Collection[int] | None = None,
        into: str | Path = ".",
    ) -> Release:
        """Download a version (the newest), every file by its SHA-256; what is there already stays.

        Of some `rounds` only their tables, without the log of all, into a folder of their own. A
        download that broke off goes on where it was.
        """
        if rounds is not None and not rounds:
            raise ValueError("Name a round, or leave `rounds` out for all of them.")
        found = [one for one in self.releases(task) if version in ("", one["version"])]
        if not found:
            raise DadcError("not_found", f"There is no release {version} of {task}.", 404, {})
        one = found[0]
        if not one["files"]:
            instead = one.get("replaced_by")
            why = f"withdrawn in part: take {instead}" if instead else "not on the server's disk"
            raise DadcError("no_files", f"{task} {one['version']} is {why}.", 404, {})
        numbers = sorted(set(rounds or ()))
        which = f"-round-{'-'.join(map(str, numbers))}" if numbers else ""
        folder = Path(into) / f"{task}-{one['version']}{which}"
        home = f"tasks/{task}/releases/{one['version']}/files/"
        if numbers:  # first, for it says whether there are such rounds
            readme = self._call("GET", f"{home}README.md/", params={"round": numbers}).content
            folder.mkdir(parents=True, exist_ok=True)
            (folder / "README.md").write_bytes(readme)
        for file in one["files"]:
            if numbers and not _is_of(file["name"], numbers):
                continue
            path = folder / file["name"]
            if not path.resolve().is_relative_to(folder.resolve()):
                raise DadcError("damaged", f"{file['name']} is no file of a release.", 0, {})
            self._download(f"{home}{file['name']}/", path, file["sha256"])
        return Release(folder)

    def _download(self, address: str, path: Path, sha256: str) -> None:
        if path.exists() and _sha256(path) == sha256:
            return
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_name(f"{path.name}.part")
        for attempt in range(self._retries + 1):
            there = part.stat().st_size if part.exists() else 0
            ranged = {"Range": f"bytes={there}-"} if there else {}
            try:
                if not there or _sha256(part) != sha256:  # else it only had no name yet
                    self._receive(address, part, ranged)
            except DadcError as error:
                if error.status != requests.codes.requested_range_not_satisfiable:
                    raise
            except (requests.ConnectionError, requests.exceptions.ChunkedEncodingError):
                if attempt == self._retries:
                    raise
                sleep(2**attempt / 4)
                continue
            if _sha256(part) == sha256:
                part.replace(path)
                return
            part.unlink()  # of another version, or damaged
        raise DadcError("damaged", f"{path.name} does not arrive as it is listed.", 0, {})

    def _receive(self, address: str, part: Path, headers: dict[str, str]) -> None:
        answer = self._call("GET", address, headers=headers, stream=True)
        with (
            answer,
            part.open("ab" if answer.status_code == requests.codes.partial else "wb") as out,
        ):
            for piece in answer.iter_content(1 << 18):
                out.write(piece)

    # --- calls ------------------------------------------------------------------------------------
    def _get(self, path: str, query: dict[str, Json] | None = None) -> dict[str, Json]:
        return dict(self._call("GET", path, params=query).json())

    def _post(self, path: str, body: dict[str, Json]) -> dict[str, Json]:
        answer = self._call("POST", path, json=body)
        return dict(answer.json()) if answer.content else {}

    def _pages(self, path: str, query: dict[str, Json] | None = None) -> Iterator[dict[str, Json]]:
        address: str | None = path
        while address:
            page = self._call("GET", address, params=query).json()
            query = None
            if isinstance(page, list):
                yield from page
                return
            yield from page["results"]
            address = page.get("next")

    def _call(self, method: str, path: str, **how: Any) -> requests.Response:
        """The answer; what is busy or away for a moment is asked again, later each time."""
        address = path if path.startswith("http") else f"{self._home}/api/v1/{path}"
        for attempt in range(self._retries + 1):
            wait = 2**attempt / 4
            try:
                answer = self._session.request(method, address, timeout=self._timeout, **how)
            except (requests.ConnectionError, requests.Timeout):
                if attempt == self._retries:
                    raise
            else:
                if answer.ok:
                    return answer
                again = answer.status_code in AGAIN or "Retry-After" in answer.headers
                if not again or attempt == self._retries:
                    raise _error_of(answer)
                wait = _told(answer.headers.get("Retry-After", ""), wait)
            sleep(wait)
        raise AssertionError("the last attempt returns or raises")


def _told(after: str, wait: float) -> float:
    """The seconds of a Retry-After, which may be a date; `wait` where it says nothing."""
    try:
        if after.strip().isdecimal():
            return float(after)
        return max(0.0, parsedate_to_datetime(after).timestamp() - time())
    except (TypeError, ValueError):
        return wait


def _error_of(answer: requests.Response) -> DadcError:
    try:
        error = answer.json()["error"]
    except (ValueError, KeyError, TypeError):
        error = {"code": "error", "message": answer.text[:200] or answer.reason}
    return DadcError(error["code"], error["message"], answer.status_code, error.get("fields", {}))


def _without_none(**values: Json) -> dict[str, Json]:
    return {name: value for name, value in values.items() if value is not None}


def _is_of(name: str, rounds: Collection[int]) -> bool:
    """Whether a file belongs to these rounds, or to all but for the logs and the README of all."""
    if name.startswith("data/"):
        return name.endswith(tuple(f"-round-{number}.parquet" for number in rounds))
    return name != "README.md" and not name.endswith(".jsonl")


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while piece := file.read(1 << 20):
            digest.update(piece)
    return digest.hexdigest()


def _sendable(path: Path) -> tuple[str, bytes]:
    """A file with its suffix, or a folder's files as a zip: the same files are the same bytes."""
    if not path.is_dir():
        return path.suffix, path.read_bytes()
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as out:
        for one in sorted(path.iterdir()):
            if one.is_file():
                out.writestr(zipfile.ZipInfo(one.name), one.read_bytes(), zipfile.ZIP_DEFLATED)
    return ".folder", stream.getvalue()
