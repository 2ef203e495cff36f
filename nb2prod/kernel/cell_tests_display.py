"""Test results as a notebook shows them: a green or red list, with what a failed test said."""

from __future__ import annotations

import html
from collections.abc import Iterable
from dataclasses import dataclass

from nb2prod.core.result import Outcome, TestResult
from nb2prod.kernel.live_step import BAD, DOUBTFUL, GOOD, duration

SIGNS: dict[Outcome, str] = {"passed": "✓", "failed": "✗", "error": "✗", "skipped": "–"}
COLOURS: dict[Outcome, str] = {"passed": GOOD, "failed": BAD, "error": BAD, "skipped": DOUBTFUL}
PLAIN = "padding-left:1.3em"  # the width of the triangle before a test that has something to say


@dataclass(frozen=True, slots=True)
class ShownTests:
    """What a test cell displays: as HTML in a notebook, as text elsewhere."""

    results: tuple[TestResult, ...]

    def __repr__(self) -> str:
        return "\n".join([self.summary, *(_line(result) for result in self.results)])

    def _repr_html_(self) -> str:
        rows = "".join(_row(result) for result in self.results)
        worst: Outcome = next((r.outcome for r in self.results if r.outcome in ("failed", "error")), "passed")
        style = f"border-left:4px solid {COLOURS[worst]};padding:2px 0 2px 10px"
        return f'<div style="{style}"><strong>{html.escape(self.summary)}</strong>{rows}</div>'

    @property
    def summary(self) -> str:
        """`3 passed, 1 failed`"""
        if not self.results:
            return "no tests"
        outcomes = [result.outcome for result in self.results]
        return ", ".join(f"{outcomes.count(kind)} {kind}" for kind in SIGNS if kind in outcomes)


def show(results: Iterable[TestResult]) -> ShownTests:
    """An object that displays the results where it is the value of a cell."""
    return ShownTests(tuple(results))


def _line(result: TestResult) -> str:
    message = "".join(f"\n    {line}" for line in result.message.splitlines())
    return f"{SIGNS[result.outcome]} {result.id}  {duration(result.seconds)}{message}"


def _row(result: TestResult) -> str:
    sign = f'<span style="color:{COLOURS[result.outcome]};font-weight:bold">{SIGNS[result.outcome]}</span>'
    about = f'<span style="opacity:.7">{result.outcome}, {duration(result.seconds)}</span>'
    title = f"{sign} <code>{html.escape(result.id)}</code> <small>{about}</small>"
    if not result.message:
        return f'<div style="{PLAIN}">{title}</div>'
    opened = " open" if result.outcome in ("failed", "error") else ""
    message = f'<pre style="margin:2px 0 6px 18px;white-space:pre-wrap">{html.escape(result.message)}</pre>'
    return f'<details{opened}><summary style="cursor:pointer">{title}</summary>{message}</details>'
