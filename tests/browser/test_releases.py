"""The owner's page of releases, from asking for one to the file on one's disk."""

from __future__ import annotations

import tarfile

import pytest
from playwright.sync_api import expect

from tests.browser.fixtures import Visits, violations

pytestmark = [pytest.mark.browser, pytest.mark.slow, pytest.mark.usefixtures("cases")]


def test_an_owner_asks_watches_and_downloads(visit: Visits) -> None:
    page = visit("olive")
    page.goto("/tasks/inbox-looks/inbox/")
    page.get_by_role("link", name="Releases").click()
    expect(page.get_by_role("heading", name="No version yet")).to_be_visible()
    page.get_by_label("Licence").fill("CC-BY-4.0")
    page.get_by_role("button", name="Make it").click()
    expect(page.get_by_text("1.0.0 waits for a worker")).to_be_visible()

    visit.server.run("django", "db_worker", "--batch", "--interval", "0")

    download = page.get_by_role("link", name="Download")
    expect(download).to_be_visible()
    assert violations(page) == []
    with page.expect_download() as started:
        download.click()
    with tarfile.open(started.value.path()) as tar:
        assert "inbox-looks-1.0.0/ledger.json" in tar.getnames()
    page.get_by_role("button", name="Open it to everybody").click()
    expect(page.get_by_text("for everybody", exact=True)).to_be_visible()
