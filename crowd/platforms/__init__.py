"""Where workers come from: one file a platform behind one protocol; imports no Django.

`generic` is the null twin: it knows nothing but two names in an address.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib import import_module
from pkgutil import iter_modules
from typing import TYPE_CHECKING, ClassVar, Final, NamedTuple, Protocol
from urllib.parse import urlencode, urlsplit

from core.errors import Refused

if TYPE_CHECKING:
    from crowd.campaign_file import CampaignFile

_NAME: Final = re.compile(r"[A-Za-z0-9._@:+/=-]{1,200}", re.ASCII)


@dataclass(frozen=True)
class Arrival:
    """Who a link says that it brings, to which place if it is a place's own."""

    worker: str
    assignment: str
    realm: str
    slot: int | None = None
    signed_until: float | None = None  # where the platform vouches for it: begin by then
    until: float | None = None  # by when a place's own link promised that one may begin
    preview: bool = False


@dataclass(frozen=True)
class WayBack:
    """Where a worker's browser goes with what it did: a form to send, or a link when there is
    nothing to be sent; no address: only a code to be typed in."""

    code: str
    action: str = ""
    fields: Mapping[str, str] = field(default_factory=dict)
    posts: bool = False


class Declined(Exception):
    """The platform said no: nothing was done."""


class Unsure(Exception):
    """Nobody knows what came of a call: it may have been done."""


class Standing(NamedTuple):
    """What a platform says of one assignment, and the bonuses that it paid for it.

    The state is at_work, done, approved, partly (approved and paid in part), rejected, returned,
    timed_out, screened_out, or "".
    """

    state: str
    worker: str
    study: str
    bonuses: list[int]


class Remote(Protocol):
    """A platform's API; each call raises Declined or Unsure."""

    def standing(self, assignment: str) -> Standing: ...

    def approve(self, assignment: str) -> None: ...

    def prepare_bonus(self, study: str, assignment: str, amount: str) -> str:
        """Set a bonus up, which pays nothing; returns the platform's name for it."""
        ...

    def pay_bonus(self, prepared: str) -> None: ...


class Platform:
    """What is particular to one platform; the ways of paying stand in `crowd.ledger`."""

    name: ClassVar[str]
    title: ClassVar[str]
    signed: ClassVar[bool] = False  # whether each place has a link of its own, if nothing is said
    confirms_itself: ClassVar[bool] = False  # who it is is known without asking anybody
    names_assignments: ClassVar[bool] = True  # each of which it pays once
    framed_by: ClassVar[tuple[str, ...]] = ()
    placeholders: ClassVar[Mapping[str, str]] = {}  # what the platform fills into the link
    reason_length: ClassVar[int] = 1  # of a rejection

    def check(self, file: CampaignFile) -> None:
        """Raise ValueError, as a sentence, when this platform cannot run such a campaign."""

    def require_fit(self, file: CampaignFile, options: Mapping[str, str]) -> None:
        """Refuse a file, as it is loaded, that the platform's own terms do not fit; it may ask."""

    def realm(self, file: CampaignFile) -> str:
        """Where a worker's name is theirs alone; while people are at work it stays the same."""
        return self.name

    def arrival(self, file: CampaignFile, query: Mapping[str, str], slot: int | None) -> Arrival:
        """Who comes; Refused with a sentence where the link does not say so."""
        raise NotImplementedError

    def welcome(
        self,
        file: CampaignFile,
        query: Mapping[str, str],
        slot: int | None,
        *,
        host: str,
        options: Mapping[str, str],
    ) -> Arrival:
        """The same by what the platform has signed for this host, where the campaign says so."""
        return self.arrival(file, query, slot)

    def way_back(
        self, file: CampaignFile, query: Mapping[str, str], code: str, *, screened_out: bool = False
    ) -> WayBack | None:
        """Where to go at the end; `code` is this visit's own. None where somebody who was screened
        out would be paid for the whole if they sent anything: they return it."""
        return WayBack(code)

    def ancestors(self, file: CampaignFile) -> list[str]:
        """The origins that may frame the pages of a link; nobody else may."""
        return [*self.framed_by, *file.frame]

    def remote(self, options: Mapping[str, str]) -> Remote | None:
        """Its API, where it has one and the operator gave a key; else files are exchanged."""
        return None


def given(query: Mapping[str, str], name: str, platform: Platform) -> str:
    """A name in the link that the platform filled in; Refused where it did not."""
    text = query.get(name, "")
    if "${" in text or "{{" in text or "%7B" in text.upper():
        raise Refused(
            "placeholder_left",
            f"{platform.title} did not fill in who you are: open this from its own page.",
        )
    if not text:
        raise Refused(
            "wrong_platform",
            f"This link is for people who come from {platform.title}: open it from there.",
        )
    if not _NAME.fullmatch(text):
        raise Refused("bad_link", "Something in this link is not as it should be: open it anew.")
    return text


def with_query(address: str, **query: str) -> str:
    """An address of an allow-list, which has no query, with one."""
    return f"{address}?{urlencode(query)}"


def origin_of(address: str) -> str:
    parts = urlsplit(address)
    return f"{parts.scheme}://{parts.netloc}"


def realm_by_host(platform: Platform, file: CampaignFile) -> str:
    """Two platforms of one form have other workers under the same names: their host tells."""
    host = urlsplit(file.return_to[0]).hostname if file.return_to else ""
    return f"{platform.name}:{host}" if host else platform.name


@cache
def _platforms() -> dict[str, Platform]:
    found = {}
    for module in iter_modules(__path__):
        platform: Platform = import_module(f"{__name__}.{module.name}").PLATFORM
        found[platform.name] = platform
    return found


def names() -> list[str]:
    return sorted(_platforms())


def platform_named(name: str) -> Platform:
    return _platforms()[name]
