"""What the tags of a step say of its model's answer, looked up in the kernel: the methods, or the notebook's function.

A function takes the model first and then the rows, `def predict(model, rows)`, or the other way round when its second
parameter is named `model` or as the model is. What else it takes must have a default.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from typing import Any

from nb2prod.core.model_package import Asking
from nb2prod.core.pipeline import HoistedModule
from nb2prod.storage.asking import BOTH, Asked, CannotAsk, refuse_unaskable

PREDICT = "predict"


def asked(name: str, model: Any, words: Sequence[str], module: HoistedModule, namespace: Mapping[str, Any]) -> Asked:
    """`model`, which the notebook calls `name`, as `words` (those of `predict:` tags) ask it. Raises CannotAsk."""
    function = _function(name, model, words, module, namespace)
    if function:
        return Asked(model, Asking((), function, _model_last(name, function, namespace[function])), namespace[function])
    methods = BOTH if set(words) == set(BOTH) else tuple(words) or (PREDICT,)
    if len(methods) > 1 and methods != BOTH:
        raise CannotAsk(
            f"is asked by predict:{' predict:'.join(words)}, and only predict and predict_proba go together",
            "leave one of the tags",
        )
    asking = Asking(methods)
    refuse_unaskable(model, asking)
    return Asked(model, asking)


def _function(
    name: str, model: Any, words: Sequence[str], module: HoistedModule, namespace: Mapping[str, Any]
) -> str | None:
    """The function of the notebook that answers for the model; None when the model does so itself."""
    if not words:
        is_there = PREDICT in module.names and PREDICT in namespace and not callable(getattr(model, PREDICT, None))
        return PREDICT if is_there else None
    own = [word for word in words if word in module.names]
    for word in own:
        if callable(getattr(model, word, None)):
            raise CannotAsk(
                f"has a method {word}, and the notebook a function of that name: which is meant by predict:{word}?",
                "name the function otherwise",
            )
    if own and len(words) > 1:
        raise CannotAsk(f"is asked by predict:{' predict:'.join(words)}", f"let the function {own[0]} answer it all")
    missing = [word for word in words if word not in module.names and not callable(getattr(model, word, None))]
    if missing:
        raise CannotAsk(
            f"is asked by predict:{missing[0]}, which is neither a method of it nor a function of the notebook",
            "define the function in a functions cell, or correct the tag",
        )
    return own[0] if own else None


def _model_last(name: str, function: str, found: Any) -> bool:
    """Whether the function takes the rows first. Raises CannotAsk unless it takes a model and rows."""
    kinds = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    try:
        parameters = list(inspect.signature(found).parameters.values())
    except (TypeError, ValueError):
        parameters = []
    needed = [p.name for p in parameters if p.default is p.empty and p.kind in (*kinds, inspect.Parameter.KEYWORD_ONLY)]
    plain = [p.name for p in parameters if p.kind in kinds]
    if len(plain) < 2 or needed != plain[: len(needed)] or len(needed) > 2:
        raise CannotAsk(
            f"is answered for by {function}({', '.join(p.name for p in parameters)}), which does not take it and rows",
            f"write def {function}({name}, rows), and let it use nothing else of the notebook's variables",
        )
    models = (name, "model", "models", "bundle")
    return plain[1] in models and plain[0] not in models
