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
        case "named columns":
            return pandas.DataFrame(_columns(rows, signature.columns, fill=fill), index=range(len(rows)))
        case "columns by position":
            values = enumerate(zip(*rows, strict=True))
            return pandas.DataFrame({i: _series(list(v), signature.columns[i].kind) for i, v in values})
        case "named tensors":
            return {t.name: tensor_array([row[t.name] for row in rows], t) for t in signature.tensors}
        case _:
            return tensor_array(rows, signature.tensors[0])


def _columns(rows: Rows, columns: Sequence[Column], *, fill: bool) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for column in columns:
        count = len(rows) if column.required else sum(column.name in row for row in rows)
        if column.kind.name in INTEGERS and 0 < count < len(rows):
            problem = FieldProblem(column.name[:NAME_LENGTH], "an optional integer is given in every row or in none")
            raise Refusal(422, "the rows do not fit the model's signature", (problem,))
        if count or (fill and column.kind.name not in INTEGERS):
            found[column.name] = _series([row.get(column.name) for row in rows], column.kind)
    return found


def _series(values: list[Any], kind: Kind) -> Any:
    """A column. Numbers stay arrays: wrapping each in a series first makes a table of one row three times as slow."""
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
            return pandas.Series([numpy.nan if v is None else v for v in values], dtype=_text_dtype())
        case "datetime":
            times = pandas.to_datetime(pandas.Series(values, dtype=object), format="ISO8601")
            return pandas.Series(times, dtype="datetime64[ns]")
        case "binary":
            decoded = [None if v is None else base64.b64decode(v) for v in values]
            return pandas.Series(decoded, dtype=object)
    return pandas.Series(values, dtype=object)


@functools.cache
def _text_dtype() -> Any:
    """What this pandas makes of a column of text: `str` from pandas 3 on, `object` before."""
    return pandas.Series(["text"]).dtype
