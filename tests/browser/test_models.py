"""An owner registers a model in a real Chromium: refused first, mended, and then on its page."""

from __future__ import annotations

import pytest
from playwright.sync_api import expect

from tests.browser.fixtures import WIDE, Visits, violations

pytestmark = [pytest.mark.browser, pytest.mark.usefixtures("cases")]
HOME = "/tasks/inbox-looks/models/"


def test_a_bad_model_is_refused_with_why_and_the_mended_one_can_serve(visit: Visits) -> None:
    page = visit("olive", **WIDE)
    page.goto(HOME)
    expect(page.get_by_role("row")).to_have_count(5)
    file = page.get_by_label("Model file")
    # More than a request holds: it goes in pieces, and is still there when its words are mended.
    file.fill("name: large\nbackend: onnx\n")
    large = {"name": "net.onnx", "mimeType": "", "buffer": bytes(5 * 2**20)}
    page.get_by_label("Its file, where it has one").set_input_files(large)
    page.get_by_role("button", name="Check and register").click()
    expect(page.get_by_role("alert")).to_contain_text("ONNX Runtime cannot run")
    expect(page.get_by_text("What you sent is still here")).to_be_visible()
    assert violations(page) == []
    visit.forgive("400")
    page.goto(HOME)
    file.fill("name: second\nbackend: null\nlabels: ['0', '1']\n")
    page.get_by_role("button", name="Check and register").click()
    expect(page.get_by_role("alert")).to_contain_text("lacks 2, 3, 4")
    expect(file).to_have_value("name: second\nbackend: null\nlabels: ['0', '1']\n")
    assert violations(page) == []
    visit.forgive("400")
    file.fill("name: second\nbackend: null\ncard: {description: A coin with ten sides.}\n")
    page.get_by_role("button", name="Check and register").click()
    expect(page.get_by_role("heading", name="second", exact=True)).to_be_visible()
    expect(page.get_by_text("passed its check")).to_be_visible()
    expect(page.get_by_text("A coin with ten sides.")).to_be_visible()
    expect(page.get_by_text("Nobody has tried it yet")).to_be_visible()
    assert violations(page) == []
    page.get_by_role("link", name="Open a round with it").click()
    expect(page.get_by_role("heading", name="Promote second?")).to_be_visible()
    page.get_by_label("Why?").fill("To compare them.")
    page.get_by_label("all of them at once").check()
    page.get_by_label("so many of them must be fooled").select_option("1")
    assert violations(page) == []
    page.get_by_role("button", name="Promote").click()
    expect(page.get_by_text("is open with second")).to_be_visible()
    page.goto("/tasks/inbox-looks/rounds/2/")
    expect(page.get_by_text("of which 1 must be fooled")).to_be_visible()
    page.goto(f"{HOME}1/")
    expect(page.get_by_role("row", name="it said instead")).to_be_visible()
    assert violations(page) == []
    page.get_by_role("link", name="Regions of its errors").click()
    page.get_by_text("Give it a name").click()
    name = page.get_by_role("textbox", name="Name", exact=True)
    name.fill("thin ones")
    # As a page does that follows a look.
    how = "{target: '#regions', select: '#regions', swap: 'outerHTML'}"
    page.evaluate(f"htmx.ajax('GET', location.href, {how})")
    expect(name).to_have_value("thin ones")
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_role("heading", name="thin ones")).to_be_visible()
    expect(page.get_by_role("row").filter(has_text="0 of 1")).to_be_visible()
    assert violations(page) == []
