"""`manage.py pay CAMPAIGN [--dry-run]`: plan what is owed, send it, follow what came back."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from django.core.management.base import CommandError, CommandParser

from annotate.command_line import SummaryCommand
from core.errors import Refused
from crowd import by_api, by_file, ledger
from crowd.models import Campaign


class Command(SummaryCommand):
    help = "Pay what a campaign owes; --results FILE.csv takes a platform's file in first."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("campaign")
        parser.add_argument("--dry-run", action="store_true", help="say what would be planned")
        parser.add_argument("--results", type=Path, metavar="FILE", help="CSV of the platform's")
        parser.add_argument(
            "--again", action="store_true", help="plan again what the platform said it did not pay"
        )
        super().add_arguments(parser)

    def handle(
        self,
        *_: Any,
        campaign: str,
        dry_run: bool,
        results: Path | None,
        again: bool,
        json: bool,
        **__: Any,
    ) -> None:
        chosen = Campaign.objects.select_related("task").filter(slug=campaign).first()
        if chosen is None:
            raise CommandError(f"There is no campaign {campaign}.")
        try:
            summary, sentence = self._pay(chosen, dry_run, results, again)
        except Refused as refused:
            raise CommandError(refused.message) from refused
        self.conclude(sentence, summary, as_json=json)
        if summary.get("refused"):
            raise CommandError(f"{len(summary['refused'])} lines of results were refused.")

    def _pay(
        self, chosen: Campaign, dry_run: bool, results: Path | None, again: bool
    ) -> tuple[dict[str, Any], str]:
        summary: dict[str, Any] = {"campaign": chosen.slug, "dry_run": dry_run}
        if results is not None and not dry_run:
            done = by_file.read_results(chosen, self._text(results))
            summary |= {"results": {**vars(done)}, "refused": done.refused}
            for line in done.refused:
                self.stderr.write(line)
        if not dry_run:
            by_api.require_fit(chosen)
        if again and not dry_run:
            ledger.plan_failed_again(chosen)
        planned = ledger.plan(chosen, write=not dry_run)
        files = [] if dry_run else by_api.send(chosen)
        amount = sum(one.payment.amount for one in planned)
        summary |= {
            "payments": len(planned),
            "amount": amount,
            "currency": chosen.file.pay.currency,
            "files": [str(file) for file in files],
            **ledger.sums(chosen),
        }
        would = "would be planned" if dry_run else "planned"
        words = f"{len(planned)} payments of {chosen.file.money(amount)} {would}."
        return summary, " ".join([words, *(f"Pay what is in {file}." for file in files)])

    def _text(self, file: Path) -> str:
        try:
            return file.read_text("utf-8-sig")
        except (OSError, UnicodeDecodeError) as error:
            raise CommandError(f"{file} cannot be read.") from error
