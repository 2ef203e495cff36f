"""What every check promises, whichever checks there are."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nb2prod import api, plugins
from nb2prod.core.finding import SEVERITIES
from nb2prod.core.notebook import Cell, Notebook
from nb2prod.stages.compile import compile
from tests.notebook_maker import Row, write_notebook

CHECKS = dict(plugins.every("checks"))
# one small notebook for each check that makes it speak, and the cell it must name
SPEAKING = {
    "absolute-path": ([("step:a", "f = open('/home/ada/a.csv')")], 0),
    "ambient-state": ([("imports", "import os"), ("step:a", "os.chdir('data')")], 1),
    "card-purpose": ([("md", "# A title"), ("step:a model:m", "m = 1")], None),
    "clock": ([("step:a", "from datetime import date\nday = date.today()\nx = day.year")], 0),
    "fitted-twice": (
        [
            ("imports", "from sklearn.linear_model import Ridge"),
            ("step:a", "m = Ridge().fit([[1.0]], [1.0])"),
            ("step:a", "m.fit([[1.0]], [1.0])"),
            ("step:b", "m.fit([[2.0]], [2.0])"),
        ],
        3,
    ),
    "hidden-state": ([("", "x = 1"), ("", "y = 2")], 1),
    "input": ([("step:a", "x = input()")], 0),
    "kind-changed": ([("", "x = 1"), ("", "print(x)"), ("", "x = 'a'"), ("", "print(x)")], 2),
    "long-output": ([("", "x = 1")], 0),
    "overwrites-input": ([("step:a", "x = open('a').read()"), ("step:b", "f = open('a', 'w')")], 1),
    "parameter-reassigned": ([("parameters", "n: int = 1"), ("step:a", "n = 2")], 1),
    "removed-call": ([("imports", "from sklearn.datasets import load_boston")], 0),
    "secret": ([("step:a", "password = 'tr0ub4dor'")], 0),
    "skipped-name": ([("skip", "x = 1"), ("step:a", "y = x")], 0),
    "sys-path": ([("imports", "import sys\nsys.path.append('src')")], 0),
    "url": ([("imports", "import pandas as pd"), ("step:a", "df = pd.read_csv('https://example.org/a.csv')")], 1),
    "dialect": ([("parameters", "n = 1"), ("injected-parameters", "n = 5")], 1),
    "expected-failure": ([("step:a raises-exception", "x = 1 / 0")], 0),
    "included-notebook": ([("step:a", "x = 1"), ("notebook:other", "")], 1),
    "branch-change": ([("step:a", "d = {}"), ("step:b", "d['y'] = 1"), ("step:c", "d['z'] = 1")], 2),
    "cannot-cross": ([("step:a", "f = open('a')"), ("step:b", "t = f.read()")], 1),
    "exploration-random": (
        [("imports", "import random"), ("", "random.random()"), ("step:a", "x = random.random()")],
        1,
    ),
    "hidden-names": ([("step:a", "exec('x = 1')")], 0),
    "output-history": ([("step:a", "1 + 1"), ("step:b", "y = _ + 1")], 1),
    "star-import": ([("imports", "from math import *"), ("step:a", "x = sqrt(4)")], 0),
    "cycle": ([("step:a", "x = 1"), ("step:b", "y = x"), ("step:a", "z = y")], 2),
    "empty-test": ([("step:a", "x = 1"), ("test:a", "y = x")], 1),
    "exploration-name": ([("", "x = 1"), ("step:a", "y = x")], 1),
    "missing-example": ([("step:a model:m", "m = 1")], 0),
    "missing-model": ([("step:a", "m = 1")], None),
    "interleaved-step": ([("step:a", "x = 1"), ("step:b", "y = x"), ("step:a", "x = 2")], 2),
    "misspelled-tag": ([("stpe:a", "m = 1")], 0),
    "object-id": ([("step:a", "x = []\nseen = {id(x): 1}")], 0),
    "no-seed": ([("imports", "import random"), ("step:a", "x = random.random()")], 1),
    "rebound": ([("step:a", "x = 1"), ("step:b", "x = 2")], 1),
    "shell-in-step": ([("step:a", "!ls")], 0),
    "shared-reads-step": ([("step:a", "x = 1"), ("setup", "y = x")], 1),
    "two-models": ([("step:a model:m", "m = 1"), ("step:b model:n", "n = 1")], 1),
    "two-parameter-cells": ([("parameters", "a = 1"), ("parameters", "b = 1")], 1),
    "unbound-tag": ([("step:a plot:fig", "x = 1")], 0),
    "undefined-name": ([("step:a", "x = y")], 0),
    "unknown-step": ([("step:a after:b", "x = 1")], 0),
    "unknown-tag": ([(["someones-own"], "x = 1")], 0),
    "work-in-shared": ([("imports", "import pandas as pd\ndf = pd.read_csv('a.csv')"), ("step:a", "x = df")], 0),
    "untested-step": ([("step:a", "x = 1")], 0),
}


# what else the file says of the cells, for the checks that look at how it was saved
SAVED: dict[str, dict[int, dict[str, object]]] = {
    "hidden-state": {0: {"execution_count": 2}, 1: {"execution_count": 1}},
    "long-output": {0: {"outputs": [{"output_type": "stream", "name": "stdout", "text": "a" * 1_500_000}]}},
}


def _as_saved(path: Path, changes: dict[int, dict[str, object]]) -> None:
    document = json.loads(path.read_text())
    for cell, change in changes.items():
        document["cells"][cell] |= change
    path.write_text(json.dumps(document))


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
    path = write_notebook(tmp_path / "nb.ipynb", rows)
    _as_saved(path, SAVED.get(name, {}))
    pipeline = api.load_pipeline(path)
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


# for each check that knows corrections, notebooks that it corrects
CORRECTED: dict[str, list[list[Row]]] = {
    "misspelled-tag": [[("stpe:a", "m = 1")]],
    "no-seed": [
        [
            ("imports", "from sklearn.model_selection import train_test_split"),
            ("step:a", "a, b = train_test_split([1, 2])"),
        ],
        [("imports", "from sklearn.cluster import KMeans"), ("step:a", "s = 'é'; k = KMeans()\nj = KMeans(3, )")],
        [
            ("imports", "from sklearn.cluster import KMeans"),
            ("parameters", "seed: int = 7"),
            ("step:a", "k = KMeans(\n    n_clusters=3,\n)"),
        ],
        [("imports", "import numpy as np"), ("step:a", "g = np.random.default_rng()")],
    ],
    "absolute-path": [
        [("parameters", "n: int = 1"), ("step:a", "f = open('/home/ada/a b.csv')")],
        [(["parameters"], "n: int = 1\n\n"), ("step:a", "f = open('/home/ada/a.csv'); g = 'é', open('/mnt/b/a.csv')")],
        [("", "%%parameters\nn: int = 1"), ("", "%%step a\nf = open('/home/ada/a.csv')\ng = open('/mnt/b/a.csv')")],
    ],
    "removed-call": [
        [("imports", "import numpy as np"), ("step:a", "x = 'é', np.float(1), np.float_(2)\ny = np.Inf")],
        [("imports", "from numpy import random\nimport numpy"), ("step:a", "x = numpy.product([1])")],
    ],
}


def _cases() -> list[Any]:
    return [
        pytest.param(name, rows, id=f"{name}-{n}") for name, many in CORRECTED.items() for n, rows in enumerate(many)
    ]


@pytest.mark.parametrize(("name", "rows"), _cases())
def test_a_correction_takes_the_finding_away_and_brings_no_error(name: str, rows: list[Row], tmp_path: Path) -> None:
    path = write_notebook(tmp_path / "nb.ipynb", rows)
    before, content = api.check(path), path.read_bytes()
    copy, difference, count = api.fix(path, select=[name])
    assert copy is not None
    assert difference
    after = api.check(copy)
    assert count == sum(finding.code == name for finding in before) > 0
    assert name not in {finding.code for finding in after}
    assert [finding for finding in after if finding.severity == "error"] == []
    assert path.read_bytes() == content


def test_every_check_that_corrects_is_in_the_table() -> None:
    assert set(CORRECTED) == {name for name, check in CHECKS.items() if hasattr(check, "fixes")}
