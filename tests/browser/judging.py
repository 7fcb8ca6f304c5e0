"""What a validator does on their page."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from playwright.sync_api import Locator, Page, Response, expect

BOUNCE_MS = 400  # longer than the page takes the same answer for a key that bounced


def open_queue(page: Page, slug: str) -> None:
    page.goto(f"/validate/{slug}/")
    shown(page)


def shown(page: Page) -> str:
    """What is to be judged, once it is there."""
    expect(page.locator("[data-part=desk]:not([aria-busy]) [data-part=judged]")).to_be_visible()
    return page.locator("[data-part=input]").inner_html()


def press_and_see_the_next(page: Page, key: str) -> None:
    before = shown(page)
    page.keyboard.press(key)
    page.wait_for_function(
        "before => document.querySelector('[data-part=input]').innerHTML !== before", arg=before
    )


def progress(page: Page, slug: str) -> dict[str, int]:
    answer = page.request.get(f"/api/v1/tasks/{slug}/validations/progress/")
    counts: dict[str, int] = answer.json()
    return counts


def eventually(page: Page, happens: Callable[[], bool]) -> None:
    """Wait for what the page has set going and shows no sign of."""
    for _ in range(100):
        if happens():
            return
        page.wait_for_timeout(100)
    raise AssertionError("It did not happen.")


def count(page: Page, name: str) -> Locator:
    return page.locator(f"[data-progress={name}]")


def said(page: Page) -> Locator:
    return page.locator("[data-part=said]")


def over(page: Page) -> Locator:
    """The heading that says why there is nothing to judge."""
    return page.locator("[data-part=empty-title]")


def post(page: Page, path: str, data: dict[str, Any] | None = None) -> int:
    """Call the API past the page, as the person whose page it is; the status."""
    token = page.evaluate("JSON.parse(document.getElementById('page-data').textContent).csrfToken")
    answer = page.request.post(
        f"/api/v1/{path}", headers={"X-CSRFToken": token, "Referer": page.url}, data=data or {}
    )
    return answer.status


class Leases:
    """Which lease each picture came under, as the server told this page."""

    def __init__(self, page: Page) -> None:
        self._by_picture: dict[str, str] = {}
        self._page = page
        page.on("response", self._note)

    def _note(self, response: Response) -> None:
        if "/validations/" in response.url and response.status == 200:
            body = response.json()
            item = body if "lease" in body else body.get("next")
            if item:
                self._by_picture[item["input"]["png"]] = item["lease"]

    def of_the_shown(self) -> str:
        source = self._page.locator("[data-part=input] img").get_attribute("src") or ""
        return self._by_picture[source.split(",")[1]]
