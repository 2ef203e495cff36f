"""Findings for people: with the source line and what is meant in it on a terminal, one line each elsewhere."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence

from nb2prod.core.finding import SEVERITIES, Finding, Severity
from nb2prod.drawing.words import columns_of, counted, cut
from nb2prod.stages.check import Checked
from nb2prod.stages.reports.place import Shown, shown

ISOLATED = "isolated steps refuse this"
COLORS: dict[str, str] = {
    "error": "\x1b[1;31m",
    "warning": "\x1b[1;33m",
    "note": "\x1b[1;34m",
    "strong": "\x1b[1m",
    "faint": "\x1b[2m",
    "good": "\x1b[32m",
}


def as_lines(checked: Sequence[Checked]) -> str:
    """One line a finding and one for its fix, which other programs can read and search."""
    return "\n".join(line for one in checked for line in _lines(one))


def _lines(one: Checked) -> Iterator[str]:
    for finding in one.findings:
        yield f"{one.notebook}: {finding.place}: {finding.severity} {finding.code}: {finding.message}"
        if finding.fix:
            yield f"    fix: {finding.fix}"
        if finding.isolated:
            yield f"    {ISOLATED}"
    if one.problem is not None:
        yield f"{one.notebook}: it cannot be read: {one.problem.what}"
    else:
        yield f"{one.notebook}: {counted(len(one.findings), 'finding') if one.findings else 'no findings'}"


def as_page(checked: Sequence[Checked], *, width: int, color: bool) -> str:
    """What a terminal shows: notebook by notebook, the worst in sight, a sum at the end."""
    page = _Page(min(width, 120), color)
    blocks = [page.notebook(one) for one in checked]
    return "\n\n".join((*blocks, page.sum(checked)))


class _Page:
    def __init__(self, width: int, color: bool) -> None:
        self.width = width
        self.color = color

    def paint(self, style: str, text: str) -> str:
        return f"{COLORS[style]}{text}\x1b[0m" if self.color and text else text

    def notebook(self, one: Checked) -> str:
        name = self.paint("strong", one.notebook)
        if one.problem is not None:
            advice = f"\n    {self.paint('faint', 'fix')}  {one.problem.fix}" if one.problem.fix else ""
            return f"{name}\n  {self.paint('error', 'cannot be read')}  {one.problem.what}{advice}"
        if not one.findings:
            return f"{name}  {self.paint('good', '✓ no findings')}"
        return "\n\n".join((name, *(self.finding(one, finding) for finding in one.findings)))

    def finding(self, one: Checked, finding: Finding) -> str:
        place = f"{finding.place}  {self.paint('faint', finding.code)}"
        lines = [f"  {self.paint(finding.severity, f'{finding.severity:<7}')}  {place}"]
        lines += [f"    {line}" for line in self.wrapped(finding.message, 4)]
        source = shown(one.pipeline, finding) if one.pipeline is not None else None
        lines += self.source(source, finding.severity) if source is not None else []
        if finding.fix:
            first, *more = self.wrapped(finding.fix, 9)
            lines += [f"    {self.paint('faint', 'fix')}  {first}", *(f"         {line}" for line in more)]
        if finding.isolated:
            lines.append(f"    {self.paint('faint', ISOLATED)}")
        return "\n".join(lines)

    def wrapped(self, text: str, indent: int) -> list[str]:
        return textwrap.wrap(text, max(self.width - indent, 20), break_long_words=False) or [""]

    def source(self, source: Shown, severity: Severity) -> list[str]:
        """The line with its number, and carets under what is meant, both cut to what the terminal can show."""
        number, bar = f"{source.number:>8}", self.paint("faint", "│")
        room = max(self.width - 12, 20)
        text, start, end = source.text, source.start, source.end
        if not source.whole and columns_of(text[:end]) > room - 4:  # what is meant is far to the right: begin later
            skipped = next((n for n in range(start) if columns_of(text[n:end]) <= room - 6), start)
            text, start, end = "…" + text[skipped:], start - skipped + 1, end - skipped + 1
        kept = cut(text, room)
        lines = [f"{self.paint('faint', number)} {bar} {kept}"]
        if not source.whole and start < len(kept):
            carets = "^" * max(columns_of(kept[start : min(end, len(kept))]), 1)
            lines.append(f"{'':8} {bar} {' ' * columns_of(kept[:start])}{self.paint(severity, carets)}")
        return lines

    def sum(self, checked: Sequence[Checked]) -> str:
        findings = [finding for one in checked for finding in one.findings]
        counts = [(severity, sum(f.severity == severity for f in findings)) for severity in SEVERITIES]
        said = ", ".join(self.paint(severity, counted(count, severity)) for severity, count in counts if count)
        parts = [f"{said or self.paint('good', 'no findings')} in {counted(len(checked), 'notebook')}"]
        if unread := sum(one.problem is not None for one in checked):
            parts.append(self.paint("error", f"{unread} cannot be read"))
        if isolated := sum(finding.isolated for finding in findings):
            parts.append(f"isolated steps refuse {isolated}")
        if fixable := sum(one.fixable for one in checked):
            parts.append(f"--fix corrects {fixable}")
        return " · ".join(parts)
