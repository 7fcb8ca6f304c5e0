"""How a policy reads the ballots of one example."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

from core.rule_spec import Json
from validate.policies.ballots import Ballot, Decision, Outcome, Verdict, Votes
from validate.policies.beliefs import DEFAULT_RELIABILITY, HIGHEST_RELIABILITY, LabelBeliefs
from validate.policies.rules import Bayes, KMatching, KOfN, Policy, TwoPlusOne

SURE: Final = 0.95
_ROUNDING: Final = 1e-9  # YPY at reliability .9 is .9 only up to rounding


def decide(
    ballots: Sequence[Ballot],
    policy: Policy,
    *,
    author_label: Json,
    labels: Sequence[Json] | None,
    reliabilities: Mapping[Any, float] | None = None,
) -> Decision:
    """Give the verdict of the first prefix of `ballots` that decides, or of all of them.

    Only a validator's first ballot is read. Leave out the ballots of quarantined validators.
    `labels` and `reliabilities` (how often a validator is right, DEFAULT_RELIABILITY for one who
    is not listed) matter to `Bayes` alone, which raises ValueError when a label is none of them.
    """

    def read(counted: Sequence[Ballot]) -> Decision:
        votes = Votes.count(counted, author_label)
        if isinstance(policy, Bayes):
            beliefs = _beliefs(counted, policy, author_label, labels, reliabilities)
            return _read_bayes(votes, policy, beliefs, author_label)
        return _read_counts(votes, policy)

    counted: list[Ballot] = []
    decision = read(counted)
    for ballot in _one_per_validator(ballots):
        if decision.outcome is not Outcome.PENDING:
            break
        counted.append(ballot)
        decision = read(counted)
    return decision


def confirmed_again(
    decision: Decision, ballots: Sequence[Ballot], *, author_label: Json
) -> Decision:
    """The same decision, but that a label is verified only when a further ballot confirms it, too.

    For authors of whom nothing is known: two friends are not enough. The first of two further
    ballots that confirms will do; when neither does it is ambiguous.
    """
    if decision.outcome is not Outcome.VERIFIED:
        return decision
    further = list(_one_per_validator(ballots))[decision.used :][:2]
    if any(ballot.label == author_label for ballot in further):
        return replace(decision, used=decision.used + len(further))
    outcome = Outcome.AMBIGUOUS if len(further) == 2 else Outcome.PENDING
    wanted = 1 if outcome is Outcome.PENDING else 0
    used = decision.used + len(further)
    return replace(decision, outcome=outcome, label=None, votes_wanted=wanted, used=used)


def rests_on_two(policy: Policy, labels: Sequence[Json] | None) -> bool:
    """Whether two people decide by count between two labels, where each is right half by chance."""
    return isinstance(policy, TwoPlusOne) and labels is not None and len(labels) == 2


def is_doubtful(
    decision: Decision,
    ballots: Sequence[Ballot],
    policy: Policy,
    *,
    author_label: Json,
    labels: Sequence[Json] | None,
    reliabilities: Mapping[Any, float] | None = None,
) -> bool:
    """Whether a label is verified by too few for what is known about them: `SURE` is not reached.

    Simulated with a fifth of guessers and a fifth in league, .92 of such verdicts are right without
    a further confirmation of these, and .95 with it.
    """
    if decision.outcome is not Outcome.VERIFIED or not rests_on_two(policy, labels):
        return False
    even = Bayes(prior_author=0.5)
    return posterior(ballots, even, author_label, labels, reliabilities)[author_label] < SURE


def posterior(
    ballots: Sequence[Ballot],
    policy: Bayes,
    author_label: Json,
    labels: Sequence[Json] | None,
    reliabilities: Mapping[Any, float] | None = None,
) -> dict[Json, float]:
    """Give the probability of each label after all `ballots`, in whatever order they came.

    The prior times, for a vote by a validator of reliability p, p for the voted label and
    (1 - p) / (K - 1) for each other one, normalised; p is clipped to [1/K + .02, .98]. Flags and
    "can't tell" change nothing. ValueError as for `decide`; labels must be hashable.
    """
    counted = list(_one_per_validator(ballots))
    beliefs = _beliefs(counted, policy, author_label, labels, reliabilities)
    return dict(zip(beliefs.labels, beliefs.probabilities(), strict=True))


def consensus(
    labels: Sequence[Json], policy: Policy, choices: Sequence[Json] | None = None
) -> Json | None:
    """Give the label on which votes without an author agree, or None while they do not.

    For published vote sets whose author's label is unknown. The votes are taken as coming from
    different people, in order; the first label that gets there stays. `Bayes` starts from equal
    probabilities of the `choices`, and raises ValueError without them.
    """
    ballots = [Ballot(place, label) for place, label in enumerate(labels[: policy.cap])]
    for used in range(1, len(ballots) + 1):
        votes = Votes.count(ballots[:used], author_label=None)
        match policy:
            case TwoPlusOne():
                agreed = votes.agreed(2)
            case KMatching():
                agreed = votes.agreed(policy.n)
            case KOfN():
                agreed = votes.agreed(policy.k) if used == policy.n else None
            case Bayes():
                if not choices:
                    raise ValueError("The policy 'bayes' needs the labels to choose from.")
                even = replace(policy, prior_author=1 / max(2, len(choices)))
                beliefs = _beliefs(ballots[:used], even, choices[0], choices, None)
                agreed = _sure_label(votes, policy, beliefs, policy.threshold)
        if agreed is not None:
            return agreed
    return None


def _one_per_validator(ballots: Iterable[Ballot]) -> Iterator[Ballot]:
    seen: set[Hashable] = set()
    for ballot in ballots:
        if ballot.validator not in seen:
            seen.add(ballot.validator)
            yield ballot


def _beliefs(
    ballots: Iterable[Ballot],
    policy: Bayes,
    author_label: Json,
    labels: Sequence[Json] | None,
    reliabilities: Mapping[Any, float] | None,
) -> LabelBeliefs:
    if labels is None:
        raise ValueError("The policy 'bayes' needs the labels to choose from.")
    beliefs = LabelBeliefs.prior(labels, favoured=author_label, probability=policy.prior_author)
    for ballot in ballots:
        if ballot.label is not None:
            reliability = (reliabilities or {}).get(ballot.validator, DEFAULT_RELIABILITY)
            beliefs = beliefs.after(ballot.label, policy.fixed_reliability or reliability)
    return beliefs


def _read_counts(votes: Votes, policy: TwoPlusOne | KMatching | KOfN) -> Decision:
    verdict: Verdict = None
    match policy:
        case TwoPlusOne():
            missing = 2 - max(votes.most_on_one_label, votes.flags)
            verdict = (Outcome.FLAGGED, None) if votes.flags >= 2 else votes.majority(2)
            return _conclude(votes, policy, verdict, missing=missing, least=missing)
        case KMatching(n=n):
            missing = n - max(votes.for_author, votes.against, votes.flags)
            if votes.flags >= n:
                verdict = Outcome.FLAGGED, None
            elif votes.for_author >= n:
                verdict = Outcome.VERIFIED, votes.author_label
            elif votes.against >= n:
                verdict = Outcome.REJECTED, votes.agreed(n)
            return _conclude(votes, policy, verdict, missing=missing, least=missing)
        case KOfN(n=n, k=k):
            if votes.flags >= k:
                verdict = Outcome.FLAGGED, None
            elif votes.used == n:
                verdict = votes.majority(k)
            return _conclude(votes, policy, verdict, missing=0, least=k - votes.flags)


def _read_bayes(votes: Votes, policy: Bayes, beliefs: LabelBeliefs, author_label: Json) -> Decision:
    author = beliefs.probability(author_label)
    verdict: Verdict = None
    if votes.flags >= policy.flags:
        verdict = Outcome.FLAGGED, None
    elif votes.for_author >= policy.min_votes and _at_least(author, policy.threshold):
        verdict = Outcome.VERIFIED, author_label
    elif votes.against >= policy.min_votes and _at_least(1 - author, 1 - policy.rejection):
        # A label at 1 - rejection leaves at most `rejection` to the author's: no case is missed.
        sure = _sure_label(votes, policy, beliefs, 1 - policy.rejection)
        verdict = (Outcome.REJECTED if sure is None else Outcome.RELABELLED), sure
    missing = min(
        policy.min_votes - max(votes.for_author, votes.against), policy.flags - votes.flags
    )
    least = _fewest_votes_to_a_verdict(votes, policy, beliefs, author_label)
    return _conclude(votes, policy, verdict, missing=missing, least=least, posterior=author)


def _sure_label(
    votes: Votes, policy: Bayes, beliefs: LabelBeliefs, threshold: float
) -> Json | None:
    """The label with enough votes and a probability of `threshold`, which is above one half."""
    for label, count in votes.by_label:
        if count >= policy.min_votes and _at_least(beliefs.probability(label), threshold):
            return label
    return None


def _fewest_votes_to_a_verdict(
    votes: Votes, policy: Bayes, beliefs: LabelBeliefs, author_label: Json
) -> int:
    """Count the further ballots that decide in the best case, or all that are left.

    The best case is every validator as reliable as can be, and all of them for the author's label,
    or for the strongest other one (votes spread over several others move the author's label less),
    or flagging.
    """
    best = policy.fixed_reliability or HIGHEST_RELIABILITY
    others = [label for label in beliefs.labels if label != author_label]
    rival = max(others, key=beliefs.probability)
    left = policy.cap - votes.used
    for further in range(1, left + 1):
        confirmed = beliefs.after(author_label, best, further).probability(author_label)
        refuted = beliefs.after(rival, best, further).probability(author_label)
        if (
            votes.flags + further >= policy.flags
            or (
                votes.for_author + further >= policy.min_votes
                and _at_least(confirmed, policy.threshold)
            )
            or (
                votes.against + further >= policy.min_votes
                and _at_least(1 - refuted, 1 - policy.rejection)
            )
        ):
            return further
    return left


def _conclude(
    votes: Votes,
    policy: Policy,
    verdict: Verdict,
    *,
    missing: int,
    least: int,
    posterior: float | None = None,
) -> Decision:
    """Make the decision; without a verdict, end as ambiguous when no further ballot could give one.

    `missing` is how many further ballots any verdict takes by count, `least` how many could decide
    in the best case. With r ballots left, giving up takes r - missing + 1 that bring no verdict
    nearer; fewer than both are certain to count.
    """
    left = policy.cap - votes.used
    if verdict is None and missing <= left and left > 0:
        wanted = min(least, left, left - missing + 1)
        return Decision(Outcome.PENDING, None, wanted, posterior, votes.used)
    outcome, label = verdict or (Outcome.AMBIGUOUS, None)
    return Decision(outcome, label, 0, posterior, votes.used)


def _at_least(probability: float, bound: float) -> bool:
    return probability >= bound - _ROUNDING
