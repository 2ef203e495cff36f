"""A model is asked as its tags say, and a tag that cannot be meant is refused before anything is kept."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from nb2prod.checks import unbound_tag
from nb2prod.core.model_package import Asking
from nb2prod.core.pipeline import HoistedModule
from nb2prod.kernel.asking import asked
from nb2prod.stages.compile import compile as compile_notebook
from nb2prod.stages.read import read
from nb2prod.storage.asking import CannotAsk
from tests.notebook_maker import Row, write_notebook
from tests.simulated import run


class Sure:
    classes_ = np.array([False, True])

    def predict(self, rows: Any) -> Any:
        return np.array([True] * len(rows))

    def predict_proba(self, rows: Any) -> Any:
        return np.array([[0.25, 0.75]] * len(rows))

    def decide(self, rows: Any) -> Any:
        return np.array([2.5] * len(rows))


def first(model: Any, rows: Any) -> Any:
    return model[0] + rows


def last(rows: Any, bundle: Any, extra: int = 1) -> Any:
    return bundle[0] - rows * extra


def predict(model: Any, rows: Any) -> Any:
    return model["offset"] + rows


def of_globals(rows: Any) -> Any:
    return rows


def of_three(model: Any, rows: Any, third: Any) -> Any:
    return rows


NAMES = {f.__name__: f for f in (first, last, predict, of_globals, of_three)} | {"decide": first}
MODULE = HoistedModule("own_functions", "…", tuple(NAMES))
ROWS = pd.DataFrame({"a": [1.0, 2.0]})


def asking(model: Any, *words: str) -> Asking:
    return asked("bundle", model, words, MODULE, NAMES).asking


def test_the_models_own_predict_is_asked_when_nothing_is_tagged() -> None:
    assert asking(Sure()) == Asking(("predict",))


def test_a_function_of_the_notebook_answers_for_a_model_that_cannot() -> None:
    assert asking({"offset": 1}) == Asking((), "predict")
    assert asking((3,), "first") == Asking((), "first")
    assert asking((3,), "last") == Asking((), "last", model_last=True)
    assert asked("bundle", (3,), ["first"], MODULE, NAMES).predict(4) == 7
    assert asked("bundle", (3,), ["last"], MODULE, NAMES).predict(4) == -1


def test_any_method_can_be_named() -> None:
    assert asked("m", Sure(), ["predict_proba"], MODULE, NAMES).predict(ROWS).tolist() == [[0.25, 0.75]] * 2


def test_labels_and_probabilities_become_named_columns() -> None:
    for words in (["predict", "predict_proba"], ["predict_proba", "predict"]):
        module = HoistedModule("", "")
        answer = asked("m", Sure(), words, module, {}).predict(ROWS)
        assert answer.to_dict("list") == {
            "prediction": [True, True],
            "probability_False": [0.25, 0.25],
            "probability_True": [0.75, 0.75],
        }


@pytest.mark.parametrize(
    ("model", "words", "said"),
    [
        ((1,), ["nothing"], "predict:nothing, which is neither a method of it nor a function of the notebook"),
        (Sure(), ["decide"], "has a method decide, and the notebook a function of that name"),
        (Sure(), ["predict", "first"], "has a method predict, and the notebook a function of that name"),
        ((1,), ["first", "last"], "is asked by predict:first predict:last"),
        ((1,), ["of_globals"], "of_globals(rows), which does not take it and rows"),
        ((1,), ["of_three"], "of_three(model, rows, third), which does not take it and rows"),
    ],
)
def test_what_cannot_be_meant_is_refused(model: Any, words: list[str], said: str) -> None:
    with pytest.raises(CannotAsk) as caught:
        asking(model, *words)
    assert said in caught.value.what


def test_classes_that_are_one_as_text_cannot_be_named() -> None:
    model = Sure()
    model.classes_ = np.array([1, "1"], dtype=object)
    with pytest.raises(CannotAsk, match="classes that are one as text"):
        asked("m", model, ["predict", "predict_proba"], HoistedModule("", ""), {})


IMPORTS: Row = (
    "imports",
    "import sqlite3, threading\nimport numpy as np\nimport pandas as pd\n"
    "from sklearn.linear_model import LinearRegression\n"
    "from sklearn.preprocessing import FunctionTransformer, StandardScaler",
)
OWN: Row = ("functions", "def predict(model, rows):\n    return model['model'].predict(rows)")
DATA: Row = ("step:data", "X = pd.DataFrame({'a': [1.0, 2.0], 'b': [0.0, 1.0]})\ny = X['a'] * 2")
FITTED = "LinearRegression().fit(X, y)"


@pytest.mark.parametrize(
    ("model", "said"),
    [
        (f"{{'model': {FITTED}, 'clean': FunctionTransformer(lambda x: x)}}", "model['clean'].func is a lambda"),
        (f"{{'model': {FITTED}, 'log': open(__import__('os').devnull)}}", "model['log'] is an open file"),
        (f"{{'model': {FITTED}, 'guard': threading.Lock()}}", "model['guard'] is a lock"),
        (f"{{'model': {FITTED}, 'store': sqlite3.connect(':memory:')}}", "model['store'] is an open connection"),
        ("{'model': LinearRegression()}", "model['model'] is not fitted"),
        (f"({FITTED}, StandardScaler())", "model[1] is not fitted"),
        ("{'model': 1}", "cannot predict on the example: AttributeError"),
        ("LinearRegression().fit(X.assign(c=1.0), y)", "on the example (it lacks c, which fit saw)"),
    ],
)
def test_a_model_of_several_objects_is_refused_by_the_path_of_what_is_wrong(
    tmp_path: Path, model: str, said: str
) -> None:
    own = (OWN,) if "{" in model else ()
    ran = run(tmp_path, IMPORTS, *own, DATA, ("step:train model:model example:X", f"model = {model}"))
    assert said in ran.refusal


def test_a_tag_on_a_step_without_a_model_is_found_before_anything_runs(tmp_path: Path) -> None:
    cells = [IMPORTS, ("step:data predict:predict_proba", "X = 1"), ("step:train model:m", "m = X")]
    pipeline = compile_notebook(read(write_notebook(tmp_path / "a.ipynb", cells)))
    found = [(finding.severity, finding.message, finding.cell) for finding in unbound_tag.check(pipeline)]
    assert found == [("error", "predict:predict_proba on step data, which has no model", 1)]


def test_several_objects_without_a_function_are_refused_with_what_to_write(tmp_path: Path) -> None:
    ran = run(tmp_path, IMPORTS, DATA, ("step:train model:model example:X", f"model = (1, {FITTED})"))
    assert "model model is a tuple, which has no predict" in ran.refusal
    assert "write `def predict(model, rows)` in a functions cell" in ran.refusal
