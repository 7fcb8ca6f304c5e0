"""How log lines look: JSON for machines, columns for a terminal, and nobody's data in either.

The id of the request is in every line that it causes (core/request_ids.py).
"""

from __future__ import annotations

import logging.config
import re
import sys
import traceback
from typing import Any, TextIO

import structlog
from structlog.typing import EventDict, Processor

# What PostgreSQL and pydantic add to their messages is what somebody typed.
_DETAILS = re.compile(r"^(DETAIL|CONTEXT|HINT|LINE \d+):.*(\n\s*\^.*)?$", re.MULTILINE)
_GIVEN = re.compile(r"input_value=.*?, input_type=", re.DOTALL)


def logging_settings(*, level: str, kind: str, stream: TextIO = sys.stderr) -> dict[str, Any]:
    """Django's LOGGING; `kind` is "json", "text", or "" for text on a terminal alone."""
    colours = stream.isatty()
    json = kind == "json" or (not kind and not colours)
    render: list[Processor] = [structlog.stdlib.ProcessorFormatter.remove_processors_meta]
    if json:
        render.append(structlog.processors.JSONRenderer(ensure_ascii=False))
    else:
        render.append(structlog.dev.ConsoleRenderer(colors=colours))
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {
            "own": {
                "()": structlog.stdlib.ProcessorFormatter,
                "processors": render,
                "foreign_pre_chain": SHARED,
            },
        },
        "filters": {"without_paths": {"()": WithoutPaths}},
        "handlers": {
            "console": {
                "class": "logging.StreamHandler",
                "stream": stream,
                "formatter": "own",
                "filters": ["without_paths"],
            }
        },
        "root": {"handlers": ["console"], "level": level},
        "loggers": {
            # Each request has its own line already; only a mistake of ours says more.
            "django.request": {"level": "ERROR"},
            "django.security.DisallowedHost": {"level": "CRITICAL"},
            # Both tell clients' addresses.
            "uvicorn.access": {"level": "CRITICAL"},
            "uvicorn.error": {"level": "WARNING"},
        },
    }


def configure(settings: dict[str, Any]) -> None:
    """Django's LOGGING_CONFIG: the standard library's loggers and structlog's write alike."""
    logging.config.dictConfig(settings)
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *SHARED,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
    )


class WithoutPaths(logging.Filter):
    """Django names the address in its messages; what is in one may be a secret or a name."""

    def filter(self, record: logging.LogRecord) -> bool:
        words, _, address = str(record.msg).rpartition(": ")
        if hasattr(record, "request") and address == "%s" and isinstance(record.args, tuple):
            record.msg, record.args = words % record.args[:-1], ()
        return True


def _tell_exception(_: Any, __: str, event: EventDict) -> EventDict:
    """The traceback without values: neither locals nor what the message quotes."""
    info = event.pop("exc_info", None)
    if info is True:
        info = sys.exc_info()
    elif isinstance(info, BaseException):
        info = (type(info), info, info.__traceback__)
    if info and info[0] is not None:
        text = "".join(traceback.format_exception(*info)).rstrip()
        event["exception"] = _GIVEN.sub("input_value=…, input_type=", _DETAILS.sub("", text))
    return event


SHARED: list[Processor] = [
    structlog.contextvars.merge_contextvars,
    structlog.stdlib.add_logger_name,
    structlog.stdlib.add_log_level,
    structlog.stdlib.PositionalArgumentsFormatter(),
    structlog.processors.TimeStamper(fmt="iso", utc=True),
    _tell_exception,
]
