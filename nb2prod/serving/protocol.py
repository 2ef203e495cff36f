"""MLflow's scoring protocol: one of `dataframe_split`, `dataframe_records`, `instances`, `inputs`, or CSV, into rows.

With a signature, all spellings become the same list of rows, which `rows` validates like those of `/predict`: one
contract, so that no spelling lets in what another refuses. Without a signature there is nothing to validate against,
and the model takes what MLflow's own server would hand it.
"""

from __future__ import annotations

import csv
import io
import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from .errors import FieldProblem, Refusal
from .signature import Column, Signature

FORMATS = ("dataframe_split", "dataframe_records", "instances", "inputs")
_TRUTHS = {"true": True, "false": False}


def unpack(payload: Any) -> tuple[str, Any, Any]:
    """(format, data, params) of a JSON body. Raises Refusal (400)."""
    if not isinstance(payload, dict):
        raise Refusal(400, f"the body must be an object with one of {', '.join(FORMATS)}")
    found = [name for name in FORMATS if name in payload]
    if len(found) != 1 or payload.keys() - {*FORMATS, "params"}:
        raise Refusal(400, f"the body must have exactly one of {', '.join(FORMATS)}, and besides it only params")
    return found[0], payload[found[0]], payload.get("params")


def rows_of(format: str, data: Any, signature: Signature) -> list[Any]:
    """The rows of any of the formats, as `rows.Validator` expects them. Raises Refusal (400 or 422)."""
    match format:
        case "dataframe_split":
            return _split(data, signature)
        case "dataframe_records":
            if signature.form not in ("named columns", "named tensors"):
                raise Refusal(422, "the signature has no names: send dataframe_split, instances or inputs")
            return _list_of_rows(format, data)
        case "inputs" if isinstance(data, dict):
            return _by_column(data, signature)
    rows = _list_of_rows(format, data)
    if signature.form == "named columns" and len(signature.columns) == 1:
        name = signature.columns[0].name
        return [row if isinstance(row, dict) else {name: row} for row in rows]
    if signature.form == "columns by position" and len(signature.columns) == 1:
        return [row if isinstance(row, list) else [row] for row in rows]
    return rows


def _list_of_rows(format: str, data: Any) -> list[Any]:
    if not isinstance(data, list):
        raise Refusal(400, f"{format} must be a list of rows")
    return data


def _split(data: Any, signature: Signature) -> list[Any]:
    columns, rows = _split_parts(data)
    _check_lengths(rows, len(columns) if columns is not None else None)
    if signature.form in ("columns by position", "one tensor"):
        scalars = signature.form == "one tensor" and len(signature.tensors[0].shape) == 1
        return [row[0] if scalars and len(row) == 1 else row for row in rows]
    if columns is None:
        raise Refusal(422, "dataframe_split needs columns, because the model's signature has names")
    if not rows:
        _check_names(columns, signature)
    return [dict(zip(columns, row, strict=True)) for row in rows]


def _split_parts(data: Any) -> tuple[list[str] | None, list[list[Any]]]:
    if not isinstance(data, dict) or "data" not in data or data.keys() - {"columns", "data", "index"}:
        raise Refusal(400, "dataframe_split must be an object with data, and besides it only columns and index")
    columns, rows = data.get("columns"), data["data"]
    if not isinstance(rows, list) or not all(isinstance(row, list) for row in rows):
        raise Refusal(400, "data of dataframe_split must be a list of lists")
    if columns is not None:
        if not isinstance(columns, list):
            raise Refusal(400, "columns of dataframe_split must be a list")
        columns = [str(column) for column in columns]
        _check_duplicates(columns)
    return columns, rows


def _by_column(data: Mapping[str, Any], signature: Signature) -> list[Any]:
    """`inputs` as an object: a list for each column, or a value for each, which is one row."""
    if signature.form in ("columns by position", "one tensor"):
        raise Refusal(422, "the signature has no names: inputs must be a list of rows")
    if signature.form == "named columns" and not any(isinstance(value, list) for value in data.values()):
        return [dict(data)]
    lengths = {len(value) for value in data.values() if isinstance(value, list)}
    if len(lengths) != 1 or not all(isinstance(value, list) for value in data.values()):
        raise Refusal(422, "the columns of inputs must be lists of one length")
    count = lengths.pop()
    if not count:
        _check_names(list(data), signature)
    return [{name: values[row] for name, values in data.items()} for row in range(count)]


def rows_of_csv(body: bytes, signature: Signature) -> list[Any]:
    """The rows of a CSV with a header. An empty field is null; everything else is read as its column's type."""
    if signature.form != "named columns":
        raise Refusal(422, "CSV needs a model whose signature names its columns")
    header, *lines = _records(body)
    if "" in header:
        unnamed = FieldProblem(f"(column {header.index('') + 1})", "a column without a name")
        raise Refusal(422, "a column of the CSV has no name; write it with index=False", (unnamed,))
    _check_header(header, signature)
    _check_duplicates(header)
    _check_lengths(lines, len(header))
    if not lines:
        _check_names(header, signature)
    readers = [_reader({c.name: c for c in signature.columns}.get(name)) for name in header]
    return [{h: read(text) for h, read, text in zip(header, readers, line, strict=True)} for line in lines]


def _check_header(header: Sequence[str], signature: Signature) -> None:
    """Unknown columns by their places: a CSV without a header has values there, which no refusal repeats."""
    known = {column.name for column in signature.columns}
    places = [number for number, name in enumerate(header, start=1) if name not in known]
    unknown = tuple(FieldProblem(f"(column {n})", "the model's signature has no such field") for n in places)
    if unknown:
        raise Refusal(422, "the first line of the CSV must name the model's columns", unknown)


def _records(body: bytes) -> list[list[str]]:
    try:
        text = body.decode("utf-8-sig")
        records = [line for line in csv.reader(io.StringIO(text, newline=""), strict=True) if line]
    except UnicodeDecodeError as error:
        raise Refusal(400, "the body is not UTF-8") from error
    except csv.Error as error:
        raise Refusal(400, "the body is not CSV") from error
    if not records:
        raise Refusal(400, "the CSV has no header")
    return records


def _reader(column: Column | None) -> Callable[[str], Any]:
    """How a field's text is read. What does not read stays text, which validation then refuses by its column."""
    kind = column.kind.name if column else "string"

    def read(text: str) -> Any:
        if text == "":
            return None
        if kind in ("integer", "long") and re.fullmatch(r"[+-]?[0-9]{1,30}", text):
            return int(text)
        if kind in ("float", "double") and re.fullmatch(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?", text):
            return float(text)
        return _TRUTHS.get(text.lower(), text) if kind == "boolean" else text

    return read


def _check_duplicates(names: Sequence[str]) -> None:
    twice = tuple(FieldProblem(name, "the column is there twice") for name, n in Counter(names).items() if n > 1)
    if twice:
        raise Refusal(422, "a column is there twice", twice)


def _check_lengths(rows: Sequence[Sequence[Any]], length: int | None) -> None:
    length = length if length is not None else len(rows[0]) if rows else 0
    for number, row in enumerate(rows):
        if len(row) != length:
            problem = FieldProblem("(the row)", f"{len(row)} values for {length} columns", number)
            raise Refusal(422, "a row has another number of values than there are columns", (problem,))


def _check_names(names: Sequence[str], signature: Signature) -> None:
    """Names alone, for a table without rows, which has nothing else to validate."""
    known = {part.name: True for part in signature.tensors} | {c.name: c.required for c in signature.columns}
    extra = [FieldProblem(name, "the model's signature has no such field") for name in names if name not in known]
    lacking = [name for name, required in known.items() if required and name not in names]
    missing = [FieldProblem(name, "required, but not there") for name in lacking]
    if extra or missing:
        raise Refusal(422, "the rows do not fit the model's signature", (*extra, *missing))


def unchecked(format: str, data: Any) -> Any:
    """What MLflow's own server hands a model without signature: a DataFrame, an array, or named arrays."""
    import numpy
    import pandas

    try:
        if format == "dataframe_split":
            columns, rows = _split_parts(data)
            return pandas.DataFrame(rows, columns=columns)
        if format == "dataframe_records":
            return pandas.DataFrame(_list_of_rows(format, data))
        if isinstance(data, list) and data and isinstance(data[0], dict):
            names = data[0].keys()
            return {name: numpy.array([row[name] for row in data]) for name in names}
        if isinstance(data, dict):
            return {name: numpy.array(values) for name, values in data.items()}
        return numpy.array(data)
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise Refusal(422, f"{format} does not make a table or an array") from error
