"""The boxes of an SVG drawing: a step with its chips, the notebook's parameters, the names that a link carries."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from nb2prod.core.finding import Finding
from nb2prod.core.pipeline import Parameter, Pipeline, Step
from nb2prod.core.result import Result
from nb2prod.drawing.layout import Link
from nb2prod.drawing.svg_text import escaped, fitted, measured, number, text
from nb2prod.drawing.words import badges, cells_of, default_of, printable

PADDING, CAPTION = 12.0, 72.0  # the space at a box's sides; the width of the word in front of chips
TITLE, LINE, CHIP = 36.0, 23.0, 18.0  # heights
WIDEST, NARROWEST = 360.0, 150.0
NAMES_WIDEST, NAMES_LINE = 220.0, 16.0
SIGNS = {"finished": "✓", "failed": "✗", "skipped": "–", "running": "…", "waiting": "·"}


@dataclass(frozen=True, slots=True)
class Block:
    """A part of a drawing with its size, drawn from (0, 0)."""

    width: float = 0.0
    height: float = 0.0
    parts: tuple[str, ...] = ()

    def at(self, x: float, y: float) -> str:
        """Placed, in a viewport of its own: it clips what a reader's font makes wider than we thought."""
        size = f'width="{number(self.width)}" height="{number(self.height)}"'
        return "\n".join([f'<svg x="{number(x)}" y="{number(y)}" {size}>', *self.parts, "</svg>"])


@dataclass(frozen=True, slots=True)
class Mark:
    """A word beside a step's name: how it ran, what was found in it."""

    shown: str
    style: str
    whole: str


def framed(width: float, height: float, style: str, parts: Sequence[str]) -> Block:
    inner = f'width="{number(width - 2)}" height="{number(height - 2)}"'
    return Block(width, height, (f'<rect class="{style}" x="1" y="1" {inner} rx="9"/>', *parts))


# -- a step ---------------------------------------------------------------------------------------------------------


def step_box(step: Step, findings: Sequence[Finding], result: Result | None) -> Block:
    """Its name, marks and cells, then a line of chips for each kind of thing that it has."""
    rows = [(kind, _worded(kind, names, step, result)) for kind, names in badges(step)]
    marks = (*_found(step, findings), *_ran(step, result))
    cells = fitted(cells_of(step), 11, "sans", 96.0)
    aside = sum(measured(mark.shown, 11) + 10 for mark in marks) + measured(cells, 11)
    chips = max((sum(_chip_width(name) + 5 for name in names) + CAPTION for _, names in rows), default=0.0)
    needed = max(measured(printable(step.name), 15, bold=True) + aside + 16, chips)
    width = min(WIDEST, max(NARROWEST, needed + 2 * PADDING))
    parts = _title(step, cells, marks, width)
    y = TITLE
    for kind, names in rows:
        parts.append(text(kind, kind, "faint", PADDING, y + 13))
        y = _chips(parts, kind, names, width, y)
    return framed(width, y + 6 if rows else TITLE + 2, "box model" if step.model else "box", parts)


def _title(step: Step, cells: str, marks: Sequence[Mark], width: float) -> list[str]:
    right = width - PADDING
    parts = [text(cells, cells_of(step), "faint", right, 23, anchor="end")]
    right -= measured(cells, 11) + 10
    for mark in marks:
        parts.append(text(mark.shown, mark.whole, f"mark {mark.style}", right, 23, anchor="end"))
        right -= measured(mark.shown, 11) + 10
    name = printable(step.name)
    return [text(fitted(name, 15, "sans", right - PADDING, bold=True), name, "name", PADDING, 23), *parts]


def _chip_width(name: str) -> float:
    return measured(name, 11, "mono") + 12


def _chips(parts: list[str], kind: str, names: Sequence[str], width: float, y: float) -> float:
    """Draw chips in as many lines as they need; returns the y below them."""
    left = PADDING + CAPTION
    x, room = left, width - PADDING - left
    for name in names:
        shown = fitted(name, 11, "mono", room - 12)
        wide = _chip_width(shown)
        if x > left and x + wide > left + room:
            x, y = left, y + LINE
        place = f'x="{number(x)}" y="{number(y)}" width="{number(wide)}" height="{number(CHIP)}"'
        parts.append(f'<rect class="chip {kind}" {place} rx="5"/>')
        parts.append(text(shown, name, f"code {kind}", x + 6, y + 13))
        x += wide + 5
    return y + LINE


def _worded(kind: str, names: Sequence[str], step: Step, result: Result | None) -> list[str]:
    """Names as their chips say them: metrics with their value when there is a run."""
    metrics = {}
    if kind == "metrics" and result is not None:
        metrics = dict(next((s.metrics for s in result.steps if s.name == step.name), {}))
    return [printable(name) + (f" {metrics[name]:.4g}" if name in metrics else "") for name in names]


def _ran(step: Step, result: Result | None) -> list[Mark]:
    found = [] if result is None else [s for s in result.steps if s.name == step.name]
    return [
        Mark(
            f"{SIGNS[ran.status]} {ran.seconds:.1f} s" if ran.seconds else SIGNS[ran.status],
            ran.status,
            f"{ran.status}: {ran.reason}" if ran.reason else ran.status,
        )
        for ran in found
    ]


def _found(step: Step, findings: Sequence[Finding]) -> list[Mark]:
    found = [f for f in findings if f.cell in step.cells and f.severity != "note"]
    if not found:
        return []
    worst = "error" if any(f.severity == "error" for f in found) else "warning"
    return [Mark(f"! {len(found)}", worst, "; ".join(f"{f.place}: {f.message}" for f in found))]


# -- parameters and names -------------------------------------------------------------------------------------------


def parameters_card(pipeline: Pipeline, columns: int = 1) -> Block:
    """The notebook's parameters: name and default, below them type and help. Empty when there are none."""
    if not pipeline.parameters:
        return Block()
    needed = max(
        max(
            measured(printable(p.name) + default_of(p), 11, "mono") + 24,
            measured(_about(p), 10.5),
        )
        for p in pipeline.parameters
    )
    width = min(WIDEST, max(NARROWEST, needed + 2 * PADDING))
    parts = [text("parameters", "parameters", "faint", PADDING, 23)]
    deep = math.ceil(len(pipeline.parameters) / columns)
    for position, parameter in enumerate(pipeline.parameters):
        parts += _parameter(parameter, position // deep * width, width, TITLE + position % deep * 36.0)
    return framed(columns * width, TITLE + deep * 36.0 + 2, "card", parts)


def _about(parameter: Parameter) -> str:
    return " · ".join(filter(None, (printable(parameter.type.name), printable(parameter.help))))


def _parameter(parameter: Parameter, x: float, width: float, y: float) -> list[str]:
    inner = width - 2 * PADDING
    name, default, about = printable(parameter.name), default_of(parameter), _about(parameter)
    shown = fitted(name, 11, "mono", inner * 0.6)
    room = inner - measured(shown, 11, "mono") - 12
    return [
        text(shown, name, "code strong", x + PADDING, y + 12),
        text(fitted(default, 11, "mono", room), default, "code", x + width - PADDING, y + 12, anchor="end"),
        text(fitted(about, 10.5, "sans", inner), about, "faint small", x + PADDING, y + 26),
    ]


def names_pill(link: Link) -> Block:
    """The names that a link carries, in lines, on a ground of their own: below it may be anything."""
    lines = _lines(["after"] if link.after else [*link.names, *(["(cycle)"] if link.back else [])], comma=not link.back)
    width = max(measured(line, 11, "mono") for line, _ in lines) + 14
    height = len(lines) * NAMES_LINE + 6
    about = "; ".join(link.reasons) or "an order that no data shows"
    style = "after" if link.after else "back" if link.back else "carried"
    shown = [
        text(line, whole, f"code {style}", width / 2, 15 + position * NAMES_LINE, anchor="middle")
        for position, (line, whole) in enumerate(lines)
    ]
    size = f'width="{number(width)}" height="{number(height)}"'
    ground = f'<rect class="pill" {size} rx="6"><title>{escaped(about)}</title></rect>'
    return Block(width, height, (ground, *shown))


def _lines(names: Sequence[str], *, comma: bool) -> list[tuple[str, str]]:
    """(what a line shows, what it says in full)"""
    lines: list[tuple[str, str]] = []
    for position, name in enumerate(names):
        whole = printable(name) + ("," if comma and position + 1 < len(names) else "")
        shown = fitted(whole, 11, "mono", NAMES_WIDEST)
        if lines and measured(f"{lines[-1][0]} {shown}", 11, "mono") <= NAMES_WIDEST:
            lines[-1] = (f"{lines[-1][0]} {shown}", f"{lines[-1][1]} {whole}")
        else:
            lines.append((shown, whole))
    return lines
