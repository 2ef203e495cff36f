"""Columns in the types of a signature, and what is done with them where some of their values are bad."""

from __future__ import annotations

from typing import Any

from nb2prod.serving.signature import INTEGERS, Column

NULL = "null, but a value is required"
NOT_FINITE = "not a finite number"
TOO_LARGE = "too large for its type"
TOO_SMALL = "too small for its type"
INEXACT = "more digits than its type holds"
NOT_IN_YEARS = "not between the years 1678 and 2261"
UNKNOWN_VALUE = "not one of the values that the model knows"
OUT_OF_RANGE = "not in the range that the model knows"
Found = tuple[Any, list[tuple[Any, str]]]  # a column, and which of its rows are bad and why


def may_be_null(column: Column) -> bool:
    """As in the service: MLflow has no missing integer."""
    return not column.required and column.kind.name not in INTEGERS


def type_of(kind: str) -> Any:
    """Arrow's type for one of a signature's; None when there is none."""
    import pyarrow

    return {
        "boolean": pyarrow.bool_(),
        "integer": pyarrow.int32(),
        "long": pyarrow.int64(),
        "float": pyarrow.float32(),
        "double": pyarrow.float64(),
        "string": pyarrow.string(),
        "datetime": pyarrow.timestamp("ns"),
        "binary": pyarrow.binary(),
    }.get(kind)


def mask_of(values: Any) -> Any:
    """A boolean array of numpy; what is null counts as false."""
    import pyarrow.compute as pc

    return pc.fill_null(values, False).to_numpy(zero_copy_only=False)


def without(values: Any, mask: Any) -> Any:
    """The values, null where the mask is true."""
    import pyarrow
    import pyarrow.compute as pc

    return pc.if_else(pyarrow.array(mask), pyarrow.scalar(None, values.type), values) if mask.any() else values


def only(*found: tuple[Any, str]) -> list[tuple[Any, str]]:
    """Those that say something of at least one row."""
    return [(mask, reason) for mask, reason in found if mask.any()]
