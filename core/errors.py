"""What a service says no with: a code for programs and a sentence for people."""

from __future__ import annotations

from collections.abc import Mapping


class Refused(Exception):
    """The request cannot be done; nothing was written.

    `status` is the HTTP status that fits, `fields` names what is wrong field by field.
    """

    def __init__(
        self,
        code: str,
        message: str,
        *,
        status: int = 400,
        fields: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.status = status
        self.fields = dict(fields or {})

    def as_json(self) -> dict[str, object]:
        """The one error shape: {code, message, fields?}."""
        body: dict[str, object] = {"code": self.code, "message": self.message}
        return {**body, "fields": self.fields} if self.fields else body


class Conflict(Refused):
    """It collides with what is already there (HTTP 409)."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(code, message, status=409)
