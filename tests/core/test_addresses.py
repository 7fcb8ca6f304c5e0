"""One answer to where somebody comes from, for requests and websockets alike."""

from __future__ import annotations

import pytest
from django.test import RequestFactory

from accounts.adapters import AccountAdapter
from core.addresses import address_of

SEEN = [
    ("192.0.2.7", "192.0.2.7"),
    ("::ffff:192.0.2.7", "192.0.2.7"),
    ("2001:db8:1:2:aaaa::1", "2001:db8:1:2::/64"),
    ("2001:db8:1:2:bbbb::9", "2001:db8:1:2::/64"),
    ("2001:db8:1:3::1", "2001:db8:1:3::/64"),
    ("testclient", "testclient"),
    ("", ""),
]


@pytest.mark.parametrize(("seen", "address"), SEEN)
def test_requests_and_websockets_have_one_address(seen: str, address: str) -> None:
    assert address_of(RequestFactory(REMOTE_ADDR=seen).get("/")) == address
    assert address_of({"type": "websocket", "client": (seen, 1)}) == address


def test_a_client_without_an_address_has_none() -> None:
    assert address_of({"type": "websocket", "client": None}) == ""
    assert address_of({"type": "websocket"}) == ""


def test_what_a_client_says_of_itself_is_not_read() -> None:
    request = RequestFactory(
        REMOTE_ADDR="192.0.2.7",
        HTTP_X_FORWARDED_FOR="198.51.100.1",
        HTTP_X_REAL_IP="198.51.100.1",
        HTTP_FORWARDED="for=198.51.100.1",
    ).get("/")

    assert address_of(request) == "192.0.2.7"
    assert AccountAdapter(request).get_client_ip(request) == "192.0.2.7", "attempts to sign in"
