"""The HIT link: Mechanical Turk's form, which own panels and compatible platforms go on using.

Nothing in it is signed. A preview names no worker. At the end the worker's own browser posts a form
to `turkSubmitTo`, which anybody can write into an address: it must be on the campaign's list.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit, urlunsplit

from crowd.platforms import Arrival, Platform, WayBack, given, origin_of, realm_by_host

if TYPE_CHECKING:
    from crowd.campaign_file import CampaignFile

PREVIEW: Final = "ASSIGNMENT_ID_NOT_AVAILABLE"
SUBMIT: Final = "/mturk/externalSubmit"


class Hit(Platform):
    name, title = "hit", "the platform's list of HITs"
    placeholders = {
        name: f"${{{name}}}" for name in ("assignmentId", "hitId", "workerId", "turkSubmitTo")
    }

    def realm(self, file: CampaignFile) -> str:
        return realm_by_host(self, file)

    def arrival(self, file: CampaignFile, query: Mapping[str, str], slot: int | None) -> Arrival:
        assignment = query.get("assignmentId", "")
        if assignment == PREVIEW or (assignment and not query.get("workerId")):
            return Arrival("", PREVIEW, self.realm(file), preview=True)
        return Arrival(
            given(query, "workerId", self),
            given(query, "assignmentId", self),
            self.realm(file),
            slot,
        )

    def ancestors(self, file: CampaignFile) -> list[str]:
        """Where nothing is said, the pages that the form goes back to."""
        return [*file.frame] or sorted({origin_of(one) for one in file.return_to})

    def way_back(
        self, file: CampaignFile, query: Mapping[str, str], code: str, *, screened_out: bool = False
    ) -> WayBack | None:
        """A real form with the assignment and one more field that has a value."""
        if screened_out:
            return None
        action = submit_address(query.get("turkSubmitTo", ""), file.return_to)
        assignment = query.get("assignmentId", "")
        return WayBack(code, action, {"assignmentId": assignment, "code": code}, posts=True)


def submit_address(said: str, allowed: tuple[str, ...]) -> str:
    """Where the form goes: the listed address that `turkSubmitTo` names, the first one where it
    names none that is listed, "" where none is.

    An address without a path of its own gets MTurk's.
    """
    if not allowed:
        return ""
    try:
        meant = _place(said)
    except ValueError:
        meant = None
    chosen = next((one for one in allowed if _place(one) == meant), allowed[0])
    parts = urlsplit(chosen)
    return urlunsplit(parts._replace(path=SUBMIT if parts.path in ("", "/") else parts.path))


def _place(address: str) -> tuple[str, str | None, int | None]:
    parts = urlsplit(address)
    return parts.scheme, parts.hostname, parts.port or {"https": 443, "http": 80}.get(parts.scheme)


PLATFORM = Hit()
