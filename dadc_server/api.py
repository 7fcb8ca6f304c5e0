"""What every REST call shares: the error shape and the paging."""

from __future__ import annotations

from typing import Any

from django.core.exceptions import PermissionDenied
from django.http import Http404
from rest_framework import exceptions
from rest_framework.pagination import CursorPagination
from rest_framework.response import Response
from rest_framework.views import exception_handler

from annotate.errors import Refused


class NewestFirst(CursorPagination):
    """Pages by a cursor on the id: flat at any depth, and no COUNT over everything."""

    ordering = "-id"
    page_size_query_param = "page_size"
    max_page_size = 200


_CODES = {
    400: "bad_request",
    401: "not_authenticated",
    403: "forbidden",
    404: "not_found",
    405: "method_not_allowed",
    406: "not_acceptable",
    415: "unsupported_media_type",
    429: "too_many_requests",
}


def error_response(error: Exception, context: dict[str, Any]) -> Response | None:
    """Answer every failure as {"error": {"code", "message", "fields"?}}."""
    if isinstance(error, Refused):
        return Response({"error": error.as_json()}, status=error.status)
    response = exception_handler(error, context)
    if response is None:
        return None
    body: dict[str, Any] = {
        "code": _CODES.get(response.status_code, "error"),
        "message": _sentence(error),
    }
    if isinstance(error, exceptions.ValidationError) and isinstance(error.detail, dict):
        body["message"] = "Some fields are missing or wrong."
        body["fields"] = {name: _first(detail) for name, detail in error.detail.items()}
    response.data = {"error": body}
    return response


def _sentence(error: Exception) -> str:
    if isinstance(error, Http404):
        return "There is no such thing, or it is not for you."
    if isinstance(error, PermissionDenied):
        return "You may not do this."
    if isinstance(error, exceptions.APIException):
        return _first(error.detail)
    return "The request could not be done."


def _first(detail: Any) -> str:
    while isinstance(detail, (list, dict)):
        detail = next(iter(detail.values() if isinstance(detail, dict) else detail), "")
    return str(detail)
