"""A test cell means what pytest makes of it, says what failed in terms of the cell, and leaves the notebook alone."""

from __future__ import annotations

import asyncio
import os
import random
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nbformat
import numpy as np
import pandas as pd
import pytest
from nbclient import NotebookClient
from nbformat.v4 import new_code_cell, new_notebook

from nb2prod.core.result import TestResult
from nb2prod.kernel.cell_tests import run_tests, show
from nb2prod.kernel.untouched import Watched, reachable, restoring

NOTEBOOK = """
import pandas as pd
import pytest

df = pd.DataFrame({"a": [1, 2, 3]})
auc = 0.47
counter = 0
options = {"depth": 3}
test_frame = lambda: 1

def grow():
    global counter, fresh
    counter += 1
    fresh = True

def spoil():
    options["depth"] += 1

@pytest.fixture
def shared():
    return 7
"""

Run = Callable[..., list[TestResult]]


@pytest.fixture
def namespace() -> dict[str, Any]:
    names: dict[str, Any] = {"__name__": "__main__"}
    exec(NOTEBOOK, names)
    return names


@pytest.fixture
def run(namespace: dict[str, Any], tmp_path: Path) -> Run:
    def run(body: str, cell: int = 12, line_offset: int = 1) -> list[TestResult]:
        place = {"notebook": tmp_path / "mortgage.ipynb", "folder": tmp_path}
        return run_tests(body, namespace, cell=cell, step="train", line_offset=line_offset, **place)

    return run


def outcomes(results: list[TestResult]) -> dict[str, str]:
    return {result.id.removeprefix("train::"): result.outcome for result in results}


# -- what a test comes to ---------------------------------------------------------------------------------------------

CASES: list[tuple[str, dict[str, str]]] = [
    ("def test_a(): assert auc < 0.5", {"test_a": "passed"}),
    ("def test_a(): assert auc > 0.5", {"test_a": "failed"}),
    ("assert auc < 0.5", {"cell_12": "passed"}),
    ("assert auc > 0.5", {"cell_12": "failed"}),
    ("assert auc > 0.5\nlimit = 3\ndef test_a(): assert limit == 3", {"cell_12": "failed", "test_a": "passed"}),
    ("limit = 1 / 0\nassert limit\ndef test_a(): pass", {"cell_12": "failed", "test_a": "error"}),
    ("import pytest\ndef test_a(): pytest.skip('no')", {"test_a": "skipped"}),
    ("import pytest\npytest.skip('no')\ndef test_a(): pass", {"test_a": "skipped"}),
    ("import pytest\npytest.skip('no')", {"cell_12": "skipped"}),
    ("import pytest\n@pytest.mark.xfail\ndef test_a(): assert 0", {"test_a": "passed"}),
    ("import pytest\n@pytest.mark.xfail(strict=True)\ndef test_a(): pass", {"test_a": "failed"}),
    ("import pytest\npytestmark = pytest.mark.skip(reason='no')\ndef test_a(): assert 0", {"test_a": "skipped"}),
    ("def test_a(nothing): pass", {"test_a": "error"}),
    ("import pytest\n@pytest.fixture\ndef f():\n  yield\n  1 / 0\ndef test_a(f): pass", {"test_a": "error"}),
    ("def test_a(shared): assert shared == 7", {"test_a": "passed"}),
    ("import pytest\n@pytest.mark.parametrize('x', [1, 2])\ndef test_a(x): assert x == 1", {"test_a": "failed"}),
    ("import pytest\n@pytest.mark.parametrize('y', [1])\ndef test_a(): pass", {"test_a": "error"}),
    ("class TestX:\n  def test_y(self, tmp_path): assert tmp_path.is_dir()", {"TestX::test_y": "passed"}),
    ("class TestX:\n  def __init__(self): pass\n  def test_y(self): pass", {"TestX::test_y": "error"}),
    (
        "import unittest\nclass X(unittest.TestCase):\n  def test_y(self): self.assertEqual(1, 2)",
        {"X::test_y": "failed"},
    ),
    ("def test_a(subtests):\n  with subtests.test(): assert 0", {"test_a": "failed"}),
    ("def test_a(): raise SystemExit(0)", {"test_a": "failed"}),
    ("def test_a(): pass\ndef test_a(): pass", {"test_a": "error"}),
    ("if auc > 1:\n  def test_a(): pass", {"test_a": "skipped"}),
    ("import pytest\ndef test_a(): pytest.exit('bye')\ndef test_b(): pass", {"test_a": "error", "test_b": "error"}),
    ("test_a = lambda: 1 / 0\ndef test_b(): pass", {"test_b": "passed", "test_a": "failed"}),
    ("def test_a(:", {"cell_12": "error"}),
    ("await something", {"cell_12": "error"}),
    ("limit = 3", {}),
]


@pytest.mark.parametrize(("body", "expected"), CASES)
def test_each_test_function_has_one_outcome(run: Run, body: str, expected: dict[str, str]) -> None:
    results = run(body)
    assert outcomes(results) == expected
    assert [bool(result.message) for result in results] == [result.outcome != "passed" for result in results]


def test_a_failure_shows_the_line_of_the_cell_and_the_difference(run: Run) -> None:
    (result,) = run('def test_names(shared):\n    print("seen")\n    assert list(df) == ["a", "b"]')
    assert result.message.splitlines()[:7] == [
        "cell 12, line 4, in test_names",
        '    assert list(df) == ["a", "b"]',
        "E   AssertionError: assert ['a'] == ['a', 'b']",
        "E",
        "E     Right contains one more item: 'b'",
        "E",
        "E     Full diff: (-: missing in left side, +: extra in left side)",
    ]
    assert result.message.splitlines()[-2:] == ["--- stdout call ---", "seen"]
    assert (result.step, result.cell, result.line) == ("train", 12, 2)


def test_a_bare_assert_shows_its_values_too(run: Run) -> None:
    (result,) = run("limit = 0.5\nassert auc > limit, 'no better than chance'")
    assert result.message == (
        "cell 12, line 3\n    assert auc > limit, 'no better than chance'\n"
        "E   AssertionError: no better than chance\nE   assert 0.47 > 0.5"
    )


def test_the_failing_cases_of_a_parametrized_test_are_listed(run: Run) -> None:
    body = "import pytest\n@pytest.mark.parametrize('x', [1, 2, 3])\ndef test_odd(x): assert x % 2"
    (result,) = run(body)
    assert result.message.startswith("1 of 3 cases failed\n\n[2]\ncell 12, line 4, in test_odd\n")
    assert "[1]" not in result.message


def test_what_a_skipped_test_says_is_its_reason(run: Run) -> None:
    (result,) = run("import pytest\n@pytest.mark.skip(reason='no gpu')\ndef test_a(): pass")
    assert result.message == "no gpu"


def test_a_missing_fixture_is_named_with_those_that_there_are(run: Run) -> None:
    (result,) = run("def test_a(nothing): pass")
    assert "fixture 'nothing' not found" in result.message
    assert " shared," in result.message
    assert result.message.startswith("cell 12, line 2\n")


def test_an_endless_message_is_cut(run: Run) -> None:
    (result,) = run("def test_a():\n    print('x' * 100_000)\n    assert 0")
    assert len(result.message) < 9_000
    assert result.message.endswith("more characters")


# -- what is around it ------------------------------------------------------------------------------------------------


def test_fixtures_and_hooks_of_the_notebooks_folder_serve_and_follow_edits(run: Run, tmp_path: Path) -> None:
    conftest = tmp_path / "conftest.py"
    for value in (5, 6):
        conftest.write_text(
            f"import pytest\n@pytest.fixture\ndef number(): return {value}\n"
            "@pytest.fixture(autouse=True)\ndef environment(monkeypatch): monkeypatch.setenv('FROM_CONFTEST', 'yes')\n"
            "def pytest_runtest_setup(item): print('set up by a hook')"
        )
        (result,) = run("def test_a(number):\n    import os\n    assert (number, os.environ['FROM_CONFTEST']) == 0")
        assert f"assert ({value}, 'yes') == 0" in result.message
        assert "set up by a hook" in result.message
    assert sorted(path.name for path in tmp_path.iterdir()) == ["conftest.py"]


def test_a_conftest_that_cannot_be_imported_is_an_error_of_every_test(run: Run, tmp_path: Path) -> None:
    Path(tmp_path, "conftest.py").write_text("import no_such_library")
    results = run("def test_a(): pass\ndef test_b(): pass")
    assert outcomes(results) == {"test_a": "error", "test_b": "error"}
    assert "No module named 'no_such_library'" in results[0].message


def test_the_configuration_of_the_project_around_has_no_say(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Path(tmp_path, "pytest.ini").write_text("[pytest]\naddopts = --no-such-option\nrequired_plugins = no-such-plugin\n")
    Path(tmp_path, "test_other.py").write_text("def test_other(): assert 0")
    monkeypatch.setenv("PYTEST_ADDOPTS", "--no-such-option")
    assert outcomes(run("def test_a(): pass")) == {"test_a": "passed"}
    assert os.environ["PYTEST_ADDOPTS"] == "--no-such-option"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["pytest.ini", "test_other.py"]


def test_a_folder_whose_name_means_something_to_pytest_is_just_a_folder(
    namespace: dict[str, Any], tmp_path: Path
) -> None:
    folder = tmp_path / "data [v2]" / "-x"
    folder.mkdir(parents=True)
    Path(folder, "conftest.py").write_text("import pytest\n@pytest.fixture\ndef five(): return 5")
    for notebook in (folder / "there.ipynb", folder / "absent.ipynb"):
        Path(folder, "there.ipynb").touch()
        results = run_tests(
            "def test_a(five): assert five == 5",
            namespace,
            cell=1,
            step=None,
            line_offset=0,
            notebook=notebook,
            folder=folder,
        )
        assert [(result.id, result.outcome) for result in results] == [("pipeline::test_a", "passed")]


def test_nothing_is_printed(run: Run, capfd: pytest.CaptureFixture[str]) -> None:
    run("print('a')\nassert 0\ndef test_a():\n    print('b')\n    assert 0")
    assert capfd.readouterr() == ("", "")


def test_a_test_may_run_an_event_loop_while_one_is_running(run: Run) -> None:
    async def inside() -> tuple[dict[str, str], bool]:
        found = outcomes(run("import asyncio\ndef test_a(): assert asyncio.run(asyncio.sleep(0, 3)) == 3"))
        await asyncio.sleep(0)
        return found, asyncio.get_event_loop().is_running()

    assert asyncio.run(inside()) == ({"test_a": "passed"}, True)


def test_an_interrupt_interrupts(run: Run) -> None:
    with pytest.raises(KeyboardInterrupt):
        run("def test_a(): raise KeyboardInterrupt")
    assert outcomes(run("def test_a(): pass")) == {"test_a": "passed"}


# -- the notebook stays as it was -------------------------------------------------------------------------------------


def test_names_of_a_test_cell_do_not_reach_the_notebook(run: Run, namespace: dict[str, Any]) -> None:
    before = dict(namespace)
    run("import json\nlimit = auc = 3\ndef test_a(): grow()\ndef test_b(): assert counter == 0")
    assert namespace.keys() == before.keys()
    assert all(namespace[name] is before[name] for name in before)


def test_the_random_streams_go_on_as_if_there_were_no_test(run: Run) -> None:
    random.seed(1)
    np.random.seed(1)
    expected = random.Random(1).random(), np.random.RandomState(1).random()
    run("import random, numpy as np\nrandom.random()\ndef test_a(): assert np.random.random() + random.random() >= 0")
    assert (random.random(), np.random.random()) == expected


def test_environment_and_folder_are_put_back(run: Run) -> None:
    before = dict(os.environ), Path.cwd(), list(sys.path)
    run("import os, sys\ndef test_a():\n    os.environ['NEW'] = '1'\n    os.chdir('/')\n    sys.path.append('/x')")
    assert (dict(os.environ), Path.cwd(), list(sys.path)) == before


IN_PLACE: list[tuple[str, dict[str, str]]] = [
    ("def test_a(): df['b'] = 1\ndef test_b(): assert 'a' in df", {"test_a": "df"}),
    ("def test_a(): assert 'a' in df\ndef test_b(): df.loc[0, 'a'] = 9", {"test_b": "df"}),
    ("def test_a(): spoil()\ndef test_b(): assert options", {"test_a": "options"}),
    ("def helper(d): d['x'] = 1\ndef test_a(): helper(options)", {"test_a": "options"}),
    ("import pytest\n@pytest.fixture\ndef f(): options.clear()\ndef test_a(f): pass", {"test_a": "options"}),
    ("options['x'] = 1\nassert options\ndef test_a(): assert options", {"cell_12": "options"}),
    ("options['x'] = 1\ndef test_a(): assert options", {"test_a": "options"}),
    ("def test_a(): df2 = df.copy(); df2['b'] = 1", {}),
    ("def test_a(): df = {}; df['b'] = 1", {}),
]


@pytest.mark.parametrize(("body", "expected"), IN_PLACE)
def test_a_test_that_changes_a_value_of_the_notebook_fails(run: Run, body: str, expected: dict[str, str]) -> None:
    said = {result.id.removeprefix("train::"): result.message for result in run(body) if result.outcome == "failed"}
    assert said == {
        test: f"changes `{name}` in place, which the notebook would then go on with: copy it first"
        for test, name in expected.items()
    }


def test_what_is_compared_once_a_cell_is_blamed_on_every_test_that_can_reach_it(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("nb2prod.kernel.untouched.CHEAP", 0.0)
    results = run("def test_a(): df['b'] = 1\ndef test_b(): assert 'a' in df\ndef test_c(): assert auc")
    assert outcomes(results) == {"test_a": "failed", "test_b": "failed", "test_c": "passed"}
    assert results[1].message.endswith("(one of these: train::test_a, train::test_b)")


def test_a_value_without_a_digest_is_not_accused() -> None:
    def digest(value: Any) -> str:
        raise TypeError("a generator")

    watched = Watched({"stream": iter([1])}, digest)
    assert (watched.names, watched.changed(["stream"])) == (frozenset(), ())


def test_names_are_followed_through_the_notebooks_functions(namespace: dict[str, Any]) -> None:
    found = reachable(["test_a"], {"test_a": frozenset({"spoil", "pd"})}, namespace)
    assert found == {"test_a", "spoil", "options", "pd"}


def test_figures_that_a_test_opens_are_closed() -> None:
    plt = pytest.importorskip("matplotlib.pyplot")
    with restoring({}):
        plt.figure()
    assert plt.get_fignums() == []


# -- shown ------------------------------------------------------------------------------------------------------------


def test_results_are_shown_as_text_and_as_html_with_what_failed_escaped(run: Run) -> None:
    shown = show(run("def test_a(): pass\ndef test_b(): assert '<script>' == 'x'"))
    assert repr(shown).startswith("1 passed, 1 failed\n✓ train::test_a")
    html = shown._repr_html_()
    assert "<script>" not in html
    assert "<details open>" in html
    assert "&lt;script&gt;" in html


def test_no_results_say_so() -> None:
    assert repr(show([])) == "no tests"


# -- in a kernel ------------------------------------------------------------------------------------------------------

BODY = """
def test_clean(five):
    assert clean(five) == 3
def test_output(capsys):
    print("a")
    assert capsys.readouterr().out == "a\\\\n"
def test_loop():
    import asyncio
    assert asyncio.run(asyncio.sleep(0, 3)) == 3
def test_question():
    input("?")
assert clean(1) == [1]
"""
CALL = """
from pathlib import Path
from nb2prod.kernel.cell_tests import run_tests, show
place = dict(notebook=Path("nb.ipynb").absolute(), folder=Path.cwd())
for _ in range(3):
    results = run_tests('''{body}''', get_ipython().user_ns, cell=3, step="prep", line_offset=0, **place)
show(results)
"""


def test_the_same_in_a_kernel_with_its_running_loop(tmp_path: Path) -> None:
    Path(tmp_path, "conftest.py").write_text("import pytest\n@pytest.fixture\ndef five(): return 5")
    cells = ["def clean(x):\n    return x / 0", CALL.format(body=BODY), "import asyncio\nawait asyncio.sleep(0)\n1"]
    notebook = new_notebook(cells=[new_code_cell(cell) for cell in cells])
    NotebookClient(notebook, kernel_name="python3", resources={"metadata": {"path": str(tmp_path)}}).execute()
    (output,) = notebook.cells[1].outputs
    text = output["data"]["text/plain"]
    signs = [line.split()[:2] for line in text.splitlines() if line[0] in "✓✗"]
    assert signs == [
        ["✗", "prep::test_clean"],
        ["✓", "prep::test_output"],
        ["✓", "prep::test_loop"],
        ["✗", "prep::test_question"],
        ["✗", "prep::cell_3"],
    ]
    assert "    In[1], line 2, in clean\n        return x / 0\n" in text
    assert notebook.cells[2].outputs == [
        nbformat.v4.new_output("execute_result", data={"text/plain": "1"}, execution_count=3)
    ]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["conftest.py"]


def test_a_frame_is_compared_by_content(run: Run, namespace: dict[str, Any]) -> None:
    """Reading a frame in ways that fill its caches is no change."""
    namespace["df"] = pd.DataFrame({"a": range(1000), "b": ["x"] * 1000})
    assert outcomes(run("def test_a(): assert df.index.is_unique and len(df.groupby('b')) and df.T.shape")) == {
        "test_a": "passed"
    }
