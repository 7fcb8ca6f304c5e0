"""What every REST call shares: the error shape, the paging, the schema's frame."""

from __future__ import annotations

import math
import sys
from typing import Any

import structlog
from django.conf import settings
from django.core.exceptions import PermissionDenied
from django.core.signals import got_request_exception
from django.http import Http404
from rest_framework import exceptions
from rest_framework.pagination import CursorPagination
from rest_framework.permissions import AllowAny
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView, exception_handler

from core.errors import Refused
from core.metrics import REFUSALS
from core.outages import is_outage
from dadc_server.web.outages import RETRY_SECONDS, outage_body

log = structlog.get_logger(__name__)


# --- requests -------------------------------------------------------------------------------------
class NewestFirst(CursorPagination):
    """Pages by a cursor on the id: flat at any depth, and no COUNT over everything."""

    ordering = "-id"
    page_size_query_param = "page_size"
    max_page_size = 200

    def decode_cursor(self, request: Request) -> Any:
        cursor = super().decode_cursor(request)
        if cursor is not None and cursor.position is not None:
            # It came from the client: anything but an id would fail in the database.
            position = str(cursor.position)
            if not (position.isascii() and position.isdecimal() and len(position) < 19):
                raise exceptions.NotFound("This cursor is none.")
        return cursor


class NoSuchCall(APIView):
    """Answers every other address below /api/ in the API's own shape."""

    permission_classes = [AllowAny]
    authentication_classes = []
    schema = None

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        raise exceptions.NotFound(
            "There is no such call; see /api/v1/docs/. Every address ends in a slash."
        )


# --- errors ---------------------------------------------------------------------------------------
_CODES = {
    400: "bad_request",
    401: "not_authenticated",
    403: "forbidden",
    404: "not_found",
    405: "method_not_allowed",
    406: "not_acceptable",
    413: "too_large",
    415: "unsupported_media_type",
    429: "too_many_requests",
}


def error_response(error: Exception, context: dict[str, Any]) -> Response | None:
    """Answer every failure as {"error": {"code", "message", "fields"?}}."""
    if isinstance(error, Refused):
        REFUSALS.labels("rest", error.code).inc()
        return _refusal(error)
    response = exception_handler(error, context)
    if response is None:
        return _unexpected(context)
    body: dict[str, Any] = {
        "code": _CODES.get(response.status_code, "error"),
        "message": _sentence(error),
    }
    if isinstance(error, exceptions.ValidationError) and isinstance(error.detail, dict):
        body["message"] = "Some fields are missing or wrong."
        body["fields"] = {name: _first(detail) for name, detail in error.detail.items()}
    response.data = {"error": body}
    REFUSALS.labels("rest", body["code"]).inc()
    return response


def _refusal(error: Refused) -> Response:
    response = Response({"error": error.as_json()}, status=error.status)
    if retry_ms := getattr(error, "retry_ms", None):
        response["Retry-After"] = str(math.ceil(retry_ms / 1000))
    return response


def _unexpected(context: dict[str, Any]) -> Response | None:
    """A mistake of ours: logged with its traceback, told in the API's shape without it."""
    if settings.DEBUG:
        return None
    request = context.get("request")
    got_request_exception.send(sender=None, request=getattr(request, "_request", request))
    error = sys.exc_info()[1]
    if is_outage(error):
        body = outage_body(error)
        log.warning("database_away", words=body["message"])
        return Response({"error": body}, status=503, headers={"Retry-After": str(RETRY_SECONDS)})
    log.error("request_failed", exc_info=sys.exc_info())
    body = {"code": "server_error", "message": "The server made a mistake: please try again."}
    return Response({"error": body}, status=500)


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


# --- schema ---------------------------------------------------------------------------------------
_ERROR = {
    "type": "object",
    "description": "Every failure has this shape.",
    "required": ["error"],
    "properties": {
        "error": {
            "type": "object",
            "required": ["code", "message"],
            "properties": {
                "code": {"type": "string", "description": "For programs."},
                "message": {"type": "string", "description": "A sentence for people."},
                "fields": {
                    "type": "object",
                    "description": "What is wrong, field by field.",
                    "additionalProperties": {"type": "string"},
                },
            },
        }
    },
}


def describe_errors(result: dict[str, Any], **_: Any) -> dict[str, Any]:
    """Add the one error shape to every operation of the OpenAPI schema."""
    result["components"].setdefault("schemas", {})["Error"] = _ERROR
    content = {"application/json": {"schema": {"$ref": "#/components/schemas/Error"}}}
    for operations in result["paths"].values():
        for operation in operations.values():
            operation["responses"]["default"] = {"description": "Refused.", "content": content}
    return result
