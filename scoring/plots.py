"""Pictures of numbers as SVG: made in the light theme's colours, shown in those of the page.

A plot is its numbers and their shape. The picture follows from them alone, so it is kept under
their hash; the page shows the same numbers as a table, and both can be had as a file.
"""

from __future__ import annotations

import csv
import hashlib
import io
import os
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache as once
from typing import TYPE_CHECKING, Any, Final

from django.conf import settings
from django.core.cache import cache
from django.http import HttpResponse
from django.utils.html import escape

from core.spreadsheets import cell
from scoring.statistics import clustered

if TYPE_CHECKING:
    from matplotlib.axes import Axes

VERSION: Final = 3  # of the look: another one makes every plot anew
KEPT_SECONDS: Final = 7 * 24 * 3600
INK, SOFT, LINE = "#1b1a17", "#57544b", "#e1ddd2"
SERIES: Final = ("#2c48c5", "#17663a", "#7a4b00", "#a3261e", "#868274")
# The tokens of static/css/dadc.css whose light values these are: a page puts its own in.
_TOKENS: Final = {
    INK: "--ink", SOFT: "--ink-soft", LINE: "--line", "#2c48c5": "--accent", "#17663a": "--good",
    "#7a4b00": "--warn", "#a3261e": "--bad", "#868274": "--line-strong",
}  # fmt: skip

Row = tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class Plot:
    """Numbers with the shape they are shown in; `columns` names what is in a row."""

    name: str
    title: str
    shape: str
    columns: tuple[str, ...]
    rows: tuple[Row, ...]
    x: str = ""
    y: str = ""

    @property
    def digest(self) -> str:
        told = repr((VERSION, self.name, self.title, self.shape, self.rows, self.x, self.y))
        return hashlib.sha256(told.encode()).hexdigest()[:20]

    @property
    def svg(self) -> str:
        """The picture as a file, on paper as light as the page's."""
        key = f"plot-{self.digest}"
        made: str | None = cache.get(key)
        if made is None:
            made = _picture(self)
            cache.set(key, made, KEPT_SECONDS)
        return made

    @property
    def inline(self) -> str:
        """The picture in the colours of the page that it stands in."""
        return _COLOUR.sub(lambda found: f"var({_TOKENS[found[0]]})", self.svg)

    @property
    def table(self) -> list[list[str]]:
        """The rows as people read them."""
        return [[_cell(value) for value in row] for row in self.rows]

    @property
    def csv(self) -> str:
        out = io.StringIO()
        writer = csv.writer(out, lineterminator="\n")
        writer.writerow(self.columns)
        writer.writerows([cell(value) for value in row] for row in self.rows)
        return out.getvalue()


FILES: Final = {"svg": "image/svg+xml", "csv": "text/csv; charset=utf-8"}


def as_file(plot: Plot, form: str, name: str) -> HttpResponse:
    """The picture (svg) or its numbers (csv), to be kept under a name."""
    response = HttpResponse(getattr(plot, form), content_type=FILES[form])
    response["Content-Disposition"] = f'attachment; filename="{name}.{form}"'
    return response


_COLOUR: Final = re.compile("|".join(_TOKENS))


def _cell(value: Any) -> str:
    if value is None:
        return "–"
    if isinstance(value, datetime):
        return f"{value:%Y-%m-%d %H:%M}"
    return f"{value:.4g}" if isinstance(value, float) else str(value)


# --- shapes ---------------------------------------------------------------------------------------
@once
def _figure_class() -> Any:
    """Matplotlib, set up once: it takes a second and 35 MB, which no command pays."""
    os.environ.setdefault("MPLCONFIGDIR", str(settings.DATA_DIR / "matplotlib"))
    import matplotlib as mpl
    from matplotlib.figure import Figure

    mpl.rcParams.update(
        {
            "svg.fonttype": "none", "svg.hashsalt": "dadc", "font.size": 10,
            "text.color": INK, "axes.edgecolor": LINE, "axes.labelcolor": SOFT,
            "xtick.color": SOFT, "ytick.color": SOFT, "grid.color": LINE,
            "axes.spines.top": False, "axes.spines.right": False,
            # Dollars in a label are no formula.
            "text.parse_math": False,
        }
    )  # fmt: skip
    return Figure


def warm_up() -> None:
    """Load what the first page with pictures and intervals would wait a second for, and fonts."""
    clustered([1, 2], [5, 5])
    _picture(Plot("first", "", "bars", ("name", "number"), (("1", 1),)))


def _picture(plot: Plot) -> str:
    lying = plot.shape in ("ranges", "bars")
    height = max(1.3, 0.7 + 0.3 * len(plot.rows)) if lying else 3.4
    figure = _figure_class()(figsize=(5, height), layout="constrained")
    axes = figure.add_subplot()
    axes.tick_params(length=0, pad=6)  # else the zeros of both axes touch
    axes.set_xlabel(plot.x)
    axes.set_ylabel(plot.y)
    _SHAPES[plot.shape](axes, plot.rows)
    file = io.StringIO()
    figure.savefig(file, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    return _as_markup(file.getvalue(), plot)


def _ranges(axes: Axes, rows: Sequence[Row]) -> None:
    """Rows of name, rate, low, high, one below the other."""
    places = range(len(rows))
    _, rates, lows, highs = zip(*(row[:4] for row in rows), strict=True)
    axes.hlines(places, lows, highs, color=SERIES[0], linewidth=5, alpha=0.35)
    some = [(rate, place) for place, rate in enumerate(rates) if rate is not None]
    axes.plot(*zip(*some, strict=True), "o", color=SERIES[0], markersize=6)
    axes.set_yticks(places, [_short(row[0]) for row in rows])
    axes.set_ylim(len(rows) - 0.5, -0.5)
    axes.set_xlim(left=0)
    axes.xaxis.set_major_formatter(lambda share, _: f"{100 * share:.0f} %")
    axes.grid(axis="x", linewidth=0.8)
    axes.set_axisbelow(True)


def _bars(axes: Axes, rows: Sequence[Row]) -> None:
    """Rows of name and count, one below the other."""
    places = range(len(rows))
    bars = axes.barh(places, [row[1] for row in rows], color=SERIES[0], height=0.6)
    axes.bar_label(bars, [f"{row[1]:,}" for row in rows], padding=4, color=INK)
    axes.set_yticks(places, [_short(row[0]) for row in rows])
    axes.set_ylim(len(rows) - 0.5, -0.5)
    axes.margins(x=0.12)
    axes.spines["bottom"].set_visible(False)
    axes.set_xticks([])


def _surety(axes: Axes, rows: Sequence[Row]) -> None:
    """Rows of how sure, how often right, low, high: what is calibrated lies on the diagonal."""
    axes.plot([0, 1], [0, 1], color=SOFT, linewidth=1, linestyle=(0, (4, 4)))
    sure, right, lows, highs = zip(*(row[:4] for row in rows), strict=True)
    axes.vlines(sure, lows, highs, color=SERIES[0], linewidth=5, alpha=0.35)
    axes.plot(sure, right, "o", color=SERIES[0], markersize=6)
    axes.set_xlim(0, 1.02)
    axes.set_ylim(0, 1.02)
    axes.grid(linewidth=0.8)
    axes.set_axisbelow(True)


def _lines(axes: Axes, rows: Sequence[Row]) -> None:
    """Rows of series, place, value, low, high: a line a series, over time where places are moments,
    else over the places in their order."""
    from matplotlib.dates import AutoDateLocator, ConciseDateFormatter, date2num

    names = list(dict.fromkeys(row[0] for row in rows))
    places = list(dict.fromkeys(row[1] for row in rows))
    over_time = isinstance(places[0], datetime)
    at = {one: date2num(one) if over_time else float(n) for n, one in enumerate(places)}
    apart = 0.015 * (max(at.values()) - min(at.values()) or 1.0) if over_time else 0.06
    for number, series in enumerate(names):
        own = [row for row in rows if row[0] == series]
        aside = apart * (number - (len(names) - 1) / 2)
        x = [at[row[1]] + aside for row in own]
        colour, mark = SERIES[number % len(SERIES)], "osD^v"[number % 5]
        axes.plot(x, [row[2] for row in own], f"-{mark}", color=colour, label=_short(series))
        lows, highs = zip(*(row[3:5] for row in own), strict=True)
        axes.vlines(x, lows, highs, color=colour, linewidth=4, alpha=0.3)
    if over_time:
        axes.xaxis_date()
        axes.margins(x=0.1)
        locator = AutoDateLocator(minticks=2, maxticks=6)
        axes.xaxis.set_major_locator(locator)
        axes.xaxis.set_major_formatter(ConciseDateFormatter(locator))
    else:
        axes.set_xticks(range(len(places)), [_short(place) for place in places])
    axes.grid(axis="y", linewidth=0.8)
    axes.set_axisbelow(True)
    axes.legend(frameon=False, fontsize=9, loc="best", labelcolor=INK)


def _points(axes: Axes, rows: Sequence[Row]) -> None:
    """Rows of name, x, y, and whether nothing is better in both: these are full, others hollow."""
    for name, x, y, best in rows:
        axes.plot([x], [y], "o", color=SERIES[0], fillstyle="full" if best else "none")
        axes.annotate(_short(name), (x, y), xytext=(6, 4), textcoords="offset points", fontsize=9)
    axes.margins(0.15)
    axes.locator_params(axis="x", nbins=5)
    axes.xaxis.set_major_formatter(lambda x, _: f"{x:,.0f}" if x >= 10 else f"{x:.3g}")
    axes.grid(linewidth=0.8)
    axes.set_axisbelow(True)


_SHAPES: Final[dict[str, Callable[[Any, Sequence[Row]], None]]] = {
    "ranges": _ranges,
    "bars": _bars,
    "surety": _surety,
    "lines": _lines,
    "points": _points,
}


def _short(name: object) -> str:
    text = str(name)
    return text if len(text) <= 30 else f"{text[:29]}…"


# --- markup ---------------------------------------------------------------------------------------
_STYLE: Final = re.compile(r' style="([^"]*)"')
_ID: Final = re.compile(r'(\bid="|url\(#|xlink:href="#)')
_FONT: Final = re.compile(r"([\d.]+)px")


def _as_markup(svg: str, plot: Plot) -> str:
    """What Matplotlib wrote without a style of its own, which a page's policy forbids.

    Declarations become attributes, ids are the plot's own, and it has a title for those who listen.
    """
    body = svg[svg.index("<svg") :]
    body = re.sub(r"<(metadata|style).*?</\1>", "", body, flags=re.DOTALL)
    body = _STYLE.sub(lambda found: _attributes(found[1]), body)
    body = _ID.sub(lambda found: f"{found[1]}plot-{plot.name}-", body)
    box = re.search(r'viewBox="[^"]*"', body)
    assert box is not None
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" '
        f'class="plot__picture" {box[0]} role="img" aria-labelledby="plot-{plot.name}-title" '
        f'font-family="system-ui, sans-serif">'
        f'<title id="plot-{plot.name}-title">{escape(plot.title)}</title>'
    )
    return re.sub(r"^<svg[^>]*>", lambda _: head, body, count=1)


def _attributes(style: str) -> str:
    found = []
    for declaration in filter(None, map(str.strip, style.split(";"))):
        name, _, value = (part.strip() for part in declaration.partition(":"))
        size = _FONT.search(value)
        if name == "font" and size is not None:
            name, value = "font-size", size[1]
        if name not in ("font", "font-family"):  # the page's own
            found.append(f' {name}="{value}"')
    return "".join(found)
