"""Comments that silence findings: `# nb2prod: ignore[CODE]`.

    scores = model.fit(X)           # nb2prod: ignore[no-seed]            that finding on that line
    scores = model.fit(X)           # nb2prod: ignore[no-seed, rebound]   two of them
    scores = model.fit(X)           # nb2prod: ignore                     all on that line
    # nb2prod: ignore[rebound]                                            alone on the first line: the whole cell

A line is the whole statement where one takes several lines. The first line of a cell is the one below a magic of ours.
"""

from __future__ import annotations

import io
import re
import tokenize
from collections.abc import Iterator
from dataclasses import dataclass

from nb2prod.core.pipeline import Role

COMMENT = re.compile(r"#\s*nb2prod:\s*ignore\b(?P<codes>\s*\[[^\]]*\])?")


@dataclass(frozen=True, slots=True)
class Ignore:
    """Where the comment stands (`line`), the lines that it covers (None: the cell), and what (empty: everything)."""

    line: int
    codes: tuple[str, ...] = ()
    first: int | None = None
    last: int | None = None

    def covers(self, line: int | None) -> bool:
        if self.first is None or self.last is None:
            return True
        return line is not None and self.first <= line <= self.last


def ignores(role: Role) -> tuple[Ignore, ...]:
    """The comments of one cell, in order."""
    if "nb2prod:" not in role.body:
        return ()
    spans = _statements(role.body)
    lines = role.body.split("\n")
    opening = next((number for number, line in enumerate(lines, 1) if line.strip()), 1)
    return tuple(_ignore(role, number, codes, lines, opening, spans) for number, codes in _comments(role.body))


def _ignore(
    role: Role, number: int, codes: tuple[str, ...], lines: list[str], opening: int, spans: dict[int, tuple[int, int]]
) -> Ignore:
    line = number + role.line_offset
    if number == opening and lines[number - 1].lstrip().startswith("#"):
        return Ignore(line, codes)
    first, last = spans.get(number, (number, number))
    return Ignore(line, codes, first + role.line_offset, last + role.line_offset)


def _comments(body: str) -> Iterator[tuple[int, tuple[str, ...]]]:
    for number, text in _comment_texts(body):
        match = COMMENT.search(text)
        if match:
            codes = (match["codes"] or "").strip().strip("[]").split(",")
            yield number, tuple(code.strip() for code in codes if code.strip())


def _comment_texts(body: str) -> Iterator[tuple[int, str]]:
    """(line, comment); a cell that Python's tokenizer cannot read is taken line by line."""
    try:
        tokens = list(tokenize.generate_tokens(io.StringIO(body).readline))
    except (tokenize.TokenError, SyntaxError):
        yield from ((number, line) for number, line in enumerate(body.split("\n"), 1) if COMMENT.search(line))
        return
    yield from ((token.start[0], token.string) for token in tokens if token.type == tokenize.COMMENT)


def _statements(body: str) -> dict[int, tuple[int, int]]:
    """For each line of a simple statement that takes several, the first and the last of them."""
    spans: dict[int, tuple[int, int]] = {}
    first: int | None = None
    try:
        for token in tokenize.generate_tokens(io.StringIO(body).readline):
            if token.type == tokenize.NEWLINE:
                start = token.start[0] if first is None else first
                spans |= dict.fromkeys(range(start, token.end[0] + 1), (start, token.start[0]))
                first = None
            elif first is None and token.type not in (tokenize.NL, tokenize.COMMENT, tokenize.INDENT, tokenize.DEDENT):
                first = token.start[0]
    except (tokenize.TokenError, SyntaxError):
        return spans
    return spans
