"""A model behind an address: allowed by the operator, resolved once, never led elsewhere.

Imports no Django: who may be asked, and how a sealed key is opened, the server tells it at its
start. What goes wrong is Down (nobody is answered now) or Failed (this input is not), never an
answer.
"""

from __future__ import annotations

import ipaddress
import json
import socket
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final
from urllib.parse import urlsplit

import urllib3
from pydantic import Field, SecretStr, field_validator
from urllib3.exceptions import HTTPError, ProtocolError

from ml.artifacts import ArtifactError
from ml.backends import Down, Failed, Options

AWAY: Final = {401, 402, 403, 404, 408, 429, 502, 503, 504}  # whatever is asked
PASSING: Final = {429, 502, 503, 504}
PAUSES: Final = (0.25, 0.75)  # seconds before it is asked again
MOST_BYTES: Final = 4 * 2**20
CONNECT: Final = 2.0  # seconds
WORDS: Final = 200  # of what a server says went wrong

_allowed: Callable[[], Collection[str]] = lambda: ()  # noqa: E731
_unseal: Callable[[str], str] = lambda sealed: sealed  # noqa: E731


def configure(*, allowed: Callable[[], Collection[str]], unseal: Callable[[str], str]) -> None:
    """Say which hosts may be asked (`host` or `host:port`), and how keys are opened."""
    global _allowed, _unseal
    _allowed, _unseal = allowed, unseal


def handed_on(config: Mapping[str, Any]) -> dict[str, Any]:
    """What another process of this machine needs, to ask as this one may; the key is open in it."""
    key = config.get("key")
    return {"hosts": sorted(_allowed()), "key": _unseal(key) if key else None}


def take_over(told: Mapping[str, Any]) -> None:
    """Be allowed what was handed on."""
    configure(allowed=lambda: told["hosts"], unseal=lambda _: told["key"])


class RemoteOptions(Options):
    """What every model behind an address is registered with."""

    url: str = Field(max_length=500, description="Where its server is, http or https.")
    key: SecretStr | None = Field(default=None, description="A bearer token; kept sealed.")
    lanes: int = Field(default=4, ge=1, le=256, description="Questions under way at once.")
    seconds: float = Field(default=4, gt=0, le=120, description="That an answer may take.")

    @field_validator("url")
    @classmethod
    def _url_is_one(cls, url: str) -> str:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.username:
            raise ValueError("give an address such as https://models.example.org:8080")
        return url.rstrip("/")


class Passing(Down):
    """Down for a moment: another try may find it back."""


class Remote:
    """One server, over kept connections, as many at once as the model has lanes."""

    def __init__(self, options: RemoteOptions) -> None:
        self.lanes, self.seconds = options.lanes, options.seconds
        parts = urlsplit(options.url)
        host, port = str(parts.hostname), parts.port or (443 if parts.scheme == "https" else 80)
        require_allowed(host, port)
        self._path = parts.path.rstrip("/")
        self._headers = {
            "Host": parts.netloc,
            "Content-Type": "application/json",
            "Accept-Encoding": "identity",  # what is packed comes late
        }
        if options.key is not None:
            self._headers["Authorization"] = f"Bearer {_unseal(options.key.get_secret_value())}"
        how: dict[str, Any] = {
            "maxsize": options.lanes,
            "timeout": urllib3.Timeout(connect=min(CONNECT, options.seconds), read=options.seconds),
            "retries": False,
        }
        # The address that was looked up is the one that is asked, until the model is opened anew:
        # a name that is led elsewhere later leads nobody into this network.
        address = _resolved(host, port)
        self._base = f"{parts.scheme}://{_bracketed(address)}:{port}{self._path}"
        self._certified = host if parts.scheme == "https" else None
        if parts.scheme == "https":
            how |= {"assert_hostname": host, "server_hostname": host}
            self._pool: urllib3.HTTPConnectionPool = urllib3.HTTPSConnectionPool(
                address, port, **how
            )
        else:
            self._pool = urllib3.HTTPConnectionPool(address, port, **how)

    def post(self, path: str, body: Mapping[str, Any]) -> dict[str, Any]:
        """The JSON object that is answered; Down or Failed with a sentence.

        Who is busy, or loses the connection, is asked twice more, if there is time for it.
        """
        ends = time.monotonic() + self.seconds
        for pause in PAUSES:
            try:
                return self._post(path, body, ends)
            except Passing:
                if time.monotonic() + pause > ends:
                    raise
            time.sleep(pause)
        return self._post(path, body, ends)

    def _post(self, path: str, body: Mapping[str, Any], ends: float) -> dict[str, Any]:
        with self._asked(path, body) as answer:
            data = bytearray()
            while len(data) <= MOST_BYTES and (piece := answer.read1(2**16)):
                data += piece
                if time.monotonic() > ends:  # each piece may come in time, and the last one never
                    raise Down(f"The model's server takes longer than {self.seconds:g} seconds.")
            require_well(answer.status, bytes(data))
        try:
            told = json.loads(data)
        except ValueError as error:
            raise Failed("The model's server answered, but not in JSON.") from error
        if not isinstance(told, dict):
            raise Failed("The model's server answered, but no JSON object.")
        return told

    @contextmanager
    def _asked(self, path: str, body: Mapping[str, Any]) -> Iterator[urllib3.BaseHTTPResponse]:
        answer = None
        try:
            answer = self._pool.urlopen(
                "POST",
                self._path + path,
                body=json.dumps(body).encode(),
                headers=self._headers,
                preload_content=False,
                redirect=False,
            )
            yield answer
        except (HTTPError, OSError) as error:
            if answer is not None:
                answer.close()  # half of an answer is in it
                answer = None
            raise unanswered(error) from error
        except BaseException:
            if answer is not None:
                answer.close()  # what is left of it may have no end
                answer = None
            raise
        finally:
            if answer is not None:
                answer.drain_conn()
                answer.release_conn()


def unanswered(error: Exception) -> Down:
    """That nobody was reached, or that they were lost."""
    kind = Passing if isinstance(error, ProtocolError) else Down
    return kind(f"The model's server does not answer ({type(error).__name__}).")


def require_well(status: int, data: bytes) -> None:
    """Nothing but 200 is an answer: a redirect could lead anywhere, and is not followed."""
    if status == 200 and len(data) <= MOST_BYTES:
        return
    if status in AWAY:
        kind = Passing if status in PASSING else Down
        raise kind(f"The model's server refuses to answer (HTTP {status}).")
    said = " ".join(data[: 4 * WORDS].decode(errors="replace").split())[:WORDS]
    raise Failed(f"The model's server could not answer this (HTTP {status}): {said}")


def require_allowed(host: str, port: int) -> None:
    """ArtifactError for a host that the operator has not listed."""
    name = _bracketed(host)
    if not {name, f"{name}:{port}"} & set(_allowed()):
        raise ArtifactError(
            f"Models may not be asked at {name}:{port}: the operator of this server has to list "
            "it in DADC_MODEL_HOSTS."
        )


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def _resolved(host: str, port: int) -> str:
    try:
        return str(ipaddress.ip_address(host))
    except ValueError:
        pass
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except OSError as error:
        raise ArtifactError(f"There is no host {host}: {error}.") from error
    return str(found[0][4][0])


def options_in(config: Mapping[str, Any], kind: type[RemoteOptions]) -> Any:
    """What a registration says of those options, checked again."""
    return kind.model_validate({name: config[name] for name in kind.model_fields if name in config})
