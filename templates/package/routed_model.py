"""One model out of many: a row is predicted by the model of its key.

The models lie in `models/`, thousands of them in a few files, and `routes.json` says which bytes are whose. A model is
loaded when the first row of its key comes, after its SHA-256 was checked, and the least used ones are dropped when
those in memory had more than `IN_MEMORY` bytes in their files.
"""

import collections
import hashlib
import json
import math
import os
import threading

import cloudpickle
import mlflow.models
import mlflow.pyfunc
import numpy
import pandas
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import INVALID_PARAMETER_VALUE

IN_MEMORY = 256 * 1024 * 1024
LISTED = 5
NO_MODEL = "there is no model for this key"


def said(key):
    """A row's key as `routes.json` spells it: JSON, so that 1 and "1" are two keys and a missing value is one."""
    return json.dumps([plain(value) for value in key], ensure_ascii=False)


def plain(value):
    if value is None or value is pandas.NaT or value is pandas.NA:
        return None
    if isinstance(value, numpy.generic):
        value = value.item()
    if isinstance(value, float):
        return None if math.isnan(value) else value + 0.0  # -0.0 is 0.0
    return value if isinstance(value, (str, bool, int)) else {"date": pandas.Timestamp(value).isoformat()}


class Models:
    """The models in their files, the most recently used ones in memory."""

    def __init__(self, folder):
        self._folder = folder
        self._loaded = collections.OrderedDict()
        self._bytes = 0
        self._lock = threading.Lock()

    def model(self, place):
        shard, offset, length, digest = place
        with self._lock:
            if digest in self._loaded:
                self._loaded.move_to_end(digest)
                return self._loaded[digest][0]
        model = self._load(shard, offset, length, digest)
        with self._lock:
            if digest not in self._loaded:
                self._loaded[digest] = (model, length)
                self._bytes += length
            while self._bytes > IN_MEMORY and len(self._loaded) > 1:
                _, (_, dropped) = self._loaded.popitem(last=False)
                self._bytes -= dropped
        return model

    def _load(self, shard, offset, length, digest):
        with open(os.path.join(self._folder, shard), "rb") as file:
            file.seek(offset)
            content = file.read(length)
        if hashlib.sha256(content).hexdigest() != digest:
            raise ValueError(f"the model at byte {offset} of {shard} is not the one that was packed")
        return cloudpickle.loads(content)


class Routed:
    """`fallback` is what answers a key without a model: `refuse`, `null`, or another model's place."""

    def __init__(self, folder):
        with open(os.path.join(folder, "routes.json"), encoding="utf-8") as file:
            routes = json.load(file)
        self._keys = routes["keys"]
        self._inputs = routes["inputs"]
        self._places = routes["models"]
        self._fallback = routes["fallback"]
        self._place = routes["fallback_model"]
        self._answer = routes["answer"]
        self._models = Models(folder)

    def predict(self, rows):
        groups, unknown = self._groups(rows)
        if unknown and self._fallback == "refuse":
            raise self._refusal(unknown)
        parts = [(places, self._of(rows, places, where)) for where, places in groups]
        answer = in_order(parts, len(rows), rows.index) if parts else None
        return self._with_reasons(answer, unknown, rows.index) if self._fallback == "null" else answer

    def _groups(self, rows):
        """(place of the model, positions of its rows) for each, and (key, positions) without one."""
        numbers = rows.groupby(self._keys, sort=False, dropna=False, observed=True).ngroup().to_numpy()
        order = numpy.argsort(numbers, kind="stable")
        starts = numpy.flatnonzero(numpy.diff(numbers[order], prepend=-1))
        groups, unknown = [], []
        firsts = rows[self._keys].iloc[order[starts]].itertuples(index=False, name=None)
        for key, places in zip(firsts, numpy.split(order, starts[1:])):
            where = self._places.get(said(key), self._place)
            if where is None:
                unknown.append((key, places))
            else:
                groups.append((where, places))
        return groups, unknown

    def _of(self, rows, places, where):
        predicted = self._models.model(where).predict(rows[self._inputs].iloc[places])
        if len(predicted) != len(places):
            raise ValueError(f"a model gives {len(predicted)} predictions for {len(places)} rows")
        return predicted

    def _refusal(self, unknown):
        listed = "; ".join(
            f"row {places[0]}: {', '.join(f'{name}={value}' for name, value in zip(self._keys, key))}"
            for key, places in unknown[:LISTED]
        )
        more = f" and {len(unknown) - LISTED} more" if len(unknown) > LISTED else ""
        error = MlflowException(f"there is no model for {listed}{more}", error_code=INVALID_PARAMETER_VALUE)
        # for a service that answers without the data: which rows, and which columns
        error.unknown_rows = sorted(int(place) for _, places in unknown for place in places)
        error.unknown_columns = list(self._keys)
        return error

    def _with_reasons(self, answer, unknown, index):
        """A frame that has room for rows without a prediction, of the same types whether there are such rows or not."""
        missing = numpy.zeros(len(index), dtype=bool)
        for _, places in unknown:
            missing[places] = True
        if answer is None:
            made = {name: nothing(kind, len(index)) for name, kind in self._answer}
        else:
            columns = answer if isinstance(answer, pandas.DataFrame) else {"prediction": answer}
            made = {name: with_room(columns[name], missing) for name in columns}
        reason = numpy.where(missing, NO_MODEL, "").astype(object)
        return pandas.DataFrame({**made, "reason": reason}, index=index)


def in_order(parts, count, index):
    """The answers of several models as one, row for row as asked, in the kind of container that they answer in."""
    order = numpy.concatenate([places for places, _ in parts])
    answers = [answer for _, answer in parts]
    if isinstance(answers[0], (pandas.Series, pandas.DataFrame)):
        made = pandas.concat([answer.set_axis(places, axis=0) for places, answer in parts]).sort_index()
        return made.set_axis(index[numpy.sort(order)], axis=0)
    made = numpy.concatenate([numpy.asarray(answer) for answer in answers])[numpy.argsort(order, kind="stable")]
    return made.tolist() if isinstance(answers[0], list) else made


def with_room(values, missing):
    """A column in which a value may be missing; `values` has those of the other rows, in order."""
    values = numpy.asarray(values)
    if values.ndim != 1:
        raise ValueError("a model that answers a row with several numbers leaves no room for a reason")
    dtype = roomy(values.dtype.kind)
    column = pandas.Series([None] * len(missing), dtype=object)
    column[~missing] = values.tolist() if dtype is object else values
    return column.astype(dtype).array


def nothing(kind, count):
    """A column of missing values, of the type that it has where there are others."""
    return pandas.Series([None] * count, dtype=object).astype(roomy(kind)).array


def roomy(kind):
    """The type of a column in which numbers of numpy's `kind` may be missing."""
    return {"i": "Int64", "u": "UInt64", "b": "boolean", "f": "float64"}.get(kind, object)


class RoutedModel(mlflow.pyfunc.PythonModel):
    def load_context(self, context):
        self.routed = Routed(context.artifacts["models"])

    def predict(self, context, model_input: pandas.DataFrame, params=None):
        return self.routed.predict(model_input)


mlflow.models.set_model(RoutedModel())
