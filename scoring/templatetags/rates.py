"""Rates and their intervals, as boards show them."""

from __future__ import annotations

from typing import Any

from django import template

from scoring.pair_agreement import Agreement
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


@register.filter
def points(difference: float) -> str:
    """A difference of shares in points, with its sign."""
    return f"{100 * difference:+.1f}".replace("-", "−")


@register.filter
def duration(seconds: float | None) -> str:
    """Seconds below two minutes, then minutes, then hours."""
    if seconds is None:
        return "–"
    for size, unit in ((7200, "h"), (120, "min")):
        if seconds >= size:
            return f"{seconds / {'h': 3600, 'min': 60}[unit]:.1f} {unit}"
    return f"{seconds:.0f} s"


@register.inclusion_tag("components/interval.html")
def interval(rate: Rate, name: str) -> dict[str, Any]:
    """The graph of a rate with its interval."""
    low, high = rate.interval
    return {
        "low": f"{100 * low:.2f}",
        "width": f"{100 * (high - low):.2f}",
        "point": f"{100 * (rate.value or 0):.2f}",
        "text": f"{name} {percent(rate.value)}, from {100 * low:.0f} to {100 * high:.0f} %",
    }


@register.inclusion_tag("components/interval.html")
def alpha_interval(agreement: Agreement, name: str) -> dict[str, Any]:
    """The graph of an alpha on an axis from 0 (chance) to 1; what lies below 0 is cut off."""
    alpha = agreement.alpha if agreement.alpha is not None else 0.0
    low, high = agreement.interval or (alpha, alpha)
    left, right, point = (min(1.0, max(0.0, place)) for place in (low, high, alpha))
    return {
        "low": f"{100 * left:.2f}",
        "width": f"{100 * (right - left):.2f}",
        "point": f"{100 * point:.2f}",
        "text": f"{name} {alpha:.2f}, from {low:.2f} to {high:.2f}",
    }
