"""Which authors train and which ones test: by author and by what it is about, never by row; imports
no Django."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Final, Literal

Side = Literal["train", "held_out"]

TRAIN: Final[Side] = "train"
HELD_OUT: Final[Side] = "held_out"


def sides_of_new_authors(
    arrivals: Iterable[tuple[str, bool]],
    known: Mapping[str, Side],
    *,
    share: float,
    seed: str,
    joined: Iterable[tuple[str, str]] = (),
) -> dict[str, Side]:
    """Give each author who is not `known` a side, at the first that arrived of theirs.

    `arrivals` are (name, whether it is a fooling) in the order of their verdicts. A seeded hash of
    the name holds out about `share` of the authors, but for the first who fooled, who trains, and
    the next, who tests: both sides must be there. So nobody's side depends on what comes later, and
    the same arrivals give the same sides anywhere. An author who is known never changes sides.

    Those who are `joined`, because one sent what the other had sent, are one author; of whom one is
    known, the others are on that side, or else train.
    """
    first_of = _groups(joined)
    theirs: defaultdict[str, set[Side]] = defaultdict(set)
    for name, side in known.items():
        theirs[first_of.get(name, name)].add(side)
    sides: dict[str, Side] = {
        group: TRAIN if TRAIN in known_sides else HELD_OUT for group, known_sides in theirs.items()
    }
    found: dict[str, Side] = {}
    lacking: list[Side] = [TRAIN, HELD_OUT]
    for name, fooled in arrivals:
        group = first_of.get(name, name)
        if group not in sides:
            by_lot: Side = HELD_OUT if share_of(seed, group) < share else TRAIN
            sides[group] = lacking[0] if fooled and lacking else by_lot
        side = known.get(name, sides[group])
        if fooled and side in lacking:
            lacking.remove(side)
        if name not in known:
            found[name] = side
    return found


def aside(arrivals: Iterable[tuple[str, Side]]) -> list[bool]:
    """Which of these, as (what it is about or "", its author's side), neither train nor test.

    What an example is about is on the side of the first that arrived: the other side's authors
    would test what was learned, or teach what is tested.
    """
    first: dict[str, Side] = {}
    return [bool(about) and first.setdefault(about, side) != side for about, side in arrivals]


def capped(authors: Sequence[str], *, share: float, seed: str) -> list[int]:
    """Places of the items that may be learned from, in order: no author gives more than `share`.

    `authors` says who made each item. With fewer authors than that takes, each gives as much as the
    others. Whose items are kept follows from a seeded hash, so that being early is no advantage.
    """
    places: dict[str, list[int]] = {}
    for place, author in enumerate(authors):
        places.setdefault(author, []).append(place)
    if not places:
        return []
    share = max(share, 1 / len(places))
    most = max(map(len, places.values()))
    while most > 1 and most > share * sum(min(len(own), most) for own in places.values()) + 1e-9:
        most -= 1
    kept = [
        place
        for author, own in places.items()
        for place in sorted(own, key=lambda place: share_of(seed, f"{author}\0{place}"))[:most]
    ]
    return sorted(kept)


def _groups(joined: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Everybody who is joined to somebody, with the name that stands for all of them."""
    first_of: dict[str, str] = {}
    for pair in joined:
        names = {first_of.get(name, name) for name in pair}
        first = min(names)
        first_of |= dict.fromkeys(pair, first)
        first_of |= {name: first for name, old in first_of.items() if old in names}
    return first_of


def share_of(seed: str, name: str) -> float:
    """A number from 0 to 1 that nobody can foresee from the name without the seed."""
    digest = hashlib.sha256(f"{seed}\0{name}".encode()).digest()
    return int.from_bytes(digest[:8], "big") / 2**64
