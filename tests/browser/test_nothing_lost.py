"""What was drawn and submitted survives reloads, refusals and a server that goes away."""

from __future__ import annotations

import json

import pytest
from playwright.sync_api import WebSocketRoute, expect

from kinds.image.tests.drawing import draw_strokes, four, ink, other_than
from tests.browser.annotating import (
    TASK,
    choose,
    connected,
    open_task,
    reading,
    shown_in_own_work,
    submit,
    verdict,
)
from tests.browser.fixtures import Server, Visits

pytestmark = [pytest.mark.browser, pytest.mark.slow]


def test_a_drawing_survives_a_reload(visit: Visits) -> None:
    page = visit()
    open_task(page)
    draw_strokes(page, *four())
    choose(page, "4")
    read, before = reading(page), ink(page)
    page.reload()
    assert reading(page) == read
    assert ink(page) == before
    expect(page.locator("input[name=label][value='4']")).to_be_checked()


def test_a_refused_drawing_stays_on_the_canvas(visit: Visits) -> None:
    page = visit("anna")
    same = four()
    open_task(page)
    label = ""
    for title in ("You fooled it", "Not taken"):
        draw_strokes(page, *same)
        label = label or other_than(reading(page))
        choose(page, label)
        submit(page)
        verdict(page, title)
        if title == "You fooled it":
            page.get_by_role("button", name="Next drawing").click()
    expect(page.locator("[data-verdict=words]")).to_contain_text("You have sent this")
    page.get_by_role("button", name="Back to the drawing").click()
    assert ink(page) > 0


def test_a_submission_waits_for_the_server_and_is_sent_once(visit: Visits, server: Server) -> None:
    page = visit("bert")
    before = shown_in_own_work(page)
    open_task(page)
    draw_strokes(page, *four())
    choose(page, other_than(reading(page)))
    server.stop()
    expect(page.get_by_text("Connection lost.")).to_be_visible()
    submit(page)
    verdict(page, "Kept on this device")
    server.start()
    verdict(page, "You fooled it")
    expect(page.get_by_text("Connection lost.")).to_be_hidden()
    assert shown_in_own_work(page) == before + 1
    visit.forgive("ERR_CONNECTION_REFUSED")


def test_a_submission_is_not_sent_as_somebody_else_s(visit: Visits, server: Server) -> None:
    other = visit("bert")
    before = shown_in_own_work(other)
    page = visit("anna")
    open_task(page)
    draw_strokes(page, *four())
    choose(page, other_than(reading(page)))
    server.stop()
    expect(page.get_by_text("Connection lost.")).to_be_visible()
    submit(page)
    verdict(page, "Kept on this device")
    page.context.add_cookies(other.context.cookies())  # bert signs in, in another tab
    server.start()
    expect(page.get_by_text("You are not signed in as before")).to_be_visible()
    assert shown_in_own_work(other) == before
    visit.forgive("ERR_CONNECTION_REFUSED")


def test_an_unanswered_submission_is_sent_again_under_its_uuid(visit: Visits) -> None:
    page = visit("bert")
    before = shown_in_own_work(page)
    lost: list[str] = []
    sent: list[str] = []

    def lose_the_first_answer(socket: WebSocketRoute) -> None:
        up = socket.connect_to_server()

        def from_page(message: str | bytes) -> None:
            frame = json.loads(message)
            if frame["type"] == "submit":
                sent.append(frame["client_id"])
            up.send(message)

        def from_server(message: str | bytes) -> None:
            if not lost and json.loads(message)["type"] == "accepted":
                lost.append(str(message))
                up.close()
                socket.close(code=1011)
            else:
                socket.send(message)

        socket.on_message(from_page)
        up.on_message(from_server)

    page.route_web_socket("**/ws/tasks/digits/", lose_the_first_answer)
    open_task(page)
    draw_strokes(page, *four())
    choose(page, other_than(reading(page)))
    submit(page)
    verdict(page, "You fooled it")
    assert lost
    assert len(sent) == 2
    assert sent[0] == sent[1]
    assert shown_in_own_work(page) == before + 1


def test_a_submission_outlives_the_page_it_was_made_on(visit: Visits, server: Server) -> None:
    page = visit("bert")
    before = shown_in_own_work(page)
    open_task(page)
    draw_strokes(page, *four())
    choose(page, other_than(reading(page)))
    server.stop()
    expect(page.get_by_text("Connection lost.")).to_be_visible()
    submit(page)
    verdict(page, "Kept on this device")
    page.goto("about:blank")
    server.start()
    open_task(page)
    verdict(page, "You fooled it")
    assert shown_in_own_work(page) == before + 1
    visit.forgive("ERR_CONNECTION_REFUSED")


@pytest.mark.parametrize("name", [None, "anna"])
def test_without_websockets_everything_goes_over_rest(visit: Visits, name: str | None) -> None:
    page = visit(name)
    page.add_init_script("delete window.WebSocket")
    page.goto(TASK)
    connected(page, "rest")
    expect(page.get_by_text("Live connection not possible here")).to_be_visible()
    draw_strokes(page, *four())
    choose(page, other_than(reading(page)))
    submit(page)
    verdict(page, "You fooled it")
    expect(page.locator("[data-session=fooled]")).not_to_have_text("0")


def test_a_new_round_is_told_without_a_reload(visit: Visits, server: Server) -> None:
    page = visit()
    open_task(page)
    number = int(page.locator("[data-part=round]").inner_text().removeprefix("Round "))
    draw_strokes(page, *four())
    before = ink(page)
    server.run("tests.browser.world", "next-round")
    expect(page.locator("[data-part=news]")).to_contain_text(f"Round {number + 1} has begun")
    expect(page.locator("[data-part=round]")).to_have_text(f"Round {number + 1}")
    assert ink(page) == before


def test_a_page_that_is_turned_away_works_on_and_comes_back(visit: Visits) -> None:
    """Where too many are connected: told why, drawing over HTTP, back when there is a place."""
    page = visit("bert")
    turned_away: list[int] = []

    def turn_away(socket: WebSocketRoute) -> None:
        if len(turned_away) >= 3:
            socket.connect_to_server()
            return
        turned_away.append(1)
        told = {"type": "error", "code": "too_many_connections", "message": "Too many people."}
        socket.send(json.dumps(told))
        socket.close(code=4429)

    page.route_web_socket("**/ws/tasks/digits/", turn_away)
    page.goto(TASK)
    expect(page.get_by_text("Too many people.").first).to_be_visible()
    connected(page, "rest")
    draw_strokes(page, *four())
    assert reading(page) in "0123456789"
    connected(page)
