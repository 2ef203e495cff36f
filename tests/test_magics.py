"""The magics in real shells and kernels: a cell with one of them is an ordinary cell that says more."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from IPython.core.interactiveshell import InteractiveShell
from IPython.utils.capture import capture_output

from nb2prod.core.errors import UsageError
from nb2prod.magics import Wanted, parsed
from tests.live_kernel import LiveKernel
from tests.notebook_maker import write_notebook

HEAVY = ("mlflow", "sklearn", "pandas", "papermill", "nbformat", "numpy", "pytest", "rich", "nb2prod.api")
ROWS = [
    ("", "%load_ext nb2prod"),
    ("parameters", "n: int = 3  # how many"),
    ("step:make metric:total", "numbers = list(range(n))\ntotal = sum(numbers)"),
    ("test:make", "def test_total():\n    assert total == 3"),
    ("", "%pipeline run"),
]


@pytest.fixture
def shell() -> Iterator[InteractiveShell]:
    InteractiveShell.clear_instance()
    shell = InteractiveShell.instance()
    shell.extension_manager.load_extension("nb2prod")
    yield shell
    shell.extension_manager.loaded.discard("nb2prod")
    InteractiveShell.clear_instance()


@pytest.fixture(scope="module")
def kernel(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveKernel]:
    """A kernel whose notebook nobody knows."""
    with LiveKernel(tmp_path_factory.mktemp("kernel")) as kernel:
        kernel.run("%load_ext nb2prod")
        yield kernel


def test_loading_the_extension_loads_nothing_heavy() -> None:
    code = (
        "import sys; from IPython.core.interactiveshell import InteractiveShell as S; s = S.instance();"
        "s.run_cell('%load_ext nb2prod'); s.run_cell('%%step a\\nx = 1');"
        f"print([m for m in {HEAVY!r} if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


def test_the_magics_are_known_to_the_shell_once(shell: InteractiveShell) -> None:
    """Also after `%reload_ext`: IPython lists and documents them, and a step is reported once."""
    shell.run_line_magic("reload_ext", "nb2prod")
    magics = shell.magics_manager.lsmagic()
    assert {"parameters", "imports", "functions", "setup", "step", "test"} <= set(magics["cell"])
    assert "pipeline" in magics["line"]
    assert "--metric NAME" in magics["cell"]["step"].__doc__
    with capture_output() as said:
        shell.run_cell("%%step a\nx = 1", store_history=True)
    assert [str(output.data["text/plain"]).split(" · ")[0] for output in said.outputs] == ["step a"]


@pytest.mark.parametrize("role", ["parameters", "imports", "functions", "setup", "step a"])
def test_a_cell_binds_its_names_in_the_notebook(shell: InteractiveShell, role: str) -> None:
    with capture_output():
        result = shell.run_cell(f"%%{role}\nx = 41\nx + 1", store_history=True)
    assert (result.result, shell.user_ns["x"], shell.user_ns["_"]) == (42, 41, 42)


@pytest.mark.parametrize(
    ("cell", "says"),
    [
        ("%%step a --modle m\nx = 1", "did you mean --model?"),
        ("%%step\nx = 1", "needs a name"),
        ("%%parameters now\nx = 1", "does not take 'now'"),
        ("%%time\n%%step a\nx = 1", "%%step is not on the cell's first line"),
        ("%%step a\n\n%%test a\nx = 1", "%%test is not on the cell's first line"),
        ("%%test a b\nx = 1", "does not take 'b'"),
    ],
)
def test_bad_grammar_is_refused_before_anything_runs(shell: InteractiveShell, cell: str, says: str) -> None:
    with capture_output() as said:
        result = shell.run_cell(cell, store_history=True)
    assert isinstance(result.error_before_exec, UsageError)
    assert says in str(result.error_before_exec)
    assert "x" not in shell.user_ns
    assert "Traceback" not in said.stdout
    assert said.outputs == []


def test_a_step_may_be_empty_and_may_stand_below_empty_lines(shell: InteractiveShell) -> None:
    with capture_output() as said:
        assert shell.run_cell("%%step a", store_history=True).success
        assert shell.run_cell("\n\n%%step b\ny = 1", store_history=True).success
    assert [str(o.data["text/plain"]).split(" ·")[0] for o in said.outputs] == ["step a", "step b"]


def test_a_person_who_types_a_step_ends_it_with_an_empty_line(shell: InteractiveShell) -> None:
    """In a terminal: as for every cell magic of IPython."""
    assert shell.check_complete("%%step a")[0] == "incomplete"
    assert shell.check_complete("%%step a\nx = 1\n")[0] == "complete" or shell.check_complete("%%step a\nx = 1\n\n")[0]


def test_the_last_expression_is_displayed_and_the_step_reported_below(kernel: LiveKernel) -> None:
    """Nothing goes to stdout that the cell did not print itself."""
    said = kernel.run("%%step make --metric total\nnumbers = [1, 2, 3]\nprint('hello')\ntotal = sum(numbers)\ntotal")
    assert [kind for kind, _ in said.shown] == ["execute_result", "display_data"]
    assert said.texts[0] == "6"
    assert re.sub(r"\d+ ms", "N ms", said.texts[1]) == "step make · N ms · wrote numbers list of 3 · total 6"
    assert "text/html" in said.shown[1][1]
    assert said.streams == [("stdout", "hello\n")]


def test_an_error_is_the_notebooks_own_with_the_line_of_the_cell(kernel: LiveKernel) -> None:
    said = kernel.run("%%step boom\nx = 1\n1 / 0")
    assert said.error == "ZeroDivisionError: division by zero"
    assert re.search(r"Cell In\[\d+\], line 3\n", said.traceback)
    assert "----> 3 1/0" in said.traceback.replace("1 / 0", "1/0")
    assert "nb2prod" not in said.traceback
    assert [text.split(" after")[0] for text in said.texts] == ["step boom · failed"]


def test_await_and_other_magics_work_in_a_step(kernel: LiveKernel) -> None:
    said = kernel.run(
        "%%step later\nimport asyncio\nawait asyncio.sleep(0)\nfiles = !echo one\n%env NB2PROD_T=5\nfiles"
    )
    assert said.error == ""
    assert said.texts[0] == "['one']"
    timed = kernel.run("%%step timed\n\n%%time\nq = 6 * 7\nq")
    assert (timed.error, timed.texts[0]) == ("", "42")
    assert timed.texts[1].endswith("wrote q 42")


def test_an_object_that_refuses_everything_does_not_disturb_its_cell(kernel: LiveKernel) -> None:
    source = (
        "%%step odd\nclass Odd:\n    def __getattribute__(self, name): raise SystemExit\n"
        "    def __repr__(self): raise SystemExit\nodd = Odd()"
    )
    said = kernel.run(source)
    assert (said.error, said.streams) == ("", [])
    assert said.texts[0].endswith("wrote odd Odd · defined Odd")
    kernel.run("del odd")


def test_no_value_of_the_notebook_is_kept(kernel: LiveKernel) -> None:
    kernel.run("%%step big\nimport weakref\nclass Big: pass\nbig = Big()\nref = weakref.ref(big)")
    assert kernel.run("del big\nimport gc; _ = gc.collect()\nref() is None").texts == ["True"]


def test_tests_run_in_the_notebook_and_a_failing_one_stops_it(kernel: LiveKernel) -> None:
    """The report is shown; the error below it is one line, with which "Run all" stops."""
    kernel.run("%%step make\ntotal = 6")
    good = kernel.run("%%test make\ndef test_good():\n    assert total == 6")
    assert (good.error, good.texts[0].splitlines()[0]) == ("", "1 passed")
    bad = kernel.run("%%test make\ndef test_bad():\n    assert total == 7")
    assert re.search(r"Cell In\[\d+\], line 3, in test_bad", bad.texts[0])
    assert bad.traceback == "TestsFailed: 1 of 1 tests failed: make::test_bad"


def test_without_a_file_the_pipeline_is_made_of_the_cells_that_ran(tmp_path: Path) -> None:
    """By id, the last text of each; the note below says where it comes from, and nothing is left behind."""
    with LiveKernel(tmp_path) as kernel:
        kernel.run("%load_ext nb2prod", "0")
        kernel.run("%%parameters\nn: int = 3", "1")
        kernel.run("%%step load\nrows = [1] * n", "2")
        kernel.run("%%step train\nmodel = sum(rows)", "3")
        kernel.run("%%step load\ntable = [1] * n", "2")
        kernel.run("%%step train\nmodel = sum(table)", "3")
        drawn = kernel.run("%pipeline", "4")
        assert "│ table" in drawn.texts[0]
        assert "rows" not in drawn.texts[0]
        assert drawn.shown[0][1]["image/svg+xml"].startswith("<svg")
        assert "made of the cells that ran" in drawn.texts[1]
        checked = kernel.run("%pipeline check", "4")
        assert "cell 1: step load has no test [untested-step]" in checked.texts[0]
        assert "<table" in checked.shown[0][1]["text/html"]
        kernel.run("%%test train\ndef test_sum():\n    assert model == 3", "5")
        tested = kernel.run("%pipeline test", "4")
        assert "✓ train::test_sum" in "\n".join(tested.texts)
    assert sorted(path.name for path in tmp_path.glob("*.ipynb")) == []


def test_a_cell_that_differs_from_the_saved_file_is_refused(tmp_path: Path) -> None:
    """Until the file is saved again: then what the file says counts, and that it was edited is said."""
    path = write_notebook(tmp_path / "some.ipynb", ROWS)
    with LiveKernel(tmp_path, JPY_SESSION_NAME=str(path)) as kernel:
        kernel.run(ROWS[0][1], "cell-0")
        kernel.run(ROWS[1][1], "cell-1")
        assert "│ make  cell 2" in kernel.run("%pipeline", "new").texts[0]
        kernel.run("numbers = 'edited, and not saved'", "cell-2")
        refused = kernel.run("%pipeline", "new")
        assert refused.shown == []
        assert "cell 2, In[4] differs from the saved file" in refused.traceback
        assert "save the notebook (Ctrl+S) and run this cell again" in refused.traceback
        write_notebook(path, [*ROWS[:2], ("step:make", "numbers = 'edited, and saved, not run again'")])
        assert "edited since it ran: cell 2, In[4]" in kernel.run("%pipeline check", "new").texts[-1]


def test_a_new_cell_that_is_not_saved_is_refused_unless_it_was_deleted(tmp_path: Path) -> None:
    path = write_notebook(tmp_path / "some.ipynb", ROWS)
    with LiveKernel(tmp_path, JPY_SESSION_NAME=str(path)) as kernel:
        kernel.run(ROWS[0][1], "cell-0")
        kernel.run("new = 1", "unsaved")
        assert "In[2] differs from the saved file" in kernel.run("%pipeline", "p").traceback
        assert kernel.run("%pipeline", "p", deletedCells=["unsaved"]).error == ""


def test_the_saved_notebook_runs_in_a_new_kernel_and_not_in_a_circle(tmp_path: Path) -> None:
    """`%pipeline run` of a notebook that has `%pipeline run` in it: there it is left out."""
    path = write_notebook(tmp_path / "some.ipynb", ROWS)
    with LiveKernel(tmp_path, JPY_SESSION_NAME=str(path)) as kernel:
        kernel.run(ROWS[0][1], "cell-0")
        said = kernel.run(ROWS[4][1], "cell-4")
        assert said.error == ""
        assert re.search(r"finished  make  .* total 3", "\n".join(said.texts))
        assert kernel.run("'numbers' in dir()").texts == ["False"]
    executed = json.loads(next(tmp_path.glob("runs/*/some.ipynb")).read_text(encoding="utf-8"))
    assert "left out in a headless run" in json.dumps(executed["cells"][4]["outputs"])


def test_findings_that_are_errors_are_shown_instead_of_a_run(tmp_path: Path) -> None:
    path = write_notebook(tmp_path / "some.ipynb", [("step:a", "x = nowhere")])
    with LiveKernel(tmp_path) as kernel:
        kernel.run("%load_ext nb2prod")
        said = kernel.run(f"%pipeline run --notebook {path.name}")
        assert "nowhere" in said.texts[0]
        assert said.error.startswith("FindingsError: 1 of the findings")
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize(
    ("line", "wanted"),
    [
        ("", Wanted()),
        ("check  # all", Wanted("check")),
        ("package out", Wanted("package", "out")),
        ("run --notebook 'a b.ipynb'", Wanted("run", "", Path("a b.ipynb"))),
    ],
)
def test_the_words_of_the_line_magic(line: str, wanted: Wanted) -> None:
    assert parsed(line) == wanted


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("chekc", "did you mean check?"),
        ("draw it", "one of check"),
        ("run now", "'now'"),
        ("--notebook", "needs a path"),
    ],
)
def test_words_that_nobody_knows_are_refused(line: str, says: str) -> None:
    with pytest.raises(UsageError, match=re.escape(says)):
        parsed(line)


def test_the_interrupt_of_a_headless_run_reaches_it(tmp_path: Path) -> None:
    """Interrupting the cell ends the run, and the notebook's own kernel answers as before."""
    source = "import time\nopen('started', 'w').close()\ntime.sleep(300)"
    path = write_notebook(tmp_path / "some.ipynb", [("step:wait", source)])
    interrupt = (
        "import threading, time, os, signal, pathlib\n"
        "def stop():\n    while not pathlib.Path('started').exists(): time.sleep(0.1)\n"
        "    os.kill(os.getpid(), signal.SIGINT)\n"
        "threading.Thread(target=stop, daemon=True).start()"
    )
    with LiveKernel(tmp_path, JPY_SESSION_NAME=str(path)) as kernel:
        kernel.run("%load_ext nb2prod")
        kernel.run(f"# not in the file\nexec({interrupt!r})", "gone")
        said = kernel.run("%pipeline run", "p", deletedCells=["gone"])
        assert said.traceback == "NotebookFailed: step wait, cell 0: ended by SIGINT"
        assert kernel.run("6 * 7").texts == ["42"]


def test_the_child_process_gets_no_variable_that_is_the_kernels_own() -> None:
    from nb2prod.kernel.live_run import INLINE, environment

    own = {"MPLBACKEND": INLINE, "JPY_SESSION_NAME": "/x.ipynb", "HOME": "/h"}
    assert environment(own) == {"HOME": "/h"}
    assert environment({"MPLBACKEND": "agg"}) == {"MPLBACKEND": "agg"}
    assert os.environ is not environment(os.environ)
