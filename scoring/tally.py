"""What one example adds to its author's tally: a pure rule, used when counting and recounting."""

from __future__ import annotations

from collections import Counter

from annotate.models import Example

COLUMNS = (
    "submitted",
    "fooled",
    "pending",
    "verified",
    "rejected",
    "relabelled",
    "ambiguous",
    "flagged",
    "withdrawn",
)


def contribution(example: Example | None) -> Counter[str]:
    """The columns that this example adds one to: none for a guest's, for None, or for one that
    waits for the word on its author."""
    if example is None or example.sandbox or example.provisional:
        return Counter()
    counted = Counter(submitted=1)
    if example.fooled:
        counted["fooled"] = 1
        counted[_fate(example)] = 1
    return counted


def _fate(example: Example) -> str:
    """What became of a claimed fooling; retracted and hidden ones can earn nothing."""
    if example.retracted_at is not None or example.hidden_at is not None:
        return "withdrawn"
    if example.status == Example.Status.OPEN:
        return "pending"
    return str(example.status)
