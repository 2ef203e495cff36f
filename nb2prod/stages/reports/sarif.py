"""Findings as SARIF 2.1.0, the format in which code hosts and editors exchange what checks find.

SARIF has no cells: a region's lines are those of the cell, and the cell's number is in the message and the properties.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

from nb2prod.core.finding import Finding
from nb2prod.stages.check import Checked
from nb2prod.stages.reports.place import shown

SCHEMA = "https://json.schemastore.org/sarif-2.1.0.json"
LEVELS = {"error": "error", "warning": "warning", "note": "note"}


def as_sarif(checked: Sequence[Checked], pages: Mapping[str, str], version: str) -> dict[str, Any]:
    """`pages` are the pages of all codes: each becomes a rule, so that a rule's place does not depend on the run."""
    places = {code: place for place, code in enumerate(pages)}
    return {
        "$schema": SCHEMA,
        "version": "2.1.0",
        "runs": [
            {
                "tool": {"driver": _driver(pages, version)},
                "columnKind": "unicodeCodePoints",
                "results": [_result(one, finding, places) for one in checked for finding in one.findings],
                "invocations": [_invocation(checked)],
            }
        ],
    }


def _driver(pages: Mapping[str, str], version: str) -> dict[str, Any]:
    return {"name": "nb2prod", "version": version, "rules": [_rule(code, page) for code, page in pages.items()]}


def _rule(code: str, page: str) -> dict[str, Any]:
    title, _, rest = page.partition("\n\n")
    return {
        "id": code,
        "name": "".join(word.title() for word in code.split("-")),
        "shortDescription": {"text": title},
        "fullDescription": {"text": rest or title},
        "help": {"text": page, "markdown": f"**{title}**\n\n{rest}"},
    }


def _result(one: Checked, finding: Finding, places: Mapping[str, int]) -> dict[str, Any]:
    fix = f"\nFix: {finding.fix}" if finding.fix else ""
    uri = {"uri": _uri(one.notebook)}
    location = {"physicalLocation": {"artifactLocation": uri, "region": _region(one, finding)}}
    result: dict[str, Any] = {
        "ruleId": finding.code,
        "level": LEVELS[finding.severity],
        "message": {"text": f"{finding.place}: {finding.message}{fix}"},
        "locations": [location],
        "partialFingerprints": {"finding/v1": _fingerprint(one, finding)},
        "properties": {"cell": finding.cell, "line": finding.line, "fix": finding.fix, "isolated": finding.isolated},
    }
    return result if finding.code not in places else {**result, "ruleIndex": places[finding.code]}


def _region(one: Checked, finding: Finding) -> dict[str, Any]:
    source = shown(one.pipeline, finding) if one.pipeline is not None and finding.line else None
    if source is None or not source.text:
        return {"startLine": finding.line or 1}
    columns = (
        {"startColumn": source.start + 1, "endColumn": max(source.end, source.start + 1) + 1} if source.exact else {}
    )
    return {"startLine": source.number, **columns, "snippet": {"text": source.text}}


def _fingerprint(one: Checked, finding: Finding) -> str:
    """The same when cells are put in above: what is said of which line, not where."""
    source = shown(one.pipeline, finding) if one.pipeline is not None else None
    said = "\0".join((_uri(one.notebook), finding.code, source.text.strip() if source else finding.message))
    return hashlib.sha256(said.encode()).hexdigest()[:32]


def _uri(path: str) -> str:
    """Relative to the folder that the command runs in, as the hosts of code want it."""
    try:
        relative = os.path.relpath(path)
    except ValueError:  # another drive
        return Path(path).absolute().as_uri()
    return quote(Path(relative).as_posix())


def _invocation(checked: Sequence[Checked]) -> dict[str, Any]:
    unread = [one for one in checked if one.problem is not None]
    notes = [
        {"level": "error", "message": {"text": f"{one.notebook} cannot be read: {one.problem.what}"}}
        for one in unread
        if one.problem is not None
    ]
    return {"executionSuccessful": not unread, "toolExecutionNotifications": notes}
