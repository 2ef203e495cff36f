"""How a map comes along, on stderr: a live line on a terminal, a plain one every few seconds elsewhere.

Done, rate, failures, time left, and what most failures said so far. Both end in the same summary.
"""

from __future__ import annotations

import os
import re
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any, TextIO

from nb2prod.core.mapping import ItemResult, MapPlan, MapSummary

EVERY = 5.0  # seconds between plain lines
LONGEST = 90  # characters of a message
WINDOW = 15.0  # seconds that the rate is taken over
_ESCAPES = re.compile(r"\x1b\[[0-9;?]*[ -/]*[@-~]|[\x00-\x1f]+")


class Seen:
    """What is known so far; both displays are made of it."""

    def __init__(self) -> None:
        self.plan: MapPlan | None = None
        self.total = self.done = 0
        self.statuses: Counter[str] = Counter()
        self.messages: Counter[str] = Counter()
        self._times: list[tuple[float, int]] = []

    def begin(self, plan: MapPlan, total: int) -> None:
        self.plan, self.total = plan, total

    def hear(self, results: Sequence[ItemResult]) -> None:
        for result in results:
            self.statuses[result.status] += 1
            if result.status != "ok":
                self.messages[message(result)] += 1
        # what an earlier run did came at once, and says nothing about the rate
        if self.done or self.plan is None or not self.plan.resumed:
            self._times.append((time.monotonic(), len(results)))
        self.done += len(results)

    @property
    def failed(self) -> int:
        return self.done - self.statuses["ok"]

    @property
    def rate(self) -> float:
        """Items a second, over the last seconds."""
        now = time.monotonic()
        self._times = [(at, count) for at, count in self._times if now - at <= WINDOW]
        if len(self._times) < 2 or now == self._times[0][0]:
            return 0.0
        return sum(count for _, count in self._times[1:]) / (now - self._times[0][0])

    @property
    def left(self) -> str:
        rate = self.rate
        return duration((self.total - self.done) / rate) if rate else "–"

    @property
    def worst(self) -> str:
        if not self.messages:
            return ""
        text, count = self.messages.most_common(1)[0]
        return f"{count:,} × {_cut(text)}"


def message(result: ItemResult) -> str:
    """What failed items are counted by: place and first line."""
    place = f"cell {result.cell}: " if result.cell is not None else ""
    first = next(iter(_ESCAPES.sub(" ", line) for line in result.error.splitlines()), "")
    return f"{place}{first}".strip() or result.status


class Lines:
    """One line when a map begins, one every few seconds, and the summary."""

    def __init__(self, stream: TextIO) -> None:
        self._seen, self._stream = Seen(), stream
        self._next = 0.0

    def begin(self, plan: MapPlan, total: int) -> None:
        self._seen.begin(plan, total)
        self._say(opening(plan, total))
        self._next = time.monotonic() + EVERY

    def hear(self, results: Sequence[ItemResult]) -> None:
        self._seen.hear(results)
        if time.monotonic() >= self._next:
            self._next = time.monotonic() + EVERY
            seen = self._seen
            worst = f"; {seen.worst}" if seen.worst else ""
            self._say(
                f"{seen.done:,} of {seen.total:,} items, {seen.rate:,.0f}/s, {seen.failed:,} not ok, "
                f"{seen.left} left{worst}"
            )

    def end(self, summary: MapSummary) -> None:
        for line in closing(summary):
            self._say(line)

    def _say(self, line: str) -> None:
        self._stream.write(f"{line}\n")
        self._stream.flush()


class Live:
    """A bar with what is known beside it, and the most frequent failure below."""

    def __init__(self) -> None:
        from rich.console import Console

        self._seen = Seen()
        self._console = Console(stderr=True, highlight=False)
        self._progress = _bar_with_line_below(self._console, self._seen)
        self._bar: Any = None

    def begin(self, plan: MapPlan, total: int) -> None:
        self._seen.begin(plan, total)
        self._say(opening(plan, total))
        self._progress.start()
        name = plan.pipeline.notebook.name
        self._bar = self._progress.add_task(name, total=total, rate="", failed="", left="")

    def hear(self, results: Sequence[ItemResult]) -> None:
        seen = self._seen
        seen.hear(results)
        rate = seen.rate
        failed = f"[{'red' if seen.failed else 'dim'}]{seen.failed:,} not ok[/]"
        self._progress.update(
            self._bar,
            completed=seen.done,
            rate=f"{rate:,.0f}/s" if rate else "",
            failed=failed,
            left=f"{seen.left} left" if rate else "",
        )

    def end(self, summary: MapSummary) -> None:
        self._progress.stop()
        for line in closing(summary):
            self._say(line)

    def _say(self, line: str) -> None:
        self._console.print(line, markup=False)


def _bar_with_line_below(console: Any, seen: Seen) -> Any:
    from rich.progress import BarColumn, Progress, TextColumn
    from rich.text import Text

    class Bar(Progress):
        """Below the bar: what most failures said."""

        def get_renderables(self) -> Iterator[Any]:
            yield self.make_tasks_table(self.tasks)
            if seen.worst:
                yield Text(f"  most failures: {seen.worst}", style="dim", no_wrap=True, overflow="ellipsis")

    return Bar(
        TextColumn("{task.description}"),
        BarColumn(bar_width=None),
        TextColumn("{task.completed:,.0f}/{task.total:,.0f}"),
        TextColumn("{task.fields[rate]}"),
        TextColumn("{task.fields[failed]}"),
        TextColumn("{task.fields[left]}"),
        console=console,
        transient=True,
        expand=True,
    )


def display() -> Lines | Live:
    """The one that fits where stderr leads."""
    terminal = sys.stderr.isatty() and not os.environ.get("CI") and os.environ.get("TERM") != "dumb"
    return Live() if terminal else Lines(sys.stderr)


def opening(plan: MapPlan, total: int) -> str:
    each = f"groups by {', '.join(plan.by)}" if plan.by else "rows"
    where = f"{plan.workers} workers ({plan.executor}, {plan.isolation})"
    left_out = f"; {plan.left_out:,} groups of fewer than {plan.min_rows} rows are left out" if plan.left_out else ""
    return f"{plan.pipeline.notebook.name}: {total:,} {each} of {_place(plan.table)}, {where}{left_out}"


def closing(summary: MapSummary) -> list[str]:
    counts = ", ".join(f"{count:,} {status.replace('_', ' ')}" for status, count in summary.counts.items() if count)
    new = summary.done - summary.before
    rate = f" ({new / summary.seconds:,.0f}/s)" if summary.seconds > 0 and new else ""
    before = f"; {summary.before:,} were done before" if summary.before else ""
    lines = [f"{summary.done:,} of {summary.total:,} items in {duration(summary.seconds)}{rate}: {counts}{before}"]
    lines += [f"  {count:,} × {_cut(text)}" for text, count in summary.worst]
    if summary.left_out:
        lines.append(f"  {summary.left_out:,} groups had too few rows and are left out")
    lines.append(f"  results: {_place(summary.results or summary.directory)}")
    if summary.stopped:
        lines.append(f"  stopped: {summary.stopped}")
        if summary.done:
            lines.append(f"  go on with: nb2prod map --resume {_place(summary.directory)}")
    return lines


def _place(path: str) -> str:
    """A path as a person at this place writes it."""
    relative = os.path.relpath(path)
    return path if relative.startswith("..") else relative


def duration(seconds: float) -> str:
    if seconds < 60:
        return f"{seconds:.1f} s" if seconds < 10 else f"{seconds:.0f} s"
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02} min" if hours else f"{minutes} min {rest:02} s"


def _cut(text: str) -> str:
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}…"
