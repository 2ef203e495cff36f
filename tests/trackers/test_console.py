"""What a person sees on stderr: plain lines in a file, a live display on a terminal, nothing on stdout."""

from __future__ import annotations

import io
import os
import pty
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from nb2prod.core.events import (
    CellFinished,
    Event,
    KernelStarted,
    MetricMeasured,
    RunFinished,
    StepFinished,
    StepStarted,
    TestFinished,
    Tracked,
)
from nb2prod.core.result import Explanation, Failure, TestResult
from nb2prod.trackers import _console_live, _console_seen, _console_words, console

T0 = 1_700_000_000.0
Shown = Callable[..., list[str]]


@pytest.fixture
def shown(plan: Any, started: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: Any) -> Shown:
    """Tells a run's events to the console, which is no terminal here, and returns the lines on stderr."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "out.ipynb").write_text("{}")

    def show(*events: Event) -> list[str]:
        tracker = console.open(plan(), lambda event: None)
        for event in (started(plan()), *events):
            tracker.hear(event)
        tracker.close()
        out, err = capfd.readouterr()
        assert out == ""
        return str(err).splitlines()

    return show


def test_each_event_that_matters_is_a_line_with_the_seconds_since_the_start(shown: Shown) -> None:
    """And the end is a summary: the run's folder, the notebook, the way to look at it."""
    where = {"tracking_uri": f"sqlite:///{Path.cwd()}/mlflow.db", "run_id": "r", "experiment_id": "1"}
    lines = shown(
        KernelStarted(at=T0 + 0.5, kernel="python3", seconds=0.5),
        Tracked(at=T0 + 1, tracker="mlflow", where=where),
        StepStarted(at=T0 + 1, step="load", reason="first run"),
        CellFinished(at=T0 + 1.5, cell=1, seconds=0.5, step="load"),
        MetricMeasured(at=T0 + 2, step="load", name="rows", value=12000.0),
        MetricMeasured(at=T0 + 2, step="load", name="share", value=0.123456),
        StepFinished(at=T0 + 3, step="load", status="finished", seconds=2.0),
        TestFinished(at=T0 + 3, test=TestResult("nb::load::test_rows", "load", "passed", 0.1)),
        StepFinished(at=T0 + 3, step="train", status="skipped", seconds=0.0, reason="nothing changed"),
        RunFinished(at=T0 + 130, status="finished"),
    )
    assert lines == [
        "[   0.0 s] run run-1 of houses.ipynb: 2 steps, 6 cells, papermill",
        "[   0.5 s] kernel python3 started in 0.5 s",
        "[   1.0 s] step load started (first run)",
        "[   3.0 s] step load finished in 2.0 s  rows=12000  share=0.1235",
        "[   3.0 s] step train skipped (nothing changed)",
        "",
        "finished in 2 min 10 s: 1 of 2 steps, 1 skipped, 1 test passed",
        "  run       runs",
        "  notebook  out.ipynb",
        "  mlflow    mlflow ui --backend-store-uri sqlite:///mlflow.db",
    ]


def test_a_failure_is_told_with_its_place_its_message_and_the_end_of_its_traceback(shown: Shown) -> None:
    """Without the colours that IPython puts into a traceback."""
    traceback = "\n".join([*(f"frame {number}" for number in range(20)), "\x1b[31mValueError\x1b[0m: no rows"])
    lines = shown(
        StepStarted(at=T0 + 1, step="load"),
        RunFinished(
            at=T0 + 2, status="failed", failure=Failure("cell", "ValueError: no rows", "load", 4, 2, traceback)
        ),
    )
    assert lines[2:] == [
        "",
        *(f"  | frame {number}" for number in range(13, 20)),
        "  | ValueError: no rows",
        "step load, cell 4, line 2: ValueError: no rows",
        "failed in 2.0 s: 0 of 2 steps",
        "  run       runs",
        "  notebook  out.ipynb",
    ]


def test_an_explained_failure_fits_on_a_screen_with_the_authors_line_the_class_and_the_fix(shown: Shown) -> None:
    """However deep in a library it happened, and however long its message is."""
    library = ["File lib/outer.py:7, in outer()", "----> 7 inner()", "File lib/inner.py:9, in inner()"]
    library += ["----> 9 raise KeyError(key)", *(f"     {number} # more" for number in range(10, 30))]
    top = ["KeyError  Traceback", "Cell In[3], line 2", "      1 x = 1", "----> 2 df['age']"]
    traceback = "\n".join([*top, *library, "KeyError: line 39"])
    known = Explanation("missing-column", "the frame has no column 'age'", "print(list(df.columns))")
    message = "KeyError: " + "\n".join(f"line {number}" for number in range(40))
    failure = Failure("cell", message, "load", 4, 2, traceback, known)
    lines = shown(RunFinished(at=T0 + 2, status="failed", failure=failure))
    assert lines[1:] == [
        "",
        "  | Cell In[3], line 2",
        "  | ----> 2 df['age']",
        "  | …",
        "  | File lib/inner.py:9, in inner()",
        "  | ----> 9 raise KeyError(key)",
        "  | KeyError: line 39",
        "step load, cell 4, line 2: KeyError: line 0",
        "line 1",
        "line 2",
        "line 3",
        "line 4",
        "…",
        "  missing-column: the frame has no column 'age'",
        "  fix: print(list(df.columns))",
        "failed in 2.0 s: 0 of 2 steps",
        "  run       runs",
        "  notebook  out.ipynb",
    ]


def test_a_failed_test_is_told_when_it_fails_and_again_at_the_end(shown: Shown) -> None:
    """A run whose tests failed does not read as finished."""
    failed = TestResult("nb::train::test_auc", "train", "failed", 0.1, "assert 0.7 > 0.8\nmore", 9, 3)
    lines = shown(TestFinished(at=T0 + 1, test=failed), RunFinished(at=T0 + 2, status="finished"))
    assert lines[1:7] == [
        "[   1.0 s] test nb::train::test_auc failed: assert 0.7 > 0.8",
        "",
        "✗ nb::train::test_auc (cell 9, line 3)",
        "  | assert 0.7 > 0.8",
        "  | more",
        "tests failed in 2.0 s: 0 of 2 steps, 1 of 1 test failed",
    ]


def test_a_log_that_takes_only_ascii_gets_escapes_instead_of_an_error(
    plan: Any, started: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A failed test's mark, and a step with an umlaut."""
    raw = io.BytesIO()
    monkeypatch.setattr(sys, "stderr", io.TextIOWrapper(raw, encoding="ascii"))
    tracker = console.open(plan(), lambda event: None)
    for event in (started(plan()), StepStarted(at=T0, step="prüfen"), RunFinished(at=T0, status="killed")):
        tracker.hear(event)
    assert rb"step pr\xfcfen started" in raw.getvalue()


def test_a_server_is_named_by_the_address_of_the_run(shown: Shown) -> None:
    """One click away."""
    where = {"tracking_uri": "http://tracking:5000/", "run_id": "abc", "experiment_id": "7"}
    lines = shown(Tracked(tracker="mlflow", where=where), RunFinished(at=T0, status="finished"))
    assert lines[-1] == "  mlflow    http://tracking:5000/#/experiments/7/runs/abc"


SCRIPT = """
import sys, time
sys.path.insert(0, sys.argv[1])
from pathlib import Path
import conftest
from nb2prod.core.events import *
from nb2prod.core.result import TestResult
from nb2prod.trackers import console
plan = conftest.plan_in(Path.cwd())
tracker = console.open(plan, lambda event: None)
tracker.hear(conftest.start_of(plan))
tracker.hear(StepStarted(step="load"))
tracker.hear(CellFinished(cell=0, seconds=1.0, step="load"))
tracker.hear(MetricMeasured(step="load", name="rows", value=12.0))
tracker.hear(StepFinished(step="load", status="finished", seconds=1.0))
tracker.hear(StepStarted(step="train"))
tracker.hear(TestFinished(test=TestResult("nb::train::test_x", "train", "failed", 0.1, "assert 0")))
tracker.hear(RunFinished(status="failed"))
tracker.close()
print("rich" in sys.modules)
"""


def _on_a_terminal(folder: Path, **environment: str) -> tuple[str, str]:
    """(stdout, stderr) of the script with stderr a terminal of 80 columns and stdout a pipe."""
    here, there = pty.openpty()
    clean = {name: value for name, value in os.environ.items() if name not in ("CI", "NO_COLOR", "TERM")}
    process = subprocess.Popen(
        [sys.executable, "-c", SCRIPT, str(Path(__file__).parent)],
        stdout=subprocess.PIPE,
        stderr=there,
        cwd=folder,
        env={**clean, "TERM": "xterm-256color", "COLUMNS": "80", "LINES": "24", **environment},
    )
    os.close(there)
    drawn = b""
    while True:
        try:
            chunk = os.read(here, 65536)
        except OSError:  # Linux says so when the other end is closed
            break
        if not chunk:
            break
        drawn += chunk
    out = process.communicate()[0].decode()
    os.close(here)
    assert process.returncode == 0
    return out, drawn.decode()


def test_on_a_terminal_every_step_has_a_row(tmp_path: Path) -> None:
    """With its mark, time, tests and metrics, in colour; stdout is left to the command."""
    out, drawn = _on_a_terminal(tmp_path)
    assert out == "True\n"
    assert re.search(r"\x1b\[[0-9;]*3[0-9]m", drawn)
    last = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", drawn).replace("\r", "").split("houses.ipynb")[-1].splitlines()
    rows = [" ".join(line.split()) for line in last if line.startswith(("✓", "✗", "·"))]
    assert rows[0] == "✓ load 1.0 s rows=12"
    assert re.fullmatch(r"✗ train [\d.]+ \w+( \d+ \w+)? 1 of 1 test failed", rows[1])
    assert rows[2] == "✗ nb::train::test_x"
    assert "\x1b[?25h" in drawn  # the cursor is back


def test_colours_are_left_out_where_nobody_wants_them(tmp_path: Path) -> None:
    """`NO_COLOR` keeps the display without colours; in CI there are plain lines and rich is not loaded."""
    _, drawn = _on_a_terminal(tmp_path, NO_COLOR="1")
    assert "✓" in drawn
    assert not re.search(r"\x1b\[[0-9;]*3[0-9]m", drawn)
    for environment in ({"CI": "true"}, {"TERM": "dumb"}):
        out, drawn = _on_a_terminal(tmp_path, **environment)
        assert (out, "\x1b" in drawn, "step load finished in 1.0 s  rows=12" in drawn) == ("False\n", False, True)


def test_a_display_shows_the_step_that_runs_however_many_there_are() -> None:
    """The window follows it, and says how many rows are hidden on each side."""
    for running in range(40):
        rows = [_console_seen.Row(str(n), "finished" if n < running else "waiting") for n in range(40)]
        rows[running].status = "running"
        above, window, below = _console_live._window(rows, 10)
        assert (above + len(window) + below, len(window)) == (40, 10)
        assert rows[running] in window
    assert _console_live._window(rows[:10], 10) == (0, rows[:10], 0)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.04, "0.0 s"), (99.94, "99.9 s"), (99.96, "1 min 40 s"), (3599.6, "1 h 00 min"), (90061.0, "25 h 01 min")],
)
def test_a_duration_is_written_as_a_person_says_it(seconds: float, text: str) -> None:
    """Tenths below a hundred seconds, then minutes, then hours."""
    assert _console_words.duration_text(seconds) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [(12000.0, "12000"), (0.81234, "0.8123"), (1e-7, "1e-07"), (float("nan"), "nan"), (float("inf"), "inf")],
)
def test_a_metric_is_written_short(value: float, text: str) -> None:
    """Whole numbers whole, others with four digits."""
    assert _console_words.number_text(value) == text
