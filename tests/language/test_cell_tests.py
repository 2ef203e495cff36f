"""The tests of a cell are found in its source, and they are those that pytest finds by importing it."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nb2prod.core.pipeline import NotebookTest
from nb2prod.language.cell_tests import collect, definitions, identify, reads

PARSE = ast.parse

# source, the tests' names in the order of their lines; all of these pytest can import
MODULES: list[tuple[str, list[str]]] = [
    ("def test_a(): pass\ndef helper(): pass\ndef test_b(): pass", ["test_a", "test_b"]),
    ("async def test_a(): pass", ["test_a"]),
    ("import pytest\n@pytest.fixture\ndef test_data(): pass\ndef test_a(test_data): pass", ["test_a"]),
    ("import pytest\n@pytest.fixture(scope='module')\ndef testing(): pass\ndef test_a(): pass", ["test_a"]),
    ("import pytest\n@pytest.mark.parametrize('x', [1, 2])\ndef test_a(x): pass", ["test_a"]),
    ("class TestX:\n  def test_y(self): pass\n  def other(self): pass", ["TestX::test_y"]),
    ("class Other:\n  def test_y(self): pass\ndef test_a(): pass", ["test_a"]),
    ("class TestX:\n  class TestY:\n    def test_z(self): pass", ["TestX::TestY::test_z"]),
    ("class TestX:\n  __test__ = False\n  def test_y(self): pass\ndef test_a(): pass", ["test_a"]),
    (
        "class Base:\n  def test_b(self): pass\nclass TestX(Base):\n  def test_y(self): pass",
        ["TestX::test_b", "TestX::test_y"],
    ),
    ("class Base:\n  def test_b(self): pass\nclass TestX(Base):\n  def test_b(self): pass", ["TestX::test_b"]),
    ("from unittest import TestCase\nclass Scores(TestCase):\n  def test_y(self): pass", ["Scores::test_y"]),
    ("if True:\n  def test_a(): pass\nelse:\n  def test_b(): pass", ["test_a", "test_b"]),
    ("def test_a():\n  def test_inner(): pass", ["test_a"]),
]


@pytest.mark.parametrize(("source", "names"), MODULES)
def test_test_functions_and_methods_are_found_without_running_the_cell(source: str, names: list[str]) -> None:
    assert [test.id for test in collect(source, cell=3, step="train")] == [f"train::{name}" for name in names]


def test_what_is_found_is_what_pytest_finds(tmp_path: Path) -> None:
    expected = set()
    for number, (source, names) in enumerate(MODULES):
        Path(tmp_path, f"test_m{number}.py").write_text(source)
        untaken = {"test_b"} if "else:" in source else set()
        expected |= {f"test_m{number}.py::{name}" for name in set(names) - untaken}
    command = [sys.executable, "-m", "pytest", "-p", "no:nb2prod", "-p", "no:cacheprovider", "--collect-only", "-q"]
    said = subprocess.run([*command, str(tmp_path)], cwd=tmp_path, capture_output=True, text=True, check=True).stdout
    found = {line.partition("[")[0] for line in said.splitlines() if "::" in line}
    assert found == expected


# source, the line where the test begins that the top level is; None when it is none
TOP_LEVEL: list[tuple[str, int | None]] = [
    ("assert len(df) > 3", 1),
    ("import numpy as np\nnp.testing.assert_allclose(a, b)", 2),
    ("for name in names:\n    assert name in df", 1),
    ("limit = 3\ncheck(df, limit)", 2),
    ("limit = 3", None),
    ('"""Only words."""\nimport numpy', None),
    ("", None),
    ("def test_a(): pass\nassert df.notna().all()", 2),
    ("def test_a(): pass\nexpected = 3\nprint(expected)", None),
    ("import pytest\ndef test_a(): pass\nwith pytest.raises(ValueError):\n    f(-1)", 3),
    ("check = lambda x: assert_frame_equal(x, df)\ndef test_a(): check(1)", None),
    ("import pytest\n@pytest.fixture\ndef frame(): return 3", None),
]


@pytest.mark.parametrize(("source", "line"), TOP_LEVEL)
def test_statements_that_check_something_at_top_level_are_one_test(source: str, line: int | None) -> None:
    found = [test.line for test in collect(source, cell=12, step=None) if test.id == "pipeline::cell_12"]
    assert found == ([] if line is None else [line])


def test_lines_are_those_of_the_cell_with_its_magic() -> None:
    body = "assert auc > 0.5\n\ndef test_auc():\n    assert auc > 0.6"
    assert collect(body, cell=12, step="train", line_offset=1) == (
        NotebookTest("train::cell_12", "cell_12", "train", 12, 2),
        NotebookTest("train::test_auc", "test_auc", "train", 12, 4),
    )


def test_a_test_without_a_step_is_one_of_the_pipeline() -> None:
    assert collect("def test_z(): pass", cell=4, step=None) == (NotebookTest("pipeline::test_z", "test_z", None, 4, 1),)


@pytest.mark.parametrize("source", ["def test_a(:", "%timeit 3", "x = '\x00'"])
def test_a_cell_that_is_not_python_has_no_tests(source: str) -> None:
    assert collect(source, cell=1, step="train") == ()


def test_of_two_definitions_of_one_name_the_first_is_known_to_be_shadowed() -> None:
    source = "def test_a(): pass\ndef test_b(): pass\ndef test_a(): pass"
    assert {d.names: (d.line, d.shadowed) for d in definitions(PARSE(source))} == {
        ("test_a",): (3, True),
        ("test_b",): (2, False),
    }


def test_what_a_function_reads_includes_its_fixtures_and_its_class() -> None:
    source = "limit = floor\ndef test_a(sample):\n  assert df.a.sum() > limit\nclass TestX:\n  def test_b(self): model"
    found = reads(PARSE(source))
    assert found == {
        "": {"limit", "floor"},
        "test_a": {"sample", "df", "limit"},
        "TestX": {"self", "model"},
    }


NAMES = st.from_regex(r"test_[a-z0-9_]{1,8}", fullmatch=True)


@given(st.lists(NAMES, unique=True, max_size=8), st.integers(0, 5))
def test_every_test_function_is_found_once_in_the_order_of_its_line(names: list[str], offset: int) -> None:
    body = "".join(f"def {name}():\n    assert True\n\n" for name in names)
    found = collect(body, cell=0, step="s", line_offset=offset)
    assert [(test.id, test.line) for test in found] == [
        (identify("s", [name]), 1 + 3 * number + offset) for number, name in enumerate(names)
    ]
