"""`manage.py verify DIR`: prove a release, from its files alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

from django.core.management.base import CommandError, CommandParser
from tqdm import tqdm

from annotate.command_line import SummaryCommand, task_named
from releases.card import people
from releases.folders import LEDGER
from releases.ledger import repeat
from releases.orders import ABOUT
from releases.reading import Difference
from releases.verifying import Proven, carries_on, verify

SHOWN: Final = 10  # events that are named


class Command(SummaryCommand):
    help = "Count a release's foolings, verdicts, splits and numbers anew and prove its signature."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("folder", type=Path, metavar="DIR", help="the release, unpacked")
        parser.add_argument("--key", default="", help="the public key that must have signed it")
        parser.add_argument("--previous", type=Path, metavar="DIR", help="an earlier version")
        parser.add_argument(
            "--here", action="store_true", help="repeat the chain of events from this database"
        )
        super().add_arguments(parser)

    def handle(
        self,
        *_: Any,
        folder: Path,
        key: str,
        previous: Path | None,
        here: bool,
        json: bool,
        **__: Any,
    ) -> None:
        summary: dict[str, Any] = {"folder": str(folder), "equal": False, "difference": None}
        try:
            with tqdm(total=100, bar_format="{bar:30} {n:3.0f} %  {desc}", disable=None) as bar:

                def show(fraction: float, sentence: str) -> None:
                    bar.set_description_str(sentence, refresh=False)
                    bar.update(100 * fraction - bar.n)

                proven = verify(folder, show)
            if previous is not None:
                carries_on(proven, folder, previous)
            erased = _check_who(proven, key, here=here)
        except OSError as error:
            raise CommandError(f"{error.filename or folder}: {error.strerror}.") from error
        except Difference as difference:
            self.conclude(
                f"Not equal. {difference}", summary | {"difference": str(difference)}, as_json=json
            )
            raise CommandError(f"{folder} is not what it says. {difference}") from difference
        summary |= {
            "equal": True,
            "task": proven.about["task"],
            "version": proven.about["version"],
            "files": proven.files,
            "examples": proven.examples,
            "votes": proven.votes,
            "key": proven.about["public_key"],
            "erased_events": erased,
        }
        self.conclude(
            f"equal: {proven.examples:,} examples, {proven.votes:,} votes and {proven.files} files "
            f"of {proven.about['task']} {proven.about['version']}, signed by "
            f"{proven.about['public_key']}.{_said(erased)}",
            summary,
            as_json=json,
        )


def _said(erased: list[int]) -> str:
    if not erased:
        return ""
    shown = ", ".join(map(str, erased[:SHOWN])) + ("…" if len(erased) > SHOWN else "")
    which = people(len(erased), "event")
    return f" What {which} said up to then was erased, as somebody asked: {shown}."


def _check_who(proven: Proven, key: str, *, here: bool) -> list[int]:
    """Who signed it, and what was recorded `here`; returns the events that were erased since."""
    erased: list[int] = []
    about, signed_by, chain = proven.about, proven.about["public_key"], proven.ledger["chain"]
    if key and key.lower() != signed_by:
        raise Difference(f"{LEDGER}: it is signed by {signed_by}.")
    if here:
        task, last = task_named(about["task"]), proven.ledger["last_example"]
        erased = repeat(task, chain)
        submitted = task.examples.filter(pk__lte=last).count()
        if submitted != proven.examples + sum(about["left_out"].values()):
            raise Difference(f"{ABOUT}: left_out: {submitted:,} were submitted up to then.")
    return erased
