"""Writing about a text and judging it in a real Chromium, by keys, on the library's own task."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.browser.annotating import open_task, reading, submit, verdict
from tests.browser.fixtures import PHONE, Server, Visits, violations
from tests.browser.judging import open_queue, said
from tests.browser.test_looks import TOO_WIDE_OR_SMALL

pytestmark = [pytest.mark.browser, pytest.mark.usefixtures("library")]
KEYS = {"follows": "e", "neither": "n", "conflicts": "c"}


@pytest.fixture
def own_task(server: Server, tmp_path: Path) -> Callable[..., str]:
    """A task of the test's own, with these texts to write about."""

    def make(slug: str, *texts: str, **more: object) -> str:
        file = {"slug": slug, "name": slug, "input": "text_pair", "labels": ["no", "yes"], **more}
        (tmp_path / "task.yaml").write_text(json.dumps(file))
        (tmp_path / "model.yaml").write_text('{"name": "guess", "backend": null}')
        lines = [json.dumps({"text": text}) for text in texts]
        (tmp_path / "texts.jsonl").write_text("\n".join(lines))
        server.run("manage", "load_task", str(tmp_path / "task.yaml"))
        server.run("manage", "register_model", slug, str(tmp_path / "model.yaml"), "--open-round")
        server.run("manage", "load_contexts", slug, str(tmp_path / "texts.jsonl"))
        return f"/tasks/{slug}/"

    return make


def field(page: Page) -> Locator:
    return page.get_by_label("Your hypothesis")


def given(page: Page) -> str:
    """The text that one writes about, once it is there."""
    text = page.locator("[data-part=passage] p")
    expect(text).not_to_be_empty()
    expect(page.locator("[data-part=workbench][inert]")).to_have_count(0)
    return text.text_content() or ""


def another(page: Page, than: str) -> str:
    expect(page.locator("[data-part=passage] p")).not_to_have_text(than)
    return given(page)


def looks_right(page: Page) -> None:
    assert page.evaluate(TOO_WIDE_OR_SMALL) == []
    assert violations(page) == []


def test_by_keys_from_a_text_to_the_leaderboard(
    visit: Visits, own_task: Callable[..., str]
) -> None:
    text = "<i>שלום</i> עולם,\n  it rained."
    path = own_task("pairs-by-keys", text)
    page = visit("anna")
    open_task(page, path)
    assert given(page) == text, "as it is stored"
    shown = page.locator("[data-part=passage] p")
    assert shown.evaluate("p => [getComputedStyle(p).whiteSpace, p.dir]") == ["pre-wrap", "auto"]
    field(page).focus()
    page.keyboard.type("It was wet.")
    label = {"no": "yes", "yes": "no"}[reading(page)]
    page.keyboard.press("Tab")
    page.keyboard.press({"no": "1", "yes": "2"}[label])
    field(page).press("Control+Enter")
    verdict(page, "You fooled it")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="You have had them all")).to_be_visible()
    looks_right(page)

    for judge in ("vera", "wim"):
        validator = visit(judge)
        open_queue(validator, "pairs-by-keys")
        shown = validator.locator("[data-part=input] p")
        assert shown.all_text_contents() == [text, "It was wet."]
        validator.keyboard.press({"no": "1", "yes": "2"}[label])
        expect(said(validator)).to_have_text(f"You said {label}.")
    page.goto(f"{path}leaderboard/")
    expect(page.get_by_role("row").filter(has_text="anna")).to_contain_text("1")


def test_another_text_comes_when_one_is_skipped_or_done_and_a_draft_keeps_its_own(
    visit: Visits,
) -> None:
    page = visit()
    open_task(page, "/tasks/nli/")
    first = given(page)
    field(page).fill("About the first.")
    read = reading(page)
    page.keyboard.press("Tab")
    page.keyboard.press(KEYS[read])
    page.reload()
    assert given(page) == first
    expect(field(page)).to_have_value("About the first.")
    submit(page)
    verdict(page, f"It read {read}")
    page.get_by_role("button", name="Change it further").click()
    assert given(page) == first
    page.get_by_role("button", name="Another one").click()
    second = another(page, than=first)
    expect(field(page)).to_be_focused()
    expect(field(page)).to_have_value("")
    page.reload()
    assert given(page) == second, "it is held until something is written"


def test_a_goal_is_chosen_and_tries_are_told(visit: Visits, own_task: Callable[..., str]) -> None:
    rules = {"goal": "balanced", "tries": 2}
    page = visit("bert")
    open_task(page, own_task("pairs-goal", "It rained.", contexts=rules))
    given(page)
    words = page.locator("[data-part=about-words]")
    expect(words).to_contain_text("2 tries left")
    goal = page.locator("input[name=label]:checked").get_attribute("value")
    expect(words).to_contain_text(f"Write for {goal}.")
    for number in range(40):  # until the null model agrees, which leaves the text to be changed
        field(page).fill(f"It was wet {number}.")
        if reading(page) == goal:
            break
    submit(page)
    verdict(page, "It read")
    page.get_by_role("button", name="Change it further").click()
    expect(words).to_contain_text("1 try left")


def test_it_fits_a_phone_and_everybody_can_use_it(visit: Visits) -> None:
    page = visit(**PHONE)
    open_task(page, "/tasks/nli/")
    given(page)
    field(page).fill("It is so.")
    reading(page)
    looks_right(page)


def test_where_nothing_is_loaded_one_is_told(visit: Visits, own_task: Callable[..., str]) -> None:
    page = visit("anna")
    page.goto(own_task("pairs-none"))
    expect(page.get_by_role("heading", name="There is nothing to write about yet")).to_be_visible()
