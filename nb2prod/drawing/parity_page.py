"""What verifying a notebook came to, as text for a terminal and as one page for a browser that needs nothing else.

Both say first whether isolated steps are the notebook, then step by step what was compared, then where the two part:
the line, what stands there on both sides, and why.
"""

from __future__ import annotations

import io
from collections.abc import Iterable, Mapping
from typing import Any

from nb2prod.core.equality import ISOLATED_STEPS, Boundary, Compared, Equality
from nb2prod.core.pipeline import Pipeline
from nb2prod.drawing.svg import as_svg
from nb2prod.drawing.words import counted, printable
from nb2prod.storage import templates

TEMPLATE = "verify/parity.html.j2"
MARKS: Mapping[str, tuple[str, str]] = {
    "equal": ("✓", "green"),
    "tolerant": ("≈", "yellow"),
    "different": ("✗", "red"),
    "uncompared": ("?", "dim"),
}
WORST: tuple[Compared, ...] = ("different", "tolerant", "uncompared", "equal")
HEADLINES: Mapping[str, str] = {
    "equal": "isolated steps are equal to the notebook",
    "tolerant": "isolated steps are equal to the notebook but for the last digits of floats",
    "different": "isolated steps differ from the notebook",
    "refused": "the notebook has no isolated steps that could be compared",
    "failed": "the notebook's own code failed",
}
COLORS: Mapping[str, str] = {
    "equal": "bold green",
    "tolerant": "bold yellow",
    "different": "bold red",
    "refused": "bold red",
    "failed": "bold red",
}
WORDS: Mapping[str, str] = {
    "value": "value",
    "random": "random stream",
    "predictions": "answer of a model",
    "metric": "metric",
    "test": "test",
    "printed": "printed text",
    "failure": "failure",
}
FIRST = "  (the notebook's first)"
SHOWN = 6  # names in a row
LINES_AROUND = 2


def worst(boundaries: Iterable[Boundary]) -> Compared:
    there = {boundary.verdict for boundary in boundaries}
    return next((verdict for verdict in WORST if verdict in there), "equal")


def of_steps(equality: Equality) -> list[tuple[str, list[Boundary]]]:
    """Boundaries by step, cells of no step first."""
    found = {step: [one for one in equality.boundaries if one.step == step] for step in ("", *equality.steps)}
    return [(step, boundaries) for step, boundaries in found.items() if boundaries or step]


def headline(equality: Equality) -> str:
    return HEADLINES[equality.status].replace(ISOLATED_STEPS, equality.other)


def summary(equality: Equality) -> str:
    """How much was compared, and how much not."""
    kinds = {
        kind: sum(one.kind == kind and one.verdict != "uncompared" for one in equality.boundaries) for kind in WORDS
    }
    said = [_many(number, WORDS[kind]) for kind, number in kinds.items() if number and kind != "failure"]
    blank = len(equality.of("uncompared"))
    return f"{', '.join(said) or 'nothing'} compared{f'; {blank} not comparable' if blank else ''}"


def _many(number: int, word: str) -> str:
    plural = {"answer of a model": "answers of a model", "printed text": "printed texts"}.get(word, f"{word}s")
    return f"{number} {word if number == 1 else plural}"


def excerpt(pipeline: Pipeline, cell: int | None, line: int | None) -> list[tuple[int, str, bool]]:
    """The lines around a place, as (number, text, is it the line)."""
    if cell is None or line is None or cell >= len(pipeline.notebook.cells):
        return []
    lines = pipeline.notebook.cells[cell].source.splitlines()
    start = max(1, line - LINES_AROUND)
    around = lines[start - 1 : line + LINES_AROUND]
    return [(number, printable(text), number == line) for number, text in enumerate(around, start=start)]


def place(boundary: Boundary) -> str:
    return _place(boundary.cell, boundary.line)


def _place(cell: int | None, line: int | None) -> str:
    if cell is None:
        return ""
    return f"cell {cell}" if line is None else f"cell {cell}, line {line}"


def sizes(boundary: Boundary) -> str:
    """The figures of a difference: how large, how many."""
    found = boundary.difference
    said = [f"{found.count:,} of {found.items:,} differ"] if found.items > 1 and found.count else []
    if found.absolute:
        said.append(f"largest difference {found.absolute:.3g}, relative {found.relative:.3g}")
    if found.ulps:
        said.append(f"{found.ulps:.3g} ulp")
    if found.tolerance:
        said.append(f"tolerance {found.tolerance}")
    return "; ".join(said)


# -- for a terminal --------------------------------------------------------------------------------------------------


def as_text(equality: Equality, pipeline: Pipeline, *, width: int, color: bool) -> str:
    """The table by step and the first difference."""
    from rich.console import Console

    page = io.StringIO()
    console = Console(file=page, width=width, force_terminal=color, no_color=not color, highlight=False)
    if equality.boundaries:
        console.print(_table(equality))
        console.print()
    first = equality.first
    if first is not None:
        console.print(_panel(first, pipeline))
        console.print()
    for text in _blanks(equality):
        console.print(f"[dim]not compared: {text}[/dim]", markup=True, soft_wrap=True)
    console.print(_headline(equality), style=COLORS[equality.status])
    return "\n".join(line.rstrip() for line in page.getvalue().splitlines())


def _headline(equality: Equality) -> Any:
    from rich.text import Text

    rest = f": {summary(equality)}" if equality.boundaries else ""
    return Text(f"{equality.status}: {headline(equality)}{rest}")


def _blanks(equality: Equality) -> list[str]:
    from rich.markup import escape

    texts = dict.fromkeys(text for one in equality.boundaries for text in one.difference.uncompared)
    shown = [escape(printable(text)) for text in list(texts)[:SHOWN]]
    return [*shown, f"and {len(texts) - SHOWN} more"] if len(texts) > SHOWN else shown


def _table(equality: Equality) -> Any:
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
    table.add_column("")
    table.add_column("step")
    for verdict in ("equal", "tolerant", "different", "uncompared"):
        if equality.of(verdict) or verdict == "equal":
            table.add_column("not compared" if verdict == "uncompared" else verdict, overflow="fold")
    for step, boundaries in of_steps(equality):
        mark, style = MARKS[worst(boundaries)] if boundaries else ("·", "dim")
        cells = [
            Text(_names([one for one in boundaries if one.verdict == verdict]), style=MARKS[verdict][1])
            for verdict in ("equal", "tolerant", "different", "uncompared")
            if equality.of(verdict) or verdict == "equal"
        ]
        table.add_row(Text(mark, style=style), Text(printable(step or "(before the steps)")), *cells)
    return table


def _names(boundaries: list[Boundary]) -> str:
    names = list(dict.fromkeys(printable(one.name) for one in boundaries))
    return ", ".join(names[:SHOWN]) + (f" and {len(names) - SHOWN} more" if len(names) > SHOWN else "")


def _panel(first: Boundary, pipeline: Pipeline) -> Any:
    from rich.panel import Panel
    from rich.text import Text

    body = Text()
    for number, text, is_it in excerpt(pipeline, first.cell, first.line):
        body.append(f"{'❯' if is_it else ' '} {number:>3} │ {text}\n", style="bold" if is_it else "dim")
    body.append(printable(first.difference.text), style="red")
    body.append(f"{FIRST}\n" if first.kind not in ("failure",) else "\n", style="dim")
    if sizes(first):
        body.append(f"{sizes(first)}\n", style="dim")
    if first.cause is not None:
        where = _place(first.cause.cell, first.cause.line)
        body.append("likely cause: ", style="bold")
        aside = f" ({where})" if where and where != place(first) else ""
        body.append(f"{first.cause.kind}, {first.cause.message}{aside}\n")
        body.append("fix: ", style="bold")
        body.append(first.cause.fix)
    step = f"step {first.step}" if first.step else "before the steps"
    title = " · ".join(filter(None, (f"first difference: {printable(first.name)}", step, place(first))))
    body.rstrip()
    return Panel(body, title=Text(title), title_align="left", border_style="red")


# -- for a browser ---------------------------------------------------------------------------------------------------


def as_html(equality: Equality, pipeline: Pipeline) -> str:
    """One page that stands alone: the graph with its edges by verdict, the table, every difference to open."""
    from markupsafe import Markup

    first = equality.first
    return templates.render(
        TEMPLATE,
        {
            "title": pipeline.notebook.path.name,
            "status": equality.status,
            "headline": headline(equality),
            "summary": summary(equality),
            "graph": Markup(as_svg(pipeline, verdicts=verdicts(equality))),  # as_svg escapes what it is given
            "steps": [_step(step, boundaries, pipeline) for step, boundaries in of_steps(equality)],
            "first": None if first is None else _row(first, pipeline),
            "edges": equality.edges,
            "findings": equality.findings,
            "failure": equality.failure,
            "seconds": {name: f"{seconds:.1f} s" for name, seconds in equality.seconds.items()},
        },
    )


def verdicts(equality: Equality) -> dict[tuple[str, str], str]:
    """The worst verdict of each link's edges."""
    found: dict[tuple[str, str], set[str]] = {}
    for edge in equality.edges:
        found.setdefault((edge.source, edge.step), set()).add(edge.verdict)
    return {link: next(verdict for verdict in WORST if verdict in there) for link, there in found.items()}


def _step(step: str, boundaries: list[Boundary], pipeline: Pipeline) -> dict[str, Any]:
    return {
        "name": step or "before the steps",
        "verdict": worst(boundaries),
        "count": counted(len(boundaries), "thing"),
        "rows": [_row(boundary, pipeline) for boundary in boundaries],
    }


def _row(boundary: Boundary, pipeline: Pipeline) -> dict[str, Any]:
    cause = boundary.cause
    return {
        "name": printable(boundary.name),
        "step": boundary.step,
        "kind": WORDS[boundary.kind],
        "verdict": boundary.verdict,
        "mark": MARKS[boundary.verdict][0],
        "place": place(boundary),
        "text": printable(boundary.difference.text),
        "sizes": sizes(boundary),
        "uncompared": [printable(text) for text in boundary.difference.uncompared],
        "cause": cause,
        "cause_place": "" if cause is None else _place(cause.cell, cause.line),
        "lines": excerpt(pipeline, boundary.cell, boundary.line),
        "cause_lines": [] if cause is None else excerpt(pipeline, cause.cell, cause.line),
    }
