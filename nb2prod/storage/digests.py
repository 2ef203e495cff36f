"""A value's digest: SHA-256 over all of its content, so that "the same data" can be said in one line.

Tables (pandas frames, series and indexes, numpy arrays) are digested column by column, every row of them, with the
type, the labels and the order: a frame whose last cell, dtype, index or column order differs has another digest.
What tells two values apart:

* the dtype, categories and their order, the time zone, the unit of a date;
* -0.0 from 0.0, a missing value from any other, and None from NaN, NA and NaT where the column can hold several;
* not the bit pattern of a NaN (0/0 gives another one than `numpy.nan`), nor how a column is laid out in memory.

Lists, tuples, dictionaries, sets and plain scalars go by their content. Anything else goes by its pickle: equal digests
then still mean equal values, but equal values may have different digests.

Importing this module loads nothing; pandas and numpy are looked at only when they are there already.
"""

from __future__ import annotations

import array
import hashlib
import pickle
import sys
from collections.abc import Callable
from typing import Any

Feed = Callable[[Any], None]
_SCALARS = (str, bytes, bool, int, float, complex, type(None))
_NUMBERS = "biufc"


class CannotDigest(Exception):
    """The value has content that cannot be written down (an open file, a lock)."""


def digest(value: Any) -> str:
    """SHA-256 of the content, in hexadecimal. Raises CannotDigest."""
    hasher = hashlib.sha256()
    try:
        _feed(value, hasher.update, frozenset())
    except (pickle.PicklingError, TypeError, AttributeError, RecursionError) as error:
        raise CannotDigest(f"a {type(value).__name__} has no digest: {error}") from error
    return hasher.hexdigest()


def _feed(value: Any, feed: Feed, above: frozenset[int]) -> None:
    """`above` are the containers that we are in, by identity: one that contains itself goes by its pickle."""
    pandas, numpy = sys.modules.get("pandas"), sys.modules.get("numpy")
    if pandas is not None and type(value) is pandas.DataFrame:
        _frame(value, feed)
    elif pandas is not None and type(value) is pandas.Series:
        _say(feed, "series")
        _index(value.index, feed)
        _label(value.name, feed)
        _column(value.array, feed)
    elif pandas is not None and isinstance(value, pandas.Index):
        _say(feed, "index")
        _index(value, feed)
    elif numpy is not None and type(value) is numpy.ndarray:
        _say(feed, "array", value.dtype.str, value.shape)
        _values(value, feed)
    elif type(value) in _SCALARS:
        _say(feed, type(value).__name__, value)
    elif id(value) not in above and isinstance(value, list | tuple | dict | set | frozenset):
        _container(value, feed, above | {id(value)})
    else:
        _pickled(value, feed)


def _say(feed: Feed, *words: Any) -> None:
    """A header that cannot run into what follows it: its length comes first."""
    text = repr(words).encode("utf-8", "surrogatepass")
    feed(len(text).to_bytes(8, "little"))
    feed(text)


def _container(value: Any, feed: Feed, above: frozenset[int]) -> None:
    kind = type(value)
    _say(feed, kind.__module__, kind.__qualname__, len(value))
    if kind.__module__ != "builtins":
        _pickled(value, feed)
    elif isinstance(value, dict):
        for key, item in value.items():
            _feed(key, feed, above)
            _feed(item, feed, above)
    elif isinstance(value, set | frozenset):
        for each in sorted(digest(item) for item in value):
            feed(each.encode())
    else:
        for item in value:
            _feed(item, feed, above)


def _pickled(value: Any, feed: Feed) -> None:
    import cloudpickle

    content = cloudpickle.dumps(value, protocol=5)
    _say(feed, "pickle", type(value).__module__, type(value).__qualname__, len(content))
    feed(content)


def _frame(frame: Any, feed: Feed) -> None:
    _say(feed, "frame", frame.shape)
    _index(frame.index, feed)
    _index(frame.columns, feed)
    for position in range(frame.shape[1]):
        _column(frame.iloc[:, position].array, feed)


def _index(index: Any, feed: Feed) -> None:
    """Labels and their names. A range of numbers is the same index as the numbers written out."""
    _say(feed, "levels", index.nlevels, len(index))
    for level in range(index.nlevels):
        _label(index.names[level], feed)
        _column(index.get_level_values(level).array, feed)


def _label(label: Any, feed: Feed) -> None:
    _feed(label, feed, frozenset())


def _column(column: Any, feed: Feed) -> None:
    """A pandas array: its dtype, then its values by the kind of dtype."""
    import pandas as pd

    dtype = column.dtype
    if isinstance(dtype, pd.CategoricalDtype):
        _say(feed, "category", bool(dtype.ordered))
        _index(dtype.categories, feed)
        _values(column.codes, feed)
    elif isinstance(dtype, pd.StringDtype):
        # how pandas stores strings (pyarrow or not) is no property of the data
        _say(feed, "string", repr(dtype.na_value))
        _objects(column.to_numpy(dtype=object), feed)
    elif isinstance(dtype, pd.DatetimeTZDtype | pd.PeriodDtype):
        _say(feed, "time", str(dtype))
        _values(column.view("int64") if isinstance(dtype, pd.DatetimeTZDtype) else column.asi8, feed)
    else:
        _say(feed, "column", str(dtype))
        _plain_column(column, feed)


def _plain_column(column: Any, feed: Feed) -> None:
    import numpy as np

    numpy_dtype = getattr(column.dtype, "numpy_dtype", column.dtype)
    if isinstance(column.dtype, np.dtype):
        _values(np.asarray(column), feed)
    elif isinstance(numpy_dtype, np.dtype) and numpy_dtype.kind in _NUMBERS and numpy_dtype.kind != "O":
        _values(np.asarray(column.isna()), feed)
        _values(column.to_numpy(dtype=numpy_dtype, na_value=numpy_dtype.type(0)), feed)
    else:
        _objects(np.asarray(column, dtype=object), feed)


def _values(values: Any, feed: Feed) -> None:
    """A numpy array's values in their order. NaN is one value, whatever its bits."""
    import numpy as np

    if values.dtype.hasobject:
        _objects(values.ravel() if values.dtype == object else values.ravel().astype(object), feed)
        return
    if values.dtype.kind == "f":
        missing = np.isnan(values)
        if missing.any():
            values = np.where(missing, values.dtype.type("nan"), values)
    # a view of bytes, because a buffer of dates or of text cannot be exported
    feed(np.ascontiguousarray(values).reshape(-1).view(np.uint8) if values.size else b"")


def _objects(values: Any, feed: Feed) -> None:
    """An object array: text in one go where all of it is text or missing, else value by value."""
    items = values.tolist()
    texts = [item for item in items if type(item) is str]
    others = [(place, item) for place, item in enumerate(items) if type(item) is not str]
    if texts and all(_is_missing(item) for _, item in others):
        _say(feed, "text", len(items), [(place, f"{type(item).__name__}:{item}") for place, item in others])
        encoded = [text.encode("utf-8", "surrogatepass") for text in texts]
        feed(array.array("q", map(len, encoded)).tobytes())
        feed(b"".join(encoded))
        return
    _say(feed, "objects", len(items))
    for item in items:
        _feed(item, feed, frozenset())


def _is_missing(item: Any) -> bool:
    return item is None or (type(item) is float and item != item) or type(item).__name__ in ("NAType", "NaTType")


def columns_of(value: Any) -> tuple[tuple[str, str], ...]:
    """(name, dtype) of each column of a table, as text."""
    if hasattr(value, "columns") and hasattr(value, "dtypes"):
        return tuple((str(name), str(dtype)) for name, dtype in zip(value.columns, value.dtypes, strict=True))
    if hasattr(value, "name") and hasattr(value, "index"):
        return ((str(value.name), str(value.dtype)),)
    width = value.shape[1] if getattr(value, "ndim", 0) == 2 else 0
    return tuple((str(position), str(value.dtype)) for position in range(width))


def is_table(value: Any) -> bool:
    """A pandas frame or series, or a numpy array of two dimensions."""
    pandas, numpy = sys.modules.get("pandas"), sys.modules.get("numpy")
    if pandas is not None and isinstance(value, pandas.DataFrame | pandas.Series):
        return True
    return numpy is not None and isinstance(value, numpy.ndarray) and value.ndim == 2


def rows_of(value: Any) -> int:
    """How many rows or items a table, array or list has; 1 for anything else."""
    shape = getattr(value, "shape", None)
    if shape:
        return int(shape[0])
    return len(value) if isinstance(value, list | tuple | dict) else 1
