"""What was not taken of a file of lines; imports no Django."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

LONGEST = 500  # characters of a sentence, which may quote what a line held


def shown(message: str) -> str:
    """A sentence of which nothing may steer a terminal."""
    return "".join(char if char.isprintable() else "\ufffd" for char in message[:LONGEST])


@dataclass
class RefusedLines:
    """Every line that was refused, with its number and a sentence, told in the file's order."""

    refused: list[tuple[int, str]] = field(default_factory=list)

    def refuse(self, number: int, message: str) -> None:
        self.refused.append((number, shown(message)))

    @property
    def mistakes(self) -> list[str]:
        """A sentence a line, for people."""
        return [f"line {number}: {message}" for number, message in sorted(self.refused)]

    def refused_json(self) -> list[dict[str, Any]]:
        """The same for programs."""
        return [{"line": number, "message": message} for number, message in sorted(self.refused)]
