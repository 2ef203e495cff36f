"""Predictions into JSON, exactly: floats by their shortest exact spelling, in the forms that MLflow's server gives.

A missing value (NaN, NaT) becomes null, because JSON has no other word for it. An infinite one has none at all, and is
an error rather than something a client reads as another value.
"""

from __future__ import annotations

import base64
import datetime
import json
import math
from typing import Any

import numpy


class CannotAnswer(Exception):
    """The model answered something that JSON cannot say."""


def predictions(raw: Any) -> Any:
    """Plain values of what a model returned: arrays as lists, tables (and series) as lists of records."""
    if isinstance(raw, numpy.ndarray):
        return raw.tolist()
    if _of_pandas(raw, "Series"):
        raw = raw.to_frame()
    if _of_pandas(raw, "DataFrame"):
        return raw.to_dict(orient="records")
    return raw


def _of_pandas(value: Any, name: str) -> bool:
    """By its class's name, as pandas is not imported for a model that does not need it."""
    return any(kind.__name__ == name and kind.__module__.startswith("pandas") for kind in type(value).__mro__)


def encode(answer: Any) -> bytes:
    """JSON of an answer. Raises CannotAnswer."""
    try:
        try:
            return _dumps(answer)
        except ValueError:
            return _dumps(_without_nan(answer))
    except (ValueError, TypeError, RecursionError) as error:
        raise CannotAnswer from error


def _dumps(answer: Any) -> bytes:
    return _ENCODER.encode(answer).encode()


def _plain(value: Any) -> Any:
    """A value that `json` does not know, as one that it does, spelled as MLflow's server spells it."""
    if type(value).__name__ in ("NaTType", "NAType"):
        return None
    if isinstance(value, numpy.datetime64):
        return None if numpy.isnat(value) else str(numpy.datetime_as_string(value))
    if isinstance(value, numpy.ndarray):
        return value.tolist()
    if isinstance(value, numpy.generic):
        return value.item()
    if isinstance(value, bytes | bytearray):
        return base64.encodebytes(value).decode("ascii")
    if isinstance(value, datetime.date | datetime.time):
        return value.isoformat()
    raise TypeError("not a value that JSON has")


def _without_nan(value: Any) -> Any:
    if isinstance(value, numpy.ndarray | numpy.generic):
        value = value.tolist()
    if isinstance(value, float) and math.isnan(value):
        return None
    if isinstance(value, dict):
        return {key: _without_nan(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_without_nan(item) for item in value]
    return value


_ENCODER = json.JSONEncoder(default=_plain, allow_nan=False, ensure_ascii=False, separators=(",", ":"))
