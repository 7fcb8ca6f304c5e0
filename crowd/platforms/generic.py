"""Any place that can put two names into an address, and takes a code back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from crowd.platforms import Arrival, Platform, WayBack, given, realm_by_host, with_query

if TYPE_CHECKING:
    from crowd.campaign_file import CampaignFile


class Generic(Platform):
    name, title = "generic", "the page that announced it"
    signed = True
    names_assignments = False

    def realm(self, file: CampaignFile) -> str:
        return realm_by_host(self, file)

    def arrival(self, file: CampaignFile, query: Mapping[str, str], slot: int | None) -> Arrival:
        worker = given(query, file.parameters.get("worker", "worker"), self)
        named = file.parameters.get("assignment", "assignment")
        assignment = given(query, named, self) if named in query else f"{worker}:{slot or ''}"
        return Arrival(worker, assignment, self.realm(file), slot)

    def way_back(
        self, file: CampaignFile, query: Mapping[str, str], code: str, *, screened_out: bool = False
    ) -> WayBack:
        if not file.return_to:
            return WayBack(code)
        return WayBack(code, with_query(file.return_to[0], code=code))


PLATFORM = Generic()
