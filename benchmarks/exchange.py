"""Two servers of ours pay each other's workers: `python -m benchmarks.exchange [--times N]`.

Each is a study, whose workers come from a market of HITs beside the other: four programs, which
know each other by addresses, forms and files alone (tests.crowd.exchange, tests.crowd.market).
"""

from __future__ import annotations

import argparse

from benchmarks.drawings import take
from benchmarks.predict import QUIET
from benchmarks.servers import ours
from tests.crowd.exchange import Drawing, Exchange, market, run


def main(times: int) -> None:
    pool: list[Drawing] = [(label, {"png": png}) for label, png in take(0, 2 * times)]
    # Of ten one is kept out by the check, and one leaves in the middle.
    counts = [{8: 0, 9: 1}.get(n % 10, 2) for n in range(times)]
    drawings = [pool[2 * n : 2 * n + count] for n, count in enumerate(counts)]
    with (
        ours(task=QUIET, owners=1) as one,
        ours(task=QUIET, owners=1) as other,
        market() as its,
        market() as theirs,
    ):
        for name, study, workers in (("one", other, its), ("other", one, theirs)):
            cookie = study.sessions["owner"][0]
            exchange = Exchange(study.server.url, workers, "digits", cookie)
            print(f"| {name}'s workers | {run(exchange, drawings)} |", flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m benchmarks.exchange", description=__doc__)
    parser.add_argument("--times", type=int, default=20)
    main(parser.parse_args().times)
