"""What `%pipeline` answers, as a notebook shows it: HTML where there is a page, text elsewhere."""

from __future__ import annotations

import html
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from nb2prod.core.finding import SEVERITIES, Finding
from nb2prod.core.notebook import Notebook
from nb2prod.core.result import Result
from nb2prod.kernel.live_step import BAD, DOUBTFUL, FAINT, GOOD, duration

COLOURS = {"error": BAD, "warning": DOUBTFUL, "note": FAINT, "failed": BAD, "finished": GOOD}
CELL = "text-align:left;vertical-align:top;padding:2px 12px 2px 0"


@dataclass(frozen=True, slots=True)
class Shown:
    """A text and the same as HTML."""

    text: str
    page: str

    def __repr__(self) -> str:
        return self.text

    def _repr_html_(self) -> str:
        return self.page


def note(text: str) -> Shown:
    """A line in small print."""
    return Shown(text, f'<div style="font-size:12px;opacity:.7">{html.escape(text)}</div>')


def findings(found: Sequence[Finding], notebook: Notebook) -> Shown:
    """A table of findings; its places lead to their cells where the front end follows such links."""
    if not found:
        return Shown("no findings", f'<div style="color:{COLOURS["finished"]}">✓ no findings</div>')
    head = counts(found)
    lines, rows = [head], []
    for finding in found:
        fix = f"\n    fix: {finding.fix}" if finding.fix else ""
        lines.append(f"{finding.severity:<7}  {finding.place}: {finding.message} [{finding.code}]{fix}")
        advice = f'<br><span style="opacity:.7">{_worded(finding.fix)}</span>' if finding.fix else ""
        rows.append(
            [
                f'<b style="color:{COLOURS[finding.severity]}">{finding.severity}</b>',
                _place(finding, notebook),
                _worded(finding.message) + advice,
                f'<span style="opacity:.7">{html.escape(finding.code)}</span>',
            ]
        )
    table = _table(("", "where", "what, and how to correct it", "check"), rows)
    return Shown("\n".join(lines), f"<b>{head}</b>{table}")


def counts(found: Sequence[Finding]) -> str:
    """`1 error, 2 warnings`"""
    number = {severity: sum(finding.severity == severity for finding in found) for severity in SEVERITIES}
    return ", ".join(f"{count} {kind}" + ("s" if count > 1 else "") for kind, count in number.items() if count)


def _place(finding: Finding, notebook: Notebook) -> str:
    """JupyterLab, and a page that nbconvert made, go to a cell by its id. Pointing at it shows how the cell begins."""
    place = f'<span style="white-space:nowrap">{html.escape(finding.place)}</span>'
    cell = next((cell for cell in notebook.cells if cell.index == finding.cell), None)
    if cell is None or not cell.id:
        return place
    begins = next((line for line in cell.source.splitlines() if line.strip()), "")
    return f'<a href="#cell-id={html.escape(quote(cell.id))}" title="{html.escape(begins)}">{place}</a>'


def _worded(text: str) -> str:
    """What stands between backticks is code."""
    return re.sub(r"`([^`\n]+)`", r"<code>\1</code>", html.escape(text))


def result(ran: Result) -> Shown:
    """How a run went, step by step, and where it is kept."""
    seconds = (ran.ended or ran.started) - ran.started
    colour = COLOURS["finished" if ran.exit_code == 0 else "failed"]
    head = f"run {ran.run} {ran.status} in {duration(seconds)}"
    lines, rows = [head], []
    for step in ran.steps:
        metrics = ", ".join(f"{name} {value:.4g}" for name, value in step.metrics.items())
        took = duration(step.seconds) if step.status in ("finished", "failed") else ""
        lines.append(f"  {step.status:<9} {step.name}  {took}  {metrics}".rstrip())
        rows.append([html.escape(text) for text in (step.status, step.name, took, metrics)])
    about = [f"notebook  {ran.notebook}", *(f"{key}  {value}" for key, value in sorted(ran.tracked.items()))]
    about = [*([f"failure   {ran.failure.place}: {ran.failure.message}"] if ran.failure else []), *about]
    about += [f"test {test.outcome}  {test.id}" for test in ran.failed_tests]
    page = [
        f'<b style="color:{colour}">{html.escape(head)}</b>',
        _table(("", "step", "took", "metrics"), rows),
        *(f'<div style="font-size:12px;opacity:.7">{html.escape(line)}</div>' for line in about),
    ]
    return Shown("\n".join([*lines, *about]), "".join(page))


def package(document: Mapping[str, Any]) -> Shown:
    """Where a package is, in which format, and what its proof says, from what the command line prints about it."""
    rows = [
        ("package", f"{document['name']} {document['version']}"),
        ("directory", str(document["directory"])),
        ("format", f"{document['format']['format']}: {document['format']['reason']}"),
        ("parity", str(document["parity"]["verdict"])),
        ("digest", str(document["digest"])),
    ]
    text = "\n".join(f"{key:<9}  {value}" for key, value in rows)
    page = _table((), [[f"<b>{key}</b>", html.escape(value)] for key, value in rows])
    return Shown(text, page)


def _table(heads: Iterable[str], rows: Iterable[Sequence[str]]) -> str:
    top = "".join(f'<th style="{CELL};opacity:.6;font-weight:normal">{head}</th>' for head in heads)
    body = "".join("<tr>" + "".join(f'<td style="{CELL}">{cell}</td>' for cell in row) + "</tr>" for row in rows)
    head = f"<thead><tr>{top}</tr></thead>" if top else ""
    return f'<table style="margin:2px 0">{head}<tbody>{body}</tbody></table>'
