"""A study, and a market whose workers it pays: two programs that know each other by addresses."""

from __future__ import annotations

import pytest

from tests import cast
from tests.browser.fixtures import Server
from tests.crowd.exchange import Drawing, Exchange, market, run

pytestmark = [pytest.mark.browser, pytest.mark.slow]


def test_a_market_s_workers_are_paid_to_the_cent(server: Server) -> None:
    """Three who finish, one whom the check keeps out and one who leaves; `benchmarks.exchange` has
    two such servers pay each other's."""
    server.run("tests.browser.crowd_world", "exchange")
    cookie = f"sessionid={server.sessions['olive']}; csrftoken={'x' * 32}"
    pool: list[Drawing] = [("1", cast.drawing(seed)) for seed in range(7_000, 7_010)]
    with market() as address:
        exchange = Exchange(server.url, address, "exchange", cookie)
        run(exchange, [pool[:2], [], pool[2:3], pool[3:5], pool[5:7]])
    assert exchange.base == {"W0": 100, "W1": 10, "W3": 100, "W4": 100}
    assert exchange.votes
