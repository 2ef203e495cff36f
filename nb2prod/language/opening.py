"""How a notebook begins: its title, and what it says it is for."""

from __future__ import annotations

import re

from nb2prod.core.notebook import Notebook

HEADING = re.compile(r"\s{0,3}#{1,6}\s+(?P<text>.+?)\s*#*$")
PROSE = re.compile(r"\w|[\"'“‘*_`]")


def opening(notebook: Notebook) -> tuple[str, str]:
    """The notebook's first heading, and the first paragraph of prose that follows it; empty when there is none."""
    title = ""
    for cell in notebook.cells:
        if cell.kind != "markdown":
            continue
        for block in re.split(r"\n\s*\n", cell.source):
            heading, text = _split(block)
            if title and heading:
                return title, ""
            title = title or heading
            if text:
                return title, text
    return title, ""


def _split(block: str) -> tuple[str, str]:
    """(heading, prose) of a block of Markdown; lists, images, tables and code are neither."""
    lines = block.strip().splitlines()
    found = HEADING.match(lines[0]) if lines else None
    rest = " ".join(line.strip() for line in (lines[1:] if found else lines))
    return (found["text"] if found else ""), (rest if PROSE.match(rest) else "")
