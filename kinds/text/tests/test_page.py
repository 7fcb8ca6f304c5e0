"""Writing a text and judging it in a real Chromium, on the library's own task."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.browser.annotating import choose, connected, open_task, reading, submit, verdict
from tests.browser.fixtures import PHONE, WIDE, Server, Visits, violations
from tests.browser.judging import open_queue, said
from tests.browser.test_looks import TOO_WIDE_OR_SMALL

pytestmark = [pytest.mark.browser, pytest.mark.usefixtures("library")]
TASK = "/tasks/sentiment/"
OTHER = {"negative": "positive", "positive": "negative"}
INERT = "<img src=x onerror=document.title='run'>"
PRESS = "key => document.activeElement.dispatchEvent(new KeyboardEvent('keydown', key))"


def field(page: Page) -> Locator:
    return page.get_by_label("Your text")


def test_a_guest_is_read_while_typing_and_fools_the_model(visit: Visits) -> None:
    page = visit()
    open_task(page, TASK)
    submit(page)
    expect(page.locator("[data-part=complaint]")).to_have_text("Write something first.")
    read = set()
    for words in ("np, happy, ", "sad ugly terrible, "):  # the word list's sum follows
        field(page).press_sequentially(words)
        read.add(reading(page))
    assert read == set(OTHER), "the bars follow what is typed"
    assert page.locator("input[name=label]:checked").count() == 0, "typing chooses no label"

    label = OTHER[reading(page)]
    page.keyboard.press("Tab")
    page.keyboard.press(label[0])
    expect(page.locator(f"input[value={label}]")).to_be_checked()
    field(page).press("Control+Enter")
    verdict(page, "You fooled it")
    expect(page.locator("[data-verdict=made]")).to_contain_text("np, happy, sad ugly terrible,")
    page.get_by_label("What confused it?").fill("It cannot read.")
    page.get_by_role("button", name="Save").click()
    expect(page.locator("[data-verdict=saved]")).to_have_text("Saved, thank you.")
    page.get_by_role("button", name="Next text").click()
    expect(field(page)).to_be_focused()
    expect(field(page)).to_have_value("")


def test_a_draft_is_there_after_a_reload_and_what_was_read_can_be_changed(visit: Visits) -> None:
    page = visit("anna")
    open_task(page, TASK)
    written = "  It was fine,\n  in its way."
    field(page).fill(written)
    read = reading(page)
    choose(page, read)
    page.reload()
    assert reading(page) == read
    expect(field(page)).to_have_value(written)
    expect(page.locator(f"input[value={read}]")).to_be_checked()
    submit(page)
    verdict(page, "It read")
    page.get_by_role("button", name="Change it further").click()
    expect(field(page)).to_have_value(written)


def test_two_validators_see_a_text_as_it_was_written_and_answer_by_key(
    visit: Visits, server: Server, tmp_path: Path
) -> None:
    # A task of its own: in the library's, what other tests wrote may come first.
    labels = [{"value": mood, "name": f"{mood} {INERT}", "key": mood[0]} for mood in OTHER]
    file = {
        "slug": "moods",
        "name": INERT,
        "instructions": {
            "goal": INERT,
            "steps": [INERT],
            "validation": INERT,
            "texts": [{"text": INERT, "caption": INERT, "good": True}],
        },
        "input": "text",
        "labels": labels,
        "validation": {"policy": "two_plus_one"},
    }
    (tmp_path / "task.yaml").write_text(json.dumps(file))
    (tmp_path / "model.yaml").write_text('{"name": "guess", "backend": null}')
    server.run("manage", "load_task", str(tmp_path / "task.yaml"))
    server.run("manage", "register_model", "moods", str(tmp_path / "model.yaml"), "--open-round")
    written = "<b>Not bold</b>,\n    but   indented."
    label = fool(visit, written, "/tasks/moods/")
    typed = {  # with a Cyrillic layout, whose letters are others, and with Caps Lock
        "vera": {"key": {"negative": "т", "positive": "з"}[label]},
        "wim": {"key": label[0].upper()},
    }
    for name, key in typed.items():
        page = visit(name)
        open_queue(page, "moods")
        text = page.locator("[data-part=input] p")
        assert text.evaluate("p => [p.textContent, p.dir]") == [written, "auto"]
        assert text.evaluate("p => getComputedStyle(p).whiteSpace") == "pre-wrap"
        page.evaluate(PRESS, {**key, "code": f"Key{label[0].upper()}", "bubbles": True})
        expect(said(page)).to_have_text(f"You said {label} {INERT}.")
        assert page.locator("img[src=x]").count() == 0
    page.goto("/tasks/moods/leaderboard/")
    expect(page.get_by_role("row").filter(has_text="bert")).to_contain_text("1")
    assert page.locator("img[src=x]").count() == 0


def test_it_fits_a_phone_and_everybody_can_use_it(visit: Visits) -> None:
    page = visit("anna", **PHONE)
    open_task(page, TASK)
    field(page).fill(f"A_word_without_an_end_{'x' * 60}.")
    choose(page, OTHER[reading(page)])
    looks_right(page)
    submit(page)
    verdict(page, "You fooled it")
    looks_right(page)

    judge = visit("wim", **PHONE)
    open_queue(judge, "sentiment")
    looks_right(judge)


@pytest.mark.parametrize("how", [WIDE, PHONE], ids=["wide", "phone"])
def test_nobody_begins_before_they_have_read_the_warning(
    visit: Visits, how: dict[str, Any]
) -> None:
    page = visit(**how)
    page.goto("/tasks/hate-speech/")
    begin = page.get_by_role("button", name="Begin")
    expect(begin).to_be_visible()
    expect(page.get_by_text("texts that demean people").filter(visible=True)).to_have_count(1)
    expect(field(page)).to_be_hidden()
    looks_right(page)
    page.keyboard.press("h")
    begin.focus()
    page.keyboard.press("Enter")
    expect(field(page)).to_be_focused()
    assert page.locator("input[name=label]:checked").count() == 0, "no key was heard before"
    connected(page)
    looks_right(page)
    page.reload()
    expect(field(page)).to_be_visible()


def fool(visit: Visits, text: str, task: str) -> str:
    """Somebody submits it, and what they say it is."""
    author = visit("bert")
    open_task(author, task)
    field(author).fill(text)
    label = OTHER[reading(author).split()[0]]
    choose(author, label)
    submit(author)
    verdict(author, "You fooled it")
    expect(author.get_by_text(INERT)).not_to_have_count(0)
    assert author.locator("img[src=x]").count() == 0
    return label


def looks_right(page: Page) -> None:
    assert page.evaluate(TOO_WIDE_OR_SMALL) == []
    assert violations(page) == []


def test_why_is_asked_before_or_after_the_answer_as_the_task_says(
    visit: Visits, server: Server
) -> None:
    before = {"asked": "before", "required": True, "question": "Why will it err?"}
    after = {"of": "all", "required": True}
    tasks = [
        {"slug": "said-before", "feedback": "on_submit", "explanation": before},
        {"slug": "said-after", "explanation": after},
    ]
    make = (
        f"from tests import cast\nfor one in {tasks}: cast.text_task(labels=['bad', 'good'], **one)"
    )
    server.run("manage", "shell", "-c", make)

    page = visit("anna", **PHONE)
    open_task(page, "/tasks/said-before/")
    expect(page.get_by_role("heading", name="The model answers once you submit")).to_be_visible()
    expect(page.locator("[data-part=bars]")).to_be_hidden()
    field(page).fill("It is all right, really.")
    page.keyboard.press("Tab")
    page.keyboard.press("1")
    submit(page)
    expect(page.locator("[data-part=complaint]")).to_have_text(
        "Answer “Why will it err?” before you send it."
    )
    why = page.get_by_label("Why will it err?")
    expect(why).to_be_focused()
    page.keyboard.type("1 word: really")
    expect(page.locator("input[value=bad]")).to_be_checked()  # a digit is typed, not chosen
    page.reload()
    expect(why).to_have_value("1 word: really")
    looks_right(page)
    why.press("Control+Enter")
    expect(page.locator("[data-verdict=title]")).not_to_have_text("On its way…")
    expect(page.locator("[data-verdict=explain]")).to_be_hidden()
    page.get_by_role("button", name="Next text").click()
    expect(why).to_have_value("")

    page = visit("bert")
    open_task(page, "/tasks/said-after/")
    field(page).fill("Not bad at all.")
    reading(page)
    choose(page, "good")
    submit(page)
    expect(page.get_by_label("What made it answer so?")).to_be_visible()
    page.reload()  # what is due is asked for again
    verdict(page, "One thing first")
    looks_right(page)
    page.get_by_role("button", name="Back to the text").click()
    expect(page.locator("[data-verdict=saved]")).to_have_text("Say this before you go on.")
    page.keyboard.type("It counts words.")
    page.get_by_role("button", name="Back to the text").click()
    expect(field(page)).to_be_visible()
    field(page).fill("Not good at all.")
    choose(page, "good")
    submit(page)
    expect(page.get_by_label("What made it answer so?")).to_be_visible()
