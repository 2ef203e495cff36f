"""A pipeline is drawn: as text for a terminal, as SVG for a page, as Mermaid for Markdown. Nothing runs."""

from __future__ import annotations

import shutil
from dataclasses import dataclass

from nb2prod.core.finding import Finding
from nb2prod.core.pipeline import Pipeline
from nb2prod.core.result import Result
from nb2prod.drawing.mermaid import as_mermaid
from nb2prod.drawing.svg import as_svg
from nb2prod.drawing.text import as_text

PAGE = 760.0  # pixels that a notebook's page has for an output, on a laptop with a file browser beside it

__all__ = ["Drawing", "as_mermaid", "as_svg", "as_text"]


@dataclass(frozen=True, slots=True)
class Drawing:
    """A pipeline that draws itself where it is the value of a cell. `note` is a line below it."""

    pipeline: Pipeline
    findings: tuple[Finding, ...] = ()
    result: Result | None = None

    def __repr__(self) -> str:
        width = shutil.get_terminal_size().columns
        return as_text(self.pipeline, width=width, findings=self.findings, result=self.result)

    def _repr_svg_(self) -> str:
        return as_svg(self.pipeline, findings=self.findings, result=self.result, widest=PAGE)
