"""What a run has come to so far, as the console shows it: a row for each step, tests, artifacts, and how it ended."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from nb2prod.core.events import (
    CellFinished,
    Event,
    MetricMeasured,
    ResourcesUsed,
    RunFinished,
    RunStarted,
    StepFinished,
    StepRetried,
    StepStarted,
    TestFinished,
    Tracked,
)
from nb2prod.core.result import StepStatus, TestResult
from nb2prod.trackers._console_words import number_text, size_text, tests_text

_LITTLE_CPU = 0.1  # seconds


@dataclass(slots=True)
class Row:
    """A step as it is shown."""

    name: str
    status: StepStatus = "waiting"
    started: float = 0.0
    seconds: float = 0.0
    metrics: dict[str, float] = field(default_factory=dict)
    passed: int = 0
    failed: int = 0
    reason: str = ""
    again: str = ""
    cpu: float = 0.0
    memory: int = 0

    @property
    def used(self) -> str:
        """What it took of the machine; nothing for what took next to nothing."""
        return f"{self.cpu:.1f} s cpu, {size_text(self.memory)}" if self.cpu >= _LITTLE_CPU else ""

    @property
    def tests(self) -> str:
        return tests_text(self.passed, self.failed)

    @property
    def measured(self) -> str:
        return "  ".join(f"{name}={number_text(value)}" for name, value in self.metrics.items())


@dataclass(slots=True)
class Seen:
    """All that was heard and is shown."""

    notebook: str
    started: RunStarted | None = None
    rows: dict[str, Row] = field(default_factory=dict)
    cells: int = 0
    tests: list[TestResult] = field(default_factory=list)
    mlflow: Mapping[str, str] = field(default_factory=dict)
    finished: RunFinished | None = None

    def note(self, event: Event) -> None:
        match event:
            case RunStarted(steps=steps):
                self.started = event
                self.rows = {name: Row(name) for name in steps}
            case Tracked(tracker="mlflow", where=where):
                self.mlflow = where
            case CellFinished():
                self.cells += 1
            case StepStarted(step=step, reason=reason, at=at):
                self.rows[step] = Row(step, "running", started=at, reason=reason)
            case MetricMeasured(step=step, name=name, value=value):
                self.row(step).metrics[name] = value
            case StepRetried(step=step, attempt=attempt, limit=limit):
                self.row(step).again = f"tried again, {attempt} of {limit}"
            case ResourcesUsed(step=step, cpu=cpu, memory=memory):
                row = self.row(step)
                row.cpu, row.memory = row.cpu + cpu, max(row.memory, memory)
            case StepFinished(step=step, status=status, seconds=seconds, reason=reason):
                row = self.row(step)
                row.status, row.seconds, row.reason = status, seconds, reason or row.reason
            case TestFinished(test=test):
                self._note_test(test)
            case RunFinished():
                self._note_end(event)
            case _:
                pass

    def row(self, step: str) -> Row:
        return self.rows.setdefault(step, Row(step))

    def _note_test(self, test: TestResult) -> None:
        self.tests.append(test)
        if test.step:
            self.row(test.step).passed += test.outcome == "passed"
            self.row(test.step).failed += test.outcome in ("failed", "error")

    def _note_end(self, event: RunFinished) -> None:
        self.finished = event
        for row in self.rows.values():
            if row.status == "running":
                row.status, row.seconds = "failed", max(0.0, event.at - row.started)

    @property
    def failed_tests(self) -> list[TestResult]:
        return [test for test in self.tests if test.outcome in ("failed", "error")]

    @property
    def total(self) -> int:
        return self.started.cells if self.started else 0

    def seconds(self, now: float) -> float:
        return max(0.0, now - self.started.at) if self.started else 0.0
