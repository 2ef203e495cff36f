"""The end of what the console says: what failed and where, where the run is kept, how to look at it in MLflow."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from urllib.parse import unquote

from nb2prod.core.result import Failure, TestResult
from nb2prod.trackers._console_seen import Seen
from nb2prod.trackers._console_words import counted, duration_text, short_path, tests_text, without_escapes

TRACEBACK_LINES = 8
MESSAGE_LINES = 5
_SHOWN_TESTS = 10


def summary_of(seen: Seen) -> Iterator[tuple[str, str]]:
    """(style, line) of the end of a run, the same for both displays."""
    if seen.finished is None or seen.started is None:
        return
    yield "", ""
    yield from _why(seen)
    yield _headline(seen)
    yield "", f"  run       {short_path(seen.started.directory)}"
    if seen.started.output and Path(seen.started.output).exists():
        yield "", f"  notebook  {short_path(seen.started.output)}"
    if seen.mlflow:
        yield "", f"  mlflow    {how_to_look(seen.mlflow)}"


def _why(seen: Seen) -> Iterator[tuple[str, str]]:
    failure = seen.finished.failure if seen.finished else None
    if failure is not None:
        for line in _trace(without_escapes(failure.traceback)):
            yield "dim", f"  | {line}".rstrip()
        yield "bold red", f"{failure.place or seen.notebook}: {_short_message(without_escapes(failure.message))}"
        yield from _explanation(failure)
    failed = seen.failed_tests
    for test in failed[:_SHOWN_TESTS]:
        place = f" (cell {test.cell}{f', line {test.line}' if test.line else ''})" if test.cell is not None else ""
        yield "bold red", f"✗ {test.id}{place}"
        for line in without_escapes(test.message).strip().splitlines()[:TRACEBACK_LINES]:
            yield "dim", f"  | {line}".rstrip()
    if len(failed) > _SHOWN_TESTS:
        yield "red", f"✗ … and {counted(len(failed) - _SHOWN_TESTS, 'more test')}, in tests/report.json"


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
        yield "yellow", f"  {failure.explanation.kind}: {without_escapes(failure.explanation.what)}"
        yield "", f"  fix: {without_escapes(failure.explanation.fix)}"


def _headline(seen: Seen) -> tuple[str, str]:
    assert seen.finished is not None
    done = sum(row.status == "finished" for row in seen.rows.values())
    skipped = sum(row.status == "skipped" for row in seen.rows.values())
    failed = len(seen.failed_tests)
    facts = [f"{done} of {counted(len(seen.rows), 'step')}" if done < len(seen.rows) else counted(done, "step")]
    facts += [f"{skipped} skipped"] if skipped else []
    facts += [tests_text(sum(test.outcome == "passed" for test in seen.tests), failed)] if seen.tests else []
    good = seen.finished.status == "finished" and not failed
    word = "tests failed" if seen.finished.status == "finished" and failed else seen.finished.status
    line = f"{word} in {duration_text(seen.seconds(seen.finished.at))}: {', '.join(facts)}"
    return ("bold green" if good else "bold red"), line


def how_to_look(where: Mapping[str, str]) -> str:
    """How to see the run: its address on a server, else the command that shows a local store."""
    uri, run, experiment = where.get("tracking_uri", ""), where.get("run_id", ""), where.get("experiment_id", "")
    if uri.startswith("http"):
        return f"{uri.rstrip('/')}/#/experiments/{experiment}/runs/{run}"
    if uri.startswith("sqlite:///"):
        file = unquote(uri.removeprefix("sqlite:///"))
        near = short_path(file)
        uri = f"sqlite:///{near}" if near != file else uri
        return f"mlflow ui --backend-store-uri {_quoted(uri)}"
    return f"{uri}  (run {run})"


def _quoted(uri: str) -> str:
    return f"'{uri}'" if re.search(r"[^\w:/.,@%+=-]", uri) else uri


def why_test(test: TestResult) -> str:
    """The line of pytest's report that says it: the first that begins with E, else the first there is."""
    lines = without_escapes(test.message).strip().splitlines() or [""]
    return next((line[1:].strip() for line in lines if line.startswith("E  ")), lines[0])
