"""How a model is asked for its answer, the same in the notebook's kernel and where the package is made.

    the model's own predict                      nothing is tagged
    another method of it                         predict:predict_proba
    labels and probabilities, as named columns   predict:predict predict:predict_proba
    a function of the notebook                   predict:NAME, or it is named `predict` and the model has none itself

The package asks in the same way, by `templates/package/python_model.py`, which can import nothing of this.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from nb2prod.core.model_package import Asking

LABEL = "prediction"
PROBABILITY = "probability_"
BOTH = ("predict", "predict_proba")
OWN = Asking()


class CannotAsk(Exception):
    """The model has no answer of this kind: what is in the way, and what to do."""

    def __init__(self, what: str, fix: str) -> None:
        super().__init__(what)
        self.what = what
        self.fix = fix


@dataclass(frozen=True, slots=True)
class Asked:
    """A model with the way to ask it, which is then `predict`, whatever the model is."""

    model: Any
    asking: Asking = OWN
    function: Callable[..., Any] | None = None

    def predict(self, rows: Any) -> Any:
        if self.function is not None:
            return self.function(rows, self.model) if self.asking.model_last else self.function(self.model, rows)
        if self.asking.methods == BOTH:
            return labels_and_probabilities(self.model, rows)
        return method_of(self.model, self.asking.methods[0])(rows)


def method_of(model: Any, method: str) -> Callable[[Any], Any]:
    """A method as it is called with rows: a Booster of XGBoost takes a matrix of its own."""
    if method == "predict" and is_xgboost_booster(model):
        return lambda rows: model.predict(sys.modules["xgboost"].DMatrix(rows, enable_categorical=True))
    found: Callable[[Any], Any] = getattr(model, method)
    return found


def labels_and_probabilities(model: Any, rows: Any) -> Any:
    """A frame: `prediction`, and `probability_CLASS` for every class."""
    import pandas

    probabilities = model.predict_proba(rows)
    columns = [f"{PROBABILITY}{label}" for label in model.classes_]
    return pandas.DataFrame({LABEL: model.predict(rows), **dict(zip(columns, probabilities.T, strict=True))})


def classes_of(model: Any) -> tuple[str, ...]:
    """The classes of a classifier as text, in the order of its probabilities; empty for anything else."""
    return tuple(str(label) for label in getattr(model, "classes_", ()))


def columns_of_fit(model: Any) -> tuple[str, ...]:
    """The columns that the model was fitted on, as it remembers them; empty when it does not, or they had no names."""
    names = getattr(model, "feature_names_in_", None)
    if names is None and is_xgboost_booster(model):
        names = model.feature_names
    if names is None and type(model).__module__.startswith("lightgbm."):
        names = model.feature_name() if callable(getattr(model, "feature_name", None)) else model.feature_name_
    return tuple(str(name) for name in names) if names is not None and all(isinstance(n, str) for n in names) else ()


def is_xgboost_booster(model: Any) -> bool:
    xgboost = sys.modules.get("xgboost")
    return xgboost is not None and type(model) is getattr(xgboost, "Booster", None)


def refuse_unaskable(model: Any, asking: Asking) -> None:
    """Raises CannotAsk for methods that the model has not, and for classes whose columns would have one name."""
    for method in asking.methods:
        if not callable(getattr(model, method, None)):
            raise CannotAsk(
                f"is a {type(model).__name__}, which has no {method}",
                f"tag an object with a method {method}" + ("" if method == "predict_proba" else OR_FUNCTION),
            )
    if asking.methods != BOTH:
        return
    classes = classes_of(model)
    if not classes or getattr(model.classes_, "ndim", 1) != 1 or len(set(classes)) < len(classes):
        raise CannotAsk(
            "has no classes, or classes that are one as text, so its probabilities cannot be named",
            "leave out predict:predict, or predict:predict_proba",
        )


OR_FUNCTION = ", or write `def predict(model, rows)` in a functions cell"
