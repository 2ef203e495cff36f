"""The example as a model's signature can describe it: what MLflow lets through to `predict`, and nothing guessed.

MLflow checks the data of a call against the signature, and makes it what the signature says. Some columns of a
notebook have no place in it. Where the same values can be said in another dtype they are converted, which the package
records; the proof then shows that the model answers the converted example as the notebook's model answered its own:

    category               the dtype of its categories (text, mostly)
    Int64, UInt8, boolean… int64, bool; float64 when integers are missing
    Float64, Float32       float64, float32

Anything else is refused: a time zone (the same instant has another hour in UTC), missing booleans, durations, periods,
columns of several types or without any value, two columns of one name.

Whole numbers stay whole numbers, although MLflow suggests to make them floats: the model must get what it was fitted
on. A call with a missing value in such a column is refused; fit on floats when values may be missing.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any

from nb2prod.core.errors import UsageError
from nb2prod.storage.digests import is_table

FIX = "convert it in the notebook, before the model is fitted"


@dataclass(frozen=True, slots=True)
class Described:
    """`example` is what the signature describes; `conversions` say what was done to the notebook's to get there."""

    example: Any
    signature: Any
    conversions: tuple[str, ...] = ()


def describe(example: Any, predictions: Any) -> Described:
    """Raises UsageError, naming the column, when the signature cannot describe the example."""
    if isinstance(example, list | tuple) or (hasattr(example, "index") and not hasattr(example, "columns")):
        raise _refused(
            f"the example is a {type(example).__name__}, which MLflow passes to the model as a frame of one column",
            "let the model take a frame (with ColumnTransformer and the column's name), and tag a frame as example",
        )
    conversions: tuple[str, ...] = ()
    if is_table(example) and hasattr(example, "columns"):
        _refuse_labels(example)
        example, conversions = _converted(example)
    signature = _inferred(example, predictions)
    _refuse_undescribed(example, signature)
    return Described(example, signature, conversions)


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
        raise _refused(f"two columns of the example are named {doubled[0]!r}", "give each column a name of its own")
    others = [label for label in labels if not isinstance(label, str | int)]
    if others:
        raise _refused(f"the column {others[0]!r} of the example is not named by text", "name columns by text")


def _converted(example: Any) -> tuple[Any, tuple[str, ...]]:
    converted, said = example.copy(), []
    for name in example.columns:
        column = _plain(name, example[name])
        if column is not example[name] and column.dtype != example[name].dtype:
            converted[name] = column
            said.append(f"{name}: {_named(example[name])} as {column.dtype}")
    return converted, tuple(said)


def _named(column: Any) -> str:
    return "category" if str(column.dtype) == "category" else str(column.dtype)


def _plain(name: Any, column: Any) -> Any:
    """The column in a dtype that a signature knows. Raises UsageError when there is none with the same values."""
    import pandas as pd

    dtype = column.dtype
    if isinstance(dtype, pd.CategoricalDtype):
        whole = pd.api.types.is_integer_dtype(dtype.categories.dtype)
        return column.astype("float64" if whole and column.isna().any() else dtype.categories.dtype)
    if isinstance(dtype, pd.DatetimeTZDtype):
        raise _refused(f"the column {name} has the time zone {dtype.tz}, which a signature cannot say", FIX)
    if hasattr(dtype, "numpy_dtype") and dtype.kind in "biuf":
        return _without_mask(name, column)
    return column


def _without_mask(name: Any, column: Any) -> Any:
    dtype = column.dtype
    if not column.isna().any() or dtype.kind == "f":
        return column.astype(dtype.numpy_dtype)
    if dtype.kind == "b":
        raise _refused(f"the column {name} has missing values among True and False, which a signature cannot say", FIX)
    converted = column.astype("float64")
    if (converted.dropna().astype(dtype.numpy_dtype) != column.dropna().astype(dtype.numpy_dtype)).any():
        raise _refused(f"the column {name} has whole numbers that are too large for a float, and missing ones", FIX)
    return converted


def _refuse_undescribed(example: Any, signature: Any) -> None:
    """MLflow falls back to "any type" for the whole example when it does not know one column's type."""
    if not _has_any(signature):
        return
    for name in getattr(example, "columns", ()):
        if _has_any(_inferred(example[[name]], None)):
            raise _refused(f"the column {name} ({example[name].dtype}) has no type that a signature knows", FIX)
    raise _refused(
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


def _refused(what: str, fix: str) -> UsageError:
    return UsageError(what, fix=fix)
