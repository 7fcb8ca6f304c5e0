"""Cells of CSV files as spreadsheets are given them; imports no Django."""

from __future__ import annotations

from typing import Any, Final

_FORMULAS: Final = ("=", "+", "-", "@", "\t", "\r")


def cell(value: Any) -> Any:
    """A value that no spreadsheet takes for a formula, whoever wrote it; numbers stay numbers."""
    return f"'{value}" if isinstance(value, str) and value.startswith(_FORMULAS) else value
