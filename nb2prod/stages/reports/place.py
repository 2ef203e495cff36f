"""The line of source that a finding speaks of, and which part of it is meant."""

from __future__ import annotations

import re
from dataclasses import dataclass

from nb2prod.core.finding import Finding
from nb2prod.core.pipeline import Pipeline
from nb2prod.drawing.words import printable
from nb2prod.language.secrets import masked


@dataclass(frozen=True, slots=True)
class Shown:
    """A line as it may be shown, secrets masked; `start` and `end` are the characters that are meant.

    `whole` says that the finding speaks of the cell, and the line is only how the cell begins. `exact`: the line is
    shown as it is written, so that its columns are those of the source.
    """

    number: int
    text: str
    start: int
    end: int
    whole: bool = False
    exact: bool = True


def shown(pipeline: Pipeline, finding: Finding) -> Shown | None:
    """None for a finding about the notebook as a whole."""
    if finding.cell is None or finding.cell >= len(pipeline.notebook.cells):
        return None
    lines = pipeline.notebook.cells[finding.cell].source.split("\n")
    number = finding.line or next((n for n, line in enumerate(lines, 1) if line.strip()), 0)
    if not 1 <= number <= len(lines):
        return None
    text = printable(masked(lines[number - 1].expandtabs(4).rstrip()))
    exact = text == lines[number - 1].rstrip()
    return Shown(number, text, *_meant(text, finding.message), whole=finding.line is None, exact=exact)


def _meant(text: str, message: str) -> tuple[int, int]:
    """The first thing in backquotes that stands in the line; else all of the line."""
    for said in re.findall(r"`([^`]+)`", message):
        word = re.sub(r"\(.*", "", said).lstrip("…")
        at = re.search(rf"(?<!\w){re.escape(word)}(?!\w)", text) if re.match(r"\w", word) else None
        start = at.start() if at else text.find(word)
        if word and start >= 0:
            return start, start + len(word)
    return len(text) - len(text.lstrip()), len(text)
