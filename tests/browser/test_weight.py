"""A first visit is light: what the browser fetches without a cache, as it travels."""

from __future__ import annotations

import pytest
from playwright.sync_api import Page

from tests.browser.fixtures import Visits

pytestmark = pytest.mark.browser

MOST_BYTES = 150_000


def fetched_by(page: Page, path: str) -> dict[str, int]:
    """Bytes on the wire of every answer, heads included, by path; websockets aside."""
    network = page.context.new_cdp_session(page)
    network.send("Network.enable")
    network.send("Network.setCacheDisabled", {"cacheDisabled": True})
    paths: dict[str, str] = {}
    sizes: dict[str, int] = {}
    network.on(
        "Network.responseReceived",
        lambda event: paths.update({event["requestId"]: event["response"]["url"]}),
    )
    network.on(
        "Network.loadingFinished",
        lambda event: sizes.update({event["requestId"]: event["encodedDataLength"]}),
    )
    page.goto(path, wait_until="networkidle")
    network.detach()
    return {paths[request]: int(size) for request, size in sizes.items() if request in paths}


@pytest.mark.parametrize("path", ["/", "/tasks/digits/"])
def test_a_first_page_weighs_little(visit: Visits, path: str) -> None:
    sizes = fetched_by(visit(), path)
    assert any("dadc" in url for url in sizes), "the style sheet was counted"
    assert sum(sizes.values()) <= MOST_BYTES, sizes
