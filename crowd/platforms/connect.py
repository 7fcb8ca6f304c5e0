"""CloudResearch Connect: its link, and two addresses to come back to, one of which pays in part."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from crowd.platforms import Arrival, Platform, WayBack, given

if TYPE_CHECKING:
    from crowd.campaign_file import CampaignFile


class Connect(Platform):
    name, title = "connect", "CloudResearch Connect"
    framed_by = ("https://connect.cloudresearch.com",)
    placeholders = {
        "participantId": "{{participantId}}",
        "assignmentId": "{{assignmentId}}",
        "projectId": "{{projectId}}",
    }

    def check(self, file: CampaignFile) -> None:
        if len(file.return_to) not in (0, 2):
            raise ValueError(
                "return_to: name Connect's completion address and then, as the second one, that "
                "for partial completions, or none of them and use codes"
            )

    def arrival(self, file: CampaignFile, query: Mapping[str, str], slot: int | None) -> Arrival:
        worker = given(query, "participantId", self)
        return Arrival(worker, given(query, "assignmentId", self), self.name, slot)

    def way_back(
        self, file: CampaignFile, query: Mapping[str, str], code: str, *, screened_out: bool = False
    ) -> WayBack | None:
        """Never the address, or the code, of whole completions for who was screened out."""
        if screened_out and not file.return_to and "screened_out" not in file.codes:
            return None
        code = file.codes.get("screened_out" if screened_out else "complete", code)
        return WayBack(code, file.return_to[screened_out] if file.return_to else "")


PLATFORM = Connect()
