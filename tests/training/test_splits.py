"""Who trains and who tests."""

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from training.splits import HELD_OUT, TRAIN, Side, aside, capped, sides_of_new_authors

NAMES = st.text("abcdefgh", min_size=1, max_size=6)


Arrivals = list[tuple[str, bool]]
ARRIVALS = st.lists(st.tuples(NAMES, st.booleans()), min_size=1, max_size=20)


def test_about_the_share_is_held_out_and_it_follows_from_the_seed() -> None:
    arrivals = [(f"p-{number}", True) for number in range(1000)]
    sides = sides_of_new_authors(arrivals, {}, share=0.2, seed="digits:0")
    held_out = [name for name, side in sides.items() if side == HELD_OUT]
    assert 160 <= len(held_out) <= 240
    assert sides == sides_of_new_authors(arrivals, {}, share=0.2, seed="digits:0")
    assert sides != sides_of_new_authors(arrivals, {}, share=0.2, seed="digits:1")


@given(ARRIVALS, st.integers(0, 20), st.floats(0.01, 0.99))
def test_a_side_follows_from_what_came_before_whenever_it_is_asked(
    arrivals: Arrivals, some: int, share: float
) -> None:
    at_once = sides_of_new_authors(arrivals, {}, share=share, seed="s")
    first = sides_of_new_authors(arrivals[:some], {}, share=share, seed="s")
    later = sides_of_new_authors(arrivals, first, share=share, seed="s")
    assert first | later == at_once
    assert not first.keys() & later.keys()


@given(st.lists(NAMES, min_size=2, max_size=8, unique=True), st.floats(0.01, 0.99))
def test_two_authors_are_enough_for_both_sides(names: list[str], share: float) -> None:
    sides = sides_of_new_authors([(name, True) for name in names], {}, share=share, seed="s")
    assert [sides[name] for name in names[:2]] == [TRAIN, HELD_OUT]


def test_who_fooled_nobody_yet_is_no_test() -> None:
    arrivals = [("p-1", True), ("p-2", False), ("p-3", True), ("p-2", True)]
    sides = sides_of_new_authors(arrivals, {}, share=1e-9, seed="s")
    assert sides == {"p-1": TRAIN, "p-2": TRAIN, "p-3": HELD_OUT}


def test_a_lone_author_trains() -> None:
    for seed in range(20):
        sides = sides_of_new_authors([("p-1", True)], {}, share=0.9, seed=str(seed))
        assert sides == {"p-1": TRAIN}


def test_what_was_written_about_first_on_one_side_is_not_on_the_other() -> None:
    arrivals: list[tuple[str, Side]] = [
        ("a", TRAIN), ("b", HELD_OUT), ("a", HELD_OUT), ("b", TRAIN), ("a", TRAIN),
        ("", HELD_OUT), ("", TRAIN),
    ]  # fmt: skip
    assert aside(arrivals) == [False, False, True, True, False, False, False]


@given(st.lists(NAMES, min_size=1, max_size=60), st.floats(0.05, 1))
def test_nobody_gives_more_than_their_share(authors: list[str], share: float) -> None:
    kept = [authors[place] for place in capped(authors, share=share, seed="s")]
    people = set(authors)
    most = max(Counter(kept).values())
    assert set(kept) == people, "everybody gives something"
    assert most == 1 or most <= max(share, 1 / len(people)) * len(kept) + 1e-6
    if share == 1:
        assert len(kept) == len(authors)


@given(
    st.lists(NAMES, min_size=4, max_size=8, unique=True),
    st.dictionaries(NAMES, st.sampled_from([TRAIN, HELD_OUT])),
    st.floats(0.01, 0.99),
)
def test_those_who_sent_each_others_contents_are_on_one_side(
    names: list[str], known: dict[str, Side], share: float
) -> None:
    one, other, third, *_ = sorted(names)
    known = {name: side for name, side in known.items() if name not in (other, third)}
    joined = [(one, other), (third, other)]
    arrivals = [(name, True) for name in names]
    sides = known | sides_of_new_authors(arrivals, known, share=share, seed="s", joined=joined)
    assert sides[one] == sides[other] == sides[third]
    assert set(sides) == set(names) | set(known)
    assert sides.items() >= known.items()
