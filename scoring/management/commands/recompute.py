"""`manage.py recompute [--check]`: prove that what is stored for speed is what the facts say."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from django.core.management.base import CommandError, CommandParser

from accounts.models import User
from annotate.command_line import SummaryCommand
from annotate.models import Round
from scoring.recount import Recount, check, repair


class Command(SummaryCommand):
    help = (
        "Recount tallies, queue, what is known about validators, and what contents are found by, "
        "from the examples, votes and leases, and correct them."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--check", action="store_true", help="only compare; exit 1 if anything differs"
        )
        super().add_arguments(parser)

    def handle(self, *_: Any, json: bool, **options: Any) -> None:
        only_check = options["check"]
        found = check() if only_check else repair()
        for line in _table(found):
            self.stdout.write(line)
        wrong = found.differences
        self.conclude(
            f"{found.examples} examples, {found.tallies} tallies: "
            + ("all as counted." if found.agrees else f"{wrong} differ."),
            {
                "examples": found.examples,
                "tallies": found.tallies,
                "differences": wrong,
                "repaired": 0 if only_check else wrong,
                "tally_differences": [asdict(one) for one in found.tally_differences],
                "queue_differences": [asdict(one) for one in found.queue_differences],
                "tries_differ": len(found.tries),
                "context_tries_differ": len(found.context_tries),
                "contents_not_found": found.not_found,
                "standings": {slug: asdict(one) for slug, one in found.standings.items()},
            },
            as_json=json,
        )
        if only_check and wrong:
            raise CommandError("What is stored is not what the facts say: run recompute.")


def _table(found: Recount) -> list[str]:
    """One line for each number that differs."""
    if found.agrees:
        return []
    rounds = {
        pk: f"{slug} round {number}"
        for pk, slug, number in Round.objects.filter(
            pk__in={one.round for one in found.tally_differences}
        ).values_list("pk", "task__slug", "number")
    }
    names = User.objects.in_bulk({one.author for one in found.tally_differences})
    lines = [f"{'where':<44} {'what':<14} {'stored':>7} {'counted':>7}"]
    for tally in found.tally_differences:
        where = f"{rounds[tally.round]}, {names[tally.author].pseudonym}"
        lines += [
            f"{where:<44} {column:<14} {tally.stored[column]:>7} {tally.counted[column]:>7}"
            for column in tally.stored
            if tally.stored[column] != tally.counted[column]
        ]
    for entry in found.queue_differences:
        where = f"queue, example {entry.example}"
        stored, counted = asdict(entry.stored), asdict(entry.counted)
        lines += [
            f"{where:<44} {name:<14} {stored[name]:>7} {counted[name]:>7}"
            for name in stored
            if stored[name] != counted[name]
        ]
    for slug, standing in found.standings.items():
        lines += [
            f"{slug}: {wrong} {what} of validators are not what the votes say"
            for what, wrong in asdict(standing).items()
            if wrong and what not in ("validators", "doubts")
        ]
        if standing.doubts:
            lines.append(
                f"{slug}: {standing.doubts} verdicts rest on votes that lost their weight, and "
                "no owner is asked about them"
            )
    if found.tries:
        lines.append(f"{len(found.tries)} examples are another try than they say")
    if found.context_tries:
        lines.append(
            f"{len(found.context_tries)} people have tried a context otherwise than is said"
        )
    if found.not_found:
        lines.append(f"{found.not_found} examples would not be found by their own content")
    return lines
