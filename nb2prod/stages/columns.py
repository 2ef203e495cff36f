"""Columns of the example as a signature can say them, and how a package makes them again what they were.

A signature knows numbers, text, true and false, dates and times without a zone. What else notebooks have is said in
one of these:

    notebook                           signature          made again in the package
    category                           its categories'    with all categories, in their order
    Int64, UInt8, boolean, Float64 …   long, boolean,     with its missing values
                                       double
    a time with a time zone            text               a time with an offset becomes one in that zone
    decimal.Decimal                    text               to the last digit
    datetime.date                      datetime           the day
    text, true and false with None     text, boolean      None, where reading alone would give NaN
    string (missing is NA)             text               with NA

Every recipe is tried on the example itself: unless the very same column comes back, the column is refused.
"""

from __future__ import annotations

import importlib.util
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

from nb2prod.core.errors import UsageError
from nb2prod.storage import digests, templates

FIX = "convert it in the notebook, before the model is fitted"
LARGEST = 2**53  # whole numbers beyond it are not all floats
# types in which no value can be missing, and what a column of them becomes when one is
PLACELESS = {"bool": "object"} | {f"{sign}int{bits}": "float64" for sign in ("", "u") for bits in (8, 16, 32, 64)}
Recipe = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Change:
    """A column in a type that a signature knows. `alone` is whether a model may well take it as it is then."""

    name: Any
    plain: Any
    recipe: Recipe
    alone: bool = True


def changes(frame: Any) -> Iterator[Change]:
    """One for each column that a signature cannot say as it is. Raises UsageError for what cannot be said at all."""
    for name in frame.columns:
        change = _change(name, frame[name])
        if change is not None:
            _refuse_lossy(frame[name], change)
            yield change


def in_type(column: Any, wanted: Any) -> Any:
    """A column of the notebook's in the type `wanted` that the signature gave it; None when it has no place there."""
    try:
        change = _change(column.name, column)
        made = None if change is None else change.plain.astype(wanted)
        return made if change is not None and _comes_back(column, made, change.recipe) else None
    except (UsageError, ValueError, TypeError, OverflowError, _refusal()):
        return None


def said(change: Change, column: Any, *, restored: bool) -> str:
    if column.dtype == change.plain.dtype:
        return f"{change.name}: None where a value is missing"
    again = ", and made again what it was before the model gets it" if restored else ""
    return f"{change.name}: {column.dtype} as {change.plain.dtype}{again}"


def restored(frame: Any, recipes: tuple[Recipe, ...]) -> Any:
    """By the package's own code, which is what will do it there."""
    return _of_package("restored")(frame, recipes) if recipes else frame


@cache
def _of_package(name: str) -> Callable[..., Any]:
    path = templates.folder("package") / "python_model.py"
    spec = importlib.util.spec_from_file_location("nb2prod_python_model", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    # recorded and not only filtered: MLflow sets a filter of its own before it warns
    with warnings.catch_warnings(record=True):
        spec.loader.exec_module(module)
    found: Callable[..., Any] = getattr(module, name)
    return found


def _refuse_lossy(column: Any, change: Change) -> None:
    try:
        same = _comes_back(column, change.plain, change.recipe)
    except (ValueError, TypeError, OverflowError, digests.CannotDigest, _refusal()) as error:
        raise refused(f"the column {change.name} ({column.dtype}) cannot be said in a signature: {error}") from error
    if not same:
        raise refused(f"the column {change.name} ({column.dtype}) does not come back from a signature's type as it was")


def _comes_back(column: Any, plain: Any, recipe: Recipe) -> bool:
    name = recipe["column"]
    again = restored(plain.to_frame(name), (recipe,))[name]
    return digests.digest(again.rename(None)) == digests.digest(column.rename(None))


def _refusal() -> type[Exception]:
    """What the package's code raises for a value without a place."""
    from mlflow.exceptions import MlflowException

    refusal: type[Exception] = MlflowException
    return refusal


def _change(name: Any, column: Any) -> Change | None:
    import pandas as pd

    dtype = column.dtype
    if isinstance(dtype, pd.CategoricalDtype):
        return _category(name, column)
    if isinstance(dtype, pd.DatetimeTZDtype):
        return _time(name, column)
    if isinstance(dtype, pd.StringDtype):
        return _string(name, column)
    if hasattr(dtype, "numpy_dtype") and dtype.kind in "biuf":
        return _masked(name, column)
    return _objects(name, column) if str(dtype) == "object" else None


def _category(name: Any, column: Any) -> Change:
    import pandas as pd

    categories = column.dtype.categories
    kind = categories.dtype
    objects = str(kind) == "object"
    if not (objects or isinstance(kind, pd.StringDtype) or kind.kind in "biuf"):
        raise refused(f"the column {name} has categories of the type {kind}, which a signature cannot say")
    listed = categories.tolist()
    if objects and not all(isinstance(label, str) for label in listed):
        raise refused(f"the column {name} has categories of several types, which a signature cannot say")
    recipe = {
        "column": name,
        "as": "category",
        "categories": listed,
        "dtype": str(kind),
        "ordered": bool(column.dtype.ordered),
    }
    missing = column.isna().any() and str(kind) in PLACELESS
    return Change(name, column.astype(PLACELESS[str(kind)] if missing else kind), recipe)


def _time(name: Any, column: Any) -> Change:
    texts = [None if missing else time.isoformat() for time, missing in zip(column, column.isna(), strict=True)]
    recipe = {"column": name, "as": "time", "zone": str(column.dtype.tz), "unit": column.dtype.unit}
    return Change(name, _texts(texts, column), recipe, alone=False)


def _string(name: Any, column: Any) -> Change | None:
    import pandas as pd

    if column.dtype.na_value is not pd.NA:
        return None
    texts = column.to_numpy(dtype=object, na_value=None).tolist()
    return Change(name, _texts(texts, column), {"column": name, "as": "string"})


def _masked(name: Any, column: Any) -> Change:
    dtype = column.dtype
    recipe = {"column": name, "as": "masked", "dtype": str(dtype)}
    if not column.isna().any() or dtype.kind == "f":
        missing = {"na_value": float("nan")} if dtype.kind == "f" else {}
        values = column.to_numpy(dtype=dtype.numpy_dtype, **missing)
        return Change(name, _series(values, column), recipe)
    if dtype.kind == "b":
        objects = _series(column.to_numpy(dtype=object, na_value=None), column, "object")
        return Change(name, objects, recipe, alone=False)
    known = column.dropna()
    if (known > LARGEST).any() or (dtype.kind == "i" and (known < -LARGEST).any()):
        raise refused(f"the column {name} has whole numbers that are too large for a float, and missing ones")
    return Change(name, _series(column.to_numpy(dtype="float64", na_value=float("nan")), column), recipe)


def _objects(name: Any, column: Any) -> Change | None:
    """Columns of Python objects: of one type, or of one type and missing values of one kind."""
    import datetime
    import decimal

    values, absent = column.tolist(), column.isna().tolist()
    kinds = {type(value) for value, missing in zip(values, absent, strict=True) if not missing}
    missing = {type(value) for value, there in zip(values, absent, strict=True) if there}
    if len(kinds) != 1 or not missing <= {type(None), float}:
        return None
    if len(missing) > 1:
        raise refused(f"the column {name} has two kinds of missing values, None and NaN")
    kind = kinds.pop()
    recipe = {"column": name, "missing": "nan" if float in missing else "none"}
    present = [None if there else value for value, there in zip(values, absent, strict=True)]
    if kind is decimal.Decimal:
        texts = [None if value is None else str(value) for value in present]
        return Change(name, _texts(texts, column), {**recipe, "as": "decimal"}, alone=False)
    if kind is datetime.date and float not in missing:
        return Change(name, _days(present, column), {**recipe, "as": "date"})
    if kind is str and missing:
        return Change(name, _texts(present, column), {**recipe, "as": "object"})
    if kind is bool:
        plain = _series(present, column, "object" if missing else "bool")
        return Change(name, plain, {**recipe, "as": "object"}, alone=not missing)
    return None


def _days(values: list[Any], column: Any) -> Any:
    import pandas as pd

    return _series(pd.to_datetime(pd.Series(values, dtype=object)).astype("datetime64[ns]").array, column)


def _texts(values: list[Any], column: Any) -> Any:
    return _series(values, column, "str")


def _series(values: Any, column: Any, dtype: str | None = None) -> Any:
    import pandas as pd

    return pd.Series(values, index=column.index, name=column.name, dtype=dtype)


def refused(what: str, fix: str = FIX) -> UsageError:
    return UsageError(what, fix=fix)
