"""Fooling rules: does the model's prediction differ from the author's label?

Pure and registered by name, each a frozen dataclass whose fields are its parameters. Whatever a
rule says is a *claim*: validators decide later whether the label was right. All rules answer
`fooled(prediction, label, claimed=None)` and raise ValueError, as a sentence, for values that they
cannot compare; only `AskAnnotator` looks at `claimed`.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from types import MappingProxyType
from typing import Any, Final, Protocol, TypeGuard

from core.rule_spec import Json, build_rule, check_number, check_switch


class Comparator(Protocol):
    """A fooling rule."""

    def fooled(self, prediction: Json, label: Json, *, claimed: bool | None = None) -> bool:
        """Whether the prediction counts as wrong, if the label is right."""
        ...


@dataclass(frozen=True, slots=True)
class ExactMatch:
    """Fooled when prediction and label differ, after normalising both if they are texts.

    Each step can be switched off, in this order: Unicode NFKC (`nfkc`), case folding
    (`ignore_case`; switch it off where "A" and "a" are two classes), and runs of white space as one
    space with none at the ends (`ignore_spaces`). With `ignore_place` an answer with a place in a
    passage, `{"text", "start"}`, is its text, and a list as label is several right answers. Values
    that are not both texts compare with `==`, so 3 and "3" differ.
    """

    ignore_case: bool = True
    ignore_spaces: bool = True
    nfkc: bool = True
    ignore_place: bool = False

    def __post_init__(self) -> None:
        check_switch("ignore_place", self.ignore_place)
        check_switch("ignore_case", self.ignore_case)
        check_switch("ignore_spaces", self.ignore_spaces)
        check_switch("nfkc", self.nfkc)

    def fooled(self, prediction: Json, label: Json, *, claimed: bool | None = None) -> bool:
        if not self.ignore_place:
            return self._differ(prediction, label)
        given, right = _without_place(prediction), label if _is_list(label) else [label]
        return all(self._differ(given, _without_place(one)) for one in right)

    def _differ(self, prediction: Json, label: Json) -> bool:
        if isinstance(prediction, str) and isinstance(label, str):
            return self._normalise(prediction) != self._normalise(label)
        return prediction != label

    def _normalise(self, text: str) -> str:
        if self.nfkc:
            text = unicodedata.normalize("NFKC", text)
        if self.ignore_case:
            text = text.casefold()
        return " ".join(text.split()) if self.ignore_spaces else text


@dataclass(frozen=True, slots=True)
class StringF1:
    """Fooled when SQuAD's token F1 of prediction and label is below `threshold`.

    An answer is a text or `{"text": ...}`; a list of them as label is several right answers, of
    which the best F1 counts. Both empty is 1, one empty is 0. Normalisation: see `token_f1`, also
    of `by_character`.
    """

    threshold: float = 0.4
    by_character: bool = False

    def __post_init__(self) -> None:
        check_switch("by_character", self.by_character)
        check_number("threshold", self.threshold, least=0, most=1)

    def fooled(self, prediction: Json, label: Json, *, claimed: bool | None = None) -> bool:
        return answer_f1(prediction, label, by_character=self.by_character) < self.threshold


@dataclass(frozen=True, slots=True)
class SpanIou:
    """Fooled when two spans of the context overlap by less than `threshold` (shared / covered).

    A span is `{"start", "end"}`, `{"text", "start"}` or `[start, end]`: offsets in characters (code
    points) with the end left out. A list of objects as label is several right spans, of which the
    best overlap counts. Two empty spans at one place are the same; at different places they differ.
    """

    threshold: float = 0.5

    def __post_init__(self) -> None:
        check_number("threshold", self.threshold, least=0, most=1)

    def fooled(self, prediction: Json, label: Json, *, claimed: bool | None = None) -> bool:
        given = _span(prediction)
        right: Sequence[Json] = [label]
        if _is_list(label) and all(isinstance(span, Mapping) for span in label):
            right = label
        if not right:
            raise ValueError("The label holds no span to compare with.")
        return max(_span_iou(given, _span(span)) for span in right) < self.threshold


@dataclass(frozen=True, slots=True)
class LabelSet:
    """Fooled when the two sets of labels differ, or share too little if `threshold` is given.

    Then the Jaccard index (shared / all) has to be below it; two empty sets are the same. Order and
    repetition do not matter.
    """

    threshold: float | None = None

    def __post_init__(self) -> None:
        if self.threshold is not None:
            check_number("threshold", self.threshold, least=0, most=1)

    def fooled(self, prediction: Json, label: Json, *, claimed: bool | None = None) -> bool:
        given, right = _label_set(prediction), _label_set(label)
        if self.threshold is None:
            return given != right
        union = given | right
        return (len(given & right) / len(union) if union else 1.0) < self.threshold

    @property
    def words(self) -> str:
        """What counts as fooled, to an annotator."""
        if self.threshold is None:
            return "It is fooled when it misses one of your labels, or names one that you do not."
        return (
            "It is fooled when fewer than"
            f" {self.threshold:.0%} of all labels that you or it name are named by both."
        )


@dataclass(frozen=True, slots=True)
class Numeric:
    """Fooled when the two numbers differ by more than `tolerance`.

    Numbers may come as texts, as forms send them. They are compared as decimals, so that .8 and .7
    are exactly .1 apart.
    """

    tolerance: float = 0

    def __post_init__(self) -> None:
        check_number("tolerance", self.tolerance, least=0, most=float("inf"))

    def fooled(self, prediction: Json, label: Json, *, claimed: bool | None = None) -> bool:
        return abs(_number(prediction) - _number(label)) > Decimal(str(self.tolerance))


@dataclass(frozen=True, slots=True)
class AskAnnotator:
    """Fooled when the author says so after seeing the answer; ValueError while they have not.

    For answers that no rule can compare. `fooled` depends on `claimed` alone: changing one's mind
    gives the new value and leaves no trace of the old one to count twice.
    """

    def fooled(self, prediction: Json, label: Json, *, claimed: bool | None = None) -> bool:
        if not isinstance(claimed, bool):
            raise ValueError("Say whether the model was fooled: its answer cannot be compared.")
        return claimed


COMPARATORS: Final[Mapping[str, Callable[..., Comparator]]] = MappingProxyType(
    {
        "exact_match": ExactMatch,
        "string_f1": StringF1,
        "span_iou": SpanIou,
        "label_set": LabelSet,
        "numeric": Numeric,
        "ask_annotator": AskAnnotator,
    }
)


# What a new task file says of a rule where its owner says nothing. Those of before go on without:
# what was called fooled under them, and is in releases, stays so.
NEW_FILES_SAY: Final[Mapping[str, Mapping[str, Json]]] = MappingProxyType(
    {"exact_match": {"ignore_place": True}, "string_f1": {"by_character": True}}
)


def parse_comparator(spec: Mapping[str, Any]) -> Comparator:
    """Read `{"rule": "exact_match" | ..., parameter: value}`; ValueError is a sentence."""
    return build_rule(spec, key="rule", rules=COMPARATORS)


def answer_f1(prediction: Json, label: Json, *, by_character: bool = True) -> float:
    """`token_f1` with the best of the right answers; ValueError where one of them is no text."""
    given = _answer_text(prediction)
    right = label if _is_list(label) else [label]
    if not right:
        raise ValueError("The label holds no answer to compare with.")
    return max(token_f1(given, _answer_text(one), by_character=by_character) for one in right)


def token_f1(prediction: str, answer: str, *, by_character: bool = True) -> float:
    """F1 of the words that two answers share, counted with repetition (Rajpurkar et al. 2016).

    As in SQuAD's evaluation: lower case, no punctuation, without the articles a, an, the. Different
    from it, all of Unicode's punctuation goes, not only ASCII's, after NFKC: typographic quotes
    are no words. Both empty: 1. `by_character`: of scripts that put no spaces between words each
    character is one, as in CMRC's evaluation (Cui et al. 2019) and MLQA's (Lewis et al. 2020).
    """
    given, right = (_squad_tokens(text, by_character) for text in (prediction, answer))
    if not given or not right:
        return float(given == right)
    shared = (Counter(given) & Counter(right)).total()
    return 2 * shared / (len(given) + len(right))


_ASCII_SYMBOLS: Final = frozenset("$+<=>^`|~")  # in string.punctuation, but no Unicode punctuation
_ARTICLES: Final = re.compile(r"\b(a|an|the)\b")
# Thai and Lao, Burmese, Khmer, kana, Chinese characters.
_SPACELESS: Final = (
    "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3005-\u3007\u3040-\u30ff\u31f0-\u31ff"
    "\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
)
_TOKEN: Final = re.compile(rf"[{_SPACELESS}]|[^\s{_SPACELESS}]+")


def _squad_tokens(text: str, by_character: bool) -> list[str]:
    text = unicodedata.normalize("NFKC", text).lower()
    kept = (
        letter
        for letter in text
        if letter not in _ASCII_SYMBOLS and not unicodedata.category(letter).startswith("P")
    )
    words = _ARTICLES.sub(" ", "".join(kept))
    return _TOKEN.findall(words) if by_character else words.split()


def _without_place(answer: Json) -> Json:
    placed = isinstance(answer, Mapping) and isinstance(answer.get("text"), str)
    return answer["text"] if placed else answer  # type: ignore[index, call-overload]


def _answer_text(answer: Json) -> str:
    text = answer.get("text") if isinstance(answer, Mapping) else answer
    if not isinstance(text, str):
        raise ValueError(f"An answer is a text or an object with 'text', not {answer!r}.")
    return text


def _span(span: Json) -> tuple[int, int]:
    match span:
        case {"start": start, "end": end}:
            ends = start, end
        case {"start": int(start), "text": str(text)}:
            ends = start, start + len(text)
        case [start, end]:
            ends = start, end
        case _:
            ends = None, None
    match ends:
        case int(first), int(last) if 0 <= first <= last:
            return first, last
    raise ValueError(f"A span has a start and an end that is not before it, unlike {span!r}.")


def _span_iou(given: tuple[int, int], right: tuple[int, int]) -> float:
    if given == right:
        return 1.0
    shared = max(0, min(given[1], right[1]) - max(given[0], right[0]))
    covered = (given[1] - given[0]) + (right[1] - right[0]) - shared
    return shared / covered if covered else 0.0


def _label_set(labels: Json) -> frozenset[str | int | float]:
    if _is_list(labels):
        plain = [label for label in labels if isinstance(label, str | int | float)]
        if len(plain) == len(labels):
            return frozenset(plain)
    raise ValueError(f"A set of labels is a list of texts or numbers, not {labels!r}.")


def _number(value: Json) -> Decimal:
    try:
        if isinstance(value, bool) or not isinstance(value, int | float | str):
            raise InvalidOperation
        number = Decimal(str(value).strip())
    except InvalidOperation:
        number = Decimal("nan")
    if not number.is_finite():
        raise ValueError(f"{value!r} is not a number.")
    return number


def _is_list(value: Json) -> TypeGuard[Sequence[Json]]:
    return isinstance(value, Sequence) and not isinstance(value, str)
