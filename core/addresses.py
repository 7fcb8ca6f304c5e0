"""Where a request or a websocket comes from: the one answer that limits build on."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from typing import Any

from django.http import HttpRequest
from rest_framework.request import Request

IPV6_NETWORK = 64


def address_of(source: HttpRequest | Request | Mapping[str, Any]) -> str:
    """The client's address, of an HTTP request or of a websocket's scope; "" when there is none.

    Nothing is read from headers here: the web process has already put what a trusted proxy
    (DADC_PROXY) says in place of the proxy's own address, for both kinds alike, and nobody else is
    believed. An IPv6 address becomes its /64 network, of which one client has 2^64 to choose from.
    """
    if isinstance(source, Mapping):
        client = source.get("client")
        text = str(client[0]) if client else ""
    else:
        text = str(source.META.get("REMOTE_ADDR") or "")
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return text
    if isinstance(address, ipaddress.IPv4Address):
        return str(address)
    if address.ipv4_mapped:  # how a socket that listens on both families shows IPv4
        return str(address.ipv4_mapped)
    return str(ipaddress.IPv6Network((int(address), IPV6_NETWORK), strict=False))
