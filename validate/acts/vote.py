"""A vote: under a lease, blind, and with the next item in its answer."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

from django.utils import timezone
from django.utils.crypto import salted_hmac

from accounts.models import User
from accounts.services import record_event
from annotate.models import Example, Task
from core.errors import Conflict, Refused
from core.metrics import VOTE_SECONDS
from core.transactions import durable
from kinds.answers import as_the_other
from validate import statements
from validate.acts.adjudicate import MAX_REASON
from validate.acts.lease import ask, not_yours, wait_for_item
from validate.decisions import takes_one_more
from validate.hearing import Hearing, hear_leased
from validate.known_answers import credit_of, in_qualification
from validate.models import Gold, JudgeAnswer, Lease, Reliability, Vote
from validate.people.patience import ASKED, charge
from validate.people.reliability import (
    count_answer,
    count_share,
    proven,
    reliability_of,
    score_gold,
    share_of,
    uncount_share,
    weight_of,
)
from validate.people.standing import require_standing, require_validator
from validate.people.ties import look_later
from validate.policies import FLAG_REASONS, UNSURE, Decision
from validate.policies.trust import is_fast, is_hasty
from validate.queries import are_apart, progress_of, settings_of
from validate.statements import Met
from validate.verdicts import follow, follow_later, reweigh_later


class Answered(NamedTuple):
    """A vote, the lease on what its validator is asked next, and how far they are then."""

    vote: Vote
    following: Lease | None
    progress: dict[str, Any]


class Answer(NamedTuple):
    """What somebody says of an example: a label, or else a flag ("unsure" when they can't tell)."""

    label: object | None = None
    flag: str = ""
    reason: str = ""

    @property
    def accuses(self) -> bool:
        return bool(self.flag) and self.flag != UNSURE


@VOTE_SECONDS.time()
def vote(*, validator: User, lease_id: UUID, **answer: Any) -> Vote:
    """Record a vote (an Answer's fields) under a lease, and settle the example if that decides it.

    Conflict when the lease ran out or was lost; the same answer under the same lease again returns
    the vote of the first time. A vote on an example settled meanwhile is kept as surplus.
    """
    with durable():
        made, _ = _vote(validator, lease_id, Answer(**answer))
    return made


@VOTE_SECONDS.time()
def vote_and_go_on(
    *, validator: User, lease_id: UUID, after: UUID | None = None, **answer: Any
) -> Answered:
    """The same, with what `next_item` gives afterwards; None, too, if it would refuse.

    One transaction, unless the next item has to be waited for: then the vote is committed first.
    """
    following = None
    with durable():
        made, row = _vote(validator, lease_id, Answer(**answer), goes_on=True)
        task, all_taken = made.example.task, False
        with suppress(Refused):  # this very answer was one too many: asking again says why
            if row is None:  # an answer that is there already: nobody asked whether they still may
                require_validator(validator, task)
            following, all_taken = ask(validator, task, after, row=row)
    if all_taken:
        with suppress(Refused):
            following = wait_for_item(validator, task, after)
    return Answered(made, following, progress_of(validator, task))


def _vote(
    validator: User, lease_id: UUID, answer: Answer, *, goes_on: bool = False
) -> tuple[Vote, Reliability | None]:
    """The vote, and its voter's row if that was locked; `goes_on`: it brings another item.

    Locked in this order: example and queue entry, the lease, the rows of those who voted.
    """
    hearing = hear_leased(validator, lease_id)
    if hearing is None:
        raise not_yours()
    example = hearing.example
    check_answer(example, answer)
    answer = answer._replace(label=as_the_other(answer.label, example.label))
    now = timezone.now()
    lease = statements.close_for_vote(lease_id, now)
    if lease is None and (earlier := Vote.objects.filter(lease=lease_id).first()):
        if (earlier.label, earlier.flag) == (answer.label, answer.flag):
            earlier.example = example
            return earlier, None
        raise Conflict("already_voted", "You have already answered this item.")
    if example.author_id == validator.pk:
        raise Refused("own_example", "Nobody validates their own example.", status=403)
    require_validator(validator, example.task)
    if validator.by_link is not None and are_apart(validator.pk, example.author_id):
        raise Refused("own_example", "Nobody validates what may be their own.", status=403)
    row = reliability_of(example.task_id, validator.pk)
    require_standing(row, example.task)
    if lease is None:
        raise Conflict("lease_lost", "Your time for this item ran out and it went to others.")
    made = _new_vote(example, validator, answer, row, lease, now)
    if lease.gold:
        _on_gold(made, example, answer, row)
    else:
        if hearing.item is not None:
            hearing.item.leases_active -= 1  # saved with what the vote makes of the entry
        cast(made, hearing, row)
    return made, _count_answer(made, hearing, goes_on=goes_on)


def check_answer(example: Example, answer: Answer) -> None:
    """Refuse what is no answer to this example."""
    label, flag, reason = answer
    if (label is None) == (not flag):
        raise Refused("bad_vote", "A vote is either a label or a flag.")
    if answer.accuses and flag not in FLAG_REASONS:
        raise Refused(
            "unknown_flag", f"The flag must be one of {', '.join((UNSURE, *FLAG_REASONS))}."
        )
    if label is not None:
        example.config.file.check_label(label, of=example.whole_input)
    if len(reason) > MAX_REASON:
        raise Refused("too_long", f"A reason has at most {MAX_REASON} characters.")


def _new_vote(
    example: Example,
    validator: User,
    answer: Answer,
    row: Reliability,
    lease: Lease,
    now: datetime,
) -> Vote:
    """A vote that is not inserted yet, timed from when its item could be seen.

    An item that was fetched ahead could be seen only after the answer before it.
    """
    assert example.author_id is not None  # only guests' sandbox examples have none
    seconds = (now - max(lease.created_at, row.answered_at or lease.created_at)).total_seconds()
    return Vote(
        example=example,
        validator=validator,
        author_id=example.author_id,
        lease=lease,
        **answer._asdict(),
        seconds=seconds,
        fast=is_fast(seconds, row.median_seconds),
    )


def cast(made: Vote, hearing: Hearing, row: Reliability) -> None:
    """Insert a vote on an example that is heard and let the policy speak; the queue follows.

    A vote that the queue would no longer ask for (settled, withdrawn) is surplus, decides nothing.
    Neither does one by somebody whose votes lost their weight, which only a log can bring. `row` is
    the voter's reliability.
    """
    example, item, votes = hearing.example, hearing.item, hearing.votes
    made.surplus = item is None or item.withdrawn
    made.reliability = weight_of(example, row)
    if not made.surplus:
        met = count_share(made, example)
        if made.lease_id is not None:  # a log stands for its own verdicts
            made.hasty = met.gold and is_hasty(made.seconds) and not proven(row)
            made.close = met.close and not _is_close(votes) and _falls_on(example)
        lost_weight = row.quarantined_at is not None or made.validator.banned_at is not None
        made.dropped = lost_weight or made.hasty or met.tied
        votes.append(made)
        if made.lease_id is not None:
            _look_closer(made, example, votes, met)
    _insert(made, example)
    if item is None:
        return
    if made.surplus or made.dropped:
        statements.save_item(item)
        return
    decision = hearing.decision()
    if made.lease_id is not None and decision.votes_wanted:
        decision = _with_judge(hearing, decision)
    if made.lease_id is not None and not decision.votes_wanted:
        # Every row that the verdict or the answer moves, before the verdict moves a tally.
        people = {vote.validator_id for vote in votes if vote.label is not None}
        hearing.lock_rows(people | {made.validator_id})
    follow(hearing, decision)
    if hearing.item is None:
        look_later(hearing)


def _with_judge(hearing: Hearing, decision: Decision) -> Decision:
    """Where people's votes leave it open, the admitted judge's, within its share of the author's.

    Never where nobody of standing has voted. One query where the task gives judges a share, and one
    more where the judge has an answer; none elsewhere. It locks the judge, after leases
    and before shares: two at once stay within its share, and who demotes it waits for its vote.
    """
    example, votes = hearing.example, hearing.votes
    share = settings_of(example.task).judge_share
    if not share or any(vote.automatic for vote in votes):
        return decision
    answers = JudgeAnswer.objects.filter(
        example=example.pk, label__isnull=False, judge__voter__isnull=False
    )
    locked = answers.select_for_update(of=("judge",), no_key=True)
    answer = locked.select_related("judge__voter").first()
    if answer is None or not statements.one_of_standing_voted(example.task_id, example.pk):
        return decision
    voter = answer.judge.voter
    assert voter is not None
    assert example.author_id is not None
    vote = Vote(
        example=example,
        validator=voter,
        author_id=example.author_id,
        label=as_the_other(answer.label, example.label),
        automatic=True,
        reliability=weight_of(example, reliability_of(example.task_id, voter.pk)),
    )
    met = count_share(vote, example)
    given = share_of(vote, example)
    if met.tied or given > share:
        uncount_share(vote, example)
        return decision
    votes.append(vote)
    _look_closer(vote, example, votes, met)
    _insert(vote, example)
    return hearing.decision()


def _look_closer(made: Vote, example: Example, votes: Sequence[Vote], met: Met) -> None:
    """Mark the newest vote where it would verify by too little; once: the confirmation that it
    takes then is enough."""
    if met.may_be and not _is_close(votes):
        made.close = takes_one_more(example, votes) and _falls_on(example)


def _is_close(votes: Sequence[Vote]) -> bool:
    return any(vote.close for vote in votes)


def _falls_on(example: Example) -> bool:
    """Whether the lot falls on such an example to take a vote more: alike at each of its votes."""
    lot = salted_hmac("a closer look", str(example.uid), algorithm="sha256").digest()
    return int.from_bytes(lot[:8]) / 2**64 < settings_of(example.task).close_look


def _on_gold(made: Vote, example: Example, answer: Answer, row: Reliability) -> None:
    """Insert a vote on gold: it decides nothing and says something about its validator alone."""
    gold = Gold.objects.get(pk=example.pk)
    qualifying = in_qualification(settings_of(example.task), row)
    made.purpose = Vote.Purpose.QUALIFICATION if qualifying else Vote.Purpose.GOLD
    made.credit = made.agreement = credit_of(
        gold, answer.label, answer.accuses, example.config.file
    )
    made.hasty = is_hasty(made.seconds) and not proven(row)
    _insert(made, example)


def _insert(made: Vote, example: Example) -> None:
    statements.insert(made)
    record_event(
        actor=made.validator,
        verb="voted",
        subject=example,
        scope=example.task.slug,
        data={"vote": made.pk, "surplus": made.surplus, "flag": made.flag},
    )


def _count_answer(made: Vote, hearing: Hearing, *, goes_on: bool) -> Reliability:
    """Lock the voter's own row and bring it up to date, with the score if the vote was on gold."""
    task = made.example.task
    row = hearing.lock_rows([made.validator_id])[made.validator_id]
    was_proven = proven(row)
    count_answer(row, made.seconds or 0)
    paid = settings_of(task).skip_share + (0 if goes_on else ASKED)
    charge(row, timezone.now(), -paid)
    if made.purpose != Vote.Purpose.VERDICT:
        if row.gold_pending_id == made.example_id:
            row.gold_pending = None
        if made.credit is not None and score_gold(row, right=made.credit == 1, task=task):
            follow_later([row])
        if proven(row) != was_proven:
            reweigh_later(row)
        _qualify(row, task)
    statements.save_answer(row)
    return row


def _qualify(row: Reliability, task: Task) -> None:
    wanted = settings_of(task).qualification
    if row.qualified_at is not None or not 0 < wanted.items <= row.gold_seen:
        return
    passed = row.gold_right >= wanted.minimum * row.gold_seen
    if passed:
        row.qualified_at = timezone.now()
    record_event(
        actor=None,
        verb="qualified" if passed else "failed_qualification",
        subject=row.validator,
        scope=task.slug,
        data={"right": row.gold_right, "of": row.gold_seen},
    )
