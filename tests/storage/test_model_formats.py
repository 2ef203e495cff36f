"""The format of a model is chosen by policy: skops where our list allows it, else cloudpickle with the reason."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
import pytest
import skops.io
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import make_column_selector, make_column_transformer
from sklearn.ensemble import (
    AdaBoostClassifier,
    ExtraTreesClassifier,
    GradientBoostingClassifier,
    HistGradientBoostingClassifier,
    RandomForestClassifier,
    StackingClassifier,
)
from sklearn.gaussian_process import GaussianProcessClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.neighbors import KNeighborsClassifier
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, OneHotEncoder, StandardScaler
from sklearn.tree import DecisionTreeClassifier

from nb2prod.core.errors import NotProved
from nb2prod.core.pipeline import HoistedModule
from nb2prod.storage.digests import digest
from nb2prod.storage.model_formats import choose, importable, is_trusted

RNG = np.random.default_rng(0)
FRAME = pd.DataFrame({"a": RNG.normal(size=60), "b": RNG.normal(size=60)})
TARGET = (FRAME["a"] + FRAME["b"] > 0).astype(int)
SOURCE = """
import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin


def squared(frame):
    return np.square(frame)


class Threshold(ClassifierMixin, BaseEstimator):
    def __init__(self, at=0.0):
        self.at = at

    def fit(self, X, y):
        self.classes_ = np.unique(y)
        return self

    def predict(self, X):
        return (np.asarray(X)[:, 0] > self.at).astype(int)
"""
MODULE = HoistedModule("formatted_functions", SOURCE, ("squared", "Threshold"))


@pytest.mark.parametrize(
    "model",
    [
        DecisionTreeClassifier(random_state=0),
        RandomForestClassifier(5, random_state=0),
        ExtraTreesClassifier(5, random_state=0),
        GradientBoostingClassifier(n_estimators=5, random_state=0),
        HistGradientBoostingClassifier(max_iter=5, random_state=0),
        AdaBoostClassifier(n_estimators=5, random_state=0),
        KNeighborsClassifier(),
        MLPClassifier((4,), max_iter=20, random_state=0),
        GaussianProcessClassifier(random_state=0),
        CalibratedClassifierCV(DecisionTreeClassifier(random_state=0)),
        StackingClassifier([("tree", DecisionTreeClassifier(random_state=0))]),
        GridSearchCV(RandomForestClassifier(3, random_state=0), {"max_depth": [1, 2]}, cv=2),
        make_pipeline(
            make_column_transformer((StandardScaler(), make_column_selector(dtype_include="float"))),
            LogisticRegression(),
        ),
        make_pipeline(FunctionTransformer(np.nan_to_num), LogisticRegression()),
    ],
    ids=lambda model: type(model).__name__,
)
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_what_mlflow_refuses_by_default_is_written_with_skops(model: Any) -> None:
    """Loaded with the types that the choice names and no others, it predicts what the model predicts."""
    fitted = model.fit(FRAME, TARGET)
    chosen = choose(fitted, example=FRAME)
    assert chosen.choice.format == "skops"
    loaded = skops.io.loads(chosen.files[""], trusted=list(chosen.choice.trusted))
    assert digest(loaded.predict(FRAME)) == digest(fitted.predict(FRAME))


def test_the_notebooks_own_functions_and_classes_are_trusted_by_name() -> None:
    with importable(MODULE) as made:
        model = make_pipeline(FunctionTransformer(made.squared), made.Threshold(0.5)).fit(FRAME, TARGET)
        choice = choose(model, MODULE, FRAME).choice
    assert choice.format == "skops"
    assert choice.trusted == ("formatted_functions.Threshold", "formatted_functions.squared")
    assert "formatted_functions" not in sys.modules


@pytest.mark.parametrize(
    ("function", "named"),
    [
        (np.load, "numpy.load"),
        (eval, "builtins.eval"),
        (os.system, f"{os.system.__module__}.system"),
        (pd.read_pickle, "read_pickle"),
        (np.testing.assert_equal, "numpy.testing._private.utils.assert_equal"),
        (partial(np.save, "x"), "numpy.save"),
    ],
)
def test_a_function_that_does_more_than_compute_is_not_trusted(function: Callable[..., Any], named: str) -> None:
    """It is written with cloudpickle, and the reason names the function."""
    choice = choose(FunctionTransformer(function)).choice
    assert (choice.format, choice.trusted) == ("cloudpickle", ())
    assert named in choice.reason


class _Local(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
    """A class of some other module, which is on no list."""


class _NoEstimator:
    def predict(self, data: Any) -> Any:
        return data


def test_classes_that_are_on_no_list_are_named() -> None:
    assert choose(_Local()).choice.reason == (f"it holds what is not on the list of types to trust: {__name__}._Local")
    assert choose(_NoEstimator()).choice.reason == (
        f"{__name__}._NoEstimator is no scikit-learn estimator, and skops is for those"
    )


class _Forgetful(OneHotEncoder):  # type: ignore[misc]
    """Says one thing now and another once it was loaded."""

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update({**state, "changed": True})

    def predict(self, data: Any) -> Any:
        return [hasattr(self, "changed")] * len(data)


def test_a_model_that_skops_does_not_give_back_as_it_was_is_not_written_with_skops() -> None:
    module = HoistedModule(__name__, "", ("_Forgetful",))
    choice = choose(_Forgetful(), module, FRAME).choice
    assert (choice.format, choice.reason) == ("cloudpickle", "the model that skops gives back predicts something else")


@pytest.mark.parametrize(
    ("name", "trusted"),
    [
        ("sklearn.tree._tree.Tree", True),
        ("sklearn.datasets._openml.fetch_openml", False),
        ("numpy.ndarray", True),
        ("numpy.fromfile", False),
        ("numpy.f2py.compile", False),
        ("scipy.io._netcdf.netcdf_file", False),
        ("scipy.special.expit", True),
        ("builtins.exec", False),
        ("builtins.len", True),
        ("sklearn.no_such_module.Thing", False),
        ("formatted_functions.squared", True),
        ("formatted_functions.os", False),
    ],
)
def test_the_list_of_types_to_trust(name: str, trusted: bool) -> None:
    assert is_trusted(name, MODULE) is trusted


def test_a_module_that_does_not_run_by_itself_is_refused_and_gone() -> None:
    module = HoistedModule("broken_functions", "def f(x=LIMIT):\n    return x\n", ("f",), (("LIMIT", 4),))
    with pytest.raises(NotProved, match="name 'LIMIT' is not defined") as refused, importable(module):
        pass
    assert refused.value.fix == "define in an imports or functions cell: LIMIT"
    assert "broken_functions" not in sys.modules


def test_a_module_is_tried_without_what_this_project_takes_from_the_future() -> None:
    """An annotation that nobody evaluates here would be evaluated where the package is loaded."""
    module = HoistedModule("own_annotation", "class Report:\n    def add(self) -> Report: ...\n", ("Report",))
    with pytest.raises(NotProved, match="name 'Report' is not defined"), importable(module):
        pass
