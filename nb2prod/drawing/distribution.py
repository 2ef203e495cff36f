"""What a map came to, for the eye: each metric's distribution with its floors, and one page of text or HTML.

A few items far out would squeeze all others into one bar. So a picture shows the middle 98 % and every floor; what lies
beyond is counted at the edge, never dropped without a word.
"""

from __future__ import annotations

import base64
import io
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from nb2prod.core.distribution import (
    Distribution,
    Extreme,
    FailureGroup,
    Judgement,
    MapReport,
    title,
    value_of,
)
from nb2prod.drawing.words import cut, printable
from nb2prod.storage import templates

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

TEMPLATE = "map/report.html.j2"
INK, FAINT, BARS = "#1b2430", "#5c6a79", "#4c78a8"
HOLDS, FAILS = "#1a7f37", "#cf222e"
BINS = 60
SEEN = (0.01, 0.99)  # the quantiles between which all is drawn
NEAR = 0.25  # values no further out than this share of the range are drawn too
HEADROOM = 1.35
FLAT, LEAST_ROOM = 1e-9, 1e-3
BEHIND = {"facecolor": "white", "edgecolor": "none", "alpha": 0.75, "pad": 0.8}
WIDTH = 110  # of a line of text
GROUPS = 20


# -- pictures -------------------------------------------------------------------------------------------------------


def as_figure(distribution: Distribution, judgements: Iterable[Judgement] = ()) -> Figure:
    """A histogram with mean and quantiles, and the metric's floors: green when they hold, red when they do not."""
    from matplotlib.figure import Figure

    own = [j for j in judgements if j.floor.of == distribution.name and not j.floor.of_items]
    figure = Figure(figsize=(8, 3.6), dpi=110, layout="constrained")
    axes: Axes = figure.subplots()
    axes.set_title(_heading(distribution), loc="left", fontsize=11, color=INK)
    axes.set_xlabel(distribution.name)
    axes.set_ylabel("items")
    axes.spines[["top", "right"]].set_visible(False)
    low, high = _shown(distribution, [j.floor.bound for j in own]) if distribution.values else (0.0, 0.0)
    if not distribution.values or not math.isfinite(high - low):
        why = "the values are too far apart to be drawn" if distribution.values else "no item has a value"
        axes.text(0.5, 0.5, why, transform=axes.transAxes, ha="center", va="center", color=FAINT)
        return figure
    axes.hist([v for v in distribution.values if low <= v <= high], bins=BINS, range=(low, high), color=BARS)
    axes.set_xlim(low, high)
    axes.set_ylim(0, axes.get_ylim()[1] * HEADROOM)
    _mark_outside(axes, distribution, low, high)
    marked = sorted((distribution.figures[name], name) for name in ("p05", "p50", "mean", "p95"))
    for place, (value, name) in enumerate(marked):  # by turns a little lower, so that near ones can be read
        _mark(axes, value, name, FAINT, ":", 1.0 if place % 2 == 0 else 0.94)
    for place, judgement in enumerate(own):
        color = HOLDS if judgement.holds else FAILS
        _mark(axes, judgement.floor.bound, _floor_label(judgement), color, "-", 0.78 - 0.07 * place)
    return figure


def as_png(figure: Figure) -> bytes:
    """Without the name of the software and its version, the same figure is the same file."""
    file = io.BytesIO()
    figure.savefig(file, format="png", metadata={"Software": None})
    return file.getvalue()


def _heading(distribution: Distribution) -> str:
    missing = f", {distribution.missing:,} without a value" if distribution.missing else ""
    return f"{distribution.name}: {len(distribution.values):,} items{missing}, mean {distribution.mean:.4g}"


def _shown(distribution: Distribution, bounds: Sequence[float]) -> tuple[float, float]:
    """The range that is drawn: the middle of the values and every floor; all values when none is far out."""
    ends = [*(distribution.quantile(share) for share in SEEN), *bounds]
    low, high = min(ends), max(ends)
    least, most = distribution.quantile(0), distribution.quantile(1)
    near = NEAR * (high - low)
    low = min(low, least) if low - least <= near else low
    high = max(high, most) if most - high <= near else high
    if high - low <= max(FLAT * max(abs(low), abs(high)), 1e-290):  # one value, but for the last digits of floats
        room = max(0.05 * max(abs(low), abs(high)), LEAST_ROOM)
        return low - room, high + room
    room = 0.02 * (high - low)
    # no room beyond the last value: an error of 0 must not look as if it could be negative
    return (low if low == least else low - room), (high if high == most else high + room)


def _mark_outside(axes: Axes, distribution: Distribution, low: float, high: float) -> None:
    below, above = sum(v < low for v in distribution.values), sum(v > high for v in distribution.values)
    told = (
        (below, f"← {below:,} below, least {distribution.quantile(0):.4g}", 0.005, "left"),
        (above, f"{above:,} above, most {distribution.quantile(1):.4g} →", 0.995, "right"),
    )
    for count, text, place, side in told:
        if count:
            axes.text(
                place, 0.87, text, transform=axes.transAxes, ha=side, va="top", fontsize=8, color=FAINT, bbox=BEHIND
            )


def _mark(axes: Axes, value: float, text: str, color: str, style: str, height: float) -> None:
    """A line through the picture with its name beside it, `height` of the way up."""
    low, high = axes.get_xlim()
    if not low <= value <= high:
        return
    axes.axvline(value, color=color, linestyle=style, linewidth=1.6 if style == "-" else 1.1)
    right = value > (low + high) / 2
    axes.annotate(
        text,
        (value, height),
        xycoords=("data", "axes fraction"),
        xytext=(-3 if right else 3, -2),
        textcoords="offset points",
        ha="right" if right else "left",
        va="top",
        fontsize=8,
        color=color,
        bbox=BEHIND,
    )


def _floor_label(judgement: Judgement) -> str:
    return f"{judgement.floor.text}{'' if judgement.holds else ': FAILS'}"


# -- text -----------------------------------------------------------------------------------------------------------


def as_text(report: MapReport) -> str:
    """The page as plain text."""
    parts = [_opening(report), *_floor_lines(report.judgements)]
    if report.distributions:
        rows = [_statistics(one) for one in report.distributions]
        parts += ["", *_table(["metric", "items", "missing", "mean", "min", "p05", "p50", "p95", "max"], rows)]
    for end in report.extremes:
        parts += ["", _extreme_heading(end), *_table(*_extreme_table(end, report))]
    if report.failures:
        rows = [[str(g.count), g.status, _place(g), cut(printable(_message(g)), 70)] for g in report.failures[:GROUPS]]
        parts += ["", "Failures", *_table(["items", "status", "where", "what most of them said"], rows)]
        parts += _more_groups(report.failures)
    return "\n".join(parts) + "\n"


def worst_table(report: MapReport) -> str:
    """Only the extremes and the failures, one row an item: what an artifact `worst.txt` holds."""
    parts: list[str] = []
    for end in report.extremes:
        parts += [_extreme_heading(end), *_table(*_extreme_table(end, report)), ""]
    return "\n".join(parts)


def _opening(report: MapReport) -> str:
    summary = report.summary
    counts = ", ".join(f"{count:,} {status}" for status, count in summary.counts.items() if count)
    left = f"; {summary.left_out:,} groups had too few rows and were left out" if summary.left_out else ""
    stopped = f"\nstopped before its end: {summary.stopped}" if summary.stopped else ""
    done = f"{summary.done:,} of {summary.total:,} items ({counts}) in {summary.seconds:.1f} s"
    return f"{report.title}: {done}{left}{stopped}"


def _floor_lines(judgements: Sequence[Judgement]) -> list[str]:
    if not judgements:
        return []
    rows = [
        ["holds" if j.holds else "FAILS", j.floor.text, _number(j.value), f"{j.items:,}", j.reason] for j in judgements
    ]
    return ["", *_table(["floor", "", "value", "items", ""], rows)]


def _statistics(one: Distribution) -> list[str]:
    figures = [_number(one.figures[name]) for name in ("mean", "min", "p05", "p50", "p95", "max")]
    return [one.name, f"{len(one.values):,}", f"{one.missing:,}", *figures]


def _extreme_heading(end: Extreme) -> str:
    which = "lowest" if end.lowest else "highest"
    why = f" (floor {end.floor})" if end.floor else ""
    return f"{len(end.items)} items with the {which} {end.metric}{why}"


def _extreme_table(end: Extreme, report: MapReport) -> tuple[list[str], list[list[str]]]:
    others = [one.name for one in report.distributions if one.name != end.metric]
    names = [end.metric, *others]
    rows = [
        [title(item), *(_number(value_of(item, name)) for name in names), f"{item.seconds:.3f}"] for item in end.items
    ]
    return ["item", *names, "seconds"], rows


def _place(group: FailureGroup) -> str:
    words = [f"step {group.step}" if group.step else "", f"cell {group.cell}" if group.cell is not None else ""]
    words.append(f"line {group.line}" if group.line else "")
    return ", ".join(word for word in words if word)


def _message(group: FailureGroup) -> str:
    others = f" (and {group.messages - 1:,} other texts)" if group.messages > 1 else ""
    return f"{group.message}{others}"


def _more_groups(groups: Sequence[FailureGroup]) -> list[str]:
    left = groups[GROUPS:]
    return [f"and {len(left):,} more kinds, {sum(group.count for group in left):,} items"] if left else []


def _number(value: float) -> str:
    return "–" if math.isnan(value) else f"{value:.4g}"


def _table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """Columns side by side: numbers to the right, the last text column as long as it is."""
    shown = [[printable(cell) for cell in row] for row in [list(heads), *rows]]
    widths = [min(max(len(row[place]) for row in shown), WIDTH) for place in range(len(heads))]
    right = [bool(rows) and all(_is_number(row[place]) for row in rows) for place in range(len(heads))]
    lines = []
    for row in shown:
        cells = [
            cell.rjust(width) if to_right else cell.ljust(width)
            for cell, width, to_right in zip(row, widths, right, strict=True)
        ]
        lines.append("  " + "  ".join(cells).rstrip())
    return lines


def _is_number(text: str) -> bool:
    return text == "–" or text.lstrip("-").replace(",", "")[:1].isdigit() or text in ("inf", "-inf")


# -- one page -------------------------------------------------------------------------------------------------------


def as_html(report: MapReport, pictures: Mapping[str, bytes] | None = None) -> str:
    """One page that needs nothing else; `pictures` are those of the metrics when they are drawn already."""
    drawn = pictures if pictures is not None else pictures_of(report)
    values: dict[str, Any] = {
        "title": report.title,
        "opening": _opening(report),
        "failed": any(not j.holds for j in report.judgements) or bool(report.summary.stopped),
        "judgements": [
            {
                "holds": j.holds,
                "text": j.floor.text,
                "value": _number(j.value),
                "items": f"{j.items:,}",
                "reason": j.reason,
            }
            for j in report.judgements
        ],
        "pictures": [{"name": name, "data": base64.b64encode(png).decode()} for name, png in drawn.items()],
        "statistics": [_statistics(one) for one in report.distributions],
        "extremes": [_extreme_of(end, report) for end in report.extremes],
        "failures": [_group_of(group) for group in report.failures[:GROUPS]],
        "more": "".join(_more_groups(report.failures)),
    }
    return templates.render(TEMPLATE, values)


def _group_of(group: FailureGroup) -> dict[str, str]:
    return {
        "count": f"{group.count:,}",
        "status": group.status,
        "place": _place(group),
        "message": printable(_message(group)),
        "example": title(group.example),
    }


def file_name(metric: str) -> str:
    """A metric's name as that of a file, on any system and in any store."""
    return re.sub(r"[^\w\-. ]", "_", metric)


def pictures_of(report: MapReport) -> dict[str, bytes]:
    """A PNG of every metric, by its name."""
    return {one.name: as_png(as_figure(one, report.judgements)) for one in report.distributions}


def _extreme_of(end: Extreme, report: MapReport) -> dict[str, Any]:
    heads, rows = _extreme_table(end, report)
    return {
        "heading": _extreme_heading(end),
        "heads": heads,
        "rows": [[printable(cell) for cell in row] for row in rows],
    }
