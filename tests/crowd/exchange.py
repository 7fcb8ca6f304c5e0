"""Workers of a market of HITs who come to a study of ours and are paid for it, by addresses alone.

The market (tests.crowd.market) and the study are programs of their own, and neither knows the
other's insides: whoever plays a worker or an owner here goes by pages, forms and files. Workers
draw and validate each other's drawings, so that foolings are confirmed and right answers paid as
bonuses; who is kept out by the check, or leaves, returns what they had. At the end each was paid
what they are known here to have earned, the study's ledger says the same, to the cent, and asked
again nothing is sent twice.
"""

from __future__ import annotations

import html
import json
import re
import subprocess
import sys
import time
import urllib.parse
import urllib.request
import uuid
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from dadc_server.serve import tied_to_this_process

PROJECT = Path(__file__).resolve().parents[2]
FILE = """
slug: exchange
task: {task}
platform: hit
work: both
places: {places}
visit: {{examples: 2}}
pay: {{base: "1.00", per_verified: "0.20", per_validation: "0.05", screen_out: "0.10",
      currency: USD, minimum_hourly: "12.00"}}
expected: {{minutes: 3}}
check: [{{question: What do you do, choices: [Sleep, Fool it], answer: Fool it}}]
return_to: {market}
"""
Drawing = tuple[str, dict[str, Any]]  # its label, and the input


@contextmanager
def market() -> Iterator[str]:
    """The address of a market, until the block ends."""
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.crowd.market"],
        cwd=PROJECT,
        stdout=subprocess.PIPE,
        text=True,
        preexec_fn=tied_to_this_process(),
    )
    try:
        assert process.stdout
        yield process.stdout.readline().strip()
    finally:
        process.kill()
        process.communicate()


@dataclass
class Exchange:
    """A study, its market, and what the people in it did: `claims` by example, `votes`."""

    study: str
    market: str
    task: str
    cookie: str  # of the study's owner
    hit: str = ""
    claims: dict[str, tuple[str, str]] = field(default_factory=dict)  # worker, label
    votes: list[tuple[str, str, str]] = field(default_factory=list)  # worker, example, label
    base: Counter[str] = field(default_factory=Counter[str])  # of who came to an end

    # --- the study's owner ------------------------------------------------------------------------
    @property
    def page(self) -> str:
        return f"{self.study}/tasks/{self.task}/campaigns/"

    def act(self, act: str, *, file: str | None = None, page: str = "exchange/") -> str:
        """Press a button of the owner's page, with a file where it takes one."""
        mark = uuid.uuid4().hex
        said = {"csrfmiddlewaretoken": self.cookie.rpartition("csrftoken=")[2], "act": act}
        parts = [(f'name="{name}"', text) for name, text in said.items()]
        parts += [] if file is None else [('name="file"; filename="file"', file)]
        body = "".join(
            f"--{mark}\r\nContent-Disposition: form-data; {name}\r\n\r\n{text}\r\n"
            for name, text in parts
        )
        kind = f"multipart/form-data; boundary={mark}"
        headers = {"Content-Type": kind, "Cookie": self.cookie}
        shown = _send(f"{self.page}{page}", f"{body}--{mark}--\r\n", headers)
        refused = re.search(r'notice--bad"><p>([^<]+)|role="alert">([^<]+)', shown)
        assert refused is None, refused[0]
        return shown

    def begin(self, places: int) -> None:
        """Load the campaign's file, and put its one link up on the market."""
        file = FILE.format(task=self.task, places=places, market=self.market)
        shown = self.act("load", file=file, page="")
        link = re.search(r"<textarea[^>]*>(http\S+)", shown)
        assert link, shown
        said = {"link": html.unescape(link[1]), "assignments": places}
        self.hit = _post(f"{self.market}/hits", said)

    def settle(self) -> int:
        """Take the market's results in, have it pay what is owed then, and take its word in."""
        self.act("results", file=_get(f"{self.market}/results.csv"))
        paid = 0
        for _ in range(2):  # the second finds nothing more
            self.act("pay")
            shown = _get(f"{self.page}exchange/", Cookie=self.cookie)
            for path in re.findall(r'href="([^"]+/pay/[^"]+\.csv)"', shown):
                lines = _get(f"{self.study}{path}", Cookie=self.cookie)
                answers = _send(f"{self.market}/pay", lines)
                assert _send(f"{self.market}/pay", lines) == answers, "a line is paid once"
                assert "failed" not in answers, answers
                self.act("results", file=answers)
                paid += answers.count("confirmed")
        return paid

    def booked(self) -> Counter[str]:
        """What the study's statement says of each state."""
        text = _get(f"{self.page}exchange/statement.csv", Cookie=self.cookie)
        sums = Counter[str]()
        for line in text.splitlines()[1:]:
            *_, amount, _, state, _ = line.split(",")
            sums[state] += int(amount.replace(".", ""))
        return sums

    # --- workers ----------------------------------------------------------------------------------
    def work(self, worker: str, drawings: Sequence[Drawing]) -> None:
        """One worker's way, from the market's page to its form; one without drawings fails the
        check, one with a single drawing leaves."""
        page = _post(f"{self.market}/accept", {"hit": self.hit, "worker": worker})
        framed = re.search(r'<iframe src="([^"]+)"', page)
        assert framed, page
        link = html.unescape(framed[1])
        consent = re.search(r'name="consent" value="([^"]+)"', _get(link))
        assert consent
        page = _post(link, {"act": "begin", "consent": consent[1]})
        found = re.search(r'name="token" value="([^"]+)"', page)
        assert found, page
        token, visit = found[1], f"Visit {found[1]}"
        for _ in range(1 if drawings else 2):
            said = "Fool it" if drawings else "Sleep"
            page = _post(link, {"act": "check", "token": token, "q0": said})
        self.make(worker, drawings, visit)
        if len(drawings) == 2:
            self.judge(worker, visit)
            page = _post(link, {"act": "finish", "token": token})
            form = re.search(r'<form method="post" action="([^"]+)">', page)
            assert form, page
            fields = re.findall(r'<input type="hidden" name="([^"]+)" value="([^"]*)">', page)
            _post(html.unescape(form[1]), {name: html.unescape(text) for name, text in fields})
            self.base[worker] = 100
            return
        if drawings:
            _post(link, {"act": "leave", "token": token})
        else:
            assert "Return it on the platform" in page
            self.base[worker] = 10
        query = dict(urllib.parse.parse_qsl(urllib.parse.urlsplit(link).query))
        _post(f"{self.market}/return", {"assignment": query["assignmentId"], "worker": worker})

    def make(self, worker: str, drawings: Sequence[Drawing], visit: str) -> None:
        """Send drawings, the second one under another label than the model's: it is fooled."""
        for n, (label, drawing) in enumerate(drawings):
            said: dict[str, Any] = {"input": drawing}
            if n:
                model = self.call(f"tasks/{self.task}/predictions/", said, Authorization=visit)
                label = str((int(model["prediction"]) + 1) % 10)
            said |= {"client_id": str(uuid.uuid4()), "label": label}
            made = self.call(f"tasks/{self.task}/examples/", said, Authorization=visit)
            self.claims[made["id"]] = worker, label

    def judge(self, worker: str, visit: str) -> None:
        """Answer two items if there are so many, as their authors meant them; one of ten errs."""
        item = self.call(f"tasks/{self.task}/validations/next/", {}, Authorization=visit)
        for _ in range(2):
            if not item:
                return
            label = self.claims[item["example"]][1]
            if worker.endswith("5"):
                label = str((int(label) + 1) % 10)
            self.votes.append((worker, item["example"], label))
            path = f"validations/{item['lease']}/vote/"
            item = self.call(path, {"label": label}, Authorization=visit)["next"]

    def earned(self) -> Counter[str]:
        """What each worker is owed, by what they did and what the study's API says became of it."""
        path = f"examples/?task={self.task}&mine=0&status=verified&page_size={len(self.claims)}"
        verified = {
            one["id"]: one["fooled"] for one in self.call(path, Cookie=self.cookie)["results"]
        }
        owed = Counter(self.base)
        for example, (worker, _) in self.claims.items():
            owed[worker] += 20 * (self.base[worker] == 100 and verified.get(example, False))
        for worker, example, label in self.votes:
            owed[worker] += 5 * (example in verified and label == self.claims[example][1])
        return +owed

    def call(self, path: str, body: Any = None, **headers: str) -> Any:
        """A call of the API: with a body it is a POST."""
        headers |= {"Content-Type": "application/json"}
        said = None if body is None else json.dumps(body)
        return json.loads(_send(f"{self.study}/api/v1/{path}", said, headers) or "null")


def _send(address: str, body: str | None = None, headers: dict[str, str] | None = None) -> str:
    sent = None if body is None else body.encode()
    with urllib.request.urlopen(
        urllib.request.Request(address, sent, headers or {}), timeout=60
    ) as answer:
        return str(answer.read().decode())


def _get(address: str, **headers: str) -> str:
    return _send(address, None, headers)


def _post(address: str, said: dict[str, Any]) -> str:
    return _send(address, urllib.parse.urlencode(said))


def run(exchange: Exchange, drawings: Sequence[Sequence[Drawing]]) -> str:
    """All workers of a market at a study, and all the money's way back; returns a table's row.

    There is one assignment more than workers who finish: what is returned goes to another one.
    """
    began = time.perf_counter()
    exchange.begin(1 + sum(len(mine) == 2 for mine in drawings))
    for n, mine in enumerate(drawings):
        exchange.work(f"W{n}", mine)
    payments = exchange.settle()
    exchange.act("end")  # what right answers earn is owed then
    payments += exchange.settle()
    paid = Counter(json.loads(_get(f"{exchange.market}/paid")))
    assert paid == exchange.earned(), (paid, exchange.earned())
    booked = exchange.booked()
    assert booked == {"confirmed": paid.total()}, (booked, paid)
    bonuses = paid.total() - 100 * sum(base == 100 for base in exchange.base.values())
    return (
        f"{len(drawings)} came, {len(exchange.votes)} votes | {payments} payments, "
        f"{paid.total() / 100:.2f} paid and confirmed, of it {bonuses / 100:.2f} as bonuses | "
        f"{time.perf_counter() - began:.0f} s"
    )
