"""Testing notebooks gives every result and an exit code, and prints nothing when it is told to be quiet."""

from __future__ import annotations

from pathlib import Path

import pytest

from nb2prod.core.errors import FindingsError, StoreError, UsageError
from nb2prod.core.result import TestResult
from nb2prod.stages.test import run_pytest
from tests.notebook_maker import Row, write_notebook

ROWS: list[Row] = [
    ("step:load", "rows = [1, 2]"),
    ("test:load", "def test_rows(): assert len(rows) == 2\ndef test_sum(): assert sum(rows) == 4"),
]


def brief(tests: tuple[TestResult, ...]) -> list[tuple[str, str]]:
    return [(test.id, test.outcome) for test in tests]


def test_every_result_comes_back_and_a_failed_test_is_exit_code_4(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path(tmp_path, "pytest.ini").write_text("[pytest]\naddopts = --no-such-option\n")
    Path(tmp_path, "conftest.py").write_text("import no_such_library")
    folder = tmp_path / "notebooks"
    folder.mkdir()
    write_notebook(folder / "n.ipynb", ROWS)
    tests, code = run_pytest([folder], junit=tmp_path / "out" / "j.xml", quiet=True)
    assert brief(tests) == [("load::test_rows", "passed"), ("load::test_sum", "failed")]
    assert (code, capfd.readouterr()) == (4, ("", ""))
    assert Path(tmp_path, "out", "j.xml").read_text().count("<testcase ") == 2


def test_a_notebook_whose_code_fails_is_exit_code_1(tmp_path: Path) -> None:
    notebook = write_notebook(tmp_path / "n.ipynb", [("step:load", "rows = 1 / 0"), ("test:load", "assert rows")])
    tests, code = run_pytest([notebook], quiet=True)
    assert (brief(tests), code) == ([("load::cell_1", "error")], 1)
    assert "ZeroDivisionError: division by zero" in tests[0].message


def test_a_wrong_parameter_is_told_by_every_test_and_is_exit_code_2(tmp_path: Path) -> None:
    notebook = write_notebook(tmp_path / "n.ipynb", [("parameters", "size = 3"), *ROWS])
    tests, code = run_pytest([notebook], parameters={"sise": "3"}, quiet=True)
    assert ([test.outcome for test in tests], code) == (["error", "error"], 2)


def test_what_is_selected_runs_with_the_given_parameters(tmp_path: Path) -> None:
    notebook = write_notebook(tmp_path / "n.ipynb", [("parameters", "size = 3"), *ROWS, ("test", "assert size == 3")])
    tests, code = run_pytest([notebook], select="cell_3", parameters={"size": "4"}, quiet=True)
    assert (brief(tests), code) == ([("pipeline::cell_3", "failed")], 4)
    assert "E   assert 4 == 3" in tests[0].message


def test_what_cannot_be_collected_is_raised(tmp_path: Path) -> None:
    notebook = write_notebook(tmp_path / "n.ipynb", [("step:load", "rows = [1"), ("test:load", "assert rows")])
    with pytest.raises(FindingsError, match="never closed"):
        run_pytest([notebook], quiet=True)
    with pytest.raises(StoreError, match="no such notebook"):
        run_pytest([tmp_path / "absent.ipynb"], quiet=True)


def test_no_test_is_no_success(tmp_path: Path) -> None:
    notebook = write_notebook(tmp_path / "n.ipynb", ROWS)
    untested = write_notebook(tmp_path / "untested.ipynb", ROWS[:1])
    with pytest.raises(UsageError, match="no test matches 'zebra'"):
        run_pytest([notebook], select="zebra", quiet=True)
    with pytest.raises(UsageError, match="there is no test"):
        run_pytest([untested], quiet=True)
