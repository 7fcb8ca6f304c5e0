"""Who hears of what happens to examples, in the order in which they hear of it and take locks."""

from __future__ import annotations

from typing import Final

from annotate.facts import Receiver
from crowd.receivers import Visits
from dadc_server.telemetry import Decisions
from scoring.receivers import Tallies
from training.receivers import Trigger
from validate.receivers import Queue

RECEIVERS: Final[tuple[Receiver, ...]] = (
    Visits(),  # marks what waits for a platform's word
    Queue(),  # queue entries, reliabilities
    Tallies(),
    Trigger(),  # training runs
    Decisions(),  # after the commit
)
