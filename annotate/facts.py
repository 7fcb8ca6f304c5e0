"""What happens to examples, told to the apps above in the order of one list.

All of it inside the transaction that makes the change: queue entry, counters and the retraining
trigger commit with the fact they follow from, or not at all. A receiver writes to the database and
does nothing else; what it raises undoes the whole change.
"""

from __future__ import annotations

from collections.abc import Sequence

from annotate.models import Example


class Receiver:
    """What an app above does about facts: nothing, where it does not say otherwise."""

    def arrives(self, example: Example) -> None:
        """It is about to be inserted: who wants it validated sets `queued`; nothing is written."""

    def submitted(self, examples: Sequence[Example]) -> None:
        """They were just inserted, of different authors or of one."""

    def changed(self, before: Example, example: Example) -> None:
        """It was saved, and its row is locked; `before` is a copy from before the change."""


_receivers: tuple[Receiver, ...] = ()


def receive(receivers: Sequence[Receiver]) -> None:
    """Tell these from now on, in this order: it is also the order in which they take locks."""
    global _receivers
    _receivers = tuple(receivers)


def arrives(example: Example) -> None:
    for receiver in _receivers:
        receiver.arrives(example)


def submitted(examples: Sequence[Example]) -> None:
    for receiver in _receivers:
        receiver.submitted(examples)


def changed(before: Example, example: Example) -> None:
    for receiver in _receivers:
        receiver.changed(before, example)
