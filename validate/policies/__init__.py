"""Verdict policies: what a sequence of validators' ballots says about one example.

Pure rules, without Django or a clock. A policy reads ballots in the order they came and latches at
the first prefix that decides; every ballot after that is surplus. Labels are JSON values compared
with `==`.

All policies treat what is not a label in the same way:

- A *flag* accuses the example (`FLAG_REASONS`). Enough flags, whatever their reasons, make it
  `flagged`; fewer only use up votes.
- `unsure` ("can't tell") accuses nobody and supports no label. It uses up one vote, so that an
  example that nobody can read does not wait for ever.
- Every policy has a cap. An example that is undecided there is `ambiguous`: no sequence of ballots
  strands it. `TwoPlusOne`, `KMatching` and `Bayes` stop already when no further ballots could give
  them the votes that a verdict needs, because asking more people would waste their time.
"""

from validate.policies.ballots import FLAG_REASONS, JUDGE, UNSURE, Ballot, Decision, Outcome
from validate.policies.beliefs import DEFAULT_RELIABILITY
from validate.policies.rules import (
    POLICIES,
    Bayes,
    KMatching,
    KOfN,
    Policy,
    TwoPlusOne,
    parse_policy,
)
from validate.policies.verdicts import (
    confirmed_again,
    consensus,
    decide,
    is_doubtful,
    posterior,
    rests_on_two,
)

__all__ = [
    "DEFAULT_RELIABILITY",
    "FLAG_REASONS",
    "JUDGE",
    "POLICIES",
    "UNSURE",
    "Ballot",
    "Bayes",
    "Decision",
    "KMatching",
    "KOfN",
    "Outcome",
    "Policy",
    "TwoPlusOne",
    "confirmed_again",
    "consensus",
    "decide",
    "is_doubtful",
    "parse_policy",
    "posterior",
    "rests_on_two",
]
