"""How far validators agree, and each of them with the rest: what an owner looks at.

Everything is counted by the database; no query brings back a row for each vote.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Any, Final

from django.db import connection
from django.db.models import Count, Q, Sum
from django.utils import timezone

from accounts.models import User
from annotate.config import TaskFile
from annotate.models import Barred, Example, Task
from annotate.queries import kept_config
from annotate.sections import Label
from kinds.answers import in_order
from scoring.kept import Tallies, is_out
from scoring.pair_agreement import Agreement, agreement, of_one_label
from scoring.queries import Rate, wilson_rate
from scoring.statistics import Interval
from validate.models import QueueItem, Reliability, Vote
from validate.people.ties import named_ties
from validate.policies.trust import interval as trust_interval
from validate.queries import reciprocal_pairs

MAX_LABELS: Final = 20  # a larger matrix cannot be read
VALIDATORS_SHOWN: Final = 200
PACE_DAYS: Final = 7
PAIRS_SHOWN: Final = 20

_VOTE, _EXAMPLE, _PERSON, _BARRED, _ROUND = (
    Vote._meta.db_table,
    Example._meta.db_table,
    User._meta.db_table,
    Barred._meta.db_table,
    Example._meta.get_field("round").related_model._meta.db_table,
)

# One pass for both boards, with the counting conditions of `Vote.objects.counted()`. `second` is
# the label after the first one, and null for votes that are not the first: whether there is a third
# vote depends on the first two, so that all together would look like more agreement than there is.
# What the model said matters to free answers alone: to others it would mean more groups.
_VOTES_BY_LABELS: Final = f"""
    WITH placed AS (
        SELECT e.round_id, e.config_id, e.label AS author, v.label AS said,
               CASE WHEN e.fooled AND %s THEN e.prediction END AS wrong,
               ROW_NUMBER() OVER of_example AS place,
               LEAD(v.label) OVER of_example AS following
        FROM {_VOTE} v JOIN {_EXAMPLE} e ON e.id = v.example_id
        WHERE e.task_id = %s AND NOT e.sandbox AND NOT e.provisional AND v.purpose = %s
          AND NOT v.surplus AND NOT v.dropped AND NOT v.automatic AND v.label IS NOT NULL
          AND e.author_id NOT IN (
              SELECT id FROM {_PERSON} WHERE banned_at IS NOT NULL
              UNION SELECT person_id FROM {_BARRED} WHERE task_id = %s
          )
        WINDOW of_example AS (PARTITION BY v.example_id ORDER BY v.id)
    ), counts AS (
        SELECT round_id, config_id, author, said, wrong,
               CASE WHEN place = 1 THEN following END AS second, COUNT(*) AS votes
        FROM placed
        GROUP BY round_id, config_id, author, said, wrong, CASE WHEN place = 1 THEN following END
    )
    SELECT r.number, c.config_id, c.author, c.said, c.second, c.wrong, c.votes
    FROM counts c JOIN {_ROUND} r ON r.id = c.round_id
"""  # noqa: S608  (names of tables, from the models)

Pair = tuple[str, str]


def agreement_of(task: Task, votes: Tallies) -> dict[str, Any]:
    """All that owners are told of validators, made once for each reading of their votes."""
    return votes.once(("agreement", task.config_id), lambda _: _agreement(task))


def _agreement(task: Task) -> dict[str, Any]:
    counts = vote_counts(task)
    return {
        "board": agreement_board(task, counts),
        "confusion": confusion_rows(task, counts),
        "validators": validator_board(task),
        "pairs": reciprocal_pairs(task.pk)[:PAIRS_SHOWN],
        "ties": named_ties(task),
        "backlog": backlog(task),
    }


@dataclass(frozen=True, slots=True)
class Named:
    """The agreement about one label, or in one round."""

    name: str
    agreement: Agreement


@dataclass(frozen=True, slots=True)
class AgreementBoard:
    """Alpha of all pairs of first two votes, and of parts of them."""

    overall: Agreement
    labels: tuple[Named, ...]
    rounds: tuple[Named, ...]


@dataclass(frozen=True, slots=True)
class VoteCounts:
    """Votes that count, by labels as JSON text.

    `pairs[round number]` counts the first two labels of examples, `answers` every vote by the
    author's label and its own.
    """

    pairs: Mapping[int, Counter[Pair]]
    answers: Counter[Pair]


def vote_counts(task: Task) -> VoteCounts:
    """Count a task's votes in one query, which reads each of them once."""
    pairs: dict[int, Counter[Pair]] = {}
    answers = Counter[Pair]()
    with connection.cursor() as cursor:
        free, purpose = task.kind.answers.free, Vote.Purpose.VERDICT.value
        cursor.execute(_VOTES_BY_LABELS, [free, task.pk, purpose, task.pk])
        for number, config, author, *said, wrong, votes in cursor.fetchall():
            file, own = kept_config(config).file, _json(author)
            first, second = file.read_in_turn(map(_json, said), own, _json(wrong))
            answers[_text(own), _text(first)] += votes
            if second is not None:
                pairs.setdefault(number, Counter())[_text(first), _text(second)] += votes
    return VoteCounts(pairs, answers)


def agreement_board(task: Task, counts: VoteCounts) -> AgreementBoard:
    """The alphas of counted votes; a few milliseconds of resampling for each that is new.

    Labels of which nothing can be said yet are left out.
    """
    everything = sum(counts.pairs.values(), Counter[Pair]())
    labels = [
        Named(label.name, _alpha(of_one_label(everything, json.dumps(label.value))))
        for label in _labels(task)
    ]
    return AgreementBoard(
        overall=_alpha(everything),
        labels=tuple(row for row in labels if row.agreement.alpha is not None),
        rounds=tuple(
            Named(f"Round {number}", _alpha(counts.pairs[number]))
            for number in sorted(counts.pairs, reverse=True)
        ),
    )


def few_labels(file: TaskFile) -> Sequence[Label]:
    """The labels of a task of which one is right; none where answers are open or several."""
    few = len(file.labels) <= MAX_LABELS and file.kind.answers.few
    return file.labels if few else ()


def _labels(task: Task) -> Sequence[Label]:
    assert task.config is not None
    return few_labels(task.config.file)


def _json(label: Any) -> Any:
    """SQLite gives a column of JSON as text."""
    return json.loads(label) if isinstance(label, str) else label


def _text(label: Any) -> str:
    """The same text for the same JSON, whichever database wrote it."""
    return json.dumps(in_order(label))


def _alpha(pairs: Mapping[Any, int]) -> Agreement:
    return _remembered_alpha(tuple(sorted(pairs.items())))


@lru_cache(maxsize=512)
def _remembered_alpha(pairs: tuple[tuple[Any, int], ...]) -> Agreement:
    """Resampling takes milliseconds a part; pages that look again mostly ask for the same."""
    return agreement(dict(pairs))


# --- author against validators --------------------------------------------------------------------
@dataclass(frozen=True, slots=True)
class Cell:
    """How often one label was said of what is, or is called, another."""

    count: int
    share: float | None
    said: str
    agrees: bool

    @property
    def heat(self) -> int:
        """0 to 9, for the shade."""
        return min(9, round(9 * (self.share or 0)))


@dataclass(frozen=True, slots=True)
class ConfusionRow:
    """What was said of the examples of one label; shares add up to 1."""

    label: str
    votes: int
    cells: tuple[Cell, ...]


def confusion_rows(task: Task, counts: VoteCounts) -> tuple[ConfusionRow, ...]:
    """Authors' labels by validators' labels, over the votes that count."""
    return label_matrix(_labels(task), counts.answers)


def label_matrix(labels: Sequence[Label], counts: Mapping[Pair, int]) -> tuple[ConfusionRow, ...]:
    """Pairs of labels, as JSON text, by the first and the second; nothing where nothing is."""
    if not counts:
        return ()
    keys = [json.dumps(label.value) for label in labels]
    rows = []
    for label, key in zip(labels, keys, strict=True):
        row = [counts.get((key, said), 0) for said in keys]
        total = sum(row)
        cells = tuple(
            Cell(n, n / total if total else None, other.name, other is label)
            for other, n in zip(labels, row, strict=True)
        )
        rows.append(ConfusionRow(label.name, total, cells))
    return tuple(rows)


def counts_by_label(rows: Iterable[ConfusionRow]) -> dict[str, dict[str, int]]:
    """The same by names, without what never was."""
    return {row.label: {one.said: one.count for one in row.cells if one.count} for row in rows}


# --- validators -----------------------------------------------------------------------------------
@dataclass(frozen=True, slots=True)
class ValidatorRow:
    """One validator in a task."""

    name: str
    votes: int
    unsure: int
    flags: int
    fast_share: float
    gold: Rate | None
    borne_out: Rate | None
    """Scored votes that the others bear out, or the known answer: the own vote is left out."""
    reliability: Rate | None
    median_seconds: float | None
    skipped: int
    quarantined_at: datetime | None


@dataclass(frozen=True, slots=True)
class ValidatorBoard:
    """The validators with the most votes, the quarantined ones first."""

    rows: tuple[ValidatorRow, ...]
    left_out: int


def validator_board(task: Task) -> ValidatorBoard:
    """Three queries, whatever the number of votes."""
    votes = Vote.objects.filter(example__task=task, purpose=Vote.Purpose.VERDICT, automatic=False)
    totals = list(
        votes.order_by()
        .values("validator")
        .annotate(
            votes=Count("id"),
            fast=Count("id", filter=Q(fast=True)),
            unsure=Count("id", filter=Q(flag="unsure")),
            flagged=Count("id", filter=Q(label__isnull=True) & ~Q(flag="unsure")),
        )
    )
    standings = {row.validator_id: row for row in Reliability.objects.filter(task=task)}

    def place(total: Mapping[str, Any]) -> tuple[bool, int, int]:
        standing = standings.get(total["validator"])
        trusted = standing is None or standing.quarantined_at is None
        return trusted, -total["votes"], total["validator"]

    totals.sort(key=place)
    shown = totals[:VALIDATORS_SHOWN]
    people = User.objects.in_bulk([total["validator"] for total in shown])
    rows = tuple(
        _validator_row(people[total["validator"]], total, standings.get(total["validator"]))
        for total in shown
    )
    return ValidatorBoard(rows, len(totals) - len(shown))


def _validator_row(
    person: User, total: Mapping[str, Any], standing: Reliability | None
) -> ValidatorRow:
    gold = borne_out = reliability = None
    if standing is not None and standing.gold_seen:
        gold = wilson_rate(standing.gold_right, standing.gold_seen)
    if standing is not None and standing.scored:
        # The sum of many differences may lie a rounding error outside.
        borne_out = wilson_rate(min(max(0.0, standing.agreement), standing.scored), standing.scored)
        low, high = trust_interval(standing.alpha, standing.beta)
        # Per mille keeps three digits of the mean: a Rate counts whole things.
        reliability = Rate(round(1000 * standing.mean), 1000, Interval(low, high))
    return ValidatorRow(
        name=person.public_name,
        votes=total["votes"],
        unsure=total["unsure"],
        flags=total["flagged"],
        fast_share=total["fast"] / total["votes"],
        gold=gold,
        borne_out=borne_out,
        reliability=reliability,
        median_seconds=standing.median_seconds if standing else None,
        skipped=standing.skipped if standing else 0,
        quarantined_at=standing.quarantined_at if standing else None,
    )


# --- backlog --------------------------------------------------------------------------------------
@dataclass(frozen=True, slots=True)
class Backlog:
    """What waits, and how long it takes at the pace of the last days.

    `days` is None when nothing was settled lately: there is no pace to go by.
    """

    waiting: int
    votes_wanted: int
    settled: int
    votes_each: float | None
    days: float | None

    @property
    def words(self) -> str:
        """The estimated finish, as one says it."""
        if not self.waiting:
            return "now"
        if self.days is None:
            return "nobody is at it"
        if self.days < 1 / 24:
            return "within the hour"
        if self.days < 1:
            hours = max(1, round(24 * self.days))
            return f"in about {hours} hour{'s' if hours > 1 else ''}"
        whole = round(self.days)
        return f"in about {whole} day{'s' if whole > 1 else ''}"


def backlog(task: Task, now: datetime | None = None) -> Backlog:
    """Waiting items and the pace at which votes settle them; three queries."""
    now = now or timezone.now()
    since = now - timedelta(days=PACE_DAYS)
    waiting = QueueItem.objects.filter(task=task, withdrawn=False).aggregate(
        items=Count("pk"), votes=Sum("votes_wanted")
    )
    settled = (
        Example.objects.filter(task=task, queued=True, adjudicated=False, settled_at__gte=since)
        .exclude(is_out(task.pk, "author"))
        .order_by("settled_at")
        .values_list("settled_at", flat=True)
    )
    count, first = settled.count(), settled.first()
    votes = (
        Vote.objects.counted()
        .filter(
            example__task=task,
            example__settled_at__gte=since,
            example__adjudicated=False,
            automatic=False,
        )
        .exclude(is_out(task.pk, "example__author"))
    )
    days = None
    if count and first is not None:
        # A task that began an hour ago has an hour's pace.
        span = max((now - first).total_seconds() / 86_400, 1 / 1440)
        days = waiting["items"] * span / count
    return Backlog(
        waiting=waiting["items"],
        votes_wanted=waiting["votes"] or 0,
        settled=count,
        votes_each=votes.count() / count if count else None,
        days=days,
    )
