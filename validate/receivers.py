"""What the queue does, in the same transaction, when an example is submitted or taken back."""

from __future__ import annotations

import random
from collections.abc import Sequence

from annotate.facts import Receiver
from annotate.models import Example
from validate.inbox import close_reviews, open_review
from validate.models import Review
from validate.queue import enqueue_new, sync_withdrawn

_chance = random.SystemRandom()


def is_for_owner(example: Example) -> bool:
    """Whether it was submitted, and no log's line, and may be a copy."""
    return example.copy_of_id is not None and example.external_id is None and not example.sandbox


class Queue(Receiver):
    def arrives(self, example: Example) -> None:
        """Choose every claimed fooling, and a random share of the rest: nobody can guess which."""
        if example.sandbox or is_for_owner(example):
            return
        if example.fooled:
            example.queued = True
        elif example.external_id is None:  # a log says itself which of its examples were validated
            sample = example.config.file.section("validation").sample
            example.queued = _chance.random() < sample

    def submitted(self, examples: Sequence[Example]) -> None:
        """Queue what was chosen, and show an owner what is nearly somebody else's."""
        enqueue_new([example for example in examples if example.queued])
        for example in filter(is_for_owner, examples):
            open_review(example, Review.Kind.COPY, "Another author sent nearly the same before.")

    def changed(self, before: Example, example: Example) -> None:
        """A retracted or hidden example leaves the queue; a restored one comes back."""
        if (before.retracted_at, before.hidden_at) != (example.retracted_at, example.hidden_at):
            sync_withdrawn(example)
            if example.hidden_at is not None:
                close_reviews(example)
