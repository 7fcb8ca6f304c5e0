"""A few who are in league against a crowd that is not: do their wrong labels become data?

`python -m benchmarks.collusion` plays it and prints a table: so many validators confirm whatever
five free accounts of theirs send (a plain digit under a wrong label, again and again), at night
when nobody else is awake, and answer as well as they can otherwise. By day 20 honest people
validate what honest authors send, and what the night has left. The rules are the server's own pure
ones (verdicts, trust, lots, ties), and the queue is its order written out in Python; the same with
every rule off is the control.
Two variants have accounts that cost nothing and answer nothing but what the league sends: so many
that are new each night (`--fresh`), or the same ones each night, whose friends send plain right
labels, too, for them to settle (`--friends`). With `--late` these lease what they may begin and
answer after a friend of standing; with `--behind DAYS` honest people come to what was sent so many
days ago, and the league before them. `--without late`, `--without beside` or `--without week` takes
away a rule that stands against these.
A league has won when as many wrong labels are verified as distinct contents are learned from at
least (20, training/gates.py).
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from statistics import fmean
from typing import Final

import numpy as np

from training.gates import GateSettings
from validate.order import HARDLY, NEW_UNTIL
from validate.policies import Ballot, Bayes, Outcome, TwoPlusOne, confirmed_again, decide, posterior
from validate.policies.lots import MORE, OPENS_WITHIN, WINDOW, is_picked, key_of, place
from validate.policies.ties import LATEST, Look, may_be_tied, ties
from validate.policies.trust import (
    FEW_OF_STANDING,
    GOLD_PROVES,
    JUDGED_ANSWERS,
    PRIOR_RIGHT,
    PRIOR_WRONG,
    fails_gold,
    has_standing,
    is_known,
    is_new_crowd,
    is_untrustworthy,
    may_begin,
)

HONEST: Final = 20
AUTHORS: Final = 10
ACCOUNTS: Final = 5
LABELS: Final = list(range(10))
RULE: Final = TwoPlusOne()
LEARNED_FROM: Final = GateSettings().train_contents
LONG_ENOUGH: Final = 30  # confirmed copies
WARM_UP: Final = 3  # days before the first night, so that people are known
COPIES: Final = 34
BY_DAY: Final = 90
NIGHTS: Final = 12
GOLD: Final = 0.08
SKIPS: Final = 6.0  # owed, as validate.people.patience has it, and the next
FOLLOWED: Final = 2.0
SKIP_SHARE: Final = 0.2
DRAWN: Final = RULE.cap + 1
OLD: Final = 1 + OPENS_WITHIN  # days: it is for everybody
WITHIN: Final = 7  # days: who answered then is at work


@dataclass(frozen=True, slots=True)
class Rules:
    """What is on; all of it, or nothing for the control."""

    lots: bool = True
    skips: bool = True
    standing: bool = True
    close: bool = True
    ties: bool = True
    gold: bool = True
    late: bool = True  # who has no standing brings the closer look in whatever place they vote
    beside: bool = True  # nor is what is old verified without somebody of standing
    week: bool = True  # before what waits is for everybody, or else two days


OFF: Final = Rules(lots=False, skips=False, standing=False, close=False, ties=False, gold=False)
HELD: Final = 2  # items at once, of one person


@dataclass(slots=True)
class Person:
    number: int
    accuracy: float
    league: bool
    lazy: bool  # answers nothing but what the league sends
    key: tuple[int, int]
    alpha: float = PRIOR_RIGHT
    beta: float = PRIOR_WRONG
    agreements: list[float] = field(default_factory=list)
    borne_out: float = 0.0  # their sum
    gold_right: int = 0
    gold_seen: int = 0
    passes: float = 0.0
    out: bool = False
    answered_on: int = -WITHIN  # which day or night
    tied: set[int] = field(default_factory=set)
    gone: set[int] = field(default_factory=set)  # answered or skipped
    shares: defaultdict[int, int] = field(default_factory=lambda: defaultdict(int))
    agreed: defaultdict[int, int] = field(default_factory=lambda: defaultdict(int))

    @property
    def stands(self) -> bool:
        scored = len(self.agreements)
        return has_standing(self.gold_right, self.gold_seen, self.borne_out, scored, has_gold=True)

    @property
    def is_known(self) -> bool:
        return is_known(self.gold_seen, len(self.agreements), has_gold=True)

    @property
    def is_stopped(self) -> bool:
        return self.out or bool(self.tied)


@dataclass(slots=True)
class Item:
    number: int
    author: int
    truth: int
    said: int
    night: int
    copy: bool = False
    opens_by_day: bool = True
    close: bool = False
    votes: list[tuple[Person, int, float]] = field(default_factory=list)
    wanted: int = 2
    held: int = 0  # leases
    outcome: Outcome = Outcome.PENDING


@dataclass(frozen=True, slots=True)
class Played:
    """What came of it: shares of the league that were named, of the honest that were named or put
    into quarantine."""

    confirmed: int
    copies: int
    named: float
    stopped: float
    votes_per_item: float
    precision: float

    @property
    def rewritten(self) -> bool:
        return self.confirmed >= LEARNED_FROM


class World:
    """One crowd, one league, one queue."""

    def __init__(self, league: int, seed: int, rules: Rules, *, late: bool = False) -> None:
        self.late, self.behind = late, 0
        self.leases: list[tuple[Person, Item]] = []
        self.rng = np.random.default_rng(seed)
        self.rules = rules
        self.seed = seed
        self.people: list[Person] = []
        self.join(HONEST, league=False)
        self.join(league, league=True)
        self.open: dict[int, Item] = {}
        self.done: list[Item] = []
        self.looks: defaultdict[int, list[Look]] = defaultdict(list)  # by voter, and by -author
        self.shares: defaultdict[int, int] = defaultdict(int)  # votes by author
        self.night = 0
        self.numbers = iter(range(1, 10**9))

    def join(self, people: int, *, league: bool, lazy: bool = False) -> list[Person]:
        came = [self._person(len(self.people) + n, league, lazy) for n in range(people)]
        self.people += came
        return came

    def _person(self, number: int, league: bool, lazy: bool) -> Person:
        accuracy = 0.95 if league else 0.0
        while accuracy <= 0.5:
            accuracy = float(self.rng.beta(PRIOR_RIGHT, PRIOR_WRONG))
        return Person(number, accuracy, league, lazy, key_of(f"secret {self.seed}", 1, number))

    # --- what is sent -----------------------------------------------------------------------------
    def send_honest(self, items: int) -> None:
        """Honest authors are right a little more often than not: what fools a model is hard."""
        for _ in range(items):
            truth, author = int(self.rng.integers(10)), 100 + int(self.rng.integers(AUTHORS))
            right = self.rng.random() < 0.55
            said = truth if right else (truth + int(self.rng.integers(1, 10))) % 10
            self._send(author, truth, said)

    def send_copies(self, items: int, *, right: bool = False) -> None:
        """What the league confirms: plain digits under a wrong label, or under the right one."""
        for _ in range(items):
            author = 200 + int(self.rng.integers(ACCOUNTS))
            self._send(author, 7, 7 if right else 2, copy=True)

    def _send(self, author: int, truth: int, said: int, *, copy: bool = False) -> None:
        number = next(self.numbers)
        by_day = bool(self.rng.random() < 2 / 3)
        self.open[number] = Item(number, author, truth, said, self.night, copy, by_day)

    # --- the queue --------------------------------------------------------------------------------
    def next_for(self, person: Person) -> Item | None:
        """As validate/order.py has it."""
        few, people = self._crowd()
        old = OLD if self.rules.week else 3
        window: list[Item] = []
        for item in sorted(self.open.values(), key=lambda item: (-len(item.votes), item.number)):
            if item.number in person.gone or item.author in person.tied:
                continue
            if item.held >= item.wanted:
                continue
            if not person.league and self.night - item.night < self.behind:
                continue
            if self._at_cap(person, item.author, people):
                continue
            # It is opened further at some hour of the second day: two times in three by day.
            age = self.night - item.night - (self.sleeping and item.opens_by_day)
            if self.rules.lots and age < old:
                picked = DRAWN * (1 if age <= 0 else MORE)
                if not is_picked(place(person.key, item.number), people, picked):
                    continue
            if self.rules.standing and not few and not self._is_for(person, item, old=age >= old):
                continue
            window.append(item)
            if len(window) == WINDOW:
                break
        if not self.rules.lots:
            return window[0] if window else None
        return min(window, key=lambda item: place(person.key, item.number), default=None)

    def _is_for(self, person: Person, item: Item, *, old: bool) -> bool:
        begins, first = may_begin(person.gold_seen), not item.votes and not item.held
        tied = person.tied and self._is_new(item.author)
        if (person.stands or (begins and first)) and (old or not tied):
            return True
        if person.stands or not (old or not (begins or self._is_new(item.author))):
            return False
        return first or not self.rules.beside or self._is_vouched(item)

    def _is_vouched(self, item: Item) -> bool:
        """Whether somebody of standing has voted, or all of these have passed it over."""
        if any(voter.stands for voter, _, _ in item.votes):
            return True
        return all(item.number in one.gone for one in self._at_work() if one.stands)

    def _at_cap(self, person: Person, author: int, people: int) -> bool:
        """Nobody gives more than a fifth of an author's votes, from 20 votes on."""
        total, theirs = self.shares[author] + 1, person.shares[author] + 1
        many = total > 20 and theirs > 0.2 * total and 2 * total < theirs * people
        return self.rules.lots and many

    def work(self, people: Iterable[Person]) -> None:
        """Let these people answer in any order until nothing waits for any of them."""
        ready = list(people)
        while ready:
            person = ready[int(self.rng.integers(len(ready)))]
            if person.out or not self._turn(person):
                ready.remove(person)

    def _turn(self, person: Person) -> bool:
        item = self.next_for(person)
        if item is None:
            return False
        tosses = 1 + (person.passes >= FOLLOWED) + (person.gold_seen < GOLD_PROVES)
        is_gold = self.rng.random() < GOLD * tosses
        if person.lazy and (is_gold or not item.copy):
            return self._skip(person, item)
        if is_gold:
            self._gold(person)
        if person.out:
            return False
        if person.league and not item.copy and self.sleeping and self._skip(person, item):
            return True
        if person.lazy and self.late:
            return self._hold(person, item)
        self._vote(person, item, self._answer(person, item))
        return True

    def _hold(self, person: Person, item: Item) -> bool:
        person.gone.add(item.number)
        item.held += 1
        self.leases.append((person, item))
        return sum(holder is person for holder, _ in self.leases) < HELD

    def answer_late(self, friends: Sequence[Person], others: Sequence[Person]) -> None:
        """Others lease, friends of standing answer, then the others, as often as there is work."""
        self.work(others)
        while self.leases:
            self.work(friends)
            leases, self.leases = self.leases, []
            for person, item in leases:
                item.held -= 1
                if item.number in self.open and not person.out:
                    self._vote(person, item, self._answer(person, item))
            self.work(others)

    sleeping = False  # the honest

    def _skip(self, person: Person, item: Item) -> bool:
        if self.rules.skips:
            if person.passes + 1 > SKIPS:
                return False
            person.passes += 1
        person.gone.add(item.number)
        return True

    def _answer(self, person: Person, item: Item) -> int:
        if person.league and item.copy:
            return item.said
        if self.rng.random() < person.accuracy:
            return item.truth
        return (item.truth + int(self.rng.integers(1, 10))) % 10

    def _gold(self, person: Person) -> None:
        right = bool(self.rng.random() < person.accuracy)
        person.gold_seen += 1
        person.gold_right += right
        self._learn(person, float(right), float(right))

    def _at_work(self) -> list[Person]:
        return [one for one in self.people if not one.out and self.night - one.answered_on < WITHIN]

    def _crowd(self) -> tuple[bool, int]:
        """Whether too few are of standing to leave new authors to these; among how many lots are
        cast."""
        at_work = self._at_work()
        known = sum(one.is_known for one in at_work)
        few = is_new_crowd(sum(one.stands for one in at_work), known)
        return few, len(at_work) if few else known

    def _is_new(self, author: int) -> bool:
        """Whether people of standing gave an author few votes, or few of these for their label."""
        voters = [
            one
            for one in self.people
            if author in one.shares and one.stands and not one.out and author not in one.tied
        ]
        votes = sum(one.shares[author] for one in voters)
        return votes < NEW_UNTIL or HARDLY * sum(one.agreed[author] for one in voters) < votes

    # --- a vote -----------------------------------------------------------------------------------
    def _vote(self, person: Person, item: Item, label: int) -> None:
        if self.rules.close and not item.close and (self.rules.late or not item.votes):
            standing = sum(one.stands for one in self._at_work())
            many = standing > FEW_OF_STANDING and not self._crowd()[0]
            item.close = many and (not person.stands or self._is_new(item.author))
        person.answered_on = self.night
        person.passes = max(0.0, person.passes - SKIP_SHARE)
        person.gone.add(item.number)
        self.shares[item.author] += 1
        person.shares[item.author] += 1
        person.agreed[item.author] += label == item.said
        item.votes.append((person, label, person.alpha / (person.alpha + person.beta)))
        ballots = [Ballot(voter.number, said) for voter, said, _ in item.votes]
        decision = decide(ballots, RULE, author_label=item.said, labels=LABELS)
        if item.close:
            decision = confirmed_again(decision, ballots, author_label=item.said)
        item.wanted = decision.votes_wanted
        if decision.outcome is not Outcome.PENDING:
            item.outcome = decision.outcome
            self.done.append(self.open.pop(item.number))
            self._settle(item, ballots)

    def _settle(self, item: Item, ballots: list[Ballot]) -> None:
        flat = Bayes(prior_author=0.1)
        weights = {voter.number: weight for voter, _, weight in item.votes}
        by_all = posterior(ballots, flat, item.said, LABELS, weights)
        for voter, label, _ in item.votes:
            others = [ballot for ballot in ballots if ballot.validator != voter.number]
            agreement = posterior(others, flat, item.said, LABELS, weights)[label]
            self._learn(voter, by_all[label], agreement)
            look = Look(voter.number, item.author, label == item.said, agreement)
            self.looks[voter.number].append(look)
            self.looks[-item.author].append(look)
        if self.rules.ties:
            for voter, label, _ in item.votes:
                if label == item.said and self.looks[voter.number][-1].is_tried:
                    self._name(voter)

    def _learn(self, person: Person, credit: float, agreement: float) -> None:
        person.alpha += credit
        person.beta += 1 - credit
        person.agreements.append(agreement)
        person.borne_out += agreement
        failed = self.rules.gold and fails_gold(person.gold_right, person.gold_seen, labels=10)
        if failed or is_untrustworthy(person.agreements[-JUDGED_ANSWERS:], labels=10):
            person.out = True

    def _name(self, person: Person) -> None:
        own = self.looks[person.number][-LATEST:]
        own = [look for look in own if look.author not in person.tied]
        if not may_be_tied(own):
            return
        tied = {one.number: one.tied for one in self.people}
        others = [
            look
            for author in {look.author for look in own}
            for look in self.looks[-author]
            if look.voter != person.number and author not in tied[look.voter]
        ]
        found = {tie.author for tie in ties(own, others)}
        person.tied |= found
        for item in self.open.values():  # their votes weigh nothing any more
            if item.author in found:
                item.votes = [vote for vote in item.votes if vote[0] is not person]


def play(
    league: int,
    seed: int,
    rules: Rules = Rules(),
    *,
    fresh: int = 0,
    friends: bool = False,
    late: bool = False,
    behind: int = 0,
) -> Played:
    """One crowd from its first day until the league has had its nights, is named, or has won.

    Beside it come `fresh` accounts each night, or with `friends` in the first one only.
    """
    world = World(league, seed, rules, late=late)
    for _ in range(WARM_UP):
        world.send_honest(BY_DAY)
        world.work(world.people)
        world.night += 1
    world.behind = behind
    known = world.people[HONEST:]
    came: list[Person] = []
    while world.night < WARM_UP + NIGHTS:
        if not fresh and all(one.is_stopped for one in known):
            break
        world.send_honest(BY_DAY // 3)  # what the evening has left
        world.send_copies(COPIES)
        if friends:
            world.send_copies(COPIES, right=True)
        if not (came and friends):
            came = world.join(fresh, league=True, lazy=True)
        world.sleeping = True
        if late:
            world.answer_late(known, came)
        world.work([*known, *(() if late else came)])
        world.sleeping = False
        world.send_honest(BY_DAY)
        world.work([*world.people[:HONEST], *known, *(came if friends and not late else ())])
        world.night += 1
        if _confirmed(world) >= LONG_ENOUGH:
            break
    world.work(world.people[: HONEST + league])
    return _played(world, league)


def _confirmed(world: World) -> int:
    return sum(_is_rewritten(item) for item in world.done)


def _is_rewritten(item: Item) -> bool:
    return item.copy and item.said != item.truth and item.outcome is Outcome.VERIFIED


def _played(world: World, league: int) -> Played:
    friends, honest = world.people[HONEST : HONEST + league], world.people[:HONEST]
    verified = [item for item in world.done if item.outcome is Outcome.VERIFIED]
    return Played(
        confirmed=_confirmed(world),
        copies=sum(
            item.copy and item.said != item.truth for item in [*world.done, *world.open.values()]
        ),
        named=fmean(one.is_stopped for one in friends) if friends else 1.0,
        stopped=fmean(one.is_stopped for one in honest),
        votes_per_item=fmean(len(item.votes) for item in world.done),
        precision=fmean(item.truth == item.said for item in verified),
    )


def _table(title: str, runs: int, seed: int, play_one: Callable[[int, int], Played]) -> None:
    print(title)
    print("colluders  runs  rewritten  confirmed (most)  named  stopped  precision  votes an item")
    everything: list[Played] = []
    for league in range(2, 7):
        played = [play_one(league, seed + 1000 * league + run) for run in range(runs)]
        everything += played
        _line(str(league), played)
    _line("all", everything)


def _line(name: str, played: list[Played]) -> None:
    print(
        f"{name:>9}  {len(played):>4}  {sum(one.rewritten for one in played):>9}"
        f"  {fmean(one.confirmed for one in played):>9.1f}"
        f" ({max(one.confirmed for one in played):>4})"
        f"  {fmean(one.named for one in played):>5.3f}"
        f"  {fmean(one.stopped for one in played):>7.4f}"
        f"  {fmean(one.precision for one in played):>9.3f}"
        f"  {fmean(one.votes_per_item for one in played):>13.2f}",
        flush=True,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--runs", type=int, default=200, help="in all, for 2 to 6 colluders")
    parser.add_argument("--control", type=int, default=25, help="runs with the rules off")
    parser.add_argument("--fresh", type=int, default=0, help="new accounts, each night others")
    parser.add_argument("--friends", type=int, default=0, help="new accounts, the same each night")
    parser.add_argument("--late", action="store_true", help="these answer after a friend")
    parser.add_argument("--behind", type=int, default=0, help="days by which honest people are")
    parser.add_argument("--without", choices=["late", "beside", "week"], help="a rule that is off")
    parser.add_argument("--seed", type=int, default=0, help="other worlds for another one")
    asked = parser.parse_args()
    fresh, friends = asked.fresh or asked.friends, bool(asked.friends)
    runs, control = -(-asked.runs // 5), -(-asked.control // 5)
    rules = replace(Rules(), **({asked.without: False} if asked.without else {}))
    how = {"fresh": fresh, "friends": friends, "late": asked.late, "behind": asked.behind}
    title = f"without {asked.without}" if asked.without else "all rules on"
    _table(title, runs, asked.seed, partial(play, rules=rules, **how))
    if control:
        _table("control: off", control, asked.seed, partial(play, rules=OFF))


if __name__ == "__main__":
    main()
