"""Whether what a step's tags promise can be kept: the name is bound, a metric is a number, a model has been fitted.

A metric that is NaN or infinite is kept as it is, with a warning: it says something. A metric that is True or False is
refused: whether 1.0 is meant is for the author to say.
"""

from __future__ import annotations

import logging
import numbers
import sys
from collections.abc import Mapping
from typing import Any

from nb2prod.core.events import Event

logger = logging.getLogger(__name__)
Namespace = Mapping[str, Any]


class CannotKeep(Exception):
    """A tagged value is not there, or not usable: which, why and what to do.

    `events` are those of the same step that came before: what was kept is kept.
    """

    def __init__(self, name: str, message: str, fix: str = "", events: tuple[Event, ...] = ()) -> None:
        super().__init__(message)
        self.name = name
        self.message = f"{message}; fix: {fix}" if fix else message
        self.events = events

    def __str__(self) -> str:
        return self.message


def looked_up(name: str, what: str, namespace: Namespace) -> Any:
    if name not in namespace:
        raise CannotKeep(
            name, f"{what} {name} is not there after its step", f"bind {name} in the step, or correct the tag"
        )
    return namespace[name]


def number_of(name: str, value: Any) -> float:
    """A metric's value as a float."""
    if getattr(value, "ndim", None) == 0 and callable(getattr(value, "item", None)):
        value = value.item()
    if isinstance(value, bool):
        raise CannotKeep(
            name, f"metric {name} is {value}, not a number", f"{name} = float({name}) if 0 and 1 are meant"
        )
    if not isinstance(value, numbers.Real):
        raise CannotKeep(
            name, f"metric {name} is a {type(value).__name__}, not a number", "tag a name bound to a number"
        )
    try:
        number = float(value)
    except OverflowError as error:
        raise CannotKeep(name, f"metric {name} is too large for a float") from error
    if number != number or number in (float("inf"), float("-inf")):
        logger.warning("metric %s is %s", name, number)
    return number


def refuse_useless(name: str, model: Any) -> None:
    """A model must have `predict`; one of scikit-learn must be fitted."""
    refuse_unfitted(name, model)
    if not callable(getattr(model, "predict", None)):
        kind = type(model).__name__
        raise CannotKeep(name, f"model {name} is a {kind}, which has no predict", "tag an object with a method predict")


def refuse_unfitted(name: str, model: Any) -> None:
    """What of scikit-learn is in the model, or in the pair, list or dictionary that it is, must be fitted."""
    if isinstance(model, type):
        raise CannotKeep(
            name, f"model {name} is the class {model.__name__}, not a fitted model", "tag what fit returned"
        )
    if isinstance(model, list | tuple | dict):
        named = model.items() if isinstance(model, dict) else enumerate(model)
        for key, part in named:
            if not isinstance(part, type):
                refuse_unfitted(f"{name}[{key!r}]", part)
        return
    validation = sys.modules.get("sklearn.utils.validation")
    last = _last_estimator(model)
    if validation is None or not type(last).__module__.startswith("sklearn."):
        return
    if not hasattr(last, "fit") or _needs_no_fit(last):
        return
    try:
        validation.check_is_fitted(last)
    except sys.modules["sklearn.exceptions"].NotFittedError as error:
        raise CannotKeep(name, f"model {name} is not fitted", f"call {name}.fit(…) in the step") from error


def _needs_no_fit(estimator: Any) -> bool:
    """Such as a HashingVectorizer: scikit-learn says so of it."""
    utils = sys.modules.get("sklearn.utils")
    return utils is not None and hasattr(utils, "get_tags") and not utils.get_tags(estimator).requires_fit


def _last_estimator(model: Any) -> Any:
    """What must be fitted in a pipeline is its last step; a class of the notebook keeps what it learnt as it likes."""
    steps = getattr(model, "steps", None)
    if type(model).__module__ == "sklearn.pipeline" and steps:
        return model if steps[-1][1] in (None, "passthrough") else _last_estimator(steps[-1][1])
    return model
