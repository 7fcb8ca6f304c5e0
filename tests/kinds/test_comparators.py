"""The fooling rules: what counts as a wrong prediction."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kinds.comparators import COMPARATORS, parse_comparator, token_f1


def fooled(spec: dict[str, object], prediction: object, label: object) -> bool:
    return parse_comparator(spec).fooled(prediction, label)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("prediction", "label", "expected"),
    [
        ("7", "1", True),
        ("7", "7", False),
        ("Paris", " paris ", False),
        ("new   york", "New York", False),
        ("ﬁve", "five", False),
        ("Straße", "STRASSE", False),
        (3, 3, False),
        (3, "3", True),
    ],
)
def test_exact_match_ignores_case_spaces_and_letter_forms(
    prediction: object, label: object, expected: bool
) -> None:
    assert fooled({"rule": "exact_match"}, prediction, label) is expected


@pytest.mark.parametrize(
    ("switched_off", "prediction", "label"),
    [("ignore_case", "A", "a"), ("ignore_spaces", "a b", "a  b"), ("nfkc", "①", "1")],
)
def test_each_normalisation_of_exact_match_can_be_switched_off(
    switched_off: str, prediction: str, label: str
) -> None:
    assert not fooled({"rule": "exact_match"}, prediction, label)
    assert fooled({"rule": "exact_match", switched_off: False}, prediction, label)


@pytest.mark.parametrize(
    ("prediction", "answer", "f1"),
    [
        ("The Eiffel Tower!", "eiffel tower", 1.0),
        ("a tower in Paris", "the Eiffel tower", 2 * 1 / (3 + 2)),
        ("“Paris”", "Paris", 1.0),
        ("to be or not to be", "to be", 2 * 2 / (6 + 2)),
        ("", "", 1.0),
        ("the", "", 1.0),
        ("Paris", "", 0.0),
        ("theatre", "the atre", 0.0),
        ("$5", "5", 1.0),
        ("東京", "東京都", 2 * 2 / (2 + 3)),
        ("京都", "東京", 2 * 1 / (2 + 2)),
        ("とうきょう", "東京", 0.0),
        ("iPhone 15手机", "手机", 2 * 2 / (4 + 2)),
        ("กรุงเทพ", "กรุงเทพมหานคร", 2 * 7 / (7 + 13)),
        ("서울 특별시", "서울", 2 * 1 / (2 + 1)),
        ("в Москве", "Москве", 2 * 1 / (2 + 1)),
        ("بيروت، لبنان", "بيروت", 2 * 1 / (2 + 1)),
    ],
)
def test_token_f1(prediction: str, answer: str, f1: float) -> None:
    assert token_f1(prediction, answer) == pytest.approx(f1)


@given(st.text(max_size=30), st.text(max_size=30))
def test_token_f1_is_symmetric_and_full_only_for_itself(one: str, other: str) -> None:
    assert token_f1(one, one) == 1
    assert 0 <= token_f1(one, other) == token_f1(other, one) <= 1


@pytest.mark.parametrize(
    ("prediction", "label", "expected"),
    [
        ("in Paris, France", "Paris", False),
        ("somewhere in the south of France", "Nice", True),
        ({"text": "Paris", "start": 3}, {"text": "paris", "start": 40}, False),
        ("Rome", ["Paris", "the city of Rome"], False),
        ("Rome", [{"text": "Paris"}, {"text": "Lyon"}], True),
        ("", "", False),
    ],
)
def test_string_f1_takes_the_best_of_several_answers(
    prediction: object, label: object, expected: bool
) -> None:
    assert fooled({"rule": "string_f1"}, prediction, label) is expected


def test_a_rule_of_before_reads_words_between_spaces_and_places() -> None:
    """What was called fooled under it stays so; new task files say otherwise."""
    assert fooled({"rule": "string_f1"}, "東京", "東京都")
    assert not fooled({"rule": "string_f1", "by_character": True}, "東京", "東京都")
    marked, elsewhere = {"text": "Paris", "start": 30}, {"text": "paris", "start": 4}
    for other in (elsewhere, "PARIS"):
        assert fooled({"rule": "exact_match"}, other, marked)
        assert not fooled({"rule": "exact_match", "ignore_place": True}, other, marked)


def test_string_f1_is_fooled_below_its_threshold_and_not_at_it() -> None:
    assert not fooled({"rule": "string_f1", "threshold": 0.5}, "one two three", "one")
    assert fooled({"rule": "string_f1", "threshold": 0.51}, "one two three", "one")


@pytest.mark.parametrize(
    ("prediction", "label", "expected"),
    [
        ([0, 10], [0, 10], False),
        ([0, 10], [5, 15], True),
        ([0, 10], [2, 10], False),
        ({"start": 4, "end": 9}, {"text": "Paris", "start": 4}, False),
        ([0, 4], [{"start": 20, "end": 24}, {"start": 0, "end": 5}], False),
        ([3, 3], [3, 3], False),
        ([3, 3], [4, 4], True),
        ([0, 5], [5, 9], True),
    ],
)
def test_span_iou_compares_character_offsets(
    prediction: object, label: object, expected: bool
) -> None:
    assert fooled({"rule": "span_iou"}, prediction, label) is expected


@pytest.mark.parametrize(
    ("threshold", "prediction", "label", "expected"),
    [
        (None, ["a", "b"], ["b", "a", "a"], False),
        (None, ["a", "b"], ["a"], True),
        (None, [], [], False),
        (0.5, ["a", "b"], ["a"], False),
        (0.5, ["a", "b", "c"], ["a"], True),
        (0.5, [], [], False),
        (0.5, [], ["a"], True),
    ],
)
def test_label_set(
    threshold: float | None, prediction: object, label: object, expected: bool
) -> None:
    spec: dict[str, object] = {"rule": "label_set"}
    if threshold is not None:
        spec["threshold"] = threshold

    assert fooled(spec, prediction, label) is expected


@pytest.mark.parametrize(
    ("tolerance", "prediction", "label", "expected"),
    [
        (0, 3, 3.0, False),
        (0, 3, 4, True),
        (0.1, 0.8, 0.7, False),
        (0.1, 0.81, 0.7, True),
        (2, "41", " 43 ", False),
        (2, "1e3", 1003, True),
    ],
)
def test_numeric(tolerance: float, prediction: object, label: object, expected: bool) -> None:
    assert fooled({"rule": "numeric", "tolerance": tolerance}, prediction, label) is expected


def test_ask_annotator_takes_the_authors_word() -> None:
    rule = parse_comparator({"rule": "ask_annotator"})

    assert rule.fooled("anything", "else", claimed=True)
    assert not rule.fooled("anything", "else", claimed=False)
    with pytest.raises(ValueError, match="Say whether the model was fooled"):
        rule.fooled("anything", "else")


@pytest.mark.parametrize("rule", sorted(set(COMPARATORS) - {"ask_annotator"}))
def test_the_authors_word_does_not_count_where_a_rule_can_compare(rule: str) -> None:
    same: dict[str, tuple[object, object]] = {
        "span_iou": ([0, 4], [0, 4]),
        "label_set": (["a"], ["a"]),
        "numeric": (1, 1),
    }
    prediction, label = same.get(rule, ("a", "a"))

    assert not parse_comparator({"rule": rule}).fooled(prediction, label, claimed=True)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("rule", "prediction", "label"),
    [
        ("string_f1", 3, "three"),
        ("string_f1", "three", []),
        ("span_iou", [4, 2], [2, 4]),
        ("span_iou", [2, 4], "two"),
        ("span_iou", [-1, 4], [0, 4]),
        ("span_iou", [2, 4], []),
        ("span_iou", {"start": "0", "end": 4}, [0, 4]),
        ("label_set", "ab", ["a", "b"]),
        ("label_set", [["a"]], ["a"]),
        ("numeric", "many", 3),
        ("numeric", float("nan"), 3),
        ("numeric", True, 1),
        ("numeric", None, 1),
    ],
)
def test_values_that_a_rule_cannot_compare_are_refused(
    rule: str, prediction: object, label: object
) -> None:
    with pytest.raises(ValueError, match=r"\.$"):
        fooled({"rule": rule}, prediction, label)


@pytest.mark.parametrize(
    ("spec", "complaint"),
    [
        ({}, "Unknown rule None: choose one of ask_annotator, exact_match"),
        ({"rule": "rouge"}, "Unknown rule 'rouge'"),
        ("exact_match", "Write the rule as a mapping"),
        ({"rule": "exact_match", "case": True}, "has no parameter case; it takes ignore_case"),
        ({"rule": "exact_match", "nfkc": "no"}, "'nfkc' must be true or false"),
        ({"rule": "string_f1", "threshold": 1.5}, "'threshold' must be a number from 0 to 1"),
        ({"rule": "span_iou", "threshold": True}, "'threshold' must be a number"),
        ({"rule": "label_set", "threshold": -1}, "'threshold' must be a number"),
        ({"rule": "numeric", "tolerance": -1}, "'tolerance' must be a number"),
        ({"rule": "numeric", "tolerance": float("inf")}, "'tolerance' must be a number"),
        ({"rule": "ask_annotator", "of": 1}, "has no parameter of; it takes none"),
    ],
)
def test_a_mistake_in_a_rule_is_named(spec: dict[str, object], complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        parse_comparator(spec)
