"""Whether a cell that is no valid Python is Python 2, so that the finding can say so."""

from __future__ import annotations

import re

# what only Python 2 reads, by the source around the line that Python 3 stops at
FIRST = r"^\s*(?:.*:\s*)?"  # at the beginning of a statement
SIGNS: tuple[tuple[str, str], ...] = (
    (FIRST + r"print(?:\s+(?![=(.,)\]+*/|&<>-]|in\b|is\b|if\b)\S|\s*(?:>>|$))", "print without parentheses"),
    (FIRST + r"exec\s+[\w\"']", "exec without parentheses"),
    (r"^\s*except\s+[\w.()\s,]+,\s*\w+\s*:", "`except E, e`"),
    (FIRST + r"raise\s+[\w.]+\s*,\s*\S", "`raise E, message`"),
    (r"<>", "`<>`"),
    (r"(?<![\w.])(?:0[xX][\da-fA-F]+|\d+)[lL]\b", "a long number"),
    (r"(?<![\w.])0[0-7]+\b", "an octal number"),
    (r"(?<!\w)[uU][rR][\"']", "a string `ur`"),
    (r"`[^`\n]+`", "backquotes"),
    (r"^\s*def\s+\w+\s*\([^)]*\([^)]*\)[^)]*\)\s*:", "a parameter that is unpacked"),
)


def sign(source: str, line: int | None) -> str:
    """What of Python 2 stands in the line (from 1) that Python 3 cannot read; empty when it is something else."""
    lines = source.splitlines()
    if line is None or not 0 < line <= len(lines):
        return ""
    return next((what for pattern, what in SIGNS if re.search(pattern, lines[line - 1])), "")
