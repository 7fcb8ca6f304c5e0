"""Prolific: placeholders in the link, a code at the end, and an API that is asked what is true.

A bonus is set up first, which pays nothing and can be done again, and then paid by a call that
Prolific says is not idempotent. Whether it was paid stands in the submission afterwards.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import math
import urllib.error
import urllib.request
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from functools import partial
from http.client import HTTPException
from time import monotonic
from typing import TYPE_CHECKING, Any, Final, NamedTuple
from urllib.parse import quote

from core import strict_json
from core.errors import Refused
from crowd.entry_tokens import NotSigned, claims_of
from crowd.platforms import (
    Arrival,
    Declined,
    Platform,
    Remote,
    Standing,
    Unsure,
    WayBack,
    given,
    with_query,
)

if TYPE_CHECKING:
    from crowd.campaign_file import CampaignFile

COMPLETE: Final = "https://app.prolific.com/submissions/complete"
ISSUER: Final = "https://www.prolific.com"
KEYS: Final = "/.well-known/study/jwks.json"
KEEP_KEYS: Final = 86_400.0  # seconds, as Prolific asks
ASK_AGAIN: Final = 60.0  # for a name that is not among them
CURRENCIES: Final = ("GBP", "USD")
SECONDS: Final = 20.0
LONGEST: Final = 1_000_000  # bytes of an answer
# Written with a space, a hyphen or an underscore, by call and event.
_STATES: Final = {
    "RESERVED": "at_work",
    "ACTIVE": "at_work",
    "AWAITING REVIEW": "done",
    "APPROVED": "approved",
    "PARTIALLY APPROVED": "partly",
    "REJECTED": "rejected",
    "RETURNED": "returned",
    "TIMED OUT": "timed_out",
    "SCREENED OUT": "screened_out",
}


class Prolific(Platform):
    name, title = "prolific", "Prolific"
    framed_by = ("https://app.prolific.com",)
    reason_length = 100
    placeholders = {
        name: f"{{{{%{name}%}}}}" for name in ("PROLIFIC_PID", "STUDY_ID", "SESSION_ID")
    }

    def arrival(self, file: CampaignFile, query: Mapping[str, str], slot: int | None) -> Arrival:
        worker = given(query, "PROLIFIC_PID", self)
        if file.study and query.get("STUDY_ID") != file.study:
            raise Refused("bad_link", "This link is of another study: open it from Prolific.")
        return Arrival(worker, given(query, "SESSION_ID", self), self.name, slot)

    def welcome(
        self,
        file: CampaignFile,
        query: Mapping[str, str],
        slot: int | None,
        *,
        host: str,
        options: Mapping[str, str],
    ) -> Arrival:
        if not file.secured:
            return self.arrival(file, query, slot)
        try:
            claims = claims_of(
                query.get("prolific_token", ""),
                partial(_key_named, options["prolific_url"]),
                issuer=ISSUER,
                host=host,
            )
            names = {name: claims["prolific"][name] for name in self.placeholders}
            if any(not isinstance(text, str) for text in names.values()) or any(
                query.get(name, text) != text for name, text in names.items()
            ):
                raise NotSigned("another name")
        except (NotSigned, KeyError, TypeError):
            raise Refused(
                "not_signed", "Prolific did not sign this link: open the study from Prolific."
            ) from None
        arrival = self.arrival(file, {**query, **names}, slot)
        return replace(arrival, signed_until=float(claims["exp"]))

    def way_back(
        self, file: CampaignFile, query: Mapping[str, str], code: str, *, screened_out: bool = False
    ) -> WayBack | None:
        if screened_out and "screened_out" not in file.codes:
            return None
        code = file.codes.get("screened_out" if screened_out else "complete", code)
        return WayBack(code, with_query(COMPLETE, cc=code))

    def require_fit(self, file: CampaignFile, options: Mapping[str, str]) -> None:
        if "complete" not in file.codes:
            raise Refused(
                "codes_missing",
                "codes: name the study's completion code, {complete: …}: Prolific knows no other.",
            )
        if file.pay.currency not in CURRENCIES:
            raise Refused("bad_currency", "pay: Prolific pays in GBP or USD: name its currency.")
        api = self.remote(options)
        if api is None or file.study is None:
            return
        try:
            differs = api.study(file.study).differs(file)
        except Declined as declined:
            raise Refused("no_study", f"Prolific says of study {file.study}: {declined}") from None
        except Unsure:
            raise Refused(
                "platform_away",
                "Prolific cannot be asked about the study now: try again soon.",
                status=503,
            ) from None
        if differs:
            raise Refused("other_study", f"The study on Prolific differs: {'; '.join(differs)}.")

    def remote(self, options: Mapping[str, str]) -> Api | None:
        token = options.get("prolific_token")
        return Api(options["prolific_url"], token) if token else None


class Study(NamedTuple):
    """What a study says of its money; None where it does not."""

    reward: int
    currency: str | None
    codes: list[str] | None

    def differs(self, file: CampaignFile) -> list[str]:
        """What a campaign's file says otherwise, in words."""
        base, ours = file.pay.units("base"), [*file.codes.values()]
        found = []
        if self.reward != base:
            found.append(f"its reward is {file.money(self.reward)}, the base {file.money(base)}")
        if self.currency not in (None, file.pay.currency):
            found.append(f"it pays in {self.currency}, the file in {file.pay.currency}")
        if self.codes is not None and (unknown := [one for one in ours if one not in self.codes]):
            found.append(f"it has no code {' and '.join(unknown)}")
        return found


class Api(Remote):
    """Prolific's API, version 1."""

    def __init__(self, url: str, token: str) -> None:
        self._url, self._token = url.rstrip("/"), token

    def standing(self, assignment: str) -> Standing:
        found = self._call("GET", f"submissions/{quote(assignment, safe='')}/")
        said = str(found.get("status", "")).upper().replace("-", " ").replace("_", " ")
        try:
            bonuses = [round(float(amount)) for amount in found.get("bonus_payments") or []]
        except (TypeError, ValueError, OverflowError):
            raise Unsure("bonuses came back that are no sums") from None
        return Standing(
            _STATES.get(said, ""),
            str(found.get("participant") or ""),
            str(found.get("study_id") or ""),
            bonuses,
        )

    def study(self, study: str) -> Study:
        found = self._call("GET", f"studies/{quote(study, safe='')}/")
        reward, currency = found.get("reward"), found.get("presentment_currency_code")
        codes = found.get("completion_codes")
        if isinstance(reward, bool) or not isinstance(reward, int | float):
            raise Unsure("a study without a reward came back")
        return Study(
            round(reward),
            currency if isinstance(currency, str) else None,
            [str(one.get("code")) for one in codes if isinstance(one, dict)]
            if isinstance(codes, list)
            else None,
        )

    def approve(self, assignment: str) -> None:
        path = f"submissions/{quote(assignment, safe='')}/transition/"
        self._call("POST", path, {"action": "APPROVE"})

    def prepare_bonus(self, study: str, assignment: str, amount: str) -> str:
        body = {"study_id": study, "csv_bonuses": f"{assignment},{amount}"}
        made = self._call("POST", "submissions/bonus-payments/", body)
        if not isinstance(made.get("id"), str):
            raise Unsure("a bonus without a name came back")
        return str(made["id"])

    def pay_bonus(self, prepared: str) -> None:
        self._call("POST", f"bulk-bonus-payments/{quote(prepared, safe='')}/pay/", {})

    def _call(
        self, method: str, path: str, body: Mapping[str, Any] | None = None
    ) -> dict[str, Any]:
        return _ask(
            urllib.request.Request(  # noqa: S310  (the address is the operator's)
                f"{self._url}/api/v1/{path}",
                data=None if body is None else json.dumps(body).encode(),
                method=method,
                headers={
                    "Authorization": f"Token {self._token}",
                    "Content-Type": "application/json",
                    "Accept": "application/json",
                },
            )
        )


def _ask(request: urllib.request.Request) -> dict[str, Any]:
    """The object that is answered; Declined or Unsure."""
    try:
        with urllib.request.urlopen(request, timeout=SECONDS) as answer:  # noqa: S310
            text = answer.read(LONGEST)
    except urllib.error.HTTPError as error:
        said = ""
        with error, suppress(OSError, HTTPException):
            said = error.read(500).decode("utf-8", "replace")
        if 400 <= error.code < 500 and error.code not in (408, 409, 429):
            raise Declined(f"{error.code}: {said}") from None
        raise Unsure(f"{error.code}: {said}") from None
    except (OSError, HTTPException, ValueError) as error:  # also what is cut off in the middle
        raise Unsure(type(error).__name__) from None
    try:
        found = strict_json.loads(text)
    except strict_json.NotJson:
        found = None
    if not isinstance(found, dict):
        raise Unsure("no JSON object came back")
    return found


# --- signed entries -------------------------------------------------------------------------------
# By address: when they were asked for, the keys, and whether nobody answered then.
_keys: dict[str, tuple[float, list[Any], bool]] = {}


def _key_named(url: str, name: str) -> Mapping[str, Any] | None:
    """One of Prolific's keys, which are asked for once a day, and once a minute while one is not
    among them or nobody answers: each look at a link would wait for that."""
    asked_at, keys, away = _keys.get(url, (-math.inf, [], False))
    found = _named(keys, name)
    if monotonic() - asked_at >= (KEEP_KEYS if found and not away else ASK_AGAIN):
        try:
            request = urllib.request.Request(f"{url.rstrip('/')}{KEYS}")  # noqa: S310
            keys, away = _ask(request).get("keys") or [], False
        except (Declined, Unsure):
            away = True
        _keys[url] = (monotonic(), keys, away)
        found = _named(keys, name)
    if found is None and away:
        raise Refused(
            "platform_away", "Prolific cannot say now who you are: try again soon.", status=503
        )
    return found


def _named(keys: list[Any], name: str) -> Mapping[str, Any] | None:
    return next((key for key in keys if isinstance(key, dict) and key.get("kid") == name), None)


def is_signed(secret: str, timestamp: str, body: bytes, signature: str) -> bool:
    """Whether an event comes from Prolific: HMAC-SHA256 over its time and body, in base64."""
    digest = hmac.new(secret.encode(), timestamp.encode() + body, hashlib.sha256).digest()
    return hmac.compare_digest(base64.b64encode(digest), signature.encode())


PLATFORM = Prolific()
