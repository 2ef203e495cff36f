"""Validated rows into the table that a model takes, built exactly.

A table has the same column types however many rows it has and whichever of them are missing, so that a row gets the
same prediction alone as among others.
"""

from __future__ import annotations

import base64
import functools
from collections.abc import Sequence
from typing import Any

import numpy
import pandas

from .errors import FieldProblem, Refusal
from .rows import NAME_LENGTH, Rows, tensor_array
from .signature import INTEGERS, Column, Kind, Signature


def table(rows: Rows, signature: Signature, *, fill: bool) -> Any:
    """What the model takes, of validated rows: a DataFrame, an array, or named arrays.

    An optional column that no row has is left out, as MLflow does; with `fill` it is there with nothing in it.
    """
    match signature.form:
        case "named columns" | "columns by position":
            return frame(columns(rows, signature, fill=fill), len(rows))
        case "named tensors":
            return {t.name: tensor_array([row[t.name] for row in rows], t) for t in signature.tensors}
        case _:
            return tensor_array(rows, signature.tensors[0])


def columns(rows: Rows, signature: Signature, *, fill: bool) -> dict[Any, Any]:
    """The columns of a table by their names, or by their places where the signature has no names."""
    if signature.form == "named columns":
        return _named(rows, signature.columns, fill=fill)
    values = enumerate(zip(*rows, strict=True))
    return {place: _array(list(column), signature.columns[place].kind) for place, column in values}


def frame(found: dict[Any, Any], count: int) -> Any:
    """A DataFrame of these columns. Of arrays: pandas compares the index of every series before it takes it."""
    return pandas.DataFrame(found, index=pandas.RangeIndex(count))


def _named(rows: Rows, wanted: Sequence[Column], *, fill: bool) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for column in wanted:
        name, kind = column.name, column.kind
        if column.required:
            found[name] = _array([row[name] for row in rows], kind)
            continue
        count = sum(name in row for row in rows)
        if kind.name in INTEGERS and 0 < count < len(rows):
            problem = FieldProblem(name[:NAME_LENGTH], "an optional integer is given in every row or in none")
            raise Refusal(422, "the rows do not fit the model's signature", (problem,))
        if count or (fill and kind.name not in INTEGERS):
            found[name] = _array([row.get(name) for row in rows], kind)
    return found


def _array(values: list[Any], kind: Kind) -> Any:
    """A column, as pandas would hold it."""
    match kind.name:
        case "integer" | "long":
            return numpy.array(values, dtype=f"int{INTEGERS[kind.name]}")
        case "double":
            return numpy.array(values, dtype="float64")
        case "float":
            return numpy.array(values, dtype="float32")
        case "boolean":
            return numpy.array(values, dtype="object" if None in values else "bool")
        case "string":
            return pandas.array([numpy.nan if v is None else v for v in values], dtype=_text_dtype())
        case "datetime":
            times = pandas.to_datetime(pandas.Series(values, dtype=object), format="ISO8601")
            return pandas.Series(times, dtype="datetime64[ns]").array
        case "binary":
            decoded = [None if v is None else base64.b64decode(v) for v in values]
            return pandas.Series(decoded, dtype=object).array
    return pandas.Series(values, dtype=object).array


@functools.cache
def _text_dtype() -> Any:
    """What this pandas makes of a column of text: `str` from pandas 3 on, `object` before."""
    return pandas.Series(["text"]).dtype
