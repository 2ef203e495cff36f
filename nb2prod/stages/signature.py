"""The example as a model's signature can describe it: what MLflow lets through to `predict`, and nothing guessed.

MLflow checks the data of a call against the signature, and makes it what the signature says. Columns that have no place
in it are said in another type (`columns`), and the package records which. Where the model answers the example in those
types as it answered the notebook's own, it gets them so; else the package makes them again what they were before the
model sees them: a category with its categories, a time in its zone, integers with missing values.

Refused are durations, periods, columns of several types or without any value, two columns of one name, and whatever
does not come back from the signature's type as it was.

Whole numbers stay whole numbers, although MLflow suggests to make them floats: the model must get what it was fitted
on. A call with a missing value in such a column is refused; fit on floats when values may be missing. A column is
optional, and may be missing, when the example has missing values in it.
"""

from __future__ import annotations

import copy
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from nb2prod.core.errors import NotProved
from nb2prod.stages.columns import FIX, Change, Recipe, changes, refused, said
from nb2prod.storage.digests import digest, is_table

Answer = Callable[[Any], Any]


@dataclass(frozen=True, slots=True)
class Described:
    """`example` is what the signature describes; `conversions` say what was done to the notebook's to get there, and
    `restored` how the package undoes it, empty when the model takes the example as it is described.
    """

    example: Any
    signature: Any
    conversions: tuple[str, ...] = ()
    restored: tuple[Recipe, ...] = ()


def describe(example: Any, predictions: Any, answer: Answer | None = None, notes: tuple[str, ...] = ()) -> Described:
    """Raises UsageError, naming the column, when the signature cannot describe the example.

    `notes` are conversions that were done before. With `answer`, which asks the notebook's model, columns can be
    restored for a model that needs them as they were.
    """
    if isinstance(example, list | tuple) or (hasattr(example, "index") and not hasattr(example, "columns")):
        raise refused(
            f"the example is a {type(example).__name__}, which MLflow passes to the model as a frame of one column",
            "let the model take a frame (with ColumnTransformer and the column's name), and tag a frame as example",
        )
    if not (is_table(example) and hasattr(example, "columns")):
        return _described(example, predictions)
    _refuse_labels(example)
    plain, found, conversions = _converted(example)
    restored: tuple[Recipe, ...] = ()
    if answer is None:
        _refuse_unrestored(found, example)
    elif found and _needs_restoring(found, plain, predictions, answer):
        conversions = tuple(said(change, example[change.name], restored=True) for change in found)
        restored = tuple(change.recipe for change in found)
    return _described(plain, predictions, (*notes, *conversions), restored)


def refuse_dropped(signature: Any, stored: Any) -> None:
    """MLflow leaves a signature out, with no more than a warning, when its own check of the example fails."""
    if stored is None or stored.inputs != signature.inputs or stored.outputs != signature.outputs:
        raise NotProved("MLflow did not store the model's signature", fix=FIX)


def _described(
    example: Any, predictions: Any, conversions: tuple[str, ...] = (), restored: tuple[Recipe, ...] = ()
) -> Described:
    signature = _inferred(example, predictions)
    _refuse_undescribed(example, signature)
    return Described(example, signature, conversions, restored)


def first_rows(example: Any, count: int = 5) -> Any:
    return example.head(count) if hasattr(example, "head") else example[:count]


def _inferred(example: Any, predictions: Any) -> Any:
    from mlflow.models import infer_signature

    with warnings.catch_warnings():
        # its advice about whole numbers, see above
        warnings.simplefilter("ignore", UserWarning)
        return infer_signature(example, predictions)


def _refuse_labels(example: Any) -> None:
    labels = list(example.columns)
    doubled = [label for label in labels if labels.count(label) > 1]
    if doubled:
        raise refused(f"two columns of the example are named {doubled[0]!r}", "give each column a name of its own")
    others = [label for label in labels if not isinstance(label, str | int)]
    if others:
        raise refused(f"the column {others[0]!r} of the example is not named by text", "name columns by text")


def _converted(example: Any) -> tuple[Any, tuple[Change, ...], tuple[str, ...]]:
    """The example in types that a signature knows, what was changed for that, and how that is said."""
    found = tuple(changes(example))
    plain = example.copy() if found else example
    for change in found:
        plain[change.name] = change.plain
    notes = (said(change, example[change.name], restored=False) for change in found)
    return plain, found, tuple(notes)


def _needs_restoring(found: tuple[Change, ...], plain: Any, predictions: Any, answer: Answer) -> bool:
    """Whether the model answers otherwise, or not at all, when it gets the columns as the signature says them."""
    if not all(change.alone for change in found):
        return True
    try:
        return digest(answer(copy.deepcopy(plain))) != digest(predictions)
    except Exception:  # noqa: BLE001 - a model that needs a category may say so in any way
        return True


def _refuse_unrestored(found: tuple[Change, ...], example: Any) -> None:
    """Of a map's package, in which nothing makes a column again what it was."""
    for change in found:
        if not change.alone and change.recipe["as"] != "object":
            what = said(change, example[change.name], restored=False)
            raise refused(f"the column {what} is not what the model was fitted on")


def _refuse_undescribed(example: Any, signature: Any) -> None:
    """MLflow falls back to "any type" for the whole example when it does not know one column's type."""
    if not _has_any(signature):
        return
    for name in getattr(example, "columns", ()):
        if _has_any(_inferred(example[[name]], None)):
            raise refused(f"the column {name} ({example[name].dtype}) has no type that a signature knows", FIX)
    raise refused(
        f"the example, a {type(example).__name__}, has no type that a signature knows",
        "tag a frame or an array of numbers or text as example",
    )


def _has_any(signature: Any) -> bool:
    inputs = signature.inputs.to_dict() if signature is not None and signature.inputs is not None else [{"type": "any"}]
    return any(_is_any(column) for column in inputs)


def _is_any(kind: Any) -> bool:
    """Also within arrays, maps and objects."""
    if isinstance(kind, dict):
        return kind.get("type") == "any" or any(_is_any(inner) for inner in kind.values())
    return False
