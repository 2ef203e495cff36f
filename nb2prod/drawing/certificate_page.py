"""A parity certificate as a table for a terminal, and as one page for a browser that needs nothing else.

Both say first whether every path to the package's answers is the notebook, then path by path how many rows were asked
about and how far the answers are apart, then which rows are not answered as in the notebook, and what was not tried.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Any

from nb2prod.core import parity
from nb2prod.core.parity import MARKS, Parity, PathParity
from nb2prod.drawing.words import counted, printable
from nb2prod.storage import templates

TEMPLATE = "package/parity.html.j2"
SIGNS = {parity.EQUAL: "✓", parity.CLOSE: "≈", parity.DIFFERENT: "✗", parity.REFUSED: "–", parity.RAISES: "!"}
CLASSES = {
    parity.EQUAL: "equal",
    parity.CLOSE: "tolerant",
    parity.DIFFERENT: "different",
    parity.REFUSED: "refused",
    parity.RAISES: "raises",
}
VERDICTS = {"equal": ("✓", "green"), "tolerant": ("≈", "yellow"), "different": ("✗", "red")}
SAID = {
    "equal": "every path answers as the notebook did, to the last bit",
    "tolerant": "every path answers as the notebook did, but for the last digits of floats",
    "different": "a path answers otherwise than the notebook",
    "stochastic": "the model answers something else each time",
}


def headline(found: Parity) -> str:
    tried = counted(len(found.paths), "path")
    return f"{SAID[found.verdict]}: {tried}, {counted(_rows(found), 'row')} of the probe set"


def _rows(found: Parity) -> int:
    return max((len(path.marks) for path in found.paths), default=0)


def gap(path: PathParity) -> str:
    """How far the answers are apart, in words."""
    if path.flips and not path.difference:
        return f"{path.flips} flipped"
    if not path.difference:
        return "none"
    flips = f", {path.flips} flipped" if path.flips else ""
    return f"{path.difference:.3g} (relative {path.relative:.2g}, {path.ulps:,} ulp){flips}"


# -- for a terminal --------------------------------------------------------------------------------------------------


def as_text(found: Parity, *, width: int, color: bool) -> str:
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    page = io.StringIO()
    console = Console(file=page, width=width, force_terminal=color, no_color=not color, highlight=False)
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
    for name in ("", "path"):
        table.add_column(name, no_wrap=True)
    for name in ("example", "boundary", "refused", "raise alike"):
        table.add_column(name, justify="right")
    table.add_column("largest difference")
    for path in found.paths:
        sign, style = VERDICTS.get(path.verdict, ("?", "dim"))
        boundary = f"{path.alike} of {path.boundary}" if path.boundary else "·"
        cells = (f"{path.exact:,} of {path.rows:,}", boundary, str(path.refused or "·"), str(path.raised or "·"))
        table.add_row(Text(sign, style=style), path.path, *cells, gap(path))
    console.print(table)
    for left in found.left_out:
        console.print(Text(f"not tried: {left.path}, {printable(left.reason)}", style="dim"), soft_wrap=True)
    return "\n".join(line.rstrip() for line in page.getvalue().splitlines())


# -- for a browser ---------------------------------------------------------------------------------------------------


def as_html(found: Parity, title: str, what: Sequence[str] = (), problems: Sequence[str] = ()) -> str:
    """`what` names the rows of the probe set; `problems` are what does not hold, when it was verified."""
    return templates.render(
        TEMPLATE,
        {
            "title": title,
            "verdict": "different" if problems else found.verdict,
            "headline": headline(found),
            "problems": [printable(one) for one in problems],
            "paths": [_path(path) for path in found.paths],
            "rows": [_row(found, place, name) for place, name in enumerate(what)],
            "left_out": found.left_out,
            "notes": [printable(note) for note in found.notes],
            "environment": found.environment,
            "legend": [(CLASSES[mark], SIGNS[mark], said) for mark, said in MARKS.items()],
            "inputs": found.input_digest,
            "outputs": found.output_digest,
            "probe": found.probe,
        },
    )


def _path(path: PathParity) -> dict[str, Any]:
    return {
        "name": path.path,
        "verdict": path.verdict,
        "sign": VERDICTS.get(path.verdict, ("?", ""))[0],
        "rows": f"{path.exact:,} of {path.rows:,}",
        "boundary": f"{path.alike} of {path.boundary}" if path.boundary else "",
        "refused": path.refused,
        "raised": path.raised,
        "gap": gap(path),
        "tolerance": f"{path.tolerance:g}",
        "note": printable(path.note),
        "versions": ", ".join(f"{name} {version}" for name, version in path.versions.items()),
        "digests": [("inputs", path.inputs), ("outputs", path.outputs), ("environment", path.environment)],
        "found": [
            {
                "what": printable(row.what),
                "class": CLASSES.get(row.mark, ""),
                "sign": SIGNS.get(row.mark, "?"),
                "expected": printable(row.expected),
                "found": printable(row.found),
            }
            for row in path.found
        ],
    }


def _row(found: Parity, place: int, name: str) -> dict[str, Any]:
    marks = [path.marks[place] if place < len(path.marks) else "" for path in found.paths]
    cells = [
        {"class": CLASSES.get(mark, ""), "sign": SIGNS.get(mark, ""), "said": MARKS.get(mark, "")} for mark in marks
    ]
    return {"name": printable(name), "cells": cells}
