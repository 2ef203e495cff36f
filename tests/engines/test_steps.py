"""Isolated steps: what crosses from process to process, what is refused, and how a run ends."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import psutil
import pytest

from nb2prod import api
from nb2prod.core.errors import FindingsError, UsageError
from nb2prod.core.result import Result
from tests.notebook_maker import Row, write_notebook


def ran(tmp_path: Path, *rows: Row, **options: Any) -> Result:
    notebook = write_notebook(tmp_path / "nb.ipynb", rows)
    return api.run(notebook, engine="steps", trackers=(), runs=tmp_path / "runs", **options)


def printed(result: Result) -> dict[str, str]:
    return {step.name: step.printed for step in result.steps}


def test_each_step_has_a_process_of_its_own(tmp_path: Path) -> None:
    rows = [(f"step:{name}", f"import os\n{name} = os.getpid()\nprint({name})") for name in "abc"]
    result = ran(tmp_path, *rows)
    assert len({*printed(result).values(), str(os.getpid())}) == 4


def test_a_step_has_only_what_it_reads(tmp_path: Path) -> None:
    result = ran(
        tmp_path,
        ("step:a", "x = 1\ny = 2"),
        ("step:b", "def home(): pass\nprint('y' in home.__getattribute__('__globals__'), x)"),
        ("step:c", "print(y)"),
    )
    assert printed(result)["b"] == "False 1\n"


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Result:
    """A notebook that was run in one kernel."""
    rows: list[Row] = [
        ("parameters", "n: int = 40\ntwice = n * 2"),
        ("imports", "import numpy as np\nfrom sklearn.linear_model import LinearRegression"),
        # no cell mentions the function, which answers for the model
        ("functions", "def doubled(model, rows):\n    return model.predict(rows) * 2"),
        ("setup", "np.random.seed(3)"),
        ("step:data example:X", "X = np.random.rand(n, 2)\ny = X @ [1, 2] + np.random.rand(n) / 9"),
        ("test:data", "def test_rows():\n    assert X.shape == (n, 2)"),
        ("step:one", "one = float(np.abs(X).sum())"),
        ("step:two", "two = float(np.random.rand())"),
        (
            "step:fit model:model predict:doubled metric:score",
            "model = LinearRegression().fit(X, y)\nscore = model.score(X, y) + one - one",
        ),
        ("step:say", "print(round(one, 12), round(two, 12), round(score, 12), twice)"),
    ]
    folder = tmp_path_factory.mktemp("whole")
    notebook = write_notebook(folder / "nb.ipynb", rows)
    return api.run(notebook, {"n": 50}, engine="papermill", trackers=(), runs=folder / "runs")


@pytest.mark.parametrize("executor", ["serial", "processes"])
def test_parameters_metrics_tests_and_model_are_those_of_the_whole_notebook(
    whole: Result, tmp_path: Path, executor: str
) -> None:
    """The model is packaged from one of them: example and predictions are the same bytes in both."""
    one, notebook = whole, Path(whole.directory).parents[1] / "nb.ipynb"
    other = api.run(notebook, {"n": 50}, engine="steps", executor=executor, trackers=(), runs=tmp_path / "runs")
    assert (other.status, other.failure, other.exit_code) == ("finished", None, 0)
    assert printed(other) == printed(one)
    assert other.metrics == one.metrics
    assert [(t.id, t.outcome) for t in other.tests] == [(t.id, t.outcome) for t in one.tests]
    kinds = [(a.kind, a.name, a.details.get("content")) for a in one.artifacts if a.kind in ("example", "predictions")]
    assert [
        (a.kind, a.name, a.details.get("content")) for a in other.artifacts if a.kind in ("example", "predictions")
    ] == kinds
    if executor == "processes":
        assert api.package(other.directory, tmp_path / "package").parity.verdict == "equal"


def test_a_failing_cell_names_step_cell_and_line_and_keeps_the_notebook(tmp_path: Path) -> None:
    result = ran(tmp_path, ("step:a", "x = [1]"), ("step:b", "print('so far')\ny = x\ny.nowhere"), ("step:c", "z = y"))
    assert result.failure is not None
    assert (result.failure.kind, result.failure.step, result.failure.cell, result.failure.line) == ("cell", "b", 1, 3)
    assert result.exit_code == 1
    assert [step.status for step in result.steps] == ["finished", "failed", "waiting"]
    assert "so far" in Path(result.notebook).read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("source", "options", "kind", "word", "code"),
    [
        ("import os\nos._exit(3)", {}, "kernel", "it exited with code 3", 6),
        ("import os, signal\nos.kill(os.getpid(), signal.SIGKILL)", {}, "kernel", "SIGKILL", 6),
        ("while True: pass", {"timeout": 0.5}, "timeout", "limit 0.5 s", 1),
        ("input()", {}, "input", "input()", 1),
    ],
)
def test_each_way_to_fail_has_its_kind_and_exit_code(
    tmp_path: Path, source: str, options: dict[str, Any], kind: str, word: str, code: int
) -> None:
    result = ran(tmp_path, ("step:a", "x = 1"), ("step:b", source), **options)
    assert result.failure is not None
    assert (result.failure.kind, result.failure.step, result.exit_code) == (kind, "b", code)
    assert word in result.failure.message


def test_a_value_that_cannot_leave_keeps_its_process_and_the_reason_is_said(tmp_path: Path) -> None:
    result = ran(
        tmp_path,
        ("step:a", "import os\ng = (i for i in range(3))\nn = [0]\nprint(os.getpid())"),
        ("step:b", "print(next(g))"),
        ("step:c", "n.append(1)\nimport os\nprint(os.getpid(), n)"),
        ("step:d", "import os\nprint(next(g), n, os.getpid())"),
    )
    home = printed(result)["a"].strip()
    assert printed(result)["b"] == "0\n"
    assert printed(result)["d"] == f"1 [0, 1] {home}\n"
    assert not printed(result)["c"].startswith(home)
    assert [step.reason for step in result.steps][1] == "runs in the process of step a: g is a generator"


def test_two_processes_that_keep_what_one_step_needs_are_refused(tmp_path: Path) -> None:
    rows = [
        ("step:a", "g = (i for i in range(3))"),
        ("step:b", "h = (i for i in range(3))"),
        ("step:c", "print(*zip(g, h))"),
    ]
    result = ran(tmp_path, *rows)
    assert result.failure is not None
    assert (result.failure.kind, result.failure.step, result.exit_code) == ("isolation", "c", 3)
    assert "g is a generator (in step a); h is a generator (in step b)" in result.failure.message


def test_a_read_that_no_code_shows_is_refused_and_not_taken_for_a_mistake(tmp_path: Path) -> None:
    rows = [
        ("step:a", "width = 3"),
        ("step:b", "import sys\nread = sys.modules['builtins'].eval\nprint(read('width'))"),
    ]
    result = ran(tmp_path, *rows)
    assert result.failure is not None
    assert result.failure.kind == "isolation"
    assert "`width`" in result.failure.message


def test_a_change_that_no_code_shows_is_refused_when_a_step_had_begun_with_the_old(tmp_path: Path) -> None:
    """`touch` changes its argument in a library: nothing says so before it happens."""
    (tmp_path / "library.py").write_text("def touch(x):\n    x.append(1)\n")
    rows: list[Row] = [
        ("step:a", "from library import touch\nx = []"),
        ("step:b", "import time\ntime.sleep(0.5)\ntouch(x)"),
        ("step:c", "print(x)"),
    ]
    refused = ran(tmp_path, *rows, executor="processes")
    assert refused.failure is not None
    assert refused.failure.kind == "isolation"
    assert "step b changed `x`" in refused.failure.message
    assert "after:" in refused.failure.message
    assert printed(ran(tmp_path, *rows))["c"] == "[1]\n"


MEET = """
import time
from pathlib import Path
Path("{mine}").touch()
for _ in range(100):
    if Path("{other}").exists():
        break
    time.sleep(0.1)
{mine} = Path("{other}").exists()
"""


def test_independent_steps_run_at_the_same_time(tmp_path: Path) -> None:
    one, two = MEET.format(mine="one", other="two"), MEET.format(mine="two", other="one")
    result = ran(tmp_path, ("step:a", one), ("step:b", two), ("step:c", "print(one, two)"), executor="processes")
    assert printed(result)["c"] == "True True\n"


def test_a_secret_reaches_the_code_and_no_file(tmp_path: Path) -> None:
    rows: list[Row] = [
        ("parameters", "token: str = ''"),
        ("step:a", "size = len(token)\ncopy = [token]"),
        ("step:b", "print(size, copy[0])"),
    ]
    result = ran(tmp_path, *rows, parameters={"token": "s3cr3t-of-this-test"})
    assert printed(result)["b"] == "19 ********\n"
    found = [p for p in tmp_path.rglob("*") if p.is_file() and b"s3cr3t-of" in p.read_bytes()]
    assert found == []


def test_shell_lines_run_only_when_they_are_allowed(tmp_path: Path) -> None:
    rows = [("step:a", "!echo hello")]
    with pytest.raises(FindingsError, match="--allow-shell"):
        ran(tmp_path, *rows)
    assert printed(ran(tmp_path, *rows, allow_shell=True))["a"].strip() == "hello"


def test_an_executor_needs_an_engine_that_has_steps_to_place(tmp_path: Path) -> None:
    notebook = write_notebook(tmp_path / "nb.ipynb", [("step:a", "x = 1")])
    with pytest.raises(UsageError, match="--engine steps"):
        api.run(notebook, executor="processes", trackers=(), runs=tmp_path / "runs")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_run_ends_all_its_processes(tmp_path: Path, number: signal.Signals) -> None:
    notebook = write_notebook(
        tmp_path / "nb.ipynb",
        [("step:a", "import time, subprocess\nsubprocess.Popen(['sleep', '600'])\ntime.sleep(600)")],
    )
    command = [sys.executable, "-m", "nb2prod", "run", str(notebook), "--engine", "steps", "--no-track", "--json"]
    process = subprocess.Popen([*command, "--runs", str(tmp_path / "runs")], stdout=subprocess.PIPE, text=True)
    sleeping: list[psutil.Process] = []
    for _ in range(300):
        sleeping = [p for p in psutil.Process(process.pid).children(recursive=True) if p.name() == "sleep"]
        if sleeping:
            break
        time.sleep(0.1)
    assert sleeping
    process.send_signal(number)
    out, _ = process.communicate(timeout=60)
    psutil.wait_procs(sleeping, timeout=10)
    assert process.returncode == 130
    assert json.loads(out)["failure"]["message"] == f"ended by {number.name}"
    assert [p for p in sleeping if p.is_running() and p.status() != psutil.STATUS_ZOMBIE] == []


def test_one_at_a_time_means_the_notebooks_order(tmp_path: Path) -> None:
    """`c` needs nothing of `b`, and could begin before it; what it reads of `a` is what `b` has left."""
    rows: list[Row] = [
        ("step:a", "a = [1]\nb = [a]\ng = lambda: len(b)"),
        ("step:b", "a = [a, a]"),
        ("step:c", "a = [g(), 0]"),
        ("step:d", "print(a, b)"),
    ]
    assert printed(ran(tmp_path, *rows))["d"] == "[1, 0] [[1]]\n"


@pytest.mark.parametrize("executor", ["serial", "processes"])
def test_what_a_module_beside_the_notebook_keeps_is_kept_with_its_process(tmp_path: Path, executor: str) -> None:
    (tmp_path / "counting.py").write_text("total = [0]\n\ndef count():\n    total[0] += 1\n    return total[0]\n")
    rows: list[Row] = [
        ("imports", "import counting"),
        ("step:a", "counting.count()\nx = 1"),
        ("step:b", "y = counting.count() + x"),
        ("step:c", "print(counting.total, y)"),
    ]
    result = ran(tmp_path, *rows, executor=executor)
    assert printed(result)["c"] == "[2] 3\n"
    assert "changes what the module counting keeps" in result.steps[2].reason


AT_ONCE = "import time\nfrom pathlib import Path\n"
WAIT = "for _ in range(60):\n    if Path('{0}').exists():\n        break\n    time.sleep(0.05)\n"
FIRST = "Path('b').touch()\n" + WAIT.format("c")  # ends when the other has begun
SECOND = WAIT.format("b") + "Path('c').touch()\n"


def test_a_name_that_only_shares_an_object_with_what_a_step_makes_may_be_read_meanwhile(tmp_path: Path) -> None:
    """`pair` is packed anew with `more`, which holds it; its value is what it was, and `c` may have it as it was."""
    rows: list[Row] = [
        ("imports", AT_ONCE),
        ("step:a", "pair = [1, 2]"),
        ("step:b", f"{FIRST}more = [pair, pair]"),
        ("step:c", f"{SECOND}total = sum(pair)"),
        ("step:d", "more[0].append(3)\nprint(pair, more, total)"),
    ]
    result = ran(tmp_path, *rows, executor="processes")
    assert printed(result)["d"] == "[1, 2, 3] [[1, 2, 3], [1, 2, 3]] 3\n"


def test_two_steps_that_each_tie_something_to_one_object_share_it_in_the_end(tmp_path: Path) -> None:
    """The notebook has one list in `one` and `two`; two processes would make two of it."""
    rows: list[Row] = [
        ("imports", AT_ONCE),
        ("step:a", "pair = [1, 2]"),
        ("step:b", f"{FIRST}one = [pair]"),
        ("step:c", f"{SECOND}two = [pair]"),
        ("step:d", "one[0].append(3)\nprint(two)"),
    ]
    assert printed(ran(tmp_path, *rows, executor="processes"))["d"] == "[[1, 2, 3]]\n"
    assert printed(ran(tmp_path, *rows))["d"] == "[[1, 2, 3]]\n"


def test_two_steps_that_tie_something_to_one_object_unseen_are_refused(tmp_path: Path) -> None:
    """What `sorted` gives holds the lists of `pair`, and the code does not show it; packing does."""
    rows: list[Row] = [
        ("imports", AT_ONCE),
        ("step:a", "pair = [[1], [2, 3]]"),
        ("step:b", f"{FIRST}one = sorted(pair)"),
        ("step:c", f"{SECOND}two = sorted(pair)"),
        ("step:d", "print(one, two)"),
    ]
    refused = ran(tmp_path, *rows, executor="processes")
    assert refused.failure is not None
    assert (refused.failure.kind, "changed `pair`" in refused.failure.message) == ("isolation", True)
    assert printed(ran(tmp_path, *rows))["d"] == "[[1], [2, 3]] [[1], [2, 3]]\n"


NAMING = ["one.index.name = 'line'", "i = one.index\ni.name = 'line'", "one.index.set_names('line', inplace=True)"]


@pytest.mark.parametrize("naming", NAMING)
def test_a_name_that_is_given_to_an_index_is_seen_by_all_that_have_the_index(naming: str, tmp_path: Path) -> None:
    """`map` gives its result the index of what it was called on."""
    rows: list[Row] = [
        ("imports", "import pandas as pd"),
        ("step:a", "texts = pd.Series(['x', 'yy'], index=[3, 4])"),
        ("step:b", "one = texts.map(len)"),
        ("step:c", "two = texts.map(len)"),
        ("step:d", naming),
        ("step:e", "print(two.index.name, texts.index.name, one.index.name)"),
    ]
    assert printed(ran(tmp_path, *rows))["e"] == "line line line\n"


def test_a_test_of_a_step_changes_nothing_that_its_process_is_kept_for(tmp_path: Path) -> None:
    """Our own modules are nobody's hidden state, also where they lie beside the author's."""
    rows: list[Row] = [
        ("step:a", "x = 1"),
        ("test:a", "def test_x():\n    assert x == 1"),
        ("step:b", "import os\nprint(os.getpid(), x)"),
    ]
    reasons = {step.name: step.reason for step in ran(tmp_path, *rows).steps}
    assert reasons["b"] == "every step runs, each in its own process"
