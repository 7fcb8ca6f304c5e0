"""What judges have come to, as their owners see it: no answer to any single example."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from accounts.models import User
from annotate.models import Example, Task
from scoring.queries import Rate
from scoring.statistics import Corrected, Interval, anytime, corrected_rate, wilson
from training import judges
from validate.models import Judge, JudgeAnswer, Vote


@dataclass(frozen=True, slots=True)
class Beside:
    """One person that a test held the judge against."""

    name: str
    items: int
    advantage: float
    p: float
    won: bool


@dataclass(frozen=True, slots=True)
class Outcome:
    """One test as it came out; `right`: how often the judge said what people settled."""

    passed: bool
    at: Any
    epsilon: float
    items: int
    winning_rate: float
    advantage: float
    right: Rate
    people: tuple[Beside, ...]
    left_out: int


@dataclass(frozen=True, slots=True)
class JudgeRow:
    """One judge. `ready` are the settled items that no test has used, of which `since` counts the
    right ones; `waiting` what of the claims that wait it upholds, `expected` the rate behind that;
    `votes` those that it has given since it was admitted.
    """

    judge: Judge
    able: str
    asked: int
    unanswered: int
    turned: Rate | None
    ready: int
    since: Rate
    upheld: Rate
    refused: Rate
    waiting: Rate
    expected: Corrected | None
    votes: int
    tests: tuple[Outcome, ...]

    @property
    def model(self) -> str:
        return self.judge.model.name

    @property
    def number(self) -> int:
        return self.judge.model.number

    @property
    def standing(self) -> str:
        return self.judge.standing

    @property
    def reason(self) -> str:
        return self.judge.reason

    @property
    def test(self) -> Outcome | None:
        return self.tests[0] if self.tests else None


def judges_of(task: Task) -> list[JudgeRow]:
    """All of a task's, newest first; eight queries a judge."""
    found = Judge.objects.filter(task=task).select_related("model__task", "task").order_by("-pk")
    return [row_of(judge) for judge in found]


def row_of(judge: Judge) -> JudgeRow:
    """One of them."""
    answers = list(
        JudgeAnswer.objects.filter(judge=judge, example__in=Example.objects.usable()).values_list(
            "label",
            "turned",
            "example__fooled",
            "example__config",
            "example__label",
            "example__prediction",
            "example__status",
            "example__adjudicated",
            judges.HAS_JUDGES_VOTE,
        )
    )
    said = [row for row in answers if row[0] is not None]
    claims = [row for row in said if row[2]]
    # What its own vote helped to settle says nothing of its errors.
    settled = [row for row in claims if row[6] in judges.SETTLED and not row[7] and not row[8]]
    yes = [_upholds(row) for row in settled if row[6] == Example.Status.VERIFIED]
    no = [not _upholds(row) for row in settled if row[6] != Example.Status.VERIFIED]
    open_ = [_upholds(row) for row in claims if row[6] == Example.Status.OPEN]
    both_ways = [row[1] for row in answers if row[1] is not None]
    right, ready = judges.right_of(judges.settled_answers(judge))
    return JudgeRow(
        judge=judge,
        able=judges.why_not(judge.model),
        asked=len(answers),
        unanswered=len(answers) - len(said) - sum(both_ways),
        turned=_rate(both_ways) if both_ways else None,
        ready=ready,
        since=Rate(right, ready, anytime(right, ready)),
        upheld=_rate(yes),
        refused=_rate(no),
        waiting=_rate(open_),
        votes=Vote.objects.filter(validator=judge.voter_id, automatic=True).count()
        if judge.voter_id
        else 0,
        expected=corrected_rate(_count(open_), _count(yes), _count(no)),
        tests=_tests(judge),
    )


def _upholds(row: Sequence[Any]) -> bool:
    said, _, fooled, config, label, predicted, *_ = row
    return judges.upholds(said, config, label, fooled, predicted)


def _tests(judge: Judge) -> tuple[Outcome, ...]:
    tests = list(judge.tests.order_by("-pk"))
    people = {one["person"] for test in tests for one in test.report["people"]}
    names = {user.pk: user.public_name for user in User.objects.filter(pk__in=people)}
    return tuple(
        Outcome(
            passed=test.passed,
            at=test.created_at,
            right=_of(test.report["right"], test.report["of"]),
            people=tuple(
                Beside(names.get(one["person"], "somebody gone"), *(one[k] for k in _BESIDE))
                for one in test.report["people"]
            ),
            **{name: test.report[name] for name in _TOLD},
        )
        for test in tests
    )


_BESIDE = ("items", "advantage", "p", "won")
_TOLD = ("epsilon", "items", "winning_rate", "advantage", "left_out")


def _rate(found: Sequence[bool]) -> Rate:
    return _of(*_count(found))


def _count(found: Sequence[bool]) -> tuple[int, int]:
    return sum(found), len(found)


def _of(count: int, of: int) -> Rate:
    return Rate(count, of, wilson(count, of) if of else Interval(0.0, 1.0))
