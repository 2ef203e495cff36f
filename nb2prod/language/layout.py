"""Code further to the right or to the left, with what stands inside of strings where it is."""

from __future__ import annotations

import io
import tokenize

INDENT = "    "


def indented(text: str, by: str = INDENT) -> str:
    """The text further to the right; lines that begin inside a string stay, as they are part of its value."""
    inside = lines_in_strings(text)
    lines = text.split("\n")
    return "\n".join(by + line if line.strip() and n not in inside else line for n, line in enumerate(lines, 1))


def lines_in_strings(text: str) -> set[int]:
    """The lines that begin inside a string."""
    inside: set[int] = set()
    starts: list[int] = []
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        kind = tokenize.tok_name[token.type]
        if kind == "STRING":
            inside |= set(range(token.start[0] + 1, token.end[0] + 1))
        elif kind in ("FSTRING_START", "TSTRING_START"):
            starts.append(token.start[0])
        elif kind in ("FSTRING_END", "TSTRING_END"):
            inside |= set(range(starts.pop() + 1, token.end[0] + 1))
    return inside
