"""The boards: what people, rounds and models did, as rates with their intervals.

Everything is read from the tallies, in a number of queries that does not grow with the boards.
"""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from datetime import datetime, timedelta
from functools import cached_property
from typing import Any, Final, NamedTuple

from django.db.models import Prefetch, QuerySet
from django.utils import timezone

from accounts.models import User
from annotate.models import Example, ModelVersion, Round, Task
from annotate.queries import against
from annotate.sections import Rounds
from scoring import statements
from scoring.kept import PERSON, Tallies, read_tallies
from scoring.recount import counted
from scoring.statistics import Interval, clustered, wilson
from scoring.targets import Met, met_in

PERIODS: Final = (30, 7)  # days that a board can be of: each costs a count of its examples
RANKED_FROM: Final = 20  # submissions; below it a rank would be luck


@dataclass(frozen=True, slots=True)
class Rate:
    """`count` of `of`, and the range in which the true rate lies with 95 % confidence.

    What counts in part, as an item by the share of its copies, makes no whole number.
    """

    count: float
    of: int
    interval: Interval

    @property
    def value(self) -> float | None:
        """The share, 0 to 1; None while there is nothing to take a share of."""
        return self.count / self.of if self.of else None


def wilson_rate(count: float, of: int) -> Rate:
    """A rate of what is independent, as submissions of one person are taken to be."""
    return Rate(count, of, wilson(count, of))


@dataclass(frozen=True, slots=True)
class Counts:
    """Submissions, the claims among them, and what became of the claims."""

    submitted: int = 0
    fooled: int = 0
    pending: int = 0
    verified: int = 0
    rejected: int = 0
    relabelled: int = 0
    ambiguous: int = 0
    flagged: int = 0
    withdrawn: int = 0

    @property
    def decided(self) -> int:
        """The claims that validators, or an owner, have decided."""
        return self.fooled - self.pending - self.withdrawn

    @property
    def pending_share(self) -> float | None:
        """The share of the claimed foolings that validators have not decided yet."""
        return self.pending / self.fooled if self.fooled else None

    @classmethod
    def read(cls, row: Mapping[str, Any]) -> Counts:
        """The counts among the columns of a row of tallies."""
        return cls(**{column: row[column] for column in _COLUMNS})

    @classmethod
    def total(cls, parts: Iterable[Counts]) -> Counts:
        """All of them added up."""
        parts = list(parts)
        return cls(**{column: sum(getattr(p, column) for p in parts) for column in _COLUMNS})


_COLUMNS: Final = tuple(field.name for field in fields(Counts))


@dataclass(frozen=True, slots=True)
class AuthorRow:
    """One person; `rank` is None, and `missing` says how many submissions lack, before a rank."""

    author_id: int
    name: str
    counts: Counts
    mer: Rate
    vmer: Rate
    rank: int | None
    missing: int


@dataclass(frozen=True, slots=True)
class RoundRow:
    """One round; its intervals know that people differ: with one author they are 0 to 1."""

    number: int
    status: str
    opened_at: datetime | None
    closed_at: datetime | None
    models: tuple[str, ...]
    needed: int | None
    rules: Rounds
    authors: int
    counts: Counts
    mer: Rate
    vmer: Rate

    @property
    def against(self) -> str:
        """Whom people met, in words."""
        return against(self.models, self.needed)


@dataclass(frozen=True, slots=True)
class ModelRow:
    """One model that served; `mer` is of what it met itself."""

    id: int
    number: int
    name: str
    created_at: datetime
    rounds: tuple[int, ...]
    serving: bool
    metrics: Mapping[str, Any]
    mer: Rate

    @property
    def clean_accuracy(self) -> float | None:
        """How often it is right on clean held-out data, 0 to 1; None where nobody measured it."""
        clean = self.metrics.get("clean") or {}
        # A base model was measured alone, a retrained one beside the model that it came from.
        return clean.get("accuracy", clean.get("now"))


@dataclass(frozen=True)
class Board:
    """People by rank, then the unranked by how little they lack."""

    rows: tuple[AuthorRow, ...]

    @cached_property
    def by_author(self) -> dict[int, AuthorRow]:
        return {row.author_id: row for row in self.rows}

    @property
    def ranked(self) -> tuple[AuthorRow, ...]:
        return tuple(row for row in self.rows if row.rank is not None)

    @property
    def unranked(self) -> tuple[AuthorRow, ...]:
        return tuple(row for row in self.rows if row.rank is None)


class Asked(NamedTuple):
    """What names a board of people."""

    days: int | None = None
    round: int | None = None


def board_of(task: Task, asked: Asked, tallies: Tallies) -> Board:
    """People by the lower end of the Wilson interval of their vMER.

    Equal bounds share a rank and the next one is skipped (1, 2, 2, 4). With days what was sent in
    these last ones counts alone: it is counted from the examples, once for each reading of tallies.
    """
    days, round_ = asked

    def make(tallies: Tallies) -> Board:
        rows = tallies.rows
        if days is not None:
            rows = tallies.once(("days", days), lambda now: _rows_of_days(task, days, now))
        return _board(rows, round_)

    return tallies.once(("people", *asked), make)


def author_board(task: Task, round: Round | None = None, days: int | None = None) -> Board:
    """The board of people; one query."""
    return board_of(task, Asked(days, round.pk if round else None), read_tallies(task))


def _rows_of_days(task: Task, days: int, tallies: Tallies) -> list[dict[str, Any]]:
    """As the rows of tallies, of the examples of the last days."""
    since = timezone.now() - timedelta(days=days)
    sent = Example.objects.counted().filter(task=task, created_at__gte=since)
    found = counted(sent.exclude(author__in=tallies.left_out))
    people = User.objects.in_bulk({author for _, author in found})
    fields = [field.removeprefix("author__") for field in PERSON]
    return [
        {
            "round_id": round_,
            "author_id": author,
            **{f"author__{field}": getattr(people[author], field) for field in fields},
            **numbers,
        }
        for (round_, author), numbers in sorted(found.items())
    ]


def _board(rows: Sequence[Mapping[str, Any]], round: int | None) -> Board:
    by_author: defaultdict[int, list[Mapping[str, Any]]] = defaultdict(list)
    for row in rows:
        if round is None or row["round_id"] == round:
            by_author[row["author_id"]].append(row)
    people = [_author_row(tallies) for tallies in by_author.values()]
    people = [row for row in people if row.counts.submitted]
    people.sort(
        key=lambda row: (
            row.missing,
            -row.vmer.interval.low,
            -row.counts.verified,
            row.name,
            row.author_id,
        )
    )
    return Board(tuple(_ranked(people)))


def _author_row(tallies: Sequence[Mapping[str, Any]]) -> AuthorRow:
    counts, row = Counts.total(map(Counts.read, tallies)), tallies[0]
    # As `User.public_name`, and the pseudonym of who asks for it.
    hidden = row["author__closed_at"] is not None or row["author__unnamed"]
    return AuthorRow(
        author_id=row["author_id"],
        name=row["author__pseudonym" if hidden else "author__username"],
        counts=counts,
        mer=wilson_rate(counts.fooled, counts.submitted),
        vmer=wilson_rate(counts.verified, counts.submitted),
        rank=None,
        missing=max(0, RANKED_FROM - counts.submitted),
    )


def _ranked(rows: list[AuthorRow]) -> Iterable[AuthorRow]:
    """Give ranks to those sorted first, who lack nothing."""
    rank, bound = 0, None
    for place, row in enumerate(rows, start=1):
        if row.missing:
            yield row
            continue
        if row.vmer.interval.low != bound:
            rank, bound = place, row.vmer.interval.low
        yield replace(row, rank=rank)


def round_board(task: Task, tallies: Tallies | None = None) -> tuple[RoundRow, ...]:
    """Rounds that were opened, newest first; three queries, two with the tallies."""
    now = tallies or read_tallies(task)
    opened = opened_rounds().filter(task=task).prefetch_related("targets")
    return tuple(row_of(round_, now) for round_ in opened)


def opened_rounds() -> QuerySet[Round]:
    return Round.objects.exclude(status=Round.Status.DRAFT).order_by("-number")


def opened_round(task: Task, number: int) -> Round | None:
    """The round if it was ever opened; one query. Some databases cannot compare longer numbers."""
    return statements.opened_round(task.pk, number) if number < 2**31 else None


def authors_by_round(tallies: Tallies) -> Mapping[int, dict[int, Counts]]:
    """What each author did in each round, by their ids."""
    return tallies.once("authors", _authors_by_round)


def _authors_by_round(tallies: Tallies) -> Mapping[int, dict[int, Counts]]:
    authors: defaultdict[int, dict[int, Counts]] = defaultdict(dict)
    for row in tallies.rows:
        authors[row["round_id"]][row["author_id"]] = Counts.read(row)
    return authors


def _round_numbers(authors: Mapping[int, Counts]) -> tuple[int, Counts, Rate, Rate]:
    parts = authors.values()
    mer, vmer = rate_over_authors(parts, "fooled"), rate_over_authors(parts, "verified")
    return len(authors), Counts.total(parts), mer, vmer


def row_of(round_: Round, tallies: Tallies) -> RoundRow:
    """A round as it is now, with its numbers as they were read; its targets cost a query."""

    def numbers(tallies: Tallies) -> tuple[int, Counts, Rate, Rate]:
        return _round_numbers(authors_by_round(tallies).get(round_.pk, {}))

    authors, counts, mer, vmer = tallies.once(("round", round_.pk), numbers)
    return RoundRow(
        number=round_.number,
        status=round_.status,
        opened_at=round_.opened_at,
        closed_at=round_.closed_at,
        models=tuple(sorted(model.name for model in round_.targets.all())),
        needed=round_.needed,
        rules=round_.limits,
        authors=authors,
        counts=counts,
        mer=mer,
        vmer=vmer,
    )


def rate_over_authors(authors: Iterable[Counts], column: str, of: str = "submitted") -> Rate:
    pairs = [(getattr(author, column), getattr(author, of)) for author in authors]
    return clustered_rate([pair[0] for pair in pairs], [pair[1] for pair in pairs])


def clustered_rate(counts: Sequence[int], submitted: Sequence[int]) -> Rate:
    """A rate over people, each with a count and their submissions, who differ from each other."""
    return Rate(sum(counts), sum(submitted), clustered(counts, submitted))


def model_board(task: Task, tallies: Tallies | None = None) -> tuple[ModelRow, ...]:
    """Models that were the target of a round, newest first.

    Three queries, two with the tallies, and two more where rounds have several models.
    """
    now = tallies or read_tallies(task)
    models = [
        model
        for model in ModelVersion.objects.filter(task=task)
        .prefetch_related(Prefetch("rounds", opened_rounds()))
        .order_by("-number")
        if model.rounds.all()
    ]
    targets = Counter(round_.pk for model in models for round_ in model.rounds.all())
    shared = tuple(sorted(round_ for round_, number in targets.items() if number > 1))
    return tuple(_model_row(model, shared, now) for model in models)


def _model_row(model: ModelVersion, shared: tuple[int, ...], tallies: Tallies) -> ModelRow:
    rounds = sorted(model.rounds.all(), key=lambda round_: round_.number)
    keys = tuple(round_.pk for round_ in rounds)
    alone = [key for key in keys if key not in shared]
    return ModelRow(
        id=model.pk,
        number=model.number,
        name=model.name,
        created_at=model.created_at,
        rounds=tuple(round_.number for round_ in rounds),
        serving=any(round_.status == Round.Status.OPEN for round_ in rounds),
        metrics=model.metrics,
        mer=tallies.once(
            ("mer", model.pk, keys, shared),
            lambda tallies: _mer_of(model.pk, alone, shared, tallies),
        ),
    )


def _mer_of(model: int, rounds: Iterable[int], shared: tuple[int, ...], tallies: Tallies) -> Rate:
    """The error rate over rounds of its own, and what it met in others, each author counted as
    one."""
    authors = authors_by_round(tallies)
    met: Sequence[Met] = tallies.once(("met", shared), lambda now: met_in(shared, now.left_out))
    beside = (one for one in met if one.model == model)
    by_author: defaultdict[int, list[int]] = defaultdict(lambda: [0, 0])
    did_what: list[tuple[int, Counts | Met]] = [(one.author, one) for one in beside]
    for round_ in rounds:
        did_what.extend(authors.get(round_, {}).items())
    for author, did in did_what:
        by_author[author][0] += did.fooled
        by_author[author][1] += did.submitted
    fooled, submitted = zip(*by_author.values(), strict=True) if by_author else ((), ())
    return clustered_rate(fooled, submitted)


def digest(*boards: object) -> str:
    """The same as long as the boards are: what an open page has, to compare with what is new."""
    return hashlib.sha256(repr(boards).encode()).hexdigest()[:16]
