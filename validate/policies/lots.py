"""Who is asked about what: picked by lot, so that nobody steers it; imports no Django.

Each person has a key of their own, which follows from the server's secret. With an example it gives
a place from 0 to PRIME: the lower the sooner, and who stands too high is not asked at all while the
example is new. Two people who would like to meet at an example can neither foresee their places
nor pick them again: asking later, or giving an example back, brings the same one.
"""

from __future__ import annotations

import hmac
from typing import Final

PRIME: Final = 2**31 - 1
MORE: Final = 2  # times as many people are asked from the second day on
OPENS_WITHIN: Final = 7  # days more, and all are: a queue that is days behind is no way round lots
MOST_PEOPLE: Final = 96  # more count as so many: the queue is read until some items are picked
WINDOW: Final = 32  # how many items are picked from: the first ones as one would order them

Key = tuple[int, int]


def key_of(secret: str, task: int, validator: int) -> Key:
    """What places this person in a task's lots; nobody knows it without the secret."""
    digest = hmac.digest(secret.encode(), f"lots {task} {validator}".encode(), "sha256")
    turn = int.from_bytes(digest[:8], "big") % (PRIME - 1) + 1
    return turn, int.from_bytes(digest[8:16], "big") % PRIME


def place(key: Key, example: int) -> int:
    """This person's place at an example, from 0 up to PRIME.

    Squared: without it the places at examples in a row lie in a row, too, for some keys.
    """
    x = (key[0] * (example % PRIME) + key[1]) % PRIME
    return x * x % PRIME


def is_picked(place: int, people: int, picked: int) -> bool:
    """Whether an example that is for `picked` of so many people, on average, is for this place."""
    return place * min(people, MOST_PEOPLE) < picked * PRIME
