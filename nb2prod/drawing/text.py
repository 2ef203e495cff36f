"""A pipeline as text: parameters, then the graph of steps in box-drawing characters.

    ╭──────────────────────────╮
    │ split            cell 20 │
    │ parameters test_size     │
    ╰─┬──────────────────────┬─╯
      │ X_train              │ X_test
      ▼                      │
    ╭──────────────────────╮ │
    │ train        cell 26 │ │

Lines never join, so that where two meet they cross. What does not fit the width even with narrow boxes is written as
a list with arrows, which says the same.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Sequence

from nb2prod.core.finding import Finding
from nb2prod.core.pipeline import Parameter, Pipeline, Step
from nb2prod.core.result import Result
from nb2prod.drawing.canvas import Canvas, Style
from nb2prod.drawing.graph import drawn
from nb2prod.drawing.layout import laid_out
from nb2prod.drawing.words import badges, cells_of, columns_of, counted, cut, default_of, printable

NARROWEST = 24  # columns; below that nothing of a box can be read
INNER_WIDTHS = (40, 34, 28, 24, 20)
SIGNS = {"finished": "✓", "failed": "✗", "skipped": "–", "running": "…", "waiting": " "}
Line = list[tuple[str, Style]]


def as_text(
    pipeline: Pipeline,
    *,
    width: int = 80,
    color: bool = False,
    findings: Sequence[Finding] = (),
    result: Result | None = None,
) -> str:
    """For a terminal `width` columns wide; `color` adds ANSI colours. `findings` and `result` mark the steps."""
    width = max(width, NARROWEST)
    marks = {step.name: _mark(step, findings, result) for step in pipeline.steps}
    canvas = Canvas()
    canvas.write(0, 0, cut(printable(pipeline.notebook.path.name), width), "strong")
    for line in _parameters(pipeline.parameters, width):
        canvas.line(line)
    if pipeline.parameters:
        canvas.line([])
    if not pipeline.steps:
        canvas.line([(cut("no steps: tag a cell step:NAME, or begin it with %%step NAME", width), "plain")])
        return canvas.text(color)
    graph = _graph(pipeline, marks, width)
    if graph is not None:
        canvas.below(graph)
    else:
        for line in _list(pipeline, marks, width):
            canvas.line(line)
    if pipeline.tests:
        canvas.line([(f"{counted(len(pipeline.tests), 'test')} of the pipeline", "faint")])
    return canvas.text(color)


def _parameters(parameters: Sequence[Parameter], width: int) -> list[Line]:
    """One line each, in columns: name, type, default, help; a help that does not fit goes on below itself."""
    rows = [(printable(p.name), printable(p.type.name), default_of(p), printable(p.help)) for p in parameters]
    lines: list[Line] = [[("parameters", "faint")]] if rows else []
    most = (max(8, width // 4), max(8, width // 6), max(8, 3 * width // 10))
    widths = [min(most[i], max(columns_of(row[i]) for row in rows)) for i in range(3)] if rows else []
    styles: tuple[Style, ...] = ("name", "faint", "plain")
    for row in rows:
        line: Line = [("  ", "plain")]
        for text, columns, style in zip(row, widths, styles, strict=False):
            text = cut(text, columns)
            line.append((text + " " * (columns - columns_of(text) + 2), style))
        whole = row[1] if columns_of(row[1]) > widths[1] else ""
        lines += _with_help(line, ", ".join(filter(None, (row[3], whole))), width)
    return lines


def _with_help(line: Line, help: str, width: int) -> list[Line]:
    used = sum(columns_of(text) for text, _ in line)
    if width - used < 12:
        # a very narrow terminal: the columns give way, the help stands below
        whole = "".join(text for text, _ in line).rstrip()
        below: list[Line] = [[(part, "faint")] for part in wrapped(help, width, "    ")]
        return [[(cut(whole, width), "plain")], *below]
    parts = wrapped(help, width - used, "") or [""]
    more: list[Line] = [[(" " * used + part, "faint")] for part in parts[1:]]
    return [[*line, (parts[0], "faint")], *more]


def wrapped(text: str, width: int, indent: str) -> list[str]:
    """Lines of at most `width` columns; a word that is wider than a line is cut."""
    if not text:
        return []
    lines = textwrap.wrap(text, max(8, width), initial_indent=indent, subsequent_indent=indent, break_long_words=True)
    return [cut(line, width) for line in lines]


# -- the graph ------------------------------------------------------------------------------------------------------


def _graph(pipeline: Pipeline, marks: dict[str, str], width: int) -> Canvas | None:
    layout = laid_out(pipeline)
    for inner in INNER_WIDTHS:
        boxes = {step.name: box(step, marks[step.name], inner) for step in pipeline.steps}
        graph = drawn(layout, boxes, width, names=inner - 6)
        if graph is not None:
            return graph
    return None


def box(step: Step, mark: str, inner: int) -> list[Line]:
    """The lines of a step's box, none wider than `inner`."""
    name = cut(printable(step.name), inner - columns_of(mark))
    cells = cut(cells_of(step), inner)
    beside = columns_of(mark + name) + 2 + columns_of(cells) <= inner
    lines: list[Line] = [[(mark, "plain"), (name, "strong"), (f"  {cells}" if beside else "", "faint")]]
    lines += [] if beside else [[(cells, "faint")]]
    for arrow, names in (("← ", step.inputs), ("→ ", step.outputs)):
        lines += _listed(arrow, names, inner)
    for kind, names in badges(step):
        lines += _listed("" if kind == "tests" else f"{kind} ", names, inner)
    return lines


def _listed(title: str, names: Iterable[str], inner: int) -> list[Line]:
    """`metrics auc, brier`, going on below the first name."""
    indent = columns_of(title)
    lines: list[Line] = []
    line, used = [(title, "faint")], indent
    words = [printable(name) for name in names]
    for position, word in enumerate(words):
        comma = "," if position + 1 < len(words) else ""
        word = cut(word, inner - indent - len(comma))
        needed = columns_of(word) + len(comma) + (1 if used > indent else 0)
        if used > indent and used + needed > inner:
            lines.append(line)  # type: ignore[arg-type]
            line, used = [(" " * indent, "plain")], indent
        space = " " if used > indent else ""
        line += [(space + word, "name" if title else "plain"), (comma, "faint")]
        used += columns_of(space + word + comma)
    return [*lines, line] if words else []  # type: ignore[list-item]


def _mark(step: Step, findings: Sequence[Finding], result: Result | None) -> str:
    """`✓ ` or `✗ ` for how the step ran, `!2 ` for findings in its cells."""
    mark = ""
    if result is not None:
        status = next((s.status for s in result.steps if s.name == step.name), "waiting")
        mark += f"{SIGNS[status]} "
    found = sum(f.cell in step.cells and f.severity != "note" for f in findings)
    return mark + (f"!{found} " if found else "")


# -- the list -------------------------------------------------------------------------------------------------------


def _list(pipeline: Pipeline, marks: dict[str, str], width: int) -> list[Line]:
    """The same as a list: what each step takes and from which step, what it makes, what is attached to it."""
    links = laid_out(pipeline).links
    lines: list[Line] = []
    for step in pipeline.steps:
        lines.append([(cut(f"{marks[step.name]}{printable(step.name)}", width - 14), "strong"), ("  ", "plain")])
        lines[-1].append((cut(cells_of(step), 12), "faint"))
        for link in links:
            if link.target == step.name:
                source = cut(printable(link.source), width // 2)
                lines += _indented(_listed(f"← {source}: ", link.names or ("(after it)",), width - 2))
        lines += _indented(_listed("→ ", step.outputs, width - 2))
        for kind, names in badges(step):
            lines += _indented(_listed("" if kind == "tests" else f"{kind} ", names, width - 2))
    return lines


def _indented(lines: list[Line]) -> list[Line]:
    return [[("  ", "plain"), *line] for line in lines]
