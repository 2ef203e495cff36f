"""Findings as GitHub Actions reads them from a job's output: one annotation a line.

A line number of a cell is none of the file, so an annotation stands at the file and says the cell itself.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from nb2prod.core.finding import Finding
from nb2prod.stages.check import Checked

COMMANDS = {"error": "error", "warning": "warning", "note": "notice"}


def as_annotations(checked: Sequence[Checked]) -> str:
    return "\n".join(line for one in checked for line in _annotations(one))


def _annotations(one: Checked) -> Iterator[str]:
    if one.problem is not None:
        yield _annotation("error", one.notebook, "unreadable", f"it cannot be read: {one.problem.what}")
    for finding in one.findings:
        yield _annotation(COMMANDS[finding.severity], one.notebook, finding.code, _message(finding))


def _message(finding: Finding) -> str:
    parts = [f"{finding.place}: {finding.message}", f"fix: {finding.fix}" if finding.fix else ""]
    parts.append("isolated steps refuse this" if finding.isolated else "")
    return "\n".join(part for part in parts if part)


def _annotation(command: str, file: str, title: str, message: str) -> str:
    return f"::{command} file={_property(file)},title={_property('nb2prod ' + title)}::{_data(message)}"


def _data(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")
