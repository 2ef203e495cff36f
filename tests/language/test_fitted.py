"""The frame that a model was fitted on is found by its name, where it has one."""

from __future__ import annotations

from pathlib import Path

import pytest

from nb2prod.language.fitted import rows_of_fit
from nb2prod.stages.compile import compile as compile_notebook
from nb2prod.stages.read import read
from tests.notebook_maker import write_notebook


@pytest.mark.parametrize(
    ("source", "name"),
    [
        ("model = make_pipeline(a, b).fit(X_train, y)", "X_train"),
        ("model = a()\nmodel.fit(X=rows, y=y)", "rows"),
        ("model: Any = a().fit(frame)", "frame"),
        ("if deep:\n    model = a().fit(X1, y)\nelse:\n    model = b().fit(X2, y)", "X2"),
        ("model.fit(frame[names], y)", ""),
        ("scale.fit(X)\nmodel = a(scale)", ""),
        ("model = fit(X)", ""),
        ("other = a().fit(X, y)\nmodel = 1", ""),
    ],
)
def test_the_rows_are_what_the_outermost_fit_gets_first(tmp_path: Path, source: str, name: str) -> None:
    path = write_notebook(tmp_path / "a.ipynb", [("step:train model:model", source)])
    assert rows_of_fit(compile_notebook(read(path))) == name


def test_a_notebook_without_a_model_has_no_such_rows(tmp_path: Path) -> None:
    path = write_notebook(tmp_path / "a.ipynb", [("step:train", "model = a().fit(X)")])
    assert rows_of_fit(compile_notebook(read(path))) == ""
