"""Proposed tags as a table that one looks at: the cell, its first line of code, the tags, and why."""

from __future__ import annotations

import io
from collections.abc import Iterable

from nb2prod.drawing.words import printable

COLORS = {
    "step": "cyan",
    "test": "green",
    "model": "magenta",
    "example": "magenta",
    "metric": "yellow",
    "plot": "yellow",
}


def as_text(rows: Iterable[tuple[str, str, tuple[str, ...], str]], *, width: int, color: bool) -> str:
    """Rows of (cell, source, tags, why). A cell without tags is dim: it stays exploration."""
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
    table.add_column("cell", justify="right")
    table.add_column("source", no_wrap=True, overflow="ellipsis", max_width=max(24, width // 3))
    table.add_column("tags")
    table.add_column("why", ratio=1)
    for cell, source, tags, why in rows:
        style = "" if tags else "dim"
        said = Text("\n").join(Text(tag, style=COLORS.get(tag.partition(":")[0], "blue")) for tag in tags)
        table.add_row(cell, Text(printable(first_line(source))), said, Text(why), style=style)
    page = io.StringIO()
    Console(file=page, width=width, force_terminal=color, no_color=not color, highlight=False).print(table)
    return "\n".join(line.rstrip() for line in page.getvalue().splitlines())


def first_line(source: str) -> str:
    """The first line that is no comment, or the first at all."""
    lines = [line.strip() for line in source.splitlines() if line.strip()]
    return next((line for line in lines if not line.startswith("#")), lines[0] if lines else "")
