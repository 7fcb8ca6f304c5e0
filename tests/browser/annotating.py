"""What an annotator does on any task's page."""

from __future__ import annotations

from playwright.sync_api import Page, expect

TASK = "/tasks/digits/"


def open_task(page: Page, path: str = TASK) -> None:
    page.goto(path)
    connected(page)


def connected(page: Page, how: str = "live") -> None:
    expect(page.locator(f"html[data-connection={how}]")).to_be_attached()


def reading(page: Page) -> str:
    """What the model reads, once it has answered to the drawing as it is now."""
    expect(page.locator("[data-part=readout]")).to_have_attribute("aria-busy", "false")
    answer = page.locator("[data-part=answer]")
    expect(answer).not_to_have_text("–")
    return answer.inner_text()


def choose(page: Page, label: str) -> None:
    page.locator(f"input[name=label][value='{label}']").check(force=True)


def submit(page: Page) -> None:
    page.get_by_role("button", name="Submit").click()


def verdict(page: Page, title: str) -> None:
    expect(page.locator("[data-verdict=title]")).to_contain_text(title)


def shown_in_own_work(page: Page) -> int:
    page.goto("/me/work/")
    return page.locator(".work__item").count()
