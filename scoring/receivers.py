"""Keep the tallies in the transaction of the change that they count."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence

from annotate.facts import Receiver
from annotate.models import Example
from scoring import statements
from scoring.models import Tally
from scoring.tally import contribution


class Tallies(Receiver):
    def submitted(self, examples: Sequence[Example]) -> None:
        """Add new examples to their authors' tallies, which their first ones make."""
        sums: defaultdict[tuple[int, int], Counter[str]] = defaultdict(Counter)
        for example in examples:
            if (counted := contribution(example)) and example.author_id is not None:
                sums[example.round_id, example.author_id].update(counted)
        if sums:
            statements.add(sums)

    def changed(self, before: Example, example: Example) -> None:
        """Move the author's tally by the difference that this change makes."""
        difference = contribution(example)
        difference.subtract(contribution(before))
        changes = {column: change for column, change in difference.items() if change}
        whose = example.round_id, example.author_id
        if changes and not statements.move(*whose, changes):
            # It came past the services. ignore_conflicts: two first ones at once.
            assert example.author_id is not None  # a guest's counts nowhere
            first = Tally(round_id=example.round_id, author_id=example.author_id)
            Tally.objects.bulk_create([first], ignore_conflicts=True)
            statements.move(*whose, changes)
