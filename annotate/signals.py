"""What happens to examples and rounds, told to the apps above.

The first three are sent INSIDE the transaction that makes the change: the queue entry, the counters
and the retraining trigger commit with the fact they follow from, or not at all. A receiver writes
to the database and does nothing else; what it raises undoes the whole change.
"""

from django.dispatch import Signal

# example: an Example about to be inserted. A receiver that wants it validated sets
# `example.queued`; nothing is written yet.
example_arrives = Signal()

# examples: the Examples just inserted, of different authors or of one.
examples_submitted = Signal()

# before: a copy of the Example from before the change; example: as saved. Sent with its row locked.
example_changed = Signal()

# task (slug), round (number), model (name): sent after the commit, as a hint for open pages.
round_opened = Signal()
