"""What cannot be exported faithfully: gathered with its place and a fix, and raised at once."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from nb2prod.core.errors import FindingsError


@dataclass
class Problems:
    """The reasons against an export so far."""

    notebook: Path
    lines: list[str] = field(default_factory=list)

    def add(self, cell: int | None, line: int | None, what: str, fix: str) -> None:
        words = [f"cell {cell}" if cell is not None else "", f"line {line}" if line else ""]
        place = ", ".join(word for word in words if word)
        text = f"  {place}: {what}\n    fix: {fix}" if place else f"  {what}\n    fix: {fix}"
        if text not in self.lines:
            self.lines.append(text)

    def refuse(self) -> None:
        """Raise FindingsError when there is a reason."""
        if self.lines:
            count = "1 reason" if len(self.lines) == 1 else f"{len(self.lines)} reasons"
            raise FindingsError(
                f"it cannot become a project with the same meaning, {count}:\n" + "\n".join(self.lines),
                where=str(self.notebook),
                fix="change the notebook as said; `nb2prod run` runs it as it is",
            )
