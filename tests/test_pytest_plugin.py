"""`pytest NOTEBOOK` reports one item for each test of the notebook, from one headless run, and never surprises."""

from __future__ import annotations

import hashlib
import subprocess
import sys
import xml.etree.ElementTree as ET
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.notebook_maker import Row, write_notebook

GOOD: list[Row] = [
    ("md", "# Scores"),
    ("parameters", "alpha: float = 0.5"),
    (
        "step:load",
        "from pathlib import Path\nwith Path('RUNS').open('a') as file:\n    file.write('run\\n')\nrows = [1, 2, 3]",
    ),
    (
        "test:load",
        "def test_rows():\n    assert len(rows) == 3\n\nclass TestScore:\n    def test_half(self):\n"
        "        assert alpha == 0.5\n\ndef test_gpu():\n    import pytest\n    pytest.skip('no gpu')",
    ),
    ("step:train", "model = sum(rows)"),
    ("test:train", "assert model == 7\ntest_made = lambda: 1 / 0"),
    ("test", "def test_all(nothing): pass"),
]
BROKEN: list[Row] = [
    ("step:load", "rows = [1]"),
    ("test:load", "def test_rows(): assert rows"),
    ("step:train", "best = max(rows)\nbest = rows[3]"),
    ("test:train", "def test_best(): assert best"),
]


@dataclass(frozen=True)
class Said:
    code: int
    text: str

    @property
    def reported(self) -> dict[str, str]:
        """`{"good.ipynb::load::test_rows": "PASSED"}`"""
        words = [line.split() for line in self.text.splitlines() if ".ipynb::" in line and line.endswith("%]")]
        return {line[0]: line[1] for line in words}

    @property
    def collected(self) -> list[str]:
        return [line for line in self.text.splitlines() if "::" in line]


def run_pytest(folder: Path, *arguments: str) -> Said:
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *arguments]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    return Said(done.returncode, done.stdout + done.stderr)


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("project")
    runs = str(folder / "runs.txt")
    write_notebook(folder / "good.ipynb", [(tags, source.replace("RUNS", runs)) for tags, source in GOOD])
    write_notebook(folder / "broken.ipynb", BROKEN)
    return folder


@pytest.fixture(scope="module")
def both(project: Path) -> tuple[Said, str]:
    before = hashlib.sha256((project / "good.ipynb").read_bytes()).hexdigest()
    return run_pytest(project, "-v", "-rs", "good.ipynb", "broken.ipynb", "--junit-xml=junit.xml"), before


def test_each_test_function_is_one_item_with_its_own_outcome(both: tuple[Said, str]) -> None:
    assert both[0].reported == {
        "good.ipynb::load::test_rows": "PASSED",
        "good.ipynb::load::TestScore::test_half": "PASSED",
        "good.ipynb::load::test_gpu": "SKIPPED",
        "good.ipynb::train::cell_5": "FAILED",
        "good.ipynb::train::test_made": "FAILED",
        "good.ipynb::pipeline::test_all": "ERROR",
        "broken.ipynb::load::test_rows": "PASSED",
        "broken.ipynb::train::test_best": "ERROR",
    }
    assert both[0].code == 1
    assert "3 passed" in both[0].text


def test_the_notebook_is_run_once_and_left_as_it_was(both: tuple[Said, str], project: Path) -> None:
    assert (project / "runs.txt").read_text() == "run\n"
    assert hashlib.sha256((project / "good.ipynb").read_bytes()).hexdigest() == both[1]
    assert sorted(path.name for path in project.iterdir()) == ["broken.ipynb", "good.ipynb", "junit.xml", "runs.txt"]


def test_a_failure_says_what_the_cell_says_and_nothing_of_the_plugin(both: tuple[Said, str]) -> None:
    text = both[0].text
    assert " train::cell_5 (cell 5, line 1) " in text
    assert "cell 5, line 1\n    assert model == 7\nE   assert 6 == 7\n" in text
    assert "fixture 'nothing' not found" in text
    assert "pytest_plugin.py" not in text


def test_a_test_after_the_failing_cell_names_step_cell_line_and_message(both: tuple[Said, str]) -> None:
    expected = "the notebook failed before this test: step train, cell 2, line 2: IndexError: list index out of range"
    assert expected in both[0].text


def test_junit_has_one_testcase_per_item(both: tuple[Said, str], project: Path) -> None:
    cases = list(ET.parse(project / "junit.xml").getroot().iter("testcase"))
    found = {(case.get("classname"), case.get("name")): [child.tag for child in case] for case in cases}
    assert len(cases) == 8
    assert found == {
        ("good.ipynb.load", "test_rows"): [],
        ("good.ipynb.load.TestScore", "test_half"): [],
        ("good.ipynb.load", "test_gpu"): ["skipped"],
        ("good.ipynb.train", "cell_5"): ["failure"],
        ("good.ipynb.train", "test_made"): ["failure"],
        ("good.ipynb.pipeline", "test_all"): ["error"],
        ("broken.ipynb.load", "test_rows"): [],
        ("broken.ipynb.train", "test_best"): ["error"],
    }


def test_an_unknown_parameter_is_an_error_of_the_tests_and_nothing_runs(project: Path) -> None:
    said = run_pytest(project, "-x", "good.ipynb::train", "--nb2prod-parameter", "alpa=0.7")
    assert "did you mean alpha" in said.text
    assert "1 error" in said.text


def test_a_parameter_without_a_value_is_wrong_usage(project: Path) -> None:
    said = run_pytest(project, "good.ipynb", "--nb2prod-parameter", "alpha")
    assert (said.code, "write it as NAME=VALUE" in said.text) == (4, True)


def test_node_ids_select_steps_classes_and_tests(project: Path) -> None:
    said = run_pytest(project, "--collect-only", "-q", "good.ipynb::load::TestScore", "broken.ipynb::train::test_best")
    assert said.collected == ["good.ipynb::load::TestScore::test_half", "broken.ipynb::train::test_best"]


def test_notebooks_in_folders_are_left_alone_unless_asked_for(project: Path) -> None:
    assert run_pytest(project, "--collect-only", "-q").collected == []
    assert len(run_pytest(project, "--collect-only", "-q", "-o", "nb2prod=true").collected) == 7


def test_a_notebook_that_cannot_be_trusted_is_a_collection_error_with_its_reason(tmp_path: Path) -> None:
    write_notebook(
        tmp_path / "findings.ipynb", [("step:load", "rows = [1"), ("test:load", "def test_rows(): assert rows")]
    )
    write_notebook(tmp_path / "untested.ipynb", [("", "rows = [1")])
    (tmp_path / "list.ipynb").write_text("[]")
    said = run_pytest(tmp_path, "-q", "--nb2prod")
    assert said.code == 2
    assert "cell 0, line 1: the cell is no valid Python: '[' was never closed [syntax]" in said.text
    assert "not a notebook: its top level is a list, not an object" in said.text
    assert "2 errors" in said.text
    assert "Traceback" not in said.text
    assert "untested" not in said.text


def test_tests_that_two_cells_name_alike_are_two_items(tmp_path: Path) -> None:
    rows: list[Row] = [("step:load", "rows = [1]"), *[("test:load", "def test_rows(): assert rows")] * 2]
    write_notebook(tmp_path / "twice.ipynb", rows)
    said = run_pytest(tmp_path, "--collect-only", "-q", "twice.ipynb")
    assert said.collected == ["twice.ipynb::load::test_rows[cell 1]", "twice.ipynb::load::test_rows[cell 2]"]


def test_starting_pytest_loads_nothing_but_the_plugin() -> None:
    code = (
        "import sys, pytest, nb2prod\nbefore = set(sys.modules)\nimport nb2prod.pytest_plugin\n"
        "print(sorted(set(sys.modules) - before))"
    )
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert said.strip() == "['nb2prod.pytest_plugin']"
