"""The body of a REST call; apart from the views, which REST framework gives this parser."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from rest_framework import exceptions
from rest_framework.parsers import BaseParser

from core.strict_json import NotJson, loads


class TooLarge(exceptions.APIException):
    status_code = 413
    default_detail = "The body is too large."


class JsonParser(BaseParser):
    """Reads JSON that can be stored, and no more than DATA_UPLOAD_MAX_MEMORY_SIZE of it.

    REST framework's own reads the stream past that limit, lets NUL and half surrogates through to
    the database, and answers deep nesting with 500.
    """

    media_type = "application/json"

    def parse(self, stream: Any, media_type: Any = None, parser_context: Any = None) -> Any:
        most = settings.DATA_UPLOAD_MAX_MEMORY_SIZE
        body = stream.read(most + 1)
        if len(body) > most:
            raise TooLarge(f"A request may have at most {most // 1024**2} MiB.")
        try:
            return loads(body)
        except NotJson as error:
            raise exceptions.ParseError(str(error)) from error
