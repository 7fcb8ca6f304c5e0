"""Which authors train and which ones test: by author, never by row; imports no Django."""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Final, Literal

Side = Literal["train", "held_out"]

TRAIN: Final[Side] = "train"
HELD_OUT: Final[Side] = "held_out"


def sides_of_new_authors(
    counts: Mapping[str, int],
    known: Mapping[str, Side],
    *,
    share: float,
    seed: str,
    joined: Iterable[tuple[str, str]] = (),
) -> dict[str, Side]:
    """Give each author of `counts` (name to number of examples) who is not `known` a side.

    A seeded hash of the name holds out about `share` of the authors, whoever else takes part. Both
    sides must be there: with nobody to train on, the new author with the most examples trains, and
    with nobody held out, the one with the fewest tests. An author who is known never changes sides,
    so a lone author trains, and it takes a second one before there is a test.

    Those who are `joined`, because one sent what the other had sent, are one author.
    """
    first_of = _groups(joined)
    if first_of:
        return _sides_of_groups(counts, known, first_of, share=share, seed=seed)
    new = sorted(name for name in counts if name not in known)
    sides: dict[str, Side] = {
        name: HELD_OUT if share_of(seed, name) < share else TRAIN for name in new
    }
    by_size = sorted(new, key=lambda name: (counts[name], share_of(seed, name)))
    known_sides = {known[name] for name in counts if name in known}
    if by_size and TRAIN not in known_sides | set(sides.values()):
        sides[by_size[-1]] = TRAIN
    others = by_size if TRAIN in known_sides else by_size[:-1]
    if others and HELD_OUT not in known_sides | set(sides.values()):
        sides[others[0]] = HELD_OUT
    return sides


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


def _sides_of_groups(
    counts: Mapping[str, int],
    known: Mapping[str, Side],
    first_of: Mapping[str, str],
    *,
    share: float,
    seed: str,
) -> dict[str, Side]:
    """The same for groups; one of whom somebody is known is on that side, or else trains."""
    together: Counter[str] = Counter()
    for name, count in counts.items():
        together[first_of.get(name, name)] += count
    theirs: defaultdict[str, set[Side]] = defaultdict(set)
    for name, side in known.items():
        theirs[first_of.get(name, name)].add(side)
    fixed = {first: min(sides, key=(TRAIN, HELD_OUT).index) for first, sides in theirs.items()}
    sides = fixed | sides_of_new_authors(together, fixed, share=share, seed=seed)
    return {name: sides[first_of.get(name, name)] for name in counts if name not in known}


def share_of(seed: str, name: str) -> float:
    """A number from 0 to 1 that nobody can foresee from the name without the seed."""
    digest = hashlib.sha256(f"{seed}\0{name}".encode()).digest()
    return int.from_bytes(digest[:8], "big") / 2**64
