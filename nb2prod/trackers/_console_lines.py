"""Plain lines, for CI and for files: one for each event that matters, with the seconds since the start."""

from __future__ import annotations

from typing import TextIO

from nb2prod.core.events import (
    Event,
    KernelStarted,
    MetricMeasured,
    RunFinished,
    RunStarted,
    StepFinished,
    StepRetried,
    StepStarted,
    TestFinished,
)
from nb2prod.trackers._console_seen import Seen
from nb2prod.trackers._console_summary import summary_of, why_test
from nb2prod.trackers._console_words import counted, duration_text, first_line, number_text


class PlainLines:
    """One line for each event that matters."""

    def __init__(self, seen: Seen, out: TextIO) -> None:
        self._seen = seen
        self._out = out

    def show(self, event: Event) -> None:
        line = line_of(self._seen, event)
        if line:
            self._write(f"[{self._seen.seconds(event.at):6.1f} s] {line}")
        if isinstance(event, RunFinished):
            for _, text in summary_of(self._seen):
                self._write(text)

    def close(self) -> None:
        self._out.flush()

    def _write(self, line: str) -> None:
        # what the encoding of a log cannot say is escaped, rather than ending the run
        encoding = self._out.encoding or "utf-8"
        self._out.write(line.encode(encoding, "backslashreplace").decode(encoding) + "\n")
        self._out.flush()


def line_of(seen: Seen, event: Event) -> str:
    match event:
        case RunStarted(run=run, engine=engine, steps=steps, cells=cells):
            return f"run {run} of {seen.notebook}: {counted(len(steps), 'step')}, {counted(cells, 'cell')}, {engine}"
        case KernelStarted(kernel=kernel, seconds=seconds):
            return f"kernel {kernel} started in {duration_text(seconds)}"
        case StepStarted(step=step, reason=reason):
            return f"step {step} started{f' ({reason})' if reason else ''}"
        case StepFinished(step=step, status="skipped", reason=reason):
            return f"step {step} skipped{f' ({reason})' if reason else ''}"
        case StepFinished(step=step, status=status, seconds=seconds):
            row = seen.row(step)
            took = f"{duration_text(seconds)} ({row.used})" if row.used else duration_text(seconds)
            return f"step {step} {status} in {took}{f'  {row.measured}' if row.measured else ''}"
        case StepRetried(step=step, attempt=attempt, limit=limit, wait=wait, message=message):
            return f"step {step} is tried again ({attempt} of {limit}) in {duration_text(wait)}: {first_line(message)}"
        case MetricMeasured(step=step, name=name, value=value) if seen.row(step).status != "running":
            return f"step {step} measured {name}={number_text(value)}"
        case TestFinished(test=test) if test.outcome in ("failed", "error"):
            return f"test {test.id} failed: {why_test(test)}"
        case _:
            return ""
