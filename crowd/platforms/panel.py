"""One's own people, each by an invitation: the link says who they are, and nobody else does."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from core.errors import Refused
from crowd.platforms import Arrival, Platform, WayBack, with_query

if TYPE_CHECKING:
    from crowd.campaign_file import CampaignFile


class Panel(Platform):
    name, title = "panel", "your invitation"
    signed = True
    names_assignments = False
    confirms_itself = True

    def check(self, file: CampaignFile) -> None:
        if file.signed is False:
            raise ValueError("signed: a panel's link is an invitation, and always signed")

    def realm(self, file: CampaignFile) -> str:
        """A name is the same person in all panels of a task: those of others are not theirs."""
        return f"{self.name}:{file.task}"

    def arrival(self, file: CampaignFile, query: Mapping[str, str], slot: int | None) -> Arrival:
        if slot is None:
            raise Refused("bad_link", "Open the whole link of your invitation.")
        name = file.people[slot - 1] if slot <= len(file.people) else f"{file.slug}:{slot}"
        return Arrival(name, f"{file.slug}:{slot}", self.realm(file), slot)

    def way_back(
        self, file: CampaignFile, query: Mapping[str, str], code: str, *, screened_out: bool = False
    ) -> WayBack:
        return WayBack(code, with_query(file.return_to[0], code=code) if file.return_to else "")


PLATFORM = Panel()
