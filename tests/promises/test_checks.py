"""What every check promises, whichever checks there are."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nb2prod import api, plugins
from nb2prod.core.finding import SEVERITIES
from nb2prod.core.notebook import Cell, Notebook
from nb2prod.stages.compile import compile
from tests.notebook_maker import write_notebook

CHECKS = dict(plugins.every("checks"))
# one small notebook for each check that makes it speak, and the cell it must name
SPEAKING = {
    "cycle": ([("step:a", "x = 1"), ("step:b", "y = x"), ("step:a", "z = y")], 2),
    "empty-test": ([("step:a", "x = 1"), ("test:a", "y = x")], 1),
    "exploration-name": ([("", "x = 1"), ("step:a", "y = x")], 1),
    "missing-example": ([("step:a model:m", "m = 1")], 0),
    "missing-model": ([("step:a", "m = 1")], None),
    "interleaved-step": ([("step:a", "x = 1"), ("step:b", "y = x"), ("step:a", "x = 2")], 2),
    "misspelled-tag": ([("stpe:a", "m = 1")], 0),
    "no-seed": ([("imports", "import random"), ("step:a", "x = random.random()")], 1),
    "rebound": ([("step:a", "x = 1"), ("step:b", "x = 2")], 1),
    "shared-reads-step": ([("step:a", "x = 1"), ("setup", "y = x")], 1),
    "two-models": ([("step:a model:m", "m = 1"), ("step:b model:n", "n = 1")], 1),
    "two-parameter-cells": ([("parameters", "a = 1"), ("parameters", "b = 1")], 1),
    "unbound-tag": ([("step:a plot:fig", "x = 1")], 0),
    "undefined-name": ([("step:a", "x = y")], 0),
    "unknown-step": ([("step:a after:b", "x = 1")], 0),
    "unknown-tag": ([(["someones-own"], "x = 1")], 0),
    "untested-step": ([("step:a", "x = 1")], 0),
}


@pytest.mark.parametrize("name", CHECKS)
def test_a_check_has_its_name_for_a_code_and_a_page(name: str) -> None:
    check = CHECKS[name]
    assert name == check.CODE
    assert check.SEVERITY in SEVERITIES
    title, _, page = check.__doc__.partition("\n\n")
    assert title.endswith(".")
    assert len(page) > 80, "the docstring is the page: say why it matters and what to do"


@pytest.mark.parametrize("name", CHECKS)
def test_a_check_speaks_where_it_must_with_place_message_and_fix(name: str, tmp_path: Path) -> None:
    rows, cell = SPEAKING[name]
    pipeline = api.load_pipeline(write_notebook(tmp_path / "nb.ipynb", rows))
    findings = list(CHECKS[name].check(pipeline))
    assert [(finding.code, finding.cell) for finding in findings] == [(name, cell)]
    assert all(finding.message and finding.fix for finding in findings)


@pytest.mark.parametrize("notebook", ["mortgage", "flight_delays"])
def test_the_samples_are_without_findings(notebook: str) -> None:
    path = Path(__file__).parents[2] / "notebooks" / f"{notebook}.ipynb"
    assert api.check(path) == ()


TAGS = st.sampled_from(["step:a", "step:b", "test:a", "setup", "imports", "functions", "parameters", "after:a", "odd"])
SOURCES = st.sampled_from(
    ["x = 1", "y = x", "def f():\n    return z", "f()", "del x", "import random", "%time x", "x = ("]
)
CELLS = st.lists(st.tuples(st.lists(TAGS, max_size=2), SOURCES), max_size=6)


@given(CELLS)
def test_no_notebook_makes_a_check_fail_and_twice_gives_the_same(rows: list[tuple[list[str], str]]) -> None:
    cells = tuple(Cell(index, "code", source, tuple(tags)) for index, (tags, source) in enumerate(rows))
    pipeline = compile(Notebook(Path("nb.ipynb"), cells))
    for check in CHECKS.values():
        assert list(check.check(pipeline)) == list(check.check(pipeline))
