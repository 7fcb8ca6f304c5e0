"""What a person does on the drawing area."""

from __future__ import annotations

import itertools
import random

from playwright.sync_api import Page

_drawn = itertools.count()


def four() -> tuple[list[tuple[float, float]], ...]:
    """A four by another hand than every four before: nearly the same drawing twice is refused."""
    hand = random.Random(next(_drawn))
    strokes = (
        [(0.55, 0.18), (0.4, 0.35), (0.3, 0.55), (0.5, 0.58), (0.75, 0.55)],
        [(0.66, 0.22), (0.64, 0.5), (0.57, 0.85)],
    )
    return tuple(
        [(x + hand.uniform(-0.06, 0.06), y + hand.uniform(-0.06, 0.06)) for x, y in stroke]
        for stroke in strokes
    )


def other_than(label: str) -> str:
    return str((int(label) + 1) % 10)


def ink(page: Page) -> int:
    """How many pixels of the canvas hold ink."""
    count = page.evaluate(
        """() => {
          const canvas = document.querySelector("canvas");
          const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
          return data.filter((value, index) => index % 4 === 3 && value > 0).length;
        }"""
    )
    return int(count)


def draw_strokes(page: Page, *strokes: list[tuple[float, float]]) -> None:
    box = page.locator("canvas").bounding_box()
    assert box is not None

    def at(point: tuple[float, float]) -> tuple[float, float]:
        return box["x"] + point[0] * box["width"], box["y"] + point[1] * box["height"]

    for first, *rest in strokes:
        page.mouse.move(*at(first))
        page.mouse.down()
        for point in rest:
            page.mouse.move(*at(point), steps=4)
        page.mouse.up()
