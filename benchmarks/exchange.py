"""Two servers of ours pay each other's workers: `python -m benchmarks.exchange [--times N]`.

Each is a study whose workers the other one's market sends, in the form of a HIT's link. A market is
a clerk's office: it gives out assignments, takes the forms that workers' browsers send, writes the
file of results, pays what the study's pay files say, and reports back. Workers draw and validate
each other's drawings, so that foolings are confirmed and right answers paid as bonuses. All of it
goes by addresses, files and commands, as it would between two institutes. At the end each worker
was paid what they are known here to have earned, and the other's ledger says the same, to the cent.
"""

from __future__ import annotations

import argparse
import csv
import html
import io
import json
import re
import threading
import time
import urllib.parse
import urllib.request
import uuid
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from benchmarks.drawings import take
from benchmarks.predict import QUIET
from benchmarks.servers import World, ours

FILE = """
slug: exchange
task: digits
platform: hit
work: both
places: {places}
visit: {{examples: 2}}
pay: {{base: "1.00", per_verified: "0.20", per_validation: "0.05", screen_out: "0.10",
      currency: USD, minimum_hourly: "12.00"}}
expected: {{minutes: 3}}
check: [{{question: What do you do, choices: [Sleep, Fool it], answer: Fool it}}]
return_to: {address}
"""


class Market:
    """Where a server's workers come from: who sent a form back, who was paid, and what they made:
    `claims` by example, `votes` of each worker."""

    def __init__(self, name: str) -> None:
        self.name, self.forms, self.paid = name, {}, Counter[str]()
        self.claims: dict[str, tuple[str, str]] = {}  # who made an example, and its label
        self.votes: list[tuple[str, str, str]] = []  # worker, example, label
        self.kinds = Counter[str]()
        forms: dict[str, str] = self.forms  # the code of each assignment

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"])).decode()
                said = dict(urllib.parse.parse_qsl(body))
                if self.path == "/mturk/externalSubmit" and said.get("assignmentId"):
                    forms[said["assignmentId"]] = said["code"]
                self.send_response(200)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: Any) -> None: ...

        self.office = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.office.serve_forever, daemon=True).start()

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.office.server_address[1]}"

    def results(self) -> str:
        """Who sent a form is approved."""
        rows = ["AssignmentId,WorkerId,code,AssignmentStatus"]
        rows += [f"{one},{one[2:]},{code},Approved" for one, code in self.forms.items()]
        return "\r\n".join(rows) + "\r\n"

    def pay(self, file: Path) -> str:
        """Pay each line, once, and say so."""
        answers = ["payment,state"]
        for row in csv.DictReader(io.StringIO(file.read_text(encoding="utf-8-sig"))):
            assert self.forms[row["AssignmentId"]], "only who has sent a form"
            cents = round(float(row["amount"]) * 100)
            self.paid[row["WorkerId"]] += cents
            self.kinds[row["kind"]] += cents
            answers.append(f"{row['payment']},confirmed")
        file.rename(file.with_suffix(".paid"))
        return "\r\n".join(answers) + "\r\n"


def _post(address: str, said: dict[str, str], **headers: str) -> str:
    body = urllib.parse.urlencode(said).encode()
    request = urllib.request.Request(address, body, headers)
    with urllib.request.urlopen(request, timeout=60) as answer:
        return str(answer.read().decode())


def _call(study: World, path: str, body: Any = None, **headers: str) -> Any:
    """A call of the API: with a body it is a POST."""
    sent = None if body is None else json.dumps(body).encode()
    headers |= {"Content-Type": "application/json"}
    request = urllib.request.Request(f"{study.server.url}/api/v1/{path}", sent, headers)
    with urllib.request.urlopen(request, timeout=60) as answer:
        return json.loads(answer.read() or b"null")


def work(study: World, market: Market, worker: str, *, drawings: list[tuple[str, str]]) -> None:
    """One worker's way, from the market's link to its form; one without drawings fails the check,
    one with a single drawing leaves."""
    query = {"assignmentId": f"A-{worker}", "hitId": "H", "workerId": worker}
    query["turkSubmitTo"] = market.address
    link = f"{study.server.url}/hit/exchange/?{urllib.parse.urlencode(query)}"
    with urllib.request.urlopen(link, timeout=60) as answer:
        consent = re.search(r'name="consent" value="([^"]+)"', answer.read().decode())
    assert consent
    page = _post(link, {"act": "begin", "consent": consent[1]})
    for _ in range(1 if drawings else 2):
        token = re.search(r'name="token" value="([^"]+)"', page)
        assert token, page
        said = "Fool it" if drawings else "Sleep"
        page = _post(link, {"act": "check", "token": token[1], "q0": said})
    make(study, market, worker, drawings, f"Visit {token[1]}")
    if len(drawings) == 1:
        _post(link, {"act": "leave", "token": token[1]})
        return
    if drawings:
        judge(study, market, worker, f"Visit {token[1]}")
        page = _post(link, {"act": "finish", "token": token[1]})
    form = re.search(r'<form method="post" action="([^"]+)">', page)
    assert form, page
    fields = re.findall(r'<input type="hidden" name="([^"]+)" value="([^"]*)">', page)
    _post(html.unescape(form[1]), {name: html.unescape(text) for name, text in fields})


def make(
    study: World, market: Market, worker: str, drawings: list[tuple[str, str]], visit: str
) -> None:
    """Send drawings, the second one under another label than the model's: it is fooled."""
    for n, (label, png) in enumerate(drawings):
        said: dict[str, Any] = {"input": {"png": png}}
        if n:
            model = _call(study, "tasks/digits/predictions/", said, Authorization=visit)
            label = str((int(model["prediction"]) + 1) % 10)
        said |= {"client_id": str(uuid.uuid4()), "label": label}
        made = _call(study, "tasks/digits/examples/", said, Authorization=visit)
        market.claims[made["id"]] = worker, label


def judge(study: World, market: Market, worker: str, visit: str) -> None:
    """Answer two items if there are so many, as their authors meant them; one of ten errs."""
    item = _call(study, "tasks/digits/validations/next/", {}, Authorization=visit)
    for _ in range(2):
        if not item:
            return
        label = market.claims[item["example"]][1]
        if worker.endswith("5"):
            label = str((int(label) + 1) % 10)
        market.votes.append((worker, item["example"], label))
        path = f"validations/{item['lease']}/vote/"
        item = _call(study, path, {"label": label}, Authorization=visit)["next"]


def earned(study: World, market: Market, times: int) -> Counter[str]:
    """What each worker is owed, by what they did and what the study's API says became of it."""
    path = f"examples/?task=digits&mine=0&status=verified&page_size={2 * times}"
    verified = {
        one["id"]: one["fooled"]
        for one in _call(study, path, Cookie=study.sessions["owner"][0])["results"]
    }
    owed = Counter({one[2:]: 100 if one[2:] in _whole(market) else 10 for one in market.forms})
    for example, (worker, _) in market.claims.items():
        if worker in _whole(market) and verified.get(example):
            owed[worker] += 20
    for worker, example, label in market.votes:
        if example in verified and label == market.claims[example][1]:
            owed[worker] += 5
    return owed


def _whole(market: Market) -> set[str]:
    """Who made something and sent a form."""
    return {worker for worker, _ in market.claims.values() if f"A-{worker}" in market.forms}


def run(study: World, market: Market, times: int) -> str:
    """All workers of a market at a study, and all the money's way back; returns a table's row."""
    began = time.perf_counter()
    file = Path(study.data) / "exchange.yaml"
    file.write_text(FILE.format(places=times, address=market.address))
    _manage(study, "load_campaign", str(file))
    drawings = take(0, 2 * times)
    for n in range(times):
        mine = drawings[2 * n : 2 * n + 2]
        # Of ten one is kept out by the check, and one leaves in the middle.
        part = {8: [], 9: mine[:1]}.get(n % 10, mine)
        work(study, market, f"{market.name}{n}", drawings=part)
    payments = _pay(study, market, market.results())
    # What right answers earn is owed when the campaign has ended.
    cookie = study.sessions["owner"][0]
    csrf = {"csrfmiddlewaretoken": cookie.rpartition("csrftoken=")[2]}
    page = f"{study.server.url}/tasks/digits/campaigns/exchange/"
    _post(page, {"act": "end", **csrf}, Cookie=cookie)
    payments += _pay(study, market, "payment,state\r\n")
    summary = _manage(study, "pay", "exchange")
    paid = sum(market.paid.values())
    assert (summary["payments"], summary["files"]) == (0, []), "nothing is sent twice"
    assert (summary["sent"], summary["confirmed"]) == (0, paid), (summary, market.paid)
    assert market.paid == earned(study, market, times), (market.paid, earned(study, market, times))
    seconds = time.perf_counter() - began
    return (
        f"| {market.name}'s workers | {times} came, {len(market.forms)} forms, "
        f"{len(market.votes)} votes | {payments} payments, {paid / 100:.2f} paid, of it "
        f"{market.kinds['bonus'] / 100:.2f} as bonuses, {summary['confirmed'] / 100:.2f} "
        f"confirmed | {seconds:.0f} s |"
    )


def _pay(study: World, market: Market, results: str) -> int:
    """Take a market's results in, have it pay what is owed then, and take its word in."""
    file = Path(study.data) / "results.csv"
    file.write_text(results)
    sent = _manage(study, "pay", "exchange", "--results", str(file))
    assert _manage(study, "pay", "exchange")["files"] == [], "nothing is sent twice"
    file.write_text(market.pay(Path(sent["files"][0])))
    summary = _manage(study, "pay", "exchange", "--results", str(file))
    assert (summary["payments"], summary["files"]) == (0, [])
    return int(sent["payments"])


def _manage(study: World, *arguments: str) -> dict[str, Any]:
    done = study.manage(*arguments, "--json")
    assert not done.returncode, done.stderr
    said: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return said


def main(times: int) -> None:
    spec = {"task": QUIET, "owners": 1}
    with ours(**spec) as one, ours(**spec) as other:
        for name, study in (("one", other), ("other", one)):
            print(run(study, Market(name), times), flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m benchmarks.exchange", description=__doc__)
    parser.add_argument("--times", type=int, default=20)
    main(parser.parse_args().times)
