"""A finding: one thing about a notebook that its author should know, with its place and its fix."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Severity = Literal["error", "warning", "note"]
SEVERITIES: tuple[Severity, ...] = ("error", "warning", "note")


@dataclass(frozen=True, slots=True)
class Finding:
    """`code` is the check's name (`undefined-name`), stable between versions.

    `cell` counts from 0 over all cells of the file and is None for the notebook as a whole; `line` counts from 1
    within the cell, None for the whole cell. `isolated` marks what is as bad as an error as soon as each step runs in
    a process of its own (engine `steps`, `verify`): the whole notebook in one kernel gives its numbers all the same.
    """

    code: str
    severity: Severity
    message: str
    fix: str = ""
    cell: int | None = None
    line: int | None = None
    isolated: bool = False

    @property
    def place(self) -> str:
        if self.cell is None:
            return "notebook"
        return f"cell {self.cell}" if self.line is None else f"cell {self.cell}, line {self.line}"


def in_order(findings: tuple[Finding, ...]) -> tuple[Finding, ...]:
    """Findings by place, the worst first within a place, each once."""
    rank = {severity: position for position, severity in enumerate(SEVERITIES)}
    unique = dict.fromkeys(findings)
    return tuple(
        sorted(
            unique, key=lambda f: (-1 if f.cell is None else f.cell, f.line or 0, rank[f.severity], f.code, f.message)
        )
    )
