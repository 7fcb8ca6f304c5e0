"""Accounts and curation in a real browser: somebody comes, an owner hides what they made."""

from __future__ import annotations

import uuid

import pytest
from playwright.sync_api import Page, expect

from kinds.image.tests.drawing import draw_strokes, four
from tests.browser.annotating import open_task, submit
from tests.browser.fixtures import PHONE, Visits, violations
from tests.cast import PASSWORD

pytestmark = pytest.mark.browser


def harmless(page: Page, visit: Visits) -> None:
    """Nothing serious by axe's rules, and nothing wider than the screen."""
    before = list(visit.complaints)
    assert violations(page) == [], page.url
    visit.complaints[:] = before  # axe tries styles of its own, which the policy refuses
    root = page.locator("html")
    assert root.evaluate("html => html.scrollWidth <= html.clientWidth"), page.url


def test_signing_up_on_a_phone_and_leaving_again(visit: Visits) -> None:
    page = visit(**PHONE, color_scheme="dark")
    page.goto("/")
    page.get_by_role("link", name="Sign up").first.click()
    harmless(page, visit)
    name = f"nora-{uuid.uuid4().hex[:8]}"
    page.get_by_label("User name").fill(name)
    page.get_by_label("Password", exact=True).fill(PASSWORD)
    page.get_by_label("The same again").fill(PASSWORD)
    page.get_by_role("button", name="Sign up").click()
    page.get_by_label(f"Account of {name}").wait_for()
    page.context.clear_cookies()
    page.goto("/accounts/login/")
    page.locator("input[name=login]").fill(name)
    page.locator("input[name=password]").fill(PASSWORD)
    page.locator("main form button[type=submit]").first.click()

    page.get_by_label(f"Account of {name}").click()
    page.get_by_role("link", name="Account", exact=True).click()
    harmless(page, visit)
    page.get_by_role("button", name="Make a token").click()
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Go on").click()
    assert len(page.get_by_label("Token").input_value()) == 64
    harmless(page, visit)
    page.get_by_role("link", name="I have copied it").click()
    expect(page.get_by_role("button", name="Revoke")).to_be_visible()
    page.get_by_role("link", name="Add a second factor").click()
    harmless(page, visit)
    page.get_by_role("link", name="Set up").click()
    expect(page.get_by_alt_text("QR code")).to_be_visible()
    harmless(page, visit)

    page.goto("/accounts/me/")
    page.get_by_role("link", name="Close my account").click()
    harmless(page, visit)
    page.get_by_label("Your password").fill(PASSWORD)
    page.get_by_role("button", name="Close my account").click()
    expect(page.get_by_text("Your account is closed")).to_be_visible()


def test_an_owner_hides_an_example_and_says_why(visit: Visits) -> None:
    author = visit("bert")
    open_task(author)
    draw_strokes(author, *four())
    author.locator("input[name=label][value='4']").check()
    submit(author)

    page = visit("olive")
    page.goto("/admin/")
    harmless(page, visit)
    page.get_by_role("link", name="Examples").click()
    page.get_by_label("Search").fill("bert")
    with page.expect_navigation():  # or the page that is left is looked at, half gone
        page.get_by_role("button", name="Search").click()
    harmless(page, visit)
    with page.expect_navigation():
        page.locator("#result_list tbody tr a").first.click()
    harmless(page, visit)
    about = page.url
    with page.expect_navigation():
        page.get_by_role("link", name="Decide on it in the inbox").click()
    harmless(page, visit)
    page.get_by_label("Why?").fill("a test")
    page.get_by_role("button", name="Hide").click()
    expect(page.get_by_role("button", name="Restore")).to_be_visible()
    page.goto(about)
    expect(page.get_by_role("cell", name="a test")).to_be_visible()
