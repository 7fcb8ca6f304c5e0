"""Asking about a passage, marking the answer, and judging it in a real Chromium."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.browser.annotating import open_task, reading, submit, verdict
from tests.browser.fixtures import PHONE, Server, Visits, violations
from tests.browser.judging import open_queue, said, shown
from tests.browser.test_looks import TOO_WIDE_OR_SMALL

pytestmark = pytest.mark.browser
TEXT = "😀 Ann met Bob in old Rome. It rained,\nshe said."
HEBREW = "אן פגשה את בוב ברומא. ירד גשם."


@pytest.fixture
def ask_about(server: Server, tmp_path: Path) -> Any:
    """A task of the test's own with this passage; its address."""

    def make(slug: str, text: str) -> str:
        policy = {"policy": "k_matching", "n": 2, "cap": 4}
        file = {"slug": slug, "name": slug, "input": "passage_qa", "validation": policy}
        (tmp_path / "task.yaml").write_text(json.dumps(file))
        (tmp_path / "model.yaml").write_text('{"name": "guess", "backend": null}')
        (tmp_path / "texts.jsonl").write_text(json.dumps({"text": text}))
        server.run("manage", "load_task", str(tmp_path / "task.yaml"))
        server.run("manage", "register_model", slug, str(tmp_path / "model.yaml"), "--open-round")
        server.run("manage", "load_contexts", slug, str(tmp_path / "texts.jsonl"))
        return f"/tasks/{slug}/"

    return make


def passage(page: Page) -> Locator:
    """The text in which one marks, once it is there."""
    text = page.get_by_role("textbox", name="Mark the answer")
    expect(text).to_be_visible()
    return text


def marked(page: Page) -> Locator:
    return page.locator("[data-part=marked]")


def highlighted(page: Page, name: str) -> str:
    """What is to be seen as marked, by an author or the model."""
    script = "name => [...CSS.highlights.get(name) ?? []].map(String).join()"
    words: str = page.evaluate(script, name)
    return words


def place_of(page: Page, text: Locator, word: str) -> tuple[float, float, float]:
    """Where a word begins and ends on the screen."""
    box = text.evaluate(
        """(element, word) => {
            const node = element.firstChild, at = node.data.indexOf(word);
            const range = document.createRange();
            range.setStart(node, at);
            range.setEnd(node, at + word.length);
            const { left, right, top, height } = range.getBoundingClientRect();
            return [left, right, top + height / 2];
        }""",
        word,
    )
    return box[0], box[1], box[2]


def test_by_keys_from_a_question_to_the_leaderboard(visit: Visits, ask_about: Any) -> None:
    path = ask_about("qa-by-keys", TEXT)
    page = visit("anna")
    open_task(page, path)
    text = passage(page)
    assert text.text_content() == TEXT
    page.get_by_label("Your question").fill("Where was it?")
    read = reading(page)
    assert highlighted(page, "read-by-model") == read
    submit(page)
    expect(page.locator("[data-part=complaint]")).to_have_text("Mark the answer in the text.")
    expect(text).to_be_focused()
    for _ in range(5):
        page.keyboard.press("ArrowRight")
    expect(marked(page)).to_have_text("old")
    page.keyboard.press("Shift+ArrowLeft")
    page.keyboard.press("Shift+ArrowLeft")
    expect(marked(page)).to_have_text("Bob in old")
    page.keyboard.press("ArrowDown")
    expect(marked(page)).to_have_text("It")
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("Shift+ArrowLeft")
    expect(marked(page)).to_have_text("old Rome")
    assert highlighted(page, "marked-answer") == "old Rome"
    page.get_by_label("Your question").press("Control+Enter")
    verdict(page, "You fooled it")
    expect(page.locator("[data-verdict=words]")).to_contain_text("you say old Rome")
    mine = page.request.get("/api/v1/examples/?mine=1&task=qa-by-keys").json()["results"][0]
    assert mine["label"] == {"text": "old Rome", "start": TEXT.index("old Rome")}
    page.goto("/me/work/")
    expect(page.locator(".work__item").first).to_contain_text("You say old Rome")

    for judge in ("vera", "wim"):
        validator = visit(judge)
        open_queue(validator, "qa-by-keys")
        assert "old Rome" not in shown(validator).replace(TEXT, "")
        passage(validator).focus()
        for _ in range(5):
            validator.keyboard.press("ArrowRight")
        validator.keyboard.press("Shift+ArrowRight")
        expect(validator.get_by_role("textbox", name="Your answer")).to_have_value("old Rome")
        validator.keyboard.press("Enter")
        expect(said(validator)).to_have_text("You said old Rome.")
    status = page.request.get(f"/api/v1/examples/{mine['id']}/").json()["status"]
    assert status == "verified"
    page.goto(f"{path}leaderboard/")
    expect(page.get_by_role("row").filter(has_text="anna")).to_contain_text("1")


def test_by_mouse_words_are_dragged_over_clicked_and_extended(
    visit: Visits, ask_about: Any
) -> None:
    page = visit("anna")
    open_task(page, ask_about("qa-by-mouse", TEXT))
    text = passage(page)
    left, right, y = place_of(page, text, "met")
    page.mouse.click((left + right) / 2, y)
    expect(marked(page)).to_have_text("met")
    left, right, y = place_of(page, text, "Bob")
    page.keyboard.down("Shift")
    page.mouse.click((left + right) / 2, y)
    page.keyboard.up("Shift")
    expect(marked(page)).to_have_text("met Bob")
    left, right, y = place_of(page, text, "ld Rom")  # in the middle of words
    page.mouse.move(left, y)
    page.mouse.down()
    page.mouse.move(right, y, steps=5)
    page.mouse.up()
    expect(marked(page)).to_have_text("old Rome")
    page.reload()
    expect(marked(page)).to_have_text("old Rome")  # also of a draft without a question
    passage(page).press("Escape")
    expect(marked(page)).to_have_text("nothing yet")


def test_by_touch_one_taps_the_first_word_and_the_last(visit: Visits, ask_about: Any) -> None:
    page = visit("bert", **PHONE)
    open_task(page, ask_about("qa-by-touch", HEBREW))
    text = passage(page)
    for word, so_far in (("פגשה", "פגשה"), ("בוב", "פגשה את בוב"), ("גשם", "גשם")):
        left, right, y = place_of(page, text, word)
        page.touchscreen.tap((left + right) / 2, y)
        expect(marked(page)).to_have_text(so_far)
    text.press("Home")
    text.press("ArrowLeft")  # on, where one reads from right to left
    expect(marked(page)).to_have_text("פגשה")
    page.get_by_label("Your question").fill("מי?")
    reading(page)
    assert page.evaluate(TOO_WIDE_OR_SMALL) == []
    assert violations(page) == []
