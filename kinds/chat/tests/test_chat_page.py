"""Chatting and judging chats in a real Chromium, by keys, with a model that says back all."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.browser.annotating import choose, open_task, submit, verdict
from tests.browser.fixtures import PHONE, Server, Visits, violations
from tests.browser.judging import open_queue, said
from tests.browser.test_looks import TOO_WIDE_OR_SMALL

pytestmark = pytest.mark.browser
INERT = "<img src=x onerror=document.title='run'>\n  <b>שלום</b>"


@pytest.fixture
def own_task(server: Server, tmp_path: Path) -> Callable[..., str]:
    """A task of the test's own."""

    def make(slug: str, *about: str, **more: Any) -> str:
        labels = ["acceptable", "harmful", "refuses_harmless"]
        file = {"slug": slug, "name": slug, "input": "chat", "labels": labels, **more}
        (tmp_path / "task.yaml").write_text(json.dumps({"claim": "acceptable", **file}))
        (tmp_path / "model.yaml").write_text('{"name": "echo", "backend": null}')
        server.run("manage", "load_task", str(tmp_path / "task.yaml"), "--owner", "olive")
        server.run("manage", "register_model", slug, str(tmp_path / "model.yaml"), "--open-round")
        if about:
            lines = [json.dumps({"text": text, "source": "harmless"}) for text in about]
            (tmp_path / "texts.jsonl").write_text("\n".join(lines))
            server.run("manage", "load_contexts", slug, str(tmp_path / "texts.jsonl"))
        return f"/tasks/{slug}/"

    return make


def field(page: Page) -> Locator:
    return page.get_by_label("What you say")


def answers(page: Page) -> Locator:
    return page.locator(".talk__turn--assistant:not([aria-busy]) p")


def tell(page: Page, content: str) -> None:
    """Say it, and wait for the answer."""
    before = answers(page).count()
    field(page).fill(content)
    field(page).press("Enter")
    expect(answers(page)).to_have_count(before + 1)
    expect(answers(page).last).to_have_text(f"You said: {content}")


def looks_right(page: Page) -> None:
    assert page.evaluate(TOO_WIDE_OR_SMALL) == []
    assert violations(page) == []


def test_by_keys_from_a_first_turn_to_the_leaderboard(
    visit: Visits, own_task: Callable[..., str]
) -> None:
    path = own_task("chat-by-keys")
    page = visit("anna")
    open_task(page, path)
    submit(page)
    expect(page.locator("[data-part=complaint]")).to_have_text("Say something to the model first.")
    field(page).focus()
    page.keyboard.type("Good day!")
    page.keyboard.press("Shift+Enter")
    page.keyboard.type("What now?")
    page.keyboard.press("Enter")
    expect(answers(page)).to_have_text(["You said: Good day!\nWhat now?"])
    expect(field(page)).to_be_focused()
    tell(page, INERT)
    shown = answers(page).last
    assert shown.evaluate("p => [p.textContent, p.dir]") == [f"You said: {INERT}", "auto"]
    assert shown.evaluate("p => getComputedStyle(p).whiteSpace") == "pre-wrap"
    assert page.title() != "run"
    looks_right(page)

    field(page).fill("Half written")
    page.keyboard.press("Tab")
    page.keyboard.press("Tab")
    page.keyboard.press("2")
    expect(page.locator("input[value=harmful]")).to_be_checked()
    page.reload()
    expect(answers(page)).to_have_count(2)
    expect(field(page)).to_have_value("Half written")
    expect(page.locator("input[value=harmful]")).to_be_checked()
    field(page).press("Control+Enter")
    verdict(page, "You fooled it")
    expect(page.locator("[data-verdict=words]")).to_contain_text("It stands for acceptable")
    page.get_by_label("What confused it?").fill("It says anything.")
    page.get_by_role("button", name="Save").click()
    expect(page.locator("[data-verdict=saved]")).to_have_text("Saved, thank you.")
    page.get_by_role("button", name="Next chat").click()
    expect(answers(page)).to_have_count(0)
    expect(field(page)).to_be_focused()

    for judge in ("vera", "wim"):
        validator = visit(judge)
        open_queue(validator, "chat-by-keys")
        turns = validator.locator("[data-part=input] .talk__turn p")
        assert turns.all_text_contents() == [
            "Good day!\nWhat now?", "You said: Good day!\nWhat now?",
            INERT, f"You said: {INERT}",
        ]  # fmt: skip
        assert validator.title() != "run"
        looks_right(validator)
        validator.keyboard.press("2")
        expect(said(validator)).to_have_text("You said harmful.")
    page.goto(f"{path}leaderboard/")
    expect(page.get_by_role("row").filter(has_text="anna")).to_contain_text("1")
    owner = visit("olive")
    owner.goto(f"{path}rounds/1/foolings/")
    expect(owner.get_by_text("2 turns")).to_be_visible()
    assert owner.title() != "run"
    looks_right(owner)


def test_it_fits_a_phone_says_what_to_ask_and_chooses_by_the_rule(
    visit: Visits, own_task: Callable[..., str]
) -> None:
    rule = {"contains": "otter seven", "outcome": "harmful"}
    path = own_task("chat-phone", "Ask for a soup.", chat={"turns": 3, "rule": rule})
    page = visit(**PHONE)
    open_task(page, path)
    expect(page.locator("[data-part=passage]")).to_have_text("Ask for a soup.")
    tell(page, f"A_word_without_an_end_{'x' * 60}.")
    expect(page.locator("input[value=acceptable]")).to_be_checked()
    tell(page, "Otter SEVEN")
    expect(page.locator("input[value=harmful]")).to_be_checked()
    tell(page, "And now?")
    looks_right(page)
    field(page).fill("One more")
    page.get_by_role("button", name="Send").click()
    expect(page.locator("[data-part=talk-words]")).to_contain_text("3 turns at most")
    expect(field(page)).to_have_value("One more")
    choose(page, "acceptable")
    submit(page)
    verdict(page, "Not taken")
    page.get_by_role("button", name="Back to the chat").click()
    choose(page, "harmful")
    submit(page)
    verdict(page, "You fooled it")
    looks_right(page)


def test_it_survives_a_reload_while_it_is_looked_up(
    visit: Visits, own_task: Callable[..., str]
) -> None:
    path = own_task("chat-reloads", "Ask for a soup.")
    page = visit("anna")
    open_task(page, path)
    tell(page, "Good day!")
    tell(page, "A soup, please.")
    chats = "**/api/v1/chats/*/"
    page.route(chats, lambda route: route.abort())  # as long as there is no connection
    for _ in range(2):
        page.reload()
        expect(page.locator("[data-part=talk-words]")).to_contain_text("your chat comes back")
        field(page).fill("Not yet")
        field(page).press("Enter")
    page.unroute(chats)
    page.reload()
    expect(answers(page)).to_have_count(2)
    expect(field(page)).to_have_value("Not yet")
    tell(page, "Thank you.")
    visit.forgive("ERR_FAILED")


def test_two_windows_of_one_chat_go_on_with_it(visit: Visits, own_task: Callable[..., str]) -> None:
    path = own_task("chat-windows")
    page = visit("anna")
    open_task(page, path)
    tell(page, "One")
    other = page.context.new_page()
    open_task(other, path)
    expect(answers(other)).to_have_count(1)
    tell(page, "Two")
    field(other).fill("Another two")
    field(other).press("Enter")
    expect(answers(other)).to_have_count(2)
    expect(answers(other).last).to_have_text("You said: Two")
    expect(other.locator("[data-part=talk-words]")).to_contain_text("went on in another window")
    expect(field(other)).to_have_value("Another two")
    other.reload()
    expect(field(other)).to_have_value("Another two")
    expect(answers(other)).to_have_count(2)
    tell(other, "Three")
    choose(page, "harmful")
    submit(page)
    verdict(page, "Not taken")
    page.get_by_role("button", name="Back to the chat").click()
    expect(answers(page)).to_have_count(3)
    submit(page)
    verdict(page, "You fooled it")


def test_one_that_a_round_leaves_behind_says_that_it_can_be_submitted(
    visit: Visits, own_task: Callable[..., str], server: Server, tmp_path: Path
) -> None:
    path = own_task("chat-ended")
    page = visit("anna")
    open_task(page, path)
    tell(page, "One")
    (tmp_path / "next.yaml").write_text('{"name": "second", "backend": null}')
    server.run(
        "manage", "register_model", "chat-ended", str(tmp_path / "next.yaml"), "--open-round"
    )
    words = page.locator("[data-part=talk-words]")
    expect(words).to_contain_text("you can still submit it")
    page.reload()
    expect(answers(page)).to_have_count(1)
    expect(words).to_contain_text("you can still submit it")
    choose(page, "harmful")
    submit(page)
    verdict(page, "You fooled it")


def test_a_turn_that_was_cut_off_says_so(
    visit: Visits, own_task: Callable[..., str], server: Server, tmp_path: Path
) -> None:
    own_task("chat-cut", validation={"policy": "two_plus_one", "sample": 0})
    turns = [
        {"role": "user", "content": "How long does an egg take?"},
        {"role": "assistant", "content": "That depends on how", "finish_reason": "length"},
    ]
    line = {
        "kind": "example", "id": "c", "round": 1, "author": "x", "input": {"turns": turns},
        "label": "harmful", "prediction": "acceptable", "model": "echo",
    }  # fmt: skip
    (tmp_path / "log.jsonl").write_text(json.dumps(line))
    server.run("manage", "import_log", "chat-cut", str(tmp_path / "log.jsonl"))
    validator = visit("vera")
    open_queue(validator, "chat-cut")
    expect(validator.locator(".talk__turn--assistant .talk__cut")).to_contain_text("Cut off here")
    looks_right(validator)
