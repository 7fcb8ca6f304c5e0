"""Rates and their intervals, as boards show them."""

from __future__ import annotations

from typing import Any

from django import template

from scoring.queries import Rate

register = template.Library()


@register.filter
def percent(share: float | None) -> str:
    """Whole percents; one decimal below 10 %, where people on a board differ by less."""
    if share is None:
        return "–"
    digits = 1 if 0 < share < 0.0995 else 0
    return f"{100 * share:.{digits}f} %"


@register.filter
def percent_precise(share: float) -> str:
    """Percents with one decimal: models differ by less than one."""
    return f"{100 * share:.1f} %"


@register.inclusion_tag("components/interval.html")
def interval(rate: Rate, name: str) -> dict[str, Any]:
    """The drawing of a rate with its interval."""
    low, high = rate.interval
    return {
        "low": f"{100 * low:.2f}",
        "width": f"{100 * (high - low):.2f}",
        "point": f"{100 * (rate.value or 0):.2f}",
        "text": f"{name} {percent(rate.value)}, from {100 * low:.0f} to {100 * high:.0f} %",
    }
