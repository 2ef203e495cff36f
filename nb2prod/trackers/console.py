"""Tells the person at the terminal: a live display there, plain lines in CI and in files. Always on stderr.

On a terminal each step has a row (waiting, running, finished, failed, skipped), with its time, its tests and what it
measured, above a bar that counts cells. Elsewhere there is one line for each event that matters, with the seconds since
the start. Both end in the same summary: what failed and where, where the run is kept, and how to look at it in MLflow.
"""

from __future__ import annotations

import math
import os
import re
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, TextIO
from urllib.parse import unquote

from nb2prod.core.events import (
    CellFinished,
    Event,
    KernelStarted,
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
from nb2prod.core.pipeline import Plan
from nb2prod.core.ports import Publish
from nb2prod.core.result import Failure, StepStatus, TestResult

TRACEBACK_LINES = 8
MESSAGE_LINES = 5
_SHOWN_TESTS = 10
_LITTLE_CPU = 0.1  # seconds
_SHOWN_METRICS = 6  # of a step's row in the live display
_ESCAPES = re.compile(r"\x1b\[[0-9;?]*[ -/]*[@-~]|[\x00-\x08\x0b-\x1f]")
_MARKS: Mapping[str, tuple[str, str]] = {
    "waiting": ("·", "dim"),
    "finished": ("✓", "green"),
    "failed": ("✗", "red"),
    "skipped": ("–", "dim"),
}


def open(plan: Plan, publish: Publish) -> ConsoleTracker:
    terminal = sys.stderr.isatty() and not os.environ.get("CI") and os.environ.get("TERM") != "dumb"
    seen = _Seen(notebook=plan.pipeline.notebook.path.name)
    return ConsoleTracker(seen, _Live(seen) if terminal else _Lines(seen, sys.stderr))


class ConsoleTracker:
    """Keeps what is to be shown, and has it shown after each event."""

    def __init__(self, seen: _Seen, display: _Display) -> None:
        self._seen = seen
        self._display = display
        self._begun = False

    def hear(self, event: Event) -> None:
        self._begun = self._begun or isinstance(event, RunStarted)
        if self._begun:
            self._seen.note(event)
            self._display.show(event)

    def environment(self, step: str) -> Mapping[str, str]:
        return {}

    def close(self) -> None:
        self._display.close()


class _Display(Protocol):
    def show(self, event: Event) -> None: ...

    def close(self) -> None: ...


@dataclass(slots=True)
class _Row:
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
        return f"{self.cpu:.1f} s cpu, {_size(self.memory)}" if self.cpu >= _LITTLE_CPU else ""

    @property
    def tests(self) -> str:
        return _tests(self.passed, self.failed)

    @property
    def measured(self) -> str:
        return "  ".join(f"{name}={_number(value)}" for name, value in self.metrics.items())


@dataclass(slots=True)
class _Seen:
    """All that was heard and is shown."""

    notebook: str
    started: RunStarted | None = None
    rows: dict[str, _Row] = field(default_factory=dict)
    cells: int = 0
    tests: list[TestResult] = field(default_factory=list)
    mlflow: Mapping[str, str] = field(default_factory=dict)
    finished: RunFinished | None = None

    def note(self, event: Event) -> None:
        match event:
            case RunStarted(steps=steps):
                self.started = event
                self.rows = {name: _Row(name) for name in steps}
            case Tracked(tracker="mlflow", where=where):
                self.mlflow = where
            case CellFinished():
                self.cells += 1
            case StepStarted(step=step, reason=reason, at=at):
                self.rows[step] = _Row(step, "running", started=at, reason=reason)
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

    def row(self, step: str) -> _Row:
        return self.rows.setdefault(step, _Row(step))

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


# -- plain lines -----------------------------------------------------------------------------------------------------


class _Lines:
    """One line for each event that matters."""

    def __init__(self, seen: _Seen, out: TextIO) -> None:
        self._seen = seen
        self._out = out

    def show(self, event: Event) -> None:
        line = _line(self._seen, event)
        if line:
            self._write(f"[{self._seen.seconds(event.at):6.1f} s] {line}")
        if isinstance(event, RunFinished):
            for _, text in _summary(self._seen):
                self._write(text)

    def close(self) -> None:
        self._out.flush()

    def _write(self, line: str) -> None:
        # what the encoding of a log cannot say is escaped, rather than ending the run
        encoding = self._out.encoding or "utf-8"
        self._out.write(line.encode(encoding, "backslashreplace").decode(encoding) + "\n")
        self._out.flush()


def _line(seen: _Seen, event: Event) -> str:
    match event:
        case RunStarted(run=run, engine=engine, steps=steps, cells=cells):
            return f"run {run} of {seen.notebook}: {_count(len(steps), 'step')}, {_count(cells, 'cell')}, {engine}"
        case KernelStarted(kernel=kernel, seconds=seconds):
            return f"kernel {kernel} started in {_duration(seconds)}"
        case StepStarted(step=step, reason=reason):
            return f"step {step} started{f' ({reason})' if reason else ''}"
        case StepFinished(step=step, status="skipped", reason=reason):
            return f"step {step} skipped{f' ({reason})' if reason else ''}"
        case StepFinished(step=step, status=status, seconds=seconds):
            row = seen.row(step)
            took = f"{_duration(seconds)} ({row.used})" if row.used else _duration(seconds)
            return f"step {step} {status} in {took}{f'  {row.measured}' if row.measured else ''}"
        case StepRetried(step=step, attempt=attempt, limit=limit, wait=wait, message=message):
            return f"step {step} is tried again ({attempt} of {limit}) in {_duration(wait)}: {_first_line(message)}"
        case MetricMeasured(step=step, name=name, value=value) if seen.row(step).status != "running":
            return f"step {step} measured {name}={_number(value)}"
        case TestFinished(test=test) if test.outcome in ("failed", "error"):
            return f"test {test.id} failed: {_why_test(test)}"
        case _:
            return ""


# -- the live display ------------------------------------------------------------------------------------------------


class _Live:
    """Drawn by rich, again at each event and ten times a second for what runs. `NO_COLOR` is rich's to follow."""

    def __init__(self, seen: _Seen) -> None:
        self._seen = seen
        self._live: Any = None

    def show(self, event: Event) -> None:
        if isinstance(event, RunStarted):
            self._begin()
        if isinstance(event, RunFinished):
            self.close()
            self._summarise()

    def close(self) -> None:
        live, self._live = self._live, None
        if live is not None:
            live.stop()

    def _begin(self) -> None:
        from rich.console import Console
        from rich.live import Live
        from rich.spinner import Spinner

        console = Console(stderr=True, highlight=False)
        spinner = Spinner("dots", style="cyan")
        self._live = Live(
            console=console,
            get_renderable=lambda: _drawing(self._seen, spinner, console.width, console.height),
            refresh_per_second=10,
            redirect_stdout=False,  # the command's own output, which is not ours to touch
        )
        self._live.start()

    def _summarise(self) -> None:
        from rich.console import Console
        from rich.text import Text

        console = Console(stderr=True, highlight=False)
        for style, text in _summary(self._seen):
            console.print(Text(text, style=style), soft_wrap=True)


def _drawing(seen: _Seen, spinner: Any, width: int, height: int) -> Any:
    """The rows, those that fit around the step that runs, and the bar below them."""
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column(width=1)
    table.add_column(no_wrap=True, overflow="ellipsis", max_width=width // 3)
    table.add_column(justify="right", no_wrap=True)
    table.add_column(ratio=1, overflow="fold")
    above, rows, below = _window(list(seen.rows.values()), max(3, height - 6))
    for row in rows:
        table.add_row(*_cells(row, spinner))
    started = seen.started.run if seen.started else ""
    parts: list[Any] = [Text.assemble((seen.notebook, "bold"), (f"  {started}", "dim"))]
    parts += [Text(f"  {_count(above, 'step')} above", style="dim")] if above else []
    parts += [table]
    parts += [Text(f"  {_count(below, 'step')} below", style="dim")] if below else []
    return Group(*parts, *_progress(seen))


def _cells(row: _Row, spinner: Any) -> Iterator[Any]:
    from rich.text import Text

    running, idle = row.status == "running", row.status in ("waiting", "skipped")
    mark, style = _MARKS["failed" if row.failed else row.status] if not running else ("", "")
    seconds = time.time() - row.started if running else row.seconds
    yield spinner if running else Text(mark, style=style)
    yield Text(row.name, style="bold" if running else "dim" if idle else "")
    yield Text("" if idle else _duration(seconds))
    yield Text(row.reason, style="dim") if row.status == "skipped" else _notes(row)


def _notes(row: _Row) -> Any:
    """What a row says at its end: its tests, and the first of its metrics."""
    from rich.text import Text

    notes = [Text(row.tests, style="red" if row.failed else "green")] if row.tests else []
    metrics = [f"{name}={_number(value)}" for name, value in row.metrics.items()]
    notes += [Text(metric, style="cyan") for metric in metrics[:_SHOWN_METRICS]]
    if len(metrics) > _SHOWN_METRICS:
        notes.append(Text(f"{len(metrics) - _SHOWN_METRICS} more", style="dim"))
    notes += [Text(row.again, style="yellow")] if row.again else []
    notes += [Text(row.used, style="dim")] if row.used else []
    return Text("  ").join(notes)


def _progress(seen: _Seen) -> Iterator[Any]:
    if seen.finished or not seen.total:
        return
    from rich.progress_bar import ProgressBar
    from rich.table import Table
    from rich.text import Text

    line = Table.grid(padding=(0, 2, 0, 0))
    elapsed = _duration(seen.seconds(time.time()))
    bar = ProgressBar(total=seen.total, completed=min(seen.cells, seen.total), width=32)
    line.add_row(bar, Text(f"{seen.cells} of {_count(seen.total, 'cell')}"), Text(elapsed, style="dim"))
    yield line


def _window(rows: list[_Row], room: int) -> tuple[int, list[_Row], int]:
    """The rows that fit, with the step that runs among them: (hidden above, shown, hidden below)."""
    if len(rows) <= room:
        return 0, rows, 0
    current = max((index for index, row in enumerate(rows) if row.status != "waiting"), default=0)
    first = min(max(0, current - room + 2), len(rows) - room)
    return first, rows[first : first + room], len(rows) - first - room


# -- the summary -----------------------------------------------------------------------------------------------------


def _summary(seen: _Seen) -> Iterator[tuple[str, str]]:
    """(style, line) of the end of a run, the same for both displays."""
    if seen.finished is None or seen.started is None:
        return
    yield "", ""
    yield from _why(seen)
    yield _headline(seen)
    yield "", f"  run       {_short(seen.started.directory)}"
    if seen.started.output and Path(seen.started.output).exists():
        yield "", f"  notebook  {_short(seen.started.output)}"
    if seen.mlflow:
        yield "", f"  mlflow    {_look(seen.mlflow)}"


def _why(seen: _Seen) -> Iterator[tuple[str, str]]:
    failure = seen.finished.failure if seen.finished else None
    if failure is not None:
        for line in _trace(_clean(failure.traceback)):
            yield "dim", f"  | {line}".rstrip()
        yield "bold red", f"{failure.place or seen.notebook}: {_short_message(_clean(failure.message))}"
        yield from _explanation(failure)
    failed = seen.failed_tests
    for test in failed[:_SHOWN_TESTS]:
        place = f" (cell {test.cell}{f', line {test.line}' if test.line else ''})" if test.cell is not None else ""
        yield "bold red", f"✗ {test.id}{place}"
        for line in _clean(test.message).strip().splitlines()[:TRACEBACK_LINES]:
            yield "dim", f"  | {line}".rstrip()
    if len(failed) > _SHOWN_TESTS:
        yield "red", f"✗ … and {_count(len(failed) - _SHOWN_TESTS, 'more test')}, in tests/report.json"


def _trace(text: str) -> list[str]:
    """The end of a traceback; when that is all inside a library, the author's own line and the library's last."""
    lines = text.rstrip().splitlines()
    end = lines[-TRACEBACK_LINES:]
    own = [index for index, line in enumerate(lines) if line.startswith("Cell In[")]
    if not own or any(line.startswith("Cell In[") for line in end):
        return end
    inner = [index for index, line in enumerate(lines) if line.startswith("File ")]
    return [*_frame(lines, own[-1]), "…", *(_frame(lines, inner[-1]) if inner else []), lines[-1]]


def _frame(lines: list[str], start: int) -> list[str]:
    """A frame's place, and the line there."""
    arrow = next((line for line in lines[start:] if re.match(r"-+> ?\d+ ", line)), "")
    return [lines[start], arrow] if arrow else [lines[start]]


def _short_message(message: str) -> str:
    """The lines of a message that fit beside the rest; all of it is in the executed notebook."""
    lines = message.rstrip().splitlines()
    return message if len(lines) <= MESSAGE_LINES else "\n".join([*lines[:MESSAGE_LINES], "…"])


def _explanation(failure: Failure) -> Iterator[tuple[str, str]]:
    if failure.explanation is not None:
        yield "yellow", f"  {failure.explanation.kind}: {_clean(failure.explanation.what)}"
        yield "", f"  fix: {_clean(failure.explanation.fix)}"


def _headline(seen: _Seen) -> tuple[str, str]:
    assert seen.finished is not None
    done = sum(row.status == "finished" for row in seen.rows.values())
    skipped = sum(row.status == "skipped" for row in seen.rows.values())
    failed = len(seen.failed_tests)
    facts = [f"{done} of {_count(len(seen.rows), 'step')}" if done < len(seen.rows) else _count(done, "step")]
    facts += [f"{skipped} skipped"] if skipped else []
    facts += [_tests(sum(test.outcome == "passed" for test in seen.tests), failed)] if seen.tests else []
    good = seen.finished.status == "finished" and not failed
    word = "tests failed" if seen.finished.status == "finished" and failed else seen.finished.status
    line = f"{word} in {_duration(seen.seconds(seen.finished.at))}: {', '.join(facts)}"
    return ("bold green" if good else "bold red"), line


def _look(where: Mapping[str, str]) -> str:
    """How to see the run: its address on a server, else the command that shows a local store."""
    uri, run, experiment = where.get("tracking_uri", ""), where.get("run_id", ""), where.get("experiment_id", "")
    if uri.startswith("http"):
        return f"{uri.rstrip('/')}/#/experiments/{experiment}/runs/{run}"
    if uri.startswith("sqlite:///"):
        file = unquote(uri.removeprefix("sqlite:///"))
        near = _short(file)
        uri = f"sqlite:///{near}" if near != file else uri
        return f"mlflow ui --backend-store-uri {_quoted(uri)}"
    return f"{uri}  (run {run})"


def _quoted(uri: str) -> str:
    return f"'{uri}'" if re.search(r"[^\w:/.,@%+=-]", uri) else uri


def _short(path: str) -> str:
    """A path as a person would type it here."""
    full = Path(path).absolute()
    return str(full.relative_to(Path.cwd())) if full.is_relative_to(Path.cwd()) else path


def _tests(passed: int, failed: int) -> str:
    if failed:
        return f"{failed} of {_count(passed + failed, 'test')} failed"
    return f"{_count(passed, 'test')} passed" if passed else ""


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _duration(seconds: float) -> str:
    if seconds < 99.95:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02d} min" if hours else f"{minutes} min {rest:02d} s"


def _size(count: int) -> str:
    return f"{count / 1e9:.1f} GB" if count >= 1e9 else f"{count / 1e6:.0f} MB"


def _number(value: float) -> str:
    """Four digits are enough to see; whole numbers are whole."""
    if math.isfinite(value) and value == int(value) and abs(value) < 1e9:
        return str(int(value))
    return f"{value:.4g}"


def _clean(text: str) -> str:
    return _ESCAPES.sub("", text)


def _first_line(message: str) -> str:
    return next(iter(_clean(message).strip().splitlines()), "")


def _why_test(test: TestResult) -> str:
    """The line of pytest's report that says it: the first that begins with E, else the first there is."""
    lines = _clean(test.message).strip().splitlines() or [""]
    return next((line[1:].strip() for line in lines if line.startswith("E  ")), lines[0])
