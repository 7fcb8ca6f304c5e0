"""What a round's examples say beyond the tallies: read in six queries, kept while nothing changes.

The tallies tell whether anything did: as long as they are the same, so are these facts. A closed
round is read once, an open one at most once a minute, whoever looks.
"""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from operator import add
from statistics import fmean, median
from typing import Any, Final, NamedTuple

from django.core.cache import cache
from django.db import connection
from django.db.models import BooleanField, Count, Q, QuerySet, Sum, Value
from django.db.models.expressions import RawSQL

from accounts.models import Role, User
from annotate.models import ChatTurn, Context, Example, Round, RoundVisit, TaskConfig
from annotate.queries import sees_hints, works_alone
from scoring.kept import is_out
from scoring.queries import digest
from scoring.targets import Met, fate, met_in
from validate.models import Vote

KEPT_SECONDS: Final = 24 * 3600
BINS: Final = 10
MOST_SURE: Final = 5_000  # examples whose probabilities are read: the newest ones

_LIVE = Q(retracted_at=None, hidden_at=None)
VERIFIED = fate(Example.Status.VERIFIED)


class Group(NamedTuple):
    """What one author did with one label about one source."""

    label: str
    source: str
    tags: tuple[str, ...]
    author: int
    alone: bool
    """Whether they worked without the model's answers."""
    hinted: bool | None
    """Whether they saw hints, None where nobody did."""
    submitted: int
    fooled: int
    verified: int
    pending: int


class Spent(NamedTuple):
    """On all of a round's examples together; `timed` are those whose seconds are known, `watched`
    those of which it is known how many answers were seen: neither is what a program or a log sent.
    """

    probes: int
    watched: int
    seconds: float
    timed: int


class Usual(NamedTuple):
    """Mean and median; None where nothing was measured."""

    mean: float | None
    median: float | None


class Pace(NamedTuple):
    """Medians of verified foolings; None where nothing was measured."""

    tries: float | None
    seconds: float | None


class Talks(NamedTuple):
    """Of a round of chats: what those took that became verified foolings, and what all cost."""

    turns: Usual
    tokens: Usual
    tokens_in_all: int
    money: float | None
    """At the models' prices; None where one has none."""


class Bin(NamedTuple):
    """Answers of nearly one surety: its mean, how many, and how many were what the author said."""

    sure: float
    items: int
    right: int


@dataclass(frozen=True, slots=True)
class RoundFacts:
    """All that a round's page shows beyond counts by author."""

    groups: tuple[Group, ...]
    tries: Usual
    seconds: Usual
    spent: Spent
    paces: dict[tuple[str, str], Pace]
    """Of each label (as JSON), source and tag that has any, by sort and name."""
    visits: int
    """Of people signed in, who opened the page or sent something; 0 of what came from a log."""
    votes: int
    votes_on: dict[tuple[str, str], int]
    """Of each label, source and tag, by sort and name."""
    mistakes: dict[tuple[str, str], int]
    """Verified foolings by the right label and the model's, as JSON."""
    bins: tuple[Bin, ...]
    met: tuple[Met, ...]
    """What each model met, where the round has several."""
    talks: Talks | None


def facts_of(
    round_: Round,
    tallies: object,
    left_out: frozenset[int],
    *,
    few: bool,
    several: bool,
    talks: bool,
) -> RoundFacts:
    """The facts without what some people did, as long as they and the round's tallies are these.

    That somebody is out who has submitted nothing makes no others: their visits and chats stay
    until these are read again, a day at most.

    `few`: answers are some labels, so that what has one of them is a group. `several`: it has
    models beside each other, `talks`: it has chats, which take two queries more each.
    """
    key = f"round-facts-9-{round_.pk}-{digest(tallies, sorted(left_out))}"
    kept: RoundFacts | None = cache.get(key)
    if kept is None:
        kept = _read(round_, left_out, few=few, several=several, talks=talks)
        cache.set(key, kept, KEPT_SECONDS)
    return kept


def counted_of(round_: Round, left_out: Collection[int]) -> QuerySet[Example]:
    """The round's examples that count, without those of some authors."""
    # Of the round itself: examples that are shown then read it from no query each.
    return round_.examples.counted().exclude(author__in=left_out).order_by()


def verified_of(round_: Round, left_out: Collection[int]) -> QuerySet[Example]:
    """Of these the verified foolings, but those that were taken back or hidden."""
    return counted_of(round_, left_out).filter(VERIFIED)


def tagged(tag: str) -> Q:
    """Examples about a context that has this tag."""
    has = RawSQL(_HAS_TAG[connection.vendor], [tag], BooleanField())  # noqa: S611  (a parameter)
    return Q(context__in=Context.objects.filter(has).values("pk"))


_HAS_TAG: Final = {
    "postgresql": "tags @> to_jsonb(%s::text)",
    "sqlite": "EXISTS (SELECT 1 FROM json_each(tags) AS tag WHERE tag.value = %s)",
}


def _read(
    round_: Round, left_out: frozenset[int], *, few: bool, several: bool, talks: bool
) -> RoundFacts:
    counted, verified = counted_of(round_, left_out), verified_of(round_, left_out)
    label = "label" if few else Value("")
    took = verified.values_list("tries", "seconds", label, "context__source", "context__tags")
    pace = list(took)
    groups, spent = _groups(counted, label, round_.task_id)
    votes, votes_on = _votes(counted, "example__label" if few else label)
    mistakes = Counter[tuple[str, str]]()
    pairs = verified.values_list("label", "prediction").annotate(n=Count("id"))
    for right, said, items in pairs if few else ():
        mistakes[json.dumps(right), json.dumps(said)] += items
    return RoundFacts(
        groups=groups,
        tries=_usual([row[0] for row in pace]),
        seconds=_usual([row[1] for row in pace if row[1] is not None]),
        spent=spent,
        paces=_paces(pace),
        visits=_visits(round_, counted),
        votes=votes,
        votes_on=votes_on,
        mistakes=dict(mistakes),
        bins=_bins(counted),
        met=met_in([round_.pk] if several else (), left_out),
        talks=_talks(round_, verified) if talks else None,
    )


def _votes(counted: QuerySet[Example], label: Any) -> tuple[int, dict[tuple[str, str], int]]:
    """Of what is settled: a number that moved with each vote would tell which was gold."""
    settled = counted.filter(settled_at__isnull=False)
    votes = Vote.objects.counted().filter(example__in=settled, automatic=False).order_by()
    about = votes.values_list(label, "example__context__source", "example__context__tags")
    all_, on = 0, Counter[tuple[str, str]]()
    for *parts, n in about.annotate(n=Count("id")):
        all_ += n
        on.update(dict.fromkeys(_parts(*parts), n))
    return all_, dict(on)


def _parts(label: Any, source: str | None, tags: Iterable[Any] | None) -> list[tuple[str, str]]:
    """What an example is part of, by sort and name."""
    tagged = [("tag", str(tag)) for tag in tags or ()]
    return [("label", json.dumps(label)), ("source", source or ""), *tagged]


def _paces(rows: Iterable[tuple[Any, ...]]) -> dict[tuple[str, str], Pace]:
    parts: defaultdict[tuple[str, str], list[tuple[int, float | None]]] = defaultdict(list)
    for tries, seconds, *about in rows:
        for part in _parts(*about):
            parts[part].append((tries, seconds))
    return {
        part: Pace(
            _usual([tries for tries, _ in took]).median,
            _usual([seconds for _, seconds in took if seconds is not None]).median,
        )
        for part, took in parts.items()
    }


def _talks(round_: Round, verified: QuerySet[Example]) -> Talks:
    """A model is paid for chats, too, that nobody submitted. What a log brought is no talk here."""
    turns = ChatTurn.objects.filter(chat__round=round_, chat__author__isnull=False).order_by()
    turns = turns.exclude(is_out(round_.task_id, "chat__author"))
    each = turns.filter(chat__example__in=verified).values("chat")
    broke = list(each.annotate(n=Count("id"), cost=Sum("tokens")).values_list("n", "cost"))
    spent = [
        (tokens, config.get("price"))
        for config, tokens in turns.values_list("chat__model__config").annotate(Sum("tokens"))
        if tokens
    ]
    told = spent and all(price is not None for _, price in spent)
    return Talks(
        turns=_usual([n for n, _ in broke]),
        tokens=_usual([cost for _, cost in broke if cost is not None]),
        tokens_in_all=sum(tokens for tokens, _ in spent),
        money=sum(tokens * price / 1e6 for tokens, price in spent) if told else None,
    )


def _visits(round_: Round, counted: QuerySet[Example]) -> int:
    """A page that stays open meets the next round without opening anything."""
    opened = RoundVisit.objects.filter(round=round_).order_by()
    opened = opened.exclude(is_out(round_.task_id, "session__user"))
    sent = counted.filter(session__isnull=False).values_list("session")
    return opened.values_list("session").union(sent).count()


def _groups(
    counted: QuerySet[Example], label: Any, task_id: int
) -> tuple[tuple[Group, ...], Spent]:
    """In one pass over the round's examples. Who works alone, or sees hints, is said by the task's
    file as it was then; of a log's people nobody knows, and who may validate is told no hint."""
    said = TaskConfig.objects.filter(task=task_id).values_list(
        "pk", "data__feedback", "data__control", "data__hints", "data__validation"
    )
    controls, hints = {}, {}
    for pk, shown, share, hint, validation in said:
        controls[pk] = 1 if shown == "on_submit" else share or 0
        told = hint and hint["shown"] and (validation or {}).get("open_to") != Role.ANNOTATOR
        hints[pk] = hint["share"] if told else None
    logs = User.objects.filter(imported=True).values_list("pk", flat=True)
    imported = frozenset(logs) if any([*controls.values(), *hints.values()]) else frozenset()
    by = (label, "context__source", "context__tags", "author", "config")
    rows = counted.values_list(*by).annotate(
        submitted=Count("id"),
        claims=Count("id", filter=Q(fooled=True)),
        verified=Count("id", filter=VERIFIED),
        pending=Count("id", filter=fate(Example.Status.OPEN)),
        seen=Sum("probes"),
        watched=Count("id", filter=Q(seconds__isnull=False) | Q(probes__gt=0)),
        spent=Sum("seconds"), timed=Count("seconds"),
    )  # fmt: skip
    validators: frozenset[int] = frozenset()
    if any(share is not None for share in hints.values()):  # nobody tells them
        may = User.objects.exclude(role=Role.ANNOTATOR).values_list("pk", flat=True)
        validators = frozenset(may)
    groups, sums = [], Spent(0, 0, 0.0, 0)
    for label, source, tags, author, config, *numbers, seen, watched, seconds, timed in rows:
        alone = author not in imported and works_alone(controls[config], task_id, author)
        share, some = hints[config], tuple(map(str, tags or ()))
        hinted = None
        if share is not None and author not in imported and author not in validators:
            hinted = sees_hints(share, task_id, author)
        groups.append(Group(json.dumps(label), source or "", some, author, alone, hinted, *numbers))
        one = seen, watched, seconds or 0.0, timed
        sums = Spent(*map(add, sums, one))
    return tuple(groups), sums


def _usual(numbers: Sequence[float]) -> Usual:
    return Usual(fmean(numbers), median(numbers)) if numbers else Usual(None, None)


def _bins(counted: QuerySet[Example]) -> tuple[Bin, ...]:
    """The newest examples with probabilities in ten bins of how sure the model was."""
    newest = counted.filter(_LIVE, probabilities__isnull=False).order_by("-id")
    sums = [[0.0, 0, 0] for _ in range(BINS)]
    for shares, fooled in newest.values_list("probabilities", "fooled")[:MOST_SURE]:
        sure = _surety(shares)
        if sure is None:
            continue
        place = sums[min(BINS - 1, int(sure * BINS))]
        place[0] += sure
        place[1] += 1
        place[2] += not fooled
    return tuple(
        Bin(total / items, int(items), int(right)) for total, items, right in sums if items
    )


def _surety(shares: Any) -> float | None:
    numbers = shares.values() if isinstance(shares, dict) else ()
    some = [p for p in numbers if type(p) in (int, float) and 0 <= p <= 1]
    return float(max(some)) if some else None
