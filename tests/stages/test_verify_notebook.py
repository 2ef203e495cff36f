"""A notebook verified: equal where isolated steps are the notebook, and red, with the line and the cause, where not.

The differences are planted where isolation is truly blind: in modules beside the notebook, on the disk, in the clock.
"""

from __future__ import annotations

import dataclasses
import json
import re
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from nb2prod import api
from nb2prod.cli import main
from nb2prod.core.equality import Boundary, Cause, Difference, Equality
from nb2prod.core.errors import UsageError
from nb2prod.core.pipeline import Plan
from nb2prod.core.ports import Environment, Publish
from nb2prod.core.result import Failure
from nb2prod.drawing import parity_page
from nb2prod.engines import steps
from nb2prod.stages import documents
from nb2prod.stages.causes import Evidence, cause
from tests.notebook_maker import Row, write_notebook

SMALL: list[Row] = [
    ("parameters", "n: int = 3\ntoken: str = 'open sesame'  # secret"),
    ("imports", "import numpy as np\nimport pandas as pd\nfrom sklearn.linear_model import LinearRegression"),
    ("setup", "np.random.seed(5)"),
    ("step:load", "df = pd.DataFrame({'x': np.random.rand(20), 'y': range(20)})\nparts = [df]\nprint(len(df))"),
    ("", "df.describe()"),
    ("step:clean", "for part in parts:\n    part['z'] = part.x * n\nprint(df.z.sum() > 0)"),
    ("test:clean", "def test_there_is_z():\n    assert 'z' in df"),
    (
        "step:train model:model example:X metric:score",
        "X = df[['x', 'z']]\nmodel = LinearRegression().fit(X, df.y)\nscore = model.score(X, df.y) + np.random.rand()\n"
        "stream = (i for i in range(3))\nprint(round(score, 3))",
    ),
    ("step:use", "print(next(stream), model.coef_.shape)"),
]


def verdicts(equality: Equality, kind: str) -> dict[tuple[str, str], str]:
    return {(b.step, b.name): b.verdict for b in equality.boundaries if b.kind == kind}


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Equality, set[Path]]]:
    """(what came of it, what it has left in the folder for temporary files)."""
    notebook = write_notebook(tmp_path_factory.mktemp("small") / "nb.ipynb", SMALL)
    with tempfile.TemporaryDirectory(prefix="v-") as folder, pytest.MonkeyPatch.context() as patch:
        patch.setattr(tempfile, "tempdir", folder)
        equality = api.verify_notebook(notebook, {"n": 4})
        yield equality, set(Path(folder).iterdir())


def test_isolated_steps_that_are_the_notebook_are_equal_value_by_value(small: tuple[Equality, set[Path]]) -> None:
    equality, _ = small
    assert (equality.status, equality.exit_code, equality.first) == ("equal", 0, None)
    values = verdicts(equality, "value")
    assert values["", "n"] == values["load", "df"] == values["clean", "parts"] == values["train", "model"] == "equal"
    assert ("", "token") not in values
    assert verdicts(equality, "random") == {
        (step, "the random stream of numpy"): "equal" for step in ("", "load", "train")
    }
    assert verdicts(equality, "metric") == {("train", "score"): "equal"}
    assert verdicts(equality, "predictions") == {("train", "model"): "equal"}
    assert verdicts(equality, "test") == {("clean", "clean::test_there_is_z"): "equal"}
    assert set(verdicts(equality, "printed").values()) == {"equal"}


def test_what_nobody_can_compare_is_said_and_not_called_equal(small: tuple[Equality, set[Path]]) -> None:
    blank = [(b.step, b.name, b.difference.uncompared) for b in small[0].of("uncompared")]
    assert blank == [(step, "stream", ("stream: a generator",)) for step in ("train", "use")]


def test_edges_are_proven_by_what_the_step_got(small: tuple[Equality, set[Path]]) -> None:
    edges = {(e.source, e.step, e.name): (e.kind, e.verdict) for e in small[0].edges}
    assert edges["load", "clean", "parts"] == ("proven", "equal")
    assert edges["clean", "train", "df"] == ("proven", "equal")
    assert edges["train", "use", "stream"][1] == "uncompared"


def test_places_are_where_the_name_is_last_bound(small: tuple[Equality, set[Path]]) -> None:
    places = {(b.step, b.name): (b.cell, b.line) for b in small[0].boundaries if b.kind == "value"}
    assert places["train", "model"] == (7, 2)
    assert places["load", "parts"] == (3, 2)


def test_nothing_stays_on_the_disk(small: tuple[Equality, set[Path]]) -> None:
    assert small[1] == set()


def test_the_document_and_the_page_hold_all_of_it(small: tuple[Equality, set[Path]]) -> None:
    document = json.loads(documents.as_text(documents.verified_notebook(small[0])))
    assert (document["schema"], document["status"], document["first"]) == ("nb2prod/verify/1", "equal", None)
    assert {"step", "name", "kind", "verdict", "difference", "cause", "cell", "line"} <= set(document["boundaries"][0])
    assert {"step", "name", "from", "kind", "reason"} <= set(document["edges"][0])
    page = api.equality_report(small[0], format="html")
    assert "link equal" in page
    assert re.findall(r"<script|https?://(?!www\.w3\.org)", page) == []
    assert "open sesame" not in page + api.equality_report(small[0])


# what a module keeps in its names the engine watches; what a library keeps inside itself nobody sees
STATE = (
    "import sqlite3\ntable = sqlite3.connect(':memory:')\ntable.execute('create table t (n integer)')\n"
    "def add(n):\n    table.execute('insert into t values (?)', (n,))\n"
    "    return table.execute('select sum(n) from t').fetchone()[0]\n"
)
VIEW = (
    "class View:\n    def __init__(self, items):\n        self.items = items\n"
    "    def __reduce__(self):\n        return View, (list(self.items),)\n"
)
DROPS = (
    "class Pair:\n    def __init__(self, a, b=0):\n        self.a, self.b = a, b\n"
    "    def __reduce__(self):\n        return Pair, (self.a,)\n"
)
PLANTED: dict[str, tuple[dict[str, str], list[Row], tuple[Any, ...], tuple[Any, ...]]] = {
    # files beside the notebook, cells, (step, name, cell, line, text) of the first difference, (kind, cell, line) why
    "alias": (
        {"view.py": VIEW},
        [
            ("imports", "from view import View"),
            ("step:a", "base = [1]\nv = View(base)"),
            ("step:b", "n = 0\nv.items.append(2)"),
            ("step:c", "z = sum(base)"),
        ],
        ("c", "base", 3, 1, "base: 2 items and 1 item"),
        ("alias", 2, 2),
    ),
    "on the way": (
        {"pair.py": DROPS},
        [("imports", "from pair import Pair"), ("step:a", "p = Pair(1, 2)"), ("step:b", "n = 0\nq = p.a + p.b")],
        ("b", "p", 2, 2, "p.b: 2 and 0"),
        ("on the way", 2, 2),
    ),
    "state of a library": (
        {},
        [
            ("imports", "import xml.etree.ElementTree as tree"),
            ("step:a", "x = 1\ntree.register_namespace('u', 'urn:x')"),
            ("step:b", "n = 10\ny = tree.tostring(tree.Element('{urn:x}a'), 'unicode')"),
        ],
        ("b", "y", 2, 2, "y: "),
        ("unknown", 2, 2),
    ),
    "an exploration cell": (
        {"state.py": STATE},
        [("imports", "import state"), ("step:a", "n = 10"), ("", "state.add(5)"), ("step:b", "y = state.add(n)")],
        ("b", "y", 3, 1, "y: 15 and 10"),
        ("hidden state", 3, 1),
    ),
    "seed": (
        {},
        [
            ("imports", "import numpy as np"),
            ("step:a", "n = 3\nx = np.random.default_rng().normal(size=n)"),
            ("step:b", "y = x.sum()"),
        ],
        ("a", "x", 1, 2, "x[0]: "),
        ("seed", 1, 2),
    ),
    "clock": (
        {},
        [("imports", "import time"), ("step:a", "n = 1\nt = time.time()"), ("step:b", "y = t + n")],
        ("a", "t", 1, 2, "t: "),
        ("clock", 1, 2),
    ),
    "order": (
        {},
        [
            ("imports", "from pathlib import Path"),
            ("step:a", "f = Path('n.txt')\nn = len(f.read_text()) if f.exists() else 0"),
            ("step:b", "written = Path('n.txt').write_text('abc')"),
            ("step:c", "print(n)"),
        ],
        ("a", "n", 1, 2, "n: 3 and 0"),
        ("order", 1, 1),
    ),
}


@pytest.mark.parametrize(("files", "cells", "first", "why"), PLANTED.values(), ids=PLANTED)
def test_a_planted_difference_is_red_and_its_line_is_named(
    files: Mapping[str, str], cells: list[Row], first: tuple[Any, ...], why: tuple[Any, ...], tmp_path: Path
) -> None:
    for name, content in files.items():
        (tmp_path / name).write_text(content)
    equality = api.verify_notebook(write_notebook(tmp_path / "nb.ipynb", cells))
    found = equality.first
    assert (equality.status, equality.exit_code) == ("different", 5)
    assert found is not None
    assert found.cause is not None
    assert (found.step, found.name, found.cell, found.line) == first[:4]
    assert found.difference.text.startswith(first[4])
    assert (found.cause.kind, found.cause.cell, found.cause.line) == why
    assert found.cause.fix


def test_a_stream_that_nothing_seeds_is_not_held_against_the_steps(tmp_path: Path) -> None:
    cells: list[Row] = [("imports", "import random"), ("step:a", "x = random.random() < 2"), ("step:b", "print(x)")]
    equality = api.verify_notebook(write_notebook(tmp_path / "nb.ipynb", cells))
    assert (equality.status, equality.first) == ("equal", None)
    assert [(one.kind, one.step) for one in equality.of("uncompared")] == [("random", "a")]


def test_a_notebook_that_cannot_be_isolated_is_refused_before_anything_runs(tmp_path: Path) -> None:
    cells: list[Row] = [("step:a", "x = [1]\nopen('ran', 'w').close()"), ("", "x.append(2)"), ("step:b", "y = len(x)")]
    equality = api.verify_notebook(write_notebook(tmp_path / "nb.ipynb", cells))
    assert (equality.status, equality.exit_code) == ("refused", 3)
    assert [finding.isolated or finding.severity == "error" for finding in equality.findings] == [True]
    assert not (tmp_path / "ran").exists()


def test_a_notebook_without_steps_has_nothing_to_compare(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="has no steps"):
        api.verify_notebook(write_notebook(tmp_path / "nb.ipynb", [("", "x = 1")]))


def test_a_notebook_that_fails_by_itself_is_not_blamed_on_isolation(tmp_path: Path) -> None:
    cells: list[Row] = [("step:a", "x = 1"), ("step:b", "y = x\nx / 0")]
    equality = api.verify_notebook(write_notebook(tmp_path / "nb.ipynb", cells))
    assert equality.failure is not None
    assert (equality.status, equality.exit_code, equality.failure.cell, equality.failure.line) == ("failed", 1, 1, 2)


@dataclasses.dataclass(frozen=True, slots=True)
class Reseeding:
    """An engine that seeds again before it begins, as tools do that know nothing of random streams."""

    ISOLATED: bool = True

    def run(self, plan: Plan, publish: Publish, environment: Environment) -> Failure | None:
        roles = tuple(
            dataclasses.replace(role, body=f"import random; random.seed(1); {role.body}")
            if role is not None and role.kind == "step"
            else role
            for role in plan.pipeline.roles
        )
        return steps.run(
            dataclasses.replace(plan, pipeline=dataclasses.replace(plan.pipeline, roles=roles)), publish, environment
        )


def test_an_engine_that_draws_other_numbers_is_found_out(tmp_path: Path) -> None:
    cells: list[Row] = [
        ("imports", "import random"),
        ("setup", "random.seed(1)"),
        ("step:a", "x = random.random()"),
        ("step:b", "y = random.random()\nprint(y)"),
    ]
    notebook = write_notebook(tmp_path / "nb.ipynb", cells)
    equality = api.verify_notebook(notebook, engine=Reseeding())
    assert equality.first is not None
    assert (equality.status, equality.first.step, equality.first.name) == ("different", "b", "y")


def test_the_command_line_says_it_all(tmp_path: Path) -> None:
    files, cells, _, _ = PLANTED["state of a library"]
    for name, content in files.items():
        (tmp_path / name).write_text(content)
    notebook = write_notebook(tmp_path / "nb.ipynb", cells)
    report = tmp_path / "report.html"
    done = CliRunner().invoke(main, ["verify", str(notebook), "--json", "-o", str(report)])
    document = json.loads(done.stdout)
    assert (done.exit_code, document["status"], document["first"]["line"]) == (5, "different", 2)
    assert "urn:x" in report.read_text(encoding="utf-8")
    assert "isolated steps" in done.stderr


def test_options_of_a_notebook_are_refused_for_a_package(tmp_path: Path) -> None:
    done = CliRunner().invoke(main, ["verify", str(tmp_path), "-p", "n", "3"])
    assert (done.exit_code, "of a package everything is fixed" in done.stderr) == (2, True)


def test_the_terminal_shows_the_line_and_the_cause(tmp_path: Path) -> None:
    notebook = write_notebook(tmp_path / "nb.ipynb", [("step:a", "x = 1\ny = x + 1"), ("step:b", "print(y)")])
    pipeline = api.load_pipeline(notebook)
    why = Cause("seed", "a draw without a seed", "seed it", 0, 1)
    first = Boundary("a", "y", "value", Difference("different", "y: 2 and 3", 1.0, 1 / 3, 0.0, 1, 1), 0, 2, why)
    equality = Equality(str(notebook), "different", ("a", "b"), (first,))
    text = parity_page.as_text(equality, pipeline, width=90, color=False)
    assert "❯   2 │ y = x + 1" in text
    assert "likely cause: seed, a draw without a seed (cell 0, line 1)" in text
    assert text.splitlines()[-1].startswith("different: isolated steps differ from the notebook: 1 value compared")
    page = parity_page.as_html(equality, pipeline)
    assert 'class="here"><i>2</i>y = x + 1' in page


CAUSES: dict[str, tuple[str, str, tuple[str, int | None]]] = {
    # the cells of the step, what it needs above, (cause, line)
    "a generator without a seed": (
        "rng = np.random.default_rng()\nx = rng.random()",
        "import numpy as np",
        ("seed", 1),
    ),
    "a generator with None": ("x = np.random.default_rng(None)", "import numpy as np", ("seed", 1)),
    "a split without random_state": (
        "n = 1\nx = train_test_split([1, 2])",
        "from sklearn.model_selection import train_test_split",
        ("seed", 2),
    ),
    "an identity": ("x = str(uuid.uuid4())", "import uuid", ("seed", 1)),
    "a seeded stream and the clock": (
        "np.random.seed(1)\na = np.random.rand()\nx = time.time() + a",
        "import time\nimport numpy as np",
        ("clock", 3),
    ),
    "today": ("x = datetime.now().year", "from datetime import datetime", ("clock", 1)),
    "a page": ("x = pd.read_csv('http://example.org/a.csv')", "import pandas as pd", ("outside", 1)),
    "nothing that shows": ("x = f()", "from somewhere import f", ("outside", None)),
}


@pytest.mark.parametrize(("source", "imports", "expected"), CAUSES.values(), ids=CAUSES)
def test_why_two_linear_runs_differ_is_read_from_the_code(
    source: str, imports: str, expected: tuple[str, int | None], tmp_path: Path
) -> None:
    pipeline = api.load_pipeline(write_notebook(tmp_path / "nb.ipynb", [("imports", imports), ("step:a", source)]))
    first = Boundary("a", "x", "value", Difference("different", "x: 1 and 2"), 1, 1)
    found = cause(pipeline, first, Evidence(reproducible=False))
    assert (found.kind, found.line) == expected
