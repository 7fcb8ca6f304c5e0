"""Every door of the server and how often it opens, for a person and for an address."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final


@dataclass(frozen=True, slots=True)
class Rate:
    """How many may pass at once, and how many a second in the long run."""

    burst: float
    per_second: float


@dataclass(frozen=True, slots=True)
class Door:
    """What one person may do, and what everybody at one address may do together.

    Addresses get far more: a school or a lab often shows a single one to the outside.
    """

    person: Rate
    address: Rate


# A class of 40 behind one address makes ten changes a second each: 400 predictions a second.
DOORS: Final = {
    "predict": Door(person=Rate(90, 30), address=Rate(3000, 1200)),
    "submit": Door(person=Rate(20, 1), address=Rate(400, 40)),
    # Somebody pays for each turn of a chat.
    "turn": Door(person=Rate(10, 0.5), address=Rate(400, 20)),
    "vote": Door(person=Rate(30, 3), address=Rate(600, 120)),
    "next": Door(person=Rate(60, 5), address=Rate(900, 200)),
    "write": Door(person=Rate(30, 2), address=Rate(600, 80)),
    # Pieces of a model's file, of up to three MiB.
    "upload": Door(person=Rate(60, 5), address=Rate(120, 20)),
    # A guest is a cookie, and a new one costs nothing: the address is the limit that holds.
    "sandbox-predict": Door(person=Rate(45, 15), address=Rate(1500, 600)),
    "sandbox-submit": Door(person=Rate(5, 0.1), address=Rate(200, 4)),
    "sandbox-turn": Door(person=Rate(5, 0.2), address=Rate(100, 2)),
    # Opening a websocket; nobody is known yet, so that only the address counts.
    "connect": Door(person=Rate(600, 60), address=Rate(600, 60)),
    # Frames of one websocket, of whatever kind: more than that are read more slowly.
    "frame": Door(person=Rate(200, 100), address=Rate(200, 100)),
}

OFF: Final = {door: Door(person=Rate(1e12, 1e12), address=Rate(1e12, 1e12)) for door in DOORS}


def parse_doors(text: str) -> dict[str, Door]:
    """Read `submit=20/1 submit@address=400/40` over the defaults; ValueError with a sentence.

    `off` alone opens every door wide.
    """
    if text.strip() == "off":
        return dict(OFF)
    doors = dict(DOORS)
    for entry in text.split():
        name, equals, rate = entry.partition("=")
        door, at, whose = name.partition("@")
        if not equals or (at and whose != "address"):
            raise ValueError(f"{entry!r} must look like submit=20/1 or submit@address=400/40.")
        if door not in doors:
            raise ValueError(f"{door!r} is no door: they are {', '.join(doors)}.")
        change = {"address" if at else "person": _parse_rate(entry, rate)}
        doors[door] = replace(doors[door], **change)
    return doors


def _parse_rate(entry: str, text: str) -> Rate:
    burst, _, per_second = text.partition("/")
    try:
        rate = Rate(float(burst), float(per_second))
    except ValueError:
        rate = Rate(0, 0)
    if not (1 <= rate.burst < 1e15 and 0 < rate.per_second < 1e15):
        raise ValueError(f"{entry!r} must say BURST/PER_SECOND, at least 1 and more than 0.")
    return rate
