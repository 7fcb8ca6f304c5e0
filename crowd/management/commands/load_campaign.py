"""`manage.py load_campaign FILE.yaml`: make or change a campaign, and print its links."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from django.core.management.base import CommandError, CommandParser

from accounts.models import User
from annotate.command_line import SummaryCommand
from core.errors import Refused
from core.strict_yaml import NotYaml
from crowd.campaign_file import CampaignFile, read_campaign_file
from crowd.campaigns import costs_in_words, links_of, load_campaign


class Command(SummaryCommand):
    help = "Load a campaign file, say what it will cost, and print the links to give out."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("file", type=Path, help="the campaign file (YAML)")
        parser.add_argument("--owner", metavar="NAME", help="whose task it must be")
        parser.add_argument("--base", default="", metavar="URL", help="https://… before each link")
        super().add_arguments(parser)

    def handle(
        self, *_: Any, file: Path, owner: str | None, base: str, json: bool, **__: Any
    ) -> None:
        try:
            campaign, changed = load_campaign(file=_read(file), actor=_owner(owner))
        except Refused as refused:
            raise CommandError(refused.message) from refused
        links = links_of(campaign, base.rstrip("/"))
        if not json:
            self.stdout.write("\n".join(links))
        plan = campaign.file.plan()
        self.conclude(
            f"{campaign.slug}{'' if changed else ', unchanged'}: {costs_in_words(campaign)}",
            {
                "campaign": campaign.slug,
                "links": links,
                "changed": changed,
                "cost": {
                    "currency": campaign.file.pay.currency,
                    "at_most": plan.at_most,
                    "expected": plan.expected,
                    "hourly": plan.hourly,
                    "hourly_expected": plan.hourly_expected,
                },
            },
            as_json=json,
        )


def _read(file: Path) -> CampaignFile:
    try:
        return read_campaign_file(file.read_bytes())
    except OSError as error:
        raise CommandError(f"{file} cannot be read: {error.strerror}.") from error
    except NotYaml as error:
        raise CommandError(f"{file}: {error}.") from error


def _owner(name: str | None) -> User | None:
    if name is None:
        return None
    user = User.objects.filter(username__iexact=name, imported=False).first()
    if user is None:
        raise CommandError(f"There is nobody called {name}.")
    return user
