"""One round in numbers: its rates, by label, source and tag, what they cost, and earlier rounds."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from annotate.config import TaskFile
from annotate.models import Round, Task
from scoring.agreement import ConfusionRow, few_labels, label_matrix
from scoring.comparison import conclusion
from scoring.kept import Tallies, read_tallies
from scoring.queries import (
    Rate,
    RoundRow,
    authors_by_round,
    clustered_rate,
    opened_round,
    rate_over_authors,
    round_board,
    row_of,
)
from scoring.round_facts import Bin, Group, Pace, RoundFacts, Talks, Usual, facts_of
from scoring.statistics import (
    Difference,
    Interval,
    Part,
    Stratified,
    anytime,
    clopper_pearson,
    jeffreys,
    mantel_haenszel,
    newcombe,
    wilson,
)
from scoring.targets import Met

COMPARED: Final = 5  # earlier rounds, the newest ones
ADVERSARIAL, ALONE = "against the model", "without its answers"
HINTED, UNHINTED = "with hints", "without hints"
SHOWN: Final = 30  # sources or tags, those of most submissions


@dataclass(frozen=True, slots=True)
class Split:
    """A part of a round; its intervals know that people differ."""

    name: str
    submitted: int
    fooled: int
    verified: int
    pending: int
    mer: Rate
    vmer: Rate
    tries: float | None = None
    seconds: float | None = None
    """Medians of its verified foolings; of labels, sources and tags, where they were measured."""
    submissions_each: float | None = None
    votes_each: float | None = None
    """All of its submissions, and votes on what is settled, for each verified fooling."""


@dataclass(frozen=True, slots=True)
class Compared:
    """This round's verified rate against an earlier one's."""

    number: int
    vmer: Rate
    raw: Difference
    within: Stratified | None
    strata: str
    words: str


@dataclass(frozen=True, slots=True)
class TalkCost:
    """What a verified fooling took of chats: its own turns and tokens, and its share of what all of
    the round's chats cost."""

    turns: Usual
    tokens: Usual
    tokens_each: float | None
    money_each: float | None


@dataclass(frozen=True, slots=True)
class Cost:
    """What a verified fooling took; None where nothing is verified or nothing was measured.

    `submissions`, `author_seconds` and `votes` are of the whole round, shared among its verified
    foolings: what failed cost as well.
    """

    tries: Usual
    seconds: Usual
    submissions: float | None
    author_seconds: float | None
    votes: float | None
    probes: float | None
    timed: int
    """Submissions whose seconds are known; the others are taken to be like them."""
    talk: TalkCost | None


@dataclass(frozen=True, slots=True)
class RoundReport:
    """All that a round's page and its REST twin tell."""

    row: RoundRow
    decided: int
    verified_of_decided: Rate
    at_most: float | None
    by_label: tuple[Split, ...]
    by_source: tuple[Split, ...]
    by_tag: tuple[Split, ...]
    sources: tuple[str, ...]
    tags: tuple[str, ...]
    """All of them, also those of too few submissions to be among the parts above."""
    by_target: tuple[Split, ...]
    """What each model met, where the round has several."""
    by_arm: tuple[Split, ...]
    """Who sees the model's answers and who works alone, where some do."""
    arms: Difference | None
    """The verified rate of the former, less that of the latter."""
    by_hint: tuple[Split, ...]
    """The same of who sees hints where the model errs, and who does not."""
    hints: Difference | None
    cost: Cost
    funnel: tuple[tuple[str, int], ...]
    mistakes: tuple[ConfusionRow, ...]
    bins: tuple[Bin, ...]
    compared: tuple[Compared, ...]
    others: tuple[tuple[str, Interval, str], ...]

    @property
    def left_out(self) -> dict[str, int]:
        """How many sources and tags are not among the parts."""
        return {
            "by_source": len(self.sources) - len(self.by_source),
            "by_tag": len(self.tags) - len(self.by_tag),
        }


def round_report(task: Task, number: int, *, patient: bool = False) -> RoundReport | None:
    """The report of an opened round; None where there is none. Two queries where it is kept.

    A program waits for what is not a minute old, people do not.
    """
    found = opened_round(task, number)
    if found is None:
        return None
    tallies = read_tallies(task, patient=patient)
    return replace(report_of(task, number, tallies), row=row_of(found, tallies))


def report_of(task: Task, number: int, tallies: Tallies) -> RoundReport:
    """The report of a round that was opened, as of these tallies.

    No query where it is kept, else three, and seven more for each round of which something changed.
    """
    key = ("report", number, task.config_id)
    return tallies.once(key, lambda tallies: _made(task, number, tallies))


def _made(task: Task, number: int, tallies: Tallies) -> RoundReport:
    assert task.config is not None
    file, authors = task.config.file, authors_by_round(tallies)
    rows = {row.number: row for row in round_board(task, tallies)}
    earlier = sorted((n for n in rows if n < number and rows[n].counts.submitted), reverse=True)
    numbers = [number, *earlier[:COMPARED]]
    wanted = [rows[one] for one in numbers]
    models = {row.number: row.models for row in wanted}
    rounds = {one.number: one for one in Round.objects.filter(task=task, number__in=numbers)}
    facts = {
        one: facts_of(
            round_,
            sorted(authors.get(round_.pk, {}).items()),
            tallies.left_out,
            few=bool(few_labels(file)),
            several=len(models[one]) > 1,
            talks=task.kind.talks,
        )
        for one, round_ in rounds.items()
    }
    row, here = wanted[0], facts[wanted[0].number]
    counts, people = row.counts, authors.get(rounds[number].pk, {}).values()
    by_arm = _parted(here.groups, lambda group: group.alone, (ALONE, ADVERSARIAL))
    hinted = [group for group in here.groups if group.hinted is not None]
    by_hint = _parted(hinted, lambda group: bool(group.hinted), (HINTED, UNHINTED))
    by_target = {one.name: [o for o in here.met if o.name == one.name] for one in here.met}
    return RoundReport(
        row=row,
        decided=counts.decided,
        verified_of_decided=rate_over_authors(people, "verified", of="decided"),
        at_most=(counts.verified + counts.pending) / counts.submitted if counts.submitted else None,
        by_label=_by_label(here, file),
        by_source=_paced(_splits(here.groups, _source_of), "source", here),
        by_tag=_paced(_splits(here.groups, lambda group: group.tags), "tag", here),
        sources=tuple(sorted({group.source for group in here.groups if group.source})),
        tags=tuple(sorted({tag for group in here.groups for tag in group.tags})),
        by_target=tuple(_split(name, by_target[name]) for name in sorted(by_target)),
        by_arm=by_arm,
        arms=_between(by_arm),
        by_hint=by_hint,
        hints=_between(by_hint),
        cost=_cost(row, here),
        funnel=(
            *([("visits", here.visits)] if here.visits else []),
            ("live answers seen", here.spent.probes),
            ("submitted", counts.submitted),
            ("claimed foolings", counts.fooled),
            ("decided", counts.decided),
            ("verified", counts.verified),
        ),
        mistakes=label_matrix(few_labels(file), here.mistakes),
        bins=here.bins,
        compared=tuple(_compare(row, one, here, facts[one.number], file) for one in wanted[1:]),
        others=_other_intervals(row),
    )


# --- parts of a round -----------------------------------------------------------------------------
def _by_label(facts: RoundFacts, file: TaskFile) -> tuple[Split, ...]:
    names = {json.dumps(label.value): label.name for label in few_labels(file)}
    found = _splits(facts.groups, lambda group: [group.label] if group.label in names else [])
    order = list(names)
    paced = sorted(_paced(found, "label", facts), key=lambda split: order.index(split.name))
    return tuple(replace(split, name=names[split.name]) for split in paced)


def _source_of(group: Group) -> list[str]:
    return [group.source] if group.source else []


def _paced(splits: Iterable[Split], sort: str, facts: RoundFacts) -> tuple[Split, ...]:
    """With what the verified foolings of each took."""
    found = []
    for split in splits:
        part, verified = (sort, split.name), split.verified
        pace = facts.paces.get(part, Pace(None, None))
        found.append(
            replace(
                split,
                tries=pace.tries,
                seconds=pace.seconds,
                submissions_each=split.submitted / verified if verified else None,
                votes_each=facts.votes_on.get(part, 0) / verified if verified else None,
            )
        )
    return tuple(found)


def _parted(
    groups: Sequence[Group], is_so: Callable[[Group], bool], names: tuple[str, str]
) -> tuple[Split, ...]:
    """Both ways of collecting, in the order of their names; nothing where there was only one."""
    if len({is_so(group) for group in groups}) < 2:
        return ()
    parts = _splits(groups, lambda group: [names[0] if is_so(group) else names[1]])
    return tuple(sorted(parts, key=lambda split: split.name))


def _between(parts: Sequence[Split]) -> Difference | None:
    """The verified rate of the first, less that of the second."""
    return _difference(*(split.vmer for split in parts)) if len(parts) > 1 else None


def _difference(now: Rate, before: Rate) -> Difference:
    return newcombe(now.value or 0.0, now.interval, before.value or 0.0, before.interval)


def _splits(
    groups: Sequence[Group], names_of: Callable[[Group], Iterable[str]]
) -> tuple[Split, ...]:
    """The parts by name, those of most submissions first; a group may be in several or in none."""
    parts: defaultdict[str, list[Group]] = defaultdict(list)
    for group in groups:
        for name in names_of(group):
            parts[name].append(group)
    sizes = {name: sum(group.submitted for group in part) for name, part in parts.items()}
    largest = sorted(parts, key=lambda name: (-sizes[name], name))[:SHOWN]
    return tuple(_split(name, parts[name]) for name in largest)


def _split(name: str, groups: Sequence[Group | Met]) -> Split:
    authors: defaultdict[int, list[int]] = defaultdict(lambda: [0, 0, 0, 0])
    for group in groups:
        for place, number in enumerate(group[-4:]):
            authors[group.author][place] += number
    submitted, fooled, verified, pending = zip(*authors.values(), strict=True)
    return Split(
        name,
        sum(submitted),
        sum(fooled),
        sum(verified),
        sum(pending),
        mer=clustered_rate(fooled, submitted),
        vmer=clustered_rate(verified, submitted),
    )


def _cost(row: RoundRow, facts: RoundFacts) -> Cost:
    verified, spent = row.counts.verified, facts.spent
    each = row.counts.submitted / verified if verified else None
    return Cost(
        tries=facts.tries,
        seconds=facts.seconds,
        submissions=each,
        author_seconds=spent.seconds / spent.timed * each if each and spent.timed else None,
        votes=facts.votes / verified if verified else None,
        probes=spent.probes / spent.watched if spent.watched else None,
        timed=spent.timed,
        talk=_talk_cost(facts.talks, verified) if facts.talks else None,
    )


def _talk_cost(talks: Talks, verified: int) -> TalkCost:
    tokens, money = talks.tokens_in_all, talks.money
    return TalkCost(
        turns=talks.turns,
        tokens=talks.tokens,
        tokens_each=tokens / verified if verified and tokens else None,
        money_each=money / verified if verified and money is not None else None,
    )


def _other_intervals(row: RoundRow) -> tuple[tuple[str, Interval, str], ...]:
    """The verified rate by other methods, each with what it is for."""
    k, n = row.counts.verified, row.counts.submitted
    return (
        ("People differ (used above)", row.vmer.interval, "Submissions of one person are alike."),
        ("Wilson", wilson(k, n), "As if each submission were another person's."),
        ("Clopper–Pearson", clopper_pearson(k, n), "The same, never too narrow."),
        ("Jeffreys", jeffreys(k, n), "The same, after Bayes."),
        ("Anytime", anytime(k, n), "The same, and holds however often you look while it grows."),
    )


# --- rounds against each other --------------------------------------------------------------------
def _compare(
    row: RoundRow, other: RoundRow, here: RoundFacts, there: RoundFacts, file: TaskFile
) -> Compared:
    strata, stratum_of = _strata(here, file)
    parts = [
        Part(stratum_of(group), group.author, facts is here, group.verified, group.submitted)
        for facts in (here, there)
        for group in facts.groups
    ]
    within = mantel_haenszel(parts) if strata else None
    raw = _difference(row.vmer, other.vmer)
    pending = [share for one in (row, other) if (share := one.counts.pending_share) is not None]
    words = conclusion(raw, within, strata, max(pending, default=None))
    return Compared(other.number, other.vmer, raw, within, strata, words)


def _strata(facts: RoundFacts, file: TaskFile) -> tuple[str, Callable[[Group], Any]]:
    """What rounds are compared within: sources where contexts have them, else labels, else none."""
    if any(group.source for group in facts.groups):
        return "sources", lambda group: group.source
    if few_labels(file):
        return "labels", lambda group: group.label
    return "", lambda _: ""
