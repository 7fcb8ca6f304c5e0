"""A market of HITs, a program of its own: `python -m tests.crowd.market` prints its address.

A requester puts a link up, with so many assignments. A worker accepts one and gets a page that
frames the link, with who they are filled in; their own browser posts the form at its end to
`/mturk/externalSubmit`, or they return it, and the same assignment goes to the next. The requester
takes a file of results away, and brings pay files, each line of which is paid once by the
payment's name and answered. It knows no server of ours: nothing is imported from there.
"""

from __future__ import annotations

import csv
import html
import io
import json
import re
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import count
from threading import Lock
from typing import Any
from urllib.parse import parse_qsl, urlencode

AMOUNT = re.compile(r"[0-9]{1,6}\.[0-9]{2}")


class Market:
    """What it knows: HITs by name with their free assignments, and each worker's part in them."""

    def __init__(self) -> None:
        self.lock, self.names = Lock(), count(1)
        self.links: dict[str, str] = {}
        self.free: dict[str, list[str]] = {}
        self.hits: dict[str, str] = {}  # of each assignment
        self.done: dict[tuple[str, str], tuple[str, str]] = {}  # state, code
        self.paid: dict[str, tuple[str, int]] = {}  # by the payment's name

    def put_up(self, link: str, assignments: int) -> str:
        hit = f"H{next(self.names)}"
        self.links[hit] = link
        self.free[hit] = [f"A{next(self.names)}" for _ in range(assignments)]
        self.hits |= dict.fromkeys(self.free[hit], hit)
        return hit

    def accept(self, hit: str, worker: str) -> str | None:
        """An assignment that the worker did not have before; None when there is none."""
        for assignment in self.free.get(hit, []):
            if (assignment, worker) not in self.done:
                self.free[hit].remove(assignment)
                self.done[assignment, worker] = "Accepted", ""
                return assignment
        return None

    def submit(self, said: dict[str, str]) -> bool:
        """Take a form, once: the assignment and one more field that has a value."""
        assignment = said.pop("assignmentId", "")
        for (one, worker), (state, _) in self.done.items():
            if one == assignment and state == "Accepted" and any(said.values()):
                self.done[one, worker] = "Approved", said.get("code", "")
                return True
        return False

    def give_back(self, assignment: str, worker: str) -> bool:
        if self.done.get((assignment, worker), ("",))[0] != "Accepted":
            return False
        self.done[assignment, worker] = "Returned", ""
        self.free[self.hits[assignment]].append(assignment)
        return True

    def results(self) -> str:
        rows = [
            [assignment, worker, code, state]
            for (assignment, worker), (state, code) in self.done.items()
            if state != "Accepted"
        ]
        return _csv([["AssignmentId", "WorkerId", "code", "AssignmentStatus"], *rows])

    def pay(self, text: str) -> str:
        """A reward is for who has sent a form; a bonus for whoever had the assignment."""
        answers = [["payment", "state"]]
        for row in csv.DictReader(io.StringIO(text, newline="")):
            state, _ = self.done.get((row["AssignmentId"], row["WorkerId"]), ("", ""))
            owed = state == "Approved" if row["kind"] == "reward" else bool(state)
            good = owed and row["currency"] == "USD" and AMOUNT.fullmatch(row["amount"])
            if good and row["payment"] not in self.paid:
                cents = int(row["amount"].replace(".", ""))
                self.paid[row["payment"]] = row["WorkerId"], cents
            answers.append([row["payment"], "confirmed" if good else "failed"])
        return _csv(answers)

    def sums(self) -> dict[str, int]:
        found = Counter[str]()
        for worker, cents in self.paid.values():
            found[worker] += cents
        return dict(found)


def _csv(rows: list[list[str]]) -> str:
    text = io.StringIO()
    csv.writer(text).writerows(rows)
    return text.getvalue()


class Office(BaseHTTPRequestHandler):
    market = Market()

    def do_GET(self) -> None:
        with self.market.lock:
            if self.path == "/results.csv":
                self.say(200, self.market.results(), "text/csv")
            elif self.path == "/paid":
                self.say(200, json.dumps(self.market.sums()), "application/json")
            else:
                self.say(404, "There is no such page.")

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"])).decode("utf-8-sig")
        said = {} if self.path == "/pay" else dict(parse_qsl(body))
        with self.market.lock:
            if self.path == "/pay":
                self.say(200, self.market.pay(body), "text/csv")
            elif self.path == "/hits":
                self.say(201, self.market.put_up(said["link"], int(said["assignments"])))
            elif self.path == "/accept":
                self.show(said["hit"], said["worker"])
            elif self.path == "/mturk/externalSubmit":
                taken = self.market.submit(said)
                self.say(200 if taken else 400, "Received." if taken else "This was not expected.")
            elif self.path == "/return":
                taken = self.market.give_back(said["assignment"], said["worker"])
                self.say(200 if taken else 400, "Returned." if taken else "It is not yours.")
            else:
                self.say(404, "There is no such page.")

    def show(self, hit: str, worker: str) -> None:
        """The worker's page, with the link in a frame."""
        assignment = self.market.accept(hit, worker)
        if assignment is None:
            self.say(409, "None is left.")
            return
        query = {"assignmentId": assignment, "hitId": hit, "workerId": worker}
        query["turkSubmitTo"] = f"http://{self.headers['Host']}/"
        source = html.escape(f"{self.market.links[hit]}?{urlencode(query)}")
        self.say(200, f'<!doctype html><title>HIT</title><iframe src="{source}"></iframe>')

    def say(self, status: int, text: str, kind: str = "text/html") -> None:
        sent = text.encode()
        self.send_response(status)
        self.send_header("Content-Type", f"{kind}; charset=utf-8")
        self.send_header("Content-Length", str(len(sent)))
        self.end_headers()
        self.wfile.write(sent)

    def log_message(self, *_: Any) -> None: ...


if __name__ == "__main__":
    office = ThreadingHTTPServer(("127.0.0.1", 0), Office)
    print(f"http://127.0.0.1:{office.server_address[1]}", flush=True)
    office.serve_forever()
