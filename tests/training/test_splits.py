"""Who trains and who tests."""

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from training.splits import HELD_OUT, TRAIN, Side, capped, sides_of_new_authors

NAMES = st.text("abcdefgh", min_size=1, max_size=6)


def test_about_the_share_is_held_out_and_it_follows_from_the_seed() -> None:
    counts = {f"p-{number}": 3 for number in range(1000)}
    sides = sides_of_new_authors(counts, {}, share=0.2, seed="digits:0")
    held_out = [name for name, side in sides.items() if side == HELD_OUT]
    assert 160 <= len(held_out) <= 240
    assert sides == sides_of_new_authors(counts, {}, share=0.2, seed="digits:0")
    assert sides != sides_of_new_authors(counts, {}, share=0.2, seed="digits:1")


def test_who_else_takes_part_changes_nobodys_side() -> None:
    few = {f"p-{number}": 1 for number in range(50)}
    more = few | {f"q-{number}": 1 for number in range(50)}
    all_sides = sides_of_new_authors(more, {}, share=0.2, seed="s")
    assert sides_of_new_authors(few, {}, share=0.2, seed="s").items() <= all_sides.items()


@given(st.dictionaries(NAMES, st.integers(1, 50), min_size=2, max_size=8), st.floats(0.01, 0.99))
def test_two_new_authors_are_enough_for_both_sides(counts: dict[str, int], share: float) -> None:
    sides = sides_of_new_authors(counts, {}, share=share, seed="s")
    assert set(sides.values()) == {TRAIN, HELD_OUT}


@given(st.dictionaries(NAMES, st.integers(1, 50), min_size=1, max_size=8))
def test_a_known_author_never_changes_sides(counts: dict[str, int]) -> None:
    first = sides_of_new_authors(counts, {}, share=0.2, seed="s")
    later = sides_of_new_authors(counts | {"zz": 1}, first, share=0.2, seed="s")
    assert set(later) <= {"zz"}
    if set(first.values()) == {TRAIN}:
        assert later == {"zz": HELD_OUT}


def test_a_lone_author_trains() -> None:
    for seed in range(20):
        sides = sides_of_new_authors({"p-1": 5}, {}, share=0.9, seed=str(seed))
        assert sides == {"p-1": TRAIN}


def test_the_forced_test_author_is_the_one_with_the_fewest_examples() -> None:
    sides = sides_of_new_authors({"p-1": 9, "p-2": 1}, {}, share=1e-9, seed="s")
    assert sides == {"p-1": TRAIN, "p-2": HELD_OUT}
    sides = sides_of_new_authors({"p-1": 9, "p-2": 1}, {}, share=1 - 1e-9, seed="s")
    assert sides == {"p-1": TRAIN, "p-2": HELD_OUT}


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
    st.dictionaries(NAMES, st.integers(1, 50), min_size=4, max_size=8),
    st.dictionaries(NAMES, st.sampled_from([TRAIN, HELD_OUT])),
    st.floats(0.01, 0.99),
)
def test_those_who_sent_each_others_contents_are_on_one_side(
    counts: dict[str, int], known: dict[str, Side], share: float
) -> None:
    one, other, third, *_ = sorted(counts)
    known = {name: side for name, side in known.items() if name not in (other, third)}
    joined = [(one, other), (third, other)]
    sides = known | sides_of_new_authors(counts, known, share=share, seed="s", joined=joined)
    assert sides[one] == sides[other] == sides[third]
    assert set(sides) == set(counts) | set(known)
    assert sides.items() >= known.items()
