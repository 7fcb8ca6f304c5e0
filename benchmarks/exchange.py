"""Two servers of ours pay each other's workers: `python -m benchmarks.exchange [--times N]`.

Each is a study whose workers the other one's market sends, in the form of a HIT's link. A market is
a clerk's office: it gives out assignments, takes the forms that workers' browsers send, writes the
file of results, pays what the study's pay file says, and reports back. All of it goes by addresses,
files and commands, as it would between two institutes. At the end what each market has paid is what
the other's ledger says, to the cent.
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
from benchmarks.servers import World, ours

FILE = """
slug: exchange
task: digits
platform: hit
places: {places}
visit: {{examples: 2}}
pay: {{base: "1.00", screen_out: "0.10", currency: USD, minimum_hourly: "12.00"}}
expected: {{minutes: 3}}
check: [{{question: What do you do, choices: [Sleep, Fool it], answer: Fool it}}]
return_to: {address}
"""


class Market:
    """Where a server's workers come from: who was sent, who sent a form back, who was paid."""

    def __init__(self, name: str) -> None:
        self.name, self.forms, self.paid = name, {}, Counter[str]()
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
            self.paid[row["WorkerId"]] += round(float(row["amount"]) * 100)
            answers.append(f"{row['payment']},confirmed")
        file.rename(file.with_suffix(".paid"))
        return "\r\n".join(answers) + "\r\n"


def _post(address: str, said: dict[str, str]) -> str:
    body = urllib.parse.urlencode(said).encode()
    with urllib.request.urlopen(urllib.request.Request(address, body), timeout=60) as answer:
        return str(answer.read().decode())


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
    for label, png in drawings:
        body = {"client_id": str(uuid.uuid4()), "input": {"png": png}, "label": label}
        headers = {"Authorization": f"Visit {token[1]}", "Content-Type": "application/json"}
        address = f"{study.server.url}/api/v1/tasks/digits/examples/"
        request = urllib.request.Request(address, json.dumps(body).encode(), headers)
        urllib.request.urlopen(request, timeout=60).close()
    if len(drawings) == 1:
        _post(link, {"act": "leave", "token": token[1]})
        return
    if drawings:
        page = _post(link, {"act": "finish", "token": token[1]})
    form = re.search(r'<form method="post" action="([^"]+)">', page)
    assert form, page
    fields = re.findall(r'<input type="hidden" name="([^"]+)" value="([^"]*)">', page)
    _post(html.unescape(form[1]), {name: html.unescape(text) for name, text in fields})


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
    results = Path(study.data) / "results.csv"
    results.write_text(market.results())
    sent = _manage(study, "pay", "exchange", "--results", str(results))
    assert _manage(study, "pay", "exchange")["files"] == [], "nothing is sent twice"
    results.write_text(market.pay(Path(sent["files"][0])))
    summary = _manage(study, "pay", "exchange", "--results", str(results))
    assert (summary["payments"], summary["files"]) == (0, [])
    paid = sum(market.paid.values())
    assert (summary["sent"], summary["confirmed"]) == (0, paid), (summary, market.paid)
    seconds = time.perf_counter() - began
    return (
        f"| {market.name}'s workers | {times} came, {len(market.forms)} forms "
        f"| {sent['payments']} payments, {paid / 100:.2f} paid, "
        f"{summary['confirmed'] / 100:.2f} confirmed | {seconds:.0f} s |"
    )


def _manage(study: World, *arguments: str) -> dict[str, Any]:
    done = study.manage(*arguments, "--json")
    assert not done.returncode, done.stderr
    said: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return said


def main(times: int) -> None:
    with ours() as one, ours() as other:
        for name, study in (("one", other), ("other", one)):
            print(run(study, Market(name), times), flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m benchmarks.exchange", description=__doc__)
    parser.add_argument("--times", type=int, default=20)
    main(parser.parse_args().times)
