"""Gates: what a candidate model must show before it replaces the current one; imports no Django.

All differences are new minus old, on the same items, in percentage points. Sentences are written
for the owner's page.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from core.rule_spec import build, check_integer, check_number
from training.f1 import Change
from training.nearby import Nearby
from training.paired import Paired, items_to_hold, surest

_ROUNDING: Final = 1e-9


@dataclass(frozen=True, slots=True)
class GateSettings:
    """What a task asks of a candidate; margins in percentage points, shares in per cent.

    A margin of -0.5 allows a loss of half a point. `confidence` is that of the one-sided bounds.
    """

    clean_margin: float = -0.5
    """For the bound on clean data, from `clean_items` items on."""
    clean_margin_few: float = -1.5
    """The same with fewer items."""
    clean_items: int = 2000
    earlier_margin: float = -1.0
    """For the difference on each earlier round's frozen test."""
    earlier_items: int = 0
    """A frozen test with fewer items fails only by a drop that chance does not explain."""
    new_round_items: int = 50
    """Held-out items of the new round from which on its gain has to be certain."""
    recall_margin: float = -2.0
    """For the recall of each class with at least `recall_items` clean items."""
    recall_items: int = 50
    f1_margin: float = -2.0
    """For the F1 on clean data, where labels are `unbalanced` or answers are free."""
    unbalanced: float = 2.0
    """So many times as many items of the most frequent label as of the rarest; 1: always."""
    negative_flips: float = 1.0
    """Highest share of clean items that the old model had right and the new one has wrong."""
    calibration_rise: float = 0.02
    """Highest rise of the expected calibration error, a number from 0 to 1."""
    min_verified: int = 50
    train_authors: int = 3
    """Fewest people whose foolings are learned from, and then fewest distinct contents."""
    train_contents: int = 20
    held_out_authors: int = 1
    held_out_contents: int = 5
    nearby_fall: float = 5.0
    """Highest median fall of surety on the clean items nearest to what was learned, in points."""
    nearby_items: int = 20
    """How many of these there are for each class that the learned items were taken for."""
    nearby_learned: int = 3
    """With fewer learned items than these a class is not looked at."""
    confidence: float = 0.95

    def __post_init__(self) -> None:
        for name in (
            "clean_margin",
            "clean_margin_few",
            "earlier_margin",
            "recall_margin",
            "f1_margin",
        ):
            check_number(name, getattr(self, name), least=-100, most=0)
        for name in (
            "clean_items",
            "earlier_items",
            "new_round_items",
            "recall_items",
            "min_verified",
            "train_authors",
            "train_contents",
            "held_out_authors",
            "held_out_contents",
            "nearby_learned",
        ):
            check_integer(name, getattr(self, name), least=0, most=10**9)
        check_integer("nearby_items", self.nearby_items, least=1, most=1000)
        check_number("unbalanced", self.unbalanced, least=1, most=10**9)
        check_number("nearby_fall", self.nearby_fall, least=0, most=100)
        check_number("negative_flips", self.negative_flips, least=0, most=100)
        check_number("calibration_rise", self.calibration_rise, least=0, most=1)
        check_number("confidence", self.confidence, least=0.5, most=1, inclusive=False)


def parse_gate_settings(overrides: Mapping[str, Any]) -> GateSettings:
    """Read a task's own settings over the defaults; ValueError is a sentence."""
    return build(GateSettings, overrides, what="set of gates")


@dataclass(frozen=True, slots=True)
class GateResult:
    """One gate's verdict with the numbers behind it, all of them plain for JSON.

    `value` is what was measured and `threshold` what it is held against; `bound` is a one-sided
    confidence bound of the value. `b` and `c` are McNemar's discordant counts (lost and gained).
    None where a number does not apply or could not be measured.
    """

    name: str
    passed: bool
    sentence: str
    threshold: float | None
    value: float | None = None
    bound: float | None = None
    n: int = 0
    b: int | None = None
    c: int | None = None


@dataclass(frozen=True, slots=True)
class Breadth:
    """How many people and distinct contents one side of the frozen data has."""

    authors: int
    contents: int


def judge(
    clean: Paired,
    earlier: Mapping[int, Paired],
    new_round: Paired,
    *,
    verified: int,
    shared_authors: Collection[str],
    train: Breadth,
    held_out: Breadth,
    near: Sequence[Nearby],
    settings: GateSettings | None = None,
    of: int = 1,
) -> list[GateResult]:
    """Hold a candidate against every gate, in the order in which a page shows them.

    `clean` is held-out clean data, `earlier` the frozen test of each earlier round by number,
    `new_round` the held-out items of the round just played, `verified` the number of verified items
    of that round, `shared_authors` the test authors who were met in training, `train` and
    `held_out` how broad both sides are, `near` the classes next to what was learned. `of` is how
    many candidates it is chosen from.
    """
    settings = settings or GateSettings()
    surer = replace(settings, confidence=_surer(settings, of))
    return [
        _verified_gate(verified, settings),
        _authors_gate(shared_authors),
        _breadth_gate("learned from", train, settings.train_authors, settings.train_contents),
        _breadth_gate(
            "tested with", held_out, settings.held_out_authors, settings.held_out_contents
        ),
        _clean_gate(clean, settings, of),
        *(_earlier_gate(number, earlier[number], surer) for number in sorted(earlier)),
        _new_round_gate(new_round, surer),
        *_by_label_gate(new_round, surer),
        *([_recall_gate(clean, surer)] if clean.classes or not clean.n else []),
        *_f1_gate(clean, surer),
        _nearby_gate(near, settings),
        _flips_gate(clean, settings),
        _calibration_gate(clean, settings),
    ]


def passed(results: Iterable[GateResult]) -> bool:
    """Whether every gate is passed."""
    return all(result.passed for result in results)


def _verified_gate(verified: int, settings: GateSettings) -> GateResult:
    least = settings.min_verified
    sentence = f"{_count(verified, 'verified example')} to learn from; at least {least} needed."
    return GateResult("verified", verified >= least, sentence, least, verified, n=verified)


def _authors_gate(shared_authors: Collection[str]) -> GateResult:
    shared = len(shared_authors)
    sentence = "No test author is in the training data."
    if shared:
        sentence = f"{_count(shared, 'test author')} also in the training data; none allowed."
    return GateResult("authors", not shared, sentence, 0, shared, n=shared)


def _breadth_gate(name: str, side: Breadth, authors: int, contents: int) -> GateResult:
    """A class of the model must not be a few people's to write, nor one content's."""
    sentence = (
        f"{_count(side.contents, 'distinct content')} by {_people(side.authors)} {name}; at least "
        f"{contents:,} by {_people(authors)} needed."
    )
    ok = side.authors >= authors and side.contents >= contents
    return GateResult(name, ok, sentence, contents, side.contents, n=side.contents)


def _surer(settings: GateSettings, of: int) -> float:
    """The best of several is lucky, too: each has to be surer by as many (Bonferroni)."""
    return 1 - (1 - settings.confidence) / of


def _clean_gate(clean: Paired, settings: GateSettings, of: int) -> GateResult:
    few = clean.n < settings.clean_items
    margin = settings.clean_margin_few if few else settings.clean_margin
    if not clean.n:
        sentence = "There is no clean test data: nothing to judge by."
        return GateResult("clean", False, sentence, margin)
    # Of the best of several more surety is asked, but no more than so many items can give.
    can_give = surest(margin, clean.n)
    confidence = max(settings.confidence, min(_surer(settings, of), can_give))
    bound = clean.lower_bound(confidence)
    size = f" with fewer than {settings.clean_items:,} items" if few else ""
    sentence = (
        f"Clean data: {_change(clean)}; with {_percent(confidence)} confidence at least "
        f"{bound:+.2f} points, and {margin:+.2f} or more is asked for{size}."
    )
    if margin and can_give < confidence:
        needed = items_to_hold(margin, confidence)
        sentence += f" To be so sure takes {needed:,} items, even if no answer changes."
    return _paired_gate("clean", bound >= margin - _ROUNDING, sentence, margin, clean, bound)


def _earlier_gate(number: int, test: Paired, settings: GateSettings) -> GateResult:
    name, margin = f"round {number}", settings.earlier_margin
    if not test.n:
        return GateResult(name, True, f"Round {number} kept no test items: not judged.", margin)
    ok, bound, asked = _hold_to_margin(test, margin, settings, few_below=settings.earlier_items)
    sentence = f"Round {number}: {_change(test)}; {asked}."
    return _paired_gate(name, ok, sentence, margin, test, bound)


def _new_round_gate(test: Paired, settings: GateSettings) -> GateResult:
    name = "new round"
    if not test.n:
        sentence = "The new round has no held-out items: no gain to show."
        return GateResult(name, False, sentence, 0.0)
    bound = test.lower_bound(settings.confidence)
    if test.n < settings.new_round_items:
        ok = test.delta >= 0
        asked = (
            f"no loss is asked for, which is all that fewer than {settings.new_round_items} items "
            "can tell"
        )
    else:
        ok = test.delta > 0 and bound > 0
        asked = (
            f"with {_percent(settings.confidence)} confidence at least {bound:+.2f} points, and "
            "more than 0 is asked for"
        )
    return _paired_gate(name, ok, f"New round: {_change(test)}; {asked}.", 0.0, test, bound)


def _by_label_gate(test: Paired, settings: GateSettings) -> list[GateResult]:
    """Where a few labels are most of the new round, a gain on these alone is none.

    That a gain is certain is asked of all items together: a rare label's few would never let it be.
    """
    counts, times = test.balance
    if test.recall is None or len(counts) == 1 or times < settings.unbalanced:
        return []
    change, few = test.recall, test.n < settings.new_round_items
    bound = change.lower_bound(settings.confidence)
    ok = change.delta >= 0 if few else change.delta > 0
    asked = (
        f"no loss is asked for of fewer than {settings.new_round_items} items"
        if few
        else "more than 0 is asked for"
    )
    sentence = (
        f"New round, each label alike ({_range_of(counts)}): recall {_was_and_is(change)}; {asked}."
    )
    name = "new round by label"
    return [GateResult(name, ok, sentence, 0.0, change.delta, bound, test.n)]


def _f1_gate(clean: Paired, settings: GateSettings) -> list[GateResult]:
    """Where accuracy tells little: a label that nearly all items have, or answers of many words."""
    counts, times = clean.balance
    change = clean.f1
    if change is None or (clean.classes and times < settings.unbalanced):
        return []
    margin = settings.f1_margin
    ok = change.delta >= margin - _ROUNDING
    asked, bound = f"{margin:+.2f} points or more is asked for", change.lower_bound
    if clean.n < settings.recall_items:
        bound = change.upper_bound
        if not ok:
            ok = change.upper_bound(settings.confidence) >= margin - _ROUNDING
            asked += f", and chance {'could explain this drop' if ok else 'does not explain it'}"
    of = f"the mean over labels ({_range_of(counts)})" if clean.classes else "of answers’ words"
    sentence = f"F1 on clean data, {of}: {_was_and_is(change)}; {asked}."
    return [
        GateResult("F1", ok, sentence, margin, change.delta, bound(settings.confidence), clean.n)
    ]


def _range_of(counts: Mapping[str, int]) -> str:
    """The most frequent label and the rarest."""
    most, least = (choose(sorted(counts), key=counts.__getitem__) for choose in (max, min))
    return f"{counts[most]:,} of '{most}', {counts[least]:,} of '{least}'"


def _was_and_is(change: Change) -> str:
    return f"{change.before:.3f} before, {change.now:.3f} now ({change.delta:+.2f} points)"


def _recall_gate(clean: Paired, settings: GateSettings) -> GateResult:
    """Judge each class; one item of 30 is already 3.3 points, so few items are judged otherwise."""
    name, margin = "recall", settings.recall_margin
    if not clean.n:
        sentence = "There is no clean test data: no recall to judge."
        return GateResult(name, False, sentence, margin)
    classes = {label: clean.of_class(label) for label in clean.classes}
    held = {
        label: _hold_to_margin(items, margin, settings, few_below=settings.recall_items)
        for label, items in classes.items()
    }
    failed = [label for label, (ok, _, _) in held.items() if not ok]
    enough = [label for label, items in classes.items() if items.n >= settings.recall_items]
    worst = min(failed or enough or classes, key=lambda label: classes[label].delta)
    _, bound, asked = held[worst]
    sentence = f"Recall by class: the worst is '{worst}', {_change(classes[worst])}; {asked}."
    if few := len(classes) - len(enough):
        sentence += (
            f" Classes with fewer than {settings.recall_items} items ({few} of {len(classes)}) "
            "fail only by a drop that chance does not explain."
        )
    return _paired_gate(name, not failed, sentence, margin, classes[worst], bound)


def _nearby_gate(near: Sequence[Nearby], settings: GateSettings) -> GateResult:
    name, most = "nearby", settings.nearby_fall
    if not near:
        sentence = (
            f"No class was misread by {settings.nearby_learned} learned items or more, or nothing "
            "measures how near items are: not judged."
        )
        return GateResult(name, True, sentence, most)
    worst = max(near, key=lambda one: one.fall)
    sentence = (
        f"Clean items next to what was learned: of the {worst.items} of class '{worst.label}' "
        f"nearest to {_count(worst.learned, 'learned item')} that were read as '{worst.label}' "
        f"before, the model is {worst.fall:.1f} points less sure; at most {most:.1f} allowed. If "
        "it is more, look at what was learned: it may be labelled wrong."
    )
    return GateResult(
        name, worst.fall <= most + _ROUNDING, sentence, most, worst.fall, n=worst.items
    )


def _flips_gate(clean: Paired, settings: GateSettings) -> GateResult:
    name, most = "negative flips", settings.negative_flips
    if not clean.n:
        sentence = "There is no clean test data: no flips to count."
        return GateResult(name, False, sentence, most)
    share = 100 * clean.lost / clean.n
    sentence = (
        f"{clean.lost} of {clean.n:,} clean items were right before and are wrong now "
        f"({share:.2f} %); at most {most:.2f} % allowed."
    )
    ok = share <= most + _ROUNDING
    return GateResult(name, ok, sentence, most, share, None, clean.n, clean.lost, clean.gained)


def _calibration_gate(clean: Paired, settings: GateSettings) -> GateResult:
    name, most = "calibration", settings.calibration_rise
    if clean.calibration_errors is None:
        sentence = "Calibration: not judged, because probabilities of clean items are missing."
        return GateResult(name, bool(clean.n), sentence, most)
    old, new = clean.calibration_errors
    sentence = (
        f"Calibration error {old:.3f} before, {new:.3f} now ({new - old:+.3f}); a rise of "
        f"at most {most:.3f} is allowed."
    )
    return GateResult(name, new - old <= most + _ROUNDING, sentence, most, new - old, n=clean.n)


def _hold_to_margin(
    items: Paired, margin: float, settings: GateSettings, *, few_below: int
) -> tuple[bool, float, str]:
    """Whether the difference holds the margin, its bound on the side that matters, and it in words.

    With fewer than `few_below` items the margin would be noise, and only a drop whose upper bound
    is below it counts.
    """
    holds = items.delta >= margin - _ROUNDING
    words = f"{margin:+.2f} points or more is asked for"
    if items.n >= few_below:
        if not holds and items.lost - items.gained == 1:
            words += f", and one item is {100 / items.n:.1f} points here"
        return holds, items.lower_bound(settings.confidence), words
    bound = items.upper_bound(settings.confidence)
    explained = bound >= margin - _ROUNDING
    if not holds:
        words += f", and chance {'could explain this drop' if explained else 'does not explain it'}"
    return explained, bound, words


def _paired_gate(
    name: str, ok: bool, sentence: str, threshold: float, items: Paired, bound: float
) -> GateResult:
    return GateResult(
        name, ok, sentence, threshold, items.delta, bound, items.n, items.lost, items.gained
    )


def _change(items: Paired) -> str:
    old, new = (100 * share for share in items.accuracies)
    return (
        f"{old:.2f} % before, {new:.2f} % now ({items.delta:+.2f} points; {items.gained} gained, "
        f"{items.lost} lost of {_count(items.n, 'item')})"
    )


def _count(number: int, thing: str) -> str:
    return f"{number:,} {thing if number == 1 else thing + 's'}"


def _people(number: int) -> str:
    return f"{number:,} {'person' if number == 1 else 'people'}"


def _percent(share: float) -> str:
    """Of what is never certain: below a hundred."""
    return f"{min(100 * share, 99.99):.2f}".rstrip("0").rstrip(".") + " %"
